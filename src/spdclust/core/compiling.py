"""How the kernels are compiled, and where the compiled code is cached between processes.

Two habits keep the compilation short. Numba compiles a kernel once more for each literal that another kernel
passes to it, so kernels pass `np.int64(0)`. An array assigned to a slice or row compiles the text of numba's
error message, which takes 2 to 3 s, so kernels copy in a loop.
"""

import contextlib
import functools
import inspect
import platform
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba

from spdclust.core.cache_folders import cache_folder, mark_used, one_process_at_a_time, remove_unused
from spdclust.core.code_fingerprint import code_fingerprint

numba_config: Any = numba.config  # its attributes are created at run time

_NO_KERNELS = (
    "spdclust.core.cache_folders",
    "spdclust.core.code_fingerprint",
    "spdclust.core.code_fingerprint",
)


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
    folder = module_cache(plain.__module__) if in_package else None
    with _numba_cache_in(folder):
        return numba.njit(cache=folder is not None, nogil=True, error_model="numpy", **options)(plain)


@functools.cache
def module_cache(module: str) -> Path | None:
    """Return the folder for the compiled kernels of one module; None where nothing can be written.

    Numba decides from one file whether its cached code is still valid, but the code of a kernel contains
    that of the kernels it calls, from other files. The folder's name therefore has a digest of the module
    and of all that it imports: an edit recompiles the kernels of that file and of those that import it.

    Example:
        >>> folder = module_cache("spdclust.stability.kernels")
        >>> folder is None or folder.name.startswith("stability.kernels-")
        True

    Args:
        module: dotted name.
    """
    root = kernel_cache()
    if root is None:
        return None
    code = code_fingerprint(module, ignore=_NO_KERNELS)
    versions = f"numba{numba.__version__}-py{platform.python_version()}"
    folder = root / f"{module.removeprefix('spdclust.')}-{versions}-{code}"
    try:
        folder.mkdir(exist_ok=True)
    except OSError:
        return None
    mark_used(folder)
    return folder


def kernel_cache() -> Path | None:
    """Return the folder of all compiled kernels: in `$NUMBA_CACHE_DIR` if set, else in the package's cache.

    Example:
        >>> folder = kernel_cache()
        >>> folder is None or folder.is_dir()
        True
    """
    if not numba_config.CACHE_DIR:
        return cache_folder("kernels")
    folder = Path(numba_config.CACHE_DIR) / "spdclust-kernels"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    return None


_defining = threading.Lock()  # two threads may import kernels


@contextlib.contextmanager
def _numba_cache_in(folder: Path | None) -> Iterator[None]:
    """Set numba's cache folder while a kernel is defined, which is when numba looks."""
    with _defining:
        before = numba_config.CACHE_DIR
        numba_config.CACHE_DIR = "" if folder is None else str(folder)
        try:
            yield
        finally:
            numba_config.CACHE_DIR = before


_ready: set[str] = set()


def ensure_compiled(name: str, call_on_little: Callable[[], object]) -> None:
    """Compile kernels, or load them from the cache, before they are used; once per process.

    Numba writes its cache without a lock: two processes that compile different types of one kernel at once
    can leave an index that names the wrong code. Jobs that start together wait for the first to compile.

    Example:
        >>> ensure_compiled("nothing", lambda: None)

    Args:
        name: name of the kernels.
        call_on_little: calls the kernels on small inputs with the types that they will be used with.
    """
    if name in _ready:
        return
    root = kernel_cache()
    with contextlib.nullcontext() if root is None else one_process_at_a_time(root / "lock"):
        call_on_little()
        if root is not None:
            remove_unused(root)
    _ready.add(name)
