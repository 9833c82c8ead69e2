"""The W&B run of one merge, row after row: the same whether the merge is under way or long finished."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.config.run import LoggingIntervals
from spdclust.core.types import Float
from spdclust.merge.history import MergeHistory
from spdclust.tracking.artifacts import FILE_NAME, configuration_digest, save_group_assignments
from spdclust.tracking.matrices import MergeSample, group_idxs_shown
from spdclust.tracking.statistics import row, stat_records
from spdclust.tracking.tracker import Tracker


class MergeLog:
    """Logs the iterations of one merge in order, each once.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> from spdclust.tracking.tracker import NoTracker
        >>> class Printing(NoTracker):
        ...     def log(self, values):
        ...         print(values["iteration"], values["k_groups"], values["groups/largest"])
        >>> history = example_history()
        >>> nothing = np.full(history.n_iterations, np.nan)
        >>> rows = MergeLog(Printing(), "mine-run_0", LoggingIntervals(stat=5), lambda iteration: None)
        >>> rows.log(history, seconds=nothing, memory_mb=nothing)
        0 11 2
        5 6 3
        10 1 12

    Args:
        tracker: where they go.
        run_id: names the artifacts.
        intervals: how often each kind of record is logged.
        sample_at: what is kept of the state after a merge, None where nothing is.
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
        self.n_logged = 0

    def log(
        self,
        history: MergeHistory,
        seconds: Float[np.ndarray, " iterations"],
        memory_mb: Float[np.ndarray, " iterations"],
    ) -> None:
        """Log the iterations that were not logged yet.

        Args:
            history: the merge as far as it is.
            seconds: how long each iteration took, NaN where it is not known.
            memory_mb: memory at each iteration.
        """
        at = self._intervals
        records = stat_records(history, seconds, memory_mb)
        for iteration in range(self.n_logged, history.n_iterations):
            values: dict[str, Any] = {}
            if iteration % at.stat == 0:
                values |= row(records, iteration)
            looked_at = iteration % at.tensor == 0 or iteration % at.plot == 0
            sample = self._sample_at(iteration) if looked_at else None
            if sample is not None and iteration % at.tensor == 0:
                values |= self._tensors(sample)
            if sample is not None and iteration % at.plot == 0:
                values["merge_state"] = _draw(history, sample)
            if values:
                self._tracker.log({"iteration": iteration, **values})
            if iteration % at.artifact == 0:
                self._save(history, np.array([iteration]), seconds, f"iteration_{iteration}")
            self.n_logged = iteration + 1

    def end(
        self, history: MergeHistory, path: Path | None, seconds: Float[np.ndarray, " iterations"]
    ) -> None:
        """Log what is known once the merge is over: all assignments, the history itself, its summary.

        Args:
            history: the whole merge.
            path: its `history.zip`.
            seconds: how long each iteration took.
        """
        saved = np.arange(0, history.n_iterations, self._intervals.artifact)
        if len(saved):
            self._save(history, saved, seconds, "final")
        if path is not None:
            metadata = {
                "n_components": history.n_components,
                "n_iterations": history.n_iterations,
                "config_hash": configuration_digest(history),
            }
            self._tracker.artifact(f"{self._run_id}-history", "merge_history", {path.name: path}, metadata)
        found: dict[str, Any] = {"n_components": history.n_components, "n_iterations": history.n_iterations}
        if history.has_description_length:
            best = history.best_iteration()
            found |= {
                "least_mdl": float(history.mdl_loss[best]),
                "iteration_of_least_mdl": best,
                "n_groups_at_least_mdl": int(history.k_groups[best]),
            }
        self._tracker.summarize(found)

    def _tensors(self, sample: MergeSample) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, figures in sample.statistics().items():
            if isinstance(figures, Mapping):
                values |= {f"{name}/{figure}": value for figure, value in figures.items()}
            else:
                values[name] = figures
        for figure in ("mean", "median"):
            now = values.get(f"costs/{figure}")
            if now is None:
                continue
            if figure in self._last:
                before, then = self._last[figure]
                values[f"costs/{figure}_change"] = (now - then) / (sample.iteration - before)
            self._last[figure] = sample.iteration, now
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
            self._tracker.artifact(
                f"{self._run_id}-groups", "group_assignments", {FILE_NAME: path}, metadata, [alias]
            )


def _draw(history: MergeHistory, sample: MergeSample) -> Any:
    """Return the figure of the merge state after one merge."""
    from spdclust.plotting.merge_state import draw_merge_state

    title = f"After iteration {sample.iteration}, {sample.k_groups} groups"
    if len(sample.shown) < sample.k_groups:
        title += f"; the {len(sample.shown)} largest are shown"
    idxs = group_idxs_shown(history.group_idxs(sample.iteration), sample.shown)
    return draw_merge_state(idxs, sample.shown_coactivations, sample.shown_costs(), title=title)
