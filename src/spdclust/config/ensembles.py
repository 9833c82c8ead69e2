"""One ensemble of a workflow, with all settings resolved."""

from dataclasses import dataclass
from typing import Any

from spdclust.config.pipeline import ClusteringPipelineConfig
from spdclust.config.run import ClusteringRunConfig
from spdclust.config.tracking import TrackingSettings, tracking_settings


@dataclass(frozen=True)
class Ensemble:
    """One ensemble with everything decided: a pipeline file, or one point of its sweep.

    Example:
        >>> run = ClusteringRunConfig(model_path="resources/resid_mlp1")
        >>> pipeline = ClusteringPipelineConfig(clustering_run_config=run, n_runs=3)
        >>> ensemble = Ensemble("demo", "small", run, pipeline, {})
        >>> ensemble.folder, ensemble.n_runs
        ('small/demo', 3)
    """

    name: str
    run_name: str
    run: ClusteringRunConfig
    pipeline: ClusteringPipelineConfig
    sweep_point: dict[str, Any]
    sweep_folder: str | None = None
    """Folder of the comparison of a sweep's points, below the results folder; None where nothing is swept."""

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
    def tracking(self) -> TrackingSettings | None:
        """Settings for W&B; None if nothing is logged."""
        return tracking_settings(self.run, self.pipeline)

    def identity(self) -> dict[str, Any]:
        """Return the ensemble's identity in the registry: its name and the settings of its histories."""
        return ensemble_identity(self.folder, self.run, self.pipeline.base_seed)

    def resolved_pipeline(self) -> dict[str, Any]:
        """Return the fully resolved settings of the pipeline, as plain JSON types."""
        settings = self.pipeline.model_dump(
            mode="json", exclude={"clustering_run_config", "sweep", "sweep_mode"}
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

    Args:
        folder: the ensemble's folder, below the results folder.
        run: its run settings.
        base_seed: of its pipeline.
    """
    return {
        "ensemble": folder,
        "sampling": run.sampling(),
        "merge_config": run.merge_config.resolved(),
        "base_seed": base_seed,
    }
