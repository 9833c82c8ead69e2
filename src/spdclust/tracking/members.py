"""The W&B run of one member of an ensemble, from its history, its record and its batches."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spdclust.config.tracking import TrackingSettings
from spdclust.core.errors import InputError
from spdclust.files.archive import digest_of
from spdclust.files.batches import BatchedActivations
from spdclust.files.histories import load_merge_history
from spdclust.merge.history import MergeHistory
from spdclust.tracking.client import open_tracker
from spdclust.tracking.matrices import MergeSample
from spdclust.tracking.merge_record import MergeRecord, load_record
from spdclust.tracking.merges import MergeLog
from spdclust.tracking.naming import describe_run, member_id, provenance_of
from spdclust.tracking.notes import Note, already_logged, close, next_id, target_of
from spdclust.tracking.repeated import Repeated
from spdclust.tracking.tracker import Tracker

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Member:
    """One merge that is logged.

    Attributes:
        ensemble: folder of the ensemble, below the results.
        run: number of the run.
        settings: where records go.
        run_config: the run's settings, resolved.
        pipeline_config: the pipeline's settings, resolved.
        history: its `history.zip`, which need not be there yet.
        record: folder of what the merge wrote down.
        batches: folder of its batches, which may be gone.
        note: where it is noted what was logged.
    """

    ensemble: str
    run: int
    settings: TrackingSettings
    run_config: Mapping[str, Any]
    pipeline_config: Mapping[str, Any]
    history: Path
    record: Path
    batches: Path
    note: Path

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON types."""
        paths = {name: str(getattr(self, name)) for name in ("history", "record", "batches", "note")}
        return {
            "ensemble": self.ensemble,
            "run": self.run,
            "settings": self.settings.model_dump(mode="json"),
            "run_config": dict(self.run_config),
            "pipeline_config": dict(self.pipeline_config),
            **paths,
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Member":
        """Build from what `to_json` returned."""
        paths = {name: Path(told[name]) for name in ("history", "record", "batches", "note")}
        return cls(
            told["ensemble"],
            told["run"],
            TrackingSettings.model_validate(told["settings"]),
            told["run_config"],
            told["pipeline_config"],
            **paths,
        )


def identity_of(merge_config: Mapping[str, Any], seed: Any, batches: Any, task: str | None) -> dict[str, Any]:
    """Return what a record says its merge is: plain JSON.

    Example:
        >>> identity_of({"alpha": 1.0}, seed=[0, 3], batches=["1f2e"], task="tms")
        {'merge_config': {'alpha': 1.0}, 'seed': [0, 3], 'batches': ['1f2e'], 'task': 'tms'}
    """
    return provenance_of(merge_config, seed, batches) | {"task": task}


def log_member(member: Member, *, again: bool = False) -> Note:
    """Log a finished merge, once: what was logged before, while it was under way or after, is not repeated.

    Example:
        >>> import os, tempfile
        >>> from unittest.mock import patch
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> from spdclust.stages.track import member_of
        >>> with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, WANDB_MODE="disabled"):
        ...     member = member_of(write_example_ensemble(folder).folder, 0, TrackingSettings(project="mine"))
        ...     note = log_member(member)
        >>> note.run_id.rpartition("-")[0], note.target, note.complete  # nothing is recorded where W&B is off
        ('example-example-run_0', '/mine', False)

    Args:
        member: which merge.
        again: log it all the same, as another W&B run.

    Raises:
        InputError: the history cannot be read.
    """
    history = load_merge_history(member.history)
    identity = _identity(member, history)
    said = already_logged(member.note, source_of(history), target_of(member.settings), again=again)
    if said is not None:
        return said
    record = load_record(member.record)
    if record.identity != identity:
        record = MergeRecord()  # of another merge, or none: times are not known then
    run_id, times = next_id(
        member.note, member_id(member.ensemble, member.run, made_of(identity)), again=again
    )
    tracker = begin(member, run_id, identity)
    repeated = Repeated(member.batches, history)

    def sample_at(iteration: int) -> MergeSample | None:
        return record.sample(iteration) or repeated.sample(iteration)

    rows = MergeLog(tracker, run_id, member.settings.intervals, sample_at)
    seconds, memory = record.per_iteration(history.n_iterations)
    rows.log(history, seconds, memory)
    rows.end(history, member.history, seconds)
    return close(tracker, member.note, run_id, source_of(history), target_of(member.settings), times)


def begin(member: Member, run_id: str, identity: Mapping[str, Any]) -> Tracker:
    """Begin the W&B run of a merge.


    Example:
        >>> import os
        >>> from unittest.mock import patch
        >>> from spdclust.stages.track import member_of
        >>> member = member_of("results/resid_mlp1/demo", 0, TrackingSettings(project="mine"))
        >>> with patch.dict(os.environ, WANDB_MODE="disabled"):
        ...     tracker = begin(member, "demo-run_0", {"seed": [0, 0], "task": "resid_mlp"})
        >>> tracker.finish()  # whether everything was recorded: not where W&B is off
        False
    """
    more = {"seed": identity.get("seed"), "run_idx": member.run}
    return open_run(member, run_id, "merge", identity.get("task"), more=more)


def open_run(
    member: Member,
    run_id: str,
    job_type: str,
    task: str | None,
    *,
    axis: str = "iteration",
    more: Mapping[str, Any] | None = None,
) -> Tracker:
    """Begin a W&B run of what belongs to one merge; the arguments as `describe_run` takes them.


    Example:
        >>> import os
        >>> from unittest.mock import patch
        >>> from spdclust.stages.track import member_of
        >>> member = member_of("results/resid_mlp1/demo", 0, TrackingSettings(project="mine"))
        >>> with patch.dict(os.environ, WANDB_MODE="disabled"):
        ...     tracker = open_run(member, "demo-run_0-batches", "batches", "resid_mlp", axis="batch")
        >>> tracker.log({"batch": 0})
        >>> tracker.finish()  # whether everything was recorded: not where W&B is off
        False
    """
    described = describe_run(
        member.settings,
        run_id=run_id,
        ensemble=member.ensemble,
        job_type=job_type,
        run_config=member.run_config,
        pipeline_config=member.pipeline_config,
        task=task,
        run=member.run,
        axis=axis,
        more=more,
    )
    return open_tracker(described)


def source_of(history: MergeHistory) -> str:
    """Return a digest of what a merge did.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> source_of(example_history(0)) == source_of(example_history(0))
        True
        >>> source_of(example_history(0)) == source_of(example_history(1))
        False
    """
    return digest_of(history.selected_pairs, history.mdl_loss, history.labels)[:16]


def made_of(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a record's identity that names the W&B run.

    Example:
        >>> made_of({"seed": [0, 1], "task": "tms"})
        {'seed': [0, 1]}
    """
    return {name: value for name, value in identity.items() if name != "task"}


def _identity(member: Member, history: MergeHistory) -> dict[str, Any]:
    """Return what the record of a finished merge would say it is."""
    task = None
    try:
        task = (load_record(member.record).identity or {}).get("task") or _task_in(member.batches)
    except InputError:
        log.info(
            "%s: the batches are gone or cannot be read; the tag of the task is left out", member.batches
        )
    made = history.provenance
    return identity_of(history.config.resolved(), made.get("seed"), made.get("batches", []), task)


def _task_in(batches: Path) -> str | None:
    return BatchedActivations(batches).made_from[0].get("task")
