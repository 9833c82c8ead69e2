"""The whole pipeline in one process, for notebooks: model -> batches -> histories -> ensemble -> groups."""

import itertools
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.config.pipeline import ClusteringPipelineConfig, Ensemble
from spdclust.config.resolve import resolve_loaded, resolve_pipeline
from spdclust.core.arguments import (
    checked,
    either,
    file_path,
    function,
    instance,
    optional,
    several,
    text,
    truth,
    whole,
)
from spdclust.core.errors import InputError
from spdclust.core.types import Brief, Float
from spdclust.files.batches import BatchedActivations
from spdclust.files.ensemble_folder import (
    GROUPS,
    MERGE_ARRAY,
    META,
    PIPELINE_CONFIG,
    RUN_CONFIG,
    SUMMARY,
    EnsembleFolder,
)
from spdclust.files.ensembles import load_distances
from spdclust.files.histories import load_merge_histories
from spdclust.files.summaries import write_registry
from spdclust.groups.find import N_NULL
from spdclust.groups.find import find_groups as find_groups_in_memory
from spdclust.groups.found import FoundGroups
from spdclust.merge.history import MergeHistory
from spdclust.partitions.ensemble import MergeHistoryEnsemble, NormalizedHistories, normalize_ensemble
from spdclust.sampling.precompute import precompute_batches_for_ensemble
from spdclust.stability.analysis import Stability
from spdclust.stages.distances import distances as write_distances
from spdclust.stages.ensemble_records import normalize, register, summarize_ensemble
from spdclust.stages.groups import groups
from spdclust.stages.merge import merge
from spdclust.stages.results import resolve_configuration
from spdclust.stages.stability import stability


@dataclass(frozen=True, eq=False, repr=False)
class ClusteringResults(Brief):
    """Results of a pipeline in memory, and the folder of its files.

    Attributes:
        folder: the ensemble's folder, with the same layout as in the workflow.
        histories: one merge history per run.
        normalized: the runs aligned to one set of labels.
        distances: by method, `(iterations, runs, runs)`, at every `distances_stride`-th iteration.
        stability: agreement of the runs.
        groups: the groups found, with the evidence for each.
    """

    folder: Path
    histories: MergeHistoryEnsemble
    normalized: NormalizedHistories
    distances: Mapping[str, Float[np.ndarray, "iterations runs runs"]]
    stability: Stability
    groups: FoundGroups

    def _facts(self) -> dict[str, object]:
        return {
            "folder": str(self.folder),
            **self.normalized._facts(),
            "distances": ", ".join(self.distances),
            "cuts": ", ".join(self.stability.cuts),
        }


@checked(
    config=either(
        file_path, instance(ClusteringPipelineConfig, allowed="a ClusteringPipelineConfig, or its file")
    ),
    results=file_path,
    name=text(),
    n_workers=whole(at_least=1),
    devices=optional(several(text(), "a list of devices")),
)
def cluster_analysis_pipeline(
    config: ClusteringPipelineConfig | str | Path,
    *,
    results: str | Path = "results",
    name: str = "pipeline",
    n_workers: int = 1,
    devices: Sequence[str] | None = None,
) -> ClusteringResults:
    """Run a whole pipeline without the workflow; the files are byte for byte the same.

    Example:
        >>> import tempfile
        >>> from spdclust import ClusteringRunConfig, MergeConfig
        >>> run = ClusteringRunConfig(
        ...     model_path="resources/resid_mlp1", n_tokens=64, merge_config=MergeConfig(iters=5)
        ... )
        >>> pipeline = ClusteringPipelineConfig(clustering_run_config=run, n_runs=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found = cluster_analysis_pipeline(pipeline, results=folder)
        >>> found.distances["perm_invariant_hamming"].shape
        (5, 2, 2)

    Args:
        config: the pipeline, or its file.
        results: output folder.
        name: name of the ensemble if `config` is not a file.
        n_workers: number of worker processes for the runs; 1 uses the calling process, for debugging. With
            more, a script must make this call below `if __name__ == "__main__":`, as workers import it.
        devices: devices of the models, assigned to the runs in turn; by default that of the run's settings.

    Raises:
        InputError: the configuration or an input is wrong; errors of workers are raised as they are.
    """
    if isinstance(config, ClusteringPipelineConfig):
        ensembles = resolve_loaded(config, Path(f"{name}.yaml"))
    else:
        ensembles = resolve_pipeline(config)
    if len(ensembles) > 1:
        raise InputError(
            "a sweep has several ensembles",
            field="sweep",
            found=len(ensembles),
            allowed="none; run the workflow",
        )
    return run_ensemble(ensembles[0], results=results, n_workers=n_workers, devices=devices)


def run_ensemble(
    ensemble: Ensemble,
    *,
    results: str | Path,
    n_workers: int = 1,
    devices: Sequence[str] | None = None,
) -> ClusteringResults:
    """Run one ensemble with resolved settings, see `cluster_analysis_pipeline`.

    Example:
        >>> from spdclust import ClusteringRunConfig, MergeConfig
        >>> run = ClusteringRunConfig(
        ...     model_path="resources/resid_mlp1", n_tokens=64, merge_config=MergeConfig(iters=5)
        ... )
        >>> pipeline = ClusteringPipelineConfig(clustering_run_config=run, n_runs=2, base_seed=3)
        >>> (ensemble,) = resolve_loaded(pipeline, Path("mine.yaml"))
        >>> found = run_ensemble(ensemble, results=folder)
        >>> ensemble.folder, [history.provenance["seed"] for history in found.histories]
        ('mine/mine', [[3, 0], [3, 1]])

    Raises:
        InputError: an input is wrong; errors of workers are raised as they are.
    """
    if n_workers < 1:
        raise InputError("no workers", field="n_workers", found=n_workers, allowed="1 or more")
    ensemble_folder = EnsembleFolder(Path(results) / ensemble.folder)
    folder = ensemble_folder.folder
    devices_in_turn = itertools.cycle(devices or [ensemble.run.device])
    tasks = [(ensemble, run, str(results), next(devices_in_turn)) for run in range(ensemble.n_runs)]
    if n_workers == 1:
        merged = [_sample_and_merge(*task) for task in tasks]
    else:
        # spawn instead of fork: the libraries' threads do not survive a fork
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(n_workers, len(tasks)), context) as pool:
            merged = list(pool.map(_sample_and_merge, *zip(*tasks, strict=True)))
    paths, batches = [history for history, _ in merged], [files for _, files in merged]
    resolve_configuration(
        ensemble.resolved_pipeline(),
        ensemble.resolved_run(),
        pipeline_path=folder / PIPELINE_CONFIG,
        run_path=folder / RUN_CONFIG,
    )
    files = {method: ensemble_folder.distance_file(method) for method in ensemble.methods}
    normalize(paths, meta=folder / META, merge_array=folder / MERGE_ARRAY)
    write_distances(paths, files, stride=ensemble.stride, threads=n_workers)
    names = {"ensemble": ensemble.folder, "model": str(ensemble.run.model_source or "")}
    found_groups = groups(paths, folder, batches=batches, threads=n_workers, **names)
    found = stability(
        paths,
        ensemble.methods,
        folder,
        stride=ensemble.stride,
        threads=n_workers,
        mapping_names=names,
    )
    summarize_ensemble(
        paths, files, folder / "stability.json", folder / GROUPS["record"], path=folder / SUMMARY
    )
    register(paths, ensemble.identity(), path=folder / "registered.json")
    write_registry(results)
    histories = load_merge_histories(paths)
    distances = {method: load_distances(file) for method, file in files.items()}
    return ClusteringResults(folder, histories, normalize_ensemble(histories), distances, found, found_groups)


def _sample_and_merge(ensemble: Ensemble, run: int, results: str, device: str) -> tuple[Path, list[Path]]:
    """Sample the batches of one run and merge them; the model is freed before the merge starts."""
    config = ensemble.run.model_copy(update={"device": device})
    batches = precompute_batches_for_ensemble(
        config, ensemble.n_runs, Path(results) / ensemble.run_name / "precomputed_batches", runs=[run]
    )[0]
    folder = Path(results) / ensemble.folder / "runs" / f"run_{run}"
    history = folder / "history.zip"
    merge(
        [os.fspath(path) for path in batches],
        ensemble.run.merge_config.resolved(),
        (ensemble.pipeline.base_seed, run),
        history=history,
        metrics=folder / "metrics.csv",
        git_snapshot=ensemble.pipeline.create_git_snapshot,
        allow_different_models=ensemble.run.allow_different_models,
    )
    return history, batches


@checked(
    batches=optional(several(lambda value, field: value, "one entry a run")),
    allow_different_models=truth,
    n_null=whole(at_least=0, at_most=1000),
    seed=whole(at_least=0),
    threads=optional(whole(at_least=1)),
    progress=function,
)
def find_groups(
    histories: MergeHistoryEnsemble | Sequence[MergeHistory],
    batches: Sequence[Any] | None = None,
    *,
    n_null: int = N_NULL,
    seed: int = 0,
    allow_different_models: bool = False,
    threads: int | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> FoundGroups:
    """Return the groups that the samples support, each with its evidence, best supported first.

    Like `spdclust.groups.find.find_groups`, which describes the analysis, but also accepts folders and files.

    Example:
        >>> from spdclust.example_ensemble import example_activations, example_history
        >>> found = find_groups([example_history(0)], [example_activations(0)], n_null=1)
        >>> found.n_groups, found.members(0)
        (4, ['attn:5', 'mlp:4', 'mlp:5'])

    Args:
        histories: the runs.
        batches: for each run, the activations it was merged on: `ProcessedActivations`, a list of them,
            `BatchedActivations`, a folder with `batch_<b>.pt` files, or one such file.
        n_null: number of repetitions of the analysis with coactivation destroyed, at most 1000.
        seed: seed of the null runs.
        allow_different_models: accept histories or batches of different models; a `MergeHistoryEnsemble` or
            `BatchedActivations` has its own argument.
        threads: number of threads; None for all cores.
        progress: called with a short description at the start of each step.

    Raises:
        InputError: a batch cannot be read, there is no history, runs were merged at different activation
            thresholds or on different models, or the batches are not those of the histories.
    """
    sources = None if batches is None else [_opened(each, allow_different_models) for each in batches]
    return find_groups_in_memory(
        histories,
        sources,
        n_null=n_null,
        seed=seed,
        allow_different_models=allow_different_models,
        threads=threads,
        progress=progress,
    )


def _opened(batches: Any, allow_different_models: bool) -> Any:
    if isinstance(batches, (str, Path)):
        files = [Path(batches)] if Path(batches).is_file() else batches
        return BatchedActivations(files, allow_different_models=allow_different_models)
    return batches
