"""Merge two groups into one: write a new row of coactivations and all values that belong to it."""

import math

import numpy as np

from spdclust.core.compiling import compiled
from spdclust.merge.kernels.bounds import least_of_row, set_low, update_least
from spdclust.merge.kernels.layout import (
    ACTIVITY,
    ACTIVITY_FIRST,
    ACTIVITY_SECOND,
    BLOCK,
    CLOSED,
    COMMON,
    GAP,
    GROUPS,
    LEAST_WEIGHED,
    LOST_ACTIVITY,
    LOST_ACTIVITY_RANK,
    LOW,
    MDL,
    MERGES,
    MOST,
    NAME,
    NAME_FIRST,
    NAME_SECOND,
    OPEN,
    PAIR_RANK,
    PEAK,
    RANK,
    SIZE_FIRST,
    SIZE_SECOND,
    SLOPE,
    SLOTS,
    SUM_ACTIVITY,
    SUM_ACTIVITY_RANK,
    TOTAL,
    TOTAL_WEIGHT,
    VALUE,
    WEIGHT,
    WEIGHT_TOTAL,
    ZERO_PAIRS,
    ZERO_SHARE,
    pair_place,
    row_start,
    value_of,
)
from spdclust.merge.kernels.machine import fetch
from spdclust.merge.kernels.samples import hand_over, unite

MOST_LOST = 1e-12
"""Tolerated relative error of a running sum: at least ten times the error of ordinary merges."""

AHEAD = 24
"""Number of rows ahead for which a column is prefetched: its entries are a whole row apart."""


@compiled
def join(state, rules, p, q, least, rank, zero_share):
    """Record the choice of slots `p` and `q`, and merge them into a new slot after all others.

    Sets the new row's lower bound; the caller must set the other values that a sampler stores per row.
    """
    figures, marks, counts, sums = state.figures, state.marks, state.counts, state.sums
    a, b, new = min(p, q), max(p, q), counts[SLOTS]
    log_k = math.log2(counts[GROUPS] - 1.0)
    value = value_of(state.coact, figures, p, q, rules.alpha, log_k)
    write_choice(state, a, b, value, least, rank, zero_share)
    s_a, s_b, r_a, r_b = figures[ACTIVITY, a], figures[ACTIVITY, b], figures[RANK, a], figures[RANK, b]
    total = figures[TOTAL, a] + figures[TOTAL, b]
    # scalar activations: a merged group's activity is its plain sum, as in the reference implementation
    s_new = total if rules.scalar else s_a + s_b - np.float64(state.coact[pair_place(a, b)])
    if rules.mask:
        counts[ZERO_PAIRS] -= zeros_of_two(state.coact, figures, a, b, new)
    else:
        if not rules.scalar:
            unite(state, a, b, new, (np.int64(rules.n_samples) + 31) // 32)
            hand_over(marks, state.owner, state.following, a, b, new)
        counts[ZERO_PAIRS] += write_row(state.coact, figures, state.touched, a, b, new)
        figures[ACTIVITY, new] = s_new
        figures[RANK, new] = r_a + r_b
        figures[TOTAL, new] = total
        figures[CLOSED, new] = 0.0
        marks[NAME, new] = min(marks[NAME, a], marks[NAME, b])
        counts[SLOTS] += 1
        counts[OPEN] += 1
    close(figures, state.blocks, a)
    close(figures, state.blocks, b)
    counts[OPEN] -= 2
    counts[GROUPS] -= 1
    sums[SUM_ACTIVITY], sums[LOST_ACTIVITY] = replace_in_sum(
        sums[SUM_ACTIVITY], sums[LOST_ACTIVITY], s_new, s_a, s_b
    )
    sums[SUM_ACTIVITY_RANK], sums[LOST_ACTIVITY_RANK] = replace_in_sum(
        sums[SUM_ACTIVITY_RANK], sums[LOST_ACTIVITY_RANK], s_new * (r_a + r_b), s_a * r_a, s_b * r_b
    )
    state.log[MDL, counts[MERGES]] = description_length(counts[GROUPS], sums, rules.alpha)
    counts[MERGES] += 1
    if not rules.mask and counts[GROUPS] > 1:
        log_k = math.log2(counts[GROUPS] - 1.0)
        low = least_of_row(state.coact, figures, new, rules.alpha, log_k)
        set_low(figures, marks, state.blocks, new, low, counts[MERGES])


@compiled
def write_choice(state, a, b, value, least, rank, zero_share):
    """Record what is known about a merge before it is done."""
    figures, marks, log, t = state.figures, state.marks, state.log, state.counts[MERGES]
    k = state.counts[GROUPS]
    log[VALUE, t] = value
    log[COMMON, t] = total_of(state.sums[SUM_ACTIVITY], state.sums[LOST_ACTIVITY]) * (
        math.log1p(-1.0 / k) / math.log(2.0)
    )
    log[GAP, t] = value - least
    log[PAIR_RANK, t] = rank
    log[ZERO_SHARE, t] = zero_share
    # the group of the smallest component first
    first, second = (a, b) if marks[NAME, a] < marks[NAME, b] else (b, a)
    log[NAME_FIRST, t], log[NAME_SECOND, t] = marks[NAME, first], marks[NAME, second]
    log[SIZE_FIRST, t], log[SIZE_SECOND, t] = figures[RANK, first], figures[RANK, second]
    log[ACTIVITY_FIRST, t], log[ACTIVITY_SECOND, t] = figures[ACTIVITY, first], figures[ACTIVITY, second]


@compiled
def description_length(k, sums, alpha):
    """Return Σ s_g·(log2 k + α·r_g) of a grouping, in bits over all samples."""
    activity = total_of(sums[SUM_ACTIVITY], sums[LOST_ACTIVITY])
    return activity * math.log2(k) + alpha * total_of(sums[SUM_ACTIVITY_RANK], sums[LOST_ACTIVITY_RANK])


@compiled
def replace_in_sum(total, lost, new, a, b):
    """Return a running sum and its rounding error so far, with `new` instead of `a` and `b`."""
    without_a = new - a
    change = without_a - b
    after = total + change
    lost += lost_in_sum(new, -a, without_a) + lost_in_sum(without_a, -b, change)
    return after, lost + lost_in_sum(total, change, after)


@compiled
def lost_in_sum(x, y, total):
    """Return x + y − total exactly, where total is the rounded sum (Knuth's two-sum)."""
    part = total - x
    return (x - (total - part)) + (y - part)


@compiled
def total_of(total, lost):
    """Return a running sum, corrected for the rounding error that it has lost if that is noticeable.

    Activity falls when a merge replaces sums of squares by plain sums: a component with values of 1e12 loses
    nearly all of its activity, and the digits of the others are lost with it.
    """
    corrected = total + lost
    return corrected if abs(lost) > MOST_LOST * abs(corrected) else total


@compiled
def write_row(coact, figures, touched, a, b, new):
    """Write the coactivations of the union of slots `a` < `b`: the sum of both, minus samples counted twice.

    Returns:
        The increase in the number of pairs without coactivation.
    """
    row = coact[row_start(new) : row_start(new) + new]
    row_a, row_b = coact[row_start(a) : row_start(a) + a], coact[row_start(b) : row_start(b) + b]
    closed, zeros = figures[CLOSED], 0
    for q in range(a):  # older than both parts: q is in both rows
        row[q] = row_a[q] + row_b[q] - touched[q]
        zeros += zeros_more(row_a[q], row_b[q], row[q], closed[q])
    for q in range(a + 1, b):  # between them: the older part is in the row of q
        fetch(coact, row_start(q + AHEAD) + a)
        c_a = coact[row_start(q) + a]
        row[q] = c_a + row_b[q] - touched[q]
        zeros += zeros_more(c_a, row_b[q], row[q], closed[q])
    for q in range(b + 1, new):  # younger than both: both parts are in the row of q
        start = row_start(q + AHEAD)
        fetch(coact, start + a)
        fetch(coact, start + b)
        start = row_start(q)
        c_a, c_b = coact[start + a], coact[start + b]
        row[q] = c_a + c_b - touched[q]
        zeros += zeros_more(c_a, c_b, row[q], closed[q])
    # pairs with closed slots are never looked at, and `a` with `b` was one of the pairs
    row[a] = 0
    zeros -= row_b[a] == 0
    row[b] = 0
    touched[:new] = 0
    return zeros


@compiled
def zeros_more(c_a, c_b, c, closed):
    """Return the increase in the number of pairs without coactivation when two pairs become one."""
    return (closed == 0.0) * (np.int64(c == 0) - np.int64(c_a == 0) - np.int64(c_b == 0))


@compiled
def zeros_of_two(coact, figures, a, b, n_slots):
    """Return the number of pairs of slots `a` and `b` that have no coactivation."""
    zeros = np.int64(coact[pair_place(a, b)] == 0)
    for q in range(n_slots):
        if figures[CLOSED, q] == 0.0 and q != a and q != b:
            zeros += (coact[pair_place(a, q)] == 0) + np.int64(coact[pair_place(b, q)] == 0)
    return zeros


@compiled
def close(figures, blocks, slot):
    """Exclude a slot from every search."""
    figures[CLOSED, slot] = np.inf
    figures[LOW, slot] = np.inf
    figures[MOST, slot] = -np.inf
    figures[PEAK, slot] = -np.inf
    figures[SLOPE, slot] = 0.0
    figures[LEAST_WEIGHED, slot] = np.inf
    figures[WEIGHT_TOTAL, slot] = 0.0
    figures[WEIGHT, slot] = 0.0
    update_least(figures, blocks, slot)
    update_weight(figures, blocks, slot)


@compiled
def update_weight(figures, blocks, p):
    """Recompute the total weight of the block that contains a slot."""
    first, total = p // BLOCK * BLOCK, 0.0
    for q in range(first, min(first + BLOCK, figures.shape[1])):
        total += figures[WEIGHT, q]
    blocks[TOTAL_WEIGHT, p // BLOCK] = total


@compiled
def move_rows(coact, kept):
    """Remove the gaps that closed slots left in the triangle; rows only move towards the front."""
    for p in range(len(kept)):
        to, start = row_start(p), row_start(kept[p])
        for q in range(p):
            coact[to + q] = coact[start + kept[q]]


@compiled
def spread_rows(coact, slots):
    """Move contiguous rows to the given slots, in order; the inverse of `move_rows`."""
    for p in range(len(slots) - 1, 0, -1):
        to, start = row_start(slots[p]), row_start(p)
        for q in range(p - 1, -1, -1):
            coact[to + slots[q]] = coact[start + q]
