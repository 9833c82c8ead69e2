"""Stage: histories and results of an ensemble -> Weights & Biases; failures are warnings."""

import contextlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spdclust.config.tracking import TrackingSettings
from spdclust.core.atomic import write_text
from spdclust.core.errors import InputError
from spdclust.files.ensemble_folder import find_histories, run_number
from spdclust.files.merge_progress import ProgressRecorder
from spdclust.tracking.members import Member, log_batches, log_member
from spdclust.tracking.runs import Note, TrackedEnsemble, send

log = logging.getLogger("spdclust.tracking.stage")


def member_of(
    folder: str | Path,
    run: int,
    settings: TrackingSettings,
    run_config: Mapping[str, Any] | None = None,
    pipeline_config: Mapping[str, Any] | None = None,
) -> Member:
    """Return the record of one run, from which its merge is logged.

    Example:
        >>> config = {"merge_config": {"alpha": 1.0}}
        >>> settings = TrackingSettings(project="mine")
        >>> member = member_of("results/resid_mlp1/demo", 3, settings, run_config=config, pipeline_config={})
        >>> member.ensemble.name, member.note.name
        ('resid_mlp1/demo', 'run_3.json')

    Args:
        folder: folder of the ensemble.
        run: number of the run.
        settings: where and how often to log.
        run_config: the run's settings, resolved; None to read them from the ensemble's folder.
        pipeline_config: the pipeline's settings, resolved; None to read them from the ensemble's folder.

    Raises:
        InputError: settings in the folder cannot be read.
    """
    ensemble = TrackedEnsemble(Path(folder))
    return Member(
        ensemble,
        run,
        settings,
        run_config=ensemble.run_config() if run_config is None else run_config,
        pipeline_config=ensemble.pipeline_config() if pipeline_config is None else pipeline_config,
    )


def follow_merge(
    history: str | Path, config: Mapping[str, Any] | None, *, keep_batches: bool = True
) -> ProgressRecorder:
    """Return callbacks for the merge of one run that record its progress and log it to W&B.

    Example:
        >>> import tempfile
        >>> from spdclust.example_ensemble import MERGE, write_example_ensemble
        >>> from spdclust.files.merge_progress import load_progress
        >>> from spdclust.stages.merge import merge
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     place = TrackedEnsemble(write_example_ensemble(folder).folder)
        ...     history, batches = place.history(0), [place.batches(0) / "batch_0.pt"]
        ...     observer = follow_merge(history, None)
        ...     metrics = history.with_name("metrics.csv")
        ...     merge(batches, MERGE.resolved(), (0, 0), history=history, metrics=metrics, observer=observer)
        ...     progress = load_progress(place.progress(0))
        >>> progress.n_done, progress.n_merges
        (11, 11)

    Args:
        history: the `history.zip` that will be written, `<results>/<run_config>/<ensemble>/runs/run_<r>/…`.
        config: configuration of the workflow; None if the merge is not logged.
        keep_batches: whether the batches are still available after the merge; otherwise everything that
            needs them is logged by the merge's process.
    """
    path = Path(history)
    folder, run = path.parents[2], run_number(path)
    if config is not None:
        with _warned(folder):
            # imported only if the merge is tracked
            from spdclust.config.load import validate
            from spdclust.config.resolve import WorkflowConfig, resolve_workflow
            from spdclust.tracking.callback import MergeCallback

            name = TrackedEnsemble(folder).name
            ensembles = resolve_workflow(validate(WorkflowConfig, config, file="configuration"))
            (ensemble,) = (each for each in ensembles if each.folder == name)
            assert ensemble.tracking is not None
            settings = ensemble.resolved_run(), ensemble.resolved_pipeline()
            member = member_of(folder, run, ensemble.tracking, *settings)
            return MergeCallback(member, keep_batches=keep_batches)
    return ProgressRecorder(TrackedEnsemble(folder).progress(run))


def track_run(
    folder: str | Path,
    run: int,
    settings: Mapping[str, Any],
    *,
    batches: bool = True,
    again: bool = False,
    path: str | Path | None = None,
) -> None:
    """Log the activations and the merge of one run, unless already logged.

    Example:
        >>> import os, tempfile
        >>> from unittest.mock import patch
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, WANDB_MODE="disabled"):
        ...     place = TrackedEnsemble(write_example_ensemble(folder).folder)
        ...     track_run(place.folder, 0, {"project": "mine"}, path=f"{folder}/tracked")
        ...     Path(folder, "tracked").is_file(), place.note("run_0").is_file()
        (True, True)

    Args:
        folder: folder of the ensemble.
        run: number of the run.
        settings: `TrackingSettings`, as plain JSON types.
        batches: whether to log the activations too.
        again: log everything again, as new W&B runs.
        path: file written at the end, even if logging failed.
    """
    chosen = TrackingSettings.model_validate(dict(settings))
    with _warned(folder):
        member = member_of(folder, run, chosen)
        log_member(member, again=again)
        if batches:
            log_batches(member, again=again)
    if path is not None:
        write_text(path, "")


def track_ensemble(
    folder: str | Path, settings: Mapping[str, Any], *, again: bool = False, path: str | Path | None = None
) -> None:
    """Log distances, stability and figures of an ensemble, unless already logged.

    Example:
        >>> import os, tempfile
        >>> from unittest.mock import patch
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, WANDB_MODE="disabled"):
        ...     place = TrackedEnsemble(write_example_ensemble(folder).folder)
        ...     track_ensemble(place.folder, {"project": "mine"})
        ...     [place.note(name).is_file() for name in ("distances", "report")]
        [True, True]

    Args:
        folder: folder of the ensemble.
        settings: `TrackingSettings`, as plain JSON types.
        again: log everything again, as new W&B runs.
        path: file written at the end, even if logging failed.
    """
    from spdclust.tracking.ensembles import log_ensemble

    chosen = TrackingSettings.model_validate(dict(settings))
    with _warned(folder):
        log_ensemble(TrackedEnsemble(Path(folder)), chosen, again=again)
    if path is not None:
        write_text(path, "")


@contextlib.contextmanager
def _warned(folder: str | Path) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        log.warning("not logged to W&B: %s; to retry: spdclust wandb-sync %s", error, folder)
    except Exception as error:
        log.warning(
            "not logged to W&B (%s: %s); to retry: spdclust wandb-sync %s",
            type(error).__name__, error, folder, exc_info=True,
        )  # fmt: skip


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
        >>> import os, tempfile
        >>> from unittest.mock import patch
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, WANDB_MODE="disabled"):
        ...     notes = sync_ensemble(write_example_ensemble(folder).folder, project="mine", run=0)
        >>> [(note.run_id.rpartition("-")[0], note.complete) for note in notes]
        [('example-example-run_0', False), ('example-run_0-batches', False)]

    Args:
        folder: folder of the ensemble.
        project: W&B project, instead of the configured one.
        entity: W&B user or team, instead of the configured one.
        run: only this run.
        again: log everything again, as new W&B runs.

    Returns:
        The record of every W&B run of the ensemble.

    Raises:
        InputError: no such ensemble or run, or no project is given.
    """
    place = TrackedEnsemble(Path(folder))
    runs = list(map(run_number, find_histories(place.folder)))
    if run is not None and run not in runs:
        raise InputError("no such run", file=folder, field="--run", found=run, allowed=f"one of {runs}")
    settings = place.settings(project, entity)
    chosen = settings.model_dump(mode="json")
    for each in runs if run is None else [run]:
        track_run(folder, each, chosen, again=again)
    if run is None:
        track_ensemble(folder, chosen, again=again)
    paths = [place.note(f"run_{each}") for each in (runs if run is None else [run])]
    paths += [place.batches_note(each) for each in runs if run in (None, each)]
    paths += [place.note("distances"), place.note("report")] if run is None else []
    return [note for path in paths if (note := send(path)) is not None]
