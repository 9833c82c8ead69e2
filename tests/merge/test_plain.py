"""The dense samplers draw from their laws, and a wrong law is told apart."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from merging import chi_square, chi_square_limit

from spdclust.core.errors import InputError
from spdclust.merge.plain import LAWS, draw_pair, exp_rank_law, mcmc_law, pairs_with_costs, range_candidates

ARGUMENTS = {"range": 0.4, "mcmc": 1.5, "exp_rank": 0.3}


def symmetric(seed: int, k: int, n_levels: int = 9) -> np.ndarray:
    matrix = np.random.default_rng(seed).integers(-n_levels, n_levels, (k, k)).astype(float)
    return np.triu(matrix, 1) + np.triu(matrix, 1).T


@pytest.mark.parametrize("method", sorted(LAWS))
def test_draws_follow_the_law_and_not_one_a_little_different(method) -> None:
    costs, argument, rng = symmetric(1, 6), ARGUMENTS[method], np.random.default_rng(7)
    pairs, values = pairs_with_costs(costs)
    number = {tuple(pair): n for n, pair in enumerate(pairs.tolist())}
    counts = np.zeros(len(pairs))
    for _ in range(4000):
        counts[number[draw_pair(costs, LAWS[method], argument, rng)]] += 1
    statistic, degrees = chi_square(counts, LAWS[method](values, argument))
    assert statistic < chi_square_limit(degrees)
    wrong = LAWS[method](values, argument * {"range": 1.4, "mcmc": 1.25, "exp_rank": 1.2}[method])
    statistic, degrees = chi_square(counts, 0.999 * wrong + 0.001 / len(wrong))
    assert statistic > chi_square_limit(degrees)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), k=st.integers(2, 8), decay=st.floats(0, 3))
def test_ranks_of_tied_pairs_are_shared_evenly(seed, k, decay) -> None:
    values = pairs_with_costs(symmetric(seed, k, 3))[1]
    law = exp_rank_law(values, decay)
    by_rank = np.exp(-decay * np.arange(len(values)))
    assert law.sum() == pytest.approx(1)
    for level in np.unique(values):
        tied = values == level
        first = int((values < level).sum())
        share = by_rank[first : first + tied.sum()].mean() / by_rank.sum()
        assert law[tied] == pytest.approx(share)


@settings(deadline=None, max_examples=60)
@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), threshold=st.floats(0, 1))
def test_candidates_hold_the_best_pair_and_at_one_all_pairs(values, threshold) -> None:
    costs = np.array(values)
    assert range_candidates(costs, threshold)[costs.argmin()]
    assert range_candidates(costs, 1.0).all()
    assert (costs[range_candidates(costs, 0.0)] == costs.min()).all()


@pytest.mark.parametrize("method", sorted(LAWS))
def test_masked_pairs_are_never_drawn(method) -> None:
    costs = symmetric(2, 5)
    costs[1], costs[:, 1] = np.nan, np.nan
    rng = np.random.default_rng(0)
    drawn = {draw_pair(costs, LAWS[method], ARGUMENTS[method], rng) for _ in range(300)}
    assert all(1 not in pair for pair in drawn)
    assert all(i < j for i, j in drawn)


@pytest.mark.parametrize("method", sorted(LAWS))
def test_all_pairs_masked_is_refused(method) -> None:
    with pytest.raises(InputError) as caught:
        draw_pair(np.full((3, 3), np.nan), LAWS[method], ARGUMENTS[method], np.random.default_rng(0))
    assert str(caught.value) == (
        "costs: no pair of groups can be merged: every pair cost is NaN "
        "(found: 3 groups, 3 pairs; allowed: at least one pair with a cost)"
    )


@pytest.mark.parametrize(
    ("method", "argument", "message"),
    [
        ("range", 1.5, "threshold: threshold is out of range (found: 1.5; allowed: 0 to 1)"),
        ("mcmc", 0.0, "temperature: temperature is out of range (found: 0.0; allowed: above 0)"),
        ("exp_rank", -1.0, "decay: decay is negative (found: -1.0; allowed: 0 or more)"),
    ],
)
def test_arguments_out_of_range_are_refused(method, argument, message) -> None:
    with pytest.raises(InputError) as caught:
        draw_pair(symmetric(0, 3), LAWS[method], argument, np.random.default_rng(0))
    assert str(caught.value) == message


def test_a_cost_matrix_that_is_not_square_is_refused() -> None:
    with pytest.raises(InputError, match=r"costs must be square \(found: \(2, 3\)"):
        pairs_with_costs(np.zeros((2, 3)))


def test_torch_tensors_are_taken_too() -> None:
    pairs, values = pairs_with_costs(torch.tensor([[0.0, 2.0], [2.0, 0.0]], requires_grad=True))
    assert pairs.tolist() == [[0, 1]]
    assert values.tolist() == [2.0]


def test_decay_zero_is_the_uniform_law() -> None:
    assert exp_rank_law(np.array([3.0, 1.0, 2.0]), 0.0) == pytest.approx(np.full(3, 1 / 3))


def test_a_temperature_near_zero_does_not_overflow() -> None:
    assert mcmc_law(np.array([-1e6, 0.0, 1e6]), 1e-3).tolist() == [1.0, 0.0, 0.0]
