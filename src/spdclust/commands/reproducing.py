"""Reproduce a history or a whole ensemble in another folder, and compare every file."""

from pathlib import Path
from typing import Any

from spdclust.commands.comparing import Compared, Recipe, compare_files, compare_histories
from spdclust.config.load import load_config, read_mapping, validate
from spdclust.config.pipeline import ClusteringPipelineConfig, Ensemble
from spdclust.config.run import ClusteringRunConfig
from spdclust.core.errors import InputError
from spdclust.core.provenance import INSIST
from spdclust.files.activation_batch import ActivationBatch
from spdclust.files.batches import BatchedActivations, find_batches
from spdclust.files.ensemble_folder import PIPELINE_CONFIG, RUN_CONFIG
from spdclust.files.histories import save_merge_history
from spdclust.merge.merging import merge_iteration
from spdclust.sampling.batch_sampling import load_run_model
from spdclust.sampling.precompute import convert_missing_batches, write_missing_batches
from spdclust.sampling.settings import places_left_out
from spdclust.stages.merge import merge
from spdclust.user_files.folders import RunFiles, files_of_run
from spdclust.user_files.runs import digest_of_batch


def check_history(
    recipe: Recipe, folder: str | Path, *, model: str | None = None, batches: str | Path | None = None
) -> list[Compared]:
    """Reproduce a history, and its batches unless they are given, and compare.

    `model` is the new path of the model or activations folder, if it has moved; `batches`, a folder, is
    merged instead of sampling the batches again.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> from spdclust.commands.comparing import read_recipe
        >>> recipe = read_recipe(write_example_ensemble(folder).history(1))
        >>> compared = check_history(recipe, f"{folder}/again")
        >>> [each.line() for each in compared]
        ['equal         batch_0.pt', 'equal         history.zip', 'equal         metrics.csv']

    Returns:
        One entry for each batch, for the history, and for `metrics.csv` if it is next to the history.

    Raises:
        InputError: the model, its data or the batches are missing, or are not those of the history.
    """
    folder = Path(folder)
    # the folder may hold more batches, for other merges
    n_batches = len(recipe.batch_digests) or None
    paths = find_batches(batches)[:n_batches] if batches is not None else _make_batches(recipe, folder, model)
    insisted = recipe.provenance.get(INSIST) is True
    source = BatchedActivations(paths, allow_different_models=insisted)
    compared = _compare_batches(recipe, source)
    again = folder / "history.zip"
    metrics = folder / "metrics.csv"
    config, seed = recipe.history.config, recipe.seed
    if recipe.batch_digests and not isinstance(seed, int):
        snapshot = "git" in recipe.provenance
        merge(
            paths,
            config.resolved(),
            seed,
            history=again,
            metrics=metrics,
            git_snapshot=snapshot,
            allow_different_models=insisted,
        )
    else:
        save_merge_history(merge_iteration(source, config, seed, progress=True), again)
    compared.append(compare_histories(recipe.path, again, recipe.path.name))
    recorded_metrics = recipe.path.with_name(metrics.name)
    if recorded_metrics.is_file() and metrics.is_file():
        same = recorded_metrics.read_bytes() == metrics.read_bytes()
        compared.append(Compared(metrics.name, same, [] if same else ["figures of its merges"]))
    return compared


def _make_batches(recipe: Recipe, folder: Path, model: str | None) -> list[Path]:
    config = recipe.config
    if config is None:
        raise InputError(
            "has no record of the origin of its batches",
            file=recipe.path,
            field="provenance",
            allowed="--batches with the folder of its batches",
        )
    unknown = [name for name in places_left_out(config.sampling()) if model is None or "dataset" in name]
    if unknown:
        raise InputError(
            "was an absolute path; only its last component is recorded",
            file=recipe.path,
            field=unknown[0],
            found=_value(config, unknown[0]),
            allowed=f"--model, or the ensemble's {RUN_CONFIG} in its place two folders up",
        )
    paths = [folder / f"batch_{number}.pt" for number in range(len(recipe.batch_digests))]
    if config.precomputed_activations_dir is not None:
        files = files_of_run(model or config.precomputed_activations_dir, recipe.run, config.shards)
        files = files.needing(len(paths))
        _check_inputs(recipe, files, len(paths))
        seeds = [config.batch_seed(recipe.run, number) for number in range(len(paths))]
        convert_missing_batches(config, files, seeds, paths)
        return paths
    source = (
        config if model is None else config.model_copy(update={"model_path": model, "experiment_key": None})
    )
    loaded = load_run_model(source)
    recorded = recipe.provenance.get("checkpoint_digest")
    if loaded.digest != recorded:
        raise InputError(
            "not the checkpoint that the history was made from",
            file=source.model_source,
            field="checkpoint_digest",
            found=loaded.digest[:16],
            allowed=f"{str(recorded)[:16]}; --model with its path",
        )
    write_missing_batches(config, loaded, recipe.provenance["batch_seeds"], paths)
    return paths


def _value(config: ClusteringRunConfig, name: str) -> Any:
    section, _, key = name.rpartition(".")
    return getattr(config.dataset if section else config, key)


def _check_inputs(recipe: Recipe, own: RunFiles, n_batches: int) -> None:
    if len(own.batches) < n_batches:
        raise InputError(
            "activations are missing",
            file=own.folder,
            found=len(own.batches),
            allowed=f"files of {n_batches} batches",
        )
    for files, recorded in zip(own.batches, recipe.provenance.get("inputs", []), strict=False):
        found = digest_of_batch(files)
        if found != recorded:
            raise InputError(
                "not the activations that the history was made from",
                file=files[0],
                field="digest",
                found=found[:16],
                allowed=f"{recorded[:16]}",
            )


def _compare_batches(recipe: Recipe, source: BatchedActivations) -> list[Compared]:
    """Compare batches by their checksums, and report the cause of differences."""
    compared = []
    inputs = recipe.provenance.get("inputs", [])
    code = recipe.provenance.get("code", {}).get("precompute_batches")
    for number, recorded in enumerate(recipe.batch_digests):
        name = f"batch_{number}.pt"
        if number >= source.n_batches:
            compared.append(Compared(name, False, ["missing"]))
            continue
        if source.digests[number] == recorded:
            compared.append(Compared(name, True))
            continue
        entry = source.made_from[number]
        drawn = entry.get("source_digest") or entry.get("inputs_digest")
        if number < len(inputs) and drawn != inputs[number]:
            data = entry.get("dataset") or entry.get("source") or entry.get("task")
            compared.append(Compared(name, False, [f"the inputs of the model, from {data}"]))
            continue
        records = (
            [f"code.precompute_batches: {code}, now {entry.get('code')}"] if entry.get("code") != code else []
        )
        stored = _kept_batch(recipe, number)
        if stored is None:
            numbers = [] if records else ["causal importances: computed elsewhere, see docs/reproducing.md"]
        else:
            numbers = _differing_activations(stored, ActivationBatch.load(source.paths[number]))
        compared.append(Compared(name, False, numbers, records))
    return compared


def _kept_batch(recipe: Recipe, number: int) -> ActivationBatch | None:
    """Return the original batch of the history, if the workflow kept it and it is unchanged."""
    folder = recipe.path.absolute().parent
    name = f"precomputed_batches/run_{recipe.drawn_for}/batch_{number}.pt"
    candidates = [candidate / name for candidate in list(folder.parents)[:3]]
    for candidate in candidates:
        if candidate.is_file() and BatchedActivations([candidate]).digests == [recipe.batch_digests[number]]:
            return ActivationBatch.load(candidate)
    return None


def _differing_activations(first: ActivationBatch, second: ActivationBatch) -> list[str]:
    if first.labels != second.labels:
        return [f"labels: {first.n_components} components, now {second.n_components}"]
    if first.matrix.shape != second.matrix.shape:
        return [f"samples: {first.n_samples}, now {second.n_samples}"]
    apart = abs(first.matrix - second.matrix)
    if apart.nnz == 0:
        return []
    return [f"{apart.nnz} causal importances, by at most {float(apart.max()):.2g}"]


def check_ensemble(folder: str | Path, again: str | Path) -> tuple[list[Compared], list[str]]:
    """Reproduce an ensemble from its two configuration files, and compare every output file.

    The reproduction is written to the results folder `again`.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> compared, left = check_ensemble(write_example_ensemble(folder).folder, f"{folder}/again")
        >>> all(each.same_bytes for each in compared), left
        (True, [])

    Returns:
        One entry per file, and the names of files not reproduced (figures, mappings of single runs).

    Raises:
        InputError: a configuration file, or a file that it refers to, is missing.
    """
    from spdclust.pipeline import run_ensemble

    folder = Path(folder)
    ensemble = _ensemble_of(folder)
    rebuilt = run_ensemble(ensemble, results=again).folder
    compared, left = [], []
    for path in sorted(
        file for file in folder.rglob("*") if file.is_file() and not file.name.startswith(".")
    ):
        name = path.relative_to(folder).as_posix()
        if not (rebuilt / name).is_file():
            left.append(name)
        else:
            compared.append(compare_files(path, rebuilt / name, name))
    return compared, left


def _ensemble_of(folder: Path) -> Ensemble:
    run = load_config(ClusteringRunConfig, folder / RUN_CONFIG)
    settings = read_mapping(folder / PIPELINE_CONFIG)
    point = settings.pop("sweep_point", {})
    if settings.get("clustering_run_config_path") is None:
        settings["clustering_run_config"] = run.model_dump(mode="json")
    pipeline = validate(ClusteringPipelineConfig, settings, file=folder / PIPELINE_CONFIG)
    path = folder.absolute()
    return Ensemble(path.name, path.parent.name, run, pipeline, dict(point))
