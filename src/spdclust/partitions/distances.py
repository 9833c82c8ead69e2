"""Distances between the runs of an ensemble, iteration by iteration, and between many groupings at once."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

import numpy as np
from scipy import sparse

from spdclust.core.argument_kinds import text, whole
from spdclust.core.arguments import checked, function, instance, optional
from spdclust.core.distance_methods import METHODS, check_method, check_methods
from spdclust.core.errors import InputError
from spdclust.core.types import Float, Int
from spdclust.partitions.ensemble import NormalizedHistories
from spdclust.partitions.formulas import FORMULAS
from spdclust.partitions.overlap import OverlapSums, xlogx_table
from spdclust.partitions.trajectory import Progress, check_runs, kept_iterations, walk_run_pairs

DistancesArray = Float[np.ndarray, "iterations runs runs"]
"""float64, symmetric in the runs, zero on the diagonal; in the unit of its method."""

_ROWS_AT_ONCE = 64


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
        >>> from spdclust.config.merge import MergeConfig
        >>> from spdclust.partitions.ensemble import normalize_ensemble
        >>> from spdclust.merge.history import MergeHistory
        >>> one = np.ones(1)
        >>> def run(pair):
        ...     return MergeHistory(["m:0", "m:1", "m:2"], np.array([pair]), one, one, MergeConfig())
        >>> normalized = normalize_ensemble([run([0, 1]), run([1, 2])])
        >>> distances = compute_all_distances(normalized, ["perm_invariant_hamming", "matching_dist"])
        >>> {name: float(array[0, 0, 1]) for name, array in distances.items()}
        {'perm_invariant_hamming': 1.0, 'matching_dist': 2.0}

    Args:
        normalized: the ensemble, see `normalize_ensemble`.
        methods: names in `METHODS`.
        stride: keep every n-th iteration, from the first.
        n_workers: number of threads; the result does not depend on it.
        progress: called with the number of run pairs done and their total.

    Raises:
        InputError: an unknown method or none, fewer than two runs, a stride or number of workers below 1.
    """
    names = check_methods(methods)
    check_runs(normalized)
    n_kept = len(kept_iterations(normalized.n_iterations, stride))
    shape = (n_kept, normalized.n_runs, normalized.n_runs)
    distances = {name: np.zeros(shape) for name in names}
    for first, second, sums in _walk(normalized, names, stride, n_workers, progress):
        for name in names:
            distances[name][:, first, second] = distances[name][:, second, first] = FORMULAS[name](sums)
    return distances


def _walk(
    normalized: NormalizedHistories,
    names: Sequence[str],
    stride: int,
    n_workers: int,
    progress: Progress | None,
) -> Iterator[tuple[int, int, OverlapSums]]:
    with_matching = any(METHODS[name].needs_matching for name in names)
    return walk_run_pairs(
        normalized, stride=stride, with_matching=with_matching, n_workers=n_workers, progress=progress
    )


def compute_pair_distances(
    normalized: NormalizedHistories,
    methods: Iterable[str],
    *,
    stride: int = 1,
    n_workers: int = 1,
    progress: Progress | None = None,
) -> dict[str, Float[np.ndarray, "pairs iterations"]]:
    """Return the same, one row a pair of runs in the order of `itertools.combinations`: half the memory.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> compute_pair_distances(example_normalized(), ["matching_dist"])["matching_dist"].shape
        (1, 11)

    Args:
        normalized: the ensemble, see `normalize_ensemble`.
        methods: names in `METHODS`.
        stride: keep every n-th iteration, from the first.
        n_workers: number of threads; the result does not depend on it.
        progress: called with the number of run pairs done and their total.

    Raises:
        InputError: an unknown method or none, fewer than two runs, a stride or number of workers below 1.
    """
    names = check_methods(methods)
    check_runs(normalized)
    n_kept = len(kept_iterations(normalized.n_iterations, stride))
    number = {pair: n for n, pair in enumerate(combinations(range(normalized.n_runs), 2))}
    distances = {name: np.empty((len(number), n_kept)) for name in names}
    for first, second, sums in _walk(normalized, names, stride, n_workers, progress):
        for name in names:
            distances[name][number[first, second]] = FORMULAS[name](sums)
    return distances


def symmetric_rows(
    pairs: Float[np.ndarray, "pairs iterations"], n_runs: int
) -> Iterator[Float[np.ndarray, "runs runs"]]:
    """Yield the matrix of distances after each iteration; always the same array, updated in place.

    Example:
        >>> rows = symmetric_rows(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), 3)
        >>> next(rows).tolist()
        [[0.0, 1.0, 3.0], [1.0, 0.0, 5.0], [3.0, 5.0, 0.0]]

    Args:
        pairs: one row a pair of runs, in the order of `itertools.combinations`.
        n_runs: number of runs.
    """
    first, second = np.triu_indices(n_runs, 1)
    matrix = np.zeros((n_runs, n_runs))
    for start in range(0, pairs.shape[1], _ROWS_AT_ONCE):
        for row in np.ascontiguousarray(pairs[:, start : start + _ROWS_AT_ONCE].T):
            matrix[first, second] = matrix[second, first] = row
            yield matrix


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
