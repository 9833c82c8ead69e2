"""Distances between the runs of an ensemble, iteration by iteration."""

import numpy as np

from spdclust.ensemble import NormalizedHistories
from spdclust.errors import InputError
from spdclust.partitions.methods import check_method
from spdclust.partitions.pairwise import distance
from spdclust.types import Float

DistancesArray = Float[np.ndarray, "iterations runs runs"]
"""float64, symmetric in the runs, zero on the diagonal."""


def compute_distances(normalized: NormalizedHistories, method: str) -> DistancesArray:
    """Return the distance between every two runs after every iteration.

    Raises:
        InputError: an unknown method, or fewer than two runs.
    """
    name = check_method(method).name
    check_runs(normalized)
    distances = np.zeros((normalized.n_iterations, normalized.n_runs, normalized.n_runs))
    for iteration, rows in enumerate(normalized.iterate_rows()):
        for second in range(normalized.n_runs):
            for first in range(second):
                value = distance(rows[first], rows[second], name)
                distances[iteration, first, second] = distances[iteration, second, first] = value
    return distances


def check_runs(normalized: NormalizedHistories) -> None:
    """Refuse an ensemble that has nothing to compare.

    Raises:
        InputError: there are fewer than two runs.
    """
    if normalized.n_runs < 2:
        raise InputError(
            "distances need several runs", field="n_runs", found=normalized.n_runs, allowed="2 or more"
        )
