"""Settings of a pipeline: an ensemble of runs, its distances, and what may vary in a sweep."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from spdclust.config.base import PathText, Section
from spdclust.config.reference_keys import current_pipeline
from spdclust.config.run import ClusteringRunConfig
from spdclust.core.distance_methods import METHODS


def _check_methods(methods: list[str]) -> list[str]:
    for method in methods:
        if method not in METHODS:
            raise ValueError(f"found {method!r} (allowed: {', '.join(METHODS)})")
    if len(set(methods)) < len(methods):
        raise ValueError(f"found {methods} (allowed: each method once)")
    return methods


def _none_by_name(value: Any) -> Any:
    # command lines have no other way to say null
    return None if isinstance(value, str) and value.lower() in ("none", "null") else value


MOST_RUNS = 100_000
"""Members of an ensemble at most; above it a typing error is likelier than a wish."""

DistancesMethods = Annotated[
    list[str],
    Field(min_length=1, json_schema_extra={"items": {"enum": list(METHODS), "type": "string"}}),
    AfterValidator(_check_methods),
]
"""Names of distances, each once."""


class Comparison(Section):
    """How the runs of an ensemble are compared.

    Example:
        >>> Comparison(distances_stride=5).distances_methods
        ['perm_invariant_hamming']
    """

    distances_methods: DistancesMethods = Field(default=["perm_invariant_hamming"])
    """Distances between the runs."""
    distances_stride: int = Field(default=1, ge=1)
    """Compare the runs at every n-th iteration only, in distances and stability."""


class PipelineOverride(Section):
    """Settings that take the place of those in every pipeline file, where they are given.

    Example:
        >>> PipelineOverride(n_runs=3, wandb_project="none").given()
        {'n_runs': 3, 'wandb_project': None}
    """

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
    """An ensemble: the same merge settings on `n_runs` samplings of one model.

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
    """Whether anything goes to W&B; null leaves it to the project named here or in the run file."""
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
