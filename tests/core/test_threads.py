"""Work shared by threads: in order, few items at a time, and a failure ends it."""

import itertools
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spdclust.core.threads import one_ahead, run_in_order


@given(n_items=st.integers(0, 20), threads=st.integers(1, 4))
def test_results_come_in_order_and_few_items_exist_at_a_time(n_items, threads):
    made, taken, most = 0, 0, 0

    def items():
        nonlocal made, most
        for item in range(n_items):
            made += 1
            most = max(most, made - taken)
            yield item

    results = []
    for result in run_in_order(lambda item: item * item, items(), threads):
        results.append(result)
        taken += 1
    assert results == [item * item for item in range(n_items)]
    assert most <= threads + 1


@pytest.mark.parametrize("threads", [1, 3])
def test_a_failure_ends_the_work(threads):
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        list(run_in_order(lambda item: 1 // (item - 2), range(100), threads))
    assert threading.active_count() == before


@given(n_items=st.integers(0, 9), threads=st.integers(1, 3))
def test_one_item_is_made_ahead_and_never_two(n_items, threads):
    taken, most = 0, 0

    def items():
        nonlocal most
        for item in range(n_items):
            most = max(most, item - taken)
            yield item

    for item in one_ahead(items(), threads):
        assert item == taken
        taken += 1
    assert taken == n_items
    assert most <= 1


def test_the_next_item_is_made_while_the_last_one_is_used():
    next_made = threading.Event()

    def items():
        yield "used"
        next_made.set()
        yield "next"

    used = one_ahead(items(), threads=2)
    assert next(used) == "used"
    assert next_made.wait(60)
    assert list(used) == ["next"]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_failure_to_make_an_item_reaches_the_caller_after_those_before(threads):
    before = threading.active_count()
    made = one_ahead((1 // (item - 2) for item in itertools.count()), threads)
    assert [next(made), next(made)] == [-1, -1]
    with pytest.raises(ZeroDivisionError):
        next(made)
    assert threading.active_count() == before
