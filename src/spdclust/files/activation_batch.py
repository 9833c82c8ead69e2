"""One activation batch, saved and loaded: sparse causal importances with their provenance."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from spdclust.core.arguments import (
    check_fields,
    checked,
    dense_array,
    file_path,
    instance,
    optional,
    text_mapping,
    texts,
    whole,
)
from spdclust.core.safe_reading import as_input_error
from spdclust.core.types import Brief, Float, Labels
from spdclust.files.batch_format import ALLOWED
from spdclust.files.stored_batch import StoredBatch, TokenExamples, batch_to_store
from spdclust.merge.activations import ActiveSets, ProcessedActivations


@dataclass(frozen=True, eq=False, repr=False)
class ActivationBatch(Brief):
    """One batch of activations with its provenance.

    Example:
        >>> batch = ActivationBatch.from_dense(np.array([[0.0, 0.9]]), ["m:0", "m:1"], seed=7)
        >>> batch.n_samples, batch.maxima.tolist(), batch.seed
        (1, [0.0, 0.9], 7)

    Attributes:
        activations: the causal importances, sparse, with their labels.
        seed: seed used to draw the samples.
        provenance: origin of the batch as strings (source checkpoint, its digest, …).
        maxima: each component's largest causal importance over the samples.
        means: each component's mean causal importance over the samples.
        examples: tokens of the first samples, if they were stored.
    """

    activations: ProcessedActivations
    seed: int = 0
    provenance: Mapping[str, str] = field(default_factory=dict)
    maxima: Float[np.ndarray, " components"] = field(default_factory=lambda: np.empty(0))
    means: Float[np.ndarray, " components"] = field(default_factory=lambda: np.empty(0))
    examples: TokenExamples | None = None

    def __post_init__(self) -> None:
        statistics = dense_array(1, "f", axes="(components,)")
        check_fields(
            self,
            activations=instance(ProcessedActivations, allowed="ProcessedActivations"),
            seed=whole(at_least=0),
            provenance=text_mapping,
            maxima=statistics,
            means=statistics,
            examples=optional(instance(TokenExamples, allowed="TokenExamples")),
        )
        if len(self.maxima) != self.activations.n_components:
            object.__setattr__(self, "maxima", self.activations.maxima())
            object.__setattr__(self, "means", self.activations.means())

    @classmethod
    @checked(labels=texts, provenance=optional(text_mapping))
    def from_dense(
        cls, array: Any, labels: Labels, seed: int = 0, provenance: Mapping[str, str] | None = None
    ) -> "ActivationBatch":
        """Build from a dense `(…, components)` NumPy array or torch tensor; leading axes are samples.

        Raises:
            InputError: the shape, labels or values are invalid.
        """
        return cls(ProcessedActivations.from_dense(array, labels), seed, dict(provenance or {}))

    @classmethod
    @checked(labels=texts, provenance=optional(text_mapping))
    def from_sparse(
        cls, matrix: Any, labels: Labels, seed: int = 0, provenance: Mapping[str, str] | None = None
    ) -> "ActivationBatch":
        """Build from a `scipy.sparse` `(…, components)` matrix or a sparse torch tensor.

        Raises:
            InputError: the labels or values are invalid.
        """
        return cls(ProcessedActivations.from_sparse(matrix, labels), seed, dict(provenance or {}))

    def _facts(self) -> dict[str, object]:
        return {**self.activations._facts(), "seed": self.seed, "has_examples": self.examples is not None}

    @property
    def matrix(self) -> sparse.csr_array:
        """The `(samples, components)` CSR matrix of causal importances."""
        return self.activations.matrix

    @property
    def labels(self) -> Labels:
        """Names of the components."""
        return self.activations.labels

    @property
    def threshold(self) -> float | None:
        """Threshold of the sets of active components if only these are kept; None if the values are."""
        return self.activations.threshold

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return self.activations.n_samples

    @property
    def n_components(self) -> int:
        """Number of components."""
        return self.activations.n_components

    @checked(path=file_path)
    def save(self, path: str | Path) -> None:
        """Write the batch as plain tensors and strings, in the narrowest exact types.

        Example:
            >>> import tempfile
            >>> batch = ActivationBatch.from_dense(np.eye(2), ["m:0", "m:1"], seed=3)
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     batch.save(f"{folder}/batch_0.pt")
            ...     ActivationBatch.load(f"{folder}/batch_0.pt").matrix.toarray().tolist()
            [[1.0, 0.0], [0.0, 1.0]]

        Raises:
            InputError: the file cannot be written.
        """
        batch_to_store(
            self._arrays(),
            self.labels,
            self.seed,
            self.provenance,
            threshold=self.threshold,
            examples=self.examples,
        ).save(path)

    def _arrays(self) -> dict[str, np.ndarray]:
        matrix = self.matrix
        return {
            "shape": np.array(matrix.shape, dtype=np.int64),
            "indptr": matrix.indptr,
            "indices": matrix.indices,
            "values": matrix.data,
            # in the precision of the activations, in which thresholds are compared
            "maxima": np.asarray(self.maxima, dtype=matrix.data.dtype),
            "means": np.asarray(self.means, dtype=np.float64),
        }

    @classmethod
    @checked(path=file_path)
    def load(cls, path: str | Path) -> "ActivationBatch":
        """Read and verify a batch.

        Raises:
            InputError: the file does not exist, is truncated or damaged, or is not an spdclust batch.
        """
        return cls.from_stored(StoredBatch.open(path))

    @classmethod
    @checked(stored=instance(StoredBatch, allowed="a StoredBatch"))
    def from_stored(cls, stored: StoredBatch) -> "ActivationBatch":
        """Read an open batch file into memory.

        Raises:
            InputError: its arrays are inconsistent, or a value is NaN or infinite.
        """
        assert stored.path is not None
        with as_input_error("not a batch written by spdclust", stored.path, ALLOWED):
            read = ProcessedActivations.from_sparse(stored.matrix, stored.labels, copy=False)
            maxima, means = (np.array(stored.arrays[name]) for name in ("maxima", "means"))
            if stored.threshold is not None:
                read = replace(read, sets=ActiveSets(stored.threshold, maxima, means))
            return cls(
                read,
                stored.seed,
                stored.provenance,
                maxima,
                means,
                stored.examples,
            )
