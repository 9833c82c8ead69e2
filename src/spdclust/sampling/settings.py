"""Where a language model's tokens come from, and the settings of sampling that batches record.

Settings of the run override those of the checkpoint.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from spdclust.config.run import ClusteringRunConfig
from spdclust.core.errors import InputError
from spdclust.core.safe_reading import exists
from spdclust.models.config import LanguageTask

FILE_TYPES = {
    ".txt": "text",
    ".jsonl": "json",
    ".json": "json",
    ".parquet": "parquet",
    ".csv": "csv",
    ".arrow": "arrow",
}
"""Readers of local data files, by suffix."""

ELSEWHERE = ".../"
"""Placeholder for the folder of an absolute path, which is not stored in results."""
_PLACES = ("model_path", "precomputed_activations_dir")
_DATA_PLACES = ("name", "tokenizer")


@dataclass(frozen=True)
class LanguageData:
    """All settings that determine the tokens.

    Attributes:
        name: hub name, or the local path as given.
        path: the local file or folder; None for the hub.
        subset: configuration of a hub dataset with several ones.
        column_is_asked: whether the user named the column, so that there is no fallback to another one.
        tokenizer: hub name or folder; None where tokens are stored.
    """

    name: str
    path: Path | None
    subset: str | None
    split: str
    column: str
    column_is_asked: bool
    tokenizer: str | None
    n_ctx: int
    is_tokenized: bool
    streaming: bool
    lowercase: bool
    vocab_size: int

    @property
    def places(self) -> list[Path]:
        """Local files and folders that are read."""
        tokenizer = [] if self.tokenizer is None else [Path(self.tokenizer)]
        return [location for location in ([self.path] if self.path else []) + tokenizer if location.exists()]


def language_data(task: LanguageTask, config: ClusteringRunConfig) -> LanguageData:
    """Return the data settings of a run: its `dataset` section, completed by the checkpoint's settings.

    Paths in the run's settings are relative to the working folder, those of the checkpoint to its folder. For
    data other than the checkpoint's, the default split is `train`.

    Example:
        >>> task = LanguageTask(name="lm", vocab_size=9, folder=Path("run"), dataset_name="a/b")
        >>> run = ClusteringRunConfig.model_validate(
        ...     {"model_path": "m", "dataset": {"n_ctx": 4, "tokenizer": "gpt2"}}
        ... )
        >>> data = language_data(task, run)
        >>> data.name, data.path, data.n_ctx, data.column
        ('a/b', None, 4, 'story')

    Raises:
        InputError: neither names a dataset or a tokenizer, a path does not exist, or `n_ctx` is longer than
            the sequences that the model was decomposed on allow.
    """
    given = config.dataset
    name = given.name or task.dataset_name
    if name is None:
        raise InputError("no dataset", field="dataset.name", allowed="a file, a folder, or a hub name")
    own = given.name is None
    path = _local(name, [task.folder] if own else [Path()], "dataset.name")
    is_tokenized = given.is_tokenized if given.is_tokenized is not None else own and task.is_tokenized
    tokenizer = None
    if not is_tokenized or config.keep_examples:
        tokenizer = given.tokenizer or task.tokenizer_name
        if tokenizer is None and not is_tokenized:
            raise InputError("no tokenizer", field="dataset.tokenizer", allowed="a folder or a hub name")
        if tokenizer is not None:
            location = _local(tokenizer, [Path()] if given.tokenizer else [task.folder], "dataset.tokenizer")
            tokenizer = tokenizer if location is None else str(location)
    lowercase = given.lowercase if given.lowercase is not None else "simplestories" in name.lower()
    return LanguageData(
        name=name,
        path=path,
        subset=given.subset,
        split=given.split or (task.train_data_split if own else "train"),
        column=given.column or task.column_name,
        column_is_asked=given.column is not None,
        tokenizer=tokenizer,
        n_ctx=given.n_ctx or task.max_seq_len,
        is_tokenized=is_tokenized,
        streaming=config.dataset_streaming or (own and task.streaming),
        lowercase=lowercase,
        vocab_size=task.vocab_size,
    )


def samples_per_batch(task: LanguageTask, config: ClusteringRunConfig) -> int:
    """Return the number of tokens of a language model in a batch of activations.

    This is `n_tokens`; if null, `n_tokens_per_seq` (or all) positions of `batch_size` sequences.

    Example:
        >>> task = LanguageTask(name="lm", vocab_size=9, folder=Path("run"), max_seq_len=48)
        >>> samples_per_batch(task, ClusteringRunConfig(model_path="m", batch_size=8))
        384
    """
    if config.n_tokens is not None:
        return config.n_tokens
    return config.batch_size * (config.n_tokens_per_seq or config.dataset.n_ctx or task.max_seq_len)


def _local(name: str, folders: list[Path], field: str) -> Path | None:
    """Return the local file or folder with a name, or None for a name on the hub."""
    written = Path(name).expanduser()
    for folder in [*folders, Path()]:
        if exists(folder / written):
            return folder / written
    looks_local = name.startswith((".", "/", "~")) or name.count("/") > 1 or written.suffix in FILE_TYPES
    if looks_local:
        raise InputError(
            "no such file or folder", field=field, found=name, allowed="a local path, or a name on the hub"
        )
    return None


def local_data_files(config: ClusteringRunConfig) -> list[str]:
    """Return the local data files in a run's settings, whether or not they exist.

    Example:
        >>> run = ClusteringRunConfig.model_validate({"model_path": "m", "dataset": {"name": "texts.jsonl"}})
        >>> local_data_files(run)
        ['texts.jsonl']
        >>> local_data_files(ClusteringRunConfig(model_path="m"))
        []
    """
    if config.dataset.name is None:
        return []
    location = Path(config.dataset.name).expanduser()
    if location.is_dir():
        return [str(file) for file in sorted(location.rglob("*")) if file.is_file()]
    return [str(location)] if location.is_file() or location.suffix in FILE_TYPES else []


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


def without_paths(sampling: Mapping[str, Any]) -> dict[str, Any]:
    """Return sampling settings without the device, and without paths: equal data may be in several places.

    Example:
        >>> without_paths({"model_path": "runs/mlp", "device": "cpu", "dataset": {"name": "a.txt"}, "n": 1})
        {'dataset': {}, 'n': 1}
    """
    dataset = sampling.get("dataset") or {}
    kept = {key: value for key, value in sampling.items() if key not in (*_PLACES, "device")}
    return kept | {"dataset": {key: value for key, value in dataset.items() if key not in _DATA_PLACES}}


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
