"""What making batches needs of a model, whoever wrote it."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
from scipy import sparse

from spdclust.core.types import Int, Labels
from spdclust.models.task import Task


@runtime_checkable
class SamplingModel(Protocol):
    """A model that gives causal importances of its components.

    Attributes:
        digest: what its weights are, so that batches of other weights are not taken for its own.
    """

    digest: str

    @property
    def labels(self) -> Labels:
        """`"<module>:<index>"` for every component."""

    @property
    def task(self) -> Task | None:
        """What it was trained on; None where the model draws its inputs itself."""

    def sparse_activations(
        self,
        inputs: Any,
        causal_importance: str = "lower_leaky",
        positions: Int[np.ndarray, "rows chosen"] | None = None,
    ) -> sparse.csr_array:
        """Return causal importances, one row a sample, columns in the order of the labels."""
