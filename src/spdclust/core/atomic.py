"""Atomic file writes: a partially written file never has its final name."""

import contextlib
import errno
import itertools
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from spdclust.core.errors import InputError

_attempts = itertools.count()
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`; rename it to `path` on success and remove it on failure.

    Example:
        >>> with atomic_path(folder / "a.txt") as temporary:
        ...     _ = temporary.write_text("whole")
        >>> (folder / "a.txt").read_text(), len(os.listdir(folder))
        ('whole', 1)

    Raises:
        InputError: the folder is not writable or the disk is full; the temporary file is removed.
    """
    path = Path(path)
    temporary = temporary_for(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_orphans(path)
        yield temporary
        # without it, a crash of the machine may leave the new name on an empty file
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise _cannot_write(path, error) from error
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        full = _full_disk(error)
        if full is None:
            raise
        raise _cannot_write(path, full) from error


def temporary_for(path: Path) -> Path:
    """Return a new hidden name next to a path, which names the host and process that it belongs to.

    Example:
        >>> temporary_for(Path("results/a.txt")).name.startswith(".a.txt.tmp-")
        True
    """
    return path.with_name(f".{path.name}.tmp-{socket.gethostname()}-{os.getpid()}-{next(_attempts)}")


def remove_orphans(path: Path) -> None:
    """Remove temporary files and folders for a path that killed processes of this host have left.

    Example:
        >>> ours = temporary_for(folder / "a.txt")
        >>> ours.touch()
        >>> remove_orphans(folder / "a.txt")
        >>> ours.exists()  # this process is alive
        True
    """
    # process numbers mean nothing on another machine that shares the folder
    host = socket.gethostname()
    for orphan in path.parent.glob(f".{_escaped(path.name)}.tmp-{_escaped(host)}-*"):
        process = orphan.name.rsplit("-", 2)[1]
        if process.isdigit() and not Path(f"/proc/{process}").exists() and Path("/proc/self").exists():
            if orphan.is_dir():
                shutil.rmtree(orphan, ignore_errors=True)
            else:
                orphan.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file atomically.

    Example:
        >>> write_text(folder / "a" / "note.txt", "whole")
        >>> (folder / "a" / "note.txt").read_text()
        'whole'

    Raises:
        InputError: the file cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def check_writable(folder: str | Path) -> None:
    """Raise an error if no file can be created in a folder, which need not exist yet.

    Example:
        >>> check_writable(folder / "results")
        >>> os.listdir(folder)
        []

    Raises:
        InputError: the folder, or its nearest existing parent, is not writable.
    """
    existing = Path(folder).absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    probe = temporary_for(existing / "spdclust")
    try:
        with probe.open("x"):
            pass
        probe.unlink()
    except OSError as error:
        raise _cannot_write(Path(folder), error) from error


def _cannot_write(path: Path, error: OSError) -> InputError:
    return InputError(
        "cannot write",
        file=path,
        found=error.strerror or str(error),
        allowed="a writable folder with space",
    )


def _full_disk(error: BaseException | None) -> OSError | None:
    """Return the disk-full error in the cause chain of a library's error."""
    while error is not None and not (isinstance(error, OSError) and error.errno in _FULL):
        error = error.__cause__ or error.__context__
    return error


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
