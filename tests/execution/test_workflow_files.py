"""Patterns of names: they match those names and no others."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from spdclust.execution.batch_jobs import one_of

NAMES = st.text("ab~.-+0", max_size=5)


@settings(deadline=None)
@given(st.lists(NAMES, max_size=20), NAMES)
def test_the_names_match_and_no_other_does(names, other):
    pattern = re.compile(one_of(names))
    assert all(pattern.fullmatch(name) for name in names)
    assert bool(pattern.fullmatch(other)) == (other in names)


def test_a_name_that_begins_another_matches_as_well():
    found = re.fullmatch(f"(?P<name>{one_of(['demo', 'demo-1', 'demo-12'])})/x", "demo-1/x")
    assert found
    assert found["name"] == "demo-1"


def test_deep_common_beginnings_are_taken_in():
    names = ["a" * n for n in range(200)]
    pattern = re.compile(one_of(names))
    assert pattern.fullmatch("a" * 199)
    assert not pattern.fullmatch("a" * 200)
