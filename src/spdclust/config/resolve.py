"""From the pipeline files of a workflow to its ensembles and the points of its sweeps, all checked first."""

import difflib
import functools
import itertools
import operator
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from spdclust.config.base import PathText, Section
from spdclust.config.load import load_config, read_mapping, resolve_paths, validate
from spdclust.config.merge import MergeConfig
from spdclust.config.pipeline import ClusteringPipelineConfig, Ensemble, PipelineOverride
from spdclust.config.reference_keys import current_pipeline, ignored_keys
from spdclust.config.run import ClusteringRunConfig
from spdclust.core.errors import InputError, in_file


class FigureConfig(Section):
    """Size of every figure; a change re-runs the figures and nothing else."""

    dpi: int = Field(default=150, ge=30, le=1200)
    """Pixels per inch, of the pictures inside a `.pdf` too."""
    scale: float = Field(default=1.0, ge=0.25, le=4.0)
    """Factor on width and height; texts keep their size."""


class WorkflowConfig(Section):
    """What `config/config.yaml` holds: which pipelines to run, and where results go."""

    pipelines: list[PathText] = Field(min_length=1)
    """Pipeline files, from the working folder."""
    results: PathText = "results"
    """Folder of all results."""
    figures: FigureConfig = FigureConfig()
    """How large figures are drawn."""
    override: PipelineOverride | None = None
    """Settings that override those in pipeline files, for one command:
    `--config override='{n_runs: 3}'`."""


def unused_keys(path: str | Path) -> list[str]:
    """Return a line for each key of a pipeline or run file that only the reference implementation uses.

    For a pipeline file, those of the run file that it names follow.

    Example:
        >>> path = folder / "old.yaml"
        >>> _ = path.write_text("{calc_distances: true, slurm_mem: 300G}")
        >>> [line.split(": ")[1] for line in unused_keys(path)]
        ['slurm_mem changes nothing']

    Raises:
        InputError: a file cannot be read.
    """
    given = read_mapping(path)
    lines = _unused(given, f"{path}: ")
    try:
        settings = current_pipeline(given)
    except ValueError:  # an error, which loading the file reports
        return lines
    run_file, run = settings.get("clustering_run_config_path"), settings.get("clustering_run_config")
    if isinstance(run_file, str):
        # whatever it is, it names no further file: loading rejects a pipeline file here
        found = _find_run_file(run_file, Path(path))
        return lines + _unused(read_mapping(found), f"{found}: ")
    if isinstance(run, dict) and "harvest" not in given:
        lines += _unused(run, f"{path}: clustering_run_config.")
    return lines


def _unused(given: dict[str, Any], prefix: str) -> list[str]:
    return [f"{prefix}{key} changes nothing: {why}" for key, why in ignored_keys(given).items()]


def resolve_workflow(config: WorkflowConfig) -> list[Ensemble]:
    """Return all ensembles of a workflow.

    Example:
        >>> workflow = WorkflowConfig(pipelines=["config/pipelines/demo.yaml"], override={"n_runs": 3})
        >>> [(ensemble.folder, ensemble.n_runs) for ensemble in resolve_workflow(workflow)]
        [('resid_mlp1/demo', 3)]

    Raises:
        InputError: a file is missing or wrong, or two of them have one name.
    """
    ensembles: list[Ensemble] = []
    named: dict[str, str] = {}
    for path in config.pipelines:
        own: dict[str, str] = {}
        for ensemble in resolve_pipeline(path, config.override):
            # the comparison of a sweep has a folder of its own
            folders = [ensemble.folder, *([ensemble.sweep_folder] if ensemble.sweep_folder else [])]
            for folder in folders:
                if folder in named:
                    raise InputError(
                        "two pipelines have the same name",
                        file=path,
                        field=folder,
                        found=named[folder],
                        allowed="file names that differ",
                    )
            if ensemble.folder in own:
                raise InputError(
                    "two points of the sweep have the same name",
                    file=path,
                    field="sweep",
                    found=ensemble.name,
                    allowed="values that differ",
                )
            own |= dict.fromkeys(folders, path)
            ensembles.append(ensemble)
        named |= own
    _check_run_names(ensembles)
    return ensembles


def _check_run_names(ensembles: list[Ensemble]) -> None:
    """Reject two run files of one name that sample differently: their batches would share a folder."""
    sampling: dict[str, dict[str, Any]] = {}
    for ensemble in ensembles:
        own = ensemble.run.sampling()
        first = sampling.setdefault(ensemble.run_name, own)
        for key in {**first, **own}:
            if first.get(key) != own.get(key):
                raise InputError(
                    "two run files have the same name but different sampling settings",
                    file=ensemble.run_name,
                    field=key,
                    found=[first.get(key), own.get(key)],
                    allowed="run files of different names",
                )


def resolve_pipeline(path: str | Path, override: PipelineOverride | None = None) -> list[Ensemble]:
    """Return the ensembles of one pipeline file: one, or one for each point of its sweep.

    Example:
        >>> [ensemble.sweep_point for ensemble in resolve_pipeline("config/pipelines/sweep.yaml")][:2]
        [{'merge_config.alpha': 0.1}, {'merge_config.alpha': 0.5}]

    Raises:
        InputError: a file is missing, or holds something that is not allowed.
    """
    pipeline = load_config(ClusteringPipelineConfig, path)
    given = {} if override is None else override.given()
    streaming = given.pop("dataset_streaming", None)
    pipeline = pipeline.model_copy(update=given)
    ensembles = resolve_loaded(pipeline, Path(path))
    if streaming is None:
        return ensembles
    streamed = {"dataset_streaming": streaming}
    return [replace(each, run=each.run.model_copy(update=streamed)) for each in ensembles]


def resolve_loaded(pipeline: ClusteringPipelineConfig, path: Path) -> list[Ensemble]:
    """Return the ensembles of a loaded pipeline, named after `path` and with paths relative to it.

    Example:
        >>> run = ClusteringRunConfig(model_path="resources/resid_mlp1")
        >>> sweep = {"merge_config.alpha": [0.5, 2]}
        >>> pipeline = ClusteringPipelineConfig(clustering_run_config=run, sweep=sweep)
        >>> [ensemble.folder for ensemble in resolve_loaded(pipeline, Path("demo.yaml"))]
        ['demo/demo-alpha~0.5', 'demo/demo-alpha~2']

    Raises:
        InputError: its run file is missing, or holds something that is not allowed.
    """
    if pipeline.clustering_run_config_path is not None:
        run_path = _find_run_file(pipeline.clustering_run_config_path, path)
        run, run_name, run_file = load_config(ClusteringRunConfig, run_path), run_path.stem, run_path
    else:
        assert pipeline.clustering_run_config is not None
        run, run_name, run_file = pipeline.clustering_run_config, path.stem, path
    run = resolve_paths(run, run_file)
    _check_name(path.stem, path)
    _check_name(run_name, run_file)
    if len(pipeline.distances_methods) and pipeline.n_runs < 2:
        raise InputError(
            "distances need several runs",
            file=path,
            field="n_runs",
            found=pipeline.n_runs,
            allowed="2 or more",
        )
    named = os.path.normpath(run_file)
    ensembles: list[Ensemble] = []
    for written in _sweep_points(pipeline, path):
        swept = _with_point(run, written, path)
        point = _typed_point(swept, written)
        # compared after typing: 0.1 and 1e-1 are one point
        if any(point == other.sweep_point for other in ensembles):
            raise InputError(
                "two points are equal", file=path, field="sweep", found=point, allowed="each point once"
            )
        with in_file(run_file):
            swept.batches_needed()
        name = "-".join(
            [path.stem, *(f"{key.split('.')[-1]}~{_short(value)}" for key, value in point.items())]
        )
        _check_name(name, path)
        sweep_folder = f"{run_name}/{path.stem}" if point else None
        ensembles.append(Ensemble(name, run_name, swept, pipeline, point, sweep_folder, named))
    return ensembles


def _find_run_file(name: str, pipeline_path: Path) -> Path:
    """Return the run file that a pipeline names.

    It is searched for from the pipeline's folder and from the working folder, from the folders above the
    pipeline's (paths of the reference implementation start at the root of its checkout), and by its bare name
    next to the pipeline (as when published files are copied into one folder).

    Raises:
        InputError: it is in none of these places.
    """
    folder = pipeline_path.parent
    candidates = [folder / name, Path(name)]
    if len(Path(name).parts) > 1:  # a bare name is too likely to be another file's
        candidates += [above / name for above in folder.absolute().parents]
    # files of the reference name run files by paths that exist only in its repository
    candidates.append(folder / Path(name).name)
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise InputError(
        "no such file",
        file=pipeline_path,
        field="clustering_run_config_path",
        found=name,
        allowed=f"a run file below the folder of {pipeline_path.name}, below a folder above it, or below the "
        "working folder",
    )


def _short(value: object) -> str:
    text = "null" if value is None else str(value)
    return re.sub(r"[^A-Za-z0-9.+_]+", "_", text).strip("_")


def _check_name(name: str, path: str | Path) -> None:
    """Reject a name that cannot be part of a path of the results.

    Raises:
        InputError: the name has other characters than letters, digits and . _ + ~ -.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+~-]*", name):
        raise InputError(
            "name cannot be used in a path", file=path, found=name, allowed="letters, digits and . _ + ~ -"
        )


def _sweep_points(pipeline: ClusteringPipelineConfig, path: str | Path = "") -> list[dict[str, Any]]:
    """Return every point of a sweep as `{key: value}`; one empty point where nothing is swept."""
    for key, values in pipeline.sweep.items():
        section, _, name = key.partition(".")
        if section != "merge_config" or name.split(".")[0] not in MergeConfig.model_fields:
            known = [f"merge_config.{each}" for each in MergeConfig.model_fields]
            close = difflib.get_close_matches(key, known, n=1, cutoff=0.8)
            raise InputError(
                "cannot be swept", file=path, field=f"sweep: {key}", allowed=", ".join(close or known)
            )
        if not values:
            raise InputError("no values", file=path, field=f"sweep: {key}", allowed="one or more values")
    if pipeline.sweep_mode == "zip":
        lengths = {key: len(values) for key, values in pipeline.sweep.items()}
        if len(set(lengths.values())) > 1:
            raise InputError(
                "lists differ in length",
                file=path,
                field="sweep",
                found=lengths,
                allowed="equal lengths to zip",
            )
        combinations: Any = zip(*pipeline.sweep.values(), strict=True) if pipeline.sweep else [()]
    else:
        combinations = itertools.product(*pipeline.sweep.values())
    return [dict(zip(pipeline.sweep, values, strict=True)) for values in combinations]


def _with_point(
    run: ClusteringRunConfig, point: Mapping[str, Any], path: str | Path = ""
) -> ClusteringRunConfig:
    """Return the settings of a run at one point of a sweep."""
    if not point:
        return run
    settings = run.model_dump(mode="json")
    if "merge_pair_sampling_kwargs" not in run.merge_config.model_fields_set:
        # so that each point takes the defaults of its own sampler
        settings["merge_config"]["merge_pair_sampling_kwargs"] = {}
    for key, value in point.items():
        *sections, last = key.split(".")
        target = settings
        for section in sections:
            target = target[section]
        target[last] = value
    try:
        return validate(ClusteringRunConfig, settings)
    except InputError as error:
        raise InputError(
            "value not allowed" if error.problem == "not allowed" else error.problem,
            file=path,
            field=f"sweep: {error.field or ', '.join(point)}",
            found=error.found,
            allowed=error.allowed,
        ) from error


def _typed_point(run: ClusteringRunConfig, point: Mapping[str, Any]) -> dict[str, Any]:
    """Return a point with the values that the settings of its run took: text such as `1e-2` is a number.

    Numbers that are equal to the setting's value stay as written, `2` for `2.0`: ensembles are named by them.

    Example:
        >>> point = {"merge_config.alpha": "1e-2", "merge_config.iters": 2.0}
        >>> _typed_point(_with_point(ClusteringRunConfig(model_path="m"), point), point)
        {'merge_config.alpha': 0.01, 'merge_config.iters': 2.0}
    """
    settings = run.model_dump(mode="json")
    typed = {key: functools.reduce(operator.getitem, key.split("."), settings) for key in point}
    return {key: value if value == typed[key] else typed[key] for key, value in point.items()}
