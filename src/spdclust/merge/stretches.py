"""Read a batch one stretch of samples at a time, without copying it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse

from spdclust.core.errors import InputError

ENTRIES_PER_STRETCH = 1 << 24
"""Approximate number of stored values per stretch; limits the size of temporary arrays."""

MOST_SAMPLES = 2**31 - 1
"""Counts and sample numbers are 32-bit."""


def stretches(batch: Any, entries: int | None = None) -> Iterator[tuple[int, Any]]:
    """Yield a batch's CSR matrix in stretches of samples, each with the number of its first sample.

    Example:
        >>> from spdclust.merge.activations import ProcessedActivations
        >>> acts = ProcessedActivations.from_dense(np.eye(3), ["m:0", "m:1", "m:2"])
        >>> [(first, rows.toarray().tolist()) for first, rows in stretches(acts)]  # small: all in one
        [(0, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])]

    Args:
        batch: a `Batch`; if it has `chunks()`, these are its stretches.
        entries: approximate number of stored values per stretch; `ENTRIES_PER_STRETCH` by default.
    """
    first = 0
    if hasattr(batch, "chunks"):
        for chunk in batch.chunks():
            yield first, chunk
            first += chunk.shape[0]
        return
    matrix = batch.matrix
    entries = ENTRIES_PER_STRETCH if entries is None else entries
    while first < matrix.shape[0]:
        end = np.searchsorted(matrix.indptr, int(matrix.indptr[first]) + entries, side="right")
        last = min(max(int(end) - 1, first + 1), matrix.shape[0])
        yield first, rows_between(matrix, first, last)
        first = last


def rows_between(matrix: sparse.csr_array, first: int, last: int) -> sparse.csr_array:
    """Return consecutive rows of a CSR matrix as a view; slicing copies its data.

    Example:
        >>> rows_between(sparse.csr_array(np.diag([1.0, 2.0, 3.0])), 1, 3).toarray().tolist()
        [[0.0, 2.0, 0.0], [0.0, 0.0, 3.0]]

    Args:
        matrix: the matrix.
        first: the first row.
        last: the row after the last one.
    """
    start, end = matrix.indptr[first], matrix.indptr[last]
    rows = sparse.csr_array((last - first, matrix.shape[1]), dtype=matrix.dtype)
    # given to the constructor, views of less than half an array are copied
    rows.data, rows.indices = matrix.data[start:end], matrix.indices[start:end]
    rows.indptr = matrix.indptr[first : last + 1] - start
    return rows


def count_samples(batch: Any) -> int:
    """Return the number of samples of a batch.

    Example:
        >>> from spdclust.merge.activations import ProcessedActivations
        >>> count_samples(ProcessedActivations.from_sparse(sparse.csr_array((5, 2)), ["a", "b"]))
        5

    Raises:
        InputError: there are more samples than a 32-bit number can index.
    """
    n_samples = int(batch.n_samples) if hasattr(batch, "chunks") else int(batch.matrix.shape[0])
    if n_samples > MOST_SAMPLES:
        raise InputError(
            "too many samples in one batch",
            field="activations",
            found=n_samples,
            allowed=f"at most {MOST_SAMPLES}",
        )
    return n_samples
