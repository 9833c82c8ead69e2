"""Digests of the code that stages, rules and kernels depend on: they key results and compiled kernels."""

import functools
import hashlib
import itertools
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from spdclust.core.source_digests import Source, SourceDigests

PACKAGE = "spdclust"

_SOURCE = Path(__file__).resolve().parents[1]
_NOT_COUNTED = tuple(
    f"{PACKAGE}.{part}" for part in ("config", "core.errors", "core.version", "plotting.registry")
)


def code_fingerprint(*entries: str, ignore: tuple[str, ...] = ()) -> str:
    """Return a digest of the code that some parts of the package depend on, themselves included.

    What a function, class or constant mentions is followed, through imports too, to the statement that makes
    it. Where these statements are does not count, nor do comments, docstrings and layout: code that is moved
    to another module keeps its fingerprint. Nothing is imported.

    Example:
        >>> len(code_fingerprint("spdclust.config.merge"))
        16
        >>> whole = code_fingerprint("spdclust.core.code_fingerprint")
        >>> code_fingerprint("spdclust.core.code_fingerprint:file_code") == whole
        False

    Args:
        entries: dotted names of modules of this package, or `module:name` for one thing that it defines.
        ignore: modules, or packages with all that is in them, that do not count.

    Raises:
        ValueError: no such module, or it does not define that name.
    """
    return _fingerprint(entries, ignore)


@functools.cache  # every run of an ensemble records it; a process reads each file once
def _fingerprint(entries: tuple[str, ...], ignore: tuple[str, ...]) -> str:
    graph = _Graph(ignore)
    for entry in entries:
        module, _, name = entry.partition(":")
        if _file_of(module) is None:
            raise ValueError(f"no module {entry}")
        known = _source(module).defines.keys() | _source(module).imports.keys()
        if name and name.split(".")[0] not in known:
            raise ValueError(f"no function, class or constant {entry}")
        graph.add(module, name.split(".") if name else [])
    _digests().keep()
    return graph.digest()[:16]


def file_code(path: str | Path) -> str:
    """Return the code of one file, such as a script of the workflow: its statements and the names in them.

    Example:
        >>> "hashlib.sha256" in file_code(__file__)
        True

    Raises:
        FileNotFoundError: no such file.
    """
    source = _digests().of(Path(path))
    _digests().keep()
    return ";".join(f"{each.code}({','.join(each.names)})" for each in source.statements)


def stage_fingerprint(stage: str, functions: Mapping[str, str] | None = None) -> str:
    """Return the fingerprint of one stage of the workflow, as results record it.

    Configuration models do not count, since their values reach the rules through `params`; the texts of
    errors and the number of the version change no result. Of the registry of figures only what is in
    `functions` counts.

    Example:
        >>> stage_fingerprint("merge") == stage_fingerprint("precompute_batches")
        False

    Args:
        stage: name of the module in `spdclust.stages`.
        functions: functions that the stage finds by name, as `module:function`, by what they are for.

    Raises:
        ValueError: no such stage, or no such function.
    """
    named = sorted((functions or {}).items())
    code = code_fingerprint(
        f"{PACKAGE}.stages.{stage}", *[function for _, function in named], ignore=_NOT_COUNTED
    )
    if not named:
        return code
    return hashlib.sha256(f"{code};{[purpose for purpose, _ in named]}".encode()).hexdigest()[:16]


def rule_fingerprint(stage: str, script: str | Path, functions: Mapping[str, str] | None = None) -> str:
    """Return the fingerprint of a rule: of its stage, and of the script that calls it.

    Example:
        >>> rule_fingerprint("merge", "workflow/scripts/merge.py") == stage_fingerprint("merge")
        False

    Raises:
        ValueError: no such stage, or no such function.
        FileNotFoundError: no such script.
    """
    code = f"{stage_fingerprint(stage, functions)};{file_code(script)}"
    return hashlib.sha256(code.encode()).hexdigest()[:16]


_Number = tuple[str, int]
"""Stands for the number of a statement: its module, and where it is there."""


class _Graph:
    """Statements that are reached from some entries, numbered in the order in which they are reached."""

    def __init__(self, ignore: tuple[str, ...]) -> None:
        self._ignore = ignore
        self._numbers: dict[_Number, int] = {}
        self._waiting: list[_Number] = []
        self._entries: list[str] = []

    def add(self, module: str, parts: list[str]) -> None:
        """Start from `module.part.part`, or from all that a module defines."""
        self._entries.append(self._text(_found(module, parts, self._ignore)))

    def digest(self) -> str:
        """Return the digest of what is reached.

        It covers the numbers of what each statement mentions: two functions of the same name cannot change
        places without a change of the digest.
        """
        digest = hashlib.sha256(";".join(self._entries).encode())
        for module, number in self._waiting:  # which grows
            digest.update(self._text(_statement(module, number, self._ignore)).encode())
        return digest.hexdigest()

    def _text(self, pieces: Iterable[str | _Number]) -> str:
        return "".join(each if isinstance(each, str) else self._number(each) for each in pieces)

    def _number(self, statement: _Number) -> str:
        if statement not in self._numbers:
            self._numbers[statement] = len(self._numbers)
            self._waiting.append(statement)
        return str(self._numbers[statement])


@functools.cache  # the stages of a workflow share most of their code
def _statement(module: str, number: int, ignore: tuple[str, ...]) -> list[str | _Number]:
    """Return the code of a statement and what it mentions, in pieces."""
    statement = _source(module).statements[number]
    mentioned = (_mentioned(module, name, statement.imports, ignore) for name in statement.names)
    effects = _numbers(module, _source(module).effects)
    pieces = [f"{statement.code}(", *_joined(",", mentioned), ")", *effects, ";"]
    return [
        each
        for is_text, group in itertools.groupby(pieces, lambda piece: isinstance(piece, str))
        for each in (["".join(map(str, group))] if is_text else group)
    ]


def _joined(between: str, parts: Iterable[Iterable[str | _Number]]) -> list[str | _Number]:
    return [piece for part in parts for piece in (between, *part)][1:]


def _numbers(module: str, numbers: list[int]) -> list[str | _Number]:
    return _joined("+", ([(module, number)] for number in numbers))


def _mentioned(
    module: str, name: str, imports: dict[str, str], ignore: tuple[str, ...]
) -> list[str | _Number]:
    first, _, rest = name.partition(".")
    source = _source(module)
    full = imports.get(first) or source.imports.get(first)
    if full is None:  # of this module, built in, or a variable of the function
        return [*_numbers(module, source.defines.get(first, [])), f".{rest}"]
    return _imported(full.split("."), rest.split(".") if rest else [], ignore)


def _imported(full: list[str], rest: list[str], ignore: tuple[str, ...]) -> list[str | _Number]:
    parts = full + rest
    if parts[0] != PACKAGE:
        return [".".join(parts)]
    # the longest beginning that is a module; the package itself always is
    length = next(n for n in range(len(parts), 0, -1) if _file_of(".".join(parts[:n])))
    return _found(".".join(parts[:length]), parts[length:], ignore)


def _found(module: str, parts: list[str], ignore: tuple[str, ...]) -> list[str | _Number]:
    """Return numbers for what `module.part.part` is."""
    if any(module == each or module.startswith(f"{each}.") for each in ignore):
        return [".".join(parts)]
    source = _source(module)
    if not parts:  # the module itself: all that it defines
        return _joined("&", (_numbers(module, source.defines[name]) for name in sorted(source.defines)))
    first, *rest = parts
    if first in source.imports:
        return _imported(source.imports[first].split("."), rest, ignore)
    if module == PACKAGE or first not in source.defines:  # found when it is used
        return [".".join(parts)]
    return [*_numbers(module, source.defines[first]), f".{'.'.join(rest)}"]


@functools.cache
def _file_of(module: str) -> Path | None:
    base = os.path.join(_SOURCE, *module.split(".")[1:])
    return next((Path(path) for path in (f"{base}.py", f"{base}/__init__.py") if os.path.isfile(path)), None)


@functools.cache
def _digests() -> SourceDigests:
    return SourceDigests()


@functools.cache
def _source(module: str) -> Source:
    path = _file_of(module)
    assert path is not None
    return _digests().of(path)
