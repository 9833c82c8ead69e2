"""Temporary files between the jobs that share the distances of an ensemble: aligned merges, and parts.

Both are archives that also hold a `record.json`: what they were made from and, for a part, which one it is.
"""

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import as_input_error, parse_json
from spdclust.core.types import Float
from spdclust.files.archive import ArrayRows, array_header, check_announced, read_archive, write_archive
from spdclust.files.ensemble_folder import DISTANCES_MERGES, DISTANCES_PART
from spdclust.files.zip_files import open_zip
from spdclust.partitions.trajectory import AlignedMerges, iteration_rows

_RECORD = "record.json"
_MERGES = "file of aligned merges"
_PART = "part of the distances"
_BYTES_AT_ONCE = 1 << 26


def save_aligned_merges(aligned: AlignedMerges, path: str | Path, made_from: Mapping[str, Any]) -> None:
    """Write the merges of all runs, one array a run.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> aligned = AlignedMerges.of(example_normalized())
        >>> save_aligned_merges(aligned, f"{folder}/merges.tmp", {"spdclust": "1"})
        >>> read = load_aligned_merges(f"{folder}/merges.tmp", [1])
        >>> made_from = merges_made_from(f"{folder}/merges.tmp")
        >>> list(read.of_runs), read.n_components, made_from
        ([1], 12, {'spdclust': '1'})

    Raises:
        InputError: the file cannot be written.
    """
    record = {
        "n_components": aligned.n_components,
        "n_iterations": aligned.n_iterations,
        "n_runs": aligned.n_runs,
        "made_from": dict(made_from),
    }
    arrays = {f"run_{run}.npy": merges.astype(np.int32) for run, merges in aligned.of_runs.items()}
    write_archive(path, {_RECORD: json.dumps(record), **arrays})


def merges_made_from(path: str | Path) -> dict[str, Any]:
    """Return what aligned merges were made from, see `ensemble_record`.

    Example:
        >>> merges_made_from("no_such.tmp")
        Traceback (most recent call last):
        ...
        spdclust.InputError: no_such.tmp: no such file (allowed: a file of aligned merges)

    Raises:
        InputError: the file does not exist or is damaged.
    """
    record = _read_record(path, _MERGES)
    with as_input_error(f"not a readable {_MERGES}", Path(path), f"a whole {_MERGES}", _RECORD):
        return dict(record["made_from"])


def load_aligned_merges(path: str | Path, runs: Iterable[int]) -> AlignedMerges:
    """Read the merges of some runs; the others are not read.

    Example:
        >>> load_aligned_merges("no_such.tmp", [0])
        Traceback (most recent call last):
        ...
        spdclust.InputError: no_such.tmp: no such file (allowed: a file of aligned merges)

    Raises:
        InputError: the file does not exist, is damaged, or does not have these runs.
    """
    record = _read_record(path, _MERGES)
    names = {run: f"run_{run}.npy" for run in runs}
    read = read_archive(path, arrays=names.values(), kind=_MERGES)
    with as_input_error(f"not a readable {_MERGES}", Path(path), f"a whole {_MERGES}", _RECORD):
        merges = {run: read[name].astype(np.int64) for run, name in names.items()}
        return AlignedMerges(merges, record["n_components"], record["n_iterations"], record["n_runs"])


def save_part(
    distances: Mapping[str, Float[np.ndarray, "pairs iterations"]],
    path: str | Path,
    record: Mapping[str, Any],
) -> None:
    """Write the distances of some pairs of runs, one row an iteration.

    Example:
        >>> part = {"matching_dist": np.array([[1.0, 2.0, 3.0]])}  # one pair, three iterations
        >>> save_part(part, f"{folder}/part.tmp", {"part": 1})
        >>> [row.tolist() for row in part_rows([f"{folder}/part.tmp"], "matching_dist", [1], 3)]
        [[1.0], [2.0], [3.0]]

    Raises:
        InputError: the file cannot be written.
    """
    members = {
        f"{method}.npy": ArrayRows(pairs.shape[::-1], np.float64, iteration_rows(pairs))
        for method, pairs in distances.items()
    }
    write_archive(path, {_RECORD: json.dumps(dict(record)), **members})


def check_part(path: str | Path, expected: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of a part, which must have the expected entries.

    Example:
        >>> save_part({"matching_dist": np.zeros((1, 3))}, f"{folder}/part.tmp", {"part": 1})
        >>> check_part(f"{folder}/part.tmp", {"part": 2})
        Traceback (most recent call last):
        ...
        spdclust.InputError: ...part.tmp: part: made from something else (found: 1; allowed: 2; delete the
        file to have it made again)

    Raises:
        InputError: the file does not exist or is damaged, or an entry differs.
    """
    record = _read_record(path, _PART)
    for key, value in expected.items():
        if record.get(key) != value:
            plain = isinstance(value, int)
            raise InputError(
                "made from something else",
                file=path,
                field=key,
                found=record.get(key) if plain else None,
                allowed=f"{value if plain else 'the histories of this ensemble'}; delete the file to have it "
                "made again",
            )
    return record


def part_rows(
    paths: Sequence[str | Path], method: str, n_pairs: Sequence[int], n_rows: int
) -> Iterator[Float[np.ndarray, " pairs"]]:
    """Yield the distances of the pairs of all parts after each iteration, read a few rows at a time.

    Example:
        >>> paths = [f"{folder}/part_{part}.tmp" for part in (1, 2)]
        >>> for part, path in enumerate(paths):
        ...     save_part({"matching_dist": np.full((2, 3), float(part))}, path, {})
        >>> next(part_rows(paths, "matching_dist", [2, 2], 3)).tolist()
        [0.0, 0.0, 1.0, 1.0]

    Raises:
        InputError: a part does not exist, is damaged, or has another size.
    """
    with ExitStack() as stack:
        streams = [
            stack.enter_context(_opened(stack, Path(path), f"{method}.npy", (n_rows, n)))
            for path, n in zip(paths, n_pairs, strict=True)
        ]
        at_once = max(1, _BYTES_AT_ONCE // (8 * sum(n_pairs)))
        for start in range(0, n_rows, at_once):
            n = min(at_once, n_rows - start)
            parts = [
                _read_rows(stream, Path(path), f"{method}.npy", (n, size))
                for stream, path, size in zip(streams, paths, n_pairs, strict=True)
            ]
            yield from np.concatenate(parts, axis=1)


def _opened(stack: ExitStack, path: Path, name: str, shape: tuple[int, int]) -> zipfile.ZipExtFile:
    """Return a stream at the first row of an array, after a check of its header."""
    archive = stack.enter_context(open_zip(path, _PART))
    with as_input_error(f"not a readable {_PART}", path, f"a whole {_PART}", name):
        stream = archive.open(name)
        assert isinstance(stream, zipfile.ZipExtFile)
        found, fortran, dtype = array_header(stream)
        check_announced(found, dtype, archive.getinfo(name).file_size - stream.tell())
        if found != shape or fortran or dtype != np.float64:
            raise ValueError(f"{dtype} {found}, not float64 {shape}")
    return stream


def _read_rows(stream: zipfile.ZipExtFile, path: Path, name: str, shape: tuple[int, int]) -> np.ndarray:
    # at the end of the array, the archive's checksum is verified
    with as_input_error(f"not a readable {_PART}", path, f"a whole {_PART}", name):
        return np.frombuffer(stream.read(8 * shape[0] * shape[1]), dtype=np.float64).reshape(shape)


def _read_record(path: str | Path, kind: str) -> dict[str, Any]:
    text = read_archive(path, texts=[_RECORD], kind=kind)[_RECORD]
    with as_input_error(f"not a readable {kind}", Path(path), f"a whole {kind}", _RECORD):
        record = parse_json(text)
        if not isinstance(record, dict):
            raise ValueError("not a mapping")
    return record


def remove_other_parts(folder: str | Path, parts: Iterable[str | Path] = ()) -> None:
    """Remove temporary files of distances that an interrupted workflow with another number of jobs has left.

    `parts` are in use, and stay; if there are none, the aligned merges go, too.

    Example:
        >>> names = ["distances_part_1_of_2.tmp", "distances_part_1_of_3.tmp", "groups.json"]
        >>> for name in names:
        ...     Path(folder, name).touch()
        >>> remove_other_parts(folder, [folder / "distances_part_1_of_3.tmp"])
        >>> sorted(path.name for path in folder.iterdir())
        ['distances_part_1_of_3.tmp', 'groups.json']
    """
    names = {Path(part).name for part in parts}
    found = list(Path(folder).glob(DISTANCES_PART.format(part="*", of="*")))
    for path in found if names else [*found, Path(folder, DISTANCES_MERGES)]:
        if path.name not in names:
            path.unlink(missing_ok=True)
