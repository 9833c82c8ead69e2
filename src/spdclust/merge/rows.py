"""Any matrix of activations as sparse rows: NumPy, SciPy or PyTorch, dense or sparse, of any number of axes.

The last axis holds the components; all axes before it (sequence, position) are flattened into samples in
row-major order. float64 stays float64, every other type of number becomes float32.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from spdclust.core.arguments import shown
from spdclust.core.errors import InputError

NUMBERS_AT_ONCE = 1 << 24
"""Dense numbers that are converted at a time."""

_DENSE = "(…, components) of numbers, with at least one axis of samples; from_sparse takes sparse ones"
_SPARSE = "a scipy.sparse matrix or sparse tensor (…, components) of numbers; from_dense takes dense ones"


def dense_rows(array: Any, field: str = "array") -> sparse.csr_array:
    """Return the samples of a dense array or tensor, converted piece by piece.

    Example:
        >>> dense_rows(np.ones((2, 3, 4), dtype=np.float16)).shape
        (6, 4)

    Raises:
        InputError: the array is sparse, has fewer than two axes, or holds anything but real numbers.
    """
    if is_sparse(array):
        raise InputError("a sparse matrix", field=field, found=_kind(array), allowed=_DENSE)
    if hasattr(array, "detach"):
        array = array.detach()
    else:
        try:
            array = np.asarray(array)
        except (TypeError, ValueError):  # lists of different lengths
            raise InputError("not an array", field=field, found=shown(array), allowed=_DENSE) from None
    wide = _check(array, field, "not an array of numbers", _DENSE)
    n_rows, n_columns = flattened(array.shape)
    rows = array.reshape(n_rows, n_columns)
    at_once = max(1, NUMBERS_AT_ONCE // max(1, n_columns))
    with np.errstate(over="ignore"):  # values too large for float32 become infinite, which is rejected later
        pieces = [
            sparse.csr_array(_floats(rows[start : start + at_once], wide))
            for start in range(0, n_rows, at_once)
        ]
    if not pieces:
        return sparse.csr_array((n_rows, n_columns), dtype=np.float64 if wide else np.float32)
    return pieces[0] if len(pieces) == 1 else sparse.vstack(pieces, format="csr")


def sparse_rows(matrix: Any, field: str = "matrix", *, copy: bool = True) -> sparse.csr_array:
    """Return the samples of a sparse matrix or tensor of any layout and number of axes.

    Example:
        >>> import torch
        >>> sparse_rows(torch.ones(2, 3, 4).to_sparse()).shape
        (6, 4)

    Args:
        matrix: `(…, components)`; hybrid tensors, whose last axes are dense, too.
        field: name of the argument, for messages.
        copy: whether to copy the matrix; False may reuse its arrays.

    Raises:
        InputError: the matrix is dense, has fewer than two axes, or holds anything but real numbers.
    """
    if not is_sparse(matrix):
        found = _kind(matrix) if hasattr(matrix, "dtype") else type(matrix).__name__
        raise InputError("not a sparse matrix", field=field, found=found, allowed=_SPARSE)
    wide = _check(matrix, field, "not a sparse matrix of numbers", _SPARSE)
    dtype = np.float64 if wide else np.float32
    if hasattr(matrix, "detach"):
        return _rows_of_tensor(matrix, wide)
    if matrix.ndim > 2:
        coo = matrix.tocoo()
        return rows_at([*coo.coords], coo.data, coo.shape).astype(dtype, copy=False)
    return sparse.csr_array(matrix, copy=copy).astype(dtype, copy=False)


def rows_at(coordinates: Sequence[Any], values: Any, shape: Sequence[int]) -> sparse.csr_array:
    """Return samples from the coordinates of their values, one array for each axis; repeated ones are summed.

    Example:
        >>> rows_at([[0, 1], [2, 0], [1, 1]], [0.5, 0.25], (2, 3, 2)).toarray().nonzero()
        (array([2, 3]), array([1, 1]))

    Raises:
        ValueError: a coordinate is outside the shape.
    """
    *leading, columns = (np.asarray(axis, dtype=np.int64) for axis in coordinates)
    n_rows, n_columns = flattened(shape)
    numbers = np.ravel_multi_index(tuple(leading), tuple(shape[:-1])) if len(columns) else leading[0]
    coo = sparse.coo_array((np.asarray(values), (numbers, columns)), shape=(n_rows, n_columns))
    return coo.tocsr()


def flattened(shape: Sequence[int]) -> tuple[int, int]:
    """Return the number of samples and components of a shape with any number of leading axes.

    Example:
        >>> flattened((2, 3, 4))
        (6, 4)
    """
    return math.prod(int(n) for n in shape[:-1]), int(shape[-1])


def is_sparse(matrix: Any) -> bool:
    """Return whether a value is a SciPy sparse matrix or a sparse PyTorch tensor.

    Example:
        >>> is_sparse(sparse.eye_array(2)), is_sparse(np.eye(2))
        (True, False)
    """
    return sparse.issparse(matrix) or str(getattr(matrix, "layout", "torch.strided")) != "torch.strided"


def _kind(matrix: Any) -> str:
    layout = f"{matrix.layout} " if is_sparse(matrix) and hasattr(matrix, "layout") else ""
    return f"{layout}{str(matrix.dtype).removeprefix('torch.')} {tuple(matrix.shape)}"


def _check(matrix: Any, field: str, problem: str, allowed: str) -> bool:
    """Check type and axes of an array or tensor; return whether it is float64."""
    if hasattr(matrix, "is_complex"):  # a torch tensor, without importing torch here
        real = not (matrix.is_complex() or matrix.is_quantized)
    else:
        real = matrix.dtype.kind in "biuf"
    if not real or matrix.ndim < 2:
        problem = problem if not real else "wrong number of axes"
        raise InputError(problem, field=field, found=_kind(matrix), allowed=allowed)
    return str(matrix.dtype) in ("float64", "torch.float64")


def _floats(piece: Any, wide: bool) -> np.ndarray:
    if hasattr(piece, "detach"):
        piece = (piece.double() if wide else piece.float()).cpu().numpy()
    return np.asarray(piece, dtype=np.float64 if wide else np.float32)


def _rows_of_tensor(tensor: Any, wide: bool) -> sparse.csr_array:
    tensor = tensor.detach().cpu()
    coo = (tensor if str(tensor.layout) == "torch.sparse_coo" else tensor.to_sparse_coo()).coalesce()
    indices, values = coo.indices(), coo.values()
    if coo.dense_dim():
        entries = values.flatten(1).nonzero()  # entry, then place in the axes that are dense
        inner = np.unravel_index(entries[:, 1].numpy(), tuple(values.shape[1:]))
        indices = [*indices[:, entries[:, 0]].numpy(), *inner]
        values = values.flatten(1)[entries[:, 0], entries[:, 1]]
    else:
        indices = list(indices.numpy())
    return rows_at(indices, _floats(values, wide), tuple(tensor.shape))
