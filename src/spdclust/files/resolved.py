"""The settings an ensemble was made from, every value filled in, beside its results."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from spdclust.files.atomic import write_text


def save_pipeline_config(settings: Mapping[str, Any], path: str | Path) -> None:
    """Write `pipeline_config.yaml`.

    Raises:
        InputError: the file cannot be written.
    """
    write_text(path, yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True))


def save_run_config(settings: Mapping[str, Any], path: str | Path) -> None:
    """Write `clustering_run_config.json`.

    Raises:
        InputError: the file cannot be written.
    """
    write_text(path, json.dumps(dict(settings), indent=2, ensure_ascii=False) + "\n")
