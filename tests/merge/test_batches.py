"""Several batches: they take turns, the grouping goes on, masked groups wait."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from merging import activations, config, random_dense

from spdclust.core.errors import InputError
from spdclust.merge import sources as stretches_of
from spdclust.merge.costs import compute_mdl_cost, recompute_coacts_from_scratch, relative_costs
from spdclust.merge.merging import merge_iteration
from spdclust.merge.plain import merge_plainly
from spdclust.merge.sources import BatchesInMemory, BatchSource, as_batch_source, count_samples


def batches(seed: int, n_batches: int, n_components: int, scalar: bool = False, n_samples: int = 80) -> list:
    """Batches whose figures leave few ties: their sizes differ."""
    return [
        activations(random_dense(seed + 1000 * b, n_samples + 7 * b, n_components, scalar))
        for b in range(n_batches)
    ]


class CountingSource:
    """Hands out batches and remembers how."""

    def __init__(self, acts: list) -> None:
        self._inner = BatchesInMemory(acts)
        self.labels, self.n_batches = self._inner.labels, self._inner.n_batches
        self.taken = 0

    def get_next_batch(self):
        self.taken += 1
        return self._inner.get_next_batch()

    def component_stats(self):
        return self._inner.component_stats()


def test_a_merge_begins_with_batch_0_whatever_the_source_served_before():
    acts = batches(3, 3, 24)
    source = BatchesInMemory(acts)
    for every in (1, 2):
        chosen = config(recompute_costs_every=every, activation_threshold=0.5, iters=11)
        for seed in range(3):
            source.get_next_batch()
            found, expected = merge_iteration(source, chosen, seed), merge_iteration(acts, chosen, seed)
            assert found.mdl_loss.tolist() == expected.mdl_loss.tolist()


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    every=st.integers(2, 6),
    n_batches=st.integers(1, 4),
    between=st.sampled_from(["update", "mask"]),
    scalar=st.booleans(),
)
def test_every_merge_is_the_best_one_on_the_batch_in_hand(seed, every, n_batches, between, scalar) -> None:
    acts = batches(seed, n_batches, 24, scalar)
    chosen = config(
        recompute_costs_every=every,
        between_batches=between,
        activation_threshold=None if scalar else 0.5,
        iters=12,
    )
    check_against_each_batch(acts, merge_iteration(acts, chosen, seed), every, between, scalar)


def check_against_each_batch(acts, history, every, between, scalar) -> None:
    """Every pair taken is one of the best on the batch in hand, and the figures are the batch's."""
    groups, masked = np.arange(24), set()
    threshold = None if scalar else 0.5
    diagonal = None
    for t, (i, j) in enumerate(history.selected_pairs.tolist()):
        batch = acts[(t // every) % len(acts)].matrix.toarray()
        coact = recompute_coacts_from_scratch(batch, groups, threshold)
        if t % every == 0:
            masked, diagonal = set(), None
        if scalar and diagonal is not None:
            np.fill_diagonal(coact, diagonal)
        costs = relative_costs(coact, np.bincount(groups), 1.0)
        costs[np.tril_indices(len(costs))] = np.inf
        for group in masked:
            costs[group], costs[:, group] = np.inf, np.inf
        assert costs[i, j] == pytest.approx(costs.min(), abs=1e-9 * max(1.0, abs(costs[i, j])))
        diagonal = np.delete(np.diag(coact), j)
        groups = np.where(groups == j, i, groups)
        groups = groups - (groups > j)
        merged = recompute_coacts_from_scratch(batch, groups, threshold)
        diagonal[i] = batch[:, groups == i].astype(float).sum() if scalar else merged[i, i]
        loss = compute_mdl_cost(diagonal / len(batch), np.bincount(groups), 1.0)
        assert history.mdl_loss[t] == pytest.approx(loss, rel=1e-9)
        masked = {group - (group > j) for group in masked if group != j}
        if between == "mask":
            masked.add(i)


def test_batches_are_taken_in_turn_and_only_when_due() -> None:
    source = CountingSource(batches(3, 3, 20))
    assert isinstance(source, BatchSource)
    history = merge_iteration(source, config(recompute_costs_every=4, min_groups=3))
    assert history.n_iterations == 17
    assert source.taken == 5  # merges 0–3, 4–7, 8–11, 12–15, 16


def test_one_batch_mode_takes_one_batch() -> None:
    source = CountingSource(batches(3, 3, 20))
    merge_iteration(source, config())
    assert source.taken == 1


def test_a_group_is_not_merged_again_before_the_next_batch_when_masked() -> None:
    acts = [activations(np.ones((10, 12)))]
    history = merge_iteration(acts, config(recompute_costs_every=3, between_batches="mask", iters=6))
    fresh: set[frozenset[int]] = set()
    for t in range(6):
        before = np.arange(12) if t == 0 else history.group_idxs(t - 1)
        if t % 3 == 0:
            fresh = set()
        first, second = (frozenset(np.flatnonzero(before == g).tolist()) for g in history.selected_pairs[t])
        assert first not in fresh
        assert second not in fresh
        fresh.add(first | second)


@pytest.mark.parametrize("between", ["update", "mask"])
def test_the_share_of_pairs_never_active_together_is_of_groups_that_are_not_masked(between) -> None:
    acts, every = batches(4, 2, 20, n_samples=12), 4
    chosen = config("exp_rank", 0.3, recompute_costs_every=every, between_batches=between, min_groups=4)
    history = merge_iteration(acts, chosen, 1)
    groups, masked = np.arange(20), set()
    for t, (i, j) in enumerate(history.selected_pairs.tolist()):
        masked = set() if t % every == 0 else masked
        batch = acts[(t // every) % 2].matrix.toarray()
        open_ = [group for group in range(groups.max() + 1) if group not in masked]
        coact = recompute_coacts_from_scratch(batch, groups, 0.5)[np.ix_(open_, open_)]
        never = (coact[np.triu_indices(len(open_), 1)] == 0).mean()
        assert history.records["zero_coactivation_share"][t] == pytest.approx(never)
        groups = np.where(groups == j, i, groups)
        groups = groups - (groups > j)
        masked = {group - (group > j) for group in masked if group != j} | (
            {i} if between == "mask" else set()
        )


@pytest.mark.parametrize(
    ("method", "argument"),
    [("range", 0.0), ("range", 0.5), ("mcmc", 1.0), ("exp_rank", 0.0), ("exp_rank", 1.0)],
)
def test_all_groups_masked_is_refused_clearly(method, argument) -> None:
    acts = [activations(np.ones((10, 7)))]
    with pytest.raises(InputError) as caught:
        merge_iteration(acts, config(method, argument, recompute_costs_every=5, between_batches="mask"))
    assert str(caught.value) == (
        "recompute_costs_every: no pair of groups can be merged before the next batch "
        "(found: 4 groups, 1 not masked; allowed: fewer merges per batch, or between_batches: update)"
    )


def test_batches_that_differ_in_labels_are_refused() -> None:
    acts = batches(0, 2, 5)
    other = activations(random_dense(0, 10, 6))
    with pytest.raises(InputError) as caught:
        BatchesInMemory([*acts, other])
    assert str(caught.value) == (
        "activations[2].labels: batches differ in their labels "
        "(allowed: the same components in the same order in every batch)"
    )
    source = CountingSource(acts)
    source.labels = [*source.labels[:-1], "other:0"]
    with pytest.raises(InputError, match="labels: a batch's components differ from the run's"):
        merge_iteration(source, config())


def test_what_cannot_be_merged_is_refused() -> None:
    for wrong in (np.eye(3), [np.eye(3)], "batches"):
        with pytest.raises(InputError, match="activations: cannot merge this"):
            as_batch_source(wrong)
    with pytest.raises(InputError, match="no batches given"):
        as_batch_source([])


def test_a_batch_that_comes_in_chunks_gives_the_same_history() -> None:
    class Chunked:
        def __init__(self, acts) -> None:
            self._matrix, self.labels = acts.matrix, acts.labels
            self.n_samples = acts.n_samples

        def chunks(self):
            for first in range(0, self.n_samples, 13):
                yield self._matrix[first : first + 13]

    class Source(CountingSource):
        def get_next_batch(self):
            return Chunked(super().get_next_batch())

    for scalar in (False, True):
        acts = batches(5, 1, 30, scalar)
        chosen = config("exp_rank", 0.3, activation_threshold=None if scalar else 0.5)
        whole, pieces = merge_iteration(acts, chosen), merge_iteration(Source(acts), chosen)
        assert whole.selected_pairs.tobytes() == pieces.selected_pairs.tobytes()
        assert whole.mdl_loss.tobytes() == pieces.mdl_loss.tobytes()


@pytest.mark.parametrize("between", ["update", "mask"])
def test_the_plain_form_takes_batches_in_turn_as_the_engine_does(between) -> None:
    rng = np.random.default_rng(0)
    # random factors leave no ties, so that both take the same pairs
    acts = [activations(rng.random((60 + 7 * b, 14)) * (rng.random(14) < 0.8)) for b in range(3)]
    chosen = config(recompute_costs_every=3, between_batches=between, activation_threshold=None, iters=9)
    fast, plain = merge_iteration(acts, chosen), merge_plainly(acts, chosen)
    assert fast.selected_pairs.tolist() == plain.selected_pairs.tolist()
    assert fast.mdl_loss == pytest.approx(plain.mdl_loss, rel=1e-9)
    assert fast.merge_pair_cost == pytest.approx(plain.merge_pair_cost, rel=1e-6, abs=1e-9)


def test_more_samples_than_numbers_name_are_refused() -> None:
    class Large:
        n_samples = 2**31

        def chunks(self):
            return iter(())

    with pytest.raises(
        InputError, match=r"too many samples in one batch \(found: 2147483648; allowed: at most"
    ):
        count_samples(Large())


@pytest.mark.parametrize("entries", [1, 3, 7, 100])
def test_stretches_are_all_rows_in_order_even_if_one_has_more_entries_than_a_stretch(monkeypatch, entries):
    monkeypatch.setattr(stretches_of, "ENTRIES_PER_STRETCH", entries)
    dense = (np.random.default_rng(0).random((20, 6)) < 0.5).astype(np.float32)
    dense[[3, 4]] = 0
    given = list(itertools.islice(stretches_of.stretches(activations(dense)), 40))
    assert [first for first, _ in given] == np.cumsum(
        [0, *(rows.shape[0] for _, rows in given[:-1])]
    ).tolist()
    np.testing.assert_array_equal(np.concatenate([rows.toarray() for _, rows in given]), dense)
    assert all(rows.nnz <= entries or rows.shape[0] == 1 for _, rows in given)
