"""The division of the pairs of runs among jobs, and the matrices of their distances."""

from itertools import combinations
from math import comb, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spdclust.core.errors import InputError
from spdclust.partitions.trajectory import divide_pairs, iteration_rows, symmetric_rows


@given(st.integers(2, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, comb(n, 2)))))
def test_every_pair_is_in_one_part_and_parts_are_equal(n_runs_and_parts):
    n_runs, n_parts = n_runs_and_parts
    parts = divide_pairs(n_runs, n_parts)
    assert len(parts) == n_parts
    assert sorted(map(tuple, np.concatenate(parts).tolist())) == list(combinations(range(n_runs), 2))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("n_runs", "n_parts"), [(100, 4), (100, 33), (300, 50), (1000, 100)])
def test_a_part_uses_few_runs(n_runs, n_parts):
    used = [len(np.unique(part)) for part in divide_pairs(n_runs, n_parts)]
    n_pairs = comb(n_runs, 2) / n_parts
    assert max(used) <= 3.1 * sqrt(n_pairs)
    assert np.mean(used) <= 2.2 * sqrt(n_pairs)  # 2 for squares


@pytest.mark.parametrize("n_parts", [0, 4])
def test_more_parts_than_pairs(n_parts):
    with pytest.raises(InputError, match=rf"n_parts: .* \(found: {n_parts}; allowed: 1 to 3\)"):
        divide_pairs(3, n_parts)


@given(st.integers(2, 9), st.integers(1, 200), st.data())
def test_rows_of_all_pairs_become_symmetric_matrices(n_runs, n_iterations, data):
    n_parts = data.draw(st.integers(1, comb(n_runs, 2)))
    pairs = np.concatenate(divide_pairs(n_runs, n_parts))
    distances = np.random.default_rng(0).random((len(pairs), n_iterations))
    matrices = [matrix.copy() for matrix in symmetric_rows(iteration_rows(distances), n_runs, pairs)]
    assert len(matrices) == n_iterations
    expected = np.zeros((n_iterations, n_runs, n_runs))
    for (first, second), values in zip(pairs, distances, strict=True):
        expected[:, first, second] = expected[:, second, first] = values
    np.testing.assert_array_equal(matrices, expected)
