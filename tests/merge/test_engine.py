"""The engine against brute force: exact at every step, for every sampler, with every kind of degenerate input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from merging import LIMITS, activations, config, narrow_up_to, random_dense, steps, upper

from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError
from spdclust.merge import loading
from spdclust.merge.activations import ProcessedActivations
from spdclust.merge.costs import recompute_coacts_from_scratch
from spdclust.merge.engine import Engine
from spdclust.merge.history import MergeHistory
from spdclust.merge.loading import load_batch
from spdclust.merge.merging import _view_of, merge_iteration
from spdclust.merge.plain import merge_plainly, range_candidates
from spdclust.merge.sources import as_batch_source
from spdclust.merge.stepping import warm_up

ALPHAS = [0.0, 0.1, 1.0, 10.0]
LAWS = [
    ("range", 0.0),
    ("range", 0.05),
    ("range", 0.5),
    ("range", 1.0),
    ("mcmc", 1.0),
    ("mcmc", 0.01),
    ("exp_rank", 0.0),
    ("exp_rank", 0.2),
    ("exp_rank", 5.0),
]


def same(first: MergeHistory, second: MergeHistory) -> bool:
    return (
        first.selected_pairs.tobytes() == second.selected_pairs.tobytes()
        and first.mdl_loss.tobytes() == second.mdl_loss.tobytes()
        and first.merge_pair_cost.tobytes() == second.merge_pair_cost.tobytes()
        and all(first.records[name].tobytes() == second.records[name].tobytes() for name in first.records)
    )


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    n_samples=st.integers(1, 120),
    n_components=st.integers(2, 24),
    alpha=st.sampled_from(ALPHAS),
    limit=st.sampled_from(LIMITS),
)
def test_greedy_takes_a_pair_of_exactly_the_least_cost_at_every_step(
    seed, n_samples, n_components, alpha, limit
) -> None:
    dense = random_dense(seed, n_samples, n_components)
    with narrow_up_to(limit):
        history = merge_iteration(activations(dense), config(alpha=alpha), seed)
    assert history.n_iterations == n_components - 1
    for step in steps(dense, history):
        assert step.costs[step.pair] == upper(step.costs).min()


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    n_samples=st.integers(1, 90),
    n_components=st.integers(2, 20),
    alpha=st.sampled_from(ALPHAS),
    law=st.sampled_from(LAWS),
)
def test_every_figure_of_every_merge_equals_brute_force(seed, n_samples, n_components, alpha, law) -> None:
    dense = random_dense(seed, n_samples, n_components)
    history = merge_iteration(activations(dense), config(*law, alpha=alpha), seed, thorough=True)
    assert history.n_iterations == n_components - 1
    records = history.records
    for step in steps(dense, history):
        t, costs, cost = step.iteration, upper(step.costs), step.costs[step.pair]
        i, j = step.pair
        scale = max(1.0, abs(step.mdl_after), np.abs(costs).max())
        assert history.mdl_loss[t] * n_samples == pytest.approx(step.mdl_after, abs=1e-11 * scale)
        assert history.merge_pair_cost[t] * n_samples == pytest.approx(cost + step.common, abs=1e-11 * scale)
        assert records["gap_to_best"][t] * n_samples == pytest.approx(cost - costs.min(), abs=1e-11 * scale)
        assert records["activity_first"][t] * n_samples == pytest.approx(step.coact[i, i])
        assert records["activity_second"][t] * n_samples == pytest.approx(step.coact[j, j])
        rank = records["pair_rank"][t]
        assert (costs < cost).sum() <= rank < (costs <= cost).sum()
        candidates = range_candidates(costs, law[1]) if law[0] == "range" else np.ones(len(costs), bool)
        assert candidates[costs == cost].all()
        zero_share = (upper(step.coact)[candidates] == 0).mean()
        assert records["zero_coactivation_share"][t] == pytest.approx(zero_share)
    assert (records["size_first"] + records["size_second"])[-1] == n_components


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), alpha=st.sampled_from(ALPHAS), law=st.sampled_from(LAWS))
def test_what_is_known_without_counting_agrees_with_what_is_counted(seed, alpha, law) -> None:
    acts = activations(random_dense(seed, 60, 15))
    quick = merge_iteration(acts, config(*law, alpha=alpha), seed)
    thorough = merge_iteration(acts, config(*law, alpha=alpha), seed, thorough=True)
    assert quick.selected_pairs.tolist() == thorough.selected_pairs.tolist()
    share, counted = (h.records["zero_coactivation_share"] for h in (quick, thorough))
    known = ~np.isnan(share)
    assert share[known] == pytest.approx(counted[known])
    rank, counted_rank = (h.records["pair_rank"] for h in (quick, thorough))
    assert (rank[rank >= 0] == counted_rank[rank >= 0]).all()
    assert (law[0] == "range" and law[1] < 1) or known.all()


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    n_components=st.integers(2, 14),
    alpha=st.sampled_from(ALPHAS),
    law=st.sampled_from([("range", 0.0), ("range", 0.3), ("exp_rank", 2.0), ("mcmc", 1.0)]),
    scalar=st.booleans(),
)
def test_a_callback_sees_the_matrices_of_the_grouping_after_the_merge(
    seed, n_components, alpha, law, scalar
) -> None:
    dense = random_dense(seed, 50, n_components, scalar)
    threshold = None if scalar else 0.5
    seen = []

    def look(view) -> None:
        history_groups = np.unique(view.group_idxs)
        assert history_groups.tolist() == list(range(view.k_groups))
        expected = recompute_coacts_from_scratch(dense, view.group_idxs, threshold)
        off_diagonal = ~np.eye(view.k_groups, dtype=bool)
        assert view.coactivations[off_diagonal] == pytest.approx(expected[off_diagonal], rel=1e-9)
        if not scalar:
            assert np.array_equal(view.activities, np.diag(expected))
        assert np.array_equal(view.ranks, np.bincount(view.group_idxs))
        assert view.record["mdl_loss"] == pytest.approx(
            (view.activities * (np.log2(view.k_groups) + alpha * view.ranks)).sum() / 50
        )
        with pytest.raises(ValueError, match="read-only"):
            view.coactivations[0, 0] = 1
        assert view.costs.shape == expected.shape
        seen.append((view.iteration, view.group_idxs))

    settings_ = config(*law, alpha=alpha, activation_threshold=threshold)
    history = merge_iteration(activations(dense), settings_, seed, callback=look, callback_at=2)
    assert [t for t, _ in seen] == list(range(0, history.n_iterations, 2))
    for t, groups in seen:
        assert np.array_equal(groups, history.group_idxs(t))
    assert same(history, merge_iteration(activations(dense), settings_, seed))


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    n_components=st.integers(2, 16),
    alpha=st.sampled_from(ALPHAS),
    negative=st.booleans(),
)
def test_scalar_activations_merge_as_the_plain_form_does(seed, n_components, alpha, negative) -> None:
    dense = random_dense(seed, 40, n_components)
    # random factors leave no ties, so that both take the same pairs
    dense = (dense + 0.01) * np.random.default_rng(seed + 1).random(dense.shape)
    if negative:
        dense[:, 0] *= -1
    settings_ = config(alpha=alpha, activation_threshold=None)
    fast, plain = merge_iteration(activations(dense), settings_), merge_plainly(activations(dense), settings_)
    assert fast.selected_pairs.tolist() == plain.selected_pairs.tolist()
    assert fast.mdl_loss == pytest.approx(plain.mdl_loss, rel=1e-9)
    assert fast.merge_pair_cost == pytest.approx(plain.merge_pair_cost, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("method", "argument"), LAWS)
@pytest.mark.parametrize(
    ("settings_", "scale", "line"),
    [
        (
            {"alpha": 1e308},
            1.0,
            "alpha: costs of merges would be too large for floating-point numbers (found: 1e+308; allowed: a "
            "smaller one)",
        ),
        (
            {"activation_threshold": None},
            1e155,
            "activations: costs of merges would be too large for floating-point numbers (found: sums of "
            "squares up to inf; allowed: activations divided by a constant)",
        ),
    ],
)
def test_numbers_too_large_for_costs_are_refused(method, argument, settings_, scale, line) -> None:
    dense = np.random.default_rng(0).random((20, 6)) * scale
    with np.errstate(over="ignore"), pytest.raises(InputError) as caught:
        merge_iteration(activations(dense), config(method, argument, **settings_))
    assert str(caught.value) == line


@pytest.mark.parametrize(("method", "argument"), LAWS)
@pytest.mark.parametrize(("alpha", "scale"), [(1e280, 1.0), (1.0, 1e140)])
def test_very_large_numbers_merge_to_the_end_by_every_law(method, argument, alpha, scale) -> None:
    dense = np.random.default_rng(0).random((20, 6)) * scale
    settings_ = config(method, argument, alpha=alpha, activation_threshold=0.5 if scale == 1 else None)
    history = merge_iteration(activations(dense), settings_)
    assert history.n_iterations == 5
    assert np.isfinite(history.mdl_loss).all()


def test_a_temperature_near_zero_takes_the_best_pairs_or_is_refused() -> None:
    dense = random_dense(3, 40, 12)
    history = merge_iteration(activations(dense), config("mcmc", 1e-280))
    assert (history.records["gap_to_best"] == 0).all()
    with pytest.raises(InputError) as caught:
        merge_iteration(activations(dense), config("mcmc", 1e-299))
    assert str(caught.value) == (
        "temperature: costs of merges would be too large for floating-point numbers (found: 1e-299; allowed: a "
        "higher one, or the range sampler with threshold 0)"
    )


@pytest.mark.parametrize(("method", "argument"), [("range", 0.3), ("mcmc", 0.5), ("exp_rank", 0.5)])
def test_negative_scalars_merge_to_the_end_by_every_law(method, argument) -> None:
    dense = np.random.default_rng(0).normal(size=(30, 12))
    history = merge_iteration(
        activations(dense), config(method, argument, activation_threshold=None, alpha=0.0)
    )
    assert history.n_iterations == 11
    assert np.isfinite(history.mdl_loss).all()


@pytest.mark.parametrize(("method", "argument"), LAWS)
@pytest.mark.parametrize("scalar", [False, True])
def test_the_history_is_the_same_for_any_number_of_threads(method, argument, scalar) -> None:
    acts = activations(random_dense(11, 400, 150, scalar))
    settings_ = config(method, argument, activation_threshold=None if scalar else 0.5)
    histories = [merge_iteration(acts, settings_, (3, 1), threads=threads) for threads in (1, 2, 5)]
    assert same(histories[0], histories[1])
    assert same(histories[0], histories[2])


def test_another_seed_is_another_history() -> None:
    acts = activations(random_dense(11, 400, 60))
    pairs = {merge_iteration(acts, config("mcmc", 1.0), seed).selected_pairs.tobytes() for seed in range(4)}
    assert len(pairs) == 4


@pytest.mark.parametrize(
    ("method", "argument"), [("range", 0.0), ("range", 0.2), ("mcmc", 1.0), ("exp_rank", 0.2)]
)
@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize(
    "dense",
    [
        pytest.param(np.zeros((5, 6)), id="all silent"),
        pytest.param(np.ones((5, 6)), id="always active"),
        pytest.param(np.ones((1, 6)), id="one sample"),
        pytest.param(np.eye(6), id="never together, all tied"),
        pytest.param(np.eye(6).repeat(2, axis=1), id="identical in pairs"),
        pytest.param(np.array([[1, 0], [1, 1]]), id="two components"),
        pytest.param(np.c_[np.ones((9, 4)), np.zeros((9, 4))], id="all or nothing"),
    ],
)
def test_degenerate_inputs_merge_to_the_end(method, argument, alpha, dense) -> None:
    history = merge_iteration(activations(dense), config(method, argument, alpha=alpha), thorough=True)
    assert history.n_iterations == dense.shape[1] - 1
    assert history.group_idxs(-1).tolist() == [0] * dense.shape[1]
    for step in steps(dense, history):
        cost = step.costs[step.pair]
        assert cost in upper(step.costs)
        assert argument or cost == upper(step.costs).min()


def test_one_component_has_nothing_to_merge() -> None:
    history = merge_iteration(activations(np.ones((3, 1))), config())
    assert (history.n_iterations, history.n_components) == (0, 1)


@pytest.mark.parametrize(
    ("iters", "min_groups", "expected"), [(3, 1, 3), (None, 3, 7), (None, 1, 9), (50, 4, 6)]
)
def test_a_merge_stops_where_its_settings_say(iters, min_groups, expected) -> None:
    acts = activations(random_dense(2, 30, 10))
    assert merge_iteration(acts, config(iters=iters, min_groups=min_groups)).n_iterations == expected


def test_a_batch_without_samples_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        merge_iteration(activations(np.zeros((0, 4))), config())
    assert str(caught.value) == "activations: a batch has no samples (allowed: at least one sample)"


def test_counts_above_sixteen_bits_are_exact() -> None:
    rng = np.random.default_rng(5)
    dense = rng.random((70_000, 6)) < np.array([1.0, 0.999, 0.97, 0.5, 0.1, 0.0])
    history = merge_iteration(activations(dense), config(alpha=10.0))
    for step in steps(dense, history):
        assert step.coact.max() == 70_000
        assert step.costs[step.pair] == upper(step.costs).min()
        assert history.mdl_loss[step.iteration] * 70_000 == pytest.approx(step.mdl_after, rel=1e-12)


@pytest.mark.parametrize("n_samples", [65_535, 65_536])
def test_as_many_samples_as_sixteen_bits_count(n_samples) -> None:
    dense = np.ones((n_samples, 4), dtype=np.float32)
    dense[0, 3] = 0
    seen = []
    merge_iteration(
        activations(dense), config(), callback=lambda view: seen.append(view.coactivations.tolist())
    )
    assert seen[0] == [2 * [n_samples] + [n_samples - 1]] * 2 + [3 * [n_samples - 1]]
    loaded = load_batch(activations(dense), np.arange(4), None, config(), 1)
    assert (loaded.coact.wide_start[:4] >= 0).tolist() == [False] + 3 * [n_samples == 65_536]


@pytest.mark.parametrize("between", ["update", "mask"])
@pytest.mark.parametrize(("method", "argument"), LAWS)
def test_the_width_of_counts_changes_nothing(method, argument, between) -> None:
    batches = [activations(random_dense(seed, 200, 60)) for seed in (4, 5)]
    settings_ = config(method, argument, between_batches=between, recompute_costs_every=20, iters=45)
    first, *others = (_merged(batches, settings_, limit) for limit in LIMITS)
    assert all(same(first, other) for other in others)


def test_wide_rows_of_closed_slots_make_room() -> None:
    """One group has a wide row, so there is room for few; every merge writes another one."""
    rng = np.random.default_rng(8)
    dense = rng.random((300, 400)) < np.repeat([0.7, 0.01], [1, 399])
    names = np.array([[0, other] for other in range(1, 90)])
    with narrow_up_to(150):
        engine = Engine(as_batch_source(activations(dense)), np.arange(400), config(), rng, threads=1)
        engine.repeat(names, len(names))
    room = len(engine.state.coact.wide)
    assert 0 < room < 400 * len(names)  # of rows that hold 400 pairs and more
    active = np.column_stack([dense[:, :90].any(axis=1), dense[:, 90:]]).astype(int)
    np.testing.assert_array_equal(_view_of(engine).coactivations, active.T @ active)


def _merged(batches: list[ProcessedActivations], settings_: MergeConfig, limit: int) -> MergeHistory:
    with narrow_up_to(limit):
        return merge_iteration(batches, settings_, seed=1)


def test_the_number_of_samples_need_not_fill_a_word() -> None:
    for n_samples in (1, 31, 32, 33, 63, 64, 65):
        dense = random_dense(n_samples, n_samples, 20)
        history = merge_iteration(activations(dense), config())
        for step in steps(dense, history):
            assert step.costs[step.pair] == upper(step.costs).min()


@pytest.mark.slow
def test_more_components_than_sixteen_bits_hold() -> None:
    rng = np.random.default_rng(0)
    n_components = 33_000
    columns = rng.integers(n_components, size=(300, 40))
    dense = np.zeros((300, n_components), dtype=np.float32)
    dense[np.arange(300)[:, None], columns] = 1
    dense[:, [40, 32_900]] = 1  # identical, always active: merged first
    history = merge_iteration(activations(dense), config(iters=3))
    assert history.selected_pairs[0].tolist() == [40, 32_900]
    groups = history.group_idxs(-1)
    assert groups.max() == n_components - 4
    assert groups[40] == groups[32_900]


def test_too_little_memory_is_said_in_one_line(monkeypatch) -> None:
    def none_left(*_args: object) -> None:
        raise MemoryError

    warm_up(config(), 10)
    monkeypatch.setattr(loading, "_empty_sets", none_left)
    with pytest.raises(InputError) as caught:
        merge_iteration(activations(random_dense(2, 30, 10)), config())
    assert str(caught.value) == (
        "memory: not enough memory to merge (found: 10 groups, 0.0 GB of coactivations besides the activations; "
        "allowed: more memory, or fewer components: a higher filter_dead_threshold, a module_name_filter)"
    )


@pytest.mark.parametrize(
    ("values", "threshold", "said"),
    [
        (np.eye(5), 1.0, "activation_threshold is 1, the largest activation is 1"),
        (np.eye(5) * 0.004, 0.01, "activation_threshold is 0.01, the largest activation is 0.004"),
        (np.zeros((4, 5)), None, "activation_threshold is null, the largest activation is 0"),
    ],
)
def test_a_merge_of_nothing_active_warns_once(values, threshold, said, caplog) -> None:
    acts = ProcessedActivations.from_dense(values, [f"m:{i}" for i in range(5)])
    config = MergeConfig(
        activation_threshold=threshold,
        filter_dead_threshold=0,
        iters=None,
        min_groups=1,
        recompute_costs_every=2,
    )
    merge_iteration([acts, acts], config)
    messages = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert messages == [f"no component is ever active, pairs are drawn by chance alone: {said}"]


def test_a_merge_of_something_active_does_not_warn(caplog) -> None:
    acts = ProcessedActivations.from_dense(np.eye(5), [f"m:{i}" for i in range(5)])
    merge_iteration(acts, MergeConfig(activation_threshold=0.99))
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


def test_a_mask_between_batches_that_never_change_is_said(caplog) -> None:
    acts = ProcessedActivations.from_dense(np.eye(5), [f"m:{i}" for i in range(5)])
    merge_iteration(acts, MergeConfig(between_batches="mask"))
    assert "between_batches: no effect with recompute_costs_every: 1" in caplog.text
