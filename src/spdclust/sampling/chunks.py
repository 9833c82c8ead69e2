"""The interfaces of sampling: inputs in chunks of one forward pass, positions that are samples, a model."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from spdclust.core.types import Int, Labels
from spdclust.models.config import Task

if TYPE_CHECKING:
    from spdclust.models.sparse_rows import RowCollector


@dataclass(frozen=True, eq=False)
class InputChunk:
    """Inputs of one forward pass.

    Attributes:
        inputs: `(rows, …)` in the form required by the model.
        positions: `(rows, chosen)` the positions of each sequence that become samples; None for all.
    """

    inputs: Any
    positions: Int[np.ndarray, "rows chosen"] | None = None


def random_positions(
    n_rows: int, length: int, per_row: int | None, generator: np.random.Generator
) -> Int[np.ndarray, "rows chosen"] | None:
    """Return distinct random positions of every row in order; None for all positions.

    Example:
        >>> random_positions(2, 5, 3, np.random.default_rng(0)).shape
        (2, 3)
    """
    if per_row is None:
        return None
    order = generator.random((n_rows, length)).argsort(axis=1, kind="stable")
    return np.sort(order[:, :per_row], axis=1)


@runtime_checkable
class InputSource(Protocol):
    """Inputs of batches, one batch per seed.

    Attributes:
        n_samples: samples in a batch.
        provenance: origin of the inputs as strings.
    """

    n_samples: int
    provenance: dict[str, str]

    def draw(self, seed: int) -> Iterator[InputChunk]:
        """Yield the inputs of one batch; samples beyond `n_samples` in the last chunk are ignored."""

    def token_texts(self, tokens: Int[np.ndarray, " tokens"]) -> list[str]:
        """Return the texts of tokens, for display."""


@dataclass
class DrawnSource:
    """Inputs that a function draws: that of a toy model's task, or a model's own.

    Example:
        >>> source = DrawnSource(lambda n, seed: np.full((n, 2), seed), 3, batch_size=2)
        >>> [chunk.inputs.tolist() for chunk in source.draw(seed=7)]
        [[[7, 7], [7, 7]], [[7, 7]]]
    """

    draw_inputs: Callable[[int, int], Any]
    n_samples: int
    batch_size: int
    provenance: dict[str, str] = field(default_factory=dict)

    def draw(self, seed: int) -> Iterator[InputChunk]:
        """Yield the inputs returned by the function for the seed, `batch_size` rows at a time."""
        rows = self.draw_inputs(self.n_samples, seed)
        for start in range(0, len(rows), self.batch_size):
            yield InputChunk(rows[start : start + self.batch_size])

    def token_texts(self, tokens: Int[np.ndarray, " tokens"]) -> list[str]:
        """Return the numbers; their texts are unknown."""
        return [str(token) for token in tokens]


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
