"""The interface of a model for sampling batches."""

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from scipy import sparse

from spdclust.core.types import Int, Labels
from spdclust.models.task import Task

if TYPE_CHECKING:
    from spdclust.models.sparse_rows import RowCollector


@runtime_checkable
class SamplingModel(Protocol):
    """A model that computes causal importances of its components.

    Attributes:
        digest: digest of the weights, so that batches of different weights are not reused.
    """

    digest: str

    @property
    def labels(self) -> Labels:
        """`"<module>:<index>"` for every component."""

    @property
    def task(self) -> Task | None:
        """The training task; None if the model draws its inputs itself."""

    def sparse_activations(
        self,
        inputs: Any,
        causal_importance: str = "lower_leaky",
        positions: Int[np.ndarray, "rows chosen"] | None = None,
    ) -> sparse.csr_array:
        """Return causal importances, one row per sample, columns in the order of the labels."""

    def collect_rows(
        self,
        rows: "RowCollector",
        inputs: Any,
        causal_importance: str = "lower_leaky",
        positions: Int[np.ndarray, "rows chosen"] | None = None,
    ) -> None:
        """Add the same samples to a collector, which may keep only the sets of active components."""
