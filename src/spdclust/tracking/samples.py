"""Statistics of the groups' coactivations, costs, sizes and activities after a merge.

Matrices are not built. All pairs of groups are used if there are at most `PAIRS` (128 groups), otherwise
`PAIRS` of them, drawn with replacement by a generator seeded with the iteration. The values are reproducible,
and the cost does not grow with the number of groups.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from spdclust.core.numbering import merges_done
from spdclust.core.types import Float, Int
from spdclust.merge.view import MergeView

PAIRS = 1 << 13
"""Pairs of groups that statistics are taken over at most."""

BINS = 64
"""Bars of a histogram."""

SHOWN = 96
"""Groups in the picture of the merge state at most: the largest ones."""

QUANTILES = {"q01": 0.01, "q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95, "q99": 0.99}


@dataclass(frozen=True)
class MergeSample:
    """The state after one merge, sufficient for statistics of its matrices and for its picture.

    Drawing it is cheap; the statistics can be computed later, in another thread.

    Example:
        >>> from spdclust.example_ensemble import MERGE, example_activations
        >>> from spdclust.merge.merging import merge_iteration
        >>> samples = []
        >>> _ = merge_iteration(
        ...     example_activations(), MERGE, callback=lambda view: samples.append(MergeSample.of(view))
        ... )
        >>> samples[7].sizes.tolist(), samples[7].statistics()["group_sizes"]["mean"]
        ([3, 3, 3, 3], 3.0)

    Attributes:
        iteration: number of the last merge.
        n_samples: samples in the batch.
        sizes: number of components of each group.
        activities: samples on which each group is active, NaN for masked groups.
        coactivations: counts of the pairs of `some_pairs`.
        costs: cost of merging these pairs next, bits per sample.
        shown: numbers of the groups in the picture: the largest, at most `SHOWN`.
        shown_coactivations: counts of their pairs, with their activities on the diagonal.
        shown_costs: cost of merging each pair of them next, bits per sample, NaN on the diagonal.
    """

    iteration: int
    n_samples: int
    sizes: Int[np.ndarray, " groups"]
    activities: Float[np.ndarray, " groups"]
    coactivations: Float[np.ndarray, " pairs"]
    costs: Float[np.ndarray, " pairs"]
    shown: Int[np.ndarray, " shown"]
    shown_coactivations: Float[np.ndarray, "shown shown"]
    shown_costs: Float[np.ndarray, "shown shown"]

    @classmethod
    def of(cls, view: MergeView) -> "MergeSample":
        """Draw the sample from a running merge."""
        pairs = some_pairs(view.k_groups, view.iteration)
        shown = np.sort(np.argsort(-view.ranks, kind="stable")[:SHOWN])
        square = np.meshgrid(shown, shown, indexing="ij")
        shown_costs = view.costs_of(*square)
        np.fill_diagonal(shown_costs, np.nan)
        return cls(
            iteration=view.iteration,
            n_samples=view.n_samples,
            sizes=view.ranks,
            activities=view.activities,
            coactivations=view.coactivations_of(*pairs),
            costs=view.costs_of(*pairs),
            shown=shown,
            shown_coactivations=view.coactivations_of(*square),
            shown_costs=shown_costs,
        )

    def statistics(self) -> dict[str, Any]:
        """Return the values logged at `tensor` intervals: statistics by quantity, and single values.

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
            "costs": describe_values(self.costs),
            "group_sizes": describe_values(sizes.astype(np.float64)),
            "group_activations": describe_values(activity),
            "group_activations_over_sizes": describe_values(activity / sizes),
            "fraction_singleton_groups": float((sizes == 1).mean()),
            "fraction_zero_coactivations": zero,
            # all groups have equally many others, so the mean of their shares is the share of all pairs
            "coactivation_density": 1 - zero,
        }

    def draw(self, group_idxs: Int[np.ndarray, " components"]) -> Any:
        """Return the picture of the merge state.

        Args:
            group_idxs: group of each component after this merge.
        """
        from spdclust.plotting.merge_state import draw_merge_state

        title = f"After {merges_done(self.iteration)}, {len(self.sizes)} groups"
        if len(self.shown) < len(self.sizes):
            title += f"; the {len(self.shown)} largest are shown"
        idxs = group_idxs_shown(group_idxs, self.shown)
        return draw_merge_state(idxs, self.shown_coactivations, self.shown_costs, title=title)


def some_pairs(k: int, iteration: int) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """Return pairs of different groups: all of them, or a sample that depends only on the arguments.

    Example:
        >>> [pair.tolist() for pair in some_pairs(3, 0)]
        [[0, 0, 1], [1, 2, 2]]
        >>> len(some_pairs(1000, 0)[0]) == PAIRS
        True

    Args:
        k: number of groups.
        iteration: seed of the sample.
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
        >>> values = describe_values(np.array([1.0, 3.0, np.nan, 2.0]))
        >>> values["min"], values["max"], values["median"], values["nan_share"]
        (1.0, 3.0, 2.0, 0.25)

    Returns:
        Numbers by name, only `nan_share` if every value is NaN; `histogram` has `counts` and their
        `edges`.
    """
    finite = values[np.isfinite(values)]
    statistics: dict[str, Any] = {"nan_share": float(np.isnan(values).mean()) if len(values) else 0.0}
    if not len(finite):
        return statistics
    low, high = float(finite.min()), float(finite.max())
    counts, edges = np.histogram(
        finite, bins=BINS, range=(low, high) if high > low else (low - 0.5, low + 0.5)
    )
    statistics |= {"min": low, "max": high, "mean": float(finite.mean()), "std": float(finite.std())}
    statistics |= dict(zip(QUANTILES, np.quantile(finite, list(QUANTILES.values())).tolist(), strict=True))
    return statistics | {"histogram": {"counts": counts.tolist(), "edges": edges.tolist()}}


def group_idxs_shown(
    group_idxs: Int[np.ndarray, " components"], shown: Int[np.ndarray, " shown"]
) -> Int[np.ndarray, " some"]:
    """Return the groups of the components in shown groups, numbered in the order of the picture.

    Example:
        >>> group_idxs_shown(np.array([0, 1, 2, 0]), np.array([0, 2])).tolist()
        [0, 1, 0]
    """
    number = np.full(int(group_idxs.max(initial=-1)) + 1, -1)
    number[shown] = np.arange(len(shown))
    numbers: np.ndarray = number[group_idxs]
    return numbers[numbers >= 0]
