"""Stage: the docstrings of Python, NumPy and SciPy -> a text corpus that every installation has."""

import ast
import json
import logging
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from spdclust.core.atomic import atomic_path
from spdclust.core.errors import InputError

log = logging.getLogger(__name__)


SHORTEST_TEXT = 200
"""Minimum length of a docstring in characters."""

_LEFT_OUT = {
    "test",
    "tests",
    "idlelib",
    "lib2to3",
    "site-packages",
    "dist-packages",
    "__pycache__",
    "turtledemo",
}
_PACKAGES = ("numpy", "scipy")


def docstring_corpus(path: str | Path) -> int:
    """Write lower-cased texts, one `{"story": text}` per line, and return their number.

    They are the docstrings of the standard library, NumPy and SciPy. The output depends only on the
    versions of these three. Nothing is imported.

    Raises:
        InputError: there are no texts, or the file cannot be written.
    """
    standard = Path(sysconfig.get_path("stdlib"))
    installed = Path(sysconfig.get_path("purelib"))
    n_texts = 0
    seen: set[str] = set()
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
        for text in _texts(standard, installed):
            if text not in seen:
                seen.add(text)
                stream.write(json.dumps({"story": text}, ensure_ascii=False) + "\n")
                n_texts += 1
        if n_texts == 0:
            raise InputError(
                "no docstrings in this Python",
                file=standard,
                found=sys.version,
                allowed="sources of the library",
            )
    log.info("%d texts in %s", n_texts, path)
    return n_texts


def docstrings(source: str) -> list[str]:
    r"""Return the docstrings of a module's source that are long enough, lower-cased.

    Example:
        >>> long = "Say something at length. " * 9
        >>> docstrings(f'def f():\n    \"\"\"{long}\"\"\"\n') == [long.strip().lower()]
        True
        >>> docstrings("not python at all")
        []
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return []
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds))
    return [text.strip().lower() for text in found if text and len(text) >= SHORTEST_TEXT]


def _texts(standard: Path, installed: Path) -> Iterator[str]:
    for folder in (standard, *(installed / name for name in _PACKAGES)):
        for file in _sources_below(folder):
            yield from docstrings(_read(file))


def _sources_below(folder: Path) -> Iterable[Path]:
    return sorted(
        file
        for file in folder.rglob("*.py")
        if file.is_file() and _LEFT_OUT.isdisjoint(file.relative_to(folder).parts[:-1])
    )


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
