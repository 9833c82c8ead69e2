"""The sampling settings recorded in batches, without machine-specific paths."""

import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from spdclust.config.run import ClusteringRunConfig

ELSEWHERE = ".../"
"""Placeholder for the folder of an absolute path, which is not stored in results."""

_PLACES = ("model_path", "precomputed_activations_dir")
_DATA_PLACES = ("name", "tokenizer")


def sampling_record(config: ClusteringRunConfig) -> str:
    """Return the settings that determine a batch as a JSON text, for its provenance.

    Example:
        >>> record = json.loads(sampling_record(ClusteringRunConfig(model_path="/home/me/runs/mlp")))
        >>> record["model_path"], record["batch_size"]
        ('.../mlp', 128)
    """
    return json.dumps(without_places(config.sampling()), ensure_ascii=False)


def without_places(sampling: Mapping[str, Any]) -> dict[str, Any]:
    """Return sampling settings with absolute paths reduced to their last component.

    Example:
        >>> without_places({"model_path": "/home/me/runs/mlp", "dataset": {"name": "data/texts.jsonl"}})
        {'model_path': '.../mlp', 'dataset': {'name': 'data/texts.jsonl'}}
    """
    record = dict(sampling)
    record |= {key: _without_place(record[key]) for key in _PLACES if key in record}
    dataset = dict(record.get("dataset") or {})
    dataset |= {key: _without_place(dataset[key]) for key in _DATA_PLACES if key in dataset}
    return record | ({"dataset": dataset} if dataset else {})


def places_left_out(sampling: Mapping[str, Any]) -> list[str]:
    """Return the settings whose paths were reduced by `without_places`.

    Example:
        >>> places_left_out({"model_path": ".../mlp", "dataset": {"name": ".../texts.jsonl"}})
        ['model_path', 'dataset.name']
    """
    dataset = sampling.get("dataset") or {}
    given = [(key, sampling.get(key)) for key in _PLACES]
    given += [(f"dataset.{key}", dataset.get(key)) for key in _DATA_PLACES]
    return [key for key, value in given if str(value).startswith(ELSEWHERE)]


def _without_place(path: str | None) -> str | None:
    return ELSEWHERE + PurePath(path).name if path is not None and PurePath(path).is_absolute() else path
