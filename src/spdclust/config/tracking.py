"""What goes to Weights & Biases, and how often: the settings of a run and of its pipeline put together."""

from typing import Any

from spdclust.config.base import Section
from spdclust.config.pipeline import ClusteringPipelineConfig
from spdclust.config.run import ClusteringRunConfig, LoggingIntervals

DEFAULT_PROJECT = "spd-cluster"
"""Project of runs that enable W&B and name none."""


class TrackingSettings(Section):
    """Where records go, and every how many iterations.

    Example:
        >>> TrackingSettings(project="p").intervals.tensor
        100
    """

    project: str
    """W&B project."""
    entity: str | None = None
    """W&B user or team; null is the default one of the account."""
    intervals: LoggingIntervals = LoggingIntervals()
    """Every how many iterations each kind of record is logged."""


def tracking_settings(
    run: ClusteringRunConfig, pipeline: ClusteringPipelineConfig | None = None
) -> TrackingSettings | None:
    """Return what is logged to W&B, or None where nothing is.

    What a pipeline file says, null included, comes before what its run file says.

    Example:
        >>> run = ClusteringRunConfig(model_path="m", wandb_project="mine", wandb_log_frequency=10)
        >>> tracking_settings(run).project, tracking_settings(run).intervals.stat
        ('mine', 10)
        >>> off = ClusteringPipelineConfig(clustering_run_config=run, wandb_project=None)
        >>> tracking_settings(run, off) is None
        True

    Args:
        run: settings of the run.
        pipeline: settings of its pipeline; None for a run by itself.
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


_NAMES = ("wandb_project", "wandb_entity", "wandb_enabled")
