"""Batches of the reference implementation's branch with several batches: `batch_<b>.zip`.

Members: `activations.npy` `(samples, components)` and `labels.txt`, one label per line.
"""

from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import as_input_error, check_size
from spdclust.core.types import Labels
from spdclust.files.archive import array_header, check_announced, read_archive
from spdclust.files.zip_files import check_members_size, open_zip

_WHAT = "batch_<b>.zip with activations.npy and labels.txt"
_ACTIVATIONS, _LABELS = "activations.npy", "labels.txt"
_NUMBERS_AT_ONCE = 1 << 24


def read_zipped_batch(path: Path) -> tuple[sparse.csr_array, Labels]:
    """Return the activations of a batch, sparse, and its labels; the dense array is read in pieces.

    Example:
        >>> import tempfile
        >>> from spdclust.files.archive import write_archive
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "batch_0000.zip")
        ...     members = {"activations.npy": np.array([[0.0, 0.5], [0.25, 0.0]]), "labels.txt": "m:0\\nm:1"}
        ...     write_archive(path, members)
        ...     rows, labels = read_zipped_batch(path)
        >>> rows.toarray().tolist(), labels
        ([[0.0, 0.5], [0.25, 0.0]], ['m:0', 'm:1'])

    Raises:
        InputError: the file is damaged, a member is missing, or the labels do not fit.
    """
    labels = zipped_batch_labels(path)
    with open_zip(path, _WHAT) as archive:
        (n_rows, n_columns), fortran, dtype = _header(archive, path)
        check_size(8 * n_rows, path, _ACTIVATIONS)
        if len(labels) != n_columns:
            raise InputError(
                "one label per component is needed",
                file=path,
                field=_LABELS,
                found=f"{len(labels)} labels",
                allowed=f"{n_columns} labels, one for each column of {_ACTIVATIONS}",
            )
        kind = np.float64 if dtype == np.float64 else np.float32
        # a file in Fortran order holds one column after the other
        n_lines, width = (n_columns, n_rows) if fortran else (n_rows, n_columns)
        at_once = max(1, _NUMBERS_AT_ONCE // max(1, width))
        pieces = [sparse.csr_array((0, width), dtype=kind)]
        with (
            as_input_error("not a readable member", path, _WHAT, _ACTIVATIONS),
            archive.open(_ACTIVATIONS) as stream,
            np.errstate(over="ignore"),  # values too large become infinite and are rejected
        ):
            array_header(stream)
            for start in range(0, n_lines, at_once):
                n = min(at_once, n_lines - start)
                block = np.frombuffer(stream.read(n * width * dtype.itemsize), dtype=dtype).reshape(n, width)
                pieces.append(sparse.csr_array(block.astype(kind)))
            stream.read()  # to the end, so that the checksum is verified
    lines = sparse.vstack(pieces, format="csr")
    return sparse.csr_array(lines.T if fortran else lines), labels


def zipped_batch_labels(path: Path) -> Labels:
    """Return the labels of a batch, without reading its activations.

    Example:
        >>> import tempfile
        >>> from spdclust.files.archive import write_archive
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_archive(f"{folder}/batch_0.zip", {"labels.txt": "m:0\\nm:1"})
        ...     zipped_batch_labels(Path(folder, "batch_0.zip"))
        ['m:0', 'm:1']

    Raises:
        InputError: the file is damaged, or has no labels.
    """
    text: str = read_archive(path, texts=[_LABELS], what=_WHAT)[_LABELS]
    return text.removesuffix("\n").split("\n")


def zipped_batch_shape(path: Path) -> tuple[int, int]:
    """Return the number of samples and components of a batch, without reading it.

    Example:
        >>> import tempfile
        >>> from spdclust.files.archive import write_archive
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_archive(f"{folder}/batch_0.zip", {"activations.npy": np.zeros((3, 2))})
        ...     zipped_batch_shape(Path(folder, "batch_0.zip"))
        (3, 2)

    Raises:
        InputError: the file is damaged, or is not such a batch.
    """
    with open_zip(path, _WHAT) as archive:
        return _header(archive, path)[0]


def _header(archive: Any, path: Path) -> tuple[tuple[int, int], bool, np.dtype[Any]]:
    if _ACTIVATIONS not in archive.namelist():
        raise InputError(
            "member missing",
            file=path,
            field=_ACTIVATIONS,
            found=sorted(archive.namelist())[:8],
            allowed=_WHAT,
        )
    check_members_size(archive, path, [_ACTIVATIONS])
    with (
        as_input_error("not a readable array", path, _WHAT, _ACTIVATIONS),
        archive.open(_ACTIVATIONS) as stream,
    ):
        shape, fortran, dtype = array_header(stream)
        check_announced(shape, dtype, archive.getinfo(_ACTIVATIONS).file_size - stream.tell())
    if len(shape) != 2 or dtype.kind not in "biuf":
        raise InputError(
            "not a matrix of numbers",
            file=path,
            field=_ACTIVATIONS,
            found=f"{dtype} of shape {shape}",
            allowed="(samples, components)",
        )
    return (shape[0], shape[1]), fortran, dtype
