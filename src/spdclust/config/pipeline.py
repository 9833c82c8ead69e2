"""Settings of a pipeline: an ensemble of runs, its distances, what may vary in a sweep, and W&B logging."""

from dataclasses import dataclass
from math import comb
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from spdclust.config.base import PathText, Section
from spdclust.config.reference_keys import current_pipeline
from spdclust.config.run import ClusteringRunConfig, LoggingIntervals
from spdclust.core.names import METHODS

MOST_RUNS = 100_000
"""Largest number of runs of an ensemble; a larger one is probably a typing error."""

MOST_PARTS = 500
"""Largest number of jobs that share the distances of an ensemble; one job opens the files of all."""

DEFAULT_PROJECT = "spd-cluster"
"""Project of runs that enable W&B and name none."""

_NAMES = ("wandb_project", "wandb_entity", "wandb_enabled")


def _check_methods(methods: list[str]) -> list[str]:
    for method in methods:
        if method not in METHODS:
            raise ValueError(f"found {method!r} (allowed: {', '.join(METHODS)})")
    if len(set(methods)) < len(methods):
        raise ValueError(f"found {methods} (allowed: each method once)")
    return methods


def _none_by_name(value: Any) -> Any:
    # there is no other way to pass null on a command line
    return None if isinstance(value, str) and value.lower() in ("none", "null") else value


DistancesMethods = Annotated[
    list[str],
    Field(min_length=1, json_schema_extra={"items": {"enum": list(METHODS), "type": "string"}}),
    AfterValidator(_check_methods),
]
"""Names of distances, each once."""


class Comparison(Section):
    """How the runs of an ensemble are compared."""

    distances_methods: DistancesMethods = Field(default=["perm_invariant_hamming"])
    """Distances between the runs."""
    distances_stride: int = Field(default=1, ge=1)
    """Compare the runs at every n-th iteration only, in distances and stability."""


class PipelineOverride(Section):
    """Settings that override those of every pipeline file."""

    n_runs: int = Field(default=8, ge=1, le=MOST_RUNS)
    """Members of the ensemble, one per seed."""
    distances_methods: DistancesMethods = Field(default=["perm_invariant_hamming"])
    """Distances between the runs."""
    base_seed: int = Field(default=0, ge=0)
    """The merge of run r draws from a generator seeded by (`base_seed`, r)."""
    wandb_project: Annotated[str | None, BeforeValidator(_none_by_name)] = None
    """W&B project of all runs; `none` logs nothing."""
    wandb_entity: Annotated[str | None, BeforeValidator(_none_by_name)] = None
    """W&B entity of all runs."""
    create_git_snapshot: bool = False
    """Record the git commit, and whether the work tree was clean, with each result."""
    dataset_streaming: bool = False
    """Stream the dataset from the hub instead of downloading it; a setting of the run."""

    def given(self) -> dict[str, Any]:
        """Return the settings that were given, as plain JSON types."""
        return self.model_dump(mode="json", exclude_unset=True)


class ClusteringPipelineConfig(Section):
    """An ensemble: `n_runs` runs with the same merge settings, each on another sample of one model.

    Example:
        >>> pipeline = ClusteringPipelineConfig(clustering_run_config_path="runs/a.json", n_runs=8)
        >>> pipeline.distances_methods
        ['perm_invariant_hamming']
    """

    clustering_run_config_path: PathText | None = None
    """Run file (JSON or YAML), looked up next to the pipeline file, then from the working folder."""
    clustering_run_config: ClusteringRunConfig | None = None
    """The run itself, instead of its path."""
    n_runs: int = Field(default=8, ge=1, le=MOST_RUNS)
    """Members of the ensemble, one per seed."""
    distances_methods: DistancesMethods = Field(default=["perm_invariant_hamming"])
    """Distances between the runs."""
    distances_stride: int = Field(default=1, ge=1)
    """Compare the runs at every n-th iteration only, in distances and stability."""
    distances_jobs: int = Field(default=1, ge=1, le=MOST_PARTS)
    """Number of jobs that share the distances between the runs; the results are the same."""
    base_seed: int = Field(default=0, ge=0)
    """The merge of run r draws from a generator seeded by (`base_seed`, r)."""
    sweep: dict[str, list[Any]] = Field(default_factory=dict)
    """Settings to vary, `merge_config.<key>: [values]`; each point is an ensemble on the same batches."""
    sweep_mode: Literal["product", "zip"] = "product"
    """Every combination of the values, or the first of each, the second of each, …"""
    wandb_project: str | None = None
    """W&B project of all runs; null logs nothing."""
    wandb_entity: str | None = None
    """W&B entity of all runs."""
    wandb_enabled: bool | None = None
    """Whether anything is logged to W&B; null: only if a project is named here or in the run file."""
    create_git_snapshot: bool = False
    """Record the git commit, and whether the work tree was clean, with each result."""
    slurm_job_name_prefix: str | None = None
    """Start of the names of Slurm jobs, for `spd-clustering`."""
    slurm_partition: str | None = None
    """Slurm partition of all jobs, for `spd-clustering`; null leaves it to the profile."""

    @model_validator(mode="before")
    @classmethod
    def _take_reference_keys(cls, values: Any) -> Any:
        return current_pipeline(values) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _check_run(self) -> "ClusteringPipelineConfig":
        if (self.clustering_run_config_path is None) == (self.clustering_run_config is None):
            raise ValueError(
                "clustering_run_config_path: found neither or both (allowed: a run file here, or the run "
                "itself as clustering_run_config)"
            )
        return self


class TrackingSettings(Section):
    """Where records are logged, and how often."""

    project: str
    """W&B project."""
    entity: str | None = None
    """W&B user or team; null is the default one of the account."""
    intervals: LoggingIntervals = LoggingIntervals()
    """Intervals, in iterations, of each kind of record."""


def tracking_settings(
    run: ClusteringRunConfig, pipeline: ClusteringPipelineConfig | None = None
) -> TrackingSettings | None:
    """Return where and how often records are logged to W&B, or None if nothing is logged.

    Values in a pipeline file, null included, override those in its run file.

    Example:
        >>> run = ClusteringRunConfig(model_path="m", wandb_project="mine", wandb_log_frequency=10)
        >>> tracking_settings(run).project, tracking_settings(run).intervals.stat
        ('mine', 10)
        >>> off = ClusteringPipelineConfig(clustering_run_config=run, wandb_project=None)
        >>> tracking_settings(run, off) is None
        True
    """
    given: dict[str, Any] = {name: getattr(run, name) for name in _NAMES}
    if pipeline is not None:
        given |= {name: getattr(pipeline, name) for name in _NAMES if name in pipeline.model_fields_set}
    project, enabled = given["wandb_project"], given["wandb_enabled"]
    if enabled is False or (project is None and enabled is None):
        return None
    return TrackingSettings(
        project=project or DEFAULT_PROJECT, entity=given["wandb_entity"], intervals=run.logging_intervals
    )


@dataclass(frozen=True)
class Ensemble:
    """One ensemble with all settings resolved: a pipeline file, or one point of its sweep."""

    name: str
    run_name: str
    run: ClusteringRunConfig
    pipeline: ClusteringPipelineConfig
    sweep_point: dict[str, Any]
    sweep_folder: str | None = None
    """Folder of the comparison of a sweep's points, below the results folder; None where nothing is swept."""
    run_file: str = ""
    """File of the run's settings, for messages: the run file, or the pipeline file that contains them."""

    @property
    def folder(self) -> str:
        """Folder of the ensemble's files, relative to the results folder."""
        return f"{self.run_name}/{self.name}"

    @property
    def n_runs(self) -> int:
        """Number of runs of the ensemble."""
        return self.pipeline.n_runs

    @property
    def methods(self) -> list[str]:
        """Requested distances."""
        return self.pipeline.distances_methods

    @property
    def stride(self) -> int:
        """Compare the runs at every n-th iteration."""
        return self.pipeline.distances_stride

    @property
    def distances_jobs(self) -> int:
        """Number of jobs that share the distances; none is without a pair of runs."""
        return max(1, min(self.pipeline.distances_jobs, comb(self.n_runs, 2)))

    @property
    def tracking(self) -> TrackingSettings | None:
        """Settings for W&B; None if nothing is logged."""
        return tracking_settings(self.run, self.pipeline)

    def identity(self) -> dict[str, Any]:
        """Return the ensemble's identity in the registry: its name and the settings of its histories."""
        return ensemble_identity(self.folder, self.run, self.pipeline.base_seed)

    def resolved_pipeline(self) -> dict[str, Any]:
        """Return the fully resolved settings of the pipeline, as plain JSON types.

        Without the number of jobs for the distances: no result depends on it, and W&B jobs on this file.
        """
        settings = self.pipeline.model_dump(
            mode="json", exclude={"clustering_run_config", "sweep", "sweep_mode", "distances_jobs"}
        )
        return settings | {"sweep_point": self.sweep_point}

    def resolved_run(self) -> dict[str, Any]:
        """Return the fully resolved settings of the run, as plain JSON types."""
        return self.run.resolved()


def ensemble_identity(folder: str, run: ClusteringRunConfig, base_seed: int) -> dict[str, Any]:
    """Return the name of an ensemble and the settings that its histories depend on, as plain JSON types.

    Example:
        >>> run = ClusteringRunConfig(model_path="resources/resid_mlp1")
        >>> identity = ensemble_identity("small/demo", run, base_seed=7)
        >>> identity["ensemble"], identity["base_seed"], identity["merge_config"]["alpha"]
        ('small/demo', 7, 1.0)
    """
    return {
        "ensemble": folder,
        "sampling": run.sampling(),
        "merge_config": run.merge_config.resolved(),
        "base_seed": base_seed,
    }
