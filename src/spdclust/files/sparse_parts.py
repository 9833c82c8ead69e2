"""Build sparse matrices from the arrays of a file, which may be inconsistent."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import as_input_error, check_size

PARTS = ("data", "indices", "indptr", "shape")
"""Names of the arrays of a CSR matrix, in the order of `csr_of_parts`."""

_ALLOWED = "the data, indices, indptr and shape of a CSR matrix"


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

    Args:
        parts: the arrays, in the order of `PARTS`.
        path: the file.
        field: name of the matrix in the file.

    Raises:
        InputError: types, lengths or indices are inconsistent, or a value is NaN or infinite.
    """
    data, indices, indptr, shape = parts
    with as_input_error("not a sparse matrix", path, _ALLOWED, field):
        integers = all(part.dtype.kind in "iu" for part in (indices, indptr, shape))
        if shape.shape != (2,) or not integers or data.dtype.kind != "f":
            found = f"{data.dtype}, {indices.dtype}, {indptr.dtype}, shape {shape.tolist()}"
            raise InputError("not a sparse matrix", field=field, found=found, allowed=_ALLOWED)
        check_size(8 * int(shape.max()), path, field)
        matrix = sparse.csr_array((data, indices, indptr), shape=tuple(shape.tolist()))
        check_indices(matrix)
        if not np.isfinite(data).all():
            raise InputError("a value is not a finite number", field=field, allowed=_ALLOWED)
    return matrix
