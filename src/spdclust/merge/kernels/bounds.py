"""Row minima and maxima, re-read only when their bounds are no longer tight enough.

As groups merge, log2(k−1) falls and every pair's value can only grow. A row minimum found earlier is now a
lower bound; the row with the least bound is re-read until the least bound is up to date.
"""

import numpy as np

from spdclust.core.compiling import compiled, inner
from spdclust.merge.kernels.layout import (
    ACTIVITY,
    CLOSED,
    LEAST,
    LOW,
    LOW_AT,
    MERGES,
    MOST,
    PEAK,
    PEAK_AT,
    RANK,
    SLOPE,
    SLOTS,
    TIES,
    narrow_row,
    pair_value,
    wide_row,
)
from spdclust.merge.kernels.machine import greater, smaller
from spdclust.merge.memory import BLOCK

# a row is narrow or wide, in different types: what reads one is compiled for both


@inner
def values_of_row(coact, figures, p, first, last, alpha, log_k, values):
    """Write a row's values for slots `first` to `last`, infinity for closed ones; return the least value."""
    if coact.wide_start[p] >= 0:
        return _values(wide_row(coact, p), figures, p, first, last, alpha, log_k, values)
    return _values(narrow_row(coact, p), figures, p, first, last, alpha, log_k, values)


@compiled
def _values(row, figures, p, first, last, alpha, log_k, values):
    s, r, closed = figures[ACTIVITY], figures[RANK], figures[CLOSED]
    s_p, r_p, least = s[p], r[p], np.inf
    for q in range(first, last):
        value = pair_value(np.float64(row[q]), s_p, s[q], r_p, r[q], alpha, log_k) + closed[q]
        values[q] = value
        least = smaller(least, value)
    return least


@inner
def least_of_row(coact, figures, p, alpha, log_k):
    """Return the least value of a row's pairs, or infinity if it has none."""
    if coact.wide_start[p] >= 0:
        return _least(wide_row(coact, p), figures, p, alpha, log_k)
    return _least(narrow_row(coact, p), figures, p, alpha, log_k)


@inner
def _least(row, figures, p, alpha, log_k):
    s, r, closed = figures[ACTIVITY], figures[RANK], figures[CLOSED]
    s_p, r_p, least = s[p], r[p], np.inf
    for q in range(p):
        value = pair_value(np.float64(row[q]), s_p, s[q], r_p, r[q], alpha, log_k) + closed[q]
        least = smaller(least, value)
    return least


@inner
def most_of_row(coact, figures, p, alpha, log_k):
    """Return a row's greatest value now and at log2(k−1) = 0; minus infinity without pairs."""
    if coact.wide_start[p] >= 0:
        return _most(wide_row(coact, p), figures, p, alpha, log_k)
    return _most(narrow_row(coact, p), figures, p, alpha, log_k)


@inner
def _most(row, figures, p, alpha, log_k):
    s, r, closed = figures[ACTIVITY], figures[RANK], figures[CLOSED]
    s_p, r_p, most, most_at_zero = s[p], r[p], -np.inf, -np.inf
    for q in range(p):
        c = np.float64(row[q])
        most = greater(most, pair_value(c, s_p, s[q], r_p, r[q], alpha, log_k) - closed[q])
        most_at_zero = greater(most_at_zero, pair_value(c, s_p, s[q], r_p, r[q], alpha, 0.0) - closed[q])
    return most, most_at_zero


@inner
def count_in_row(coact, figures, p, alpha, log_k, limit):
    """Return the number of a row's pairs with a finite value of at most `limit`."""
    if coact.wide_start[p] >= 0:
        return _count(wide_row(coact, p), figures, p, alpha, log_k, limit)
    return _count(narrow_row(coact, p), figures, p, alpha, log_k, limit)


@compiled
def _count(row, figures, p, alpha, log_k, limit):
    s, r, closed = figures[ACTIVITY], figures[RANK], figures[CLOSED]
    s_p, r_p, count = s[p], r[p], 0
    for q in range(p):
        value = pair_value(np.float64(row[q]), s_p, s[q], r_p, r[q], alpha, log_k) + closed[q]
        count += value <= limit
    return count


@inner
def find_in_row(coact, figures, p, alpha, log_k, low, high, ordinal, values):
    """Return the slot of the `ordinal`-th pair of a row with a value within the limits, and their number.

    `values` is a buffer of one value per slot. The slot is -1 if there are fewer such pairs.
    """
    found, count = -1, 0
    for first in range(0, p, BLOCK):
        last = min(first + BLOCK, p)
        # most blocks have no such pair, and their least value is known without a branch per pair
        if values_of_row(coact, figures, p, first, last, alpha, log_k, values) <= high:
            for q in range(first, last):
                if low <= values[q] <= high:
                    if count == ordinal:
                        found = q
                    count += 1
    return found, count


@inner
def set_low(figures, marks, blocks, p, low, now):
    """Store a row's least value."""
    if low != figures[LOW, p]:
        marks[TIES, p] = -1  # otherwise the old number is still an upper bound
    figures[LOW, p] = low
    marks[LOW_AT, p] = now
    update_least(figures, blocks, p)


@compiled
def update_least(figures, blocks, p):
    """Recompute the least bound of the block that contains a slot."""
    first = p // BLOCK * BLOCK
    low, least = figures[LOW], np.inf
    for q in range(first, min(first + BLOCK, len(low))):
        least = smaller(least, low[q])
    blocks[LEAST, p // BLOCK] = least


@inner
def least_bound(figures, blocks, n_slots):
    """Return the row with the least lower bound, the first one if tied; -1 if all are infinite."""
    block, least = -1, np.inf
    for b in range((n_slots + BLOCK - 1) // BLOCK):
        if blocks[LEAST, b] < least:
            block, least = b, blocks[LEAST, b]
    if block >= 0:
        for p in range(block * BLOCK, min(block * BLOCK + BLOCK, n_slots)):
            if figures[LOW, p] == least:
                return p
    return -1


@inner
def settle_least(coact, figures, marks, blocks, counts, alpha, log_k):
    """Return a row that holds a pair of the least value, its bound up to date; -1 if there is no pair."""
    n_slots, now = counts[SLOTS], counts[MERGES]
    while True:
        p = least_bound(figures, blocks, n_slots)
        if p < 0 or marks[LOW_AT, p] == now:
            return p
        set_low(figures, marks, blocks, p, least_of_row(coact, figures, p, alpha, log_k), now)


@inner
def read_peak(coact, figures, marks, p, alpha, log_k, now):
    """Read a row and update its upper bound.

    Every pair's value is linear in log2(k−1), so the greatest of them is convex: until log2(k−1) reaches 0,
    it stays below the straight line between its end points. The last term covers rounding.
    """
    most, most_at_zero = most_of_row(coact, figures, p, alpha, log_k)
    figures[MOST, p] = most
    figures[SLOPE, p] = 0.0
    figures[PEAK, p] = most
    marks[PEAK_AT, p] = now
    if most != -np.inf and log_k > 0.0:
        rise = most_at_zero - most
        figures[SLOPE, p] = rise / log_k
        figures[PEAK, p] = most + rise + 4e-15 * (abs(most) + 2.0 * rise)


@inner
def _greatest_bounds(figures, marks, n_slots, log_k, now):
    """Return the greatest value of the up-to-date rows and the greatest upper bound of the others."""
    fresh, stale = -np.inf, -np.inf
    most, peak, slope, peak_at = figures[MOST], figures[PEAK], figures[SLOPE], marks[PEAK_AT]
    for p in range(n_slots):
        is_fresh = peak_at[p] == now
        fresh = greater(fresh, most[p] if is_fresh else -np.inf)
        stale = greater(stale, -np.inf if is_fresh else peak[p] - slope[p] * log_k)
    return fresh, stale


@inner
def settle_greatest(coact, figures, marks, counts, alpha, log_k):
    """Return the greatest value of all pairs, or minus infinity if there are none."""
    n_slots, now = counts[SLOTS], counts[MERGES]
    while True:
        fresh, stale = _greatest_bounds(figures, marks, n_slots, log_k, now)
        if stale <= fresh:
            return fresh
        for p in range(n_slots):
            if marks[PEAK_AT, p] != now and figures[PEAK, p] - figures[SLOPE, p] * log_k == stale:
                read_peak(coact, figures, marks, p, alpha, log_k, now)
                break  # other rows may tie with it and need not be read
