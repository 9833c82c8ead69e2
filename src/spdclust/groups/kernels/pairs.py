"""Sums over pairs of components, and the similarities computed from them."""

import numpy as np

from spdclust.core.compiling import compiled, inner
from spdclust.merge.kernels.machine import fetch

AHEAD = 4
"""Number of samples ahead of the current one for which rows are prefetched: they are far apart in memory."""

MOST_LINES = 12
"""Cache lines that are prefetched of a row at most: the processor itself fetches those that follow."""

TESTED = 64
"""Number of pairs that are tested together for being similar; most tests find none."""


@compiled(allocates=True)
def pair_sums(
    first, last, n_components, column_start, column_samples, column_values, block,
    row_start, rows, row_values, sums, is_first,
):  # fmt: skip
    """Add the products of activations of components `first` to `last` with themselves and all before them.

    The samples of a component are given in blocks of `block` samples, counted from the start of each.
    `sums` is the packed lower triangle with its diagonal: row `i` starts at `i * (i + 1) / 2`; what it
    contains is overwritten if `is_first`. Components of a sample are in order, so a component's own entry
    ends the loop over those before it. Without values, all activations are 1. Unsigned numbers spare the
    test for negative indices.
    """
    counted = np.zeros(last if row_values is None else 0, dtype=np.uint32)
    total = np.zeros(0 if row_values is None else last)
    per_line = 64 // rows.itemsize
    for i in range(first, last):
        counted[: i + 1] = 0
        total[: i + 1] = 0
        n_active = 0
        # entries before component i
        usual = (row_start[-1] - row_start[0]) * i // (max(len(row_start) - 1, 1) * n_components)
        lines, value_lines = min(usual // per_line + 2, MOST_LINES), min(usual // 16 + 2, MOST_LINES)
        for b in range((len(column_start) - 1) // n_components):
            start, end = column_start[b * n_components + i], column_start[b * n_components + i + 1]
            row_start_here = row_start[b * block :]
            n_active += end - start
            for e in range(start, end):
                if e + 2 * AHEAD < end:
                    fetch(row_start_here, np.int64(column_samples[e + 2 * AHEAD]))
                if e + AHEAD < end:
                    ahead = np.int64(row_start_here[column_samples[e + AHEAD]])
                    for line in range(lines):
                        fetch(rows, ahead + per_line * line)
                    if row_values is not None:
                        for line in range(value_lines):
                            fetch(row_values, ahead + 16 * line)
                f = np.uint64(row_start_here[column_samples[e]])
                j = rows[f]
                if row_values is None:
                    while j < i:
                        counted[j] += np.uint32(1)
                        f += np.uint64(1)
                        j = rows[f]
                else:
                    value = np.float64(column_values[e])
                    while j < i:
                        total[j] += value * row_values[f]
                        f += np.uint64(1)
                        j = rows[f]
                    total[i] += value * value
        # sums of one component stay in the cache until here: the triangle is written once for each call
        row = sums[i * (i + 1) // 2 : (i + 1) * (i + 2) // 2]
        if is_first:
            row[:] = 0
        if row_values is None:
            counted[i] = n_active
            for j in range(i + 1):
                row[j] += np.float64(counted[j])
        else:
            for j in range(i + 1):
                row[j] += total[j]


@compiled
def similar_pairs(first, last, sums, counts, scale, least, pairs):
    """Write the pairs of components `first` to `last` with those before them that are at least `least`
    similar; return how many there are (more than fit are counted only).
    """
    n = 0
    for i in range(first, last):
        row_start = i * (i + 1) // 2
        for start in range(0, i, TESTED):
            # slices that start at 0 spare the test for negative indices, so the test of all is vectorized
            size = min(TESTED, i - start)
            row = sums[row_start + start : row_start + start + size]
            scale_j, count_j = scale[start : start + size], counts[start : start + size]
            scale_i, count_i = scale[i], counts[i]
            found = 0
            for j in range(size):
                found += _are_similar(row[j] * scale_i * scale_j[j], count_i, count_j[j], least)
            if found == 0:
                continue
            for j in range(size):
                if _are_similar(row[j] * scale_i * scale_j[j], count_i, count_j[j], least):
                    if n < len(pairs):
                        pairs[n, 0], pairs[n, 1] = i, start + j
                    n += 1
    return n


@inner
def _are_similar(shared, count_a, count_b, least):
    return shared > 0 and shared >= least * (count_a + count_b - shared)


@inner
def _similarity(shared, count_a, count_b):
    either = count_a + count_b - shared
    return shared / either if either > 0 else 0.0


@compiled
def distances_among(first, last, members, sums, counts, scale, distances):
    """Write the rows `first` to `last` of the condensed distances (1 minus similarity) between the given
    components, which are in order.
    """
    n = first * (2 * len(members) - first - 1) // 2
    for a in range(first, last):
        i = members[a]
        for b in range(a + 1, len(members)):
            j = members[b]
            shared = sums[j * (j + 1) // 2 + i] * scale[i] * scale[j]
            distances[n] = 1 - _similarity(shared, counts[i], counts[j])
            n += 1


@compiled
def similarities_between(first, last, group_of, start, sums, counts, scale, found):
    """Write the similarities of components `first` to `last` with those before them in another group.

    Those of a component go to `found` from its `start` on.
    """
    for i in range(first, last):
        n = start[i]
        if group_of[i] < 0:
            continue
        for j in range(i):
            if group_of[j] >= 0 and group_of[j] != group_of[i]:
                shared = sums[i * (i + 1) // 2 + j] * scale[i] * scale[j]
                found[n] = _similarity(shared, counts[i], counts[j])
                n += 1


@compiled
def count_digits(keys, shift, above, counts):
    """Count the 16 bits from `shift` on of the 32-bit keys whose bits above those are `above`."""
    for n in range(len(keys)):
        digits = np.uint64(keys[n]) >> np.uint64(shift)
        if digits >> np.uint64(16) == above:
            counts[digits & np.uint64(0xFFFF)] += 1
