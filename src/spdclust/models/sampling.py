"""The interface of a model for sampling batches."""

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

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

    def collect_rows(
        self,
        rows: "RowCollector",
        inputs: Any,
        causal_importance: str = "lower_leaky",
        positions: Int[np.ndarray, "rows chosen"] | None = None,
    ) -> None:
        """Add the causal importances on some inputs to a collector, components in the order of the labels.

        The collector may keep only the sets of active components.
        """
