"""Which exceptions are reported as errors in the file that is read."""

import pytest

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import as_input_error


@pytest.mark.parametrize(
    "error",
    # the last one: a model configuration that asks for a package which its library cannot use
    [ValueError("x"), KeyError("x"), TypeError("x"), AttributeError("x"), AssertionError(), ImportError("x")],
)
def test_what_libraries_raise_for_damaged_files_is_an_error_in_the_file(error):
    found = pytest.raises(InputError, match=r"a\.zip: not readable \(found: .*; allowed: b\)")
    with found, as_input_error("not readable", "a.zip", "b"):
        raise error


@pytest.mark.parametrize("error", [NameError("x"), UnboundLocalError("x")])
def test_what_no_file_can_cause_is_raised_as_it_is(error):
    with pytest.raises(type(error)) as caught, as_input_error("not readable", "a.zip", "b"):
        raise error
    assert caught.value is error


def test_a_missing_package_is_named():
    found = pytest.raises(
        InputError, match=r"a\.zip: a package is not installed \(found: no pyarrow; allowed"
    )
    with found, as_input_error("not readable", "a.zip", "b"):
        raise ModuleNotFoundError("No module named 'pyarrow'", name="pyarrow")
