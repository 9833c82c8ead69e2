"""Sources of a merge's activations: one batch in memory, or batches served round-robin, read in pieces."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
from scipy import sparse

from spdclust.core.errors import InputError
from spdclust.core.types import Labels
from spdclust.merge.activations import ProcessedActivations, check_threshold

ENTRIES_PER_STRETCH = 1 << 24
"""Approximate number of stored values per stretch; limits the size of temporary arrays."""

MOST_SAMPLES = 2**31 - 1
"""Counts and sample numbers are 32-bit."""


@runtime_checkable
class Batch(Protocol):
    """One batch of activations in memory."""

    @property
    def matrix(self) -> Any:
        """`(samples, components)` scipy CSR matrix of causal importances."""

    @property
    def labels(self) -> Labels:
        """One name per component."""


@runtime_checkable
class BatchSource(Protocol):
    """Batches of one run, served round-robin, all over the same components.

    A source may have three more members: `threshold`, that of the sets of active components if its batches
    hold no values; `rewind`, after which the next batch is batch 0; and `get_next_stored`, the same as
    `get_next_batch` for a batch that is read from disk in pieces, with `labels`, `n_samples` and `chunks()`,
    or `readers()` as the function of this name returns.
    """

    @property
    def labels(self) -> Labels:
        """One name per component, the same in every batch."""

    @property
    def n_batches(self) -> int:
        """Number of different batches."""

    def get_next_batch(self) -> Batch:
        """Return the next batch, starting with batch 0 and wrapping around after the last one."""

    def component_stats(self) -> tuple[np.ndarray, np.ndarray]:
        """Return maxima and means, each `(batches, components)`, maxima in the activations' precision.

        Must not load all batches at once. Dead components are excluded on the basis of these values alone.
        """


class BatchesInMemory:
    """A `BatchSource` over activations that are already in memory.

    Example:
        >>> acts = [ProcessedActivations.from_dense(np.eye(2) * scale, ["a:0", "a:1"]) for scale in (1, 2)]
        >>> source = BatchesInMemory(acts)
        >>> [source.get_next_batch().maxima().tolist() for _ in range(3)]
        [[1.0, 1.0], [2.0, 2.0], [1.0, 1.0]]

    Raises:
        InputError: there is no batch, or batches differ in their labels or thresholds.
    """

    def __init__(self, batches: Sequence[ProcessedActivations]) -> None:
        if not batches:
            raise InputError("no batches given", field="activations", allowed="at least one batch")
        for position, batch in enumerate(batches):
            if batch.labels != batches[0].labels:
                raise InputError(
                    "batches differ in their labels",
                    field=f"activations[{position}].labels",
                    allowed="the same components in the same order in every batch",
                )
            if batch.threshold != batches[0].threshold:
                raise InputError(
                    "batches differ in their threshold",
                    field=f"activations[{position}].threshold",
                    found=batch.threshold,
                    allowed=f"{batches[0].threshold}, as in the first batch",
                )
        self._batches = list(batches)
        self._next = 0

    @property
    def labels(self) -> Labels:
        """One name per component."""
        return self._batches[0].labels

    @property
    def threshold(self) -> float | None:
        """Threshold of the sets if only these are known; None if the values are."""
        return self._batches[0].threshold

    @property
    def n_batches(self) -> int:
        """Number of batches."""
        return len(self._batches)

    def get_next_batch(self) -> ProcessedActivations:
        """Return the next batch, round-robin from batch 0."""
        batch = self._batches[self._next]
        self._next = (self._next + 1) % len(self._batches)
        return batch

    def rewind(self) -> None:
        """Make batch 0 the next one."""
        self._next = 0

    def component_stats(self) -> tuple[np.ndarray, np.ndarray]:
        """Return maxima and means, each `(batches, components)`."""
        return np.stack([b.maxima() for b in self._batches]), np.stack([b.means() for b in self._batches])


def as_batch_source(activations: Any) -> BatchSource:
    """Return activations, a list of them or a source of batches as a source that starts with batch 0.

    Example:
        >>> as_batch_source(ProcessedActivations.from_dense([[1.0]], ["a:0"])).n_batches
        1

    Raises:
        InputError: it is none of these.
    """
    if isinstance(activations, ProcessedActivations):
        return BatchesInMemory([activations])
    if isinstance(activations, list | tuple) and all(
        isinstance(batch, ProcessedActivations) for batch in activations
    ):
        return BatchesInMemory(activations)
    if isinstance(activations, BatchSource):
        rewind(activations)
        return activations
    raise InputError(
        "cannot merge this",
        field="activations",
        found=type(activations).__name__,
        allowed="ProcessedActivations, a list of them, or BatchedActivations",
    )


def rewind(source: BatchSource) -> None:
    """Make batch 0 the next one, so that a result does not depend on what read the source before.

    Example:
        >>> source = as_batch_source([ProcessedActivations.from_dense([[x]], ["a:0"]) for x in (0.1, 0.2)])
        >>> _ = source.get_next_batch()
        >>> rewind(source)
        >>> source.get_next_batch().maxima().round(1).tolist()
        [0.1]
    """
    back = getattr(source, "rewind", None)
    if back is not None:
        back()


def next_batch(source: BatchSource) -> Any:
    """Return the next batch of a source, in a form that is read in pieces if it has one.

    Example:
        >>> source = as_batch_source(ProcessedActivations.from_dense([[1.0]], ["a:0"]))
        >>> next_batch(source).n_samples
        1
    """
    stored = getattr(source, "get_next_stored", None)
    return source.get_next_batch() if stored is None else stored()


def check_source(source: BatchSource, threshold: float | None) -> None:
    """Check that a threshold can be applied to the batches of a source.

    Example:
        >>> acts = ProcessedActivations.from_dense([[0.5]], ["a:0"])
        >>> check_source(as_batch_source(acts), None), check_source(as_batch_source(acts.as_sets(0.1)), 0.1)
        (None, None)

    Raises:
        InputError: the batches hold no values, and another threshold or the values are asked for.
    """
    files = getattr(source, "paths", [None])
    check_threshold(
        getattr(source, "threshold", None), threshold, field="activation_threshold", file=files[0]
    )


def stretches(batch: Any, entries: int | None = None) -> Iterator[tuple[int, Any]]:
    """Yield a batch's CSR matrix in stretches of samples, each with the number of its first sample.

    Example:
        >>> from spdclust.merge.activations import ProcessedActivations
        >>> acts = ProcessedActivations.from_dense(np.eye(3), ["m:0", "m:1", "m:2"])
        >>> [(first, rows.toarray().tolist()) for first, rows in stretches(acts)]  # small: all in one
        [(0, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])]

    Args:
        batch: a `Batch`; if it has `readers()` or `chunks()`, these are its stretches.
        entries: approximate number of stored values per stretch; `ENTRIES_PER_STRETCH` by default.
    """
    first = 0
    for _, read in readers(batch, entries):
        rows = read()
        yield first, rows
        first += rows.shape[0]


def readers(batch: Any, entries: int | None = None) -> Iterator[tuple[int, Callable[[], sparse.csr_array]]]:
    """Yield the number of stored values of each stretch of samples, and a function that reads it.

    Example:
        >>> from spdclust.merge.activations import ProcessedActivations
        >>> acts = ProcessedActivations.from_dense(np.eye(3), ["m:0", "m:1", "m:2"])
        >>> [(n_stored, read().shape) for n_stored, read in readers(acts)]
        [(3, (3, 3))]

    Args:
        batch: as for `stretches`. Any thread may read.
        entries: as for `stretches`.
    """
    if hasattr(batch, "readers"):
        yield from batch.readers()
        return
    if hasattr(batch, "chunks"):
        for chunk in batch.chunks():
            yield chunk.nnz, partial(_itself, chunk)
        return
    matrix, first = batch.matrix, 0
    entries = ENTRIES_PER_STRETCH if entries is None else entries
    while first < matrix.shape[0]:
        # a number of another type would make NumPy copy the whole array, each time
        most = min(int(matrix.indptr[first]) + entries, int(matrix.indptr[-1]))
        end = np.searchsorted(matrix.indptr, matrix.indptr.dtype.type(most), side="right")
        last = min(max(int(end) - 1, first + 1), matrix.shape[0])
        n_stored = int(matrix.indptr[last]) - int(matrix.indptr[first])
        yield n_stored, partial(rows_between, matrix, first, last)
        first = last


def _itself(rows: sparse.csr_array) -> sparse.csr_array:
    return rows


def rows_between(matrix: sparse.csr_array, first: int, last: int) -> sparse.csr_array:
    """Return consecutive rows of a CSR matrix as a view; slicing copies its data.

    Example:
        >>> rows_between(sparse.csr_array(np.diag([1.0, 2.0, 3.0])), 1, 3).toarray().tolist()
        [[0.0, 2.0, 0.0], [0.0, 0.0, 3.0]]
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
