"""Count active samples of components, groups and pairs of components, from sparse rows."""

import numpy as np

from spdclust.core.compiling import compiled
from spdclust.merge.kernels.machine import count_ones

WORD = 64
"""Samples in a word, one bit each."""


@compiled
def count_components(columns, values, level, counts):
    """Add to `counts` the entries of each column with a value above `level`."""
    for e in range(len(columns)):
        counts[columns[e]] += values[e] > level


@compiled
def count_groups(indptr, columns, values, level, group_of_column, words, counts):
    """Add to `counts` the rows on which each group has a value above `level`.

    `words`, one for each group, are 0 before and after. They hold a bit for each of 64 rows, so that several
    active columns of a group on one row need no comparison, whose outcome would be hard to predict.
    """
    n_rows = len(indptr) - 1
    for first in range(0, n_rows, WORD):
        for n in range(first, min(first + WORD, n_rows)):
            bit = np.uint64(1) << np.uint64(n - first)
            for e in range(indptr[n], indptr[n + 1]):
                if values[e] > level:
                    words[group_of_column[columns[e]]] |= bit
        for g in range(len(words)):
            counts[g] += np.int64(count_ones(words[g]))
            words[g] = 0


@compiled
def mark_active(indptr, columns, values, level, row_of_column, words):
    """Set the bit of each row in `words[row_of_column[i]]` where column `i` has a value above `level`."""
    for n in range(len(indptr) - 1):
        word, bit = n // WORD, np.uint64(1) << np.uint64(n % WORD)
        for e in range(indptr[n], indptr[n + 1]):
            if values[e] > level:
                words[row_of_column[columns[e]], word] |= bit


@compiled
def count_common(words, pairs, counts):
    """Write how many bits both rows of each pair have set; of a row with itself, those that it has set."""
    for p in range(len(pairs)):
        first, second = words[pairs[p, 0]], words[pairs[p, 1]]
        ones = np.uint64(0)
        for w in range(words.shape[1]):
            ones += count_ones(first[w] & second[w])
        counts[p] = ones
