"""Activations so small that their products are 0 in float32, multiplied by a power of two for each component.

Similarities and memberships do not depend on the scale of a component, and a power of two changes no digit.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from spdclust.core.types import Int
from spdclust.merge.sources import BatchSource, readers

SMALL = 1e-12
"""Products of activations above this are exact to the last digit that counts."""


def exponents_of_small(
    sources: Sequence[BatchSource], columns: Sequence[np.ndarray], n_components: int, threshold: float
) -> Int[np.ndarray, " components"] | None:
    """Return the power of two that brings each small component to about 1; None if no component is small.

    Example:
        >>> from spdclust.merge.activations import ProcessedActivations
        >>> from spdclust.merge.sources import as_batch_source
        >>> source = as_batch_source(ProcessedActivations.from_dense([[1e-20, 0.5]], ["m:0", "m:1"]))
        >>> exponents_of_small([source], [np.array([0, 1])], 2, 0.0).tolist()
        [66, 0]

    Args:
        sources: the batches of each run.
        columns: for each run, the component of each column; -1 for columns that are not used.
        n_components: number of components.
        threshold: above which a component is active.
    """
    if threshold >= SMALL:
        return None
    largest = np.zeros(n_components)
    for source, own in zip(sources, columns, strict=True):
        maxima = source.component_stats()[0].max(axis=0, initial=0.0)
        if getattr(source, "threshold", None) is not None:  # sets: their entries are 1
            maxima = (maxima > 0).astype(float)
        np.maximum.at(largest, own[own >= 0], maxima[own >= 0])
    is_small = (largest > 0) & (largest < SMALL)
    return np.where(is_small, -np.frexp(largest)[1], 0) if is_small.any() else None


class Rescaled:
    """A batch with its active entries multiplied by powers of two, and the others 0.

    Args:
        batch: the batch.
        exponents: the power of each column.
        threshold: entries greater than this are active.
    """

    def __init__(self, batch: Any, exponents: Int[np.ndarray, " own"], threshold: float) -> None:
        self._batch, self._exponents, self._threshold = batch, exponents, threshold

    def readers(self) -> Iterator[tuple[int, Callable[[], Any]]]:
        """Yield the number of stored values of each stretch of samples, and a function that reads it."""
        for n_stored, read in readers(self._batch):
            yield n_stored, partial(self._rescaled, read)

    def _rescaled(self, read: Callable[[], Any]) -> Any:
        matrix = read()
        if matrix.data.dtype == np.bool_:
            return matrix
        is_active = matrix.data > matrix.data.dtype.type(self._threshold)
        matrix = matrix.copy()
        matrix.data = np.where(is_active, np.ldexp(matrix.data, self._exponents[matrix.indices]), 0)
        return matrix
