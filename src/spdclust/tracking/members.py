"""The W&B runs of one run of an ensemble: its finished merge, and the activations that it reads."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.config.tracking import TrackingSettings
from spdclust.core.errors import InputError
from spdclust.files.activation_batch import ActivationBatch
from spdclust.files.archive import digest_of
from spdclust.files.batches import BatchedActivations, merged_batches
from spdclust.files.histories import load_merge_history
from spdclust.files.merge_progress import MergeProgress, load_progress, merge_digest
from spdclust.merge.history import MergeHistory
from spdclust.merge.repeating import repeat_merge
from spdclust.merge.view import MergeView
from spdclust.tracking.client import RunDescription
from spdclust.tracking.merges import MergeLog
from spdclust.tracking.runs import (
    LoggedRun,
    Note,
    TrackedEnsemble,
    already_logged,
    describe_run,
    load_note,
    wandb_id,
)
from spdclust.tracking.samples import MergeSample, describe_values

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Member:
    """A run of an ensemble whose merge is logged.

    Attributes:
        ensemble: its ensemble.
        run: number of the run.
        settings: where and how often to log.
        run_config: the run's settings, resolved.
        pipeline_config: the pipeline's settings, resolved.
    """

    ensemble: TrackedEnsemble
    run: int
    settings: TrackingSettings
    run_config: Mapping[str, Any]
    pipeline_config: Mapping[str, Any]

    @property
    def note(self) -> Path:
        """Note of the merge's W&B run."""
        return self.ensemble.note(f"run_{self.run}")

    def describe_merge(self, digest: str, seed: Any, task: str | None) -> RunDescription:
        """Return what the W&B run of the merge is called; `digest` is its `merge_digest`."""
        run_id = wandb_id(f"{self.ensemble.name}-run_{self.run}", digest)
        return self._describe(run_id, "merge", task, more={"seed": seed, "run_idx": self.run})

    def describe_batches(self, digests: list[str], task: str | None) -> RunDescription:
        """Return what the W&B run of the activations is called, which ensembles that share them share too."""
        name = f"{self.ensemble.name.split('/')[0]}-run_{self.run}-batches"
        return self._describe(wandb_id(name, digest_of(["batches", digests])), "batches", task, axis="batch")

    def _describe(self, run_id: str, job_type: str, task: str | None, **more: Any) -> RunDescription:
        return describe_run(
            self.settings,
            run_id=run_id,
            ensemble=self.ensemble.name,
            job_type=job_type,
            run_config=self.run_config,
            pipeline_config=self.pipeline_config,
            task=task,
            run=self.run,
            **more,
        )


def log_member(member: Member, *, again: bool = False) -> Note:
    """Log a finished merge, unless already logged.

    Example:
        >>> import os, tempfile
        >>> from unittest.mock import patch
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> from spdclust.stages.track import member_of
        >>> with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, WANDB_MODE="disabled"):
        ...     member = member_of(write_example_ensemble(folder).folder, 0, TrackingSettings(project="mine"))
        ...     note = log_member(member)
        >>> note.run_id.rpartition("-")[0], note.target, note.complete  # W&B is disabled here
        ('example-example-run_0', '/mine', False)

    Args:
        member: the run of the merge.
        again: log it even if it was logged before, as a new W&B run.

    Raises:
        InputError: the history cannot be read.
    """
    path, batches = member.ensemble.history(member.run), member.ensemble.batches(member.run)
    history = load_merge_history(path)
    source = source_of(history)
    if note := already_logged(member.note, source, member.settings, again=again):
        return note
    made, progress = history.provenance, load_progress(member.ensemble.progress(member.run))
    digest = merge_digest(history.config.resolved(), made.get("seed"), made.get("batches", []))
    if progress.merge != digest:
        progress = MergeProgress()  # of another merge, or none: times are unknown
    task = progress.task or _task_of(batches)
    described, intervals = member.describe_merge(digest, made.get("seed"), task), member.settings.intervals
    with LoggedRun(described, member.note, source, again=again) as run:
        rows = MergeLog(run.tracker, run.run_id, intervals, _Repeated(batches, history).sample)
        seconds, memory = progress.per_iteration(history.n_iterations)
        rows.log(history, seconds, memory)
        rows.end(history, path, seconds)
    return run.note


def source_of(history: MergeHistory) -> str:
    """Return a digest of the result of a merge.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> source_of(example_history(0)) == source_of(example_history(1))
        False
    """
    return digest_of(history.selected_pairs, history.mdl_loss, history.labels)[:16]


def _task_of(batches: Path) -> str | None:
    try:
        return BatchedActivations(batches).made_from[0].get("task")
    except InputError:
        log.info("%s: the batches are gone or cannot be read; the tag of the task is left out", batches)
        return None


class _Repeated:
    """The states of a finished merge, recomputed from its batches at first use."""

    def __init__(self, batches: Path, history: MergeHistory) -> None:
        self._batches = batches
        self._history = history
        self._views: Iterator[MergeView] | None = None
        self._wanted: list[int] = []
        self._works = True

    def sample(self, iteration: int) -> MergeSample | None:
        """Return the state after a merge; iterations must be asked for in order."""
        if not self._works:
            return None
        try:
            if self._views is None:
                source = merged_batches(self._history, self._batches)
                self._views = repeat_merge(source, self._history, iter(lambda: self._wanted.pop(0), None))
            self._wanted.append(iteration)
            return MergeSample.of(next(self._views))
        except (InputError, MemoryError) as error:
            self._works = False
            log.warning(
                "%s; statistics of the matrices and pictures of the merge state are left out: they need the "
                "batches",
                error,
            )
            return None


def log_batches(member: Member, *, again: bool = False) -> None:
    """Log the activations of one run, once for all ensembles that share them.

    Example:
        >>> import os, tempfile
        >>> from unittest.mock import patch
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> from spdclust.stages.track import member_of
        >>> from spdclust.tracking.runs import load_note
        >>> with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, WANDB_MODE="disabled"):
        ...     member = member_of(write_example_ensemble(folder).folder, 0, TrackingSettings(project="mine"))
        ...     log_batches(member)
        ...     load_note(member.ensemble.batches_note(0)).run_id.rpartition("-")[0]
        'example-run_0-batches'

    Args:
        member: a run whose merge reads them.
        again: log them even if they were logged before, as a new W&B run.
    """
    note = member.ensemble.batches_note(member.run)
    try:
        batches = BatchedActivations(member.ensemble.batches(member.run))
        first = batches.get_next_batch()
        digests = batches.digests
    except InputError as error:
        before = load_note(note)
        if before is None or not before.complete:  # the merge logs temporary batches itself
            log.warning("%s; the activations are not logged", error)
        return
    source = digest_of(digests)[:16]
    if already_logged(note, source, member.settings, again=again):
        return
    from spdclust.plotting.activations import activation_figures  # slow to import and not always needed

    threshold = member.run_config["merge_config"]["activation_threshold"]
    drawn = activation_figures(first, activation_threshold=threshold)
    described = member.describe_batches(digests, first.provenance.get("task"))
    with LoggedRun(described, note, source, again=again) as run:
        pictures = {f"activations/{name}": figure for name, figure in drawn.items()}
        run.tracker.log({"batch": 0, **activation_record(first), **pictures})
        run.tracker.summarize({"n_batches": batches.n_batches, "batch_digests": digests})


def activation_record(batch: ActivationBatch) -> dict[str, Any]:
    """Return statistics of a batch by name: of the stored values, and of the components.

    Example:
        >>> record = activation_record(ActivationBatch.from_dense([[0.0, 0.5], [0.0, 1.0]], ["m:0", "m:1"]))
        >>> record["activations/nonzero_share"], record["activations/never_active"]
        (0.5, 1)
    """
    matrix = batch.matrix
    times = np.bincount(matrix.indices, minlength=batch.n_components)
    parts = {
        "value": matrix.data.astype(np.float64),
        "component_maximum": np.asarray(batch.maxima, dtype=np.float64),
        "component_mean": np.asarray(batch.means, dtype=np.float64),
        "component_frequency": times / max(batch.n_samples, 1),
        "active_per_sample": np.diff(matrix.indptr).astype(np.float64),
    }
    record: dict[str, Any] = {
        f"activations/{name}/{statistic}": value
        for name, values in parts.items()
        for statistic, value in describe_values(values).items()
    }
    cells = batch.n_samples * batch.n_components
    return record | {
        "activations/n_samples": batch.n_samples,
        "activations/n_components": batch.n_components,
        "activations/nonzero_share": matrix.nnz / cells if cells else 0.0,
        "activations/never_active": int((times == 0).sum()),
    }
