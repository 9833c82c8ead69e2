"""Sizes of the groups at chosen iterations: number of groups, largest groups, singletons."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spdclust.core.types import Int
from spdclust.partitions.ensemble import NormalizedHistories

COLUMNS = ("n_groups", "largest", "second", "third", "singletons")
"""Columns of the table for one grouping, as counts of groups or components."""


@dataclass(frozen=True)
class GroupSizes:
    """Group sizes of every run at chosen iterations.

    Example:
        >>> table = np.array([[[2, 5, 1, 0, 1], [2, 3, 3, 0, 0]]])
        >>> sizes = GroupSizes(np.array([4]), np.array([[5, 5]]), table, ["a", "b"])
        >>> [row["largest"] for row in sizes.to_rows()]
        [5, 3, 4.0]

    Attributes:
        iterations: `(iterations,)` the chosen iterations.
        merges: `(iterations, runs)` the merges that each run had made by then.
        table: `(iterations, runs, columns)` counts in the order of `COLUMNS`; a second or third group that
            does not exist has size 0.
        run_names: names of the runs.
    """

    iterations: Int[np.ndarray, " iterations"]
    merges: Int[np.ndarray, "iterations runs"]
    table: Int[np.ndarray, "iterations runs columns"]
    run_names: Sequence[str]

    def to_rows(self) -> list[dict[str, Any]]:
        """Return one flat record per iteration and run, and one per iteration averaged (run `mean`)."""
        rows: list[dict[str, Any]] = []
        counts = np.concatenate([self.merges[:, :, None], self.table], axis=2)
        for iteration, of_runs in zip(self.iterations.tolist(), counts, strict=True):
            named = [
                *zip(self.run_names, of_runs.tolist(), strict=True),
                ("mean", of_runs.mean(axis=0).tolist()),
            ]
            for name, (merges, *values) in named:
                row = {"iteration": iteration, "merges": merges, "run": name}
                rows.append(row | dict(zip(COLUMNS, values, strict=True)))
        return rows


def group_sizes(normalized: NormalizedHistories, iterations: Sequence[int]) -> GroupSizes:
    """Tabulate the group sizes of every run; components missing from a run are not counted.

    Example:
        >>> from spdclust.config.merge import MergeConfig
        >>> from spdclust.partitions.ensemble import normalize_ensemble
        >>> from spdclust.merge.history import MergeHistory
        >>> pairs = np.array([[0, 1], [0, 2]])
        >>> run = MergeHistory([f"m:{i}" for i in range(5)], pairs, np.zeros(2), np.zeros(2), MergeConfig())
        >>> group_sizes(normalize_ensemble([run]), [-1]).table.tolist()
        [[[3, 3, 1, 1, 2]]]

    Raises:
        InputError: there is no such iteration.
    """
    numbers = [normalized.check_iteration(int(iteration)) for iteration in iterations]
    table = np.zeros((len(numbers), normalized.n_runs, len(COLUMNS)), dtype=np.int64)
    for row, iteration in enumerate(numbers):
        groups = normalized.merge_array_rows(iteration)
        for run, own in enumerate(normalized.own_components):
            sizes = np.sort(np.bincount(groups[run, own]))[::-1]
            largest = np.zeros(3, dtype=np.int64)
            largest[: min(3, len(sizes))] = sizes[:3]
            table[row, run] = len(sizes), *largest, int((sizes == 1).sum())
    iterations_kept = np.array(numbers, dtype=np.int64)
    merges = iterations_kept[:, None] + normalized.first_merges + 1
    return GroupSizes(iterations_kept, merges, table, list(normalized.run_names))
