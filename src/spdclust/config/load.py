"""Read YAML or JSON configuration files to validated settings, with errors that name file and field.

In YAML, a key given twice, and aliases that unfold without end, are errors.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import BaseModel

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import as_input_error, parse_json, read_text

if TYPE_CHECKING:
    from spdclust.config.run import ClusteringRunConfig

Model = TypeVar("Model", bound=BaseModel)

SETTINGS_LIMIT = 2**20
"""Maximum size of a settings file in bytes."""

MOST_VALUES = 100_000
"""Values in a YAML document, an alias counted as all that it refers to."""


def read_mapping(path: str | Path) -> dict[str, Any]:
    """Read a YAML or JSON file that holds a mapping.

    Example:
        >>> _ = (folder / "a.yaml").write_text("n_runs: 3")
        >>> read_mapping(folder / "a.yaml")
        {'n_runs': 3}

    Raises:
        InputError: the file does not exist, or is not a mapping in YAML or JSON.
    """
    path = Path(path)
    text = read_text(path, "a YAML or JSON file", limit=SETTINGS_LIMIT)
    with as_input_error("not valid YAML or JSON", path, "a YAML or JSON file"):
        content = parse_json(text) if path.suffix == ".json" else parse_yaml(text)
    if not isinstance(content, dict):
        raise InputError("not a mapping", file=path, found=type(content).__name__, allowed="a mapping")
    return content


def validate(model: type[Model], content: Any, *, file: str | Path | None = None) -> Model:
    """Check a mapping against a configuration model.

    Example:
        >>> from spdclust.config.merge import MergeConfig
        >>> validate(MergeConfig, {"alpah": 2}, file="run.yaml")
        Traceback (most recent call last):
        spdclust.InputError: run.yaml: alpah: unknown key (allowed: alpha)

    Raises:
        InputError: the first error, with the field, the value found and the values allowed.
    """
    try:
        return model.model_validate(content)
    except InputError as error:
        raise error.located(file=file) from error.__cause__


def load_config(model: type[Model], path: str | Path) -> Model:
    """Read and check one configuration file.

    Example:
        >>> from spdclust.config.merge import MergeConfig
        >>> _ = (folder / "merge.yaml").write_text("alpha: 2")
        >>> load_config(MergeConfig, folder / "merge.yaml").alpha
        2.0

    Raises:
        InputError: the file cannot be read, or contains invalid settings.
    """
    return validate(model, read_mapping(path), file=path)


def resolve_paths(run: "ClusteringRunConfig", file: str | Path) -> "ClusteringRunConfig":
    """Return a run's settings, with relative paths resolved against the settings file where they exist.

    All other paths are unchanged and relative to the working folder.

    Example:
        >>> from spdclust.config.run import ClusteringRunConfig
        >>> (folder / "mlp").mkdir()
        >>> found = resolve_paths(ClusteringRunConfig(model_path="mlp"), f"{folder}/run.yaml")
        >>> found.model_path == f"{folder}/mlp"
        True
        >>> resolve_paths(ClusteringRunConfig(model_path="resources/resid_mlp1"), "run.yaml").model_path
        'resources/resid_mlp1'
    """
    folder = Path(file).parent

    def located(path: str | None) -> str | None:
        # `~` is a home folder, and names on the hub or of W&B stay as they are because no such file exists
        if path is None or Path(path).is_absolute() or path.startswith("~") or folder == Path():
            return path
        return str(folder / path) if (folder / path).exists() else path

    found = {name: located(getattr(run, name)) for name in ("model_path", "precomputed_activations_dir")}
    data = {name: located(getattr(run.dataset, name)) for name in ("name", "tokenizer")}
    return run.model_copy(update=found | {"dataset": run.dataset.model_copy(update=data)})


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, except that duplicate keys are an error; PyYAML takes the last one."""

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
    """Return the content of a YAML document.

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
        ValueError: a number or date is invalid, an alias is recursive, or the document unfolds to more than
            `MOST_VALUES` values.
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
            raise ValueError("recursive alias")
        return before
    # None while its parts are counted: an alias to it then contains itself
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
