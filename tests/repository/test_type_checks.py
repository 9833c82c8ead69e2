"""The type checker of tests: what it makes once is right for every function of that kind, and for no other."""

import numpy as np
import pytest
from jaxtyping import Float, TypeCheckError, jaxtyped
from type_checks import _MADE, check_types

Values = Float[np.ndarray, "n"]


def adder(number, kind, result=int):
    @jaxtyped(typechecker=check_types)
    def add(values: Values, other: kind) -> result:
        return number + len(values) if other != "wrong" else None

    return add


def test_functions_inside_others_are_checked_at_every_call_and_keep_their_own_values():
    before = len(_MADE)
    for number in range(5):
        add = adder(number, int)
        assert add(np.ones(3), 1) == number + 3
        with pytest.raises(TypeCheckError):
            add(np.ones(3), "one")
        with pytest.raises(TypeCheckError):
            add(np.ones((3, 2)), 1)
    assert len(_MADE) == before + 2  # for the arguments, and for the result


def test_other_annotations_are_another_check():
    assert adder(1, int)(np.ones(3), 1) == 4
    assert adder(1, str)(np.ones(3), "one") == 4
    for call in (lambda: adder(1, str)(np.ones(3), 1), lambda: adder(1, str)(np.ones(3), "wrong")):
        with pytest.raises(TypeCheckError):
            call()
    assert adder(1, str, type(None))(np.ones(3), "wrong") is None
