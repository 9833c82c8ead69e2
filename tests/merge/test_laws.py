"""The engine's draws follow the laws exactly, whatever it remembers from merges before."""

from copy import deepcopy

import numpy as np
import pytest
from merging import activations, chi_square, chi_square_limit, config, random_dense, steps, upper

from spdclust.merge import stepping
from spdclust.merge.costs import relative_costs
from spdclust.merge.engine import Engine
from spdclust.merge.kernels import layout, loop
from spdclust.merge.merging import merge_iteration
from spdclust.merge.plain import LAWS, exp_rank_law, range_candidates
from spdclust.merge.sources import as_batch_source
from spdclust.merge.state import HEAP, State
from spdclust.merge.stepping import _pair_at_rank, merge_up_to
from spdclust.merge.view import MergeView

N_DRAWS = 3000
OTHER = 2.0
NAMES = [layout.NAME_FIRST, layout.NAME_SECOND]


def tied_dense(n_samples: int = 60, n_components: int = 16) -> np.ndarray:
    return random_dense(4, n_samples, n_components)


def engine_after(dense: np.ndarray, settings, n_done: int) -> Engine:
    """An engine in the middle of a merge, its bounds of different ages."""
    source = as_batch_source(activations(dense))
    engine = Engine(source, np.arange(dense.shape[1]), settings, np.random.default_rng(1), threads=1)
    engine.advance(n_done)
    return engine


def draws(engine: Engine, n_draws: int = N_DRAWS) -> tuple[np.ndarray, np.ndarray]:
    """How often each pair is merged next, from the very same state, and the values of the pairs."""
    view = MergeView(
        engine.state,
        engine.n_done - 1,
        60,
        engine.config.alpha,
        {},
        np.unique(engine.name_of_component(engine.n_done), return_inverse=True)[1],
    )
    k, names = view.k_groups, np.unique(engine.name_of_component(engine.n_done))
    values = upper(relative_costs(view.coactivations, view.ranks, engine.config.alpha))
    number = np.zeros((k, k), dtype=int)
    number[np.triu_indices(k, 1)] = np.arange(len(values))
    state, rng = deepcopy(engine.state), np.random.default_rng(2)
    copied = list(zip(arrays(state), arrays(engine.state), strict=True))
    pairs = np.empty((2, n_draws), int)
    for draw in range(n_draws):
        for array, same in copied:  # a deep copy takes longer than the merge
            np.copyto(array, same)
        merge_up_to(state, engine.rules, engine.n_done + 1, rng)
        pairs[:, draw] = state.log[NAMES, engine.n_done]
    return np.bincount(number[tuple(np.searchsorted(names, pairs))], minlength=len(values)), values


def arrays(state: State) -> list[np.ndarray]:
    return [*state.coact, *(each for each in state if isinstance(each, np.ndarray))]


@pytest.mark.parametrize("n_done", [1, 4, 9])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize(
    ("method", "argument"),
    [
        ("range", 0.0),
        ("range", 0.02),
        ("range", 0.3),
        ("range", 1.0),
        ("mcmc", 0.05),
        ("mcmc", 1.0),
        ("exp_rank", 0.0),
        ("exp_rank", 0.1),
        ("exp_rank", 1.0),
    ],
)
def test_draws_follow_the_law_and_not_another(method, argument, alpha, n_done) -> None:
    engine = engine_after(tied_dense(), config(method, argument, alpha=alpha), n_done)
    counts, values = draws(engine)
    costs = values / 60
    law = LAWS[method](costs if method != "range" else values, argument)
    statistic, degrees = chi_square(counts, law)
    assert (counts[law == 0] == 0).all()
    assert statistic < chi_square_limit(degrees)
    if argument in (0.05, 1.0) and method != "range" and alpha == 1.0:
        wrong = LAWS[method](costs, argument * OTHER)
        statistic, degrees = chi_square(counts, wrong)
        assert statistic > chi_square_limit(degrees)


def test_a_law_that_favours_early_pairs_a_little_is_told_apart() -> None:
    counts, values = draws(engine_after(tied_dense(), config("range", 0.3), 4))
    candidates = range_candidates(values, 0.3)
    assert candidates.sum() > 4
    wrong = candidates * np.linspace(1.6, 0.4, len(candidates))
    statistic, degrees = chi_square(counts[candidates], (wrong / wrong.sum())[candidates])
    assert statistic > chi_square_limit(degrees)


@pytest.mark.parametrize("blind_fails", [0, 1])
def test_candidates_are_drawn_evenly_both_blindly_and_by_counts(blind_fails) -> None:
    engine = engine_after(tied_dense(), config("range", 0.1), 5)
    if blind_fails:  # the merge after five is not one at which it is tried again
        engine.state.counts[layout.BLIND_FAILED] = 1
    counts, values = draws(engine)
    candidates = range_candidates(values, 0.1)
    assert (counts[~candidates] == 0).all()
    statistic, degrees = chi_square(counts, candidates / candidates.sum())
    assert statistic < chi_square_limit(degrees)


@pytest.mark.parametrize(
    ("method", "argument"), [("range", 0.0), ("range", 0.001), ("range", 0.05), ("exp_rank", 0.3)]
)
@pytest.mark.parametrize("alpha", [0.1, 1.0, 10.0])
def test_long_merges_stay_exact_while_slots_move_and_sets_are_packed(method, argument, alpha) -> None:
    # more than two blocks of slots, sets both as lists and as bitmaps
    dense = random_dense(8, 700, 200)
    history = merge_iteration(activations(dense), config(method, argument, alpha=alpha), 1)
    for step in steps(dense, history, every=13):
        costs = upper(step.costs)
        t, cost = step.iteration, step.costs[step.pair]
        assert history.mdl_loss[t] * 700 == pytest.approx(step.mdl_after, rel=1e-12)
        assert history.records["gap_to_best"][t] * 700 == pytest.approx(cost - costs.min(), abs=1e-8)
        if method == "range":
            assert range_candidates(costs, argument)[costs == cost].all()
        else:
            rank = history.records["pair_rank"][t]
            assert (costs < cost).sum() <= rank < (costs <= cost).sum()


@pytest.mark.parametrize("rank", [0, 1, 5, 40, 90, 119])
def test_the_pair_at_a_rank_is_found_by_reading_all_rows(rank) -> None:
    engine = engine_after(tied_dense(n_components=20), config("exp_rank", 1.0), 4)
    counts, values = draws(engine, n_draws=1)
    assert counts.sum() == 1
    assert len(values) == 120
    rng = np.random.default_rng(0)
    state, rules = engine.state, engine.rules
    log_k = np.log2(15)
    found = set()
    for _ in range(60):
        p, q = _pair_at_rank(state, rules, rank, rng)
        found.add((max(p, q), min(p, q)))
        value = layout.value_of(state.coact, state.figures, p, q, rules.alpha, log_k)
        assert value == np.sort(values)[rank]
    n_tied = int((values == np.sort(values)[rank]).sum())
    assert len(found) <= n_tied
    assert len(found) >= min(n_tied, 5)


@pytest.mark.parametrize("bracket", [(-np.inf, -np.inf), (np.inf, np.inf)])
def test_the_pair_at_a_rank_is_found_where_the_sample_of_pairs_misleads(monkeypatch, bracket) -> None:
    engine = engine_after(tied_dense(n_components=20), config("exp_rank", 1.0), 4)
    _, values = draws(engine, n_draws=1)
    monkeypatch.setattr(stepping, "_bracket", lambda *_: bracket)
    state, rules = engine.state, engine.rules
    p, q = _pair_at_rank(state, rules, 40, np.random.default_rng(0))
    value = layout.value_of(state.coact, state.figures, p, q, rules.alpha, np.log2(15))
    assert value == np.sort(values)[40]


def test_a_pair_of_a_rank_above_the_heap_has_that_rank() -> None:
    dense = random_dense(5, 60, 110)
    history = merge_iteration(activations(dense), config("exp_rank", 1e-5, iters=5), 1)
    assert history.records["pair_rank"].max() >= HEAP
    for step in steps(dense, history):
        costs, cost, rank = (
            upper(step.costs),
            step.costs[step.pair],
            history.records["pair_rank"][step.iteration],
        )
        assert (costs < cost).sum() <= rank < (costs <= cost).sum()
        assert history.records["zero_coactivation_share"][step.iteration] == (upper(step.coact) == 0).mean()


def test_ranks_above_the_heap_are_drawn_by_the_law() -> None:
    decay = 3e-4
    engine = engine_after(random_dense(5, 60, 110), config("exp_rank", decay), 3)
    counts, values = draws(engine, n_draws=1500)
    assert counts[np.argsort(values)[HEAP:]].sum() > 100
    statistic, degrees = chi_square(counts, exp_rank_law(values, decay))
    assert statistic < chi_square_limit(degrees)
    statistic, degrees = chi_square(counts, exp_rank_law(values, 2 * decay))
    assert statistic > chi_square_limit(degrees)


def test_counted_candidates_are_the_brute_force_sets() -> None:
    for threshold in (0.0, 0.01, 0.2, 0.9):
        engine = engine_after(tied_dense(), config("range", threshold), 6)
        _, values = draws(engine, n_draws=1)
        low, high = values.min(), values.max()
        limit = low + threshold * (high - low)
        n_candidates, _ = loop.count_candidates(engine.state, engine.rules, np.log2(9), limit)
        assert n_candidates == range_candidates(values, threshold).sum()


def test_whole_numbers_are_drawn_evenly() -> None:
    rng = np.random.default_rng(3)
    counts = np.bincount([layout.draw_below(rng, 7) for _ in range(20_000)], minlength=7)
    statistic, degrees = chi_square(counts, np.full(7, 1 / 7))
    assert statistic < chi_square_limit(degrees)


@pytest.mark.parametrize(
    ("method", "argument"),
    [("mcmc", 1e-14), ("mcmc", 1e-17), ("mcmc", 1e-290), ("exp_rank", 1e-17), ("exp_rank", 5e-324)],
)
@pytest.mark.parametrize("n_done", [0, 3])
def test_equal_pairs_are_drawn_evenly_at_the_ends_of_floating_point(method, argument, n_done) -> None:
    # seven components that never meet: with n_done 0 all pairs cost the same, much more than the temperature
    dense = np.repeat(np.eye(7), 9, axis=0)
    engine = engine_after(dense, config(method, argument, filter_dead_threshold=0.0), n_done)
    counts, values = draws(engine)
    law = LAWS[method](values / 63, argument)
    assert (counts[law == 0] == 0).all()
    statistic, degrees = chi_square(counts, law)
    assert degrees > 0
    assert statistic < chi_square_limit(degrees)
