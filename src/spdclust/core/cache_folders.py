"""Folders for cached data that persists between processes: compiled kernels, source digests, downloads.

Every cache is below one folder. Every entry is keyed by its input *and* by the code that computed it, so
checkouts and versions of the package share the folder without reading each other's entries.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def cache_root() -> Path:
    """Return the folder of all caches: `$SPDCLUST_CACHE`, `$XDG_CACHE_HOME/spdclust` or `~/.cache/spdclust`.

    A relative `XDG_CACHE_HOME` is ignored, as required by its specification.

    Example:
        >>> from unittest.mock import patch
        >>> with patch.dict(os.environ, SPDCLUST_CACHE="/scratch/me"):
        ...     cache_root().as_posix()
        '/scratch/me'
        >>> with patch.dict(os.environ, SPDCLUST_CACHE="", XDG_CACHE_HOME="/scratch/me"):
        ...     cache_root().as_posix()
        '/scratch/me/spdclust'

    Raises:
        RuntimeError: neither is set and the user has no home folder.
    """
    if given := os.environ.get("SPDCLUST_CACHE"):
        return Path(given).expanduser()
    caches = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (caches if caches.is_absolute() else Path.home() / ".cache") / "spdclust"


def cache_folder(name: str) -> Path | None:
    """Return a writable folder below `cache_root()`, created if needed; None if there is none.

    If the root is not writable, use a per-user folder below the system's temporary folder.

    Example:
        >>> folder = cache_folder("doctest")
        >>> folder is None or folder.name
        'doctest'

    Args:
        name: name of the folder below the root.
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
