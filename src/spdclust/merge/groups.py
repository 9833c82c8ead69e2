"""Numbering of groups: reconstruct the group of every component from the merged pairs alone."""

from collections.abc import Iterator

import numpy as np

from spdclust.core.errors import InputError
from spdclust.core.numbering import check_iteration
from spdclust.core.types import Int


def group_idxs_at(
    selected_pairs: Int[np.ndarray, "iterations 2"], n_components: int, iteration: int
) -> Int[np.ndarray, " components"]:
    """Return the group of every component after merge `iteration` (0 is the first merge).

    A merge of groups `i < j` keeps `i` for the union, and every index above `j` decreases by one. Groups are
    therefore numbered in the order of their smallest component.

    Example:
        >>> group_idxs_at(np.array([[0, 2], [1, 0]]), 4, 0).tolist()
        [0, 1, 0, 2]
        >>> group_idxs_at(np.array([[0, 2], [1, 0]]), 4, -1).tolist()
        [0, 0, 0, 1]

    Args:
        selected_pairs: the merged groups, in the numbering before each merge, either order.
        n_components: number of components, all singletons at the start.
        iteration: which merge, negative counts from the end.

    Raises:
        InputError: there is no such iteration.
    """
    last = check_iteration(iteration, len(selected_pairs))
    parents, _ = merge_tree(selected_pairs[: last + 1], n_components)
    roots = np.arange(n_components)
    # parents only point to smaller components, so one pass in order resolves every chain
    for component in np.flatnonzero(parents != roots):
        roots[component] = roots[parents[component]]
    return np.unique(roots, return_inverse=True)[1].astype(np.int64)


def iterate_group_idxs(
    selected_pairs: Int[np.ndarray, "iterations 2"], group_idxs: Int[np.ndarray, " components"]
) -> Iterator[Int[np.ndarray, " components"]]:
    """Yield the group of every component after each merge; always the same array, updated in place.

    Example:
        >>> rows = iterate_group_idxs(np.array([[0, 2], [1, 0]]), np.arange(4))
        >>> [row.tolist() for row in rows]
        [[0, 1, 0, 2], [0, 0, 0, 1]]
    """
    for first, second in selected_pairs.tolist():
        low, high = min(first, second), max(first, second)
        group_idxs[group_idxs == high] = low
        group_idxs[group_idxs > high] -= 1
        yield group_idxs


def merge_tree(
    selected_pairs: Int[np.ndarray, "iterations 2"], n_components: int
) -> tuple[Int[np.ndarray, " components"], Int[np.ndarray, "iterations 2"]]:
    """Return which component each one was merged into, and the merged groups' smallest components.

    Every group is named by its smallest component, a name that never changes while the group lives.

    Example:
        >>> parents, names = merge_tree(np.array([[0, 2], [0, 1]]), 3)
        >>> parents.tolist(), names.tolist()
        ([0, 0, 0], [[0, 2], [0, 1]])

    Returns:
        parents: for each component its own number, or the smaller one that its group was merged into.
        names: for each merge, the smallest components of the two groups, `names[t, 0] < names[t, 1]`.

    Raises:
        InputError: a pair names a group that does not exist at that point, or the same group twice.
    """
    pairs = np.sort(np.asarray(selected_pairs, dtype=np.int64), axis=1)
    n_groups = n_components - np.arange(len(pairs))
    wrong = (pairs[:, 0] < 0) | (pairs[:, 1] >= n_groups) | (pairs[:, 0] == pairs[:, 1])
    if wrong.any():
        t = int(np.argmax(wrong))
        raise InputError(
            "pair names a group that does not exist",
            field=f"selected_pairs[{t}]",
            found=np.asarray(selected_pairs[t]).tolist(),
            allowed=f"two different groups of 0 to {n_components - t - 1}",
        )
    alive = list(range(n_components))
    merged = [(alive[i], alive.pop(j)) for i, j in pairs.tolist()]
    names = np.array(merged, dtype=np.int64).reshape(-1, 2)
    parents = np.arange(n_components)
    parents[names[:, 1]] = names[:, 0]
    return parents, names


def pairs_from_names(
    names: Int[np.ndarray, "iterations 2"], n_components: int
) -> Int[np.ndarray, "iterations 2"]:
    """Return the merged groups in the numbering before each merge, from their smallest components.

    The inverse of the second result of `merge_tree`; the engine tracks names, files hold numbers.

    Example:
        >>> pairs_from_names(np.array([[1, 2], [0, 3]]), 4).tolist()
        [[1, 2], [0, 2]]
    """
    removed = [0] * (n_components + 1)  # a Fenwick tree of the removed names
    pairs = np.empty_like(names)
    for t, (first, second) in enumerate(names.tolist()):
        for column, name in ((0, first), (1, second)):
            gone, position = 0, name
            while position:
                gone += removed[position]
                position -= position & -position
            pairs[t, column] = name - gone
        position = second + 1
        while position <= n_components:
            removed[position] += 1
            position += position & -position
    return pairs
