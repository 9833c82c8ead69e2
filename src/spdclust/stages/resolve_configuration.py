"""Stage: the settings of an ensemble, with every default filled in, written next to its results."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spdclust.files.ensemble_folder import save_pipeline_config, save_run_config


def resolve_configuration(
    pipeline: Mapping[str, Any], run: Mapping[str, Any], *, pipeline_path: str | Path, run_path: str | Path
) -> None:
    """Write `pipeline_config.yaml` and `clustering_run_config.json`.

    Example:
        >>> import tempfile
        >>> from spdclust.config.run import ClusteringRunConfig
        >>> run = ClusteringRunConfig(model_path="resources/resid_mlp1").model_dump(mode="json")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     pipeline_file, run_file = Path(folder) / "pipeline_config.yaml", Path(folder) / "run.json"
        ...     resolve_configuration({"n_runs": 4}, run, pipeline_path=pipeline_file, run_path=run_file)
        ...     pipeline_file.read_text().strip(), '"batch_size": 128' in run_file.read_text()
        ('n_runs: 4', True)

    Raises:
        InputError: a file cannot be written.
    """
    save_pipeline_config(pipeline, pipeline_path)
    save_run_config(run, run_path)
