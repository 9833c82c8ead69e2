"""Sums over pairs of components, and the similarities computed from them."""

import numpy as np

from spdclust.core.compiling import compiled
from spdclust.merge.kernels.machine import fetch

AHEAD = 6
"""Number of samples ahead of the current one for which rows are prefetched: they are far apart in memory."""


@compiled
def pair_sums(first, last, column_start, column_samples, column_values, row_start, rows, row_values, sums):
    """Add the products of activations of components `first` to `last` with themselves and all before them.

    `sums` is the packed lower triangle with its diagonal: row `i` starts at `i * (i + 1) / 2`. Components of
    a sample are in order, so a component's own entry ends the loop over those before it. Without values, all
    activations are 1. Unsigned numbers spare the test for negative indices.
    """
    total = np.zeros(last)
    per_line = 64 // rows.itemsize
    for i in range(first, last):
        total[: i + 1] = 0
        for e in range(column_start[i], column_start[i + 1]):
            if e + 2 * AHEAD < column_start[i + 1]:
                fetch(row_start, np.int64(column_samples[e + 2 * AHEAD]))
            if e + AHEAD < column_start[i + 1]:
                ahead = np.int64(row_start[column_samples[e + AHEAD]])
                for line in range(4):
                    fetch(rows, ahead + per_line * line)
                    if row_values is not None:
                        fetch(row_values, ahead + 16 * line)
            f = np.uint64(row_start[column_samples[e]])
            j = rows[f]
            if row_values is None:
                while j < i:
                    total[j] += 1
                    f += np.uint64(1)
                    j = rows[f]
                total[i] += 1
            else:
                value = np.float64(column_values[e])
                while j < i:
                    total[j] += value * row_values[f]
                    f += np.uint64(1)
                    j = rows[f]
                total[i] += value * value
        start = i * (i + 1) // 2
        for j in range(i + 1):
            sums[start + j] += total[j]


@compiled
def similar_pairs(first, last, sums, counts, scale, least, pairs):
    """Write the pairs of components `first` to `last` with those before them that are at least `least`
    similar; return how many there are (more than fit are counted only).
    """
    n = 0
    for i in range(first, last):
        start = i * (i + 1) // 2
        for j in range(i):
            shared = sums[start + j] * scale[i] * scale[j]
            if shared > 0 and shared >= least * (counts[i] + counts[j] - shared):
                if n < len(pairs):
                    pairs[n, 0], pairs[n, 1] = i, j
                n += 1
    return n


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
            either = counts[i] + counts[j] - shared
            distances[n] = 1 - shared / either if either > 0 else 1.0
            n += 1
