"""Distances between the runs of an ensemble, iteration by iteration."""

from collections.abc import Iterable

import numpy as np

from spdclust.core.argument_kinds import text, whole
from spdclust.core.arguments import checked, function, instance, optional
from spdclust.core.distance_methods import METHODS, check_method, check_methods
from spdclust.core.types import Float
from spdclust.partitions.ensemble import NormalizedHistories
from spdclust.partitions.formulas import FORMULAS
from spdclust.partitions.trajectory import Progress, check_runs, kept_iterations, walk_run_pairs

DistancesArray = Float[np.ndarray, "iterations runs runs"]
"""float64, symmetric in the runs, zero on the diagonal; in the unit of its method."""


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
    with_matching = any(METHODS[name].needs_matching for name in names)
    for first, second, sums in walk_run_pairs(
        normalized, stride=stride, with_matching=with_matching, n_workers=n_workers, progress=progress
    ):
        for name in names:
            distances[name][:, first, second] = distances[name][:, second, first] = FORMULAS[name](sums)
    return distances
