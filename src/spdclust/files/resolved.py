"""The fully resolved settings of an ensemble, stored with its results."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from spdclust.core.atomic import write_text


def save_pipeline_config(settings: Mapping[str, Any], path: str | Path) -> None:
    """Write `pipeline_config.yaml`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_pipeline_config({"n_runs": 3, "base_seed": 0}, f"{folder}/pipeline_config.yaml")
        ...     Path(folder, "pipeline_config.yaml").read_text().split("\\n")
        ['n_runs: 3', 'base_seed: 0', '']

    Raises:
        InputError: the file cannot be written.
    """
    write_text(path, yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True))


def save_run_config(settings: Mapping[str, Any], path: str | Path) -> None:
    """Write `clustering_run_config.json`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_run_config({"model_path": "a.pth"}, f"{folder}/clustering_run_config.json")
        ...     json.loads(Path(folder, "clustering_run_config.json").read_text())
        {'model_path': 'a.pth'}

    Raises:
        InputError: the file cannot be written.
    """
    write_text(path, json.dumps(dict(settings), indent=2, ensure_ascii=False) + "\n")
