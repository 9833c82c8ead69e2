"""Distances between the runs of an ensemble and between groupings: one formula per method."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations

import numpy as np
from scipy import sparse

from spdclust.core.arguments import checked, function, instance, optional, text, whole
from spdclust.core.errors import InputError
from spdclust.core.names import METHODS, check_method, check_methods
from spdclust.core.types import Float, Int
from spdclust.partitions.ensemble import NormalizedHistories
from spdclust.partitions.overlap import OverlapSums, contingency, overlap_sums, xlogx_table
from spdclust.partitions.trajectory import (
    AlignedMerges,
    Progress,
    RunPairs,
    check_runs,
    kept_iterations,
    walk_run_pairs,
)

DistancesArray = Float[np.ndarray, "iterations runs runs"]
"""float64, symmetric in the runs, zero on the diagonal; in the unit of its method."""

Rows = Float[np.ndarray, " rows"]


@checked(
    normalized=instance(NormalizedHistories, allowed="the result of normalize_ensemble"),
    method=text(),
    stride=whole(at_least=1),
    n_workers=whole(at_least=1),
    progress=optional(function),
)
def compute_distances(
    normalized: NormalizedHistories,
    method: str,
    *,
    stride: int = 1,
    n_workers: int = 1,
    progress: Progress | None = None,
) -> DistancesArray:
    """Return the distance between each pair of runs after every kept iteration.

    Example:
        >>> from spdclust.config.merge import MergeConfig
        >>> from spdclust.partitions.ensemble import normalize_ensemble
        >>> from spdclust.merge.history import MergeHistory
        >>> def run(*pairs):
        ...     zeros = np.zeros(len(pairs))
        ...     return MergeHistory(["m:0", "m:1", "m:2"], np.array(pairs), zeros, zeros, MergeConfig())
        >>> normalized = normalize_ensemble([run([0, 1], [0, 1]), run([1, 2], [0, 1])])
        >>> compute_distances(normalized, "matching_dist").tolist()
        [[[0.0, 2.0], [2.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]

    Args:
        normalized: the ensemble, see `normalize_ensemble`.
        method: a name in `METHODS`.
        stride: keep every n-th iteration, from the first.
        n_workers: number of threads; the result does not depend on it.
        progress: called with the number of run pairs done and their total.

    Raises:
        InputError: an unknown method, fewer than two runs, a stride or number of workers below 1.
    """
    name = check_method(method).name
    return compute_all_distances(normalized, [name], stride=stride, n_workers=n_workers, progress=progress)[
        name
    ]


def compute_all_distances(
    normalized: NormalizedHistories,
    methods: Iterable[str],
    *,
    stride: int = 1,
    n_workers: int = 1,
    progress: Progress | None = None,
) -> dict[str, DistancesArray]:
    """Return the distances of several methods, computed in one pass over the trajectories.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> found = compute_all_distances(example_normalized(), ["perm_invariant_hamming", "matching_dist"])
        >>> {name: distances[:2, 0, 1].tolist() for name, distances in found.items()}
        {'perm_invariant_hamming': [2.0, 2.0], 'matching_dist': [2.0, 3.0]}

    Raises:
        InputError: an unknown method or none, fewer than two runs, a stride or number of workers below 1.
    """
    names, n_kept = _checked(normalized, methods, stride)
    shape = (n_kept, normalized.n_runs, normalized.n_runs)
    distances = {name: np.zeros(shape) for name in names}
    for name, first, second, values in _walk(normalized, None, names, stride, n_workers, progress):
        distances[name][:, first, second] = distances[name][:, second, first] = values
    return distances


def _checked(
    normalized: NormalizedHistories | AlignedMerges, methods: Iterable[str], stride: int
) -> tuple[Sequence[str], int]:
    """Return the names of the methods and the number of kept iterations."""
    names = check_methods(methods)
    check_runs(normalized)
    return names, len(kept_iterations(normalized.n_iterations, stride))


def _walk(
    normalized: NormalizedHistories | AlignedMerges,
    pairs: RunPairs | None,
    names: Sequence[str],
    stride: int,
    n_workers: int,
    progress: Progress | None,
) -> Iterator[tuple[str, int, int, Rows]]:
    """Yield the distances of each method and pair of runs after every kept iteration."""
    with_matching = any(METHODS[name].needs_matching for name in names)
    for first, second, sums in walk_run_pairs(
        normalized,
        pairs=pairs,
        stride=stride,
        with_matching=with_matching,
        n_workers=n_workers,
        progress=progress,
    ):
        for name in names:
            yield name, first, second, FORMULAS[name](sums)


def compute_pair_distances(
    normalized: NormalizedHistories | AlignedMerges,
    methods: Iterable[str],
    *,
    pairs: RunPairs | None = None,
    stride: int = 1,
    n_workers: int = 1,
    progress: Progress | None = None,
) -> dict[str, Float[np.ndarray, "pairs iterations"]]:
    """Return the same, one row for each of `pairs`: half the memory, or less for some of the pairs.

    By default these are all pairs, in the order of `itertools.combinations`.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> compute_pair_distances(example_normalized(), ["matching_dist"])["matching_dist"].shape
        (1, 11)

    Raises:
        InputError: an unknown method or none, fewer than two runs, a stride or number of workers below 1.
    """
    names, n_kept = _checked(normalized, methods, stride)
    listed = combinations(range(normalized.n_runs), 2) if pairs is None else map(tuple, pairs.tolist())
    number = {pair: n for n, pair in enumerate(listed)}
    distances = {name: np.empty((len(number), n_kept)) for name in names}
    for name, first, second, values in _walk(normalized, pairs, names, stride, n_workers, progress):
        distances[name][number[first, second]] = values
    return distances


def distance_matrices(
    groupings: Int[np.ndarray, "groupings components"], methods: Iterable[str]
) -> dict[str, Float[np.ndarray, "groupings groupings"]]:
    """Return the distance matrix of each method over all groupings, with one sparse product per grouping.

    Example:
        >>> groupings = np.array([[0, 0, 1, 1], [0, 0, 0, 1], [5, 5, 2, 2]])
        >>> distance_matrices(groupings, ["matching_dist"])["matching_dist"].tolist()
        [[0.0, 3.0, 0.0], [3.0, 0.0, 3.0], [0.0, 3.0, 0.0]]

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
    raise RuntimeError("core.names and FORMULAS name different distances")


def distance(first: Int[np.ndarray, "_"], second: Int[np.ndarray, "_"], method: str) -> float:
    """Return the distance between two groupings of the same components by one method.

    Example:
        >>> first, second = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])
        >>> [distance(first, second, name) for name in ("perm_invariant_hamming", "matching_dist")]
        [1.0, 3.0]
        >>> [distance(first, second, name) for name in ("jaccard_dist", "adjusted_rand_dist")]
        [0.75, 1.0]

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
