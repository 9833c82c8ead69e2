"""The distance between two groupings, computed from their contingency table."""

import numpy as np

from spdclust.core.distance_methods import check_method
from spdclust.core.types import Int
from spdclust.partitions.contingency import contingency
from spdclust.partitions.formulas import FORMULAS
from spdclust.partitions.overlap import overlap_sums


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
