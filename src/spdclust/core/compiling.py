"""How the kernels are compiled, and where the compiled code is cached between processes.

Two habits keep the compilation short. Numba compiles a kernel once more for each literal that another kernel
passes to it, so kernels pass `np.int64(0)`. An array assigned to a slice or row compiles the text of numba's
error message, which takes 2 to 3 s, so kernels copy in a loop.
"""

import contextlib
import functools
import inspect
import logging
import platform
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
from numba.core.event import Listener, install_listener
from numba.core.registry import CPUDispatcher

from spdclust.core.atomic import cache_folder, mark_used, one_process_at_a_time, remove_unused
from spdclust.core.code_fingerprint import code_fingerprint

logger = logging.getLogger(__name__)

numba_config: Any = numba.config  # its attributes are created at run time

_NO_KERNELS = ("spdclust.core.atomic", "spdclust.core.code_fingerprint")


def compiled(function: Callable[..., Any] | None = None, *, allocates: bool = False, **options: Any) -> Any:
    """Compile a kernel to machine code that releases the interpreter lock, cached between processes.

    Example:
        >>> @compiled
        ... def double(x):
        ...     return x + x
        >>> double(21)
        42

    Args:
        function: the kernel.
        allocates: whether it makes new arrays, or returns an array. Other kernels do not count references to
            their arguments, which stay alive during the call.
        options: further options of `numba.njit`.
    """
    if function is None:
        return lambda kernel: compiled(kernel, allocates=allocates, **options)
    # the shape checks of the tests wrap every function; numba needs the wrapped function
    plain = inspect.unwrap(function)
    in_package = plain.__module__.startswith("spdclust.") and Path(plain.__code__.co_filename).exists()
    folder = _module_cache(plain.__module__) if in_package else None
    # a wrapper for C, and references that are counted, would take a third of the time to compile
    options = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True, "_nrt": allocates} | options
    njit: Any = numba.njit
    with _numba_cache_in(folder):
        return njit(cache=folder is not None, **options)(plain)


def inner(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Compile a kernel that only other kernels call; an entry from Python would take long to compile.

    Python may call it all the same, through a kernel that is compiled for that.

    Example:
        >>> @inner
        ... def double(x):
        ...     return x + x
        >>> @compiled
        ... def add_doubles(x, y):
        ...     return double(x) + double(y)
        >>> add_doubles(20, 1), double(21)
        (42, 42)
    """
    if function is None:
        return lambda kernel: inner(kernel, **options)
    kernel = compiled(function, no_cpython_wrapper=True, **options)
    if isinstance(kernel, CPUDispatcher):  # not where compiling is turned off
        kernel.__class__ = _Inner
    return kernel


class _Inner(CPUDispatcher):
    """A kernel whose machine code Python cannot call: a call from Python would end the process."""

    def __call__(self, *arguments: Any) -> Any:
        return _entry(self)(*arguments)


@functools.cache
def _entry(kernel: _Inner) -> Any:
    return numba.njit(lambda *arguments: kernel(*arguments))


@functools.cache
def _module_cache(module: str) -> Path | None:
    """Return the folder for the compiled kernels of one module; None where nothing can be written.

    Numba decides from one file whether its cached code is still valid, but the code of a kernel contains
    that of the kernels it calls, from other files. The folder's name therefore has a digest of the module
    and of all that it imports: an edit recompiles the kernels of that file and of those that import it.
    """
    root = _kernel_cache()
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


def _kernel_cache() -> Path | None:
    """Return the folder of all compiled kernels: in `$NUMBA_CACHE_DIR` if set, else the package's cache."""
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
_while_waiting: list[Callable[[], object]] = []

_PATIENCE = 2.0
"""Seconds. Loading compiled kernels takes less, so a process that holds the lock for longer is compiling."""


def ensure_compiled(name: str, call_on_little: Callable[[], object]) -> None:
    """Compile kernels, or load them from the cache, before they are used; once per process.

    The log reports if this takes long: if they are not in the cache, or another process compiles them.

    Numba writes its cache without a lock: two processes that compile different types of one kernel at once
    can leave an index that names the wrong code. Jobs that start together wait for the first to compile.

    Example:
        >>> ensure_compiled("nothing, at all", lambda: None)

    Args:
        name: name of the kernels, their package and a comma first. The kernels of a package are compiled by
            one process at a time.
        call_on_little: calls the kernels on small inputs with the types that they will be used with.
    """
    if name in _ready:
        return
    root = _kernel_cache()
    package = name.split(",")[0]
    with contextlib.nullcontext() if root is None else _alone(root / f"{package}.lock"):
        with install_listener("numba:compile", _Report(package, root)):
            call_on_little()
        if root is not None:
            remove_unused(root)
    _ready.add(name)


class _Report(Listener):
    """Logs that kernels are compiled, when the first one is."""

    def __init__(self, package: str, root: Path | None) -> None:
        cached = "not cached: no folder can be written" if root is None else f"cached in {root}"
        self._lines = [f"compiling kernels ({package}); {cached}"]

    def on_start(self, event: Any) -> None:
        if self._lines:
            logger.info("%s", self._lines.pop())

    def on_end(self, event: Any) -> None:
        pass


def while_waiting(call: Callable[[], object]) -> None:
    """Set what this process does, once, if it has to wait for another one that compiles.

    Example:
        >>> while_waiting(lambda: None)  # in a job: compiles kernels that it needs later
    """
    _while_waiting[:] = [call]


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with contextlib.ExitStack() as locks:
        try:
            locks.enter_context(one_process_at_a_time(lock, _PATIENCE))
        except TimeoutError:
            logger.info("waiting for another process that compiles kernels (%s)", lock.stem)
            if _while_waiting:
                _while_waiting.pop()()
            locks.enter_context(one_process_at_a_time(lock))
        yield
