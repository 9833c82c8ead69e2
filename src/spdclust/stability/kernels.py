"""Compiled pass over all pairs of components that counts the runs in which they are together."""

from typing import no_type_check

from spdclust.core.compiling import compiled


@compiled
@no_type_check
def count_together(groups, weights, least, histogram, parents):
    """Count weighted pairs by the number of runs that group them; join those grouped by `least` or more.

    Args:
        groups: `(atoms, runs)` int32 group of every atom (components that are together in every run).
        weights: `(atoms,)` int64 number of components in each.
        least: minimum number of runs in which two atoms must be together to be joined.
        histogram: `(runs + 1,)` int64, updated in place.
        parents: `(atoms,)` int64 forest of joined atoms, roots are the smallest; starts as `0 … atoms−1`.
    """
    n_atoms, n_runs = groups.shape
    for i in range(n_atoms):
        histogram[n_runs] += weights[i] * (weights[i] - 1) // 2
        for j in range(i + 1, n_atoms):
            together = 0
            for run in range(n_runs):
                together += groups[i, run] == groups[j, run]
            histogram[together] += weights[i] * weights[j]
            if together >= least:
                a, b = i, j
                while parents[a] != a:
                    parents[a] = parents[parents[a]]
                    a = parents[a]
                while parents[b] != b:
                    parents[b] = parents[parents[b]]
                    b = parents[b]
                parents[max(a, b)] = min(a, b)
