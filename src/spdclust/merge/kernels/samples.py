"""Unite the sets of samples of two groups; only the samples on which both are active are visited.

A set is a sorted list of sample numbers, or a bitmap once that is shorter. The total size never grows.
"""

import numpy as np

from spdclust.core.compiling import compiled, inner
from spdclust.merge.kernels.coactivation import lowest_bit
from spdclust.merge.kernels.layout import (
    FIRST_ENTRY,
    IS_BITMAP,
    LAST_ENTRY,
    SPAN_LENGTH,
    SPAN_START,
    TOP,
)
from spdclust.merge.kernels.machine import fetch

AHEAD = 6
"""Number of samples ahead of the current one for which rows are prefetched."""


@inner
def unite(state, a, b, new, n_words):
    """Store the union of the sets of slots `a` and `b` as that of `new`.

    Subtracts from `new_row` the samples that both share, for each group that is active on them.
    There must be space for a bitmap after the last set.
    """
    marks, counts = state.marks, state.counts
    in_a, in_b = _words_of(state.words, marks, a), _words_of(state.words, marks, b)
    start, is_bitmap = counts[TOP], True
    if marks[IS_BITMAP, a] or marks[IS_BITMAP, b]:
        if marks[IS_BITMAP, a] and marks[IS_BITMAP, b]:
            _bitmap_with_bitmap(state, in_a, in_b, b)
        elif marks[IS_BITMAP, a]:
            _bitmap_with_list(state, in_a, in_b, b)
        else:
            _bitmap_with_list(state, in_b, in_a, b)
        # the bitmap of one part has become that of the union
        start = marks[SPAN_START, a if marks[IS_BITMAP, a] else b]
        length = n_words
    # as a list, the union could be longer than a bitmap
    elif len(in_a) + len(in_b) > n_words:
        bitmap, length = state.words[start : start + n_words], n_words
        bitmap[:] = 0
        for n in in_a:
            bitmap[n >> 5] |= np.uint32(1 << (n & 31))
        _bitmap_with_list(state, bitmap, in_b, b)
        counts[TOP] += n_words
    else:
        length = _list_with_list(state, in_a, in_b, state.words[start:], b)
        counts[TOP] += length
        is_bitmap = False
    marks[IS_BITMAP, new] = is_bitmap
    marks[SPAN_START, new] = start
    marks[SPAN_LENGTH, new] = length
    marks[SPAN_LENGTH, a] = 0
    marks[SPAN_LENGTH, b] = 0


@inner(inline="always")
def _words_of(words, marks, slot):
    start = marks[SPAN_START, slot]
    return words[start : start + marks[SPAN_LENGTH, slot]]


# Shared samples are collected first and visited in batches: a call that takes the state passes all of its
# arrays, which costs as much as a visit.


@inner
def _bitmap_with_bitmap(state, bitmap, other, gone):
    words_at_once = len(state.shared) // 32
    for first in range(0, len(other), words_at_once):
        last = min(first + words_at_once, len(other))
        _visit(state, _merge_bitmaps(bitmap, other, first, last, state.shared), gone)


@inner
def _merge_bitmaps(bitmap, other, first, last, shared):
    n_shared = 0
    for w in range(first, last):
        both = bitmap[w] & other[w]
        bitmap[w] |= other[w]
        while both:
            shared[n_shared] = (w << 5) + lowest_bit(both)
            n_shared += 1
            both &= both - np.uint32(1)
    return n_shared


@inner
def _bitmap_with_list(state, bitmap, numbers, gone):
    for first in range(0, len(numbers), len(state.shared)):
        some = numbers[first : first + len(state.shared)]
        _visit(state, _merge_into_bitmap(bitmap, some, state.shared), gone)


@inner
def _merge_into_bitmap(bitmap, numbers, shared):
    n_shared = 0
    for n in numbers:
        word, bit = bitmap[n >> 5], np.uint32(1 << (n & 31))
        bitmap[n >> 5] = word | bit
        shared[n_shared] = n
        n_shared += (word & bit) != 0  # no branch: it would be unpredictable
    return n_shared


@inner
def _list_with_list(state, in_a, in_b, union, gone):
    e = f = length = np.int64(0)
    while e < len(in_a) and f < len(in_b):
        e, f, length, n_shared = _merge_lists(in_a, in_b, e, f, union, length, state.shared)
        _visit(state, n_shared, gone)
    for rest, first in ((in_a, e), (in_b, f)):
        for n in rest[first:]:
            union[length] = n
            length += 1
    return length


@inner
def _merge_lists(in_a, in_b, e, f, union, length, shared):
    """Merge two sorted lists until one ends or `shared` could overflow."""
    n_shared, last = 0, length + len(shared)
    while e < len(in_a) and f < len(in_b) and length < last:
        x, y = in_a[e], in_b[f]
        union[length] = min(x, y)
        shared[n_shared] = x
        n_shared += x == y
        e += x <= y
        f += y <= x
        length += 1
    return e, f, length, n_shared


@inner
def _visit(state, n_shared, gone):
    if n_shared > 0:
        samples = state.shared[:n_shared]
        _drop_entries(
            samples, state.rows, state.row_start, state.row_length, state.owner, state.new_row, gone
        )


@inner
def _drop_entries(samples, rows, row_starts, row_length, owner, new_row, gone):
    """Count the groups active on samples that both parts share, and drop one part's entry from each.

    Rows are far apart in memory, so they are prefetched: otherwise almost all of the time is memory latency.
    """
    per_line = 64 // rows.itemsize
    for t in range(-2 * AHEAD, len(samples)):
        if t + 2 * AHEAD < len(samples):
            fetch(row_starts, np.int64(samples[t + 2 * AHEAD]))
            fetch(row_length, np.int64(samples[t + 2 * AHEAD]))
        if 0 <= t + AHEAD < len(samples):
            n = samples[t + AHEAD]
            for line in range(min(np.int64(row_length[n]) // per_line + 1, 8)):
                fetch(rows, row_starts[n] + line * per_line)
        if t >= 0:
            n = samples[t]
            start = row_starts[n]
            row = rows[start : start + row_length[n]]
            last = len(row) - 1
            position = last
            for e in range(len(row)):
                slot = owner[row[e]]
                new_row[slot] -= 1
                if slot == gone:
                    position = e
            # once loaded, the order of a sample's entries does not matter
            row[position] = row[last]
            row_length[n] = last


@inner
def hand_over(marks, owner, following, a, b, new):
    """Transfer all entries of slots `a` and `b` to slot `new`."""
    for slot in (a, b):
        entry = marks[FIRST_ENTRY, slot]
        while entry >= 0:
            owner[entry] = new
            entry = following[entry]
    following[marks[LAST_ENTRY, a]] = marks[FIRST_ENTRY, b]
    marks[FIRST_ENTRY, new] = marks[FIRST_ENTRY, a]
    marks[LAST_ENTRY, new] = marks[LAST_ENTRY, b]


@compiled
def pack_words(words, starts, lengths, new_starts):
    """Move sets, given in storage order, to the front; return the end of the last one."""
    top = 0
    for t in range(len(starts)):
        start, length = starts[t], lengths[t]
        for w in range(length):
            words[top + w] = words[start + w]
        new_starts[t] = top
        top += length
    return top
