"""Log one merge: the same rows, artifacts and summary from a running merge and from a finished history."""

import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from spdclust.config.run import LoggingIntervals
from spdclust.core.errors import InputError
from spdclust.files.archive import digest_of
from spdclust.files.batches import BatchedActivations, merged_batches
from spdclust.files.histories import load_merge_history
from spdclust.files.merge_progress import MergeProgress, load_progress, merge_digest
from spdclust.merge.history import MergeHistory
from spdclust.merge.merging import repeat_merge
from spdclust.tracking.artifacts import FILE_NAME, save_group_assignments
from spdclust.tracking.client import Tracker
from spdclust.tracking.records import MergeSample, flattened, row, stat_records
from spdclust.tracking.runs import Note, TrackedEnsemble, log_once

log = logging.getLogger(__name__)


def needs_sample(intervals: LoggingIntervals, iteration: int) -> bool:
    """Return whether the state after a merge is logged.

    Example:
        >>> [t for t in range(12) if needs_sample(LoggingIntervals(tensor=5, plot=3), t)]
        [0, 3, 5, 6, 9, 10]
    """
    return iteration % intervals.tensor == 0 or iteration % intervals.plot == 0


def log_history(
    tracker: Tracker,
    note: Note,
    intervals: LoggingIntervals,
    histories: Iterable[MergeHistory],
    progress: MergeProgress,
    sample_at: Callable[[int], MergeSample | None],
    path: Path | None = None,
) -> None:
    """Log the iterations of one merge in order, each once, then its results.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> class Printing(Tracker):
        ...     def log(self, values):
        ...         print(values["iteration"], values["k_groups"], values["groups/largest"])
        >>> note = Note("mine-run_0", source="", target="/mine", complete=False)
        >>> log_history(
        ...     Printing(), note, LoggingIntervals(stat=5), [example_history()], MergeProgress(),
        ...     lambda iteration: None,
        ... )
        0 11 2
        5 6 3
        10 1 12

    Args:
        tracker: receives the rows.
        note: its note, with the id that names the artifacts; gets the digest of the merge at the end.
        intervals: logging interval of each kind of record.
        histories: the merge so far, each time with more iterations; the last one is the whole merge.
        progress: its times.
        sample_at: returns the state after a merge, None if unknown; called in order where `needs_sample`.
        path: its `history.zip`.
    """
    last: dict[str, tuple[int, float]] = {}
    n_logged = 0

    def save_groups(saved: list[int], alias: str) -> None:
        with tempfile.TemporaryDirectory(prefix="spdclust_") as folder:
            file = Path(folder) / FILE_NAME
            save_group_assignments(history, np.array(saved), file, seconds)
            metadata = known | {"iterations": saved}
            tracker.artifact(f"{note.run_id}-groups", "group_assignments", [file], metadata, [alias])

    for history in histories:
        known = {
            "n_components": history.n_components,
            "config_hash": digest_of(history.config.resolved())[:16],
        }
        seconds, memory_mb = progress.per_iteration(history.n_iterations)
        records = stat_records(history, seconds, memory_mb)
        for iteration in range(n_logged, history.n_iterations):
            values = row(records, iteration) if iteration % intervals.stat == 0 else {}
            sample = sample_at(iteration) if needs_sample(intervals, iteration) else None
            if sample is not None and iteration % intervals.tensor == 0:
                values |= flattened(sample.statistics())
                for name in ("costs/mean", "costs/median"):
                    if name in last and name in values:
                        before, then = last[name]
                        values[f"{name}_change"] = (values[name] - then) / (iteration - before)
                    if name in values:
                        last[name] = iteration, values[name]
            if sample is not None and iteration % intervals.plot == 0:
                values["merge_state"] = sample.draw(history.group_idxs(iteration))
            if values:
                tracker.log({"iteration": iteration, **values})
            if iteration % intervals.artifact == 0:
                save_groups([iteration], f"iteration_{iteration}")
        n_logged = history.n_iterations
    if n_logged:
        save_groups(list(range(0, n_logged, intervals.artifact)), "final")
    if path is not None:
        metadata = known | {"n_iterations": n_logged}
        tracker.artifact(f"{note.run_id}-history", "merge_history", [path], metadata)
    summary: dict[str, float] = {"n_components": history.n_components, "n_iterations": n_logged}
    if history.has_description_length:
        best = history.best_iteration()
        summary |= {
            "least_mdl": float(history.mdl_loss[best]),
            "iteration_of_least_mdl": best,
            "n_groups_at_least_mdl": int(history.k_groups[best]),
        }
    tracker.summarize(summary)
    note.source = _source_of(history)


def _source_of(history: MergeHistory) -> str:
    """Return a digest of the result of a merge."""
    return digest_of(history.selected_pairs, history.mdl_loss, history.labels)[:16]


def log_merge(ensemble: TrackedEnsemble, run: int, *, again: bool = False) -> Note:
    """Log the finished merge of a run, unless already logged.

    Example:
        >>> import os, tempfile
        >>> from unittest.mock import patch
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, WANDB_MODE="disabled"):
        ...     note = log_merge(TrackedEnsemble(write_example_ensemble(folder).folder), 0)
        >>> note.run_id.rpartition("-")[0], note.target, note.complete  # W&B is disabled here
        ('example-example-run_0', '/spd-cluster', False)

    Args:
        ensemble: the ensemble.
        run: number of the run.
        again: log it even if it was logged before, as a new W&B run.

    Raises:
        InputError: the history cannot be read.
    """
    path, batches, intervals = ensemble.history(run), ensemble.batches(run), ensemble.tracking.intervals
    history, progress = load_merge_history(path), load_progress(ensemble.progress(run))
    seed = history.provenance.get("seed")
    digest = merge_digest(history.config.resolved(), seed, history.provenance.get("batches", []))
    if progress.merge != digest:
        progress = MergeProgress()  # of another merge, or none: times are unknown
    task = progress.task or _task_of(batches)
    described = ensemble.describe("merge", f"run_{run}", digest, run=run, task=task, seed=seed, run_idx=run)

    def write(tracker: Tracker, note: Note) -> None:
        samples = _repeated(history, batches, intervals)
        log_history(tracker, note, intervals, [history], progress, lambda _: next(samples, None), path)

    return log_once(described, ensemble.note(f"run_{run}"), _source_of(history), write, again=again)


def _task_of(batches: Path) -> str | None:
    try:
        return BatchedActivations(batches).made_from[0].get("task")
    except InputError:
        log.info("%s: the batches are gone or cannot be read; the tag of the task is left out", batches)
        return None


def _repeated(history: MergeHistory, batches: Path, intervals: LoggingIntervals) -> Iterator[MergeSample]:
    """Yield the states of a finished merge that are logged, recomputed from its batches."""
    iterations = [t for t in range(history.n_iterations) if needs_sample(intervals, t)]
    try:
        for view in repeat_merge(merged_batches(history, batches), history, iterations):
            yield MergeSample.of(view)
    except (InputError, MemoryError) as error:
        log.warning(
            "%s; statistics of the matrices and pictures of the merge state are left out: "
            "they need the batches",
            error,
        )
