"""The pair at a given rank of all pairs sorted by value; tied pairs stand in random order.

Rank 0 is the greedy choice. Only rows whose lower bound does not exceed the value looked for are read.
"""

import math

import numpy as np

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
from spdclust.merge.kernels.compiling import compiled
from spdclust.merge.kernels.layout import (
    BLOCK,
    LEAST,
    LOW,
    MERGES,
    SLOTS,
    TIES,
    draw_below,
)


@compiled
def draw_rank(decay, n_pairs, rng):
    """Draw a rank from 0 to n_pairs − 1 with probability ∝ exp(−decay·rank), by inversion; decay above 0."""
    rank = math.log1p(rng.random() * math.expm1(-decay * n_pairs)) / -decay
    return min(np.int64(rank), n_pairs - 1)


@compiled
def choose_least(state, rules, log_k, rng):
    """Draw one of the pairs with the least value, uniformly. Returns its slots, -1 when there is no pair."""
    coact, figures, marks, blocks = state.coact, state.figures, state.marks, state.blocks
    p = settle_least(coact, figures, marks, blocks, state.counts, rules.alpha, log_k)
    if p < 0:
        return -1, -1
    return draw_tied(state, rules, log_k, figures[LOW, p], rng)


@compiled
def draw_tied(state, rules, log_k, value, rng):
    """Draw one of the pairs of exactly this value, the least of all, uniformly.

    The number of such pairs that a row had when it was counted may be too high now, never too low: draw from
    the old numbers, read the row drawn, and draw again when the pair is not there any more.
    """
    coact, figures, marks, blocks = state.coact, state.figures, state.marks, state.blocks
    listed, n_slots = state.listed, state.counts[SLOTS]
    while True:
        n_rows, total = 0, 0
        for block in range((n_slots + BLOCK - 1) // BLOCK):
            if blocks[LEAST, block] == value:
                for p in range(block * BLOCK, min(block * BLOCK + BLOCK, n_slots)):
                    if figures[LOW, p] == value:
                        if marks[TIES, p] < 0:
                            marks[TIES, p] = count_in_row(coact, figures, p, rules.alpha, log_k, value)
                        listed[n_rows] = p
                        n_rows += 1
                        total += marks[TIES, p]
        ordinal = draw_below(rng, total) if total > 1 else 0
        row = 0
        while ordinal >= marks[TIES, listed[row]]:
            ordinal -= marks[TIES, listed[row]]
            row += 1
        p = listed[row]
        q, count = find_in_row(coact, figures, p, rules.alpha, log_k, value, value, ordinal, state.room[0])
        if q >= 0:
            return p, q
        marks[TIES, p] = count
        if count == 0:
            low = least_of_row(coact, figures, p, rules.alpha, log_k)
            set_low(figures, marks, blocks, p, low, state.counts[MERGES])


@compiled
def choose_rank(state, rules, log_k, rank, rng):
    """Return the slots of the pair at a rank below the size of the heap, tied pairs in random order.

    Rows are read in the order of their bounds until no other can hold a value as low.
    """
    coact, figures, marks, blocks = state.coact, state.figures, state.marks, state.blocks
    n_slots, heap, listed, values = state.counts[SLOTS], state.heap, state.listed, state.room[0]
    size, ties_outside, n_rows = 0, 0, 0
    while True:
        p = least_bound(figures, blocks, n_slots)
        # rows at exactly the greatest value kept may hold ties, so they are read as well
        if p < 0 or (size > rank and figures[LOW, p] > heap[0]):
            break
        low = np.inf
        for first in range(0, p, BLOCK):
            last = min(first + BLOCK, p)
            low_here = values_of_row(coact, figures, p, first, last, rules.alpha, log_k, values)
            low = min(low, low_here)
            if low_here < np.inf and (size <= rank or low_here <= heap[0]):
                for q in range(first, last):
                    size, ties_outside = _keep(
                        heap, state.heap_pairs, size, rank, ties_outside, values[q], p, q
                    )
        # out of the search until it is over
        listed[n_rows] = p
        state.room[1, n_rows] = low
        n_rows += 1
        figures[LOW, p] = np.inf
        update_least(figures, blocks, p)
    for row in range(n_rows):
        set_low(figures, marks, blocks, listed[row], state.room[1, row], state.counts[MERGES])
    ties = ties_outside
    for place in range(size):
        ties += heap[place] == heap[0]
    if ties == 1:
        return state.heap_pairs[0, 0], state.heap_pairs[1, 0]
    return find_tie(state, rules, log_k, heap[0], draw_below(rng, ties), n_rows)


@compiled
def find_tie(state, rules, log_k, value, ordinal, n_rows):
    """Return the `ordinal`-th pair of exactly this value in the first so many rows of `listed`."""
    for row in range(n_rows):
        p = state.listed[row]
        if state.figures[LOW, p] <= value:
            q, count = find_in_row(
                state.coact, state.figures, p, rules.alpha, log_k, value, value, ordinal, state.room[0]
            )
            if q >= 0:
                return p, q
            ordinal -= count
    return -1, -1


@compiled
def _keep(heap, pairs, size, rank, ties_outside, value, p, q):
    """Offer a pair to the heap of the rank + 1 smallest ones; the greatest stands on top.

    Returns:
        The size of the heap, and how many pairs outside are equal to its greatest.
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


@compiled
def _push(heap, pairs, size, value, p, q):
    place = size
    while place > 0 and heap[(place - 1) // 2] < value:
        above = (place - 1) // 2
        heap[place], pairs[0, place], pairs[1, place] = heap[above], pairs[0, above], pairs[1, above]
        place = above
    heap[place], pairs[0, place], pairs[1, place] = value, p, q


@compiled
def _replace_top(heap, pairs, size, value, p, q):
    place = 0
    while True:
        child = 2 * place + 1
        if child + 1 < size and heap[child + 1] > heap[child]:
            child += 1
        if child >= size or heap[child] <= value:
            break
        heap[place], pairs[0, place], pairs[1, place] = heap[child], pairs[0, child], pairs[1, child]
        place = child
    heap[place], pairs[0, place], pairs[1, place] = value, p, q


@compiled
def count_between(state, rules, log_k, low, high, found):
    """Count the listed rows' pairs below `low` and from `low` to `high`; write what `found` can hold."""
    below, between, values = 0, 0, state.room[0]
    for p in state.listed:
        if p < 0:
            break
        if values_of_row(state.coact, state.figures, p, 0, p, rules.alpha, log_k, values) > high:
            continue
        for q in range(p):
            if values[q] < low:
                below += 1
            elif values[q] <= high and values[q] < np.inf:
                if between < len(found):
                    found[between] = values[q]
                between += 1
    return below, between
