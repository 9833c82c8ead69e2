"""The merge loops: update the bounds, choose a pair, join it.

One loop per sampler, so that only the sampler in use is compiled. A loop returns early, with the reason in
counts[STATUS], for rare operations that need not be compiled with it.
"""

import math

import numpy as np

from spdclust.core.compiling import compiled, inner
from spdclust.merge.kernels.bounds import least_of_row, read_peak, settle_least
from spdclust.merge.kernels.choosing_mcmc import choose_mcmc, weigh_new_row
from spdclust.merge.kernels.choosing_range import (
    choose_range,
    count_candidates_of_row,
    draw_any,
    range_limit,
)
from spdclust.merge.kernels.choosing_rank import choose_least, choose_rank, draw_rank
from spdclust.merge.kernels.joining import join, update_weight
from spdclust.merge.kernels.layout import (
    CHOSEN_LIMIT,
    CHOSEN_P,
    CHOSEN_Q,
    CHOSEN_RANK,
    CLOSED,
    DONE,
    FIND_FIGURES,
    FIND_RANK,
    GROUPS,
    LEAST_VALUE,
    LIMIT,
    LOW,
    LOW_AT,
    MERGES,
    MOVE_TOGETHER,
    NO_PAIR,
    OPEN,
    PACK_WORDS,
    RANGE,
    SLOTS,
    STATUS,
    TIES,
    TOP,
    ZERO_PAIRS,
    count_of,
    value_of,
)

MOVE_WHEN_CLOSED = 64
"""Rows are compacted when the closed slots exceed this number and a quarter of the open ones."""


@compiled
def may_go_on(state, rules):
    """Return whether a merge can start; otherwise set the status to what must be done first."""
    counts = state.counts
    n_closed, n_open = counts[SLOTS] - counts[OPEN], counts[OPEN]
    n_words = (np.int64(rules.n_samples) + 31) // 32
    if n_open < 2:
        counts[STATUS] = NO_PAIR
    elif counts[SLOTS] == state.figures.shape[1] or n_closed > n_open // 4 + MOVE_WHEN_CLOSED:
        counts[STATUS] = MOVE_TOGETHER
    # whatever the sizes of its parts are, a union takes at most a whole bitmap
    elif not rules.scalar and not rules.mask and counts[TOP] + n_words > len(state.words):
        counts[STATUS] = PACK_WORDS
    else:
        counts[STATUS] = DONE
        return True
    return False


@compiled
def zero_share_of_all(counts):
    """Return the share of all pairs that are never active together."""
    return counts[ZERO_PAIRS] / (counts[OPEN] * (counts[OPEN] - 1) // 2)


@inner
def _zero_share_up_to(limit, rules):
    """Return that share among pairs with a value of at most `limit`, if it is known without counting.

    Unless activations are negative, pairs that are never active together have a value of 0 or more.
    """
    return 0.0 if limit < 0.0 and rules.monotone else np.nan


@inner
def pauses(state, rules, p, q, least, limit, rank):
    """Return the choice to the caller to join, if all of its statistics are requested."""
    if not rules.thorough:
        return False
    state.counts[STATUS] = FIND_FIGURES
    state.counts[CHOSEN_P], state.counts[CHOSEN_Q], state.counts[CHOSEN_RANK] = p, q, rank
    state.sums[LEAST_VALUE], state.sums[CHOSEN_LIMIT] = least, limit
    return True


@compiled
def merge_greedily(state, rules, n_merges, rng):
    """Do up to `n_merges` merges by the `range` law with threshold 0."""
    for _ in range(n_merges):
        if not may_go_on(state, rules):
            return
        log_k = math.log2(state.counts[GROUPS] - 1.0)
        p, q = choose_least(state, rules, log_k, rng)
        least = value_of(state.coact, state.figures, p, q, rules.alpha, log_k)
        if pauses(state, rules, p, q, least, least, np.int64(0)):
            return
        join(state, rules, p, q, least, np.int64(0), _zero_share_up_to(least, rules))


@compiled
def merge_by_range(state, rules, n_merges, rng):
    """Do up to `n_merges` merges by the `range` law with a threshold above 0."""
    for _ in range(n_merges):
        if not may_go_on(state, rules):
            return
        log_k = math.log2(state.counts[GROUPS] - 1.0)
        least, limit = range_limit(state, rules, log_k)
        if rules.argument == 1.0:
            p, q = draw_any(state.figures, state.counts[SLOTS], rng)
            share = zero_share_of_all(state.counts)
        else:
            p, q = choose_range(state, rules, log_k, least, limit, rng)
            share = _zero_share_up_to(limit, rules)
        if pauses(state, rules, p, q, least, limit, np.int64(-1)):
            return
        join(state, rules, p, q, least, np.int64(-1), share)
        open_row_for_range(state, rules)


@compiled
def open_row_for_range(state, rules):
    """Set the values that the `range` law stores for the newly written row."""
    counts = state.counts
    if not rules.mask and counts[GROUPS] > 1:
        new, log_k = counts[SLOTS] - 1, math.log2(counts[GROUPS] - 1.0)
        read_peak(state.coact, state.figures, state.marks, new, rules.alpha, log_k, counts[MERGES])
        limit = state.sums[LIMIT]
        count_candidates_of_row(state.coact, state.figures, new, rules.alpha, log_k, limit)
        update_weight(state.figures, state.blocks, new)


@compiled
def merge_by_mcmc(state, rules, n_merges, rng):
    """Do up to `n_merges` merges by the `mcmc` law."""
    for _ in range(n_merges):
        if not may_go_on(state, rules):
            return
        log_k = math.log2(state.counts[GROUPS] - 1.0)
        least = least_value(state, rules, log_k)
        p, q = choose_mcmc(state, rules, log_k, rng)
        if pauses(state, rules, p, q, least, np.inf, np.int64(-1)):
            return
        join(state, rules, p, q, least, np.int64(-1), zero_share_of_all(state.counts))
        open_row_for_mcmc(state, rules)


@compiled
def open_row_for_mcmc(state, rules):
    """Set the values that the `mcmc` law stores for the newly written row."""
    counts = state.counts
    if not rules.mask and counts[GROUPS] > 1:
        weigh_new_row(state, rules, counts[SLOTS] - 1, math.log2(counts[GROUPS] - 1.0))


@compiled
def merge_by_rank(state, rules, n_merges, rng):
    """Do up to `n_merges` merges by the `exp_rank` law."""
    counts = state.counts
    for _ in range(n_merges):
        if not may_go_on(state, rules):
            return
        log_k = math.log2(counts[GROUPS] - 1.0)
        least = least_value(state, rules, log_k)
        if rules.argument == 0.0:
            rank = np.int64(-1)
            p, q = draw_any(state.figures, counts[SLOTS], rng)
        else:
            rank = draw_rank(rules.argument, counts[OPEN] * (counts[OPEN] - 1) // 2, rng)
            # a heap for it would be as large as all pairs: the caller reads a sample of them instead
            if rank >= len(state.heap):
                counts[STATUS], counts[CHOSEN_RANK] = FIND_RANK, rank
                state.sums[LEAST_VALUE] = least
                return
            if rank == 0:
                p, q = choose_least(state, rules, log_k, rng)
            else:
                p, q = choose_rank(state, rules, log_k, rank, rng)
        if pauses(state, rules, p, q, least, np.inf, rank):
            return
        join(state, rules, p, q, least, rank, zero_share_of_all(counts))


@inner
def least_value(state, rules, log_k):
    """Return the least value of all pairs."""
    p = settle_least(state.coact, state.figures, state.marks, state.blocks, state.counts, rules.alpha, log_k)
    return state.figures[LOW, p] if p >= 0 else np.inf


@compiled
def read_rows(state, rules, first, last):
    """Re-read the rows of slots `first` to `last`; the caller must update the blocks."""
    coact, figures, marks, counts = state.coact, state.figures, state.marks, state.counts
    log_k = math.log2(max(counts[GROUPS] - 1.0, 1.0))
    for p in range(first, last):
        if figures[CLOSED, p] == 0.0:
            figures[LOW, p] = least_of_row(coact, figures, p, rules.alpha, log_k)
            marks[LOW_AT, p] = counts[MERGES]
            marks[TIES, p] = -1
            if rules.sampler == RANGE and rules.argument > 0.0:
                read_peak(coact, figures, marks, p, rules.alpha, log_k, counts[MERGES])


@compiled
def count_candidates(state, rules, log_k, limit):
    """Return the number of pairs of value at most `limit`, and how many of them are never active together."""
    figures, candidates, zeros = state.figures, 0, 0
    for p in range(state.counts[SLOTS]):
        # a row whose lower bound is above the limit has no candidate and need not be read
        if figures[CLOSED, p] == 0.0 and figures[LOW, p] <= limit:
            for q in range(p):
                if (
                    figures[CLOSED, q] == 0.0
                    and value_of(state.coact, figures, p, q, rules.alpha, log_k) <= limit
                ):
                    candidates += 1
                    zeros += count_of(state.coact, p, q) == 0
    return candidates, zeros
