"""The null baseline: the same merges among shuffled components, so that only group sizes are shared."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spdclust.core.types import Float, Int, make_generator
from spdclust.partitions.ensemble import NormalizedHistories
from spdclust.stability.agreement import QUANTILES, Agreement, component_stability
from spdclust.stability.coclustering import coclustering
from spdclust.stability.cut import Cut, groups_at

MOST_SHUFFLES = 20
"""Number of shuffles for a small ensemble."""

FEWEST_SHUFFLES = 5
"""Number of shuffles for a large one: many components or pairs of runs are averaged within each."""

_WORK = 400_000
"""Limit on pairs of runs times components, summed over all shuffles, above `FEWEST_SHUFFLES`."""


def n_shuffles(normalized: NormalizedHistories) -> int:
    """Return the number of shuffles, chosen so that the baseline costs little more than a few analyses.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> n_shuffles(example_normalized())
        20
    """
    one = normalized.n_runs * (normalized.n_runs - 1) // 2 * normalized.n_components
    return max(FEWEST_SHUFFLES, min(MOST_SHUFFLES, _WORK // max(1, one)))


def _permute_labels(normalized: NormalizedHistories, seed: int | tuple[int, ...] = 0) -> NormalizedHistories:
    """Shuffle the components of every run independently.

    Group sizes at every iteration and the missing components of each run are unchanged; the grouping of
    components becomes random. Any remaining agreement is due to group sizes alone.

    Run `r` uses the generator of `(seed, r)`.
    """
    seeds = (seed,) if isinstance(seed, int) else seed
    return replace(
        normalized,
        own_components=[
            make_generator((*seeds, run)).permutation(own)
            for run, own in enumerate(normalized.own_components)
        ],
    )


def shuffled(normalized: NormalizedHistories, seed: int, n: int) -> Iterator[NormalizedHistories]:
    """Yield `n` independent shuffles of an ensemble's components.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> normalized = example_normalized()
        >>> len({tuple(null.own_components[0].tolist()) for null in shuffled(normalized, 0, 3)})
        3
    """
    for shuffle in range(n):
        yield _permute_labels(normalized, (seed, shuffle))


@dataclass(frozen=True)
class NullAgreement:
    """Agreement of shuffled runs, over several shuffles.

    Attributes:
        iterations: `(iterations,)` the analysed iterations.
        n_distinct: `(iterations,)` number of distinct groupings among the runs, mean over shuffles.
        n_equal_pairs: `(iterations,)` number of run pairs at distance zero, mean over shuffles.
        quantiles: for each method, `(iterations, quantiles)` of the distance over run pairs, at `QUANTILES`:
            mean over shuffles, but least and largest over all of them.
        means: for each method, `(iterations,)` mean over run pairs and shuffles.
        mean_ranges: for each method, `(iterations, 2)` least and largest of the shuffles' means.
        last_agreement: last iteration at which all runs of any shuffle are equal; None if there is none.
    """

    n_shuffles: int
    iterations: Int[np.ndarray, " iterations"]
    n_distinct: Float[np.ndarray, " iterations"]
    n_equal_pairs: Float[np.ndarray, " iterations"]
    quantiles: dict[str, Float[np.ndarray, "iterations quantiles"]]
    means: dict[str, Float[np.ndarray, " iterations"]]
    mean_ranges: dict[str, Float[np.ndarray, "iterations 2"]]
    last_agreement: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers."""
        return {
            "n_shuffles": self.n_shuffles,
            "iterations": self.iterations.tolist(),
            "n_distinct": self.n_distinct.tolist(),
            "n_equal_pairs": self.n_equal_pairs.tolist(),
            "quantile_levels": list(QUANTILES),
            "quantiles": {name: values.tolist() for name, values in self.quantiles.items()},
            "means": {name: values.tolist() for name, values in self.means.items()},
            "mean_ranges": {name: values.tolist() for name, values in self.mean_ranges.items()},
            "last_agreement": self.last_agreement,
        }


def summarize_null_agreement(shuffles: Sequence[Agreement]) -> NullAgreement:
    """Summarise the agreement of shuffled runs over the shuffles.

    Example:
        >>> from spdclust.stability.agreement import summarize_agreement
        >>> apart = np.array([[[0.0, 2.0], [2.0, 0.0]]])
        >>> null = summarize_null_agreement([summarize_agreement({"m": scale * apart}) for scale in (1, 3)])
        >>> null.means["m"].tolist(), null.mean_ranges["m"].tolist(), null.quantiles["m"][0, -1].tolist()
        ([4.0], [[2.0, 6.0]], 6.0)
    """
    quantiles, means, ranges = {}, {}, {}
    for method in shuffles[0].means:
        of_each = np.stack([agreement.quantiles[method] for agreement in shuffles])
        together = of_each.mean(axis=0)
        # the means of quantiles, but the extremes of all shuffles: what chance can reach
        together[:, 0], together[:, -1] = of_each[:, :, 0].min(axis=0), of_each[:, :, -1].max(axis=0)
        mean_of_each = np.stack([agreement.means[method] for agreement in shuffles])
        quantiles[method], means[method] = together, mean_of_each.mean(axis=0)
        ranges[method] = np.stack([mean_of_each.min(axis=0), mean_of_each.max(axis=0)], axis=1)
    agreed = [each.last_agreement for each in shuffles if each.last_agreement is not None]
    return NullAgreement(
        n_shuffles=len(shuffles),
        iterations=shuffles[0].iterations,
        n_distinct=np.mean([each.n_distinct for each in shuffles], axis=0),
        n_equal_pairs=np.mean([each.n_equal_pairs for each in shuffles], axis=0),
        quantiles=quantiles,
        means=means,
        mean_ranges=ranges,
        last_agreement=max(agreed, default=None),
    )


@dataclass(frozen=True)
class NullAtCut:
    """Agreement of shuffled runs at a cut, over several shuffles.

    Attributes:
        histogram: `(runs + 1,)` number of pairs that are together in 0, 1, … runs, mean over shuffles.
        values: statistics of every shuffle, by name.
    """

    histogram: Float[np.ndarray, "_"]
    values: dict[str, Float[np.ndarray, " shuffles"]]

    def mean(self, name: str) -> float:
        """Return the mean of a statistic over the shuffles."""
        return float(self.values[name].mean())

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers: the mean and the `range` (least, largest) of each statistic."""
        return {
            "n_shuffles": len(next(iter(self.values.values()))),
            "histogram": self.histogram.tolist(),
            **{name: self.mean(name) for name in self.values},
            "range": {
                name: [float(values.min()), float(values.max())] for name, values in self.values.items()
            },
        }


_NUMBERS = (
    "never",
    "always",
    "contested",
    "ambiguous_share",
    "ambiguous_share_of_joined",
    "n_consensus_groups",
    "mean_support",
)


def null_at_cut(normalized: NormalizedHistories, cut: Cut, *, seed: int, n: int) -> NullAtCut:
    """Return the agreement of shuffled runs at a cut, over `n` shuffles.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> from spdclust.stability.cut import cut_at_least_mdl
        >>> normalized = example_normalized()
        >>> null = null_at_cut(normalized, cut_at_least_mdl(normalized), seed=0, n=20)
        >>> null.mean("mean_support") < 0.7, len(null.values["mean_support"])
        (True, 20)
    """
    rows: dict[str, list[float]] = {}
    histograms = []
    for null in shuffled(normalized, seed, n):
        groups = groups_at(null, cut)
        together, company = coclustering(groups).to_dict(), component_stability(groups, normalized.labels)
        histograms.append(together["histogram"])
        numbers = {name: float(together[name]) for name in _NUMBERS}
        for name in ("consistency", "contestedness"):
            values = getattr(company, name)
            numbers[f"mean_{name}"] = float(values.mean()) if len(values) else 0.0
        for name, value in numbers.items():
            rows.setdefault(name, []).append(value)
    return NullAtCut(np.mean(histograms, axis=0), {name: np.array(values) for name, values in rows.items()})
