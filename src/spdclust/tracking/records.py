"""The values that are logged of a merge: of every iteration, and of the matrices of some states.

Matrices are not built. All pairs of groups are used if there are at most `PAIRS` (128 groups), otherwise
`PAIRS` of them, drawn with replacement by a generator seeded with the iteration. The values are reproducible,
and the cost does not grow with the number of groups.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from spdclust.core.names import merges_done
from spdclust.core.types import Float, Int
from spdclust.merge.history import MergeHistory
from spdclust.merge.view import MergeView

EPSILON = 1e-3
"""Costs nearer to zero than this stay as they are in `merge_pair_cost_semilog[1e-3]`."""

WINDOW = 10
"""Merges over which `mdl_decrease_rate` is taken."""

PAIRS = 1 << 13
"""Pairs of groups that statistics are taken over at most."""

BINS = 64
"""Bars of a histogram."""

SHOWN = 96
"""Groups in the picture of the merge state at most: the largest ones."""

QUANTILES = {"q01": 0.01, "q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95, "q99": 0.99}


def stat_records(
    history: MergeHistory,
    seconds: Float[np.ndarray, " iterations"],
    memory_mb: Float[np.ndarray, " iterations"],
) -> dict[str, np.ndarray]:
    """Return the values logged at `stat` intervals by name, one row per iteration, NaN if unknown.

    All values are those of the state after the merge, except those of the merged pair: its groups, their
    numbers, and its rank and gap among all pairs are those of the state before it.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> records = stat_records(example_history(), np.full(11, 0.1), np.full(11, np.nan))
        >>> records["k_groups"][:3].tolist(), records["groups/largest"][:3].tolist()
        ([11, 10, 9], [2, 2, 3])
    """
    n, k = history.n_components, history.k_groups
    mdl, cost = history.mdl_loss, history.merge_pair_cost
    missing = np.full(len(k), np.nan)
    known = {name: np.asarray(record, dtype=np.float64) for name, record in history.records.items()}
    rank = known.get("pair_rank", missing)
    back = np.maximum(np.arange(len(k)) - WINDOW, 0)
    steps = np.arange(len(k)) - back
    tree = history.to_linkage().astype(np.int64)
    first, second = np.append(np.ones(n, dtype=np.int64), tree[:, 3])[tree[:, :2]].T
    singletons = n - np.cumsum((first == 1).astype(np.int64) + (second == 1))
    mean_square = (n + np.cumsum(2 * first * second)) / k
    return {
        "k_groups": k,
        "mdl_loss": mdl,
        # the value of this name in the reference implementation, whose mdl_loss is not per sample
        "mdl_loss_norm": mdl,
        "mdl_decrease_rate": np.divide(mdl[back] - mdl, steps, out=missing.copy(), where=steps > 0),
        "merge_pair_cost": cost,
        "merge_pair_cost_semilog[1e-3]": _semilog(cost),
        "merge_pair_cost_change": np.diff(cost, prepend=missing[:1]),
        "pair/first": history.selected_pairs[:, 0],
        "pair/second": history.selected_pairs[:, 1],
        "pair/rank": np.where(rank < 0, np.nan, rank),
        "pair/gap_to_best": known.get("gap_to_best", missing),
        "pair/size_first": known.get("size_first", missing),
        "pair/size_second": known.get("size_second", missing),
        "groups/singletons": singletons,
        "groups/non_singletons": k - singletons,
        "groups/largest": np.maximum.accumulate(first + second),
        "groups/size_variance": np.maximum(mean_square - (n / k) ** 2, 0),
        "time/iteration_seconds": seconds,
        "time/memory_mb": memory_mb,
    }


def row(records: Mapping[str, np.ndarray], iteration: int) -> dict[str, float | int]:
    """Return one iteration of records as plain numbers, without unknown values.

    Example:
        >>> row({"a": np.array([1, 2]), "b": np.array([np.nan, 0.5])}, 0)
        {'a': 1}
    """
    values = {name: column[iteration].item() for name, column in records.items()}
    return {name: value for name, value in values.items() if not math.isnan(value)}


def _semilog(values: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """Return values on a scale that is linear near zero and logarithmic beyond `EPSILON`, with their sign.

    Source:
        x for |x| < ε, else sign(x)·ε·ln(1 + |x|/ε), as the reference implementation logs it.
    """
    far = np.sign(values) * EPSILON * np.log1p(np.abs(values) / EPSILON)
    scaled: np.ndarray = np.where(np.abs(values) < EPSILON, values, far)
    return scaled


@dataclass(frozen=True)
class MergeSample:
    """The state after one merge, sufficient for statistics of its matrices and for its picture.

    Drawing it is cheap; the statistics can be computed later, in another thread.

    Attributes:
        iteration: number of the last merge.
        activities: samples on which each group is active, NaN for masked groups.
        coactivations: counts of the pairs of `_some_pairs`.
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
        pairs = _some_pairs(view.k_groups, view.iteration)
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
        """Return the values logged at `tensor` intervals, which docs/wandb.md explains.

        Returns:
            Statistics by quantity, as `describe_values` gives them, and single numbers.
        """
        activity = self.activities / self.n_samples
        known = self.coactivations[~np.isnan(self.coactivations)]
        zero = float((known == 0).mean()) if len(known) else 1.0
        return {
            "coactivation": describe_values(self.coactivations / self.n_samples),
            "costs": describe_values(self.costs),
            "group_sizes": describe_values(self.sizes.astype(np.float64)),
            "group_activations": describe_values(activity),
            "group_activations_over_sizes": describe_values(activity / self.sizes),
            "fraction_singleton_groups": float((self.sizes == 1).mean()),
            "fraction_zero_coactivations": zero,
            # all groups have equally many others, so the mean of their shares is the share of all pairs
            "coactivation_density": 1 - zero,
        }

    def draw(self, group_idxs: Int[np.ndarray, " components"]) -> Any:
        """Return the picture of the merge state."""
        from spdclust.plotting.merge_state import draw_merge_state

        title = f"After {merges_done(self.iteration)}, {len(self.sizes)} groups"
        if len(self.shown) < len(self.sizes):
            title += f"; the {len(self.shown)} largest are shown"
        idxs = _group_idxs_shown(group_idxs, self.shown)
        return draw_merge_state(idxs, self.shown_coactivations, self.shown_costs, title=title)


def _some_pairs(k: int, iteration: int) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """Return pairs of different groups: all of them, or a sample that depends only on the arguments."""
    if k * (k - 1) // 2 <= PAIRS:
        first, second = np.triu_indices(k, 1)
        return first, second
    rng = np.random.default_rng([iteration, k])
    first, second = rng.integers(k, size=PAIRS), rng.integers(k - 1, size=PAIRS)
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
    limits = (low, high) if high > low else (low - 0.5, low + 0.5)
    counts, edges = np.histogram(finite, bins=BINS, range=limits)
    statistics |= {"min": low, "max": high, "mean": float(finite.mean()), "std": float(finite.std())}
    statistics |= dict(zip(QUANTILES, np.quantile(finite, list(QUANTILES.values())).tolist(), strict=True))
    return statistics | {"histogram": {"counts": counts.tolist(), "edges": edges.tolist()}}


def flattened(nested: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of statistics by quantity and name, as W&B shows them.

    Example:
        >>> flattened({"costs": {"min": 1.0, "max": 3.0}, "coactivation_density": 0.5})
        {'costs/min': 1.0, 'costs/max': 3.0, 'coactivation_density': 0.5}
    """
    values: dict[str, Any] = {}
    for quantity, found in nested.items():
        if isinstance(found, Mapping):
            values |= {f"{quantity}/{name}": each for name, each in found.items()}
        else:
            values[quantity] = found
    return values


def _group_idxs_shown(
    group_idxs: Int[np.ndarray, " components"], shown: Int[np.ndarray, " shown"]
) -> Int[np.ndarray, " some"]:
    """Return the groups of the components in shown groups, numbered in the order of the picture."""
    return np.searchsorted(shown, group_idxs[np.isin(group_idxs, shown)])
