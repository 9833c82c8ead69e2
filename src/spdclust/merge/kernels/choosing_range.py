"""Draw uniformly from the pairs with value ≤ min + threshold·(max − min), without listing them.

If many pairs are candidates, draw from all pairs until one is a candidate. If few are, draw a row weighted by
the number of candidates it had when last counted. Values only grow, so that number is never too low while the
limit stays below the one used for counting. Read the row, and repeat the draw if it selects a pair that is no
longer a candidate. Both methods give every candidate the same probability.
"""

import numpy as np

from spdclust.core.compiling import inner
from spdclust.merge.kernels.bounds import count_in_row, find_in_row, settle_greatest, settle_least
from spdclust.merge.kernels.joining import update_weight
from spdclust.merge.kernels.layout import (
    BLIND_FAILED,
    CLOSED,
    LIMIT,
    LOW,
    MARGIN,
    MERGES,
    OPEN,
    SLOTS,
    TOTAL_WEIGHT,
    WEIGHT,
    draw_below,
    value_of,
)
from spdclust.merge.memory import BLOCK


@inner
def draw_any(figures, n_slots, rng):
    """Draw uniformly from all pairs."""
    while True:
        p, q = draw_below(rng, n_slots), draw_below(rng, n_slots)
        if p != q and figures[CLOSED, p] == 0.0 and figures[CLOSED, q] == 0.0:
            return max(p, q), min(p, q)


@inner
def range_limit(state, rules, log_k):
    """Return the least value and the greatest value of a candidate; infinite if there is no pair."""
    coact, figures, marks, counts = state.coact, state.figures, state.marks, state.counts
    p = settle_least(coact, figures, marks, state.blocks, counts, rules.alpha, log_k)
    if p < 0:
        return np.inf, -np.inf
    least = figures[LOW, p]
    greatest = settle_greatest(coact, figures, marks, counts, rules.alpha, log_k)
    # for a threshold of 1 the sum may round to just below the maximum
    return least, greatest if rules.argument == 1.0 else least + rules.argument * (greatest - least)


@inner
def choose_range(state, rules, log_k, least, limit, rng):
    """Draw uniformly from the pairs with a value of at most `limit`; there must be at least one."""
    p, q = _draw_blindly(state, rules, log_k, limit, rng)
    if p < 0:
        p, q = _draw_by_counts(state, rules, log_k, least, limit, rng)
    return p, q


@inner
def _draw_blindly(state, rules, log_k, limit, rng):
    # as many trials as cost about the same as reading a few rows; after a failure, try only occasionally
    coact, figures, counts = state.coact, state.figures, state.counts
    n_trials = 32 + counts[OPEN] // 16
    if counts[BLIND_FAILED] and counts[MERGES] % 16 != 0:
        n_trials = 0
    for _ in range(n_trials):
        p, q = draw_any(figures, counts[SLOTS], rng)
        if value_of(coact, figures, p, q, rules.alpha, log_k) <= limit:
            counts[BLIND_FAILED] = 0
            return p, q
    counts[BLIND_FAILED] = 1
    return -1, -1


@inner
def _draw_by_counts(state, rules, log_k, least, limit, rng):
    coact, figures, blocks, sums = state.coact, state.figures, state.blocks, state.sums
    n_failed = 0
    if limit > sums[LIMIT]:
        # adaptive margin: increase it when the limit rose, decrease it after repeated failed draws
        sums[MARGIN] = min(2.0 * sums[MARGIN], 1.0)
        _count_candidates_of_rows(state, rules, log_k, limit + sums[MARGIN] * (limit - least))
    while True:
        p, ordinal = _row_at(figures, blocks, state.counts[SLOTS], rng)
        q, _ = find_in_row(coact, figures, p, rules.alpha, log_k, -np.inf, limit, ordinal, state.room[0])
        if q >= 0:
            return p, q
        n_failed += 1
        if n_failed % 8 == 0:
            sums[MARGIN] *= 0.5
            _count_candidates_of_rows(state, rules, log_k, limit + sums[MARGIN] * (limit - least))
        else:
            figures[WEIGHT, p] = count_in_row(coact, figures, p, rules.alpha, log_k, sums[LIMIT])
            update_weight(figures, blocks, p)


@inner
def _row_at(figures, blocks, n_slots, rng):
    """Draw a row by its integer weight, and the number of one of its candidates."""
    total = 0.0
    for block in range((n_slots + BLOCK - 1) // BLOCK):
        total += blocks[TOTAL_WEIGHT, block]
    ordinal = draw_below(rng, np.int64(total))
    block = 0
    while ordinal >= blocks[TOTAL_WEIGHT, block]:
        ordinal -= np.int64(blocks[TOTAL_WEIGHT, block])
        block += 1
    p = block * BLOCK
    while ordinal >= figures[WEIGHT, p]:
        ordinal -= np.int64(figures[WEIGHT, p])
        p += 1
    return p, ordinal


@inner
def _count_candidates_of_rows(state, rules, log_k, limit):
    """Recount the candidates of every row."""
    figures, n_slots = state.figures, state.counts[SLOTS]
    state.sums[LIMIT] = limit
    for p in range(n_slots):
        count_candidates_of_row(state.coact, figures, p, rules.alpha, log_k, limit)
    for block in range((n_slots + BLOCK - 1) // BLOCK):
        update_weight(figures, state.blocks, block * BLOCK)


@inner
def count_candidates_of_row(coact, figures, p, alpha, log_k, limit):
    """Count the candidates of a row; the caller must update the block's total."""
    figures[WEIGHT, p] = 0.0
    if figures[LOW, p] <= limit and figures[CLOSED, p] == 0.0:
        figures[WEIGHT, p] = count_in_row(coact, figures, p, alpha, log_k, limit)
