"""The checks of shapes and types that tests add to every function of the package, made when one is first called.

jaxtyping's import hook decorates each function with `jaxtyping.jaxtyped`. That makes the checks of all 2,000 in
every process of a test run, milliseconds each, and binds the arguments to the signature at every call. The
decorator here finds the same errors: in the arguments before the call, in the result after it, and in axes of one
name that differ in length. Functions that are defined inside another share the checks of the same code.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Hashable, Mapping
from types import FunctionType
from typing import Any, NamedTuple, get_args, get_type_hints

import jaxtyping
from beartype import beartype
from beartype.roar import BeartypeCallHintViolation

by_jaxtyping = jaxtyping.jaxtyped


class Checks(NamedTuple):
    """Called with the arguments of a function, and with its result."""

    arguments: Callable[..., None]
    result: Callable[[Any], None]
    has_axes: bool
    """Whether lengths of axes are compared."""


_MADE: dict[Hashable, Checks] = {}


def install() -> None:
    """Let jaxtyping's import hook use the decorator of this module."""
    jaxtyping.jaxtyped = check


def check(decorated: Any = None, *, typechecker: Any = None) -> Any:
    """Check a function at every call, or a dataclass when it is made; beartype checks, whatever `typechecker` is."""
    if decorated is None:
        return check
    if not inspect.isclass(decorated):
        return _checked(decorated)
    if dataclasses.is_dataclass(decorated) and not hasattr(decorated.__init__, "is_checked"):
        decorated.__init__ = _checked(decorated.__init__)
    return decorated


def _checked(function: FunctionType) -> Callable:
    checks: Checks | None = None

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal checks
        if checks is None:
            checks = _checks(function)
        if not checks.has_axes:
            return _call(function, checks, args, kwargs)
        with by_jaxtyping("context"):
            return _call(function, checks, args, kwargs)

    call.is_checked = True  # type: ignore[attr-defined]
    return call


def _call(function: Callable, checks: Checks, args: tuple, kwargs: dict[str, Any]) -> Any:
    try:
        checks.arguments(*args, **kwargs)
    except BeartypeCallHintViolation as error:
        _raise_as_jaxtyping(function, None, args, kwargs)
        raise jaxtyping.TypeCheckError(str(error)) from error
    result = function(*args, **kwargs)
    try:
        if checks.has_axes:  # of a list one item is checked, now perhaps another
            checks.arguments(*args, **kwargs)
        checks.result(result)
    except BeartypeCallHintViolation as error:
        _raise_as_jaxtyping(function, result, args, kwargs)
        raise jaxtyping.TypeCheckError(str(error)) from error
    return result


def _raise_as_jaxtyping(function: Callable, result: Any, args: tuple, kwargs: dict[str, Any]) -> None:
    """Raise the error of jaxtyping, which names the argument and the lengths of all axes.

    It finds none if the annotation names a class that was made later.
    """
    returns = functools.wraps(function)(lambda *_, **__: result)
    by_jaxtyping(returns, typechecker=beartype)(*args, **kwargs)


def _checks(function: FunctionType) -> Checks:
    if "<locals>" not in function.__qualname__:
        return _make(function)
    key = (function.__code__, tuple(function.__annotations__.items()))
    try:
        if key not in _MADE:
            if len(_MADE) >= 1000:  # annotations that are made anew at every call fill it
                _MADE.clear()
            _MADE[key] = _make(function)
        return _MADE[key]
    except TypeError:  # an annotation without a hash
        return _make(function)


def _make(function: FunctionType) -> Checks:
    hints = {name: _hint(each, function.__globals__) for name, each in function.__annotations__.items()}
    result = hints.pop("return", Any)
    parameters = inspect.signature(function).parameters.values()
    arguments = _without_body(function, [each.replace(annotation=each.empty) for each in parameters], hints)
    arguments.__defaults__, arguments.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
    returned = inspect.Parameter("result", inspect.Parameter.POSITIONAL_ONLY)
    return Checks(
        beartype(arguments),
        beartype(_without_body(function, [returned], {"result": result})),
        any(map(_has_axes, (*hints.values(), result))),
    )


class _Default:
    """Stands for any default in the text of a signature."""

    def __repr__(self) -> str:
        return "None"


def _without_body(
    function: FunctionType, parameters: list[inspect.Parameter], hints: Mapping[str, Any]
) -> FunctionType:
    shown = [each if each.default is each.empty else each.replace(default=_Default()) for each in parameters]
    scope: dict[str, Any] = {}
    exec(f"def {function.__name__}{inspect.Signature(shown)}: pass", scope)
    made = scope[function.__name__]
    made.__module__, made.__qualname__, made.__annotations__ = (
        function.__module__,
        function.__qualname__,
        dict(hints),
    )
    return made


def _hint(annotation: Any, names: dict[str, Any]) -> Any:
    """Return an annotation with its texts resolved; `Any` where a name is known to type checkers only."""

    def annotated(value: annotation) -> None: ...

    try:
        return get_type_hints(annotated, names, include_extras=True)["value"]
    except Exception:
        return Any


def _has_axes(hint: Any) -> bool:
    """Whether a hint is an array with named axes, or contains one, as jaxtyping makes them."""
    if inspect.isclass(hint) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return any(map(_has_axes, hint if isinstance(hint, list) else get_args(hint)))
