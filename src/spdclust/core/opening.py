"""Opening files that may be damaged or hostile: what is checked before a library reads them."""

import contextlib
import json
import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spdclust.core.errors import InputError, memory_error

TEXT_LIMIT = 256 * 2**20
"""Bytes above which a text is refused."""
LEAST_LIMIT = 256 * 2**20
"""Bytes that what is read from a file may take in memory, however small the file is."""
MOST_EXPANSION = 100
"""How many times its own size, above `LEAST_LIMIT`, what is read from a file may take in memory."""

_TELLING = (ValueError, OSError, RuntimeError, EOFError)  # whose message says enough without their name


def regular_file(path: str | Path, allowed: str) -> Path:
    """Return the path of a file that can be read to its end; a pipe or a device might have none.

    Example:
        >>> regular_file("/dev/zero", "a history.zip")
        Traceback (most recent call last):
        ...
        spdclust.InputError: /dev/zero: not a regular file (found: a device; allowed: a history.zip)

    Args:
        path: the file.
        allowed: what it should be, for messages.

    Raises:
        InputError: there is no such file, or it is a folder, a pipe or a device.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise InputError("no such file", file=path, allowed=allowed) from error
    except (OSError, ValueError) as error:  # a loop of links, a name too long or with a zero in it
        said = getattr(error, "strerror", None) or str(error)
        raise InputError("cannot be read", file=path, found=said, allowed=allowed) from error
    if not stat.S_ISREG(mode):
        raise InputError("not a regular file", file=path, found=_kind(mode), allowed=allowed)
    return path


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def exists(path: str | Path) -> bool:
    """Return whether there is such a file or folder, False for names that there cannot be.

    Example:
        >>> exists("x" * 5000), exists("a\\0b"), exists("/")
        (False, False, True)
    """
    try:
        return os.path.exists(path)
    except (OSError, ValueError):
        return False


def check_folder(folder: str | Path, allowed: str) -> None:
    """Check that all files below a folder can be read to their end, before a library opens them.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     os.mkfifo(f"{folder}/tokenizer.json")  # a library would wait for ever
        ...     check_folder(folder, "a folder")
        Traceback (most recent call last):
        ...
        spdclust.InputError: ...tokenizer.json: not a regular file (found: a pipe; allowed: a folder)

    Raises:
        InputError: one of them is a pipe or a device, or a link that leads nowhere.
    """
    for place, _, names in os.walk(folder):
        for name in names:
            regular_file(Path(place, name), allowed)


def read_text(path: str | Path, allowed: str, *, limit: int = TEXT_LIMIT) -> str:
    """Return a UTF-8 text, line ends as they are.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "labels.txt").write_bytes(b"m:0\\xff")
        ...     read_text(f"{folder}/labels.txt", "labels, one a line")
        Traceback (most recent call last):
        ...
        spdclust.InputError: ...labels.txt: not a UTF-8 text (found: ...; allowed: labels, one a line)

    Args:
        path: the file.
        allowed: what it should be, for messages.
        limit: bytes above which it is refused.

    Raises:
        InputError: no such file, too large, or not UTF-8.
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


def read_json(path: str | Path, allowed: str, *, limit: int = TEXT_LIMIT) -> Any:
    """Return what a JSON file holds.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "a.json").write_text('{"a": 1, "a": 2}')
        ...     read_json(Path(folder) / "a.json", "a summary.json")
        Traceback (most recent call last):
        ...
        spdclust.InputError: ...a.json: not JSON (found: key given twice: a; allowed: a summary.json)

    Raises:
        InputError: no such file, too large, not UTF-8, not JSON, or a key is given twice.
    """
    text = read_text(path, allowed, limit=limit)
    with refused("not JSON", path, allowed):
        return parse_json(text)


def parse_json(text: str) -> Any:
    """Return what a JSON text says; a key given twice is an error.

    Example:
        >>> parse_json('{"a": [1]}')
        {'a': [1]}

    Raises:
        ValueError: it is not JSON, or a key is given twice.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"key given twice: {twice}")
    return content


@contextlib.contextmanager
def refused(problem: str, path: str | Path, allowed: str, field: str | None = None) -> Iterator[None]:
    """Turn whatever a library raises inside the block into one line that names the file.

    Damaged files make libraries raise nearly anything: of `zipfile`, NumPy and torch alone, ten kinds of
    errors have been seen.

    Example:
        >>> with refused("not a readable history", "history.zip", "a history.zip"):
        ...     raise IndexError("list index out of range")
        Traceback (most recent call last):
        ...
        spdclust.InputError: history.zip: not a readable history (found: IndexError: list index out of
        range; allowed: a history.zip)

    Raises:
        InputError: anything was raised; an InputError passes, with the file filled in.
    """
    try:
        yield
    except InputError as error:
        raise error.located(file=path) from error
    except Exception as error:
        too_little = memory_error(error)
        if too_little is not None:
            raise too_little.located(file=path) from error
        said, name = " ".join(str(error).split()), type(error).__name__
        found = said if said and isinstance(error, _TELLING) else f"{name}: {said}".removesuffix(": ")
        raise InputError(problem, file=path, field=field, found=found, allowed=allowed) from error


def check_size(n_bytes: int, path: str | Path, field: str | None = None) -> None:
    """Refuse what a file announces when it is out of proportion to the file.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile() as file:
        ...     check_size(10**12, file.name, "indptr")
        Traceback (most recent call last):
        ...
        spdclust.InputError: ...: indptr: announces more than the file can mean (found: 1000000000000
        bytes; allowed: at most 268435456 bytes, for a file of 0 bytes)

    Args:
        n_bytes: what would have to be held in memory.
        path: the file.
        field: what would be so large.

    Raises:
        InputError: it is more than `LEAST_LIMIT`, and more than `MOST_EXPANSION` times the file's size.
    """
    stored = Path(path).stat().st_size
    limit = max(LEAST_LIMIT, MOST_EXPANSION * stored)
    if n_bytes > limit:
        raise InputError(
            "announces more than the file can mean",
            file=path,
            field=field,
            found=f"{n_bytes} bytes",
            allowed=f"at most {limit} bytes, for a file of {stored} bytes",
        )
