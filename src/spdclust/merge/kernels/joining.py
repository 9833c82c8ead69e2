"""Merge two groups into one: write a new row of coactivations and all values that belong to it."""

import math

import numpy as np

from spdclust.core.compiling import compiled, inner
from spdclust.merge.kernels.bounds import least_of_row, set_low, update_least
from spdclust.merge.kernels.layout import (
    ACTIVITY,
    ACTIVITY_FIRST,
    ACTIVITY_SECOND,
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
    count_of,
    narrow_row,
    row_start,
    store_row,
    value_of,
    wide_row,
)
from spdclust.merge.kernels.machine import fetch
from spdclust.merge.kernels.samples import hand_over, unite
from spdclust.merge.memory import BLOCK

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
    _write_choice(state, a, b, value, least, rank, zero_share)
    s_a, s_b, r_a, r_b = figures[ACTIVITY, a], figures[ACTIVITY, b], figures[RANK, a], figures[RANK, b]
    total = figures[TOTAL, a] + figures[TOTAL, b]
    # scalar activations: a merged group's activity is its plain sum, as in the reference implementation
    s_new = total if rules.scalar else s_a + s_b - np.float64(count_of(state.coact, a, b))
    # a merged group takes part again after the next batch, so it needs no row until then
    if rules.mask:
        counts[ZERO_PAIRS] -= _zeros_of_two(state.coact, figures, a, b, new)
    else:
        if not rules.scalar:
            unite(state, a, b, new, (np.int64(rules.n_samples) + 31) // 32)
            hand_over(marks, state.owner, state.following, a, b, new)
        counts[ZERO_PAIRS] += _write_row(state, a, b, new, s_new, rules.narrow)
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
    sums[SUM_ACTIVITY], sums[LOST_ACTIVITY] = _replace_in_sum(
        sums[SUM_ACTIVITY], sums[LOST_ACTIVITY], s_new, s_a, s_b
    )
    sums[SUM_ACTIVITY_RANK], sums[LOST_ACTIVITY_RANK] = _replace_in_sum(
        sums[SUM_ACTIVITY_RANK], sums[LOST_ACTIVITY_RANK], s_new * (r_a + r_b), s_a * r_a, s_b * r_b
    )
    state.log[MDL, counts[MERGES]] = description_length(counts[GROUPS], sums, rules.alpha)
    counts[MERGES] += 1
    if not rules.mask and counts[GROUPS] > 1:
        log_k = math.log2(counts[GROUPS] - 1.0)
        low = least_of_row(state.coact, figures, new, rules.alpha, log_k)
        set_low(figures, marks, state.blocks, new, low, counts[MERGES])


@inner
def _write_choice(state, a, b, value, least, rank, zero_share):
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


@inner
def description_length(k, sums, alpha):
    """Return Σ s_g·(log2 k + α·r_g) of a grouping, in bits over all samples."""
    activity = total_of(sums[SUM_ACTIVITY], sums[LOST_ACTIVITY])
    return activity * math.log2(k) + alpha * total_of(sums[SUM_ACTIVITY_RANK], sums[LOST_ACTIVITY_RANK])


@inner
def _replace_in_sum(total, lost, new, a, b):
    """Return a running sum and its rounding error so far, with `new` instead of `a` and `b`."""
    without_a = new - a
    change = without_a - b
    after = total + change
    lost += _lost_in_sum(new, -a, without_a) + _lost_in_sum(without_a, -b, change)
    return after, lost + _lost_in_sum(total, change, after)


@inner
def _lost_in_sum(x, y, total):
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


@inner
def _write_row(state, a, b, new, activity, narrow):
    """Write the coactivations of the union of slots `a` and `b`, in a wide row if it is active often enough.

    They are the sum of those of both, minus the samples counted twice, which `new_row` holds already.

    Returns:
        The increase in the number of pairs without coactivation.
    """
    coact, closed, row = state.coact, state.figures[CLOSED], state.new_row
    # the pair of the two is counted with each of them
    zeros = np.int64(count_of(coact, a, b) == 0)
    zeros -= _add_part(coact, closed, a, new, row)
    zeros -= _add_part(coact, closed, b, new, row)
    for q in range(new):
        zeros += (row[q] == 0) & (closed[q] == 0.0) & (q != a) & (q != b)
    # no count of the row can exceed the activity, so the activity decides the type
    if activity > narrow:
        _open_wide_row(coact, closed, new)
    store_row(coact, new, row)
    row[:new] = 0
    return zeros


@inner
def _add_part(coact, closed, part, n_slots, row):
    """Add the coactivations of one slot with all others to `row`; return with how many groups it has none."""
    if coact.wide_start[part] >= 0:
        zeros = _add_older(wide_row(coact, part), closed, row)
    else:
        zeros = _add_older(narrow_row(coact, part), closed, row)
    # a slot's counts with younger slots are in their rows, one entry in each
    for q in range(part + 1, n_slots):
        fetch(coact.narrow, row_start(q + AHEAD) + part)
        c = count_of(coact, q, part)
        row[q] += c
        zeros += (c == 0) & (closed[q] == 0.0)
    return zeros


@inner
def _add_older(counts, closed, row):
    zeros = 0
    for q in range(len(counts)):
        row[q] += counts[q]
        zeros += (counts[q] == 0) & (closed[q] == 0.0)
    return zeros


@inner
def _open_wide_row(coact, closed, new):
    """Make room for a wide row after all others; where there is none, remove those of closed slots."""
    if coact.wide_start[-1] + new > len(coact.wide):
        end = 0
        for p in range(new):
            start = coact.wide_start[p]
            if start >= 0 and closed[p] == 0.0:
                for q in range(p):
                    coact.wide[end + q] = coact.wide[start + q]
                coact.wide_start[p] = end
                end += p
            else:
                coact.wide_start[p] = -1
        coact.wide_start[-1] = end
    coact.wide_start[new] = coact.wide_start[-1]
    coact.wide_start[-1] += new


@inner
def _zeros_of_two(coact, figures, a, b, n_slots):
    """Return the number of pairs of slots `a` and `b` that have no coactivation."""
    zeros = np.int64(count_of(coact, a, b) == 0)
    for q in range(n_slots):
        if figures[CLOSED, q] == 0.0 and q != a and q != b:
            zeros += (count_of(coact, a, q) == 0) + np.int64(count_of(coact, b, q) == 0)
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
def move_rows(coact, slots):
    """Remove the gaps that closed slots left in the triangle; rows only move towards the front."""
    end = 0
    for p in range(len(slots)):
        start = coact.wide_start[slots[p]]
        if start >= 0:
            for q in range(p):
                coact.wide[end + q] = coact.wide[start + slots[q]]
            coact.wide_start[p] = end
            end += p
        else:
            to, start = row_start(p), row_start(slots[p])
            for q in range(p):
                coact.narrow[to + q] = coact.narrow[start + slots[q]]
            coact.wide_start[p] = -1
    coact.wide_start[len(slots) : -1] = -1
    coact.wide_start[-1] = end


@compiled(allocates=True)
def spread_rows(coact, slots):
    """Move contiguous rows to the given slots, in order; the inverse of `move_rows`."""
    wide_start, end = coact.wide_start[: len(slots)].copy(), 0
    for p in range(len(slots)):
        end += slots[p] * (wide_start[p] >= 0)
    coact.wide_start[:-1] = -1
    coact.wide_start[-1] = end
    for p in range(len(slots) - 1, -1, -1):
        start = wide_start[p]
        if start >= 0:
            end -= slots[p]
            for q in range(p - 1, -1, -1):
                coact.wide[end + slots[q]] = coact.wide[start + q]
            coact.wide_start[slots[p]] = end
        else:
            to, start = row_start(slots[p]), row_start(p)
            for q in range(p - 1, -1, -1):
                coact.narrow[to + slots[q]] = coact.narrow[start + q]
