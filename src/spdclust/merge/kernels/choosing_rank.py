"""Choose the pair at a given rank of all pairs sorted by value, with tied pairs in random order.

Rank 0 is the greedy choice. Only rows whose lower bound does not exceed the value searched for are read.
"""

import math

import numpy as np

from spdclust.core.compiling import compiled, inner
from spdclust.merge.kernels.bounds import (
    count_in_row,
    find_in_row,
    least_bound,
    least_of_row,
    set_low,
    settle_least,
    update_least,
    values_of_row,
)
from spdclust.merge.kernels.layout import (
    LEAST,
    LOW,
    LOW_AT,
    MERGES,
    SLOTS,
    TIES,
    draw_below,
)
from spdclust.merge.memory import BLOCK

EVEN_BELOW = 1e-30
"""If decay over all ranks is below this, all ranks are equally likely, and products of it lose precision."""


@inner
def draw_rank(decay, n_pairs, rng):
    """Draw a rank from 0 to n_pairs − 1 with probability ∝ exp(−decay·rank), by inversion; decay above 0."""
    if decay * n_pairs < EVEN_BELOW:
        rank = rng.random() * n_pairs
    else:
        rank = math.log1p(rng.random() * math.expm1(-decay * n_pairs)) / -decay
    return min(np.int64(rank), n_pairs - 1)


@inner
def choose_least(state, rules, log_k, rng):
    """Draw uniformly from the pairs with the least value; return its slots, -1 if there is no pair."""
    coact, figures, marks, blocks = state.coact, state.figures, state.marks, state.blocks
    p = settle_least(coact, figures, marks, blocks, state.counts, rules.alpha, log_k)
    if p < 0:
        return -1, -1
    return _draw_equal(state, rules, log_k, figures[LOW, p], np.int64(0), np.int64(0), rng)


@inner
def choose_rank(state, rules, log_k, rank, rng):
    """Return the slots of the pair at a rank below the heap size, with tied pairs in random order.

    Rows are read in the order of their bounds until no other row can hold a lower value.
    """
    coact, figures, marks, blocks = state.coact, state.figures, state.marks, state.blocks
    n_slots, now, heap = state.counts[SLOTS], state.counts[MERGES], state.heap
    listed, lows = state.listed, state.room[1]
    size = ties_outside = n_rows = np.int64(0)
    while True:
        p = least_bound(figures, blocks, n_slots)
        if p < 0 or (size > rank and figures[LOW, p] >= heap[0]):
            break
        if marks[LOW_AT, p] != now:
            set_low(figures, marks, blocks, p, least_of_row(coact, figures, p, rules.alpha, log_k), now)
            continue
        for first in range(0, p, BLOCK):
            last = min(first + BLOCK, p)
            low = values_of_row(coact, figures, p, first, last, rules.alpha, log_k, state.room[0])
            if low < np.inf and (size <= rank or low <= heap[0]):
                for q in range(first, last):
                    size, ties_outside = _keep(
                        heap, state.heap_pairs, size, rank, ties_outside, state.room[0, q], p, q
                    )
        # excluded from the search until it ends
        listed[n_rows], lows[n_rows] = p, figures[LOW, p]
        n_rows += 1
        figures[LOW, p] = np.inf
        update_least(figures, blocks, p)
    ties = ties_outside
    for position in range(size):
        ties += heap[position] == heap[0]
    # rows that were not read may hold pairs of the same value: they count as tied, too
    if ties == 1 and _n_remembered(figures, marks, blocks, n_slots, heap[0]) == 0:
        p, q = state.heap_pairs[0, 0], state.heap_pairs[1, 0]
    else:
        p, q = _draw_equal(state, rules, log_k, heap[0], ties, n_rows, rng)
    for row in range(n_rows):
        figures[LOW, listed[row]] = lows[row]
        update_least(figures, blocks, listed[row])
    return p, q


@inner
def _draw_equal(state, rules, log_k, value, n_read, n_rows, rng):
    """Draw uniformly from the pairs of exactly this value; the search must hold no lower one.

    `n_read` of them are in the first `n_rows` rows of `listed`, which have been read. The others are in rows
    with a stored count, which may be too high by now but never too low. So draw by the stored counts, read
    the row drawn, and draw again if the pair no longer has this value.
    """
    coact, figures, marks, blocks = state.coact, state.figures, state.marks, state.blocks
    n_slots, values = state.counts[SLOTS], state.room[0]
    for block in range((n_slots + BLOCK - 1) // BLOCK):
        if blocks[LEAST, block] == value:
            for p in range(block * BLOCK, min(block * BLOCK + BLOCK, n_slots)):
                if figures[LOW, p] == value and marks[TIES, p] < 0:
                    marks[TIES, p] = count_in_row(coact, figures, p, rules.alpha, log_k, value)
    while True:
        total = n_read + _n_remembered(figures, marks, blocks, n_slots, value)
        ordinal = draw_below(rng, total) if total > 1 else np.int64(0)
        if ordinal < n_read:
            return find_tie(state, rules, log_k, value, ordinal, n_rows)
        p, ordinal = _row_of_remembered(figures, marks, blocks, n_slots, value, ordinal - n_read)
        q, count = find_in_row(coact, figures, p, rules.alpha, log_k, value, value, ordinal, values)
        if q >= 0:
            return p, q
        marks[TIES, p] = count
        if count == 0:
            low = least_of_row(coact, figures, p, rules.alpha, log_k)
            set_low(figures, marks, blocks, p, low, state.counts[MERGES])


@inner
def _n_remembered(figures, marks, blocks, n_slots, value):
    """Return the stored number of pairs of this value in all rows; a row never counted contributes one."""
    total = 0
    for block in range((n_slots + BLOCK - 1) // BLOCK):
        if blocks[LEAST, block] == value:
            for p in range(block * BLOCK, min(block * BLOCK + BLOCK, n_slots)):
                if figures[LOW, p] == value:
                    total += abs(marks[TIES, p])
    return total


@inner
def _row_of_remembered(figures, marks, blocks, n_slots, value, ordinal):
    """Return the row of the `ordinal`-th stored pair of this value, and the pair's number within the row."""
    for block in range((n_slots + BLOCK - 1) // BLOCK):
        if blocks[LEAST, block] == value:
            for p in range(block * BLOCK, min(block * BLOCK + BLOCK, n_slots)):
                if figures[LOW, p] == value:
                    if ordinal < marks[TIES, p]:
                        return p, ordinal
                    ordinal -= marks[TIES, p]
    return -1, -1


@compiled
def find_tie(state, rules, log_k, value, ordinal, n_rows):
    """Return the `ordinal`-th pair of exactly this value in the first `n_rows` rows of `listed`."""
    for row in range(n_rows):
        p = state.listed[row]
        q, count = find_in_row(
            state.coact, state.figures, p, rules.alpha, log_k, value, value, ordinal, state.room[0]
        )
        if q >= 0:
            return p, q
        ordinal -= count
    return -1, -1


@inner
def _keep(heap, pairs, size, rank, ties_outside, value, p, q):
    """Offer a pair to the heap of the rank + 1 smallest pairs, with the greatest on top.

    Returns:
        The heap size, and the number of pairs outside the heap that equal its greatest.
    """
    if value == np.inf:
        return size, ties_outside
    if size <= rank:
        _push(heap, pairs, size, value, p, q)
        return size + 1, 0
    if value < heap[0]:
        dropped = heap[0]
        _replace_top(heap, pairs, size, value, p, q)
        return size, ties_outside + 1 if heap[0] == dropped else 0
    return size, ties_outside + (value == heap[0])


@inner
def _push(heap, pairs, size, value, p, q):
    position = size
    while position > 0 and heap[(position - 1) // 2] < value:
        above = (position - 1) // 2
        heap[position], pairs[0, position], pairs[1, position] = heap[above], pairs[0, above], pairs[1, above]
        position = above
    heap[position], pairs[0, position], pairs[1, position] = value, p, q


@inner
def _replace_top(heap, pairs, size, value, p, q):
    position = 0
    while True:
        child = 2 * position + 1
        if child + 1 < size and heap[child + 1] > heap[child]:
            child += 1
        if child >= size or heap[child] <= value:
            break
        heap[position], pairs[0, position], pairs[1, position] = heap[child], pairs[0, child], pairs[1, child]
        position = child
    heap[position], pairs[0, position], pairs[1, position] = value, p, q


@compiled
def count_between(state, rules, log_k, low, high, found):
    """Count the listed rows' pairs below `low` and from `low` to `high`; write those that fit in `found`."""
    below, between, values = 0, 0, state.room[0]
    for p in state.listed:
        if p < 0:
            break
        if values_of_row(state.coact, state.figures, p, np.int64(0), p, rules.alpha, log_k, values) > high:
            continue
        for q in range(p):
            if values[q] < low:
                below += 1
            elif values[q] <= high and values[q] < np.inf:
                if between < len(found):
                    found[between] = values[q]
                between += 1
    return below, between
