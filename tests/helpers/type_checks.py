"""The type checker of tests: beartype, which takes a millisecond to make its check of a function.

Functions that are defined inside another are made, and wrapped, each time it is called. jaxtyping hands over
functions without a body that only have the parameters and annotations of those, so that where these are the
same, the check that was made before does.
"""

from collections.abc import Callable, Hashable

from beartype import beartype

_MADE: dict[Hashable, Callable] = {}


def check_types(function: Callable) -> Callable:
    """Return the function with its arguments and its result checked."""
    if "<locals>" not in getattr(function, "__qualname__", "") or not _without_body(function):
        return beartype(function)
    code = function.__code__
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    key = (
        *(function.__module__, function.__qualname__),
        *(counts, code.co_varnames, code.co_code),
        tuple(function.__annotations__.items()),
    )
    try:
        if key not in _MADE:
            if len(_MADE) >= 1000:  # annotations that are made anew at every call fill it
                _MADE.clear()
            _MADE[key] = beartype(function)
        return _MADE[key]
    except TypeError:  # an annotation without a hash
        return beartype(function)


def _without_body(function: Callable) -> bool:
    """Whether jaxtyping made it, with nothing that differs from call to call."""
    made_here = function.__code__.co_filename == "<string>"
    return made_here and not (function.__closure__ or function.__defaults__ or function.__kwdefaults__)
