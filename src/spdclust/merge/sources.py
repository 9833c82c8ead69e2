"""Sources of a merge's activations: one batch in memory, or batches served round-robin."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from spdclust.core.errors import InputError
from spdclust.core.types import Labels
from spdclust.merge.activations import ProcessedActivations


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
    """Batches of one run, served round-robin, all over the same components."""

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
        InputError: there is no batch, or batches differ in their labels.
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
        self._batches = list(batches)
        self._next = 0

    @property
    def labels(self) -> Labels:
        """One name per component."""
        return self._batches[0].labels

    @property
    def n_batches(self) -> int:
        """Number of batches."""
        return len(self._batches)

    def get_next_batch(self) -> ProcessedActivations:
        """Return the next batch, round-robin from batch 0."""
        batch = self._batches[self._next]
        self._next = (self._next + 1) % len(self._batches)
        return batch

    def component_stats(self) -> tuple[np.ndarray, np.ndarray]:
        """Return maxima and means, each `(batches, components)`."""
        return np.stack([b.maxima() for b in self._batches]), np.stack([b.means() for b in self._batches])


def as_batch_source(activations: Any) -> BatchSource:
    """Return activations, a list of them or a source of batches as a source of batches.

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
        return activations
    raise InputError(
        "cannot merge this",
        field="activations",
        found=type(activations).__name__,
        allowed="ProcessedActivations, a list of them, or BatchedActivations",
    )
