"""The groups whose members' activity goes into the page: those of the cuts, and of the way there."""

from collections.abc import Iterable, Sequence

import numpy as np

from spdclust.types import Int

STEPS = 10
"""Groupings taken on the way to the last cut, beside the cuts themselves."""


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
        parts = np.split(order, np.cumsum(sizes)[:-1])
        for number in np.argsort(-sizes, kind="stable"):
            members = parts[number]
            if len(members) < 2:
                break
            if members.tobytes() not in seen:
                seen.add(members.tobytes())
                found.append(members)
    return found
