"""The W&B runs of a whole ensemble: its distances, and a report that compares its runs."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.config.tracking import TrackingSettings
from spdclust.core.errors import InputError
from spdclust.files.archive import digest_of, digest_of_file
from spdclust.files.ensemble_folder import GROUPS, MERGE_ARRAY, META, SUMMARY, find_histories
from spdclust.files.ensembles import load_distance_rows
from spdclust.files.groups import groups_record, load_groups
from spdclust.files.histories import load_merge_histories
from spdclust.files.records import SummaryRecord, read_record
from spdclust.files.stability_reading import load_stability_iterations
from spdclust.groups.found import COLUMNS
from spdclust.merge.history import MergeHistory
from spdclust.stability.names import STABILITY_FILES
from spdclust.tracking.client import Tracker
from spdclust.tracking.runs import LoggedRun, TrackedEnsemble, already_logged, describe_run, wandb_id
from spdclust.tracking.samples import describe_values

log = logging.getLogger(__name__)

Rows = Mapping[int, Mapping[str, float]]


def log_ensemble(ensemble: TrackedEnsemble, settings: TrackingSettings, *, again: bool = False) -> None:
    """Log the results in the folder of an ensemble, as two W&B runs: `distances` and `report`.

    Example:
        >>> import os, tempfile
        >>> from unittest.mock import patch
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> from spdclust.tracking.runs import load_note
        >>> with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, WANDB_MODE="disabled"):
        ...     ensemble = TrackedEnsemble(write_example_ensemble(folder).folder)
        ...     log_ensemble(ensemble, TrackingSettings(project="mine"))
        ...     [load_note(ensemble.note(name)).run_id.rpartition("-")[0] for name in ("distances", "report")]
        ['example-example-distances', 'example-example-report']

    Args:
        ensemble: the ensemble to log.
        settings: where and how often to log.
        again: log it even if it was logged before.

    Raises:
        InputError: a history cannot be read.
    """
    histories = find_histories(ensemble.folder)
    distances = dict(sorted(ensemble.distances().items()))
    made_of = [digest_of_file(path) for path in histories]

    def begin(job_type: str, files: list[Path]) -> LoggedRun | None:
        note = ensemble.note(job_type)
        source = digest_of([made_of, [digest_of_file(path) for path in files if path.is_file()]])[:16]
        if already_logged(note, source, settings, again=again):
            return None
        described = describe_run(
            settings,
            run_id=wandb_id(f"{ensemble.name}-{job_type}", digest_of([job_type, made_of])),
            ensemble=ensemble.name,
            job_type=job_type,
            run_config=ensemble.run_config(),
            pipeline_config=ensemble.pipeline_config(),
            more={"histories": made_of},
        )
        return LoggedRun(described, note, source, again=again)

    rows = distance_statistics(distances)
    if distances and (run := begin("distances", list(distances.values()))):
        with run:
            _log_rows(run.tracker, 1, rows)
            _log_figures(run.tracker, ensemble, "distances_")
            _save(run.tracker, ensemble, "distances", list(distances.values()), methods=list(distances))
    named = [ensemble.folder / name for name in (SUMMARY, STABILITY_FILES["record"], GROUPS["record"])]
    if run := begin("report", [*distances.values(), *named]):
        with run:
            members = list(load_merge_histories(histories))
            _log_report(run.tracker, ensemble, settings, members, rows)


def _log_report(
    tracker: Tracker,
    ensemble: TrackedEnsemble,
    settings: TrackingSettings,
    members: list[MergeHistory],
    distances: Rows,
) -> None:
    folder = ensemble.folder
    _log_rows(tracker, settings.intervals.stat, _member_rows(members), distances, _stability_rows(ensemble))
    _log_figures(tracker, ensemble, "")
    last = max(history.n_iterations for history in members) - 1
    tracker.log({"iteration": last, **member_distribution(members)})
    _save(tracker, ensemble, "normalized", [folder / MERGE_ARRAY, folder / META], kind="ensemble")
    methods = ensemble.distances()
    _save(
        tracker, ensemble, "distances", [methods[name] for name in sorted(methods)], methods=sorted(methods)
    )
    stability = [folder / name for name in STABILITY_FILES.values()]
    _save(tracker, ensemble, "stability", [*stability, *sorted(folder.glob("cluster_mapping_*.json"))])
    _log_groups(tracker, ensemble)
    summary: dict[str, Any] = {"n_runs": len(members)}
    if (folder / SUMMARY).is_file():
        try:
            summary |= read_record(SummaryRecord, folder / SUMMARY, SUMMARY)
        except InputError as error:
            log.warning("%s; the summary is left out", error)
    tracker.summarize(summary)


def distance_statistics(distances: Mapping[str, Path]) -> dict[int, dict[str, float]]:
    """Return the distances between runs by iteration: mean, minimum, maximum and quartiles of each method.

    Example:
        >>> import tempfile
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     rows = distance_statistics(write_example_ensemble(folder).distances())
        >>> [rows[iteration]["distances/perm_invariant_hamming/mean"] for iteration in (5, 6, 7, 8)]
        [3.0, 1.0, 0.0, 3.0]

    Args:
        distances: `distances_<method>.npz` by method.
    """
    rows: dict[int, dict[str, float]] = {}
    for method, path in distances.items():
        iterations, values = load_distance_rows(path)
        pairs = np.triu_indices(values.shape[1], k=1)
        for iteration, matrix in zip(iterations.tolist(), values, strict=True):
            between = matrix[pairs]
            if not len(between):
                continue
            found = dict(zip(("q25", "median", "q75"), np.quantile(between, [0.25, 0.5, 0.75]), strict=True))
            found |= {"mean": between.mean(), "min": between.min(), "max": between.max()}
            named = {f"distances/{method}/{name}": float(value) for name, value in found.items()}
            rows.setdefault(iteration, {}).update(named)
    return rows


def _member_rows(members: list[MergeHistory]) -> dict[int, dict[str, float]]:
    """Return the curves of all runs by iteration: mean, minimum and maximum over the runs that reach it."""
    rows: dict[int, dict[str, float]] = {}
    for iteration in range(max(history.n_iterations for history in members)):
        there = [history for history in members if history.n_iterations > iteration]
        row: dict[str, float] = {"members/count": float(len(there))}
        for name in ("mdl_loss", "merge_pair_cost", "k_groups"):
            values = np.array([getattr(history, name)[iteration] for history in there], dtype=np.float64)
            if not np.isnan(values).all():
                row[f"members/{name}/mean"] = float(np.nanmean(values))
                row[f"members/{name}/min"] = float(np.nanmin(values))
                row[f"members/{name}/max"] = float(np.nanmax(values))
        rows[iteration] = row
    return rows


def member_distribution(members: list[MergeHistory]) -> dict[str, Any]:
    """Return the distribution over runs of the values at the last and at the best iteration, with histograms.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> found = member_distribution([example_history(0), example_history(1)])
        >>> found["members/k_groups_at_least_mdl/mean"], found["members/k_groups_at_least_mdl/std"]
        (4.0, 0.0)

    Args:
        members: the runs, with at least one merge each.
    """
    best = [(history, history.best_iteration()) for history in members if history.has_description_length]
    values = {
        "final_k_groups": [history.n_components - history.n_iterations for history in members],
        "final_mdl_loss": [history.mdl_loss[-1] for history in members],
        "least_mdl_loss": [history.mdl_loss[t] for history, t in best],
        "k_groups_at_least_mdl": [history.k_groups[t] for history, t in best],
    }
    return {
        f"members/{name}/{figure}": value
        for name, column in values.items()
        for figure, value in describe_values(np.array(column, dtype=np.float64)).items()
    }


def _stability_rows(ensemble: TrackedEnsemble) -> dict[int, dict[str, float]]:
    file = ensemble.folder / STABILITY_FILES["iterations"]
    if not file.is_file():
        return {}
    try:
        table = load_stability_iterations(file)
    except InputError as error:
        log.warning("%s; stability is left out", error)
        return {}
    iterations = table.pop("iteration", np.arange(0)).astype(np.int64).tolist()
    table.pop("merges", None)  # the same, one higher
    # quantiles of the distances are left to the file
    columns = {
        f"stability/{name.replace('.', '/')}": column
        for name, column in table.items()
        if "." not in name or name.endswith(("mean", "_pairs"))
    }
    return {
        iteration: {
            name: float(column[number]) for name, column in columns.items() if not np.isnan(column[number])
        }
        for number, iteration in enumerate(iterations)
    }


def _log_rows(tracker: Tracker, stride: int, *parts: Rows) -> None:
    for iteration in sorted(set().union(*parts)):
        if iteration % stride == 0:
            row: dict[str, Any] = {"iteration": iteration}
            for part in parts:
                row |= part.get(iteration, {})
            tracker.log(row)


def _log_figures(tracker: Tracker, ensemble: TrackedEnsemble, prefix: str) -> None:
    pictures = sorted((ensemble.folder / "plots").glob(f"{prefix}*.png"))
    if pictures:
        tracker.log({f"figures/{path.stem}": path for path in pictures})


def _log_groups(tracker: Tracker, ensemble: TrackedEnsemble) -> None:
    """Log the groups that hold, numbered as in their files: a table `groups`, and the files."""
    files = [ensemble.folder / name for name in GROUPS.values()]
    if not files[0].is_file():
        return
    try:
        record = groups_record(load_groups(files[0]))
    except InputError as error:
        log.warning("%s; the groups are left out", error)
        return
    columns = ["group", *COLUMNS]
    rows = [
        [*(group[name] for name in columns), json.dumps(group["members"], ensure_ascii=False)]
        for group in record["groups"]
    ]
    tracker.log({"groups": {"columns": [*columns, "members"], "rows": rows}})
    _save(tracker, ensemble, "groups", files)


def _save(
    tracker: Tracker, ensemble: TrackedEnsemble, what: str, files: list[Path], kind: str = "", **metadata: Any
) -> None:
    """Add the existing ones of some files as one artifact."""
    there = {path.name: path for path in files if path.is_file()}
    if there:
        name = ensemble.name.replace("/", "-").replace("~", "_").replace("+", "_")
        tracker.artifact(f"{name}-{what}", kind or what, there, {"ensemble": ensemble.name, **metadata})
