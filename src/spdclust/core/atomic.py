"""Files that other processes see: written whole, under a lock, or in a cache that persists.

A partially written file never has its final name. Every cache is below one folder. Every entry is keyed by
its input *and* by the code that computed it, so checkouts and versions of the package share the folder
without reading each other's entries.
"""

import contextlib
import errno
import itertools
import os
import re
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from platformdirs import user_cache_path

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


DAYS_KEPT = 30
"""How long compiled kernels that no process loads are kept."""

_DAY = 86_400
_KERNELS = re.compile(r"[\w.]+-numba[\w.+]+-py[\w.+]+-[0-9a-f]{16}")


def cache_root() -> Path:
    """Return the folder of all caches: `$SPDCLUST_CACHE`, `$XDG_CACHE_HOME/spdclust` or `~/.cache/spdclust`.

    The last is what `platformdirs` gives on Linux; on macOS it is `~/Library/Caches/spdclust`.

    Example:
        >>> from unittest.mock import patch
        >>> with patch.dict(os.environ, SPDCLUST_CACHE="/scratch/me"):
        ...     cache_root().as_posix()
        '/scratch/me'
        >>> with patch.dict(os.environ, SPDCLUST_CACHE="", XDG_CACHE_HOME="/scratch/me"):
        ...     cache_root().as_posix()
        '/scratch/me/spdclust'
    """
    given = os.environ.get("SPDCLUST_CACHE")
    return Path(given).expanduser() if given else user_cache_path("spdclust")


def cache_folder(name: str) -> Path | None:
    """Return a writable folder below `cache_root()`, created if needed; None if there is none.

    If the root is not writable, use a per-user folder below the system's temporary folder.

    Example:
        >>> folder = cache_folder("doctest")
        >>> folder is None or folder.name
        'doctest'
    """
    for base in (cache_root, _own_temporary_folder):
        with contextlib.suppress(OSError, RuntimeError):
            folder = base() / name
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if os.access(folder, os.W_OK) and folder.stat().st_uid == os.getuid():
                return folder
    return None


def _own_temporary_folder() -> Path:
    """Return a folder that no other user can write to: compiled code that is read from it is executed."""
    folder = Path(tempfile.gettempdir()) / f"spdclust-{os.getuid()}"
    folder.mkdir(exist_ok=True, mode=0o700)
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o022:
        raise PermissionError(f"{folder} may belong to another user")
    return folder


@contextlib.contextmanager
def one_process_at_a_time(lock: Path, seconds: float | None = None) -> Iterator[None]:
    """Let one process at a time continue, or all of them on a file system without locks.

    The lock is `flock`. Linux passes it to the server of a network file system, unless that is mounted with
    `nolock` or `local_lock=flock`: it holds between machines, and ends with its process, even a killed one.
    A file whose existence is the lock, which `filelock` falls back to by itself, would outlive a job killed
    on another machine; without `flock` there is no lock, and the work may be done twice.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder, one_process_at_a_time(Path(folder, "lock")):
        ...     os.listdir(folder)
        ['lock']

    Args:
        lock: a file, created if need be, which stays.
        seconds: how long to wait at most; None for as long as it takes.

    Raises:
        TimeoutError: another process had the lock all the time.
    """
    from filelock import FileLock  # slow to import, and most processes take no lock

    file_lock = FileLock(lock, fallback_to_soft=False)
    try:
        file_lock.acquire(timeout=seconds)
    except TimeoutError:
        raise
    except OSError:
        pass
    try:
        yield
    finally:
        file_lock.release()


def mark_used(folder: Path) -> None:
    """Record, by its modification time and once a day, that a folder of the cache is in use.

    Example:
        >>> os.utime(folder, (0, 0))
        >>> mark_used(folder)
        >>> folder.stat().st_mtime > 0
        True
    """
    with contextlib.suppress(OSError):
        if time.time() - folder.stat().st_mtime > _DAY:
            os.utime(folder)


def remove_unused(root: Path) -> list[str]:
    """Remove compiled kernels that no process has loaded for `DAYS_KEPT`; return the names of the folders.

    Only folders of this user with names that `module_cache` gives are removed; links are not followed.

    Example:
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for name in ("merge.kernels.loop-numba0.61.0-py3.12.1-0123456789abcdef", "mine"):
        ...         folder = Path(root, name)
        ...         folder.mkdir()
        ...         os.utime(folder, (0, 0))
        ...     remove_unused(Path(root))
        ['merge.kernels.loop-numba0.61.0-py3.12.1-0123456789abcdef']
    """
    removed = []
    for folder in sorted(root.iterdir()):
        with contextlib.suppress(OSError):
            state = folder.lstat()
            unused = time.time() - state.st_mtime > DAYS_KEPT * _DAY and state.st_uid == os.getuid()
            if unused and stat.S_ISDIR(state.st_mode) and _KERNELS.fullmatch(folder.name):
                shutil.rmtree(folder)
                removed.append(folder.name)
    return removed
