"""Agreement of the runs, at each iteration and of each component.

Along the merges: where the runs diverge, and whether they reconverge. At one cut: whether each component
keeps its partners.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from spdclust.core.errors import InputError
from spdclust.core.types import Brief, Float, Int, Labels
from spdclust.merge.history import MergeHistory

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""Quantiles of the distances over run pairs that are reported."""

NEVER = -1
"""Marks an iteration that does not exist."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of the runs at each iteration, computed from the distances.

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
    # meeting again counts only after the runs have parted
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


@dataclass(frozen=True, eq=False, repr=False)
class ComponentStability(Brief):
    """One row per component.

    Example:
        >>> stability = component_stability(np.array([[0, 0, 0, 1], [0, 0, 1, 2]]), ["a", "b", "c", "d"])
        >>> stability.to_rows(1)
        [{'component': 'c', 'partners': 1.0, 'contestedness': 2.0, 'consistency': 0.0}]

    Attributes:
        partners: `(components,)` mean over runs of the number of other components in its group.
        contestedness: `(components,)` mean over run pairs of the number of partners that it has in only one
            of the two runs, in components.
        consistency: `(components,)` mean over run pairs of the Jaccard index of its two sets of partners; 1
            where it is alone in both.
    """

    labels: Labels
    partners: Float[np.ndarray, " components"]
    contestedness: Float[np.ndarray, " components"]
    consistency: Float[np.ndarray, " components"]

    def _facts(self) -> dict[str, object]:
        return {"components": len(self.labels)}

    def ranking(self) -> Int[np.ndarray, " components"]:
        """Return component indices, most contested first, ties in label order."""
        return np.argsort(-self.contestedness, kind="stable")

    def to_rows(self, n: int | None = None) -> list[dict[str, Any]]:
        """Return one flat record per component, most contested first; only the first `n` if given."""
        return [
            {
                "component": self.labels[component],
                "partners": float(self.partners[component]),
                "contestedness": float(self.contestedness[component]),
                "consistency": float(self.consistency[component]),
            }
            for component in self.ranking()[:n].tolist()
        ]


def component_stability(groups: Int[np.ndarray, "runs components"], labels: Labels) -> ComponentStability:
    """Compare the group partners of every component between each pair of runs.

    Example:
        >>> stability = component_stability(np.array([[0, 0, 0, 1], [0, 0, 1, 2]]), ["a", "b", "c", "d"])
        >>> stability.contestedness.tolist(), stability.consistency.tolist()
        ([1.0, 1.0, 2.0, 0.0], [0.5, 0.5, 0.0, 1.0])

    Raises:
        InputError: fewer than two runs.
    """
    n_runs, n_components = groups.shape
    check_several_runs(n_runs)
    sizes = np.stack([_own_group_size(row) for row in groups])
    contested = np.zeros(n_components)
    consistent = np.zeros(n_components)
    for first, second in combinations(range(n_runs), 2):
        width = int(groups[second].max()) + 1 if n_components else 1
        both = _own_group_size(groups[first].astype(np.int64) * width + groups[second]) - 1
        either = sizes[first] + sizes[second] - 2 - both
        contested += either - both
        consistent += np.divide(both, either, out=np.ones(n_components), where=either > 0)
    n_pairs = n_runs * (n_runs - 1) / 2
    return ComponentStability(labels, sizes.mean(axis=0) - 1, contested / n_pairs, consistent / n_pairs)


def check_several_runs(n_runs: int) -> None:
    """Raise an error if there are fewer than two runs, because agreement needs a pair.

    Example:
        >>> check_several_runs(1)
        Traceback (most recent call last):
        ...
        spdclust.InputError: n_runs: stability needs several runs (found: 1; allowed: 2 or more)

    Raises:
        InputError: there are fewer than two runs.
    """
    if n_runs < 2:
        raise InputError("stability needs several runs", field="n_runs", found=n_runs, allowed="2 or more")


def _own_group_size(groups: np.ndarray) -> np.ndarray:
    """Return the size of every component's group."""
    _, number, count = np.unique(groups, return_inverse=True, return_counts=True)
    return np.asarray(count[number])


def groups_formed_by_all(histories: Iterable[MergeHistory]) -> list[Labels]:
    """Return the largest groups of two or more components that every run contains at some iteration.

    The iteration may differ between runs. A group inside a larger such group is omitted.

    Example:
        >>> import numpy as np
        >>> from spdclust.config.merge import MergeConfig
        >>> from spdclust.merge.activations import ProcessedActivations
        >>> from spdclust.merge.merging import merge_iteration
        >>> dense = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
        >>> acts = ProcessedActivations.from_dense(dense, ["a:0", "a:1", "b:0", "b:1"])
        >>> config = MergeConfig(iters=1, min_groups=1, merge_pair_sampling_kwargs={"threshold": 0})
        >>> groups_formed_by_all([merge_iteration(acts, config, seed) for seed in (0, 1)])
        [['a:0', 'a:1']]

    Args:
        histories: the runs; for a single run, the result is its final groups.
    """
    formed = [_formed(history) for history in histories]
    if not formed:
        return []
    common = set(formed[0]).intersection(*formed[1:])
    groups: list[frozenset[str]] = []
    covered: set[str] = set()
    # groups of one run are nested or disjoint, so one covered label means that the whole group is covered
    for group in sorted((formed[0][key] for key in common), key=len, reverse=True):
        if covered.isdisjoint(group):
            groups.append(group)
            covered |= group
    order = {label: number for number, label in enumerate(_labels(formed))}
    return sorted(
        (sorted(group, key=order.__getitem__) for group in groups), key=lambda group: order[group[0]]
    )


def _formed(history: MergeHistory) -> dict[int, frozenset[str]]:
    """Return every group that a run forms, by a number that identifies its members."""
    numbers = [_number(label) for label in history.labels]
    members = [frozenset([label]) for label in history.labels]
    formed: dict[int, frozenset[str]] = {}
    for pair in history.selected_pairs.tolist():
        i, j = min(pair), max(pair)
        numbers[i] += numbers[j]
        members[i] |= members[j]
        del numbers[j], members[j]
        formed[numbers[i]] = members[i]
    return formed


def _labels(formed: Sequence[dict[int, frozenset[str]]]) -> list[str]:
    return sorted({label for group in formed[0].values() for label in group}, key=_natural)


def _natural(label: str) -> tuple[str, int, str]:
    module, _, index = label.rpartition(":")
    return (module, int(index), "") if index.isdigit() else (module, -1, label)


def _number(label: str) -> int:
    """Return a number such that sums over different sets of labels differ, except with probability 2⁻¹²⁸."""
    return int.from_bytes(hashlib.sha256(label.encode()).digest()[:17])
