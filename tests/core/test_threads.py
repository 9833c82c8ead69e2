"""Work shared by threads: in order, few items at a time, and a failure ends it."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spdclust.core.threads import run_in_order


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
