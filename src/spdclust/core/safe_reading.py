"""Checks on files that may be damaged or hostile, before a library reads them."""

import contextlib
import json
import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spdclust.core.errors import InputError, memory_error, missing_package

TEXT_LIMIT = 256 * 2**20
"""Maximum size of a text file in bytes."""
LEAST_LIMIT = 256 * 2**20
"""Bytes in memory that the contents of any file may take, however small the file."""
MOST_EXPANSION = 100
"""Maximum ratio of the size in memory to the file size, for contents above `LEAST_LIMIT`."""

_TELLING = (ValueError, OSError, RuntimeError, EOFError)  # their messages are clear without the type's name


def regular_file(path: str | Path, allowed: str) -> Path:
    """Return the path of a regular file; pipes and devices may be endless.

    Example:
        >>> regular_file("/dev/zero", "a history.zip")
        Traceback (most recent call last):
        ...
        spdclust.InputError: /dev/zero: not a regular file (found: a device; allowed: a history.zip)

    Raises:
        InputError: there is no such file, or it is a folder, a pipe or a device.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise InputError("no such file", file=path, allowed=allowed) from error
    except (OSError, ValueError) as error:  # a symlink loop, or an invalid name
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError("cannot be read", file=path, found=reason, allowed=allowed) from error
    if not stat.S_ISREG(mode):
        raise InputError("not a regular file", file=path, found=_kind(mode), allowed=allowed)
    return path


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def exists(path: str | Path) -> bool:
    """Return whether a file or folder exists; False for invalid names.

    Example:
        >>> exists("x" * 5000), exists("a\\0b"), exists("/")
        (False, False, True)
    """
    try:
        return os.path.exists(path)
    except (OSError, ValueError):
        return False


def check_folder(folder: str | Path, allowed: str) -> None:
    """Check that all files below a folder are regular, before a library opens them.

    Example:
        >>> os.mkfifo(f"{folder}/tokenizer.json")  # a library would wait for ever
        >>> check_folder(folder, "a folder")
        Traceback (most recent call last):
        ...
        spdclust.InputError: ...tokenizer.json: not a regular file (found: a pipe; allowed: a folder)

    Raises:
        InputError: one of them is a pipe, a device or a broken link.
    """
    for parent, _, names in os.walk(folder):
        for name in names:
            regular_file(Path(parent, name), allowed)


def read_text(path: str | Path, allowed: str, *, limit: int = TEXT_LIMIT) -> str:
    """Return the contents of a UTF-8 text file, with unchanged line endings.

    Example:
        >>> _ = (folder / "labels.txt").write_bytes(b"m:0\\xff")
        >>> read_text(f"{folder}/labels.txt", "labels, one a line")
        Traceback (most recent call last):
        ...
        spdclust.InputError: ...labels.txt: not a UTF-8 text (found: ...; allowed: labels, one a line)

    Raises:
        InputError: the file does not exist, is too large, or is not UTF-8.
    """
    path = regular_file(path, allowed)
    try:
        size = path.stat().st_size
        if size > limit:
            raise InputError(
                "file is too large", file=path, found=f"{size} bytes", allowed=f"at most {limit} bytes"
            )
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("not a UTF-8 text", file=path, found=str(error), allowed=allowed) from error
    except OSError as error:
        raise InputError("cannot be read", file=path, found=error.strerror, allowed=allowed) from error


def split_lines(text: str) -> list[str]:
    """Return the lines of a text, which end at a line feed (after a carriage return or not) and nowhere else.

    `str.splitlines` would also split at U+2028, U+0085, \\v and \\f, which a label may contain.

    Example:
        >>> split_lines("a:0\\r\\na:1\\r\\n")
        ['a:0', 'a:1']
    """
    lines = text.split("\n")
    return [line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1])]


def path_as_text(value: Any) -> Any:
    """Return a path object as text, and any other value unchanged.

    Example:
        >>> from pathlib import PurePosixPath
        >>> path_as_text(PurePosixPath("a") / "b"), path_as_text(3)
        ('a/b', 3)
    """
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def read_json(path: str | Path, allowed: str) -> Any:
    """Return the contents of a JSON file.

    Example:
        >>> _ = (folder / "a.json").write_text('{"a": 1, "a": 2}')
        >>> read_json(folder / "a.json", "a summary.json")
        Traceback (most recent call last):
        ...
        spdclust.InputError: ...a.json: not JSON (found: key given twice: a; allowed: a summary.json)

    Raises:
        InputError: the file does not exist, is too large, is not UTF-8 or JSON, or has a duplicate key.
    """
    text = read_text(path, allowed)
    with as_input_error("not JSON", path, allowed):
        return parse_json(text)


def parse_json(text: str) -> Any:
    """Parse a JSON text; duplicate keys are an error.

    Example:
        >>> parse_json('{"a": [1]}')
        {'a': [1]}

    Raises:
        ValueError: the text is not JSON, or has a duplicate key.
        RecursionError: the text is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"key given twice: {twice}")
    return content


@contextlib.contextmanager
def as_input_error(problem: str, path: str | Path, allowed: str, field: str | None = None) -> Iterator[None]:
    """Convert an exception raised inside the block to an `InputError` that names the file.

    Damaged files make libraries raise almost any exception, `TypeError`, `AttributeError` and
    `AssertionError` among them. Only an undefined name cannot be the fault of a file, and is raised as it is.

    Example:
        >>> with as_input_error("not a readable history", "history.zip", "a history.zip"):
        ...     raise IndexError("list index out of range")
        Traceback (most recent call last):
        ...
        spdclust.InputError: history.zip: not a readable history (found: IndexError: list index out of
        range; allowed: a history.zip)

    Raises:
        InputError: an exception was raised; an `InputError` is re-raised with the file filled in.
    """
    try:
        yield
    except InputError as error:
        raise error.located(file=path) from error
    except Exception as error:
        of_machine = memory_error(error) or missing_package(error)
        if of_machine is not None:
            raise of_machine.located(file=path) from error
        if isinstance(error, NameError):
            raise
        reason, name = " ".join(str(error).split()), type(error).__name__
        found = reason if reason and isinstance(error, _TELLING) else f"{name}: {reason}".removesuffix(": ")
        raise InputError(problem, file=path, field=field, found=found, allowed=allowed) from error


def check_size(n_bytes: int, path: str | Path, field: str | None = None) -> None:
    """Raise an error if the declared size of data is out of proportion to the file.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile() as file:
        ...     check_size(10**12, file.name, "indptr")
        Traceback (most recent call last):
        ...
        spdclust.InputError: ...: indptr: header declares more data than the file contains (...)

    Raises:
        InputError: the size exceeds both `LEAST_LIMIT` and `MOST_EXPANSION` times the file's size.
    """
    folder = Path(path)
    files = folder.rglob("*") if folder.is_dir() else [folder]
    stored = sum(file.stat().st_size for file in files if not file.is_dir())
    limit = max(LEAST_LIMIT, MOST_EXPANSION * stored)
    if n_bytes > limit:
        raise InputError(
            "header declares more data than the file contains",
            file=path,
            field=field,
            found=f"{n_bytes} bytes",
            allowed=f"at most {limit} bytes, for a file of {stored} bytes",
        )
