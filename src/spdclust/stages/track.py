"""Stage: histories and results of an ensemble -> Weights & Biases; failures are warnings."""

import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from spdclust.config.pipeline import DEFAULT_PROJECT, TrackingSettings
from spdclust.config.run import LoggingIntervals
from spdclust.core.atomic import write_text
from spdclust.core.errors import InputError
from spdclust.files.ensemble_folder import find_histories, run_number
from spdclust.files.merge_progress import ProgressRecorder
from spdclust.tracking.merges import MergeCallback, log_merge
from spdclust.tracking.results import log_batches, log_ensemble
from spdclust.tracking.runs import Note, TrackedEnsemble

log = logging.getLogger("spdclust.tracking.stage")


@contextlib.contextmanager
def follow_merge(
    history: str | Path, config: Mapping[str, Any] | None, *, keep_batches: bool = True
) -> Iterator[ProgressRecorder]:
    """Yield callbacks for the merge of one run that record its progress and log it to W&B.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> history = write_example_ensemble(folder).history(0)
        >>> with follow_merge(history, None) as observer:
        ...     observer.progress.n_done
        0

    Args:
        history: the `history.zip` that will be written, `<results>/<run_config>/<ensemble>/runs/run_<r>/…`.
        config: configuration of the workflow; None if the merge is not logged.
        keep_batches: whether the batches are still available after the merge; otherwise everything that
            needs them is logged by the merge's process.
    """
    path = Path(history)
    ensemble, run = TrackedEnsemble(path.parents[2]), run_number(path)
    callback = None
    if config is not None:
        with _warned(ensemble.folder):
            callback = MergeCallback(_configured(ensemble, config), run, keep_batches=keep_batches)
    try:
        yield callback or ProgressRecorder(ensemble.progress(run))
    finally:
        if callback is not None:
            callback.close()


def _configured(ensemble: TrackedEnsemble, config: Mapping[str, Any]) -> TrackedEnsemble:
    """Return an ensemble with its settings in the configuration of the workflow."""
    # imported only if the merge is tracked
    from spdclust.config.load import validate
    from spdclust.config.resolve import WorkflowConfig, resolve_workflow

    ensembles = resolve_workflow(validate(WorkflowConfig, config, file="configuration"))
    (configured,) = (each for each in ensembles if each.folder == ensemble.name)
    assert configured.tracking is not None
    resolved = configured.resolved_run(), configured.resolved_pipeline()
    return replace(ensemble, tracking=configured.tracking, resolved=resolved)


def track(
    folder: str | Path,
    settings: Mapping[str, Any],
    run: int | None = None,
    *,
    batches: bool = True,
    again: bool = False,
    path: str | Path | None = None,
) -> None:
    """Log the merge and the activations of one run, or what concerns all runs, unless already logged.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> ensemble = TrackedEnsemble(write_example_ensemble(folder).folder)
        >>> track(ensemble.folder, {"project": "mine"}, 0, path=f"{folder}/tracked")
        >>> track(ensemble.folder, {"project": "mine"})
        >>> (folder / "tracked").is_file()
        True
        >>> [ensemble.note(name).is_file() for name in ("run_0", "distances", "report")]
        [True, True, True]
    """
    ensemble = TrackedEnsemble(Path(folder), TrackingSettings.model_validate(dict(settings)))
    with _warned(folder):
        if run is None:
            log_ensemble(ensemble, again=again)
        else:
            log_merge(ensemble, run, again=again)
            if batches:
                log_batches(ensemble, run, again=again)
    if path is not None:
        write_text(path, "")


@contextlib.contextmanager
def _warned(folder: str | Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        expected = isinstance(error, InputError)
        reason = error if expected else f"{type(error).__name__}: {error}"
        log.warning(
            "not logged to W&B: %s; to retry: spdclust wandb-sync %s", reason, folder, exc_info=not expected
        )


def sync_ensemble(
    folder: str | Path,
    *,
    project: str | None = None,
    entity: str | None = None,
    run: int | None = None,
    again: bool = False,
) -> list[Note]:
    """Log everything of an ensemble that was not logged before, and upload pending offline records.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> notes = sync_ensemble(write_example_ensemble(folder).folder, project="mine", run=0)
        >>> [(note.run_id.rpartition("-")[0], note.complete) for note in notes]
        [('example-example-run_0', False), ('example-run_0-batches', False)]

    Returns:
        The record of every W&B run of the ensemble.

    Raises:
        InputError: no such ensemble or run, or no project is given.
    """
    ensemble = TrackedEnsemble(Path(folder))
    runs = list(map(run_number, find_histories(ensemble.folder)))
    if run is not None and run not in runs:
        raise InputError("no such run", file=folder, field="--run", found=run, allowed=f"one of {runs}")
    settings = _settings(ensemble, project, entity).model_dump(mode="json")
    runs = runs if run is None else [run]
    paths = [ensemble.note(f"run_{each}") for each in runs] + [ensemble.batches_note(each) for each in runs]
    for each in runs:
        track(folder, settings, each, again=again)
    if run is None:
        track(folder, settings, again=again)
        paths += [ensemble.note("distances"), ensemble.note("report")]
    notes = [note for path in paths if (note := Note.load(path)) is not None]
    waiting = [note.folder for note in notes if note.waiting]
    if waiting and os.environ.get("WANDB_MODE") not in ("offline", "dryrun", "disabled"):
        # the client reports what it does; without standard input it cannot prompt for a login
        command = [sys.executable, "-P", "-m", "wandb", "sync", *waiting]
        subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
    return notes


def _settings(ensemble: TrackedEnsemble, project: str | None, entity: str | None) -> TrackingSettings:
    """Return where to log an ensemble of any age, and how often."""
    run, pipeline = ensemble.run_config(), ensemble.pipeline_config()
    settings = run | {key: value for key, value in pipeline.items() if value}
    project = project or settings.get("wandb_project")
    if not project and settings.get("wandb_enabled"):
        project = DEFAULT_PROJECT
    if not project:
        raise InputError(
            "no W&B project",
            file=ensemble.folder,
            field="--project",
            allowed="--project, or wandb_project in the pipeline or run file",
        )
    intervals = LoggingIntervals.model_validate(run.get("logging_intervals") or {})
    return TrackingSettings(
        project=project, entity=entity or settings.get("wandb_entity"), intervals=intervals
    )
