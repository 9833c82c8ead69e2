"""Statistics of the groups' coactivations, costs, sizes and activities at one moment of a merge.

Matrices are not built. All pairs of groups are looked at while there are at most `PAIRS` of them (181
groups), beyond that a sample of so many, drawn with replacement by a generator seeded by the iteration: the
same figures whenever they are computed, at a cost that does not grow with the number of groups.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from spdclust.merge.view import MergeView
from spdclust.types import Float, Int

PAIRS = 1 << 14
"""Pairs of groups that statistics are taken over at most."""

BINS = 64
"""Bars of a histogram."""

SHOWN = 192
"""Groups in the figure of the merge state at most: the largest ones."""

QUANTILES = {"q01": 0.01, "q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95, "q99": 0.99}


@dataclass(frozen=True)
class Snapshot:
    """What the figure of a merge state needs: some groups, and how they act together.

    Attributes:
        iteration: number of the merge just done.
        k_groups: number of all groups.
        groups: the groups that are shown, by number.
        sizes: number of components of each of them.
        coactivations: samples on which two of them are both active, activities on the diagonal.
        costs: of merging two of them next, bits per sample, NaN on the diagonal.
    """

    iteration: int
    k_groups: int
    groups: Int[np.ndarray, " shown"]
    sizes: Int[np.ndarray, " shown"]
    coactivations: Float[np.ndarray, "shown shown"]
    costs: Float[np.ndarray, "shown shown"]

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything as arrays, for a file."""
        numbers = {name: np.array(getattr(self, name)) for name in ("iteration", "k_groups")}
        return numbers | {name: getattr(self, name) for name in ("groups", "sizes", "coactivations", "costs")}

    @classmethod
    def from_arrays(cls, arrays: Any) -> "Snapshot":
        """Build from what `arrays` returned."""
        return cls(
            int(arrays["iteration"]),
            int(arrays["k_groups"]),
            arrays["groups"],
            arrays["sizes"],
            arrays["coactivations"],
            arrays["costs"],
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


def describe(values: Float[np.ndarray, " values"]) -> dict[str, Any]:
    """Return minimum, maximum, mean, standard deviation, quantiles, share of NaN and a histogram.

    Example:
        >>> told = describe(np.array([1.0, 3.0, np.nan, 2.0]))
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


def tensor_record(view: MergeView) -> dict[str, Any]:
    """Return what is logged at `tensor` intervals: statistics by what they are of, and single figures.

    Args:
        view: the state after a merge.

    Returns:
        `coactivation` (share of samples), `costs` (bits per sample), `group_sizes` (components),
        `group_activations` (share of samples), `group_activations_over_sizes`, each as `describe` gives it;
        `fraction_singleton_groups`, `fraction_zero_coactivations` (of pairs that are not masked) and
        `coactivation_density` (mean over groups of the share of other groups ever active with it).
    """
    first, second = some_pairs(view.k_groups, view.iteration)
    coact, costs = view.coactivations_of(first, second), view.costs_of(first, second)
    sizes, activity = view.ranks, view.activities / view.n_samples
    known = ~np.isnan(coact)
    zero = float((coact[known] == 0).mean()) if known.any() else 1.0
    return {
        "coactivation": describe(coact / view.n_samples),
        "costs": describe(costs),
        "group_sizes": describe(sizes.astype(np.float64)),
        "group_activations": describe(activity),
        "group_activations_over_sizes": describe(activity / sizes),
        "fraction_singleton_groups": float((sizes == 1).mean()),
        "fraction_zero_coactivations": zero,
        # every group has as many others: the mean of the shares is the share of all pairs
        "coactivation_density": 1 - zero,
    }


def snapshot(view: MergeView) -> Snapshot:
    """Return what the figure of the merge state shows: the largest groups, at most `SHOWN`, in their order.

    Args:
        view: the state after a merge.
    """
    order = np.argsort(-view.ranks, kind="stable")[:SHOWN]
    groups = np.sort(order)
    first, second = np.meshgrid(groups, groups, indexing="ij")
    costs = view.costs_of(first, second)
    np.fill_diagonal(costs, np.nan)
    return Snapshot(
        view.iteration, view.k_groups, groups, view.ranks[groups], view.coactivations_of(first, second), costs
    )


def group_idxs_shown(group_idxs: Int[np.ndarray, " components"], shown: Snapshot) -> Int[np.ndarray, " some"]:
    """Return the groups of those components that are in a group that is shown, numbered as they are shown.

    Example:
        >>> zeros = np.zeros((2, 2))
        >>> shown = Snapshot(0, 3, np.array([0, 2]), np.array([2, 1]), zeros, zeros)
        >>> group_idxs_shown(np.array([0, 1, 2, 0]), shown).tolist()
        [0, 1, 0]
    """
    number = np.full(shown.k_groups, -1)
    number[shown.groups] = np.arange(len(shown.groups))
    numbers: np.ndarray = number[group_idxs]
    return numbers[numbers >= 0]
