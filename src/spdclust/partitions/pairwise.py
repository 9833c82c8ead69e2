"""Each distance between two groupings, computed from scratch from their contingency table."""

from collections.abc import Callable

import numpy as np
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from spdclust.partitions.contingency import Contingency, contingency
from spdclust.partitions.methods import METHODS, check_method
from spdclust.types import Int


def distance(first: Int[np.ndarray, "_"], second: Int[np.ndarray, "_"], method: str) -> float:
    """Return the distance of one method between two groupings of the same components.

    Example:
        >>> distance(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]), "perm_invariant_hamming")
        1.0
        >>> distance(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]), "matching_dist")
        3.0

    Raises:
        InputError: an unknown method, or groupings of different numbers of components.
    """
    return FROM_TABLE[check_method(method).name](contingency(first, second))


def perm_invariant_hamming(table: Contingency) -> float:
    """Return the number of components outside the best one-to-one matching of groups.

    `C − max_π Σ_a n[a, π(a)]`, an assignment problem; the groups fall into connected components of the graph
    of non-zero cells, and each is solved on its own. Also known as the transfer or partition distance
    (Gusfield 2002, Information Processing Letters 82).

    Example:
        >>> perm_invariant_hamming(contingency(np.array([0, 0, 1]), np.array([1, 1, 0])))
        0.0
    """
    n_rows, n_columns = len(table.row_sizes), len(table.column_sizes)
    if table.n_components == 0:
        return 0.0
    graph = sparse.coo_array(
        (np.ones(len(table.rows)), (table.rows, n_rows + table.columns)),
        shape=(n_rows + n_columns, n_rows + n_columns),
    )
    part = sparse.csgraph.connected_components(graph, directed=False)[1][table.rows]
    shared = np.bincount(part)[part] > 1
    kept = int(table.counts[~shared].sum())  # a graph component of one cell needs no solver
    order = np.flatnonzero(shared)
    order = order[np.argsort(part[order], kind="stable")]
    for cells in np.split(order, np.flatnonzero(np.diff(part[order])) + 1) if len(order) else []:
        rows, row_numbers = np.unique(table.rows[cells], return_inverse=True)
        columns, column_numbers = np.unique(table.columns[cells], return_inverse=True)
        dense = np.zeros((len(rows), len(columns)), dtype=np.int64)
        dense[row_numbers, column_numbers] = table.counts[cells]
        kept += int(dense[linear_sum_assignment(dense, maximize=True)].sum())
    return float(table.n_components - kept)


def matching_dist(table: Contingency) -> float:
    """Return the number of component pairs together in one grouping and apart in the other.

    `½ (Σ_a n_a² + Σ_b n_b² − 2 Σ_ab n_ab²)`; half the Mirkin metric (Mirkin & Chernyi 1970; Meilă 2007).

    Example:
        >>> matching_dist(contingency(np.array([0, 0, 0]), np.array([0, 1, 2])))
        3.0
    """
    rows, columns, cells = _squares(table)
    return (rows + columns - 2 * cells) / 2


def matching_dist_vec(table: Contingency) -> float:
    """Return the same over ordered pairs, twice `matching_dist`.

    Example:
        >>> matching_dist_vec(contingency(np.array([0, 0, 0]), np.array([0, 1, 2])))
        6.0
    """
    return 2 * matching_dist(table)


def adjusted_rand_dist(table: Contingency) -> float:
    """Return one minus the adjusted Rand index (Hubert & Arabie 1985, Journal of Classification 2).

    Equal groupings give 0, also where the index itself is 0/0 (both all singletons, or both one group).

    Example:
        >>> adjusted_rand_dist(contingency(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])))
        1.5
    """
    together, first_only, second_only, apart = _pairs(table)
    if first_only == second_only == 0:
        return 0.0
    above = 2 * (together * apart - first_only * second_only)
    below = (together + first_only) * (first_only + apart) + (together + second_only) * (second_only + apart)
    return 1 - above / below


def variation_of_information(table: Contingency) -> float:
    """Return H(first | second) + H(second | first) in bits (Meilă 2007, J. Multivariate Analysis 98).

    Example:
        >>> variation_of_information(contingency(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])))
        2.0
    """
    if table.n_components == 0:
        return 0.0
    rows, columns, cells = (
        float((sizes * np.log2(sizes)).sum()) for sizes in (table.row_sizes, table.column_sizes, table.counts)
    )
    return max(0.0, (rows + columns - 2 * cells) / table.n_components)


def jaccard_dist(table: Contingency) -> float:
    """Return one minus the Jaccard index of the sets of co-clustered pairs (Ben-Hur et al. 2002).

    Two groupings without any co-clustered pair (all singletons) are equal: 0.

    Example:
        >>> jaccard_dist(contingency(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])))
        0.75
    """
    together, first_only, second_only, _ = _pairs(table)
    differing = first_only + second_only
    return differing / (together + differing) if differing else 0.0


FROM_TABLE: dict[str, Callable[[Contingency], float]] = {
    function.__name__: function
    for function in (
        perm_invariant_hamming,
        matching_dist,
        matching_dist_vec,
        adjusted_rand_dist,
        variation_of_information,
        jaccard_dist,
    )
}
assert set(FROM_TABLE) == set(METHODS)


def _squares(table: Contingency) -> tuple[int, int, int]:
    rows, columns, cells = (
        int((sizes.astype(np.int64) ** 2).sum())
        for sizes in (table.row_sizes, table.column_sizes, table.counts)
    )
    return rows, columns, cells


def _pairs(table: Contingency) -> tuple[int, int, int, int]:
    """Ordered pairs together in both, in the first only, in the second only, in neither; exact integers."""
    n = table.n_components
    rows, columns, cells = _squares(table)
    return cells - n, rows - cells, columns - cells, n * n - rows - columns + cells
