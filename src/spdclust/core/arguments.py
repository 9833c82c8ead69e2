"""Checks for the arguments of public functions: a decorator, and combinators for kinds of values.

A kind is a function `(value, field) -> value`. It returns the value in the form that the checked function
uses (a NumPy integer becomes an `int`, a tensor an array), or raises an `InputError` that names the argument.
"""

import contextlib
import functools
import inspect
import math
import operator
import os
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
        >>> from spdclust.core.arguments import whole
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
        >>> from spdclust.core.arguments import whole
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
        >>> from spdclust.core.arguments import whole
        >>> optional(whole())(None, "threads") is None
        True
    """
    return lambda value, field: None if value is None else kind(value, field)


def either(first: Kind, second: Kind) -> Kind:
    """Return the union of two kinds; errors are those of the second.

    Example:
        >>> from spdclust.core.arguments import whole
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
        >>> from spdclust.core.arguments import text
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


LARGEST = 2**53 - 1
"""The largest accepted count; JSON and floats represent it exactly."""


def whole(at_least: int = -LARGEST, at_most: int = LARGEST) -> Kind:
    """Return the kind of integers within limits, including NumPy integers but not booleans.

    Example:
        >>> whole()(np.uint8(3), "n")
        3
    """
    allowed = f"{at_least} to {at_most}"
    if at_most == LARGEST:
        allowed = "a whole number" if at_least == -LARGEST else f"{at_least} or more"

    def kind(value: Any, field: str) -> int:
        number = None
        with contextlib.suppress(TypeError, ValueError, RuntimeError):  # the last two: tensors
            number = None if isinstance(value, bool) else operator.index(value)
        if number is None:
            raise InputError("not a whole number", field=field, found=shown(value), allowed=allowed)
        if not at_least <= number <= at_most:
            raise InputError("out of range", field=field, found=number, allowed=allowed)
        return number

    return kind


def real(at_least: float = -math.inf, *, infinite: bool = False) -> Kind:
    """Return the kind of real numbers, including NumPy numbers but not NaN.

    Example:
        >>> real(at_least=0.0)(np.float32(0.5), "alpha")
        0.5
    """
    allowed = "a finite number" if at_least == -math.inf else f"{at_least:g} or more"

    def kind(value: Any, field: str) -> float:
        if not isinstance(value, (int, float, np.integer, np.floating)) or isinstance(value, bool):
            raise InputError("not a number", field=field, found=shown(value), allowed=allowed)
        with contextlib.suppress(OverflowError):  # an int too large for a float
            number = float(value)
            if number >= at_least and (infinite or math.isfinite(number)):
                return number
        raise InputError("out of range", field=field, found=value, allowed=allowed)

    return kind


def seed_number(value: Any, field: str) -> int | tuple[int, ...]:
    """Return a seed: one or several integers of at least 0.

    Example:
        >>> seed_number(np.int64(3), "seed"), seed_number([0, 1], "seed")
        (3, (0, 1))

    Raises:
        InputError: the value is not a seed.
    """
    several = isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim == 1)
    with contextlib.suppress(InputError):
        if not several:
            return int(whole(0, 2**128 - 1)(value, field))
        if len(value):
            return tuple(whole(0, 2**128 - 1)(each, field) for each in value)
    raise InputError(
        "not a seed", field=field, found=shown(value), allowed="0 or more, or a tuple of such numbers"
    )


def truth(value: Any, field: str) -> bool:
    """Return a boolean.

    Example:
        >>> truth(np.True_, "progress")
        True

    Raises:
        InputError: the value is not a boolean.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise InputError("not a truth value", field=field, found=shown(value), allowed="True or False")
    return bool(value)


def text(*choices: str) -> Kind:
    """Return the kind of strings: any non-empty one, or one of the given choices.

    Example:
        >>> text("iteration", "n_groups")("iteration", "align")
        'iteration'
    """

    def kind(value: Any, field: str) -> str:
        if not isinstance(value, str) or not value or (choices and value not in choices):
            raise InputError(
                "not allowed", field=field, found=shown(value), allowed=", ".join(choices) or "a text"
            )
        return str(value)

    return kind


def texts(value: Any, field: str) -> list[str]:
    """Return a list of strings, such as labels or names.

    Example:
        >>> texts(np.array(["m:0", "m:1"]), "labels")
        ['m:0', 'm:1']

    Raises:
        InputError: the value is not a list of strings, or one of them cannot be encoded as UTF-8.
    """
    found: list[str] = several(_text_of_any_length, "a list of texts")(value, field)
    return found


def _text_of_any_length(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise InputError("not a text", field=field, found=shown(value), allowed="a text")
    try:
        value.encode()
    except UnicodeEncodeError:  # an unpaired surrogate
        raise InputError(
            "cannot be written as UTF-8", field=field, found=ascii(value), allowed="whole characters"
        ) from None
    return str(value)


def text_mapping(value: Any, field: str) -> dict[str, str]:
    """Return a mapping of strings to strings as a dictionary.

    Example:
        >>> text_mapping({"source": "a.npy"}, "provenance")
        {'source': 'a.npy'}

    Raises:
        InputError: the value is not a mapping of strings to strings.
    """
    if not isinstance(value, Mapping):
        raise InputError(
            "not a mapping", field=field, found=shown(value), allowed="a mapping of texts to texts"
        )
    texts(list(value), field)
    return {key: _text_of_any_length(each, f"{field}.{key}") for key, each in value.items()}


def file_path(value: Any, field: str) -> Any:
    """Return a path unchanged.

    Example:
        >>> file_path("results", "folder")
        'results'

    Raises:
        InputError: the value is not a path, or not valid in a file system.
    """
    if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str):
        raise InputError("not a path", field=field, found=shown(value), allowed="a text or a Path")
    if not os.fspath(value) or "\0" in os.fspath(value):
        raise InputError("not a path", field=field, found=repr(os.fspath(value)), allowed="a usable name")
    return value


def dense_array(n_axes: int, kinds: str = "biuf", *, axes: str) -> Kind:
    """Return the kind of dense arrays; PyTorch tensors and nested lists become NumPy arrays.

    Example:
        >>> dense_array(1, axes="(groups,)")([1, 2], "ranks")
        array([1, 2])
        >>> dense_array(1, axes="(groups,)")(["a"], "ranks")
        Traceback (most recent call last):
        ...
        spdclust.InputError: ranks: not an array of numbers (found: <U1 (1,); allowed: (groups,))

    Args:
        n_axes: number of axes.
        kinds: letters of the allowed `numpy.dtype.kind`.
        axes: description of the shape in the error message.
    """

    def kind(value: Any, field: str) -> np.ndarray:
        found = _dense(value, field, axes)
        if found.dtype.kind not in kinds or found.ndim != n_axes:
            problem = "wrong number of axes" if found.dtype.kind in kinds else "not an array of numbers"
            raise InputError(problem, field=field, found=f"{found.dtype} {found.shape}", allowed=axes)
        return found

    return kind


def rows(value: Any, field: str) -> Any:
    """Return rows of model inputs: a dense tensor unchanged, anything else as an array of numbers.

    Example:
        >>> rows([[1, 0]], "inputs")
        array([[1, 0]])

    Raises:
        InputError: the value is neither a dense tensor nor convertible to an array of numbers.
    """
    axes = "(rows, …) of numbers"
    found = _dense(value, field, axes)
    if found.ndim == 0 or found.dtype.kind not in "biuf":
        raise InputError("not rows", field=field, found=f"{found.dtype} {found.shape}", allowed=axes)
    return value if hasattr(value, "detach") else found


def _dense(value: Any, field: str, axes: str) -> np.ndarray:
    if hasattr(value, "detach"):  # a torch tensor, without importing torch here
        if str(getattr(value, "layout", "")) != "torch.strided":
            raise InputError(
                "a sparse tensor", field=field, found=str(value.layout), allowed=f"dense, {axes}: .to_dense()"
            )
        tensor = value.detach().cpu()
        value = (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    elif hasattr(value, "tocsr"):  # without importing scipy here
        raise InputError("a sparse matrix", field=field, found=shown(value), allowed=f"dense, {axes}")
    try:
        return np.asarray(value)
    except (TypeError, ValueError):  # lists of different lengths
        raise InputError("not an array", field=field, found=shown(value), allowed=axes) from None
