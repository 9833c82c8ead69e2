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
from spdclust.core.types import Float, Int, Num
from spdclust.merge.history import MergeHistory
from spdclust.merge.view import MergeView

EPSILON = 1e-3  # smaller costs are unchanged in `merge_pair_cost_semilog[1e-3]`
WINDOW = 10  # merges over which `mdl_decrease_rate` is taken
PAIRS = 1 << 13  # the most pairs of groups that statistics are taken over
BINS = 64  # of a histogram
SHOWN = 96  # the most groups in the picture of a state: the largest
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
        """Return the values logged at `tensor` intervals, which docs/wandb.md explains."""
        activity = self.activities / self.n_samples
        known = self.coactivations[~np.isnan(self.coactivations)]
        zero = float((known == 0).mean()) if len(known) else 1.0
        return {
            **describe_values("coactivation", self.coactivations / self.n_samples),
            **describe_values("costs", self.costs),
            **describe_values("group_sizes", self.sizes),
            **describe_values("group_activations", activity),
            **describe_values("group_activations_over_sizes", activity / self.sizes),
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
        # the components in shown groups, numbered in the order of the picture
        idxs = np.searchsorted(self.shown, group_idxs[np.isin(group_idxs, self.shown)])
        return draw_merge_state(idxs, self.shown_coactivations, self.shown_costs, title=title)


def _some_pairs(k: int, iteration: int) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """Return pairs of different groups: all of them, or a sample that depends only on the arguments."""
    if k * (k - 1) // 2 <= PAIRS:
        first, second = np.triu_indices(k, 1)
        return first, second
    rng = np.random.default_rng([iteration, k])
    first, second = rng.integers(k, size=PAIRS), rng.integers(k - 1, size=PAIRS)
    return first, second + (second >= first)


def describe_values(name: str, values: Num[np.ndarray, " values"]) -> dict[str, Any]:
    """Return minimum, maximum, mean, standard deviation, quantiles, share of NaN and a histogram.

    If every value is NaN, only `<name>/nan_share` is returned.

    Example:
        >>> described = describe_values("costs", np.array([1.0, 3.0, np.nan, 2.0]))
        >>> described["costs/min"], described["costs/max"], described["costs/nan_share"]
        (1.0, 3.0, 0.25)
        >>> sorted(described["costs/histogram"])
        ['counts', 'edges']
    """
    values = values.astype(np.float64)
    finite = values[np.isfinite(values)]
    statistics: dict[str, Any] = {"nan_share": float(np.isnan(values).mean()) if len(values) else 0.0}
    if len(finite):
        counts, edges = np.histogram(finite, bins=BINS)
        quantiles = np.quantile(finite, list(QUANTILES.values())).tolist()
        statistics |= {name: float(getattr(finite, name)()) for name in ("min", "max", "mean", "std")}
        statistics |= dict(zip(QUANTILES, quantiles, strict=True))
        statistics["histogram"] = {"counts": counts.tolist(), "edges": edges.tolist()}
    return {f"{name}/{statistic}": value for statistic, value in statistics.items()}
