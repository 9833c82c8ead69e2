"""Log everything of an ensemble except its merges: activations, distances, a report on all runs."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.core.errors import InputError
from spdclust.files.activation_batch import ActivationBatch
from spdclust.files.archive import digest_of, digest_of_file
from spdclust.files.batches import BatchedActivations
from spdclust.files.ensemble_folder import GROUPS, MERGE_ARRAY, META, STABILITY_FILES, SUMMARY, find_histories
from spdclust.files.ensembles import load_distance_rows
from spdclust.files.groups import groups_record, load_groups
from spdclust.files.histories import load_merge_histories
from spdclust.files.records import SummaryRecord, read_record
from spdclust.files.stability import load_stability_iterations
from spdclust.groups.found import COLUMNS
from spdclust.merge.history import MergeHistory
from spdclust.tracking.client import Tracker
from spdclust.tracking.records import describe_values, row
from spdclust.tracking.runs import Note, TrackedEnsemble, log_once

log = logging.getLogger(__name__)

Columns = tuple[np.ndarray, Mapping[str, np.ndarray]]
"""Iterations, and values of each of them by name."""


def log_batches(ensemble: TrackedEnsemble, run: int, *, again: bool = False) -> None:
    """Log the activations of one run, once for all ensembles that share them.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> ensemble = TrackedEnsemble(write_example_ensemble(folder).folder)
        >>> log_batches(ensemble, 0)
        >>> Note.load(ensemble.batches_note(0)).run_id.rpartition("-")[0]
        'example-run_0-batches'
    """
    path = ensemble.batches_note(run)
    try:
        batches = BatchedActivations(ensemble.batches(run))
        first, digests = batches.get_next_batch(), batches.digests
    except InputError as error:
        before = Note.load(path)
        if before is None or not before.complete:  # the merge logs temporary batches itself
            log.warning("%s; the activations are not logged", error)
        return
    digest, task = digest_of(["batches", digests]), first.provenance.get("task")
    described = ensemble.describe("batches", f"run_{run}-batches", digest, run=run, task=task)

    def write(tracker: Tracker, _: Note) -> None:
        from spdclust.plotting.activations import activation_figures  # slow to import and not always needed

        threshold = described["config"]["merge_config"]["activation_threshold"]
        figures = activation_figures(first, activation_threshold=threshold)
        pictures = {f"activations/{name}": figure for name, figure in figures.items()}
        tracker.log({"batch": 0, **_activation_record(first), **pictures})
        tracker.summarize({"n_batches": batches.n_batches, "batch_digests": digests})

    log_once(described, path, digest_of(digests)[:16], write, again=again)


def _activation_record(batch: ActivationBatch) -> dict[str, Any]:
    """Return statistics of a batch by name: of the stored values, and of the components."""
    matrix = batch.matrix
    times = np.bincount(matrix.indices, minlength=batch.n_components)
    return {
        **describe_values("activations/value", matrix.data),
        **describe_values("activations/component_maximum", batch.maxima),
        **describe_values("activations/component_mean", batch.means),
        **describe_values("activations/component_frequency", times / max(batch.n_samples, 1)),
        **describe_values("activations/active_per_sample", np.diff(matrix.indptr)),
        "activations/n_samples": batch.n_samples,
        "activations/n_components": batch.n_components,
        "activations/nonzero_share": matrix.nnz / max(batch.n_samples * batch.n_components, 1),
        "activations/never_active": int((times == 0).sum()),
    }


def log_ensemble(ensemble: TrackedEnsemble, *, again: bool = False) -> None:
    """Log the results in the folder of an ensemble, as two W&B runs: `distances` and `report`.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> ensemble = TrackedEnsemble(write_example_ensemble(folder).folder)
        >>> log_ensemble(ensemble)
        >>> [Note.load(ensemble.note(name)).run_id.rpartition("-")[0] for name in ("distances", "report")]
        ['example-example-distances', 'example-example-report']

    Raises:
        InputError: a history cannot be read.
    """
    folder, paths = ensemble.folder, find_histories(ensemble.folder)
    made_of = [digest_of_file(path) for path in paths]
    distances = dict(sorted(ensemble.distances().items()))
    between = _distance_statistics(distances)

    def log_as(job_type: str, files: Iterable[Path], write: Callable[[Tracker, Note], None]) -> None:
        digest = digest_of([job_type, made_of])
        source = digest_of([made_of, [digest_of_file(path) for path in files if path.is_file()]])[:16]
        described = ensemble.describe(job_type, job_type, digest, histories=made_of)
        log_once(described, ensemble.note(job_type), source, write, again=again)

    def write_distances(tracker: Tracker, _: Note) -> None:
        _log_columns(tracker, 1, between)
        _log_figures(tracker, folder, "distances_*.png")
        _save(tracker, ensemble, "distances", distances.values(), methods=list(distances))

    def write_report(tracker: Tracker, _: Note) -> None:
        histories = list(load_merge_histories(paths))
        columns = [_member_columns(histories), *between, *_stability_columns(folder)]
        _log_columns(tracker, ensemble.tracking.intervals.stat, columns)
        _log_figures(tracker, folder, "*.png")
        last = max(history.n_iterations for history in histories) - 1
        tracker.log({"iteration": last, **_member_distribution(histories)})
        _save(tracker, ensemble, "normalized", [folder / MERGE_ARRAY, folder / META], kind="ensemble")
        _save(tracker, ensemble, "distances", distances.values(), methods=list(distances))
        stability = [folder / name for name in STABILITY_FILES.values()]
        _save(tracker, ensemble, "stability", [*stability, *sorted(folder.glob("cluster_mapping_*.json"))])
        _log_groups(tracker, ensemble)
        summary = _read(lambda file: read_record(SummaryRecord, file, SUMMARY), folder / SUMMARY)
        tracker.summarize({"n_runs": len(histories), **(summary or {})})

    if distances:
        log_as("distances", distances.values(), write_distances)
    named = [folder / name for name in (SUMMARY, STABILITY_FILES["record"], GROUPS["record"])]
    log_as("report", [*distances.values(), *named], write_report)


def _distance_statistics(distances: Mapping[str, Path]) -> list[Columns]:
    """Return mean, minimum, maximum and quartiles of the distances between runs, for each method."""
    found: list[Columns] = []
    for method, path in distances.items():
        iterations, values = load_distance_rows(path)
        first, second = np.triu_indices(values.shape[1], k=1)
        if len(first):
            between = values[:, first, second]
            quartiles = np.quantile(between, [0, 0.25, 0.5, 0.75, 1], axis=1)
            columns = dict(zip(("min", "q25", "median", "q75", "max"), quartiles, strict=True))
            columns["mean"] = between.mean(axis=1)
            found.append((iterations, {f"distances/{method}/{name}": each for name, each in columns.items()}))
    return found


def _member_columns(members: list[MergeHistory]) -> Columns:
    """Return the curves of all runs: mean, minimum and maximum over the runs that reach an iteration."""
    lengths = np.array([history.n_iterations for history in members])
    iterations = np.arange(lengths.max())
    columns = {"members/count": (iterations[:, None] < lengths).sum(axis=1).astype(np.float64)}
    for name in ("mdl_loss", "merge_pair_cost", "k_groups"):
        table = np.full((len(iterations), len(members)), np.nan)
        for number, history in enumerate(members):
            table[: history.n_iterations, number] = getattr(history, name)
        known = np.ma.masked_invalid(table)
        for statistic in ("mean", "min", "max"):
            columns[f"members/{name}/{statistic}"] = getattr(known, statistic)(axis=1).filled(np.nan)
    return iterations, columns


def _member_distribution(members: list[MergeHistory]) -> dict[str, Any]:
    """Return the distribution over runs of values at the last and the best iteration, with histograms."""
    best = [(history, history.best_iteration()) for history in members if history.has_description_length]
    values: dict[str, list[float]] = {
        "final_k_groups": [history.n_components - history.n_iterations for history in members],
        "final_mdl_loss": [history.mdl_loss[-1] for history in members],
        "least_mdl_loss": [history.mdl_loss[t] for history, t in best],
        "k_groups_at_least_mdl": [history.k_groups[t] for history, t in best],
    }
    described: dict[str, Any] = {}
    for name, column in values.items():
        described |= describe_values(f"members/{name}", np.array(column))
    return described


def _read(reader: Callable[[Path], Any], file: Path) -> Any:
    """Return the contents of a file of results; None if it is missing, or damaged, with a warning."""
    try:
        return reader(file) if file.is_file() else None
    except InputError as error:
        log.warning("%s; what it holds is left out", error)
        return None


def _stability_columns(folder: Path) -> list[Columns]:
    table = _read(load_stability_iterations, folder / STABILITY_FILES["iterations"])
    if table is None:
        return []
    iterations = table.pop("iteration").astype(np.int64)
    table.pop("merges", None)  # the same, one higher
    # quantiles of the distances are left to the file
    columns = {
        f"stability/{name.replace('.', '/')}": column
        for name, column in table.items()
        if "." not in name or name.endswith(("mean", "_pairs"))
    }
    return [(iterations, columns)]


def _log_columns(tracker: Tracker, stride: int, parts: Iterable[Columns]) -> None:
    rows: dict[int, dict[str, Any]] = {}
    for iterations, columns in parts:
        for number, iteration in enumerate(iterations.tolist()):
            if iteration % stride == 0:
                rows.setdefault(iteration, {"iteration": iteration}).update(row(columns, number))
    for iteration in sorted(rows):
        tracker.log(rows[iteration])


def _log_figures(tracker: Tracker, folder: Path, pattern: str) -> None:
    if pictures := sorted((folder / "plots").glob(pattern)):
        tracker.log({f"figures/{path.stem}": path for path in pictures})


def _log_groups(tracker: Tracker, ensemble: TrackedEnsemble) -> None:
    """Log the groups that hold, numbered as in their files: a table `groups`, and the files."""
    files = [ensemble.folder / name for name in GROUPS.values()]
    found = _read(load_groups, files[0])
    if found is None:
        return
    columns = ["group", *COLUMNS]
    rows = [
        [*(group[name] for name in columns), json.dumps(group["members"], ensure_ascii=False)]
        for group in groups_record(found)["groups"]
    ]
    tracker.log({"groups": {"columns": [*columns, "members"], "rows": rows}})
    _save(tracker, ensemble, "groups", files)


def _save(
    tracker: Tracker,
    ensemble: TrackedEnsemble,
    what: str,
    files: Iterable[Path],
    kind: str = "",
    **metadata: Any,
) -> None:
    """Add the existing ones of some files as one artifact."""
    existing = [path for path in files if path.is_file()]
    if existing:
        name = ensemble.name.translate(str.maketrans("/~+", "-__"))
        tracker.artifact(f"{name}-{what}", kind or what, existing, {"ensemble": ensemble.name, **metadata})
