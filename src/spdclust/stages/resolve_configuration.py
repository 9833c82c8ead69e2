"""Stage: the settings an ensemble is made from, every value filled in, written beside its results."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spdclust.files.resolved import save_pipeline_config, save_run_config


def resolve_configuration(
    pipeline: Mapping[str, Any], run: Mapping[str, Any], *, pipeline_path: str | Path, run_path: str | Path
) -> None:
    """Write `pipeline_config.yaml` and `clustering_run_config.json`.

    Raises:
        InputError: a file cannot be written.
    """
    save_pipeline_config(pipeline, pipeline_path)
    save_run_config(run, run_path)
