"""Stage: histories and settings -> the registry entries of an ensemble and its runs."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spdclust.core.atomic import write_text
from spdclust.core.version import __version__
from spdclust.files.archive import digest_of
from spdclust.files.histories import load_merge_history


def register(
    histories: Sequence[str | Path],
    settings: Mapping[str, Any],
    *,
    path: str | Path,
) -> dict[str, Any]:
    """Write `registered.json`: the rows of one ensemble and its runs, for `stages.registry`.

    Example:
        >>> import tempfile
        >>> from spdclust.config.load import load_config
        >>> from spdclust.config.pipeline import ensemble_identity
        >>> from spdclust.config.run import ClusteringRunConfig
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     place = write_example_ensemble(folder)
        ...     config = load_config(ClusteringRunConfig, place.folder / "clustering_run_config.json")
        ...     settings = ensemble_identity(place.name, config, base_seed=0)
        ...     runs = [place.history(0), place.history(1)]
        ...     record = register(runs, settings, path=f"{folder}/registered.json")
        >>> record["ensemble"], [(run["merge_seed"], run["n_merges"]) for run in record["runs"]]
        ('example/example', [('[0, 0]', 11), ('[0, 1]', 11)])

    Args:
        histories: the ensemble's histories, in the order of its runs.
        settings: `Ensemble.identity()`.
        path: output path.

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
