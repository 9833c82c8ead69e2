"""The checks that tests add to the package find what jaxtyping's own find, in every kind of function."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import jaxtyping
import numpy as np
import pytest
import type_checks
from beartype import beartype
from jaxtyping import Float, TypeCheckError
from type_checks import by_jaxtyping, check

from spdclust.merge import plain
from spdclust.merge.history import GroupMerge
from spdclust.plotting.style import new_figure

Values = Float[np.ndarray, "n"]
THREE, FOUR = np.ones(3), np.ones(4)


def made(decorate):
    """Functions and classes of every kind, each with the same decorator."""

    @decorate
    def add(values: Values, other: Values | None = None, *, number: int = 0) -> Values:
        return values[: len(values) - number] if other is None else values + other[: len(values)]

    @decorate
    def count(text: str, *more: str, **named: int) -> int:
        return len(text) + len(more) + sum(named.values()) if text != "wrong" else None

    @decorate
    def each(values: list[Values]) -> dict[str, "Later"]:
        return {"a": Later()} if values else {"a": 1}

    @contextmanager
    @decorate
    def open_numbers(number: int) -> Iterator[int]:
        yield number

    @decorate
    @dataclass(frozen=True)
    class Pair:
        first: Values
        second: Values
        name: str = "pair"

        @classmethod
        @decorate
        def of(cls, values: Values) -> "Pair":
            return cls(values, values)

        @property
        @decorate
        def length(self) -> int:
            return len(self.first) if self.name == "pair" else None

    @decorate
    def for_nothing(text: str) -> None:
        return text or None

    return add, count, each, open_numbers, Pair, for_nothing


@pytest.fixture(params=["ours", "jaxtyping's"])
def functions(request):
    return made(check if request.param == "ours" else lambda each: by_jaxtyping(each, typechecker=beartype))


def test_right_calls_return_what_they_return(functions):
    add, count, each, open_numbers, pair, for_nothing = functions
    assert add(THREE, THREE).tolist() == [2, 2, 2]
    assert add(values=FOUR).tolist() == [1, 1, 1, 1]  # each call has lengths of its own
    assert count("ab", "c", "d", e=5) == 9
    assert list(each([THREE, THREE])) == ["a"]
    with open_numbers(3) as number:
        assert number == 3
    assert pair(THREE, THREE).length == pair.of(THREE).length == 3
    assert for_nothing("") is None


def test_wrong_arguments_and_results_are_errors(functions):
    add, count, each, open_numbers, pair, for_nothing = functions
    for call in [
        lambda: add([1.0]),
        lambda: add(np.ones((3, 3))),
        lambda: add(np.ones(3, int)),
        lambda: add(THREE, FOUR),  # each alone would be right
        lambda: add(THREE, number=1.0),
        lambda: add(THREE, number=1),  # the result is shorter than the argument
        lambda: count(1),
        lambda: count("a", 1),
        lambda: count("a", b="c"),
        lambda: count("wrong"),
        lambda: each([THREE, THREE, 1]),
        lambda: each([THREE, FOUR]),
        lambda: open_numbers("3").__enter__(),
        lambda: pair(THREE, FOUR),
        lambda: pair(THREE, THREE, 1),
        lambda: pair.of([1.0]),
        lambda: pair(THREE, THREE, "other").length,
        lambda: for_nothing("text"),
    ]:
        with pytest.raises(TypeCheckError):
            for _ in range(50):  # of a list, one item is looked at
                call()


def test_an_error_names_the_argument_and_the_lengths(functions):
    with pytest.raises(TypeCheckError, match=r"(?s)parameter 'other'.*n=3"):
        functions[0](THREE, FOUR)
    with pytest.raises(TypeError, match="values"):
        functions[0]()


def test_a_class_that_is_made_after_the_function_is_checked_too():
    with pytest.raises(TypeCheckError, match="Later"):
        made(check)[2]([])


def adder(number, kind, result=int):
    @check
    def add(values: Values, other: kind = None) -> result:
        return number + len(values) if other != "wrong" else None

    return add


def test_functions_inside_others_share_their_checks_and_keep_their_own_values(monkeypatch):
    monkeypatch.setattr(type_checks, "_MADE", {})
    for number in range(5):
        add = adder(number, int)
        assert add(THREE, 1) == number + 3
        for arguments in ((THREE, "one"), (np.ones((3, 2)), 1)):
            with pytest.raises(TypeCheckError):
                add(*arguments)
    assert len(type_checks._MADE) == 1


def test_other_annotations_are_another_check():
    assert adder(1, int)(THREE, 1) == 4
    assert adder(1, str)(THREE, "one") == 4
    for call in (lambda: adder(1, str)(THREE, 1), lambda: adder(1, str)(THREE, "wrong")):
        with pytest.raises(TypeCheckError):
            call()
    assert adder(1, str, type(None))(THREE, "wrong") is None


def test_the_package_is_checked():
    assert jaxtyping.jaxtyped is check
    assert new_figure.is_checked
    assert GroupMerge.__init__.is_checked
    for call in (
        lambda: new_figure(1, size=3),
        lambda: plain.range_law(np.ones((3, 3)), 0.5),
    ):
        with pytest.raises(TypeCheckError):
            call()


class Later:
    """A class that an annotation names before it is made."""
