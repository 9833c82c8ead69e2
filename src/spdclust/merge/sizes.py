"""Sizes of the groups along one merge."""

import numpy as np

from spdclust.core.types import Int
from spdclust.merge.groups import merge_tree
from spdclust.merge.history import MergeHistory


def size_curves(
    history: MergeHistory,
) -> tuple[Int[np.ndarray, "iterations 3"], Int[np.ndarray, " iterations"]]:
    """Return the sizes of the three largest groups and the number of singleton groups after each merge.

    Example:
        >>> from spdclust.config.merge import MergeConfig
        >>> history = MergeHistory(
        ...     ["a:0", "a:1", "a:2"], np.array([[0, 1]]), np.array([2.5]), np.array([-1.0]), MergeConfig()
        ... )
        >>> largest, singletons = size_curves(history)
        >>> largest.tolist(), singletons.tolist()
        ([[2, 1, 0]], [1])
    """
    _, names = merge_tree(history.selected_pairs, history.n_components)
    size = np.ones(history.n_components, dtype=np.int64)
    n_of_size = np.zeros(history.n_components + 1, dtype=np.int64)
    n_of_size[1] = history.n_components
    largest = np.zeros((history.n_iterations, 3), dtype=np.int64)
    singletons = np.empty(history.n_iterations, dtype=np.int64)
    present = {1}
    for t, (kept, gone) in enumerate(names):
        for old in (size[kept], size[gone]):
            n_of_size[old] -= 1
        size[kept] += size[gone]
        n_of_size[size[kept]] += 1
        present.add(int(size[kept]))
        present = {each for each in present if n_of_size[each]}
        top = [each for each in sorted(present, reverse=True)[:3] for _ in range(min(3, n_of_size[each]))][:3]
        largest[t, : len(top)] = top
        singletons[t] = n_of_size[1]
    return largest, singletons
