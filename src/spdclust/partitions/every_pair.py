"""Distances between all pairs of many groupings of the same components, without matchings."""

from collections.abc import Iterable

import numpy as np
from scipy import sparse

from spdclust.core.distance_methods import METHODS, check_methods
from spdclust.core.errors import InputError
from spdclust.core.types import Float, Int
from spdclust.partitions.formulas import FORMULAS
from spdclust.partitions.overlap import OverlapSums, xlogx_table


def distance_matrices(
    groupings: Int[np.ndarray, "groupings components"], methods: Iterable[str]
) -> dict[str, Float[np.ndarray, "groupings groupings"]]:
    """Return the distance matrix of each method over all groupings, with one sparse product per grouping.

    Example:
        >>> groupings = np.array([[0, 0, 1, 1], [0, 0, 0, 1], [5, 5, 2, 2]])
        >>> distance_matrices(groupings, ["matching_dist"])["matching_dist"].tolist()
        [[0.0, 3.0, 0.0], [3.0, 0.0, 3.0], [0.0, 3.0, 0.0]]

    Args:
        groupings: group of each component, any numbering in each.
        methods: names in `METHODS` that do not need a matching.

    Raises:
        InputError: an unknown method, no method, or a method that needs matchings.
    """
    names = check_methods(methods)
    for name in names:
        if METHODS[name].needs_matching:
            raise InputError(
                "needs a matching for every pair",
                field="methods",
                found=name,
                allowed=", ".join(each for each, method in METHODS.items() if not method.needs_matching),
            )
    n, n_components = groupings.shape
    numbered = [np.unique(row, return_inverse=True)[1] for row in groupings]
    sizes = [np.bincount(row) for row in numbered]
    xlogx, unit = xlogx_table(n_components)
    squares = np.array([(size**2).sum() for size in sizes], dtype=np.int64)
    information = np.array([xlogx[size].sum() for size in sizes], dtype=np.int64)
    members = [_membership(row, len(size)) for row, size in zip(numbered, sizes, strict=True)]
    result = {name: np.zeros((n, n)) for name in names}
    for first in range(n - 1):
        others = slice(first + 1, n)
        cells = members[first].T.tocsr() @ sparse.hstack(members[others], format="csr")
        of = np.repeat(np.arange(n - first - 1), [len(size) for size in sizes[others]])[cells.indices]
        sums = OverlapSums(
            n_components=n_components,
            first_squares=np.full(n - first - 1, squares[first]),
            second_squares=squares[others],
            cell_squares=_sums(of, cells.data**2, n - first - 1),
            first_information=np.full(n - first - 1, information[first]),
            second_information=information[others],
            cell_information=_sums(of, xlogx[cells.data], n - first - 1),
            information_unit=unit,
            matched=np.zeros(n - first - 1, dtype=np.int64),
        )
        for name in names:
            result[name][first, others] = result[name][others, first] = FORMULAS[name](sums)
    return result


def _membership(groups: np.ndarray, n_groups: int) -> sparse.csr_array:
    n = len(groups)
    return sparse.csr_array((np.ones(n, dtype=np.int64), groups, np.arange(n + 1)), shape=(n, n_groups))


def _sums(of: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    sums = np.zeros(n, dtype=np.int64)
    np.add.at(sums, of, values)  # integers, exact
    return sums
