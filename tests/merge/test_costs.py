"""The plain formulas: the cost of a pair is exactly what merging it changes."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from merging import random_dense

from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError
from spdclust.merge.activations import ProcessedActivations
from spdclust.merge.costs import (
    _group_activations,
    compute_mdl_cost,
    compute_merge_costs,
    recompute_coacts_from_scratch,
    relative_costs,
)
from spdclust.merge.merging import merge_iteration


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    n_samples=st.integers(1, 40),
    n_groups=st.integers(2, 7),
    alpha=st.sampled_from([0.0, 0.1, 1.0, 10.0]),
)
def test_cost_is_description_length_after_minus_before(seed, n_samples, n_groups, alpha) -> None:
    rng = np.random.default_rng(seed)
    n_components = n_groups + int(rng.integers(5))
    dense = random_dense(seed, n_samples, n_components)
    groups = np.concatenate([np.arange(n_groups), rng.integers(n_groups, size=n_components - n_groups)])
    coact, ranks = recompute_coacts_from_scratch(dense, groups, 0.5), np.bincount(groups)
    costs = compute_merge_costs(coact / n_samples, ranks, alpha)
    before = compute_mdl_cost(np.diag(coact), ranks, alpha)
    for i in range(n_groups):
        for j in range(i + 1, n_groups):
            merged = np.where(groups == j, i, groups)
            merged -= merged > j
            active = _group_activations(dense, merged, 0.5).sum(axis=0)
            change = compute_mdl_cost(active, np.bincount(merged), alpha) - before
            assert costs[i, j] * n_samples == pytest.approx(change, abs=1e-9 * max(1, abs(before)))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), alpha=st.floats(0, 20))
def test_relative_cost_differs_from_the_cost_by_the_same_for_all_pairs(seed, alpha) -> None:
    coact = recompute_coacts_from_scratch(random_dense(seed, 30, 6), np.arange(6), 0.5)
    ranks = np.random.default_rng(seed).integers(1, 9, 6)
    difference = compute_merge_costs(coact, ranks, alpha) - relative_costs(coact, ranks, alpha)
    off_diagonal = difference[~np.eye(6, dtype=bool)]
    assert off_diagonal == pytest.approx(np.trace(coact) * np.log2(5 / 6), abs=1e-7)


@settings(deadline=None, max_examples=60)
@given(
    activity=st.integers(1, 10**7),
    ranks=st.tuples(*[st.integers(1, 40_000)] * 2),
    alpha=st.floats(0, 100),
    data=st.data(),
)
def test_pairs_equal_in_exact_arithmetic_tie_exactly_whatever_their_orientation(
    activity, ranks, alpha, data
) -> None:
    c = data.draw(st.integers(0, activity))
    other = data.draw(st.integers(c, 10**7))
    s, r = [activity, other, other, activity], [ranks[0], ranks[1], ranks[1], ranks[0]]
    coact = np.diag(s).astype(float)
    coact[0, 1] = coact[1, 0] = coact[2, 3] = coact[3, 2] = c
    costs = relative_costs(coact, r, alpha)
    assert costs[0, 1] == costs[1, 0] == costs[2, 3] == costs[3, 2]


def test_different_tuples_that_cost_the_same_tie_exactly() -> None:
    # (s_i − c)·r_j + (s_j − c)·r_i is 6 for both pairs, with the same coactivation
    coact = np.array([[5.0, 2, 0, 0], [2, 5, 0, 0], [0, 0, 4, 2], [0, 0, 2, 3]])
    costs = relative_costs(coact, [1, 1, 2, 2], alpha=0.1)
    assert costs[0, 1] == costs[2, 3]


def test_masked_groups_cost_nan_and_leave_other_differences_alone() -> None:
    coact = recompute_coacts_from_scratch(random_dense(3, 50, 5), np.arange(5), 0.5)
    masked = coact.copy()
    masked[2], masked[:, 2] = np.nan, np.nan
    costs, all_costs = (
        compute_merge_costs(masked, np.ones(5), 1.0),
        compute_merge_costs(coact, np.ones(5), 1.0),
    )
    assert np.isnan(costs[2]).all()
    assert np.isnan(costs[:, 2]).all()
    rest = np.ix_([0, 1, 3, 4], [0, 1, 3, 4])
    assert np.ptp((costs - all_costs)[rest]) < 1e-9


def test_one_group_has_no_pair_and_no_group_no_description() -> None:
    assert np.isnan(compute_merge_costs([[3.0]], [1], 1.0)).all()
    assert np.isnan(relative_costs([[3.0]], [1], 1.0)).all()
    assert compute_mdl_cost([], [], 1.0) == 0.0
    assert np.isnan(compute_mdl_cost([np.nan, 1.0], [1, 1], 1.0))


def test_torch_tensors_are_taken_too() -> None:
    coact = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
    assert compute_merge_costs(coact, torch.ones(2), 1.0).tolist() == (
        compute_merge_costs(coact.numpy(), np.ones(2), 1.0).tolist()
    )
    assert recompute_coacts_from_scratch(torch.eye(2), np.arange(2), None).tolist() == [[1, 0], [0, 1]]


def test_the_threshold_is_compared_in_the_precision_of_the_activations() -> None:
    dense = np.full((1, 1), 0.01, dtype=np.float32)  # a little below 0.01 in float64
    assert recompute_coacts_from_scratch(dense, np.array([0]), 0.01)[0, 0] == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: compute_merge_costs(np.ones((2, 3)), [1, 1], 1.0),
            "coact: coactivations must be square (found: (2, 3); allowed: (groups, groups))",
        ),
        (
            lambda: relative_costs(np.eye(2), [1], 1.0),
            "ranks: one rank per group is needed (found: (1,); allowed: (2,))",
        ),
        (
            lambda: compute_merge_costs(np.eye(2), [1, 1], -1.0),
            "alpha: out of range (found: -1.0; allowed: 0 or more)",
        ),
        (
            lambda: compute_mdl_cost([1.0, 2.0], [1], 1.0),
            "ranks: one rank per group is needed (found: (1,); allowed: the shape of activities, (2,))",
        ),
    ],
)
def test_shapes_that_do_not_fit_are_refused(call, message) -> None:
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value) == message


@pytest.mark.parametrize("scale", [1.0, 1e6, 1e12, 1e20])
def test_one_huge_component_costs_the_description_length_no_digits(scale) -> None:
    """Sums of squares of 1e40 go when its first merge puts plain sums in their place."""
    dense = np.random.default_rng(3).random((40, 9))
    dense[:, 4] *= scale
    acts = ProcessedActivations.from_dense(dense, [f"m:{i}" for i in range(9)])
    settings = {"threshold": 1.0}
    config = MergeConfig(
        activation_threshold=None, iters=None, min_groups=1, merge_pair_sampling_kwargs=settings
    )
    history = merge_iteration(acts, config, seed=2)
    for iteration in range(history.n_iterations):
        groups = history.at(iteration)
        terms = []
        for group, size in enumerate(groups.sizes().tolist()):
            of_group = dense[:, groups.group_idxs == group]
            # a group of several counts with its plain sum, see docs/merge-math.md
            activity = math.fsum((of_group**2 if size == 1 else of_group).ravel())
            terms.append(activity * (math.log2(groups.k_groups) + size))
        assert history.mdl_loss[iteration] == pytest.approx(math.fsum(terms) / 40, rel=1e-11)
