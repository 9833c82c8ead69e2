"""YAML to plain values: a key given twice, and aliases that unfold without end, are errors."""

from typing import Any

import yaml

MOST_VALUES = 100_000
"""Values in a document, an alias counted as all that it stands for."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which alone would take the last of several equal keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        own = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        seen: set[Any] = set()
        for key in own:
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
            if name is not None and name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key given twice: {key.value}", key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str) -> Any:
    """Return what a YAML document says.

    Example:
        >>> parse_yaml("a: [1, x]")
        {'a': [1, 'x']}
        >>> parse_yaml("a: 1\\na: 2")
        Traceback (most recent call last):
        ...
        yaml.constructor.ConstructorError: key given twice: a
        ...

    Raises:
        yaml.YAMLError: it is not YAML, or a key is given twice.
        ValueError: a number or date is none, an alias stands inside what it stands for, or the document
            unfolds to more than `MOST_VALUES`.
        RecursionError: it is nested too deeply.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {})
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _count(node: yaml.Node, known: dict[int, int | None]) -> int:
    """Return the values in a node, aliases unfolded, visiting each node once."""
    if id(node) in known:
        before = known[id(node)]
        if before is None:
            raise ValueError("an alias stands inside what it stands for")
        return before
    known[id(node)] = None
    total = 1
    if isinstance(node, yaml.CollectionNode):
        for each in node.value:
            for inner in each if isinstance(each, tuple) else (each,):
                total += _count(inner, known)
                if total > MOST_VALUES:
                    raise ValueError(f"more than {MOST_VALUES} values once aliases are unfolded")
    known[id(node)] = total
    return total
