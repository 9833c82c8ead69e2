"""Log a merge to W&B while it runs, from a thread of its own process.

The merge never waits for W&B, except at its end, and then at most `WAIT_SECONDS`. Merges shorter than
`LIVE_AFTER_SECONDS` are logged from their history afterwards (`members.log_member`), by the same `MergeLog`.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from spdclust.config.merge import MergeConfig
from spdclust.core.types import Labels
from spdclust.files.histories import load_merge_history
from spdclust.files.merge_progress import ProgressRecorder
from spdclust.merge.groups import pairs_from_names
from spdclust.merge.history import MergeHistory
from spdclust.merge.view import MergeView
from spdclust.tracking.client import kill_service
from spdclust.tracking.members import Member, log_batches, log_member, source_of
from spdclust.tracking.merges import MergeLog
from spdclust.tracking.runs import LoggedRun
from spdclust.tracking.samples import MergeSample

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
        >>> from spdclust.config.tracking import TrackingSettings
        >>> from spdclust.example_ensemble import MERGE, write_example_ensemble
        >>> from spdclust.stages.merge import merge
        >>> from spdclust.stages.track import member_of
        >>> from spdclust.tracking.runs import load_note
        >>> with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, WANDB_MODE="disabled"):
        ...     place = write_example_ensemble(folder)
        ...     member = member_of(place.folder, 0, TrackingSettings(project="mine"))
        ...     merge(
        ...         [place.batches(0) / "batch_0.pt"], MERGE.resolved(), (0, 0), history=place.history(0),
        ...         metrics=f"{folder}/metrics.csv", observer=MergeCallback(member, live_after=0.0),
        ...     )
        ...     load_note(member.note).run_id.rpartition("-")[0]
        'example-example-run_0'

    Args:
        member: the run of the merge.
        live_after: log live if the merge takes longer than this many seconds.
        keep_batches: whether the batches are still available after the merge; otherwise everything is logged
            before it ends.
    """

    def __init__(
        self, member: Member, *, live_after: float = LIVE_AFTER_SECONDS, keep_batches: bool = True
    ) -> None:
        super().__init__(member.ensemble.progress(member.run))
        self._member = member
        self._live_after = live_after
        self._keep_batches = keep_batches
        self._live = True  # eligible for live logging
        self._figures: list[dict[str, np.ndarray]] = []
        self._samples: dict[int, MergeSample] = {}
        self._thread: threading.Thread | None = None
        self._over = threading.Event()
        self._written = False

    def begin(
        self,
        labels: Labels,
        merge_config: Mapping[str, Any],
        seed: tuple[int, ...],
        digests: list[str],
        made_from: list[dict[str, str]],
        *,
        go_on: bool = False,
    ) -> None:
        """Store the description of the merge. The first part of a resumed merge is only in its history."""
        super().begin(labels, merge_config, seed, digests, made_from, go_on=go_on)
        self._labels, self._config, self._seed = labels, dict(merge_config), list(seed)
        self._live = not go_on
        self._start: float | None = None

    def wants(self, iteration: int) -> bool:
        """Return whether the state after a merge is logged."""
        at = self._member.settings.intervals
        return self._live and (iteration % at.tensor == 0 or iteration % at.plot == 0)

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
                self._thread = self._started(self._follow)

    def end(self) -> None:
        """Wait, for a limited time, for the logging of a live merge or of temporary batches."""
        self._written = True
        with self._guarded():
            if self._thread is None and not self._keep_batches:
                self._thread = self._started(self._log_the_rest)
        self._finish(WAIT_SECONDS)

    def _started(self, work: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            with self._guarded():
                work()

        thread = threading.Thread(target=guarded, name="wandb", daemon=True)
        thread.start()
        # not a daemon: Python waits for it before it runs the client's own hook, which waits without limit
        threading.Thread(target=self._end_with_the_process, name="wandb_end").start()
        return thread

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
                "W&B did not take the record of this merge within %g s; to retry: spdclust wandb-sync "
                "<ensemble>",
                seconds,
            )
            kill_service()

    def _follow(self) -> None:
        """Log the merge until it ends: the body of the thread."""
        member, path = self._member, self._member.ensemble.history(self._member.run)
        described = member.describe_merge(self.progress.merge, self._seed, self.progress.task)
        with LoggedRun(described, member.note) as run:
            intervals = member.settings.intervals
            rows = MergeLog(run.tracker, run.run_id, intervals, lambda t: self._samples.pop(t, None))
            pause = POLL_SECONDS
            while self._live and not self._over.wait(pause):
                began = time.monotonic()
                history = self._so_far()
                rows.log(history, *self.progress.per_iteration(history.n_iterations))
                # values of all iterations are recomputed each time; limited to a tenth of the time
                pause = max(POLL_SECONDS, 10 * (time.monotonic() - began))
            if self._live and self._written:
                history = load_merge_history(path)
                seconds, memory = self.progress.per_iteration(history.n_iterations)
                rows.log(history, seconds, memory)
                rows.end(history, path, seconds)
                run.source = source_of(history)
        if self._written and not self._keep_batches:
            self._log_the_rest()

    def _log_the_rest(self) -> None:
        """Log everything that needs the batches and is not logged yet."""
        log_member(self._member)
        log_batches(self._member)

    def _so_far(self) -> MergeHistory:
        stretches = list(self._figures)
        figures = {name: np.concatenate([each[name] for each in stretches]) for name in stretches[0]}
        return MergeHistory(
            labels=self._labels,
            selected_pairs=pairs_from_names(figures.pop("names"), len(self._labels)),
            mdl_loss=figures.pop("mdl_loss"),
            merge_pair_cost=figures.pop("merge_pair_cost"),
            config=MergeConfig.model_validate(self._config),
            records=figures,
        )

    def _leave(self, problem: str) -> None:
        """Stop logging live."""
        if self._live:
            log.warning("%s: this merge is logged when it is over", problem)
        self._live = False
        self._samples.clear()
        self._figures.clear()

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # a failure must not stop the merge
            self._leave(f"not logged to W&B ({type(error).__name__}: {error})")
