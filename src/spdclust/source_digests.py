"""Digests of source files that comments, docstrings, layout and the version of Python do not change.

Every job of a workflow needs them all, and reading 150 syntax trees takes longer than everything else that a
job does before its work: they are kept in the user's cache, under the digest of the file's bytes, in a file
whose name carries the digest of this module: another version of this code never reads what this one wrote.
"""

import ast
import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spdclust.cache_folders import cache_folder

MOST_KEPT = 2000
"""Files whose digests are kept; the oldest go first."""

SourceDigest = tuple[str, tuple[str, ...]]
"""Digest of a file's code, and the dotted names that it may import, names inside modules among them."""


class SourceDigests:
    """What is known of source files, remembered between processes.

    Example:
        >>> digests = SourceDigests()
        >>> code, imported = digests.of(Path(__file__))
        >>> len(code), "spdclust.cache_folders.cache_folder" in imported
        (64, True)
    """

    def __init__(self) -> None:
        folder = cache_folder("source-digests")
        code = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
        self._file = folder / f"code-{code}.json" if folder else None
        self._known = _read(self._file)
        self._new: dict[str, SourceDigest] = {}

    def of(self, path: Path) -> SourceDigest:
        """Return the digest of one file's code and what it imports."""
        content = path.read_bytes()
        key = hashlib.sha256(content).hexdigest()
        if key not in self._known:
            self._known[key] = self._new[key] = _parse(content)
        return self._known[key]

    def keep(self) -> None:
        """Write what was new to the cache; without one, nothing happens."""
        if self._file is None or not self._new:
            return
        known = _read(self._file) | self._new  # other processes may have written meanwhile
        temporary = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(dict(list(known.items())[-MOST_KEPT:])))
            temporary.replace(self._file)
        self._new = {}


def _read(file: Path | None) -> dict[str, SourceDigest]:
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
        if file is not None:
            return {
                key: (str(code), tuple(names)) for key, (code, names) in json.loads(file.read_text()).items()
            }
    return {}


def _parse(content: bytes) -> SourceDigest:
    tree = ast.parse(content)
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            imported |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            body: list[Any] = [each for each in node.body if not _is_text(each)]
            node.body = body or [ast.Pass()]
    digest = hashlib.sha256()
    _write_tree(tree, digest.update)
    return digest.hexdigest(), tuple(sorted(imported))


def _write_tree(node: object, write: Callable[[bytes], None]) -> None:
    """Write a syntax tree in a form that is the same for every version of Python.

    `ast.dump` is not: it shows fields that only some versions have, such as `type_params`, and the parts of
    f-strings are divided differently.
    """
    if isinstance(node, ast.AST):
        write(f"{type(node).__name__}(".encode())
        for field in node._fields:
            value = getattr(node, field, None)
            if isinstance(node, ast.JoinedStr):
                value = _joined(node.values)
            if field not in _LAYOUT_FIELDS and value is not None and value != []:
                write(f"{field}=".encode())
                _write_tree(value, write)
        write(b")")
    elif isinstance(node, list):
        write(b"[")
        for each in node:
            _write_tree(each, write)
            write(b",")
        write(b"]")
    else:
        # which characters `repr` escapes depends on the version of Unicode
        write(ascii(node).encode())


_LAYOUT_FIELDS = ("kind", "type_comment", "type_ignores")


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
