"""Log one merge: the same rows, artifacts and summary while it runs and from its finished history.

A running merge is logged by a thread of its process. It never waits for W&B, except at its end, and then at
most `WAIT_SECONDS`. Merges shorter than `LIVE_AFTER_SECONDS` are logged from their history afterwards.
"""

import contextlib
import logging
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.config.merge import MergeConfig
from spdclust.config.run import LoggingIntervals
from spdclust.core.errors import InputError
from spdclust.files.archive import digest_of
from spdclust.files.batches import BatchedActivations, merged_batches
from spdclust.files.histories import load_merge_history
from spdclust.files.merge_progress import MergeProgress, ProgressRecorder, load_progress, merge_digest
from spdclust.merge.history import MergeHistory, pairs_from_names
from spdclust.merge.merging import repeat_merge
from spdclust.merge.view import MergeView
from spdclust.tracking.artifacts import FILE_NAME, configuration_digest, save_group_assignments
from spdclust.tracking.client import Tracker, kill_service
from spdclust.tracking.records import MergeSample, row, stat_records
from spdclust.tracking.results import log_batches
from spdclust.tracking.runs import Note, TrackedEnsemble, log_once

log = logging.getLogger(__name__)

LIVE_AFTER_SECONDS = 10.0  # shorter merges are logged when they are over
WAIT_SECONDS = 60.0  # the longest that a finished merge waits for W&B; a failed one waits a tenth of it
POLL_SECONDS = 2.0  # between two looks for new iterations
MOST_SAMPLES = 256  # the most states that wait in memory to be logged; each takes about 0.3 MB


def _log_history(
    tracker: Tracker,
    note: Note,
    intervals: LoggingIntervals,
    histories: Iterable[MergeHistory],
    progress: MergeProgress,
    sample_at: Callable[[int], MergeSample | None],
    path: Path | None = None,
) -> None:
    """Log the iterations of one merge in order, each once, then its results.

    `histories` are the merge so far, each time with more iterations; the last one is the whole merge.
    `sample_at` returns the state after a merge, None if unknown; it is called in order. The note gets the
    digest of the merge at the end.
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
        known = {"n_components": history.n_components, "config_hash": configuration_digest(history)}
        seconds, memory_mb = progress.per_iteration(history.n_iterations)
        records = stat_records(history, seconds, memory_mb)
        for iteration in range(n_logged, history.n_iterations):
            values = row(records, iteration) if iteration % intervals.stat == 0 else {}
            sample = sample_at(iteration) if _needs_sample(intervals, iteration) else None
            if sample is not None and iteration % intervals.tensor == 0:
                values |= sample.statistics()
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


def log_merge(ensemble: TrackedEnsemble, run: int, *, again: bool = False) -> Note:
    """Log the finished merge of a run, unless already logged.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> note = log_merge(TrackedEnsemble(write_example_ensemble(folder).folder), 0)
        >>> note.run_id.rpartition("-")[0], note.target, note.complete  # W&B is disabled here
        ('example-example-run_0', '/spd-cluster', False)

    Raises:
        InputError: the history cannot be read.
    """
    path, batches, intervals = ensemble.history(run), ensemble.batches(run), ensemble.tracking.intervals
    history, progress = load_merge_history(path), load_progress(ensemble.progress(run))
    seed = history.provenance.get("seed")
    digest = merge_digest(history.config.resolved(), seed, history.provenance.get("batches", []))
    if progress.merge != digest:
        progress = MergeProgress()  # of another merge, or none: times are unknown
    described = _described(ensemble, run, digest, progress.task or _task_of(batches), seed)

    def write(tracker: Tracker, note: Note) -> None:
        samples = _repeated(history, batches, intervals)
        _log_history(tracker, note, intervals, [history], progress, lambda _: next(samples, None), path)

    return log_once(described, ensemble.note(f"run_{run}"), _source_of(history), write, again=again)


class MergeCallback(ProgressRecorder):
    """Log a merge while it runs: callbacks of `stages.merge` that never raise.

    A merge that takes longer than `LIVE_AFTER_SECONDS` is logged live. Where batches are not kept, everything
    is logged before it ends. `close` must be called, also if the merge fails.
    """

    def __init__(self, ensemble: TrackedEnsemble, run: int, *, keep_batches: bool = True) -> None:
        super().__init__(ensemble.progress(run))
        self._ensemble, self._run, self._keep_batches = ensemble, run, keep_batches
        self._figures: list[dict[str, np.ndarray]] = []
        self._samples: dict[int, MergeSample] = {}
        self._start: float | None = None
        self._thread: threading.Thread | None = None
        self._left = False
        self._written = False
        self._over = threading.Event()

    @property
    def _live(self) -> bool:
        """Whether the merge is logged from what is stored here; a resumed one has its first part on disk."""
        return not (self._left or self.resumed)

    def wants(self, iteration: int) -> bool:
        """Return whether the state after a merge is logged."""
        return self._live and _needs_sample(self._ensemble.tracking.intervals, iteration)

    def look(self, view: MergeView) -> None:
        """Store the state after a merge until it is logged."""
        with self._guarded():
            self._samples[view.iteration] = MergeSample.of(view)
        if len(self._samples) >= MOST_SAMPLES:
            self._leave(f"more than {MOST_SAMPLES} states wait to be logged")

    def watch(self, first: int, figures: Mapping[str, np.ndarray]) -> None:
        """Store the values of some iterations until they are logged."""
        super().watch(first, figures)
        if not self._live:
            return
        with self._guarded():
            self._figures.append({name: np.array(values) for name, values in figures.items()})
            # counted from the first merge: reading batches and compiling kernels do not make a merge long
            self._start = self._start or time.monotonic()
            is_long = time.monotonic() - self._start >= LIVE_AFTER_SECONDS
            if is_long or len(self._samples) > MOST_SAMPLES / 4:
                self._start_thread()

    def end(self) -> None:
        """Log a merge whose batches are temporary now, however short it was."""
        self._written = True
        if not self._keep_batches:
            with self._guarded():
                self._start_thread()

    def close(self) -> None:
        """Wait for the logging, for a limited time."""
        self._over.set()
        if self._thread is None:
            return
        seconds = WAIT_SECONDS if self._written else WAIT_SECONDS / 10
        self._thread.join(seconds)
        if self._thread.is_alive():
            log.warning(
                "W&B did not take the record of this merge within %g s; to retry: "
                "spdclust wandb-sync <ensemble>",
                seconds,
            )
            kill_service()

    def _start_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._log, name="wandb", daemon=True)
            self._thread.start()

    def _log(self) -> None:
        """Log the merge until it ends, then what will be lost with its batches: the body of the thread."""
        ensemble, run = self._ensemble, self._run
        with self._guarded():
            if self._live:
                described = _described(ensemble, run, self.progress.merge, self.progress.task, self.seed)
                log_once(described, ensemble.note(f"run_{run}"), "", self._log_live)
        self._over.wait()
        with self._guarded():
            if self._written and not self._keep_batches:
                if not self._live:
                    log_merge(ensemble, run)
                log_batches(ensemble, run)

    def _log_live(self, tracker: Tracker, note: Note) -> None:
        intervals, path = self._ensemble.tracking.intervals, self._ensemble.history(self._run)
        samples = self._samples
        _log_history(
            tracker, note, intervals, self._growing(), self.progress, lambda t: samples.pop(t, None), path
        )

    def _growing(self) -> Iterator[MergeHistory]:
        """Yield the merge so far from time to time, and the whole merge when it is written."""
        pause = POLL_SECONDS
        while self._live and not self._over.wait(pause):
            began = time.monotonic()
            stretches = list(self._figures)
            figures = {name: np.concatenate([each[name] for each in stretches]) for name in stretches[0]}
            yield MergeHistory(
                labels=self.labels,
                selected_pairs=pairs_from_names(figures.pop("names"), len(self.labels)),
                mdl_loss=figures.pop("mdl_loss"),
                merge_pair_cost=figures.pop("merge_pair_cost"),
                config=MergeConfig.model_validate(self.config),
                records=figures,
            )
            # values of all iterations are recomputed each time; limited to a tenth of the time
            pause = max(POLL_SECONDS, 10 * (time.monotonic() - began))
        if not (self._live and self._written):
            self._left = True  # the merge failed: no warning
            raise InterruptedError
        yield load_merge_history(self._ensemble.history(self._run))

    def _leave(self, problem: str) -> None:
        """Stop logging live."""
        if self._live:
            log.warning("%s: this merge is logged when it is over", problem)
        self._left = True
        self._samples.clear()
        self._figures.clear()

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # a failure must not stop the merge
            self._leave(f"not logged to W&B ({type(error).__name__}: {error})")


def _needs_sample(intervals: LoggingIntervals, iteration: int) -> bool:
    return iteration % intervals.tensor == 0 or iteration % intervals.plot == 0


def _source_of(history: MergeHistory) -> str:
    """Return a digest of the result of a merge."""
    return digest_of(history.selected_pairs, history.mdl_loss, history.labels)[:16]


def _described(
    ensemble: TrackedEnsemble, run: int, digest: str, task: str | None, seed: Any
) -> dict[str, Any]:
    return ensemble.describe("merge", f"run_{run}", digest, run=run, task=task, seed=seed, run_idx=run)


def _task_of(batches: Path) -> str | None:
    try:
        return BatchedActivations(batches).made_from[0].get("task")
    except InputError:
        log.info("%s: the batches are gone or cannot be read; the tag of the task is left out", batches)
        return None


def _repeated(history: MergeHistory, batches: Path, intervals: LoggingIntervals) -> Iterator[MergeSample]:
    """Yield the states of a finished merge that are logged, recomputed from its batches."""
    iterations = [t for t in range(history.n_iterations) if _needs_sample(intervals, t)]
    try:
        for view in repeat_merge(merged_batches(history, batches), history, iterations):
            yield MergeSample.of(view)
    except (InputError, MemoryError) as error:
        log.warning(
            "%s; statistics of the matrices and pictures of the merge state are left out: "
            "they need the batches",
            error,
        )
