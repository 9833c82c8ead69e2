"""The W&B runs of a whole ensemble: its distances, and a report of what its members have in common."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.config.tracking import TrackingSettings
from spdclust.core.errors import InputError
from spdclust.files.archive import digest_of, digest_of_file
from spdclust.files.ensemble_folder import GROUPS, MERGE_ARRAY, META, SUMMARY
from spdclust.files.ensembles import load_distance_rows
from spdclust.files.groups import groups_record, load_groups
from spdclust.files.histories import find_histories, load_merge_histories
from spdclust.files.records import SummaryRecord, read_record
from spdclust.files.stability_reading import load_stability_iterations
from spdclust.groups.found import COLUMNS
from spdclust.merge.history import MergeHistory
from spdclust.stability.names import STABILITY_FILES
from spdclust.tracking.client import open_tracker
from spdclust.tracking.matrices import describe_values
from spdclust.tracking.naming import describe_run, ensemble_id
from spdclust.tracking.notes import already_logged, close, next_id, target_of
from spdclust.tracking.places import EnsemblePlace
from spdclust.tracking.tracker import Tracker

log = logging.getLogger(__name__)


def log_ensemble(place: EnsemblePlace, settings: TrackingSettings, *, again: bool = False) -> None:
    """Log what the folder of an ensemble holds, as two W&B runs: `distances` and `report`.

    Example:
        >>> import os, tempfile
        >>> from unittest.mock import patch
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> from spdclust.tracking.notes import load_note
        >>> with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, WANDB_MODE="disabled"):
        ...     place = EnsemblePlace(write_example_ensemble(folder).folder)
        ...     log_ensemble(place, TrackingSettings(project="mine"))
        ...     [load_note(place.note(name)).run_id.rpartition("-")[0] for name in ("distances", "report")]
        ['example-example-distances', 'example-example-report']

    Args:
        place: the ensemble.
        settings: where records go.
        again: log it all the same, where it was logged before.

    Raises:
        InputError: a history cannot be read.
    """
    histories = find_histories(place.folder)
    distances = dict(sorted(place.distances().items()))
    made_of = [digest_of_file(path) for path in histories]
    members = list(load_merge_histories(histories))
    if distances:
        rows = distance_statistics(distances)
        with _Run(place, settings, "distances", made_of, list(distances.values()), again) as tracker:
            if tracker is not None:
                _log_rows(tracker, 1, rows)
                _log_figures(tracker, place, "distances_")
                _save_distances(tracker, place, distances)
    else:
        rows = {}
    found = [
        *distances.values(),
        *(place.folder / name for name in (SUMMARY, STABILITY_FILES["record"], GROUPS["record"])),
    ]
    with _Run(
        place, settings, "report", made_of, [path for path in found if path.is_file()], again
    ) as tracker:
        if tracker is None:
            return
        stability = _stability_rows(place)
        _log_rows(tracker, settings.intervals.stat, member_rows(members), rows, stability)
        _log_figures(tracker, place, "")
        last = max(history.n_iterations for history in members) - 1
        tracker.log({"iteration": last, **member_distribution(members)})
        _save_normalized(tracker, place)
        _save_distances(tracker, place, distances)
        log_groups(tracker, place)
        tracker.summarize(_summary(place, members))


class _Run:
    """The W&B run of one job type, None where it was logged before."""

    def __init__(
        self,
        place: EnsemblePlace,
        settings: TrackingSettings,
        job_type: str,
        made_of: list[str],
        files: list[Path],
        again: bool,
    ) -> None:
        self._place, self._settings, self._job_type = place, settings, job_type
        self._note = place.note(job_type)
        self._source = digest_of([made_of, [digest_of_file(path) for path in files]])[:16]
        self._target = target_of(settings)
        self._again = again
        self._made_of = made_of
        self._tracker: Tracker | None = None

    def __enter__(self) -> Tracker | None:
        if already_logged(self._note, self._source, self._target, again=self._again):
            return None
        wanted = ensemble_id(self._place.name, self._job_type, self._made_of)
        self._run_id, self._times = next_id(self._note, wanted, again=self._again)
        described = describe_run(
            self._settings,
            run_id=self._run_id,
            ensemble=self._place.name,
            job_type=self._job_type,
            run_config=self._place.run_config(),
            pipeline_config=self._place.pipeline_config(),
            more={"histories": self._made_of},
        )
        self._tracker = open_tracker(described)
        return self._tracker

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if self._tracker is None:
            return
        if error is None:
            close(self._tracker, self._note, self._run_id, self._source, self._target, self._times)
        else:
            self._tracker.finish()


def distance_statistics(distances: Mapping[str, Path]) -> dict[int, dict[str, float]]:
    """Return the distances between runs by iteration: mean, least, greatest and quartiles of each method.

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
            q25, median, q75 = np.quantile(between, [0.25, 0.5, 0.75]).tolist()
            told = {"mean": float(between.mean()), "min": float(between.min()), "max": float(between.max())}
            told |= {"q25": q25, "median": median, "q75": q75}
            rows.setdefault(iteration, {}).update(
                {f"distances/{method}/{name}": v for name, v in told.items()}
            )
    return rows


def member_rows(members: list[MergeHistory]) -> dict[int, dict[str, float]]:
    """Return the curves of all members by iteration: mean, least and greatest of those that got so far.

    Example:
        >>> from spdclust.config.merge import MergeConfig
        >>> history = MergeHistory(
        ...     ["a:0", "a:1"], np.array([[0, 1]]), np.array([2.5]), np.array([-1.0]), MergeConfig()
        ... )
        >>> member_rows([history, history])[0]["members/mdl_loss/mean"]
        2.5
    """
    rows: dict[int, dict[str, float]] = {}
    for iteration in range(max(history.n_iterations for history in members)):
        there = [history for history in members if history.n_iterations > iteration]
        row: dict[str, float] = {"members/count": float(len(there))}
        for name in ("mdl_loss", "merge_pair_cost", "k_groups"):
            values = np.array([getattr(history, name)[iteration] for history in there], dtype=np.float64)
            if not np.isnan(values).all():
                told = {"mean": np.nanmean(values), "min": np.nanmin(values), "max": np.nanmax(values)}
                row |= {f"members/{name}/{figure}": float(value) for figure, value in told.items()}
        rows[iteration] = row
    return rows


def member_distribution(members: list[MergeHistory]) -> dict[str, Any]:
    """Return how the ends and the best moments of the members are distributed, histograms included.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> told = member_distribution([example_history(0), example_history(1)])
        >>> told["members/k_groups_at_least_mdl/mean"], told["members/k_groups_at_least_mdl/std"]
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


def _stability_rows(place: EnsemblePlace) -> dict[int, dict[str, float]]:
    file = place.folder / STABILITY_FILES["iterations"]
    if not file.is_file():
        return {}
    try:
        table = load_stability_iterations(file)
    except InputError as error:
        log.warning("%s; stability is left out", error)
        return {}
    iterations = table.pop("iteration", np.arange(0)).astype(np.int64).tolist()
    # quantiles of the distances are left to the file
    kept = {
        name: column for name, column in table.items() if "." not in name or name.endswith(("mean", "_pairs"))
    }
    return {
        iteration: {
            f"stability/{name.replace('.', '/')}": float(column[place_in])
            for name, column in kept.items()
            if not np.isnan(column[place_in])
        }
        for place_in, iteration in enumerate(iterations)
    }


def log_groups(tracker: Tracker, place: EnsemblePlace) -> None:
    """Log the groups that hold, numbered as in their files: a table `groups`, and an artifact with the files.

    Example:
        >>> import tempfile
        >>> from spdclust.example_ensemble import example_found
        >>> from spdclust.files.groups import save_groups
        >>> from spdclust.tracking.tracker import NoTracker
        >>> class Printing(NoTracker):
        ...     def log(self, values):
        ...         print(values["groups"]["columns"][:3], values["groups"]["rows"][0][:3])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_groups(example_found(), folder, ensemble="a/b")
        ...     log_groups(Printing(), EnsemblePlace(Path(folder)))
        ['group', 'size', 'bits_saved'] [0, 3, 0.5]

    Args:
        tracker: where they go.
        place: the ensemble; nothing is logged where it has no groups, or they cannot be read.
    """
    files = {name: path for name in GROUPS.values() if (path := place.folder / name).is_file()}
    if GROUPS["record"] not in files:
        return
    try:
        record = groups_record(load_groups(files[GROUPS["record"]]))
    except InputError as error:
        log.warning("%s; the groups are left out", error)
        return
    columns = ["group", *COLUMNS]
    rows = [[*(group[name] for name in columns), " ".join(group["members"])] for group in record["groups"]]
    tracker.log({"groups": {"columns": [*columns, "members"], "rows": rows}})
    tracker.artifact(f"{_name(place)}-groups", "groups", files, {"ensemble": place.name})


def _merged(*parts: Mapping[int, Mapping[str, float]]) -> Iterator[tuple[int, dict[str, float]]]:
    for iteration in sorted(set().union(*parts)):
        row: dict[str, float] = {}
        for part in parts:
            row |= part.get(iteration, {})
        yield iteration, row


def _log_rows(tracker: Tracker, stride: int, *parts: Mapping[int, Mapping[str, float]]) -> None:
    for iteration, row in _merged(*parts):
        if iteration % stride == 0:
            tracker.log({"iteration": iteration, **row})


def _log_figures(tracker: Tracker, place: EnsemblePlace, prefix: str) -> None:
    pictures = sorted((place.folder / "plots").glob(f"{prefix}*.png"))
    if pictures:
        tracker.log({f"figures/{path.stem}": path for path in pictures})


def _save_distances(tracker: Tracker, place: EnsemblePlace, distances: Mapping[str, Path]) -> None:
    if distances:
        files = {path.name: path for path in distances.values()}
        tracker.artifact(
            f"{_name(place)}-distances",
            "distances",
            files,
            {"ensemble": place.name, "methods": list(distances)},
        )


def _save_normalized(tracker: Tracker, place: EnsemblePlace) -> None:
    files = {name: place.folder / name for name in (MERGE_ARRAY, META) if (place.folder / name).is_file()}
    if files:
        tracker.artifact(f"{_name(place)}-normalized", "ensemble", files, {"ensemble": place.name})
    files = {name: place.folder / name for name in STABILITY_FILES.values()}
    files = {name: path for name, path in files.items() if path.is_file()}
    files |= {path.name: path for path in sorted(place.folder.glob("cluster_mapping_*.json"))}
    if files:
        tracker.artifact(f"{_name(place)}-stability", "stability", files, {"ensemble": place.name})


def _summary(place: EnsemblePlace, members: list[MergeHistory]) -> dict[str, Any]:
    told: dict[str, Any] = {"n_runs": len(members)}
    file = place.folder / SUMMARY
    if file.is_file():
        try:
            told |= read_record(SummaryRecord, file, SUMMARY)
        except InputError as error:
            log.warning("%s; the summary is left out", error)
    return told


def _name(place: EnsemblePlace) -> str:
    return place.name.replace("/", "-").replace("~", "_").replace("+", "_")
