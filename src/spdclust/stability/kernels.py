"""Compiled count of the pairs of components by the number of runs in which they are together."""

from typing import no_type_check

import numpy as np

from spdclust.core.compiling import compiled


@compiled(allocates=True)
@no_type_check
def count_together(groups, weights, least, histogram, parents):
    """Count weighted pairs by the number of runs that group them; join those grouped by `least` or more.

    Only pairs that are in one group of some run are visited; all others are together in no run.

    Args:
        groups: `(atoms, runs)` int32 group of every atom (components that are together in every run), from 0.
        weights: `(atoms,)` int64 number of components in each.
        least: minimum number of runs in which two atoms must be together to be joined, at least 1.
        histogram: `(runs + 1,)` int64, updated in place.
        parents: `(atoms,)` int64 forest of joined atoms, roots are the smallest; starts as `0 … atoms−1`.
    """
    n_atoms, n_runs = groups.shape
    n_before = np.int64(0)
    for i in range(n_atoms):
        histogram[n_runs] += weights[i] * (weights[i] - 1) // 2
        histogram[0] += weights[i] * n_before
        n_before += weights[i]
    previous = np.empty(n_atoms, dtype=np.int64)  # the last atom before, in the same group
    for run in range(n_runs):
        n_groups = 0
        for i in range(n_atoms):
            n_groups = max(n_groups, groups[i, run] + 1)
        last = np.full(n_groups, -1, dtype=np.int64)
        for i in range(n_atoms):
            group = groups[i, run]
            previous[i], last[group] = last[group], i
            j = previous[i]
            while j >= 0:
                together = 0
                for other in range(n_runs):
                    if groups[i, other] == groups[j, other]:
                        if other < run:  # visited in that run
                            together = 0
                            break
                        together += 1
                if together > 0:
                    pairs = weights[i] * weights[j]
                    histogram[together] += pairs
                    histogram[0] -= pairs
                if together >= least:
                    a, b = i, j
                    while parents[a] != a:
                        parents[a] = parents[parents[a]]
                        a = parents[a]
                    while parents[b] != b:
                        parents[b] = parents[parents[b]]
                        b = parents[b]
                    parents[max(a, b)] = min(a, b)
                j = previous[j]
