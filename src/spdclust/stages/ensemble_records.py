"""Stages: results -> records: of an ensemble its labels, registry entries, summary; of a sweep its points."""

import hashlib
import itertools
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spdclust.core.atomic import write_text
from spdclust.core.errors import in_file
from spdclust.core.provenance import check_one_model
from spdclust.core.version import __version__
from spdclust.files.archive import digest_of
from spdclust.files.ensemble_folder import common_folder
from spdclust.files.ensembles import (
    ensemble_record,
    load_distance_rows,
    save_ensemble_meta,
    save_merge_array,
    shared_values,
)
from spdclust.files.groups import load_groups
from spdclust.files.histories import load_merge_histories, load_merge_history
from spdclust.files.stability import load_stability_record, save_sweep
from spdclust.files.summaries import save_summary, sweep_lines
from spdclust.partitions.ensemble import normalize_ensemble
from spdclust.stability.summary import summarize

log = logging.getLogger(__name__)


def normalize(histories: Sequence[str | Path], *, meta: str | Path, merge_array: str | Path) -> None:
    """Write `ensemble_meta.json` and `ensemble_merge_array.npz`.

    Example:
        >>> import json
        >>> import numpy as np
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> place = write_example_ensemble(folder, n_runs=3)
        >>> meta, array = folder / "meta.json", folder / "merge_array.npz"
        >>> normalize([place.history(run) for run in range(3)], meta=meta, merge_array=array)
        >>> with np.load(array) as stored:
        ...     stored["merge_array"].shape
        (3, 11, 12)

    Raises:
        InputError: a history cannot be read, the runs do not fit together, or a file cannot be written.
    """
    ensemble = load_merge_histories(histories)
    with in_file(common_folder(histories)):
        normalized = normalize_ensemble(ensemble)
    log.info(
        "%d runs, %d components, %d iterations",
        normalized.n_runs, normalized.n_components, normalized.n_iterations,
    )  # fmt: skip
    provenances = [history.provenance for history in ensemble]
    common = shared_values(provenances)
    own = {
        name: {key: value for key, value in provenance.items() if key not in common}
        for name, provenance in zip(normalized.run_names, provenances, strict=True)
    }
    save_ensemble_meta(normalized, meta, common | ensemble_record(histories) | {"runs": own})
    if not save_merge_array(normalized, merge_array):
        log.warning(
            "the array of all assignments is too large and was left out of %s; written by: "
            "spdclust merge-array %s",
            merge_array, Path(merge_array).parent,
        )  # fmt: skip


def register(
    histories: Sequence[str | Path], settings: Mapping[str, Any], *, path: str | Path
) -> dict[str, Any]:
    """Write `registered.json`: the rows of one ensemble and its runs, for `stages.results`.

    Example:
        >>> from spdclust.config.load import load_config
        >>> from spdclust.config.pipeline import ensemble_identity
        >>> from spdclust.config.run import ClusteringRunConfig
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> place = write_example_ensemble(folder)
        >>> config = load_config(ClusteringRunConfig, place.folder / "clustering_run_config.json")
        >>> settings = ensemble_identity(place.name, config, base_seed=0)
        >>> runs = [place.history(0), place.history(1)]
        >>> record = register(runs, settings, path=f"{folder}/registered.json")
        >>> record["ensemble"], [(run["merge_seed"], run["n_merges"]) for run in record["runs"]]
        ('example/example', [('[0, 0]', 11), ('[0, 1]', 11)])

    Raises:
        InputError: a history cannot be read, or the file cannot be written.
    """
    ensemble, sampling = str(settings["ensemble"]), dict(settings["sampling"])
    base_seed, dataset_seed = int(settings["base_seed"]), int(sampling["dataset_seed"])
    made_with = {"sampling": sampling, "merge_config": dict(settings["merge_config"]), "base_seed": base_seed}
    runs: list[dict[str, Any]] = []
    states: list[dict[str, Any]] = []
    for run, history_path in enumerate(histories):
        history = load_merge_history(history_path)
        # user-supplied activations have no seeds
        n_drawn = len(history.provenance.get("batches", [])) if sampling.get("model_path") else 0
        states.append(history.provenance.get("git", {}))
        runs.append(
            {
                "run": run,
                "history": f"{ensemble}/runs/{Path(history_path).parent.name}/{Path(history_path).name}",
                "digest": hashlib.sha256(Path(history_path).read_bytes()).hexdigest(),
                "n_components": history.n_components,
                "n_merges": history.n_iterations,
                "merge_seed": json.dumps([base_seed, run]),
                "batch_seeds": json.dumps([dataset_seed + 1000 * run + b for b in range(n_drawn)]),
                "package_version": history.provenance.get("spdclust"),
            }
        )
    # the commit at the time of the merges, not the current one
    commits = list(dict.fromkeys(state["commit"] for state in states if state))
    record = {
        "ensemble": ensemble,
        "n_runs": len(runs),
        "configuration": digest_of(made_with)[:16],
        "model": sampling.get("model_path"),
        "base_seed": base_seed,
        "dataset_seed": dataset_seed,
        "package_version": __version__,
        "git_commit": ", ".join(commits) or None,
        "git_dirty": int(any(state.get("dirty") for state in states)) if commits else None,
        "runs": runs,
    }
    write_text(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return record


def summarize_ensemble(
    histories: Sequence[str | Path],
    distances: Mapping[str, str | Path],
    stability: str | Path,
    groups: str | Path,
    *,
    path: str | Path,
) -> None:
    """Write `summary.json`.

    Example:
        >>> import json
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> place = write_example_ensemble(folder)
        >>> runs, path = [place.history(0), place.history(1)], folder / "summary.json"
        >>> found = place.folder / "stability.json", place.folder / "groups.json"
        >>> summarize_ensemble(runs, place.distances(), *found, path=path)
        >>> summary = json.loads(path.read_text())
        >>> summary["n_components"], summary["n_groups_at_least_mdl"]
        ([12, 12], [4, 4])

    Raises:
        InputError: a file cannot be read or written.
    """
    rows = {method: load_distance_rows(file) for method, file in distances.items()}
    summary = summarize(
        load_merge_histories(histories),
        {method: between for method, (_, between) in rows.items()},
        iterations=next(iter(rows.values()))[0] if rows else None,
        stability=load_stability_record(stability),
        groups=load_groups(groups),
    )
    save_summary(summary, path)


_ONE_MODEL = "ensembles of one model; spdclust match compares the groups of two models"


class PointFiles(NamedTuple):
    """The files of a point of a sweep.

    Attributes:
        name: name of the point in tables and figures.
        values: the swept settings and their values.
        histories: its ensemble's folder, or its histories.
        stability: its `stability.json`.
        groups: its `groups.json`; None if there is none.
    """

    name: str
    values: Mapping[str, Any]
    histories: str | Path | Sequence[str | Path]
    stability: str | Path
    groups: str | Path | None = None


def compare_points(points: Sequence[PointFiles | tuple[Any, ...]], folder: str | Path) -> dict[str, Any]:
    """Write `sweep.json` and its tables; return the contents.

    Example:
        >>> from spdclust.example_ensemble import MERGE, write_example_ensemble
        >>> points = []
        >>> for alpha in (0.3, 1.0):
        ...     config = MERGE.model_copy(update={"alpha": alpha})
        ...     place = write_example_ensemble(f"{folder}/{alpha}", config=config).folder
        ...     values = {"merge_config.alpha": alpha}
        ...     points.append(PointFiles(f"alpha~{alpha:g}", values, place, place / "stability.json"))
        >>> record = compare_points(points, folder)
        >>> for point in record["points"]:
        ...     point["name"], point["n_groups_mean"], point["n_consensus_groups"]
        ('alpha~0.3', 2.0, 4)
        ('alpha~1', 4.0, 4)

    Raises:
        InputError: a file cannot be read or written, the points are of different models, or they cannot be
            compared.
    """
    # slow to import, and not needed for the other records
    from spdclust.stability.sweeps import compare_points as compare
    from spdclust.stability.sweeps import sweep_point

    cut, records = [], []
    for point in itertools.starmap(PointFiles, points):
        with in_file(common_folder(point.histories)):
            ensemble = load_merge_histories(point.histories)
            records += [(point.name, history.provenance) for history in ensemble]
            check_one_model(records, subject="ensembles", allowed_text=_ONE_MODEL)
            cut.append(
                sweep_point(
                    point.name,
                    point.values,
                    normalize_ensemble(ensemble),
                    load_stability_record(point.stability),
                    None if point.groups is None else load_groups(point.groups),
                )
            )
    record = compare(cut)
    save_sweep(record, folder)
    log.info("%s", "\n".join(sweep_lines(record)))
    return record
