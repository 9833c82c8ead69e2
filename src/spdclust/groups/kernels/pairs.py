"""Sums over pairs of components, and the similarities computed from them."""

import numpy as np

from spdclust.core.compiling import compiled
from spdclust.merge.kernels.machine import fetch

AHEAD = 6
"""Number of samples ahead of the current one for which rows are prefetched: they are far apart in memory."""


@compiled
def pair_sums(first, last, column_start, column_samples, column_values, row_start, rows, row_values, sums):
    """Add the products of activations of components `first` to `last` with every component before them.

    `sums` is the packed lower triangle with its diagonal: row `i` starts at `i * (i + 1) / 2`. Components of
    a sample are in order.
    """
    total = np.zeros(last)
    for i in range(first, last):
        total[: i + 1] = 0
        for e in range(column_start[i], column_start[i + 1]):
            if e + 2 * AHEAD < column_start[i + 1]:
                fetch(row_start, np.int64(column_samples[e + 2 * AHEAD]))
            if e + AHEAD < column_start[i + 1]:
                ahead = np.int64(row_start[column_samples[e + AHEAD]])
                for line in range(4):
                    fetch(rows, ahead + 16 * line)
                    fetch(row_values, ahead + 16 * line)
            n, value = column_samples[e], column_values[e]
            for f in range(row_start[n], row_start[n + 1]):
                j = rows[f]
                if j > i:
                    break
                total[j] += value * row_values[f]
        start = i * (i + 1) // 2
        for j in range(i + 1):
            sums[start + j] += total[j]


@compiled
def similar_pairs(n_components, sums, counts, scale, least, pairs):
    """Write the pairs whose similarity is at least `least`; return how many there are (more than fit are
    counted only).
    """
    n = 0
    for i in range(n_components):
        start = i * (i + 1) // 2
        for j in range(i):
            shared = sums[start + j] * scale[i] * scale[j]
            if shared > 0 and shared >= least * (counts[i] + counts[j] - shared):
                if n < len(pairs):
                    pairs[n, 0], pairs[n, 1] = i, j
                n += 1
    return n


@compiled
def distances_among(members, sums, counts, scale, distances):
    """Write the condensed distances (1 minus similarity) between the given components, which are in order."""
    n = 0
    for a in range(len(members)):
        i = members[a]
        for b in range(a + 1, len(members)):
            j = members[b]
            shared = sums[j * (j + 1) // 2 + i] * scale[i] * scale[j]
            either = counts[i] + counts[j] - shared
            distances[n] = 1 - shared / either if either > 0 else 1.0
            n += 1
