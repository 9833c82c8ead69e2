"""Run the kernels and, between their calls, the rare operations: compacting rows and sets, high ranks.

The kernels are compiled before a merge starts, in one process at a time.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from spdclust.config.merge import MergeConfig
from spdclust.core.compiling import ensure_compiled
from spdclust.core.errors import InputError
from spdclust.core.types import Float, Int
from spdclust.merge.activations import ProcessedActivations
from spdclust.merge.kernels import choosing_rank, joining, layout, loop, samples
from spdclust.merge.kernels.bounds import update_least
from spdclust.merge.kernels.layout import Rules, State
from spdclust.merge.loading import entry_type, load_batch
from spdclust.merge.memory import BLOCK, capacity_for
from spdclust.merge.state import build_state, read_all_rows, rules_for


def merge_up_to(state: State, rules: Rules, n_done: int, rng: np.random.Generator) -> None:
    """Merge until `n_done` merges are done in total.

    Example:
        >>> from spdclust.example_ensemble import example_engine
        >>> rng = np.random.default_rng(0)
        >>> engine = example_engine(rng)
        >>> engine.advance(1)
        >>> merge_up_to(engine.state, engine.rules, 3, rng)
        >>> int(engine.state.counts[layout.MERGES]), int(engine.state.counts[layout.GROUPS])
        (3, 1)

    Raises:
        InputError: no remaining pair can be merged.
    """
    counts = state.counts
    run = _loop_for(rules)
    while counts[layout.MERGES] < n_done:
        n_merges = n_done - int(counts[layout.MERGES])
        if not rules.monotone:  # values may fall: the stored row values are invalid
            read_all_rows(state, rules, threads=1)
            n_merges = 1
        run(state, rules, n_merges, rng)
        status = int(counts[layout.STATUS])
        if status == layout.FIND_RANK:
            _join_high_rank(state, rules, rng)
        elif status == layout.FIND_FIGURES:
            _join_with_figures(state, rules)
        else:
            _make_room(state, rules)


def replay(state: State, rules: Rules, names: Int[np.ndarray, "iterations 2"]) -> None:
    """Join groups given by their smallest components, without updating the stored row values.

    Example:
        >>> from spdclust.example_ensemble import example_engine
        >>> engine = example_engine()
        >>> replay(engine.state, engine.rules, np.array([[1, 3], [0, 1]]))
        >>> sorted(engine.state.marks[layout.NAME, open_slots(engine.state)].tolist())  # {0, 1, 3} and {2}
        [0, 2]
    """
    for first, second in names:
        while not loop.may_go_on(state, rules):
            _make_room(state, rules)
        n_slots = int(state.counts[layout.SLOTS])
        open_names = np.where(
            state.figures[layout.CLOSED, :n_slots] == 0, state.marks[layout.NAME, :n_slots], -1
        )
        p, q = (int(np.flatnonzero(open_names == name)[0]) for name in (first, second))
        joining.join(state, rules, p, q, np.nan, -1, np.nan)


def open_slots(state: State) -> Int[np.ndarray, " groups"]:
    """Return the open slots, in order of age.

    Example:
        >>> from spdclust.example_ensemble import example_engine
        >>> engine = example_engine()
        >>> replay(engine.state, engine.rules, np.array([[1, 3]]))
        >>> open_slots(engine.state).tolist()  # what is merged has the new slot 4
        [0, 2, 4]
    """
    n_slots = int(state.counts[layout.SLOTS])
    return np.flatnonzero(state.figures[layout.CLOSED, :n_slots] == 0)


def _move_together(state: State, rules: Rules) -> None:
    """Remove the gaps that closed slots left in all arrays.

    Example:
        >>> from spdclust.example_ensemble import example_engine
        >>> engine = example_engine()
        >>> replay(engine.state, engine.rules, np.array([[1, 3]]))
        >>> _move_together(engine.state, engine.rules)
        >>> open_slots(engine.state).tolist()  # they were 0, 2 and 4
        [0, 1, 2]
    """
    slots = open_slots(state)
    n_slots, n_kept = int(state.counts[layout.SLOTS]), len(slots)
    joining.move_rows(state.coact, slots)
    new_slot = np.zeros(n_slots, dtype=np.int64)
    new_slot[slots] = np.arange(n_kept)
    state.figures[:, :n_kept] = state.figures[:, slots]
    state.marks[:, :n_kept] = state.marks[:, slots]
    state.marks[layout.SPAN_LENGTH, n_kept:] = 0
    if not rules.mask:
        state.owner[:] = new_slot[state.owner]
    state.counts[layout.SLOTS] = n_kept
    for slot in range(n_kept, n_slots):
        joining.close(state.figures, state.blocks, slot)
    for slot in range(0, n_slots, BLOCK):
        update_least(state.figures, state.blocks, slot)
        joining.update_weight(state.figures, state.blocks, slot)


def _pack_words(state: State) -> None:
    """Move all sets of samples to the front of their buffer.

    Example:
        >>> from spdclust.example_ensemble import example_engine
        >>> engine = example_engine()
        >>> replay(engine.state, engine.rules, np.array([[1, 3]]))
        >>> before = int(engine.state.counts[layout.TOP])
        >>> _pack_words(engine.state)
        >>> before, int(engine.state.counts[layout.TOP])  # a word for each of three groups
        (5, 3)
    """
    slots = np.flatnonzero(state.marks[layout.SPAN_LENGTH] > 0)
    # in the order in which they are stored, so that none overwrites one that is still to be moved
    slots = slots[np.argsort(state.marks[layout.SPAN_START, slots])]
    starts = state.marks[layout.SPAN_START, slots]
    moved = np.empty_like(starts)
    state.counts[layout.TOP] = samples.pack_words(
        state.words, starts, state.marks[layout.SPAN_LENGTH, slots], moved
    )
    state.marks[layout.SPAN_START, slots] = moved


def _pair_at_rank(state: State, rules: Rules, rank: int, rng: np.random.Generator) -> tuple[int, int]:
    """Return the slots of the pair at a given rank, with ties in random order, by reading all rows.

    A sample of pairs brackets the value; the pairs inside the bracket are then sorted.
    """
    log_k, slots = _log_k(state), open_slots(state)
    state.listed[: len(slots)] = slots
    state.listed[len(slots)] = -1
    low, high = _bracket(state, rules, rank, slots)
    while True:
        below, between = choosing_rank.count_between(state, rules, log_k, low, high, np.empty(0))
        # the sample was misleading: the value is on the other side of the bracket
        if below > rank:
            low, high = -np.inf, low
        elif below + between <= rank:
            low, high = high, np.inf
        else:
            break
    values = np.empty(between)
    choosing_rank.count_between(state, rules, log_k, low, high, values)
    value = np.partition(values, rank - below)[rank - below]
    ordinal = int(layout.draw_below(rng, int((values == value).sum())))
    p, q = choosing_rank.find_tie(state, rules, log_k, value, ordinal, len(slots))
    return int(p), int(q)


def warm_up(config: MergeConfig, n_components: int) -> None:
    """Compile the kernels for merges of this kind and size, or load them from the cache.

    Jobs that start at the same time on one file system wait for the first one to compile.

    Example:
        >>> warm_up(MergeConfig(), 100)

    Args:
        config: settings of the merge; the sampler and scalar activations determine what is compiled.
        n_components: number of components; large numbers need wider types.
    """
    scalar = config.activation_threshold is None
    wide = entry_type(capacity_for(n_components)) is np.int32
    at_zero = 0.0 in config.sampler_kwargs.values()
    kind = (config.merge_pair_sampling_method, at_zero, scalar, wide and not scalar)
    ensure_compiled(f"merge, {kind}", lambda: _merge_little(config, wide))


def _make_room(state: State, rules: Rules) -> None:
    status = int(state.counts[layout.STATUS])
    if status == layout.MOVE_TOGETHER:
        _move_together(state, rules)
    elif status == layout.PACK_WORDS:
        _pack_words(state)
    elif status == layout.NO_PAIR:
        raise InputError(
            "no pair of groups can be merged before the next batch",
            field="recompute_costs_every",
            found=f"{int(state.counts[layout.GROUPS])} groups, {int(state.counts[layout.OPEN])} not masked",
            allowed="fewer merges per batch, or between_batches: update",
        )


def _loop_for(rules: Rules) -> Callable[..., Any]:
    loops: dict[int, Callable[..., Any]] = {
        layout.RANGE: loop.merge_greedily if rules.argument == 0 else loop.merge_by_range,
        layout.MCMC: loop.merge_by_mcmc,
        layout.EXP_RANK: loop.merge_by_rank,
    }
    return loops[rules.sampler]


def _log_k(state: State) -> float:
    return math.log2(state.counts[layout.GROUPS] - 1)


def _join_with_figures(state: State, rules: Rules) -> None:
    """Join the chosen pair, after counting its rank and the candidates over all pairs."""
    counts, sums, log_k = state.counts, state.sums, _log_k(state)
    p, q = int(counts[layout.CHOSEN_P]), int(counts[layout.CHOSEN_Q])
    rank = int(counts[layout.CHOSEN_RANK])
    if rank < 0:
        value = layout.value_of(state.coact, state.figures, p, q, rules.alpha, log_k)
        rank, _ = loop.count_candidates(state, rules, log_k, np.nextafter(value, -np.inf))
    n_candidates, n_zeros = loop.count_candidates(state, rules, log_k, sums[layout.CHOSEN_LIMIT])
    _join(state, rules, p, q, rank, n_zeros / n_candidates)


def _join_high_rank(state: State, rules: Rules, rng: np.random.Generator) -> None:
    p, q = _pair_at_rank(state, rules, int(state.counts[layout.CHOSEN_RANK]), rng)
    _join(
        state, rules, p, q, int(state.counts[layout.CHOSEN_RANK]), float(loop.zero_share_of_all(state.counts))
    )


def _join(state: State, rules: Rules, p: int, q: int, rank: int, zero_share: float) -> None:
    joining.join(state, rules, p, q, float(state.sums[layout.LEAST_VALUE]), rank, zero_share)
    if rules.sampler == layout.MCMC:
        loop.open_row_for_mcmc(state, rules)
    elif rules.sampler == layout.RANGE and rules.argument > 0:
        loop.open_row_for_range(state, rules)


def _bracket(state: State, rules: Rules, rank: int, slots: Int[np.ndarray, " groups"]) -> tuple[float, float]:
    """Return two values that very likely bracket the one at `rank`, from evenly spaced pairs."""
    n_pairs = len(slots) * (len(slots) - 1) // 2
    # multiples of the golden ratio, modulo the number of pairs, leave no large gap and follow no
    # pattern of the rows
    positions = (np.arange(int(4 * n_pairs ** (2 / 3)) + 64) * (int(n_pairs * 0.6180339887) | 1)) % n_pairs
    values = np.sort(_values_at(state, rules, positions, slots))
    # six standard deviations of a rank in a sample; if the value lies outside after all, the caller widens it
    middle, margin = rank / n_pairs * len(values), 3 * math.sqrt(len(values))
    low = values[int(middle - margin)] if middle >= margin else -np.inf
    high = values[int(middle + margin)] if middle + margin < len(values) else np.inf
    return float(low), float(high)


def _values_at(
    state: State, rules: Rules, positions: Int[np.ndarray, " taken"], slots: Int[np.ndarray, " groups"]
) -> Float[np.ndarray, " taken"]:
    """Return the values of pairs, numbered row by row over the open slots."""
    row = np.floor((1 + np.sqrt(1 + 8.0 * positions)) / 2).astype(np.int64)
    # the square root may be rounded across an integer, up or down
    row -= row * (row - 1) // 2 > positions
    row += (row + 1) * row // 2 <= positions
    p, q = slots[row], slots[positions - row * (row - 1) // 2]
    c = layout.counts_of(state.coact, p, q)
    s, r = state.figures[layout.ACTIVITY], state.figures[layout.RANK]
    values: np.ndarray = rules.alpha * ((s[p] - c) * r[q] + (s[q] - c) * r[p]) - c * _log_k(state)
    return values


def _merge_little(config: MergeConfig, wide: bool) -> None:
    rng = np.random.default_rng(0)
    acts = ProcessedActivations.from_dense(
        (rng.random((200, 12)) < rng.random(12)).astype(np.float32), [f"m:{i}" for i in range(12)]
    )
    loaded = load_batch(acts, np.arange(12), None, config, threads=1, wide=wide)
    rules = rules_for(config, loaded, thorough=False)
    state = build_state(
        loaded, np.arange(12), np.ones(12, dtype=np.int64), 0, np.zeros((layout.N_RECORDS, 12))
    )
    read_all_rows(state, rules, threads=1)
    merge_up_to(state, rules, 6, rng)
    # kernels that a small merge does not reach by itself
    _move_together(state, rules)
    _pack_words(state)
    joining.spread_rows(state.coact, np.arange(2))
    if config.merge_pair_sampling_method == "exp_rank":
        state.listed[:2] = 0, -1
        choosing_rank.count_between(state, rules, 1.0, 0.0, 0.0, np.empty(0))
        choosing_rank.find_tie(state, rules, 1.0, 0.0, 0, 1)
        layout.draw_below(rng, 2)
        joining.join(state, rules, 0, 1, 0.0, 0, 0.0)
        loop.zero_share_of_all(state.counts)
