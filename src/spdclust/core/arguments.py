"""Checks for the arguments of public functions: a decorator, and combinators for kinds of values.

A kind is a function `(value, field) -> value`. It returns the value in the form that the checked function
uses (a NumPy integer becomes an `int`, a tensor an array), or raises an `InputError` that names the argument.
The kinds of plain values are in `argument_kinds`.
"""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

import numpy as np

from spdclust.core.errors import InputError

Kind = Callable[[Any, str], Any]
P = ParamSpec("P")
R = TypeVar("R")


def checked(**kinds: Kind) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Check the arguments of a function before calling it; defaults are not checked.

    Example:
        >>> from spdclust.core.argument_kinds import whole
        >>> @checked(times=whole(at_least=1))
        ... def repeat(text, times=1):
        ...     return text * times
        >>> repeat("ab", np.int64(2))
        'abab'
        >>> repeat("ab", times=0)
        Traceback (most recent call last):
        ...
        spdclust.InputError: times: out of range (found: 0; allowed: 1 or more)

    Args:
        kinds: kinds of the arguments, by name; other arguments are not checked.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            bound = signature.bind(*args, **kwargs)
            for name, kind in kinds.items():
                if name in bound.arguments:
                    bound.arguments[name] = kind(bound.arguments[name], name)
            return function(*bound.args, **bound.kwargs)

        return call

    return decorate


def check_fields(record: Any, **kinds: Kind) -> None:
    """Check the fields of a frozen dataclass; to be called from its `__post_init__`.

    Example:
        >>> from dataclasses import dataclass
        >>> from spdclust.core.argument_kinds import whole
        >>> @dataclass(frozen=True)
        ... class Count:
        ...     n: int
        ...     def __post_init__(self):
        ...         check_fields(self, n=whole())
        >>> Count("many")
        Traceback (most recent call last):
        ...
        spdclust.InputError: n: not a whole number (found: many; allowed: a whole number)
    """
    for name, kind in kinds.items():
        object.__setattr__(record, name, kind(getattr(record, name), name))


def instance(*types: type, allowed: str) -> Kind:
    """Return the kind of objects of given types.

    Example:
        >>> instance(dict, allowed="a mapping")(3, "provenance")
        Traceback (most recent call last):
        ...
        spdclust.InputError: provenance: not of the right type (found: 3; allowed: a mapping)
    """

    def kind(value: Any, field: str) -> Any:
        if not isinstance(value, types):
            raise InputError("not of the right type", field=field, found=shown(value), allowed=allowed)
        return value

    return kind


def function(value: Any, field: str) -> Any:
    """Return a function.

    Example:
        >>> function(len, "callback") is len
        True

    Raises:
        InputError: the value is not callable.
    """
    if not callable(value):
        raise InputError("not a function", field=field, found=shown(value), allowed="a function")
    return value


def optional(kind: Kind) -> Kind:
    """Return a kind that also accepts None.

    Example:
        >>> from spdclust.core.argument_kinds import whole
        >>> optional(whole())(None, "threads") is None
        True
    """
    return lambda value, field: None if value is None else kind(value, field)


def either(first: Kind, second: Kind) -> Kind:
    """Return the union of two kinds; errors are those of the second.

    Example:
        >>> from spdclust.core.argument_kinds import whole
        >>> either(function, whole(at_least=1))(20, "callback_at")
        20
    """

    def kind(value: Any, field: str) -> Any:
        with contextlib.suppress(InputError):
            return first(value, field)
        return second(value, field)

    return kind


def several(kind: Kind, allowed: str) -> Kind:
    """Return the kind of iterables of a kind, excluding a single string; values are converted to a list.

    Example:
        >>> from spdclust.core.argument_kinds import text
        >>> several(text(), allowed="a list of names")(("a", "b"), "devices")
        ['a', 'b']
    """

    def kind_of_all(value: Any, field: str) -> list[Any]:
        if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
            raise InputError("not of the right type", field=field, found=shown(value), allowed=allowed)
        try:
            found = list(value)
        except TypeError:  # zero-dimensional arrays
            raise InputError(
                "not of the right type", field=field, found=shown(value), allowed=allowed
            ) from None
        return [kind(each, f"{field}[{position}]") for position, each in enumerate(found)]

    return kind_of_all


def shown(value: Any) -> Any:
    """Return the form of a value in error messages: plain values unchanged, otherwise the type.

    Example:
        >>> shown(3), shown(np.eye(2))
        (3, 'a ndarray')
    """
    if isinstance(value, np.generic):
        return repr(value)
    plain = (str, bytes, int, float, complex, list, tuple, dict, type(None))
    if value is None:
        return "None"
    return value if type(value) in plain else f"a {type(value).__name__}"
