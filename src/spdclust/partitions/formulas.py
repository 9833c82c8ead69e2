"""The formula of each distance in terms of the sums over the contingency table, by name; one distance."""

from collections.abc import Callable

import numpy as np

from spdclust.core.distance_methods import METHODS, check_method
from spdclust.core.types import Float, Int
from spdclust.partitions.overlap import OverlapSums, contingency, overlap_sums

Rows = Float[np.ndarray, " rows"]


def perm_invariant_hamming(sums: OverlapSums) -> Rows:
    """Return the number of components outside the best one-to-one matching of groups.

    `C − max_π Σ_a n[a, π(a)]`, an assignment problem. Known as the transfer distance or partition distance
    (Gusfield 2002, Information Processing Letters 82).

    Example:
        >>> sums = overlap_sums(contingency(np.array([0, 0, 1, 1]), np.array([5, 5, 5, 3])))
        >>> perm_invariant_hamming(sums).tolist()  # all but the third component fit 0 → 5, 1 → 3
        [1.0]
    """
    return np.asarray(sums.n_components - sums.matched, dtype=np.float64)


def matching_dist(sums: OverlapSums) -> Rows:
    """Return the number of component pairs together in one grouping and apart in the other.

    `½ (Σ_a n_a² + Σ_b n_b² − 2 Σ_ab n_ab²)`, half the Mirkin metric (Mirkin & Chernyi 1970; Meilă 2007).

    Example:
        >>> sums = overlap_sums(contingency(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])))
        >>> matching_dist(sums).tolist()  # 2 and 3 are parted, 2 joins 0 and 1
        [3.0]
    """
    return np.asarray(sums.first_squares + sums.second_squares - 2 * sums.cell_squares) / 2


def matching_dist_vec(sums: OverlapSums) -> Rows:
    """Return the number of ordered such pairs, twice `matching_dist`.

    Example:
        >>> sums = overlap_sums(contingency(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])))
        >>> matching_dist_vec(sums).tolist()
        [6.0]
    """
    return 2 * matching_dist(sums)


def adjusted_rand_dist(sums: OverlapSums) -> Rows:
    """Return one minus the adjusted Rand index (Hubert & Arabie 1985, Journal of Classification 2).

    Equal groupings give 0, even if the index itself is 0/0 (both all singletons, or both one group).

    Example:
        >>> sums = overlap_sums(contingency(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])))
        >>> adjusted_rand_dist(sums).tolist()  # one pair in common, as many as expected by chance: 2 · 3 / 6
        [1.0]
    """
    # ordered pairs: exact as integers, but their products overflow 64 bits above 50,000 components
    together, first_only, second_only = _pairs(sums)
    apart = sums.n_components * (sums.n_components - 1.0) - together - first_only - second_only
    above = 2 * (together * apart - first_only * second_only)
    below = (together + first_only) * (first_only + apart) + (together + second_only) * (second_only + apart)
    return _ratio_or_zero(below - above, below, first_only + second_only)


def variation_of_information(sums: OverlapSums) -> Rows:
    """Return H(first | second) + H(second | first) in bits (Meilă 2007, J. Multivariate Analysis 98).

    Example:
        >>> sums = overlap_sums(contingency(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 0])))
        >>> variation_of_information(sums).round(9).tolist()  # which half: one bit that the second hides
        [1.0]
    """
    excess = sums.first_information + sums.second_information - 2 * sums.cell_information
    return np.asarray(np.maximum(excess, 0) * (sums.information_unit / max(1, sums.n_components)))


def jaccard_dist(sums: OverlapSums) -> Rows:
    """Return one minus the Jaccard index of the two sets of co-clustered pairs (Ben-Hur et al. 2002).

    The distance of two groupings without any co-clustered pair (all singletons) is 0.

    Example:
        >>> sums = overlap_sums(contingency(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])))
        >>> jaccard_dist(sums).tolist()  # of four pairs that are together in either, one is in both
        [0.75]
    """
    together, first_only, second_only = _pairs(sums)
    differing = first_only + second_only
    return _ratio_or_zero(differing, together + differing, differing)


FORMULAS: dict[str, Callable[[OverlapSums], Rows]] = {
    formula.__name__: formula
    for formula in (
        perm_invariant_hamming,
        matching_dist,
        matching_dist_vec,
        adjusted_rand_dist,
        variation_of_information,
        jaccard_dist,
    )
}
"""The formula of every method in `METHODS`."""
if set(FORMULAS) != set(METHODS):
    raise RuntimeError("core.distance_methods and partitions.formulas name different distances")


def distance(first: Int[np.ndarray, "_"], second: Int[np.ndarray, "_"], method: str) -> float:
    """Return the distance between two groupings of the same components by one method.

    Example:
        >>> first, second = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])
        >>> [distance(first, second, name) for name in ("perm_invariant_hamming", "matching_dist")]
        [1.0, 3.0]
        >>> [distance(first, second, name) for name in ("jaccard_dist", "adjusted_rand_dist")]
        [0.75, 1.0]

    Args:
        first: `(components,)` group of each component, any numbering.
        second: the same in the other grouping.
        method: a name in `METHODS`.

    Raises:
        InputError: an unknown method, or groupings of different numbers of components.
    """
    formula = FORMULAS[check_method(method).name]
    return float(formula(overlap_sums(contingency(first, second)))[0])


def _pairs(sums: OverlapSums) -> tuple[Rows, Rows, Rows]:
    """Return the numbers of ordered pairs together in both groupings, only the first, and only the second."""
    return (
        (sums.cell_squares - sums.n_components).astype(np.float64),
        (sums.first_squares - sums.cell_squares).astype(np.float64),
        (sums.second_squares - sums.cell_squares).astype(np.float64),
    )


def _ratio_or_zero(above: Rows, below: Rows, differing: Rows) -> Rows:
    return np.asarray(np.divide(above, below, out=np.zeros_like(above), where=differing > 0))
