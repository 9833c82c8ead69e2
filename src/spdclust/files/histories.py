"""Merge histories on disk: `history.zip`, also readable by the reference implementation.

Members: `merge.group_idxs.npy` `(iterations, components)`, `merge.k_groups.npy`, `selected_pairs.npy`,
`labels.txt` and `metadata.json` as in the reference implementation; additionally `mdl_loss.npy`,
`merge_pair_cost.npy` and `records.<name>.npy`. `metadata.json` holds the settings and provenance under
`spdclust`.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.config.reference_keys import MERGE_KEYS_OF_READERS
from spdclust.core.arguments import checked, either, file_path, instance, optional, several, text, truth
from spdclust.core.errors import InputError, in_file
from spdclust.core.safe_reading import as_input_error, parse_json, split_lines
from spdclust.files.archive import ArrayRows, Member, digest_of, read_archive, write_archive
from spdclust.files.ensemble_folder import common_folder, find_histories, run_names
from spdclust.files.reference import (
    not_stated_by,
    read_settings,
    reference_settings,
    settings_for_reader,
)
from spdclust.merge.activations import check_labels
from spdclust.merge.history import NOT_STATED, MergeHistory, iterate_group_idxs, not_stated
from spdclust.partitions.ensemble import MergeHistoryEnsemble

FORMAT_VERSION = 1
GROUP_IDXS_LIMIT = 64 * 2**20
"""Size in bytes above which `merge.group_idxs.npy` is omitted; it can be rebuilt from the pairs."""

_RECORD = "records."
_ALLOWED = "a history.zip"


@checked(
    history=instance(MergeHistory, allowed="a MergeHistory"),
    path=file_path,
    group_idxs=optional(truth),
    reader=optional(text(*MERGE_KEYS_OF_READERS)),
)
def save_merge_history(
    history: MergeHistory,
    path: str | Path,
    *,
    group_idxs: bool | None = None,
    reader: str | None = None,
) -> None:
    """Write a history, reproducibly byte for byte.

    Example:
        >>> import tempfile
        >>> from spdclust.example_ensemble import example_history
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_merge_history(example_history(), f"{folder}/a.zip")
        ...     save_merge_history(example_history(), f"{folder}/b.zip")
        ...     Path(folder, "a.zip").read_bytes() == Path(folder, "b.zip").read_bytes()
        True

    Args:
        history: the history.
        path: the `.zip` file.
        group_idxs: whether to write the full `(iterations, components)` array; by default only if it is
            smaller than `GROUP_IDXS_LIMIT` bytes.
        reader: `spd` or `param-decomp`: write only the settings that it accepts, and raise an error for a
            history that it cannot read. By default those of `spd`, unchecked.

    Raises:
        InputError: the file cannot be written, or the reader cannot read such a history.
    """
    shape = (history.n_iterations, history.n_components)
    # 16 bits, as in the reference implementation, as long as they suffice
    index_type = np.int16 if history.n_components <= 2**15 - 1 else np.int32
    if group_idxs is None:
        group_idxs = shape[0] * shape[1] * np.dtype(index_type).itemsize <= GROUP_IDXS_LIMIT
    members: dict[str, Member] = {}
    if group_idxs:
        rows = iterate_group_idxs(history.selected_pairs, np.arange(history.n_components))
        members["merge.group_idxs.npy"] = ArrayRows(shape, index_type, rows)
    own: dict[str, np.ndarray] = {
        "selected_pairs.npy": np.asarray(history.selected_pairs, dtype=np.int32),
        "mdl_loss.npy": np.asarray(history.mdl_loss, dtype=np.float64),
        "merge_pair_cost.npy": np.asarray(history.merge_pair_cost, dtype=np.float64),
        **{f"{_RECORD}{name}.npy": array for name, array in sorted(history.records.items())},
    }
    members["merge.k_groups.npy"] = history.k_groups.astype(np.int32)
    members |= own
    members["labels.txt"] = "\n".join(history.labels)
    theirs = reference_settings(history)
    section = {
        "merge_config": history.settings(),
        "records": sorted(history.records),
        "provenance": history.provenance,
    }
    metadata = {
        "merge_config": theirs if reader is None else settings_for_reader(theirs, history.labels, reader),
        "c_components": history.n_components,
        "n_iters_current": history.n_iterations,
        "labels": history.labels,
        "spdclust": {
            "format_version": FORMAT_VERSION,
            **section,
            "checksum": digest_of(*own.values(), history.labels, section),
        },
    }
    members["metadata.json"] = json.dumps(metadata, indent=1, ensure_ascii=False)
    write_archive(path, members)


@checked(path=file_path)
def load_merge_history(path: str | Path) -> MergeHistory:
    """Read a history written by spdclust or by the reference implementation.

    Files of the reference implementation have no description lengths, so `mdl_loss` and `merge_pair_cost` are
    NaN. Rows that were allocated but never filled are dropped. Settings that such a file does not state are
    None in `config` and listed in `not_stated`.

    Example:
        >>> import tempfile
        >>> from spdclust.example_ensemble import example_history
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_merge_history(example_history(), f"{folder}/history.zip")
        ...     history = load_merge_history(f"{folder}/history.zip")
        >>> history.n_components, history.n_iterations, int(history.k_groups[history.best_iteration()])
        (12, 11, 4)

    Raises:
        InputError: the file does not exist, is damaged, or is not a history.
    """
    path = Path(path)
    with as_input_error("not a readable history.zip", path, _ALLOWED):
        metadata = _metadata(path)
        ours = "spdclust" in metadata
        section = _mapping(metadata["spdclust"], "spdclust") if ours else {}
        names = [str(name) for name in section.get("records", [])]
        own = ["selected_pairs.npy", "mdl_loss.npy", "merge_pair_cost.npy"]
        own += [f"{_RECORD}{name}.npy" for name in names]
        arrays = read_archive(path, arrays=own if ours else own[:1], texts=["labels.txt"], kind="history.zip")
        labels = arrays["labels.txt"].split("\n") if ours else split_lines(arrays["labels.txt"])
        if ours:
            _verify(path, metadata, labels, [arrays[name] for name in own])
        check_labels(labels, len(labels))
        pairs = arrays["selected_pairs.npy"]
        if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
            raise InputError(
                "wrong shape",
                field="selected_pairs.npy",
                found=f"{pairs.dtype} {pairs.shape}",
                allowed="(iterations, 2) integers",
            )
        if ours:
            settings, provenance = section["merge_config"], _mapping(section["provenance"], "provenance")
        else:
            settings, provenance = metadata["merge_config"], {"source": "reference implementation"}
            unknown = not_stated_by(settings)
            provenance |= {NOT_STATED: unknown} if unknown else {}
            _check_reference_labels(metadata, labels)
            # after an early stop, the rows that follow hold -1
            pairs = pairs[: _rows_filled(metadata["n_iters_current"], len(pairs))]
        # either order is accepted; our own files have the smaller group first
        pairs = np.sort(pairs.astype(np.int64), axis=1)
        for name in own[1:] if ours else []:
            _check_figures(arrays[name], name, len(pairs))
        nothing = np.full(len(pairs), np.nan)
        history = MergeHistory(
            labels=labels,
            selected_pairs=pairs,
            mdl_loss=arrays["mdl_loss.npy"] if ours else nothing,
            merge_pair_cost=arrays["merge_pair_cost.npy"] if ours else nothing.copy(),
            config=read_settings(settings, not_stated(provenance)),
            records={name: arrays[f"{_RECORD}{name}.npy"] for name in names},
            provenance=provenance,
        )
        history.group_names  # noqa: B018 - raises for pairs that cannot have been merged
        return history


def _metadata(path: Path) -> dict[str, Any]:
    text = read_archive(path, texts=["metadata.json"], kind="history.zip")["metadata.json"]
    with as_input_error("not JSON", path, _ALLOWED, "metadata.json"):
        metadata = parse_json(text)
    if not isinstance(metadata, dict):
        raise InputError("not a history", file=path, field="metadata.json", allowed=_ALLOWED)
    for key in ("merge_config", "n_iters_current"):
        if key not in metadata:
            raise InputError("key missing", file=path, field=f"metadata.json: {key}", allowed=_ALLOWED)
    return metadata


def _mapping(value: Any, key: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError("not a mapping", field=f"metadata.json: {key}", found=value, allowed=_ALLOWED)
    return value


def _check_reference_labels(metadata: dict[str, Any], labels: list[str]) -> None:
    """Raise an error if the two copies of the labels in a reference history differ in number."""
    for key, expected in (("labels", labels), ("c_components", len(labels))):
        if metadata.get(key, expected) != expected:
            raise InputError(
                "differs from labels.txt",
                field=f"metadata.json: {key}",
                found=metadata[key],
                allowed=f"as in labels.txt, which has {len(labels)} labels",
            )


def _rows_filled(value: Any, n_rows: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= n_rows:
        raise InputError(
            "not a number of merges",
            field="metadata.json: n_iters_current",
            found=value,
            allowed=f"0 to {n_rows}, the rows of selected_pairs.npy",
        )
    return value


def _check_figures(array: np.ndarray, name: str, n_iterations: int) -> None:
    kinds = "biuf" if name.startswith(_RECORD) else "f"
    if array.dtype.kind not in kinds or array.shape[:1] != (n_iterations,) or np.isinf(array).any():
        found = "an infinity" if array.dtype.kind == "f" and np.isinf(array).any() else array.shape
        raise InputError(
            "not one number per merge",
            field=name,
            found=f"{array.dtype} {found}",
            allowed=f"numbers, ({n_iterations},) as selected_pairs.npy",
        )


def _verify(path: Path, metadata: dict[str, Any], labels: list[str], arrays: Sequence[np.ndarray]) -> None:
    section = dict(metadata["spdclust"])
    version, checksum = section.pop("format_version", None), section.pop("checksum", None)
    if version != FORMAT_VERSION:
        raise InputError(
            "unknown format version",
            field="metadata.json: spdclust.format_version",
            found=version,
            allowed=str(FORMAT_VERSION),
        )
    if checksum != digest_of(*arrays, labels, section):
        raise InputError("checksum does not match: the file is damaged", file=path, allowed=_ALLOWED)


@checked(
    source=either(file_path, several(file_path, "an ensemble's folder, or the files of histories")),
    allow_different_models=truth,
)
def load_merge_histories(
    source: str | Path | Iterable[str | Path], *, allow_different_models: bool = False
) -> MergeHistoryEnsemble:
    """Read the histories of an ensemble.

    Example:
        >>> import tempfile
        >>> from spdclust.example_ensemble import example_history
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for run in range(2):
        ...         save_merge_history(example_history(run), f"{folder}/runs/run_{run}/history.zip")
        ...     load_merge_histories(folder).run_names
        ['run_0', 'run_1']

    Args:
        source: an ensemble's folder (reads `runs/run_<r>/history.zip` in numeric order), or the files.
        allow_different_models: accept histories of different models.

    Raises:
        InputError: there are no histories, one of them cannot be read, or they are of different models.
    """
    paths = find_histories(source) if isinstance(source, (str, Path)) else list(map(Path, source))
    histories = [load_merge_history(path) for path in paths]
    with in_file(common_folder(paths)):
        return MergeHistoryEnsemble(
            histories, run_names(paths), allow_different_models=allow_different_models
        )
