"""Compilation of the kernels, and the cache of compiled code."""

import contextlib
import hashlib
import inspect
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba

from spdclust.core.cache_folders import cache_folder
from spdclust.core.version import __version__

numba_config: Any = numba.config  # its attributes are created at run time


def compiled(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Compile a kernel to machine code that releases the interpreter lock, cached between processes.

    Example:
        >>> @compiled
        ... def double(x):
        ...     return x + x
        >>> double(21)
        42

    Args:
        function: the kernel.
        options: further options of `numba.njit`.
    """
    if function is None:
        return lambda kernel: compiled(kernel, **options)
    # the shape checks of the tests wrap every function; numba needs the wrapped function
    plain = inspect.unwrap(function)
    in_package = plain.__module__.startswith("spdclust.") and Path(plain.__code__.co_filename).exists()
    return numba.njit(cache=in_package, nogil=True, error_model="numpy", **options)(plain)


def use_own_cache() -> Path | None:
    """Set numba's cache folder to one that is used only by this exact code, and return it.

    Numba decides whether cached code is valid from the file that defines the kernel, but kernels call kernels
    in other files. The folder's name therefore contains a digest of all of them. `NUMBA_CACHE_DIR` takes
    precedence.
    """
    if numba_config.CACHE_DIR:
        return Path(numba_config.CACHE_DIR)
    digest = hashlib.sha256(f"{numba.__version__} {platform.python_version()}".encode())
    for source in _kernel_sources():
        digest.update(source.read_bytes())
    name = f"kernels-{__version__}-{digest.hexdigest()[:16]}"
    folder = cache_folder(name)
    if folder is not None:
        numba_config.CACHE_DIR = str(folder)
    return folder


def _kernel_sources() -> list[Path]:
    """Return every file that defines kernels: `kernels.py`, the files in `kernels/`, and this file."""
    package = Path(__file__).parents[1]
    return sorted([Path(__file__), *package.rglob("kernels.py"), *package.rglob("kernels/*.py")])


@contextlib.contextmanager
def one_process_compiles() -> Iterator[None]:
    """Serialise compilation between processes: the others wait, then load the result from the cache.

    Numba writes its cache without a lock: two processes that compile one kernel for different types at the
    same time can leave an index that refers to the wrong code.
    """
    folder = use_own_cache()
    try:
        import fcntl

        handle = (folder / "lock").open("w") if folder else None
    except (ImportError, OSError):
        handle = None
    if handle is None:  # no lock available
        yield
        return
    with handle:
        with contextlib.suppress(OSError):  # some network file systems do not support it
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


_ready: set[str] = set()


def ensure_compiled(name: str, call_on_little: Callable[[], object]) -> None:
    """Compile kernels, or load them from the cache, before they are used; once per process.

    Jobs that start at the same time on one file system wait for the first one to compile.

    Example:
        >>> ensure_compiled("nothing", lambda: None)

    Args:
        name: name of the kernels.
        call_on_little: calls the kernels on small inputs with the types that they will be used with.
    """
    if name not in _ready:
        with one_process_compiles():
            call_on_little()
        _ready.add(name)


use_own_cache()  # numba reads the setting when a kernel is defined
