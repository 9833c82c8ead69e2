"""Stability of each component's group partners over the runs, at one cut."""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from spdclust.core.brief import Brief
from spdclust.core.errors import InputError
from spdclust.core.types import Float, Int, Labels


@dataclass(frozen=True, eq=False, repr=False)
class ComponentStability(Brief):
    """One row per component.

    Example:
        >>> stability = component_stability(np.array([[0, 0, 0, 1], [0, 0, 1, 2]]), ["a", "b", "c", "d"])
        >>> stability.to_rows(1)
        [{'component': 'c', 'partners': 1.0, 'contestedness': 2.0, 'consistency': 0.0}]

    Attributes:
        labels: names of the components.
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

    Args:
        groups: group of every component in every run, see `groups_at`.
        labels: names of the components.

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
