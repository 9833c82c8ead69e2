"""Files of a whole ensemble: histories, normalised labels and assignments, distances, what they came from."""

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.core.atomic import write_text
from spdclust.core.errors import InputError, in_file
from spdclust.core.types import Float, Int
from spdclust.core.version import __version__
from spdclust.files.archive import ArrayRows, Member, digest_of_file, read_archive, write_archive
from spdclust.files.ensemble_folder import common_folder, find_histories, run_names
from spdclust.files.histories import load_merge_histories
from spdclust.partitions.ensemble import normalize_ensemble
from spdclust.partitions.normalized import MERGE_ARRAY_MAX_BYTES, NormalizedHistories


def load_normalized(histories: str | Path | Sequence[str | Path]) -> NormalizedHistories:
    """Read the histories of an ensemble and align them to a common label order and number of rows.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> from spdclust.files.histories import save_merge_history
        >>> for run in range(2):
        ...     save_merge_history(example_history(run), f"{folder}/runs/run_{run}/history.zip")
        >>> normalized = load_normalized(folder)
        >>> normalized.run_names, normalized.n_iterations
        (['run_0', 'run_1'], 11)

    Raises:
        InputError: a history cannot be read, or the runs are incompatible; the error names the folder.
    """
    ensemble = load_merge_histories(histories)
    with in_file(common_folder(histories)):
        return normalize_ensemble(ensemble)


def save_ensemble_meta(
    normalized: NormalizedHistories, path: str | Path, provenance: Mapping[str, Any] | None = None
) -> None:
    """Write `ensemble_meta.json`: component labels, properties shared by the runs, and their provenance.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> save_ensemble_meta(example_normalized(), f"{folder}/ensemble_meta.json")
        >>> metadata = json.loads((folder / "ensemble_meta.json").read_text())
        >>> metadata["n_ensemble"], metadata["c_components"]
        (2, 12)

    Raises:
        InputError: the file cannot be written.
    """
    metadata = normalized.metadata() | ({} if provenance is None else {"provenance": dict(provenance)})
    write_text(path, json.dumps(metadata, indent=2, ensure_ascii=False) + "\n")


def save_merge_array(
    normalized: NormalizedHistories, path: str | Path, *, limit: int | None = MERGE_ARRAY_MAX_BYTES
) -> bool:
    """Write `ensemble_merge_array.npz`, streamed: `merge_array`, int, `(runs, iterations, components)`.

    An array of more bytes than `limit` is omitted, which is recorded in `left_out`.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> written = save_merge_array(example_normalized(), f"{folder}/array.npz")
        >>> array = np.load(f"{folder}/array.npz")["merge_array"]
        >>> written, array.shape, array[0, 7].tolist()  # the four groups of the first run after merge 7
        (True, (2, 11, 12), [0, 0, 1, 1, 2, 3, 0, 1, 2, 2, 3, 3])

    Returns:
        Whether the array was written.

    Raises:
        InputError: the file cannot be written.
    """
    size = normalized.merge_array_bytes
    if limit is not None and size > limit:
        folder = Path(path).parent.as_posix()
        message = f"{size} bytes, above the limit of {limit}; written by: spdclust merge-array {folder}"
        write_archive(path, {"left_out.npy": np.array(message)})
        return False
    shape = (normalized.n_runs, normalized.n_iterations, normalized.n_components)
    rows = itertools.chain.from_iterable(normalized.iterate_run(run) for run in range(normalized.n_runs))
    write_archive(path, {"merge_array.npy": ArrayRows(shape, normalized.merge_array_dtype, rows)})
    return True


def save_distances(
    distances: Float[np.ndarray, "iterations runs runs"] | ArrayRows,
    path: str | Path,
    iterations: Int[np.ndarray, " iterations"] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write `distances_<method>.npz`: `distances`, float64, `(iterations, runs, runs)`, and `iterations`.

    `ArrayRows` of float64 are written as they are made. `iterations` are 0, 1, 2, … by default; `provenance`
    is stored as a JSON text.

    Example:
        >>> save_distances(np.zeros((2, 3, 3)), f"{folder}/distances.npz", np.array([0, 10]))
        >>> np.load(f"{folder}/distances.npz")["iterations"].tolist()
        [0, 10]

    Raises:
        InputError: the file cannot be written.
    """
    if not isinstance(distances, ArrayRows):
        distances = np.asarray(distances, dtype=np.float64)
    numbers = np.arange(distances.shape[0]) if iterations is None else iterations
    members: dict[str, Member] = {
        "distances.npy": distances,
        "iterations.npy": np.asarray(numbers, dtype=np.int64),
    }
    if provenance is not None:
        members["provenance.npy"] = np.array(json.dumps(dict(provenance), ensure_ascii=False))
    write_archive(path, members)


def load_distances(path: str | Path) -> Float[np.ndarray, "iterations runs runs"]:
    """Read the distances of `distances_<method>.npz`, written by spdclust or the reference implementation.

    Example:
        >>> save_distances(np.zeros((1, 2, 2)), f"{folder}/distances_matching_dist.npz")
        >>> load_distances(f"{folder}/distances_matching_dist.npz").shape
        (1, 2, 2)

    Raises:
        InputError: no such file, damaged, or not distances.
    """
    return load_distance_rows(path)[1]


def load_distance_rows(
    path: str | Path,
) -> tuple[Int[np.ndarray, " iterations"], Float[np.ndarray, "iterations runs runs"]]:
    """Read the iterations and the distances of a `distances_<method>.npz`.

    Example:
        >>> save_distances(np.zeros((2, 3, 3)), f"{folder}/distances.npz", np.array([0, 10]))
        >>> iterations, distances = load_distance_rows(f"{folder}/distances.npz")
        >>> iterations.tolist(), distances.shape
        ([0, 10], (2, 3, 3))

    Raises:
        InputError: no such file, damaged, or not distances.
    """
    read = read_archive(path, arrays=["distances.npy"], optional=["iterations.npy"], kind="distances file")
    array: np.ndarray = read["distances.npy"]
    if array.ndim != 3 or array.shape[1] != array.shape[2] or array.dtype != np.float64:
        raise InputError(
            "wrong shape",
            file=path,
            field="distances",
            found=f"{array.dtype} {array.shape}",
            allowed="float64 (iterations, runs, runs)",
        )
    iterations = read.get("iterations.npy", np.arange(len(array)))
    if iterations.shape != array.shape[:1] or iterations.dtype.kind not in "iu":
        raise InputError(
            "wrong shape",
            file=path,
            field="iterations",
            found=f"{iterations.dtype} {iterations.shape}",
            allowed=f"integers ({len(array)},)",
        )
    rising = (iterations[1:] > iterations[:-1]).all()
    if len(iterations) and not (rising and 0 <= int(iterations[0]) <= int(iterations[-1]) < 2**62):
        raise InputError(
            "iterations must be strictly increasing",
            file=path,
            field="iterations",
            allowed="0 or more, each once, in order",
        )
    # rounding may give values slightly below 0
    if np.isinf(array).any() or (array < -1e-9).any():
        raise InputError(
            "not distances", file=path, field="distances", found="a negative or infinite one",
            allowed="0 or more, or NaN in the triangle that is not filled",
        )  # fmt: skip
    return iterations.astype(np.int64), array


def ensemble_record(histories: str | Path | Sequence[str | Path]) -> dict[str, Any]:
    """Return the package's version and the SHA-256 of every history, as plain JSON types.

    Example:
        >>> _ = (folder / "history_0.zip").write_bytes(b"abc")
        >>> record = ensemble_record([f"{folder}/history_0.zip"])
        >>> {name: digest[:8] for name, digest in record["histories"].items()}
        {'history_0': 'ba7816bf'}

    Raises:
        InputError: a history cannot be read.
    """
    paths = find_histories(histories) if isinstance(histories, (str, Path)) else list(map(Path, histories))
    digests = [digest_of_file(path) for path in paths]
    return {"spdclust": __version__, "histories": dict(zip(run_names(paths), digests, strict=True))}


def shared_values(records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the entries that are equal in all records.

    Example:
        >>> shared_values([{"seed": 0, "code": "a"}, {"seed": 1, "code": "a"}])
        {'code': 'a'}
    """
    first, *others = records
    return {
        name: value
        for name, value in first.items()
        if all(json.dumps(each.get(name)) == json.dumps(value) for each in others)
    }
