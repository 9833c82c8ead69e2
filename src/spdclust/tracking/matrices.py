"""Statistics of the groups' coactivations, costs, sizes and activities at one moment of a merge.

Matrices are not built. All pairs of groups are looked at while there are at most `PAIRS` of them (128
groups), beyond that a sample of so many, drawn with replacement by a generator seeded by the iteration: the
same figures whenever they are computed, at a cost that does not grow with the number of groups.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.core.opening import refused
from spdclust.core.types import Float, Int
from spdclust.files.archive import read_array
from spdclust.merge.view import MergeView, pair_costs

PAIRS = 1 << 13
"""Pairs of groups that statistics are taken over at most."""

BINS = 64
"""Bars of a histogram."""

SHOWN = 96
"""Groups in the figure of the merge state at most: the largest ones."""

QUANTILES = {"q01": 0.01, "q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95, "q99": 0.99}


@dataclass(frozen=True)
class MergeSample:
    """What is kept of the state after one merge: enough for statistics of its matrices and for its figure.

    Taking it is cheap; what is computed from it can be computed later, elsewhere.

    Example:
        >>> from spdclust.example_ensemble import MERGE, example_activations
        >>> from spdclust.merge.merging import merge_iteration
        >>> kept = []
        >>> _ = merge_iteration(
        ...     example_activations(), MERGE, seed=0, callback=lambda view: kept.append(MergeSample.of(view))
        ... )
        >>> kept[7].sizes.tolist(), kept[7].statistics()["group_sizes"]["mean"]
        ([3, 3, 3, 3], 3.0)

    Attributes:
        iteration: number of the merge just done.
        n_samples: samples in the batch.
        alpha: bits per component of an active group.
        total_activity: sum of the activities of all groups.
        sizes: number of components of each group.
        activities: samples on which each group is active, NaN for masked groups.
        coactivations: counts of the pairs that `some_pairs` gives.
        shown: the groups that the figure shows, by number: the largest, at most `SHOWN`.
        shown_coactivations: of each two of them, their activities on the diagonal.
    """

    iteration: int
    n_samples: int
    alpha: float
    total_activity: float
    sizes: Int[np.ndarray, " groups"]
    activities: Float[np.ndarray, " groups"]
    coactivations: Float[np.ndarray, " pairs"]
    shown: Int[np.ndarray, " shown"]
    shown_coactivations: Float[np.ndarray, "shown shown"]

    @classmethod
    def of(cls, view: MergeView) -> "MergeSample":
        """Take what is to be kept of the state after a merge."""
        shown = np.sort(np.argsort(-view.ranks, kind="stable")[:SHOWN])
        return cls(
            iteration=view.iteration,
            n_samples=view.n_samples,
            alpha=float(view.alpha),
            total_activity=view.total_activity,
            sizes=view.ranks,
            activities=view.activities,
            coactivations=view.coactivations_of(*some_pairs(view.k_groups, view.iteration)),
            shown=shown,
            shown_coactivations=view.coactivations_of(*np.meshgrid(shown, shown, indexing="ij")),
        )

    @property
    def k_groups(self) -> int:
        """Number of groups."""
        return len(self.sizes)

    def statistics(self) -> dict[str, Any]:
        """Return what is logged at `tensor` intervals: statistics by what they are of, and single figures.

        Returns:
            `coactivation` (share of samples), `costs` (bits per sample), `group_sizes` (components),
            `group_activations` (share of samples), `group_activations_over_sizes`, each as `describe_values`
            gives it; `fraction_singleton_groups`, `fraction_zero_coactivations` (of pairs that are not
            masked) and `coactivation_density` (mean over groups of the share of other groups ever active
            with it).
        """
        coact, sizes, activity = self.coactivations, self.sizes, self.activities / self.n_samples
        known = ~np.isnan(coact)
        zero = float((coact[known] == 0).mean()) if known.any() else 1.0
        return {
            "coactivation": describe_values(coact / self.n_samples),
            "costs": describe_values(self._costs(coact, *some_pairs(self.k_groups, self.iteration))),
            "group_sizes": describe_values(sizes.astype(np.float64)),
            "group_activations": describe_values(activity),
            "group_activations_over_sizes": describe_values(activity / sizes),
            "fraction_singleton_groups": float((sizes == 1).mean()),
            "fraction_zero_coactivations": zero,
            # every group has as many others: the mean of the shares is the share of all pairs
            "coactivation_density": 1 - zero,
        }

    def shown_costs(self) -> Float[np.ndarray, "shown shown"]:
        """Return the cost of merging each two groups shown next, bits per sample, NaN on the diagonal."""
        costs = self._costs(self.shown_coactivations, *np.meshgrid(self.shown, self.shown, indexing="ij"))
        np.fill_diagonal(costs, np.nan)
        return costs

    def _costs(self, coact: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return pair_costs(
            coact,
            (self.activities[first], self.activities[second]),
            (self.sizes[first], self.sizes[second]),
            k_groups=self.k_groups,
            total_activity=self.total_activity,
            n_samples=self.n_samples,
            alpha=self.alpha,
        )

    def save(self, path: Path) -> None:
        """Write everything as one array: quicker than an archive of several."""
        head = [self.iteration, self.n_samples, self.alpha, self.total_activity]
        head += [len(part) for part in (self.sizes, self.coactivations, self.shown)]
        arrays = (
            self.sizes,
            self.activities,
            self.coactivations,
            self.shown,
            self.shown_coactivations.ravel(),
        )
        np.save(path, np.concatenate([np.array(head, dtype=np.float64), *arrays]))

    @classmethod
    def load(cls, path: Path) -> "MergeSample":
        """Read what `save` wrote.

        Raises:
            InputError: no such file, or it is damaged.
        """
        values = read_array(path, what="sample of a merge")
        with refused("not a sample of a merge", path, "state_<iteration>.npy"):
            iteration, n_samples, alpha, total, k, pairs, shown = values[:7].tolist()
            lengths = [int(length) for length in (k, k, pairs, shown, shown * shown)]
            if min(lengths) < 0 or len(values) != 7 + sum(lengths):
                raise ValueError(f"{len(values)} numbers do not make {lengths}")
            parts = np.split(values[7:], np.cumsum(lengths)[:-1])
            return cls(
                int(iteration),
                int(n_samples),
                alpha,
                total,
                parts[0].astype(np.int64),
                parts[1],
                parts[2],
                parts[3].astype(np.int64),
                parts[4].reshape(int(shown), int(shown)),
            )


def some_pairs(k: int, iteration: int) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """Return pairs of different groups: all of them, or a sample that depends on nothing but the arguments.

    Example:
        >>> [pair.tolist() for pair in some_pairs(3, 0)]
        [[0, 0, 1], [1, 2, 2]]
        >>> len(some_pairs(1000, 0)[0]) == PAIRS
        True

    Args:
        k: number of groups.
        iteration: what the sample is seeded by.
    """
    if k * (k - 1) // 2 <= PAIRS:
        first, second = np.triu_indices(k, 1)
        return first, second
    rng = np.random.default_rng([iteration, k])
    first = rng.integers(k, size=PAIRS)
    second = rng.integers(k - 1, size=PAIRS)
    return first, second + (second >= first)


def describe_values(values: Float[np.ndarray, " values"]) -> dict[str, Any]:
    """Return minimum, maximum, mean, standard deviation, quantiles, share of NaN and a histogram.

    Example:
        >>> told = describe_values(np.array([1.0, 3.0, np.nan, 2.0]))
        >>> told["min"], told["max"], told["median"], told["nan_share"], sum(told["histogram"]["counts"])
        (1.0, 3.0, 2.0, 0.25, 3)

    Returns:
        Numbers by name, none but `nan_share` where every value is NaN; `histogram` holds `counts` and their
        `edges`.
    """
    finite = values[np.isfinite(values)]
    told: dict[str, Any] = {"nan_share": float(np.isnan(values).mean()) if len(values) else 0.0}
    if not len(finite):
        return told
    low, high = float(finite.min()), float(finite.max())
    counts, edges = np.histogram(
        finite, bins=BINS, range=(low, high) if high > low else (low - 0.5, low + 0.5)
    )
    told |= {"min": low, "max": high, "mean": float(finite.mean()), "std": float(finite.std())}
    told |= dict(zip(QUANTILES, np.quantile(finite, list(QUANTILES.values())).tolist(), strict=True))
    return told | {"histogram": {"counts": counts.tolist(), "edges": edges.tolist()}}


def group_idxs_shown(
    group_idxs: Int[np.ndarray, " components"], shown: Int[np.ndarray, " shown"]
) -> Int[np.ndarray, " some"]:
    """Return the groups of those components that are in a group that is shown, numbered as they are shown.

    Example:
        >>> group_idxs_shown(np.array([0, 1, 2, 0]), np.array([0, 2])).tolist()
        [0, 1, 0]
    """
    number = np.full(int(group_idxs.max(initial=-1)) + 1, -1)
    number[shown] = np.arange(len(shown))
    numbers: np.ndarray = number[group_idxs]
    return numbers[numbers >= 0]
