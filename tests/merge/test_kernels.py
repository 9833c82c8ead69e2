"""Kernels against slow twins, and what numba is asked to compile."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from merging import LIMITS, activations, config, narrow_up_to, random_dense

from spdclust.core.threads import even_parts
from spdclust.merge import loading
from spdclust.merge.costs import relative_costs
from spdclust.merge.engine import Engine
from spdclust.merge.kernels import bounds, choosing_rank, coactivation, joining, layout, loop
from spdclust.merge.loading import load_batch
from spdclust.merge.merging import merge_iteration
from spdclust.merge.sources import as_batch_source
from spdclust.merge.state import read_all_rows
from spdclust.merge.stepping import warm_up


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    n_samples=st.integers(1, 200),
    n_components=st.integers(1, 30),
    threads=st.integers(1, 3),
    wide=st.booleans(),
    limit=st.sampled_from(LIMITS),
)
def test_a_loaded_batch_holds_the_counts_sets_and_rows_of_its_groups(
    seed, n_samples, n_components, threads, wide, limit
) -> None:
    dense = random_dense(seed, n_samples, n_components)
    rng = np.random.default_rng(seed)
    groups = rng.integers(-1, n_components, n_components)
    used = np.unique(groups[groups >= 0])
    if len(used) == 0:
        return
    of_column = np.where(groups >= 0, np.searchsorted(used, groups), -1)
    with narrow_up_to(limit):
        loaded = load_batch(activations(dense), of_column, None, config(), threads, wide=wide)
    active = np.stack([dense[:, of_column == g].any(axis=1) for g in range(len(used))], axis=1)
    active = active[:, loaded.order]
    assert (np.diff(loaded.activity) >= 0).all()
    assert loaded.activity.tolist() == active.sum(axis=0).tolist()
    expected = active.T.astype(int) @ active
    for p in range(len(used)):
        assert layout.counts_of(loaded.coact, p, np.arange(p)).tolist() == expected[p, :p].tolist()
        assert (loaded.coact.wide_start[p] >= 0) == (loaded.activity[p] > limit)
    assert loaded.zero_pairs == (expected[np.tril_indices(len(used), -1)] == 0).sum()
    sets = loaded.samples
    for n in range(n_samples):
        row = sets.rows[sets.row_start[n] : sets.row_start[n] + sets.row_length[n]]
        assert row.tolist() == np.flatnonzero(active[n]).tolist()
    for p in range(len(used)):
        words = sets.words[sets.span_start[p] : sets.span_start[p] + sets.span_length[p]]
        numbers = (
            np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little"))
            if sets.is_bitmap[p]
            else words
        )
        assert numbers.tolist() == np.flatnonzero(active[:, p]).tolist()


@pytest.mark.parametrize("n_samples", [1, 15, 16, 17, 47, 300])
@pytest.mark.parametrize("ordered", [True, False])
def test_groups_active_on_many_samples_are_counted_in_tiles(monkeypatch, n_samples, ordered) -> None:
    """Three tiles, the first of them not full, before and after groups that are active on few samples."""
    rng = np.random.default_rng(n_samples)
    rates = rng.permutation(np.concatenate([np.full(900, 0.02), np.linspace(0.1, 1.0, 1100)]))
    dense = rng.random((n_samples, len(rates))) < rates
    chosen = []
    find = loading._dense_slots

    def dense_slots(*args):
        chosen.append(find(*args))
        return chosen[-1]

    monkeypatch.setattr(loading, "_dense_slots", dense_slots)
    order = None if ordered else rng.permutation(len(rates))
    younger, older = np.tril_indices(len(rates), -1)
    for threads, limit in ((1, LIMITS[0]), (3, n_samples // 2)):
        with narrow_up_to(limit):
            loaded = load_batch(activations(dense), np.arange(len(rates)), order, config(), threads)
        active = dense[:, loaded.order].astype(float)  # exact, and ten times faster
        expected = (active.T @ active)[younger, older]
        np.testing.assert_array_equal(layout.counts_of(loaded.coact, younger, older), expected)
        assert loaded.zero_pairs == (expected == 0).sum()
    if ordered and n_samples > 15:
        assert chosen == [(2000 - 3 * 512, 3)] * 2
    few = load_batch(activations(dense[:, :40]), np.arange(40), None, config(), 1)
    assert chosen[-1] == (40, 0)  # not worth it
    active = dense[:, few.order].astype(int)
    assert few.coact.narrow[: 20 * 39].tolist() == (active.T @ active)[np.tril_indices(40, -1)].tolist()


def engine_after(seed: int, n_done: int, method: str = "range", argument: float = 0.2) -> Engine:
    dense = random_dense(seed, 150, 90)
    engine = Engine(
        as_batch_source(activations(dense)),
        np.arange(90),
        config(method, argument),
        np.random.default_rng(seed),
        threads=1,
    )
    engine.advance(n_done)
    return engine


def plain_coact(state) -> tuple[np.ndarray, np.ndarray]:
    """Return the slots of the groups, and their coactivations as a matrix."""
    open_ = np.flatnonzero(state.figures[layout.CLOSED, : int(state.counts[layout.SLOTS])] == 0)
    coact = np.zeros((len(open_), len(open_)))
    for a, p in enumerate(open_):
        coact[a, a] = state.figures[layout.ACTIVITY, p]
        for b, q in enumerate(open_[:a]):
            coact[a, b] = coact[b, a] = layout.count_of(state.coact, p, q)
    return open_, coact


@pytest.mark.parametrize("n_done", [0, 5])
def test_rows_are_weighed_with_the_number_of_groups_there_are(n_done) -> None:
    """Weights of `mcmc` when all rows are read: those of the plain costs, relative to the row's least."""
    engine = engine_after(3, n_done, "mcmc", 0.7)
    read_all_rows(engine.state, engine._rules, threads=1)
    open_, coact = plain_coact(engine.state)
    figures = engine.state.figures
    costs = relative_costs(coact, figures[layout.RANK, open_], 1.0)
    for a, p in enumerate(open_):
        row = costs[a, :a]
        least = row.min(initial=np.inf)
        assert figures[layout.LEAST_WEIGHED, p] == least
        total = np.exp((least - row) / (0.7 * 150)).sum()  # the temperature is in bits per sample
        assert figures[layout.WEIGHT_TOTAL, p] == pytest.approx(total)


@pytest.mark.parametrize("n_done", [0, 1, 30, 80])
@pytest.mark.parametrize("limit", LIMITS)
def test_row_readings_equal_those_of_the_plain_matrix_and_bounds_hold(n_done, limit) -> None:
    with narrow_up_to(limit):
        engine = engine_after(2, n_done)
    state, n_slots = engine.state, int(engine.state.counts[layout.SLOTS])
    open_, coact = plain_coact(state)
    ranks, log_k = state.figures[layout.RANK, open_], float(np.log2(len(open_) - 1))
    costs = relative_costs(coact, ranks, 1.0)
    values = np.empty(n_slots)
    for a, p in enumerate(open_.tolist()):
        row = costs[a, :a]
        least = bounds.least_of_row(state.coact, state.figures, p, 1.0, log_k)
        most, most_at_zero = bounds.most_of_row(state.coact, state.figures, p, 1.0, log_k)
        assert least == (row.min() if a else np.inf)
        assert most == (row.max() if a else -np.inf)
        without_index = (costs + coact * np.log2(len(open_) - 1))[a, :a]
        assert most_at_zero == (pytest.approx(without_index.max()) if a else -np.inf)
        assert bounds.values_of_row(state.coact, state.figures, p, 0, p, 1.0, log_k, values) == least
        assert values[open_[:a]].tolist() == row.tolist()
        # what is remembered from earlier must still bound the row
        assert state.figures[layout.LOW, p] <= least
        assert state.figures[layout.PEAK, p] - state.figures[layout.SLOPE, p] * log_k >= most
        for limit in (row.min(), np.median(row)) if a else ():
            count = bounds.count_in_row(state.coact, state.figures, p, 1.0, log_k, limit)
            assert count == (row <= limit).sum()
            found, n = bounds.find_in_row(
                state.coact, state.figures, p, 1.0, log_k, -np.inf, limit, count - 1, values
            )
            assert (found, n) == (open_[np.flatnonzero(row <= limit)[-1]], count)
    zeros = (coact[np.tril_indices(len(open_), -1)] == 0).sum()
    assert state.counts[layout.ZERO_PAIRS] == zeros
    assert state.sums[layout.SUM_ACTIVITY] == np.trace(coact)
    assert state.sums[layout.SUM_ACTIVITY_RANK] == (np.diag(coact) * ranks).sum()
    assert (state.new_row == 0).all()


def test_values_of_large_counts_and_ranks_are_exact() -> None:
    s, r, c = 2_000_000_000, 40_000, 1_999_999_999
    exact = (s - c) * r + (s - c) * (r - 1)
    assert layout.pair_value(float(c), float(s), float(s), float(r - 1), float(r), 1.0, 0.0) == exact
    # a product far above 2^31, still a whole number
    assert layout.pair_value(0.0, float(s), float(s), float(r), float(r), 1.0, 7.0) == 2 * s * r


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 31), st.integers(0, 2**32 - 1))
def test_the_lowest_bit_is_found(bit, rest) -> None:
    word = ((rest << (bit + 1)) | (1 << bit)) & 0xFFFFFFFF
    assert coactivation.lowest_bit(np.uint32(word)) == bit


@settings(deadline=None, max_examples=30)
@given(decay=st.floats(1e-6, 5), n_pairs=st.integers(1, 10**9), seed=st.integers(0, 1000))
def test_a_drawn_rank_exists(decay, n_pairs, seed) -> None:
    assert 0 <= choosing_rank.draw_rank(decay, n_pairs, np.random.default_rng(seed)) < n_pairs


@pytest.mark.parametrize("wide", [[], [3], [1, 2, 7, 8], list(range(10))])
def test_rows_moved_together_and_spread_again_are_the_same(wide) -> None:
    older, younger = np.tril_indices(10, -1)[::-1]
    coact = layout.Coactivations(
        np.zeros(45, dtype=np.uint16),
        np.zeros(45, dtype=np.int32),
        np.full(11, -1, dtype=np.int64),
    )
    coact.wide_start[wide] = np.cumsum(wide) - wide
    for p in range(10):
        layout.store_row(coact, p, 100 * p + np.arange(p))
    assert layout.counts_of(coact, younger, older).tolist() == (100 * younger + older).tolist()
    slots = np.array([0, 2, 3, 7, 9])
    joining.move_rows(coact, slots)
    for a, p in enumerate(slots.tolist()):
        assert layout.counts_of(coact, a, np.arange(a)).tolist() == (100 * p + slots[:a]).tolist()
        assert (coact.wide_start[a] >= 0) == (p in wide)
    assert (coact.wide_start[5:-1] == -1).all()
    joining.spread_rows(coact, slots)
    for a, p in enumerate(slots.tolist()):
        assert layout.counts_of(coact, p, slots[:a]).tolist() == (100 * p + slots[:a]).tolist()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 9))
def test_parts_follow_each_other_and_cover_everything(work, n_parts) -> None:
    parts = even_parts(np.array(work, dtype=float), n_parts)
    covered = [item for first, last in parts for item in range(first, last)]
    assert covered == list(range(len(work)))
    assert len(parts) <= max(n_parts, 1)


@pytest.mark.parametrize(
    ("method", "argument"), [("range", 0.0), ("range", 0.1), ("mcmc", 1.0), ("exp_rank", 0.2)]
)
def test_a_merge_compiles_nothing_that_warming_up_did_not(method, argument) -> None:
    chosen = config(method, argument)
    warm_up(chosen, 90)
    kernels = [
        kernel
        for module in (bounds, choosing_rank, coactivation, joining, loop)
        for kernel in vars(module).values()
        if hasattr(kernel, "signatures")
    ]
    before = [len(kernel.signatures) for kernel in kernels]
    merge_iteration(activations(random_dense(3, 150, 90)), chosen)
    assert [len(kernel.signatures) for kernel in kernels] == before
