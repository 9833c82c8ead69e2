"""Log a merge to W&B while it runs, from a thread of its own process.

The merge never waits for W&B, except at its end, and then at most `WAIT_SECONDS`. Merges shorter than
`LIVE_AFTER_SECONDS` are logged from their history afterwards (`merges.log_merge`), by the same function.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Mapping

import numpy as np

from spdclust.config.merge import MergeConfig
from spdclust.files.histories import load_merge_history
from spdclust.files.merge_progress import ProgressRecorder
from spdclust.merge.groups import pairs_from_names
from spdclust.merge.history import MergeHistory
from spdclust.merge.view import MergeView
from spdclust.tracking.client import Tracker, kill_service
from spdclust.tracking.merges import log_history, log_merge, needs_sample
from spdclust.tracking.records import MergeSample
from spdclust.tracking.results import log_batches
from spdclust.tracking.runs import Note, TrackedEnsemble, log_once

log = logging.getLogger(__name__)

LIVE_AFTER_SECONDS = 10.0
"""Merges that take less are logged when they are over."""

WAIT_SECONDS = 60.0
"""How long a finished merge waits for W&B at most; one that failed waits a tenth of it."""

POLL_SECONDS = 2.0
"""How often new iterations are logged."""

MOST_SAMPLES = 256
"""States of the merge that are kept in memory until they are logged; each takes about 0.3 MB."""


class MergeCallback(ProgressRecorder):
    """Log a merge while it runs: callbacks of `stages.merge` that never raise.

    Example:
        >>> import os, tempfile
        >>> from unittest.mock import patch
        >>> from spdclust.example_ensemble import MERGE, write_example_ensemble
        >>> from spdclust.stages.merge import merge
        >>> from spdclust.tracking.runs import load_note
        >>> with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, WANDB_MODE="disabled"):
        ...     place = TrackedEnsemble(write_example_ensemble(folder).folder)
        ...     merge(
        ...         [place.batches(0) / "batch_0.pt"], MERGE.resolved(), (0, 0), history=place.history(0),
        ...         metrics=f"{folder}/metrics.csv", observer=MergeCallback(place, 0, live_after=0.0),
        ...     )
        ...     load_note(place.note("run_0")).run_id.rpartition("-")[0]
        'example-example-run_0'

    Args:
        ensemble: the ensemble.
        run: number of the run.
        live_after: log live if the merge takes longer than this many seconds.
        keep_batches: whether the batches are still available after the merge; otherwise everything is logged
            before it ends.
    """

    def __init__(
        self,
        ensemble: TrackedEnsemble,
        run: int,
        *,
        live_after: float = LIVE_AFTER_SECONDS,
        keep_batches: bool = True,
    ) -> None:
        super().__init__(ensemble.progress(run))
        self._ensemble, self._run = ensemble, run
        self._live_after, self._keep_batches = live_after, keep_batches
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
        return self._live and needs_sample(self._ensemble.tracking.intervals, iteration)

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
            late = time.monotonic() - self._start >= self._live_after or len(self._samples) > MOST_SAMPLES / 4
            if late and self._thread is None:
                self._start_thread()

    def end(self) -> None:
        """Wait, for a limited time, for the logging of a live merge or of temporary batches."""
        self._written = True
        with self._guarded():
            if self._thread is None and not self._keep_batches:
                self._start_thread()
        self._finish(WAIT_SECONDS)

    def _start_thread(self) -> None:
        self._thread = threading.Thread(target=self._log, name="wandb", daemon=True)
        self._thread.start()
        # not a daemon: Python waits for it before it runs the client's own hook, which waits without limit
        threading.Thread(target=self._end_with_the_process, name="wandb_end").start()

    def _end_with_the_process(self) -> None:
        """End the logging of a merge that failed."""
        while threading.main_thread().is_alive() and not self._over.wait(1.0):
            pass
        self._finish(WAIT_SECONDS / 10)

    def _finish(self, seconds: float) -> None:
        thread, self._thread = self._thread, None
        self._over.set()
        if thread is None:
            return
        thread.join(seconds)
        if thread.is_alive():
            log.warning(
                "W&B did not take the record of this merge within %g s; to retry: "
                "spdclust wandb-sync <ensemble>",
                seconds,
            )
            kill_service()

    def _log(self) -> None:
        """Log the merge until it ends, then what will be lost with its batches: the body of the thread."""
        ensemble, run = self._ensemble, self._run
        with self._guarded():
            if self._live:
                described = ensemble.describe(
                    "merge", f"run_{run}", self.progress.merge,
                    run=run, task=self.progress.task, seed=self.seed, run_idx=run,
                )  # fmt: skip
                log_once(described, ensemble.note(f"run_{run}"), "", self._log_live)
        self._over.wait()
        with self._guarded():
            if self._written and not self._keep_batches:
                if not self._live:
                    log_merge(ensemble, run)
                log_batches(ensemble, run)

    def _log_live(self, tracker: Tracker, note: Note) -> None:
        intervals, path = self._ensemble.tracking.intervals, self._ensemble.history(self._run)
        log_history(tracker, note, intervals, self._growing(), self.progress, self._sample_at, path)

    def _sample_at(self, iteration: int) -> MergeSample | None:
        return self._samples.pop(iteration, None)

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
