"""Zip archives of arrays and texts: reproducible bytes, read safely; sparse matrices of their arrays."""

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from spdclust.core.atomic import atomic_path
from spdclust.core.errors import InputError
from spdclust.core.safe_reading import as_input_error, check_size, regular_file
from spdclust.files.zip_files import check_members_size, open_zip

PARTS = ("data", "indices", "indptr", "shape")
"""Names of the arrays of a CSR matrix, in the order of `csr_of_parts`."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
_ALLOWED_PARTS = "the data, indices, indptr and shape of a CSR matrix"


class ArrayRows:
    """An array given row by row, so that it can be written without holding all of it in memory."""

    def __init__(self, shape: tuple[int, ...], dtype: Any, rows: Iterable[Any]) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.rows = rows


Member = str | np.ndarray | ArrayRows


def write_archive(path: str | Path, members: Mapping[str, Member]) -> None:
    """Write texts and arrays (as `.npy`) into an uncompressed zip with fixed timestamps, atomically.

    Example:
        >>> write_archive(folder / "a.npz", {"x.npy": np.arange(3), "note.txt": "three"})
        >>> archive = read_archive(folder / "a.npz", arrays=["x.npy"], texts=["note.txt"])
        >>> archive["x.npy"].tolist(), archive["note.txt"]
        ([0, 1, 2], 'three')

    Raises:
        InputError: the file cannot be written.
    """
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, member in members.items():
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr = 0o644 << 16
            with archive.open(info, "w", force_zip64=True) as stream:
                for chunk in _chunks(member):
                    stream.write(chunk)


def read_archive(
    path: str | Path,
    *,
    arrays: Iterable[str] = (),
    texts: Iterable[str] = (),
    optional: Iterable[str] = (),
    kind: str = "archive",
) -> dict[str, Any]:
    """Read named arrays and texts of a zip; `optional` arrays may be missing.

    Example:
        >>> write_archive(f"{folder}/a.npz", {"x.npy": np.arange(3), "note.txt": "three"})
        >>> read_archive(f"{folder}/a.npz", texts=["note.txt"], optional=["y.npy"])
        {'note.txt': 'three'}

    Raises:
        InputError: the file does not exist or is not a zip, or a member is missing, truncated or damaged.
    """
    path = Path(path)
    wanted_arrays, wanted_texts, may_miss = list(arrays), list(texts), set(optional)
    result: dict[str, Any] = {}
    with open_zip(path, kind) as archive:
        present = set(archive.namelist())
        names = [*wanted_arrays, *sorted(may_miss), *wanted_texts]
        check_members_size(archive, path, present.intersection(names))
        for name in names:
            if name not in present:
                if name in may_miss:
                    continue
                raise InputError(
                    "member missing",
                    file=path,
                    field=name,
                    found=sorted(present)[:8],
                    allowed=f"a {kind}",
                )
            with (
                as_input_error("not a readable member", path, f"a whole {kind}", name),
                archive.open(name) as stream,
            ):
                if name in wanted_texts:
                    result[name] = stream.read().decode("utf-8")
                else:
                    result[name] = _read_array(stream, archive.getinfo(name).file_size)
    return result


def read_arrays(path: str | Path, *, kind: str = "archive") -> dict[str, np.ndarray]:
    """Read every array of a zip, by name.

    Example:
        >>> write_archive(f"{folder}/a.npz", {"x.npy": np.arange(3)})
        >>> {name: array.tolist() for name, array in read_arrays(f"{folder}/a.npz").items()}
        {'x': [0, 1, 2]}

    Raises:
        InputError: the file does not exist or is not a zip, or an array is truncated or damaged.
    """
    with open_zip(path, kind) as archive:
        names = [name for name in archive.namelist() if name.endswith(".npy")]
    read = read_archive(path, arrays=names, kind=kind)
    return {name.removesuffix(".npy"): array for name, array in read.items()}


def read_array(path: str | Path, *, kind: str) -> np.ndarray:
    """Read the array of one `.npy` file.

    Example:
        >>> np.save(f"{folder}/a.npy", np.arange(3))
        >>> read_array(f"{folder}/a.npy", kind="list of numbers").tolist()
        [0, 1, 2]

    Raises:
        InputError: the file does not exist, is truncated or damaged, or is not an array of plain values.
    """
    path = regular_file(path, f"a {kind}")
    with as_input_error(f"not a readable {kind}", path, f"a whole {kind}"), path.open("rb") as stream:
        return _read_array(stream, path.stat().st_size)


def array_header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return the shape, Fortran order and type of a `.npy` stream, and leave the stream at the data.

    Example:
        >>> stream = io.BytesIO()
        >>> np.save(stream, np.zeros((2, 3)))
        >>> _ = stream.seek(0)
        >>> array_header(stream), len(stream.read())  # six numbers of 8 bytes follow
        (((2, 3), False, dtype('float64')), 48)

    Raises:
        ValueError: the stream is not an array of plain values (NumPy raises other errors too).
    """
    version = np.lib.format.read_magic(stream)
    reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in reader:
        raise ValueError(f"npy version {version}")
    shape, fortran, dtype = reader[version](stream)
    if dtype.hasobject:
        raise ValueError("array of Python objects")
    return shape, fortran, dtype


def check_announced(shape: tuple[int, ...], dtype: np.dtype[Any], stored_bytes: int) -> None:
    """Raise an error if the size in an array's header differs from the stored size.

    Example:
        >>> check_announced((2, 3), np.dtype(np.float64), 48)
        >>> check_announced((2, 10**12), np.dtype(np.float64), 48)
        Traceback (most recent call last):
        ...
        ValueError: header announces 16000000000000 bytes, 48 are stored

    Raises:
        ValueError: the sizes differ.
    """
    announced = math.prod(shape) * dtype.itemsize
    if announced != stored_bytes or min(shape, default=0) < 0 or dtype.itemsize == 0:
        raise ValueError(f"header announces {announced} bytes, {stored_bytes} are stored")


def digest_of(*parts: Any) -> str:
    """Return the SHA-256 of arrays, texts and JSON-able values, in hex.

    Example:
        >>> digest_of(np.arange(3), "a")[:8] == digest_of(np.arange(3), "b")[:8]
        False
    """
    hasher = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            hasher.update(f"{part.dtype.str}{part.shape}".encode())
            hasher.update(np.ascontiguousarray(part).view(np.uint8).data if part.size else b"")
        else:
            text = part if isinstance(part, str) else json.dumps(part, sort_keys=True)
            hasher.update(f"text{len(text)}:".encode() + text.encode("utf-8"))
    return hasher.hexdigest()


def digest_of_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex.

    Example:
        >>> digest_of_file("/dev/null")
        Traceback (most recent call last):
        ...
        spdclust.InputError: /dev/null: not a regular file (found: a device; allowed: a file to read)

    Raises:
        InputError: the file cannot be read.
    """
    path = regular_file(path, "a file to read")
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError("cannot be read", file=path, found=error.strerror or str(error)) from error


def check_indices(matrix: Any) -> None:
    """Check that all indices of a CSR, CSC or BSR matrix are in range; SciPy's C++ code does not check them.

    Example:
        >>> matrix = sparse.csr_array((np.ones(2), np.array([0, 1]), np.array([0, 2])), shape=(1, 2))
        >>> check_indices(matrix)
        >>> matrix.indptr = np.array([0, 2, 0])
        >>> check_indices(matrix)
        Traceback (most recent call last):
        ...
        ValueError: index pointers decrease

    Raises:
        ValueError: an index is out of range.
    """
    # SciPy's own check skips them if the last one is 0
    if (matrix.indptr[1:] < matrix.indptr[:-1]).any():
        raise ValueError("index pointers decrease")
    matrix.check_format(full_check=True)


def csr_of_parts(parts: Sequence[np.ndarray], path: str | Path, field: str) -> sparse.csr_array:
    """Return the matrix of finite numbers built from four arrays of a file.

    Example:
        >>> parts = np.ones(1), np.array([7]), np.array([0, 1]), np.array([1, 2])
        >>> csr_of_parts(parts, __file__, "least_mdl")
        Traceback (most recent call last):
        ...
        spdclust.InputError: ...: least_mdl: not a sparse matrix (found: ...; allowed: the data, ...)

    Raises:
        InputError: types, lengths or indices are inconsistent, or a value is NaN or infinite.
    """
    data, indices, indptr, shape = parts
    with as_input_error("not a sparse matrix", path, _ALLOWED_PARTS, field):
        integers = all(part.dtype.kind in "iu" for part in (indices, indptr, shape))
        if shape.shape != (2,) or not integers or data.dtype.kind != "f":
            found = f"{data.dtype}, {indices.dtype}, {indptr.dtype}, shape {shape.tolist()}"
            raise InputError("not a sparse matrix", field=field, found=found, allowed=_ALLOWED_PARTS)
        check_size(8 * int(shape.max()), path, field)
        matrix = sparse.csr_array((data, indices, indptr), shape=tuple(shape.tolist()))
        check_indices(matrix)
        if not np.isfinite(data).all():
            raise InputError("a value is not a finite number", field=field, allowed=_ALLOWED_PARTS)
    return matrix


def _chunks(member: Member) -> Iterator[Any]:
    if isinstance(member, str):
        yield member.encode("utf-8")
        return
    # the header of an empty array with the shape replaced: rows need not be in memory to state it
    header = np.lib.format.header_data_from_array_1_0(np.empty((0,), member.dtype))
    header["shape"] = member.shape
    yield _header_bytes(header)
    if isinstance(member, ArrayRows):
        for row in member.rows:
            yield np.ascontiguousarray(row, dtype=member.dtype).tobytes()
    else:
        yield np.ascontiguousarray(member).tobytes()


def _header_bytes(header: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue()


def _read_array(stream: Any, stored_bytes: int) -> np.ndarray:
    """Read one `.npy` file or member; raise an error if the header does not match the stored size."""
    shape, fortran, dtype = array_header(stream)
    check_announced(shape, dtype, stored_bytes - stream.tell())
    data = stream.read()  # read to the end, so that the archive's checksum is verified
    array = np.frombuffer(data, dtype=dtype)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)
