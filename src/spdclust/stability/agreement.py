"""Agreement of the runs along the trajectory: where they diverge, and whether they reconverge."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from spdclust.core.errors import InputError
from spdclust.core.types import Float, Int

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""Quantiles of the distances over run pairs that are reported."""

NEVER = -1
"""Marks an iteration that does not exist."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of the runs at each iteration, computed from the distances.

    Example:
        >>> apart = np.array([[0.0, 2.0], [2.0, 0.0]])
        >>> agreement = summarize_agreement({"matching_dist": np.stack([0 * apart, apart])})
        >>> agreement.to_dict()["n_equal_pairs"], agreement.means["matching_dist"].tolist()
        ([1, 0], [0.0, 2.0])

    Attributes:
        iterations: `(iterations,)` the analysed iterations.
        n_distinct: `(iterations,)` number of distinct groupings among the runs; 1 if all agree.
        n_equal_pairs: `(iterations,)` number of run pairs at distance zero.
        quantiles: for each method, `(iterations, quantiles)` of the distance over run pairs, at `QUANTILES`,
            interpolated linearly; in the method's unit.
        means: for each method, `(iterations,)` mean over run pairs.
        first_divergence: `(runs, runs)` first iteration at which two runs differ; -1 if they never do.
        first_reconvergence: `(runs, runs)` first iteration after that at which they are equal again; -1 if
            there is none.
        last_agreement: last iteration at which all runs are equal; None if there is none.
    """

    iterations: Int[np.ndarray, " iterations"]
    n_distinct: Int[np.ndarray, " iterations"]
    n_equal_pairs: Int[np.ndarray, " iterations"]
    quantiles: dict[str, Float[np.ndarray, "iterations quantiles"]]
    means: dict[str, Float[np.ndarray, " iterations"]]
    first_divergence: Int[np.ndarray, "runs runs"]
    first_reconvergence: Int[np.ndarray, "runs runs"]
    last_agreement: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers."""
        return {
            "iterations": self.iterations.tolist(),
            "n_distinct": self.n_distinct.tolist(),
            "n_equal_pairs": self.n_equal_pairs.tolist(),
            "quantile_levels": list(QUANTILES),
            "quantiles": {name: values.tolist() for name, values in self.quantiles.items()},
            "means": {name: values.tolist() for name, values in self.means.items()},
            "first_divergence": self.first_divergence.tolist(),
            "first_reconvergence": self.first_reconvergence.tolist(),
            "last_agreement": self.last_agreement,
        }


def summarize_agreement(
    distances: Mapping[str, Float[np.ndarray, "iterations runs runs"]],
    iterations: Int[np.ndarray, " iterations"] | None = None,
) -> Agreement:
    """Summarise the distances between runs; two runs agree if their distance is zero, by any method.

    Example:
        >>> apart = np.array([[0.0, 2.0], [2.0, 0.0]])
        >>> agreement = summarize_agreement({"matching_dist": np.stack([0 * apart, apart, 0 * apart, apart])})
        >>> agreement.n_distinct.tolist(), agreement.last_agreement
        ([1, 2, 1, 2], 2)
        >>> int(agreement.first_divergence[0, 1]), int(agreement.first_reconvergence[0, 1])
        (1, 2)

    Args:
        distances: one array per method, as `compute_all_distances` returns them.
        iterations: iterations of the rows; 0, 1, 2, … by default.

    Raises:
        InputError: no method, or fewer than two runs.
    """
    if not distances:
        raise InputError("no distances given", field="distances", allowed="at least one method")
    some = next(iter(distances.values()))
    n_iterations, n_runs, _ = some.shape
    if n_runs < 2:
        raise InputError("agreement needs several runs", field="n_runs", found=n_runs, allowed="2 or more")
    iterations = np.arange(n_iterations) if iterations is None else iterations
    equal = some == 0
    first, second = np.triu_indices(n_runs, 1)
    between = {name: values[:, first, second] for name, values in distances.items()}
    # a run repeats an earlier grouping exactly if its distance from an earlier run is zero
    repeats = (equal & np.tri(n_runs, k=-1, dtype=bool)).any(axis=2)
    n_distinct = n_runs - repeats.sum(axis=1)
    agreed = np.flatnonzero(n_distinct == 1)
    divergence = _first(~equal, iterations)
    parted = np.cumsum(~equal, axis=0) > 0
    return Agreement(
        iterations=iterations,
        n_distinct=n_distinct,
        n_equal_pairs=equal[:, first, second].sum(axis=1),
        quantiles={name: np.quantile(values, QUANTILES, axis=1).T for name, values in between.items()},
        means={name: values.mean(axis=1) for name, values in between.items()},
        first_divergence=divergence,
        first_reconvergence=_first(equal & parted, iterations),
        last_agreement=int(iterations[agreed[-1]]) if len(agreed) else None,
    )


def _first(true: np.ndarray, iterations: np.ndarray) -> np.ndarray:
    """Return the first iteration at which each entry is true, or `NEVER`."""
    return np.where(true.any(axis=0), iterations[true.argmax(axis=0)], NEVER)
