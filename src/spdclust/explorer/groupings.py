"""The groups whose members' activity goes into the page: those of the cuts, and of the way there."""

from collections.abc import Iterable, Sequence

import numpy as np

from spdclust.core.types import Int

STEPS = 10
"""Groupings between the cuts that are shown, in addition to the cuts."""


def rows_of_interest(cuts: Sequence[int], n_iterations: int) -> list[int]:
    """Return the iterations whose groups are described: the cuts first, then steps to the last one.

    Example:
        >>> rows_of_interest([60, 20], 100)
        [60, 20, 6, 12, 18, 24, 30, 36, 42, 48, 54]
        >>> rows_of_interest([], 0)
        []
    """
    if n_iterations == 0:
        return []
    last = max(cuts, default=n_iterations - 1)
    steps = [round(last * step / STEPS) for step in range(1, STEPS)]
    return list(dict.fromkeys([*cuts, *steps]))


def groups_over_union(
    own: Int[np.ndarray, " own"],
    names: Int[np.ndarray, "iterations 2"],
    row: int,
    n_components: int,
) -> Int[np.ndarray, " components"]:
    """Return the group of every component of an ensemble in one run; one that the run lacks is alone.

    Example:
        >>> groups_over_union(np.array([3, 0, 1]), np.array([[0, 2], [0, 1]]), 0, 4).tolist()
        [1, 0, 2, 0]

    Args:
        own: number of each of the run's components.
        names: for each merge, the first components of the two groups, in the run's own numbering.
        row: the state after this merge.
        n_components: of the ensemble.
    """
    roots = np.arange(len(own))
    roots[names[: row + 1, 1]] = names[: row + 1, 0]
    while not np.array_equal(further := roots[roots], roots):
        roots = further
    groups = len(own) + np.arange(n_components)
    groups[own] = roots
    return np.unique(groups, return_inverse=True)[1]


def distinct_groups(groupings: Iterable[Int[np.ndarray, " components"]]) -> list[Int[np.ndarray, " members"]]:
    """Return the groups of two and more components of several groupings, each set once.

    Those of the first grouping come first, the largest first within each.

    Example:
        >>> groups = distinct_groups([np.array([0, 0, 1, 1, 1]), np.array([0, 1, 2, 2, 2])])
        >>> [group.tolist() for group in groups]
        [[2, 3, 4], [0, 1]]
    """
    seen: set[bytes] = set()
    found = []
    for group_idxs in groupings:
        order = np.argsort(group_idxs, kind="stable")
        sizes = np.bincount(group_idxs)
        starts = np.cumsum(sizes) - sizes
        for number in np.argsort(-sizes, kind="stable")[: int((sizes > 1).sum())]:
            members = order[starts[number] : starts[number] + sizes[number]]
            if members.tobytes() not in seen:
                seen.add(members.tobytes())
                found.append(members)
    return found
