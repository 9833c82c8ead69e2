"""Folders for cached data that persists between processes: compiled kernels, source digests, downloads.

Every cache is below one folder. Every entry is keyed by its input *and* by the code that computed it, so
checkouts and versions of the package share the folder without reading each other's entries.
"""

import contextlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

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
    bases: list[Callable[[], Path]] = [
        cache_root,
        lambda: Path(tempfile.gettempdir()) / f"spdclust-{os.getuid()}",
    ]
    for base in bases:
        with contextlib.suppress(OSError, RuntimeError):
            folder = base() / name
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if os.access(folder, os.W_OK) and folder.stat().st_uid == os.getuid():
                return folder
    return None


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


def remove_unused(root: Path, days: float = DAYS_KEPT) -> list[str]:
    """Remove compiled kernels that no process has loaded for some days; return the names of the folders.

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
            unused = time.time() - state.st_mtime > days * _DAY and state.st_uid == os.getuid()
            if unused and stat.S_ISDIR(state.st_mode) and _KERNELS.fullmatch(folder.name):
                shutil.rmtree(folder)
                removed.append(folder.name)
    return removed
