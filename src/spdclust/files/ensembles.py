"""Files of a whole ensemble: normalised labels and assignments, distances."""

import itertools
import json
from pathlib import Path

import numpy as np

from spdclust.ensemble import NormalizedHistories
from spdclust.errors import InputError
from spdclust.files.archive import ArrayRows, read_archive, write_archive
from spdclust.files.atomic import write_text
from spdclust.types import Float

MERGE_ARRAY_LIMIT = 2**30
"""Bytes above which `ensemble_merge_array.npz` holds no array but the words that say so."""


def save_ensemble_meta(normalized: NormalizedHistories, path: str | Path) -> None:
    """Write `ensemble_meta.json`: component labels and what the runs have in common.

    Raises:
        InputError: the file cannot be written.
    """
    write_text(path, json.dumps(normalized.metadata(), indent=2, ensure_ascii=False) + "\n")


def save_merge_array(
    normalized: NormalizedHistories, path: str | Path, *, limit: int | None = MERGE_ARRAY_LIMIT
) -> bool:
    """Write `ensemble_merge_array.npz`, streamed: `merge_array`, int, `(runs, iterations, components)`.

    Args:
        normalized: the ensemble.
        path: the `.npz` file.
        limit: above this many bytes the array is left out, and the file says so in `left_out`; None writes
            it whatever its size.

    Returns:
        Whether the array was written.

    Raises:
        InputError: the file cannot be written.
    """
    shape = (normalized.n_runs, normalized.n_iterations, normalized.n_components)
    index_type = np.int16 if normalized.n_components <= 2**15 - 1 else np.int32
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(index_type).itemsize
    if limit is not None and size > limit:
        message = f"{size} bytes, above the limit of {limit}; spdclust merge-array --all writes it"
        write_archive(path, {"left_out.npy": np.array(message)})
        return False
    rows = itertools.chain.from_iterable(normalized.iterate_run(run) for run in range(normalized.n_runs))
    write_archive(path, {"merge_array.npy": ArrayRows(shape, index_type, rows)})
    return True


def save_distances(distances: Float[np.ndarray, "iterations runs runs"], path: str | Path) -> None:
    """Write `distances_<method>.npz`: `distances`, float64, `(iterations, runs, runs)`.

    Raises:
        InputError: the file cannot be written.
    """
    write_archive(path, {"distances.npy": np.asarray(distances, dtype=np.float64)})


def load_distances(path: str | Path) -> Float[np.ndarray, "iterations runs runs"]:
    """Read `distances_<method>.npz`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_distances(np.zeros((1, 2, 2)), f"{folder}/distances_matching_dist.npz")
        ...     load_distances(f"{folder}/distances_matching_dist.npz").shape
        (1, 2, 2)

    Raises:
        InputError: no such file, damaged, or not distances.
    """
    array: np.ndarray = read_archive(path, arrays=["distances.npy"], what="distances file")["distances.npy"]
    if array.ndim != 3 or array.shape[1] != array.shape[2] or array.dtype != np.float64:
        raise InputError(
            "wrong shape",
            file=path,
            field="distances",
            found=f"{array.dtype} {array.shape}",
            allowed="float64 (iterations, runs, runs)",
        )
    return array
