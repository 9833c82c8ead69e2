"""W&B runs of an ensemble: ids, tags and settings, and notes that prevent logging anything twice."""

import contextlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from spdclust.config.run import EXPERIMENTS, LoggingIntervals
from spdclust.config.tracking import TrackingSettings, project_of
from spdclust.core.atomic import write_text
from spdclust.core.errors import InputError
from spdclust.core.safe_reading import read_text
from spdclust.files.ensemble_folder import EnsembleFolder
from spdclust.models.wandb_paths import parse_wandb_path
from spdclust.tracking.client import RunDescription, open_tracker

log = logging.getLogger(__name__)

SEND_SECONDS = 600.0
"""Time limit for sending one run."""


class TrackedEnsemble(EnsembleFolder):
    """An ensemble on disk, with its logs and notes.

    Example:
        >>> ensemble = TrackedEnsemble(Path("results/resid_mlp1/demo"))
        >>> ensemble.name, ensemble.note("run_0").name
        ('resid_mlp1/demo', 'run_0.json')
    """

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

    def settings(self, project: str | None = None, entity: str | None = None) -> TrackingSettings:
        """Return the project, entity and intervals to log with.

        Args:
            project: replaces the project of the ensemble's settings.
            entity: replaces the entity of the ensemble's settings.

        Raises:
            InputError: no project is given.
        """
        run, pipeline = self.run_config(), self.pipeline_config()
        project = project or project_of(run, pipeline)
        if project is None:
            raise InputError(
                "no W&B project",
                file=self.folder,
                field="--project",
                allowed="--project, or wandb_project in the pipeline or run file",
            )
        intervals = LoggingIntervals.model_validate(run.get("logging_intervals") or {})
        entity = entity or pipeline.get("wandb_entity") or run.get("wandb_entity")
        return TrackingSettings(project=project, entity=entity, intervals=intervals)


def wandb_id(name: str, digest: str) -> str:
    """Return the id of a W&B run; equal content has equal ids.

    Example:
        >>> wandb_id("resid_mlp1/demo-run_3", "9134b36c04b5")
        'resid_mlp1-demo-run_3-9134b36c'

    Args:
        name: path of the logged results below the results folder.
        digest: digest of its inputs.
    """
    # characters that ids cannot have are replaced; the digest distinguishes what is cut off
    text = "".join(letter if letter.isalnum() or letter in "._-~" else "-" for letter in name)
    return f"{text[-110:]}-{digest[:8]}"


def describe_run(
    settings: TrackingSettings,
    *,
    run_id: str,
    ensemble: str,
    job_type: str,
    run_config: Mapping[str, Any],
    pipeline_config: Mapping[str, Any] | None = None,
    task: str | None = None,
    run: int | None = None,
    axis: str = "iteration",
    more: Mapping[str, Any] | None = None,
) -> RunDescription:
    """Return name, group, tags and settings of a W&B run.

    Example:
        >>> described = describe_run(
        ...     TrackingSettings(project="mine"), run_id="demo-run_3-1f2e", ensemble="resid_mlp1/demo",
        ...     job_type="merge", run_config={"experiment_key": "resid_mlp1"}, task="resid_mlp", run=3,
        ... )
        >>> described.tags
        ['clustering', 'ensemble_id:resid_mlp1/demo', 'task:resid_mlp', 'model:s-62fce8c4', 'run_idx:3']
        >>> described.config["wandb_decomp_model"], described.project
        ('s-62fce8c4', 'mine')

    Args:
        settings: project and entity.
        run_id: its id.
        ensemble: folder of the ensemble below the results; the W&B group.
        job_type: `batches`, `merge`, `distances` or `report`.
        run_config: the run's settings, as in `clustering_run_config.json`.
        pipeline_config: the pipeline's, as in `pipeline_config.yaml`.
        task: task of the decomposed model, as recorded in its batches.
        run: number of the run in its ensemble.
        axis: the metric that is the horizontal axis of all others.
        more: additional settings.
    """
    key = run_config.get("experiment_key")
    model = EXPERIMENTS.get(key, run_config.get("model_path")) if key else run_config.get("model_path")
    parent = parent_of(None if model is None else str(model))
    name = parent.get("id") or (Path(model).name if model else None)
    tags = ["clustering", f"ensemble_id:{ensemble}"]
    tags += [f"task:{task}"] if task else []
    tags += [f"model:{name}"] if name else []
    tags += [f"run_idx:{run}"] if run is not None else []
    config: dict[str, Any] = dict(run_config)
    if pipeline_config:
        config["pipeline"] = dict(pipeline_config)
    if parent:
        config["wandb_decomp_model"] = parent["id"]
        config["parent_run"] = parent
    return RunDescription(
        project=settings.project,
        entity=settings.entity,
        run_id=run_id,
        group=ensemble,
        job_type=job_type,
        tags=tags,
        config=config | dict(more or {}),
        axis=axis,
        notes=f"Clusters the components of {parent['url']}" if parent else None,
    )


def parent_of(model: str | None) -> dict[str, str]:
    """Return id, path and URL of the decomposed model's W&B run; nothing for a local path.

    Example:
        >>> parent_of("wandb:goodfire/spd/runs/s-38e1a3e2")["id"], parent_of("resources/resid_mlp1")
        ('s-38e1a3e2', {})

    Args:
        model: `model_path` of the run, `experiment_key` resolved.
    """
    try:
        run = None if model is None else parse_wandb_path(model)
    except InputError:  # not an error here, because the model is not read
        return {}
    if run is None:
        return {}
    host = os.environ.get("WANDB_BASE_URL", "https://wandb.ai")
    host = host.replace("https://api.wandb.ai", "https://wandb.ai")
    url = f"{host.rstrip('/')}/{run.entity}/{run.project}/runs/{run.run_id}"
    return {"id": run.run_id, "path": run.path, "url": url}


@dataclass(frozen=True)
class Note:
    """Record of what was logged, and as which W&B run.

    Attributes:
        run_id: id of the W&B run.
        source: digest of its inputs.
        target: project and entity.
        complete: whether everything was recorded.
        folder: its local W&B folder.
        offline: whether it still has to be uploaded.
        times: number of times that this was logged.
    """

    run_id: str
    source: str
    target: str
    complete: bool
    folder: str = ""
    offline: bool = False
    times: int = 1

    def save(self, path: Path) -> None:
        """Write the note; a failure is a warning."""
        try:
            write_text(path, json.dumps(self.__dict__, indent=1) + "\n")
        except InputError as error:
            log.warning("%s; the same would be logged again", error)


def load_note(path: Path) -> Note | None:
    """Return a note, or None if there is no readable note.

    Example:
        >>> load_note(Path("no_such_note.json")) is None
        True
    """
    # pydantic errors and InputError are ValueErrors
    with contextlib.suppress(ValueError):
        return TypeAdapter(Note).validate_json(read_text(path, "a note of what was logged"), strict=True)
    return None


class LoggedRun:
    """A W&B run as a context manager, with its note.

    Example:
        >>> import tempfile
        >>> from unittest.mock import patch
        >>> described = RunDescription("mine", "me", "demo-run_0-1f2e", "demo", "merge")
        >>> with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, WANDB_MODE="disabled"):
        ...     with LoggedRun(described, Path(folder) / "run_0.json", "ab") as run:
        ...         run.tracker.log({"iteration": 0})
        ...     run.note.target, run.note.complete
        ('me/mine', False)

    Args:
        description: description of the run; its id gets a number if it was used before.
        path: output path.
        source: digest of its inputs; if still empty at the end, the run is not complete.
        again: whether the same content is logged again on purpose.
    """

    def __init__(
        self, description: RunDescription, path: Path, source: str = "", *, again: bool = False
    ) -> None:
        times = _times(load_note(path), description.run_id, again=again)
        self.run_id = description.run_id + (f"-{times}" if times > 1 else "")
        self.source = source
        self.tracker = open_tracker(replace(description, run_id=self.run_id))
        target = f"{description.entity or ''}/{description.project}"
        folder, offline = str(self.tracker.folder or ""), self.tracker.offline
        # the run of a killed process is never finished: the next process uses another id
        self.note = Note(self.run_id, source, target, False, folder, offline, times)
        self._path = path
        self.note.save(path)

    def __enter__(self) -> "LoggedRun":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        complete = self.tracker.finish() and kind is None and bool(self.source)
        self.note = note = replace(self.note, source=self.source, complete=complete)
        note.save(self._path)
        if complete and note.offline:
            log.warning(
                "W&B is offline: %s is recorded; send it with `wandb sync %s`", note.run_id, note.folder
            )


def _times(note: Note | None, run_id: str, *, again: bool) -> int:
    """Return the number of uses of an id, including this one."""
    if note is None or not (note.run_id == run_id or note.run_id.startswith(f"{run_id}-")):
        return 1
    # an interrupted run is retried under its id if nothing of it was uploaded
    return note.times + 1 if again or note.complete or not note.offline else note.times


def already_logged(path: Path, source: str, settings: TrackingSettings, *, again: bool) -> Note | None:
    """Return the note of an equal run already logged to the same project, and report it.

    Example:
        >>> import tempfile
        >>> settings = TrackingSettings(project="mine", entity="me")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "run_0.json"
        ...     Note("demo-run_0-1f2e", source="ab", target="me/mine", complete=True).save(path)
        ...     already_logged(path, "ab", settings, again=False).run_id
        ...     already_logged(path, "cd", settings, again=False) is None  # something else
        'demo-run_0-1f2e'
        True
    """
    note, target = load_note(path), f"{settings.entity or ''}/{settings.project}"
    if again or note is None or not note.complete or (note.source, note.target) != (source, target):
        return None
    if note.offline and Path(note.folder).is_dir():
        log.warning("%s is recorded, and is still to be sent: `wandb sync %s`", note.run_id, note.folder)
    else:
        log.info("already logged as %s; --again logs it as a new run", note.run_id)
    return note


def send(path: Path) -> Note | None:
    """Upload the W&B run of a note with `wandb sync`, if it is offline and W&B is enabled.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "run_0.json"
        ...     Note("demo-run_0-1f2e", source="ab", target="me/mine", complete=True).save(path)
        ...     send(path).run_id  # it is online already: nothing to send
        'demo-run_0-1f2e'

    Args:
        path: the note.

    Returns:
        The note afterwards, or None if there is none.
    """
    note = load_note(path)
    local = os.environ.get("WANDB_MODE", "") in ("offline", "dryrun", "disabled")
    if note is None or not note.offline or local or not Path(note.folder or path).is_dir():
        return note
    try:
        # without a terminal, so that nothing can prompt for a login
        done = subprocess.run(
            [sys.executable, "-m", "wandb", "sync", note.folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SEND_SECONDS,
            check=False,
        )
        failed = done.returncode != 0 or "error" in done.stdout.lower()
        problem = (done.stdout.strip().splitlines() or ["no answer"])[-1] if failed else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    if problem:
        log.warning("%s was not sent (%s); try `wandb sync %s`", note.run_id, problem, note.folder)
        return note
    note = replace(note, offline=False)
    note.save(path)
    return note
