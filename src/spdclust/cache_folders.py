"""Where work that can be done again is kept between processes: compiled kernels, digests of source code."""

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def cache_folder(name: str) -> Path | None:
    """Return a folder of this user's own for what can be made again, made if need be; None if there is none.

    Example:
        >>> folder = cache_folder("doctest")
        >>> folder is None or folder.name
        'doctest'

    Args:
        name: of the folder below the package's own.
    """
    for base in _possible_bases():
        with contextlib.suppress(OSError, RuntimeError):
            folder = base() / name
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if os.access(folder, os.W_OK) and folder.stat().st_uid == os.getuid():
                return folder
    return None


def _possible_bases() -> list[Callable[[], Path]]:
    return [
        lambda: Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spdclust",
        lambda: Path(tempfile.gettempdir()) / f"spdclust-{os.getuid()}",
    ]
