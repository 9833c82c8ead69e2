"""Sparse activations in arrays: coordinates of the values that are not 0, or the top k of each sample."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from spdclust.core.errors import InputError
from spdclust.merge.rows import flattened, is_sparse, rows_at
from spdclust.user_files.contents import OwnContent, check_shape, describe


def coordinates(
    locations: Any,
    values: Any,
    path: Path,
    *,
    leading: Sequence[int] | None = None,
    width: int | None = None,
) -> OwnContent:
    """Return the activations given by the coordinates of the values that are not 0; repeated ones are summed.

    Example:
        >>> locations = np.array([[0, 1, 4], [1, 0, 2]], dtype=np.uint16)  # sequence, position, component
        >>> content = coordinates(locations, np.array([0.5, 2.0]), Path(__file__))
        >>> content.n_samples, content.n_components, content.states_width
        (4, 5, False)

    Args:
        locations: integers `(n, axes)`, the component last.
        values: `(n,)`.
        path: the file, for messages.
        leading: sizes of the axes of samples; those of the largest coordinates if None.
        width: number of components; one more than the largest coordinate if None.

    Raises:
        InputError: the arrays are inconsistent, or a coordinate is outside the shape.
    """
    places, numbers = _array(locations), _array(values)
    fits = places.ndim == 2 and places.shape[1] >= 2 and places.dtype.kind in "iu"
    if leading is not None:
        fits = fits and places.shape[1] == len(leading) + 1
    if not fits or numbers.shape != places.shape[:1] or numbers.dtype.kind not in "biuf":
        n_axes = "at least 2" if leading is None else str(len(leading) + 1)
        raise InputError(
            "locations and activations do not fit together",
            file=path,
            found=f"locations {describe(locations)}, activations {describe(values)}",
            allowed=f"integers (n, axes) with {n_axes} axes, the component last, and n numbers",
        )
    largest = [int(n) for n in places.max(axis=0, initial=0)]
    shape = [n + 1 for n in largest]
    if leading is not None:
        shape[:-1] = leading
    if width is not None:
        shape[-1] = width
    if places.min(initial=0) < 0 or any(n >= limit for n, limit in zip(largest, shape, strict=True)):
        raise InputError(
            "a location is out of range",
            file=path,
            field="locations",
            found=f"{int(places.min(initial=0))} to {largest}",
            allowed=f"0 to {[n - 1 for n in shape]}" if places.min(initial=0) >= 0 else "0 or more",
        )
    n_samples, n_components = flattened(shape)
    check_shape(n_samples, n_components, path)
    return OwnContent(
        n_samples,
        n_components,
        lambda: rows_at([*places.T], _floats(numbers), shape),
        states_width=width is not None,
    )


def top_k(indices: Any, values: Any, path: Path, *, width: int | None = None) -> OwnContent:
    """Return the activations given by the active components of each sample; repeated ones are summed.

    Example:
        >>> content = top_k(np.array([[2, 0], [1, 2]]), np.array([[0.5, 0.25], [1.0, 0.0]]), Path(__file__))
        >>> content.rows().toarray().tolist()
        [[0.25, 0.0, 0.5], [0.0, 1.0, 0.0]]

    Raises:
        InputError: the arrays are inconsistent, or an index is negative or too large.
    """
    columns, numbers = _array(indices), _array(values)
    if (
        columns.shape != numbers.shape
        or columns.ndim < 2
        or columns.dtype.kind not in "iu"
        or numbers.dtype.kind not in "biuf"
    ):
        raise InputError(
            "indices and values do not fit together",
            file=path,
            found=f"indices {describe(indices)}, values {describe(values)}",
            allowed="integers (…, k) and numbers of the same shape",
        )
    n_samples, k = flattened(columns.shape)
    widest = int(columns.max(initial=-1)) + 1
    if columns.min(initial=0) < 0 or (width is not None and widest > width):
        raise _outside(path, "indices", columns, width)
    n_components = widest if width is None else width
    check_shape(n_samples, n_components, path)

    def rows() -> sparse.csr_array:
        indptr = np.arange(n_samples + 1) * k
        parts = _floats(numbers).ravel(), columns.ravel(), indptr
        return sparse.csr_array(parts, shape=(n_samples, n_components))

    return OwnContent(n_samples, n_components, rows, states_width=width is not None)


def _array(values: Any) -> np.ndarray:
    if is_sparse(values):
        return np.empty(())
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() and values.element_size() < 4 else values
        return np.asarray(values.numpy())
    return np.asarray(values)


def _floats(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return values.astype(np.float64 if values.dtype == np.float64 else np.float32, copy=False)


def _outside(path: Path, field: str, columns: np.ndarray, width: int | None) -> InputError:
    return InputError(
        "a component is out of range",
        file=path,
        field=field,
        found=f"{columns.min(initial=0)} to {columns.max(initial=0)}",
        allowed="0 or more" if width is None else f"0 to {width - 1}",
    )
