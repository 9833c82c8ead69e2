"""Stages: histories and results -> what is recorded of an ensemble: labels, registry entries, summary."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spdclust.core.atomic import write_text
from spdclust.core.errors import InputError
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
from spdclust.files.stability import load_stability_record
from spdclust.files.summaries import save_summary
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
        >>> meta, array = Path(folder) / "meta.json", Path(folder) / "merge_array.npz"
        >>> normalize([place.history(run) for run in range(3)], meta=meta, merge_array=array)
        >>> with np.load(array) as stored:
        ...     stored["merge_array"].shape
        (3, 11, 12)

    Raises:
        InputError: a history cannot be read, the runs do not fit together, or a file cannot be written.
    """
    ensemble = load_merge_histories(histories)
    try:
        normalized = normalize_ensemble(ensemble)
    except InputError as error:
        raise error.located(file=common_folder(histories)) from error
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
    histories: Sequence[str | Path],
    settings: Mapping[str, Any],
    *,
    path: str | Path,
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
        >>> runs, path = [place.history(0), place.history(1)], Path(folder) / "summary.json"
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
