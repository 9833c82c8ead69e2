"""Digests of the code of a source file, independent of comments, docstrings, layout and Python version.

Every job of a workflow needs the digests of the whole package, and parsing 150 files takes longer than the
rest of a job's start-up. They are therefore cached per user, keyed by the digest of the file's bytes. The
name of the cache file contains the digest of this module, so other versions of this code never read it.
"""

import ast
import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Set
from pathlib import Path
from typing import Any, NamedTuple

from spdclust.core.atomic import cache_folder

MOST_KEPT = 2000
"""Maximum number of cached files; the oldest are dropped first."""


class Statement(NamedTuple):
    """A statement at the top of a file: a function, a class, an assignment, something that is executed."""

    code: str
    """Digest of the code. Names that the file defines or imports are replaced by their index in `names`."""
    names: list[str]
    """Names used, in the order of first use, including attributes: `np.linalg.norm`."""
    imports: dict[str, str]
    """Names that it imports itself, inside a function for example, and what they are."""


class Source(NamedTuple):
    """The statements of one file and their relations."""

    statements: list[Statement]
    defines: dict[str, list[int]]
    """By name: the statements that make it or change it."""
    effects: list[int]
    """Statements that make no name: they act when the file is imported."""
    imports: dict[str, str]
    """Names that the file imports, and their full names."""


class SourceDigests:
    """Digests of source files, cached between processes."""

    def __init__(self) -> None:
        folder = cache_folder("source-digests")
        code = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
        self._file = folder / f"code-{code}.json" if folder else None
        self._known = _read(self._file)
        self._new: dict[str, Source] = {}

    def of(self, path: Path) -> Source:
        """Return the statements of one file."""
        content = path.read_bytes()
        key = hashlib.sha256(content).hexdigest()
        if key not in self._known:
            self._known[key] = self._new[key] = _parse(content)
        return self._known[key]

    def keep(self) -> None:
        """Write new entries to the cache, if there is one."""
        if self._file is None or not self._new:
            return
        known = _read(self._file) | self._new  # other processes may have written in the meantime
        temporary = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(dict(list(known.items())[-MOST_KEPT:])))
            temporary.replace(self._file)
        self._new = {}


def _read(file: Path | None) -> dict[str, Source]:
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
        if file is not None:
            return {
                key: Source([Statement(*each) for each in statements], dict(defines), effects, dict(imports))
                for key, (statements, defines, effects, imports) in json.loads(file.read_text()).items()
            }
    return {}


def _parse(content: bytes) -> Source:
    tree = ast.parse(content)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            body: list[Any] = [each for each in node.body if not _is_text(each)]
            node.body = body or [ast.Pass()]
    source = Source([], {}, [], {})
    rest = []
    for node in tree.body:
        if _only_imports(node):
            source.imports.update(_imports(node))
        elif not isinstance(node, ast.Pass) and not _is_for_programs(node):
            rest.append(node)
    for number, node in enumerate(rest):
        for name in (names := _made_by(node)):
            source.defines.setdefault(name, []).append(number)
        if not names:
            source.effects.append(number)
    source.statements.extend(_statement(node, source.imports.keys() | source.defines.keys()) for node in rest)
    return source


def _only_imports(node: ast.stmt) -> bool:
    if isinstance(node, ast.If):  # `if TYPE_CHECKING:`
        return all(map(_only_imports, node.body + node.orelse))
    return isinstance(node, (ast.Import, ast.ImportFrom))


def _is_for_programs(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


def _imports(node: ast.AST) -> dict[str, str]:
    found = {}
    for each in ast.walk(node):
        if isinstance(each, ast.Import):
            for alias in each.names:
                name = alias.name if alias.asname else alias.name.split(".")[0]
                found[alias.asname or name] = name
        elif isinstance(each, ast.ImportFrom) and each.level == 0 and each.module:
            found |= {alias.asname or alias.name: f"{each.module}.{alias.name}" for alias in each.names}
    return found


def _made_by(node: ast.stmt) -> list[str]:
    """Return the names that a statement defines or modifies in the file; `x[0] = 1` modifies `x`."""
    if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        return [node.name]
    names = []
    for each in ast.walk(node):
        if isinstance(each, (ast.Attribute, ast.Subscript)) and isinstance(each.ctx, ast.Store):
            base: ast.expr = each
            while isinstance(base, (ast.Attribute, ast.Subscript)):
                base = base.value
            names += [base.id] if isinstance(base, ast.Name) else []
        elif isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            names.append(each.id)
    return sorted(set(names))


def _statement(node: ast.stmt, of_file: Set[str]) -> Statement:
    own = _imports(node)
    names: dict[str, int] = {}
    digest = hashlib.sha256()
    _Writer(digest.update, of_file | own.keys(), names).write(node)
    return Statement(digest.hexdigest()[:32], list(names), own)


class _Writer:
    """Writes a syntax tree in a form that is the same for every version of Python.

    `ast.dump` is not: it shows fields that only some versions have, such as `type_params`, and the parts of
    f-strings are divided differently.
    """

    def __init__(self, write: Callable[[bytes], None], of_file: Set[str], names: dict[str, int]) -> None:
        self._write, self._of_file, self._names = write, of_file, names

    def write(self, node: object) -> None:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            self._write(
                b"import"
            )  # from where is a matter of place; what is imported counts where it is used
        elif chain := _chain(node):
            name = ".".join(chain)
            number = self._names.setdefault(name, len(self._names))
            # what a thing is called depends on its place; what it is, whoever follows `names` finds
            self._write(f"{number if chain[0] in self._of_file else name} ".encode())
            self._write(type(getattr(node, "ctx", None)).__name__.encode())
        elif isinstance(node, ast.AST):
            self._write(f"{type(node).__name__}(".encode())
            for field, value in _fields(node):
                self._write(f"{field}=".encode())
                self.write(value)
            self._write(b")")
        elif isinstance(node, list):
            self._write(b"[")
            for each in node:
                self.write(each)
                self._write(b",")
            self._write(b"]")
        else:
            # the characters escaped by `repr` depend on the Unicode version
            self._write(ascii(node).encode())


def _chain(node: object) -> list[str]:
    """Return the parts of `a` or `a.b.c`; empty for any other node."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [node.id, *reversed(parts)] if isinstance(node, ast.Name) else []


def _fields(node: ast.AST) -> Iterator[tuple[str, Any]]:
    for field in node._fields:
        value = getattr(node, field, None)
        if isinstance(node, ast.JoinedStr):
            value = _joined(node.values)
        if field not in ("kind", "type_comment", "type_ignores") and value is not None and value != []:
            yield field, value


def _joined(parts: list[ast.expr]) -> list[ast.expr]:
    """Return the parts of an f-string, with texts that follow each other in one and none that is empty."""
    joined: list[ast.expr] = []
    for part in parts:
        last = joined[-1] if joined else None
        if not isinstance(part, ast.Constant):
            joined.append(part)
        elif isinstance(last, ast.Constant):
            joined[-1] = ast.Constant(str(last.value) + str(part.value))
        elif part.value != "":
            joined.append(part)
    return joined


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
