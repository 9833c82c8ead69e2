"""The rows, artifacts and summary of one merge, from a running merge or a finished history."""

import math
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.config.run import LoggingIntervals
from spdclust.core.types import Float
from spdclust.merge.groups import merge_tree
from spdclust.merge.history import MergeHistory
from spdclust.tracking.artifacts import FILE_NAME, configuration_digest, save_group_assignments
from spdclust.tracking.client import Tracker
from spdclust.tracking.samples import MergeSample

EPSILON = 1e-3
"""Costs nearer to zero than this stay as they are in `merge_pair_cost_semilog[1e-3]`."""

WINDOW = 10
"""Merges over which `mdl_decrease_rate` is taken."""


class MergeLog:
    """Logs the iterations of one merge in order, each once.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> class Printing(Tracker):
        ...     def log(self, values):
        ...         print(values["iteration"], values["k_groups"], values["groups/largest"])
        >>> history = example_history()
        >>> unknown = np.full(history.n_iterations, np.nan)
        >>> rows = MergeLog(Printing(), "mine-run_0", LoggingIntervals(stat=5), lambda iteration: None)
        >>> rows.log(history, unknown, unknown)
        0 11 2
        5 6 3
        10 1 12

    Args:
        tracker: receives the rows.
        run_id: names the artifacts.
        intervals: logging interval of each kind of record.
        sample_at: returns the state after a merge, None if unknown.
    """

    def __init__(
        self,
        tracker: Tracker,
        run_id: str,
        intervals: LoggingIntervals,
        sample_at: Callable[[int], MergeSample | None],
    ) -> None:
        self._tracker = tracker
        self._run_id = run_id
        self._intervals = intervals
        self._sample_at = sample_at
        self._last: dict[str, tuple[int, float]] = {}
        self._n_logged = 0

    def log(
        self,
        history: MergeHistory,
        seconds: Float[np.ndarray, " iterations"],
        memory_mb: Float[np.ndarray, " iterations"],
    ) -> None:
        """Log the iterations that are not logged yet.

        Args:
            history: the merge so far.
            seconds: duration of each iteration, NaN if unknown.
            memory_mb: memory at each iteration, likewise.
        """
        at = self._intervals
        records = stat_records(history, seconds, memory_mb)
        for iteration in range(self._n_logged, history.n_iterations):
            values: dict[str, Any] = {}
            if iteration % at.stat == 0:
                values |= row(records, iteration)
            looked_at = iteration % at.tensor == 0 or iteration % at.plot == 0
            sample = self._sample_at(iteration) if looked_at else None
            if sample is not None and iteration % at.tensor == 0:
                values |= self._tensors(sample)
            if sample is not None and iteration % at.plot == 0:
                values["merge_state"] = sample.draw(history.group_idxs(iteration))
            if values:
                self._tracker.log({"iteration": iteration, **values})
            if iteration % at.artifact == 0:
                self._save(history, np.array([iteration]), seconds, f"iteration_{iteration}")
            self._n_logged = iteration + 1

    def end(
        self, history: MergeHistory, path: Path | None, seconds: Float[np.ndarray, " iterations"]
    ) -> None:
        """Log the results of the finished merge: all assignments, the history itself, a summary.

        Args:
            history: the whole merge.
            path: its `history.zip`.
            seconds: duration of each iteration.
        """
        saved = np.arange(0, history.n_iterations, self._intervals.artifact)
        if len(saved):
            self._save(history, saved, seconds, "final")
        sizes = {"n_components": history.n_components, "n_iterations": history.n_iterations}
        if path is not None:
            metadata = sizes | {"config_hash": configuration_digest(history)}
            self._tracker.artifact(f"{self._run_id}-history", "merge_history", {path.name: path}, metadata)
        summary: dict[str, Any] = dict(sizes)
        if history.has_description_length:
            best = history.best_iteration()
            summary |= {
                "least_mdl": float(history.mdl_loss[best]),
                "iteration_of_least_mdl": best,
                "n_groups_at_least_mdl": int(history.k_groups[best]),
            }
        self._tracker.summarize(summary)

    def _tensors(self, sample: MergeSample) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, found in sample.statistics().items():
            nested = isinstance(found, Mapping)
            values |= {f"{name}/{each}": value for each, value in found.items()} if nested else {name: found}
        for statistic in ("mean", "median"):
            now = values.get(f"costs/{statistic}")
            if now is None:
                continue
            if statistic in self._last:
                before, then = self._last[statistic]
                values[f"costs/{statistic}_change"] = (now - then) / (sample.iteration - before)
            self._last[statistic] = sample.iteration, now
        return values

    def _save(
        self, history: MergeHistory, saved: np.ndarray, seconds: Float[np.ndarray, " iterations"], alias: str
    ) -> None:
        with tempfile.TemporaryDirectory(prefix="spdclust_") as folder:
            path = Path(folder) / FILE_NAME
            save_group_assignments(history, saved, path, seconds)
            metadata = {
                "iterations": saved.tolist(),
                "n_components": history.n_components,
                "config_hash": configuration_digest(history),
            }
            name = f"{self._run_id}-groups"
            self._tracker.artifact(name, "group_assignments", {FILE_NAME: path}, metadata, [alias])


def semilog(values: Float[np.ndarray, "*any"], epsilon: float = EPSILON) -> Float[np.ndarray, "*any"]:
    """Return values on a scale that is linear near zero and logarithmic beyond, with their sign.

    Example:
        >>> semilog(np.array([-1.0, 5e-4, 1e-3])).round(6).tolist()
        [-0.006909, 0.0005, 0.000693]

    Args:
        values: any numbers.
        epsilon: end of the linear range.

    Source:
        x for |x| < ε, else sign(x)·ε·ln(1 + |x|/ε), as the reference implementation logs it.
    """
    far = np.sign(values) * epsilon * np.log1p(np.abs(values) / epsilon)
    scaled: np.ndarray = np.where(np.abs(values) < epsilon, values, far)
    return scaled


def stat_records(
    history: MergeHistory,
    seconds: Float[np.ndarray, " iterations"],
    memory_mb: Float[np.ndarray, " iterations"],
) -> dict[str, np.ndarray]:
    """Return the values logged at `stat` intervals by name, one row per iteration, NaN if unknown.

    All values are those of the state after the merge, except those of the merged pair: its groups, their
    numbers, and its rank and gap among all pairs are those of the state before it.

    Example:
        >>> from spdclust.config.merge import MergeConfig
        >>> history = MergeHistory(
        ...     ["a:0", "a:1", "a:2"], np.array([[0, 1]]), np.array([2.5]), np.array([-1.0]), MergeConfig()
        ... )
        >>> records = stat_records(history, np.array([0.1]), np.array([np.nan]))
        >>> records["k_groups"].tolist(), records["groups/largest"].tolist()
        ([2], [2])

    Args:
        history: the merge, possibly unfinished.
        seconds: duration of each iteration.
        memory_mb: memory of the process at each iteration.
    """
    n = history.n_iterations
    mdl, cost = history.mdl_loss, history.merge_pair_cost
    missing = np.full(n, np.nan)
    known = {name: np.asarray(record, dtype=np.float64) for name, record in history.records.items()}
    rank = known.get("pair_rank", missing)
    singletons, largest, squares = _sizes(history)
    k = history.k_groups
    back = np.maximum(np.arange(n) - WINDOW, 0)
    steps = np.arange(n) - back
    return {
        "k_groups": k,
        "mdl_loss": mdl,
        # the value of this name in the reference implementation, whose mdl_loss is not per sample
        "mdl_loss_norm": mdl,
        "mdl_decrease_rate": np.divide(mdl[back] - mdl, steps, out=np.full(n, np.nan), where=steps > 0),
        "merge_pair_cost": cost,
        "merge_pair_cost_semilog[1e-3]": semilog(cost),
        "merge_pair_cost_change": np.diff(cost, prepend=np.full(min(n, 1), np.nan)),
        "pair/first": history.selected_pairs[:, 0],
        "pair/second": history.selected_pairs[:, 1],
        "pair/rank": np.where(rank < 0, np.nan, rank),
        "pair/gap_to_best": known.get("gap_to_best", missing),
        "pair/size_first": known.get("size_first", missing),
        "pair/size_second": known.get("size_second", missing),
        "groups/singletons": singletons,
        "groups/non_singletons": k - singletons,
        "groups/largest": largest,
        "groups/size_variance": np.maximum(squares / k - (history.n_components / k) ** 2, 0),
        "time/iteration_seconds": seconds,
        "time/memory_mb": memory_mb,
    }  # fmt: skip


def _sizes(history: MergeHistory) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return singleton groups, size of the largest group, and sum of squared sizes after each merge."""
    _, names = merge_tree(history.selected_pairs, history.n_components)
    size = [1] * history.n_components
    singletons, largest, squares = history.n_components, 1, history.n_components
    rows = np.empty((3, history.n_iterations))
    for t, (kept, gone) in enumerate(names.tolist()):
        a, b = size[kept], size[gone]
        size[kept] = a + b
        singletons -= (a == 1) + (b == 1)
        largest = max(largest, a + b)
        squares += 2 * a * b
        rows[:, t] = singletons, largest, squares
    return rows[0].astype(np.int64), rows[1].astype(np.int64), rows[2]


def row(records: dict[str, np.ndarray], iteration: int) -> dict[str, float | int]:
    """Return one iteration of records as plain numbers, without unknown values.

    Example:
        >>> row({"a": np.array([1, 2]), "b": np.array([np.nan, 0.5])}, 0)
        {'a': 1}
    """
    values = {name: column[iteration].item() for name, column in records.items()}
    return {
        name: value for name, value in values.items() if not (isinstance(value, float) and math.isnan(value))
    }
