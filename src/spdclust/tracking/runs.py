"""The W&B runs of an ensemble: their ids, tags and settings, and notes, so that nothing is logged twice."""

import contextlib
import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from spdclust.config.pipeline import DEFAULT_PROJECT, TrackingSettings
from spdclust.config.run import EXPERIMENTS
from spdclust.core.atomic import write_text
from spdclust.core.errors import InputError
from spdclust.core.safe_reading import read_text
from spdclust.files.ensemble_folder import EnsembleFolder
from spdclust.models.wandb_files import parse_wandb_path
from spdclust.tracking.client import Tracker, open_tracker

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrackedEnsemble(EnsembleFolder):
    """An ensemble on disk, with its logs and notes, and how it is logged.

    Attributes:
        tracking: where and how often to log.
        resolved: settings of the runs and of the pipeline; None to read them from the folder.
    """

    tracking: TrackingSettings = field(default_factory=lambda: TrackingSettings(project=DEFAULT_PROJECT))
    resolved: tuple[dict[str, Any], dict[str, Any]] | None = None

    @property
    def logs(self) -> Path:
        """Folder of its logs; inside the ensemble if that is outside a results folder."""
        folder = self.folder.resolve()
        logs = folder.parent.parent / "logs"
        return logs / folder.parent.name / folder.name if logs.is_dir() else folder / "logs"

    def progress(self, run: int) -> Path:
        """Progress of the merge of a run."""
        return self.logs / "merge" / f"run_{run}.progress.jsonl"

    def note(self, name: str) -> Path:
        """Note of one W&B run."""
        return self.logs / "tracking" / f"{name}.json"

    def batches_note(self, run: int) -> Path:
        """Note of the W&B run of activations: one for all ensembles that share the batches."""
        return self.logs.parent / "tracking" / f"batches_run_{run}.json"

    def describe(
        self,
        job_type: str,
        name: str,
        digest: str,
        *,
        run: int | None = None,
        task: str | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Return the arguments of `wandb.init` for one of its W&B runs; `more` is added to its settings."""
        # ensembles with the same batches share their W&B run
        logged = self.name.split("/")[0] if job_type == "batches" else self.name
        run_config, pipeline_config = self.resolved or (self.run_config(), self.pipeline_config())
        model = EXPERIMENTS.get(str(run_config.get("experiment_key")), run_config.get("model_path"))
        parent = _parent_of(model)
        named = {"task": task, "model": parent.get("id") or Path(model or "").name, "run_idx": run}
        tags = [f"{key}:{value}" for key, value in named.items() if value not in (None, "")]
        config = run_config | ({"pipeline": pipeline_config} if pipeline_config else {})
        if parent:
            config |= {"wandb_decomp_model": parent["id"], "parent_run": parent}
        return {
            "project": self.tracking.project,
            "entity": self.tracking.entity,
            "id": _wandb_id(f"{logged}-{name}", digest),
            "group": self.name,
            "job_type": job_type,
            "tags": [tag[:64] for tag in ("clustering", f"ensemble_id:{self.name}", *tags)],
            "config": config | more,
            "notes": f"Clusters the components of {parent['url']}" if parent else None,
        }


def _wandb_id(name: str, digest: str) -> str:
    """Return the id of a W&B run; equal content has equal ids."""
    # characters that ids cannot have are replaced; the digest distinguishes what is cut off
    text = re.sub(r"[^\w.~-]", "-", name)
    return f"{text[-110:]}-{digest[:8]}"


def _parent_of(model: str | None) -> dict[str, str]:
    """Return id, path and URL of the decomposed model's W&B run; nothing for a local path."""
    run = None
    with contextlib.suppress(InputError):  # not an error here, because the model is not read
        run = parse_wandb_path(model or "")
    if run is None:
        return {}
    host = os.environ.get("WANDB_BASE_URL", "https://wandb.ai")
    host = host.replace("https://api.wandb.ai", "https://wandb.ai").rstrip("/")
    url = f"{host}/{run.entity}/{run.project}/runs/{run.run_id}"
    return {"id": run.run_id, "path": run.path, "url": url}


@dataclass
class Note:
    """Record of what was logged, and as which W&B run.

    Attributes:
        source: digest of what was logged; empty while that is unknown.
        target: project and entity.
        folder: its local W&B folder.
        offline: whether it was recorded on this machine, to be sent later.
        times: number of times that this was logged.
    """

    run_id: str
    source: str
    target: str
    complete: bool
    folder: str = ""
    offline: bool = False
    times: int = 1

    @property
    def waiting(self) -> bool:
        """Whether the run is only on this machine; `wandb sync` marks the folder of a run that it sent."""
        folder = Path(self.folder or "/nowhere")
        return self.offline and folder.is_dir() and not any(folder.glob("*.synced"))

    def save(self, path: Path) -> None:
        """Write the note; a failure is a warning."""
        try:
            write_text(path, json.dumps(asdict(self), indent=1) + "\n")
        except InputError as error:
            log.warning("%s; the same would be logged again", error)

    @classmethod
    def load(cls, path: Path) -> "Note | None":
        """Return a note, or None if there is no readable note."""
        # pydantic errors and InputError are ValueErrors
        with contextlib.suppress(ValueError):
            return TypeAdapter(cls).validate_json(read_text(path, "a note of what was logged"), strict=True)
        return None


def log_once(
    described: Mapping[str, Any],
    path: Path,
    source: str,
    write: Callable[[Tracker, Note], None],
    *,
    again: bool = False,
) -> Note:
    """Log something as a W&B run, unless its note shows that the same was logged to the same project.

    The id in `described` gets a number if it was used before. `source` is a digest of what is logged; if it
    is empty, `write` sets it in the note when all of it is logged. With `again` it is logged as a new W&B
    run.

    Example:
        >>> described = TrackedEnsemble(Path("mlp/demo")).describe("merge", "run_0", "1f2e")
        >>> path = folder / "run_0.json"
        >>> Note("mlp-demo-run_0-1f2e", source="ab", target="/spd-cluster", complete=True).save(path)
        >>> log_once(described, path, "ab", print).run_id  # `print` is not called
        'mlp-demo-run_0-1f2e'
    """
    run_id, target = described["id"], f"{described['entity'] or ''}/{described['project']}"
    times, before = 1, Note.load(path)
    if before and not again and before.complete and (before.source, before.target) == (source, target):
        if before.waiting:
            log.warning(
                "%s is recorded, and is still to be sent: `wandb sync %s`", before.run_id, before.folder
            )
        else:
            log.info("already logged as %s; --again logs it as a new run", before.run_id)
        return before
    if before and (before.run_id == run_id or before.run_id.startswith(f"{run_id}-")):
        # an interrupted run is retried under its id if nothing of it was uploaded
        times = before.times + (again or before.complete or not before.offline)
        run_id += f"-{times}" if times > 1 else ""
    tracker = open_tracker({**described, "id": run_id})
    note = Note(run_id, source, target, False, str(tracker.folder or ""), tracker.offline, times)
    # the run of a killed process is never finished: the next process uses another id
    note.save(path)
    is_written = False
    try:
        write(tracker, note)
        is_written = bool(note.source)
    finally:
        note.complete = tracker.finish() and is_written
        note.save(path)
    if note.complete and note.offline:
        log.warning("W&B is offline: %s is recorded; send it with `wandb sync %s`", run_id, note.folder)
    return note
