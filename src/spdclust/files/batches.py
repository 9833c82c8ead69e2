"""Activation batches on disk: `batch_<b>.pt`, sparse, checked, one in memory at a time."""

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from spdclust.errors import InputError
from spdclust.files.archive import digest_of
from spdclust.files.atomic import atomic_path
from spdclust.files.examples import TokenExamples
from spdclust.merge.activations import ProcessedActivations
from spdclust.types import Float, Labels

FORMAT = "spdclust.activation_batch"
FORMAT_VERSION = 1
_ALLOWED = "a batch written by spdclust"


@dataclass(frozen=True, eq=False)
class ActivationBatch:
    """One batch of activations with what it was made from.

    Example:
        >>> batch = ActivationBatch.from_dense(np.array([[0.0, 0.9]]), ["m:0", "m:1"], seed=7)
        >>> batch.n_samples, batch.maxima.tolist(), batch.seed
        (1, [0.0, 0.9], 7)

    Attributes:
        activations: the causal importances, sparse, with their labels.
        seed: seed that the samples were drawn with.
        provenance: texts saying what made it (source checkpoint, its digest, …).
        maxima: each component's largest causal importance over the samples.
        means: each component's mean causal importance over the samples.
        examples: tokens of the first samples, where they were kept.
    """

    activations: ProcessedActivations
    seed: int = 0
    provenance: Mapping[str, str] = field(default_factory=dict)
    maxima: Float[np.ndarray, " components"] = field(default_factory=lambda: np.empty(0))
    means: Float[np.ndarray, " components"] = field(default_factory=lambda: np.empty(0))
    examples: TokenExamples | None = None

    def __post_init__(self) -> None:
        if len(self.maxima) != self.activations.n_components:
            object.__setattr__(self, "maxima", self.activations.maxima())
            object.__setattr__(self, "means", self.activations.means())

    @classmethod
    def from_dense(
        cls, array: Any, labels: Labels, seed: int = 0, provenance: Mapping[str, str] | None = None
    ) -> "ActivationBatch":
        """Build from a dense `(samples, components)` NumPy array or torch tensor.

        Raises:
            InputError: shape, labels or values do not fit.
        """
        return cls(ProcessedActivations.from_dense(array, labels), seed, dict(provenance or {}))

    @classmethod
    def from_sparse(
        cls, matrix: Any, labels: Labels, seed: int = 0, provenance: Mapping[str, str] | None = None
    ) -> "ActivationBatch":
        """Build from any `scipy.sparse` `(samples, components)` matrix.

        Raises:
            InputError: labels or values do not fit.
        """
        return cls(ProcessedActivations.from_sparse(matrix, labels), seed, dict(provenance or {}))

    @property
    def matrix(self) -> sparse.csr_array:
        """The `(samples, components)` CSR matrix of causal importances."""
        return self.activations.matrix

    @property
    def labels(self) -> Labels:
        """Names of the components."""
        return self.activations.labels

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return self.activations.n_samples

    @property
    def n_components(self) -> int:
        """Number of components."""
        return self.activations.n_components

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
        import torch

        kept = self.examples
        arrays = self._arrays() | ({} if kept is None else kept.arrays())
        texts = {
            "format": FORMAT,
            "format_version": str(FORMAT_VERSION),
            "labels": "\n".join(self.labels),
            "seed": str(self.seed),
            **({} if kept is None else kept.texts()),
            **{f"provenance.{name}": text for name, text in sorted(self.provenance.items())},
        }
        payload: dict[str, Any] = {name: torch.from_numpy(array) for name, array in arrays.items()}
        payload |= texts
        payload["checksum"] = digest_of(*arrays.values(), texts)
        # through a stream: given a path, torch.save would put the temporary name into the file
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            torch.save(payload, stream)

    def _arrays(self) -> dict[str, np.ndarray]:
        matrix = self.matrix
        all_ones = bool((matrix.data == 1).all())
        return {
            "shape": np.array(matrix.shape, dtype=np.int64),
            "indptr": matrix.indptr.astype(np.int32 if matrix.nnz < 2**31 else np.int64),
            "indices": matrix.indices.astype(np.uint16 if self.n_components <= 2**16 else np.int32),
            # an active component is most often exactly 1, and then needs no value
            "values": np.empty(0, matrix.data.dtype) if all_ones else matrix.data,
            # in the activations' own precision, in which thresholds are compared
            "maxima": np.asarray(self.maxima, dtype=matrix.data.dtype),
            "means": np.asarray(self.means, dtype=np.float64),
        }

    @classmethod
    def load(cls, path: str | Path) -> "ActivationBatch":
        """Read and verify a batch.

        Raises:
            InputError: no such file, truncated, damaged, or not a batch of ours.
        """
        path = Path(path)
        arrays, texts = _read(path)
        checksum = texts.pop("checksum", None)
        if checksum != digest_of(*arrays.values(), texts):
            raise InputError("checksum does not match: the file is damaged", file=path, allowed=_ALLOWED)
        try:
            matrix = _matrix(arrays, path)
            labels = texts["labels"].split("\n") if matrix.shape[1] else []
            return cls(
                ProcessedActivations.from_sparse(matrix, labels),
                int(texts["seed"]),
                {
                    name.removeprefix("provenance."): t
                    for name, t in texts.items()
                    if name.startswith("provenance.")
                },
                arrays["maxima"],
                arrays["means"],
                TokenExamples.stored(arrays, texts),
            )
        except KeyError as error:
            raise InputError(
                "member missing", file=path, field=str(error.args[0]), allowed=_ALLOWED
            ) from error
        except InputError as error:
            raise error.located(file=path) from error


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read tensors and strings, and nothing else, from a `.pt` file."""
    import torch

    if not path.is_file():
        raise InputError("no such file", file=path, allowed=_ALLOWED)
    try:
        payload = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, ValueError, EOFError, KeyError, OSError, pickle.UnpicklingError) as error:
        raise InputError(
            "not a readable batch (truncated, damaged or not a batch)",
            file=path,
            found=str(error).split("\n")[0],
            allowed=_ALLOWED,
        ) from error
    if not isinstance(payload, dict) or payload.get("format") != FORMAT:
        raise InputError("not an activation batch", file=path, field="format", allowed=_ALLOWED)
    if payload.get("format_version") != str(FORMAT_VERSION):
        raise InputError(
            "unknown format version",
            file=path,
            field="format_version",
            found=payload.get("format_version"),
            allowed=str(FORMAT_VERSION),
        )
    arrays = {name: value.numpy() for name, value in payload.items() if isinstance(value, torch.Tensor)}
    texts = {name: value for name, value in payload.items() if isinstance(value, str)}
    return arrays, texts


def _matrix(arrays: dict[str, np.ndarray], path: Path) -> sparse.csr_array:
    n_samples, n_components = (int(n) for n in arrays["shape"])
    indptr, indices, values = arrays["indptr"], arrays["indices"], arrays["values"]
    if (
        len(indptr) != n_samples + 1
        or (np.diff(indptr) < 0).any()
        or indptr[0] != 0
        or indptr[-1] != len(indices)
        or len(values) not in (0, len(indices))
        or (len(indices) and int(indices.max()) >= n_components)
        or len(arrays["maxima"]) != n_components
        or len(arrays["means"]) != n_components
    ):
        raise InputError("sparse arrays do not fit together", file=path, field="indptr", allowed=_ALLOWED)
    if len(values) == 0:
        values = np.ones(len(indices), dtype=values.dtype)
    index_type = np.int32 if len(indices) < 2**31 else np.int64
    return sparse.csr_array(
        (values, indices.astype(index_type), indptr.astype(index_type)), shape=(n_samples, n_components)
    )


class BatchedActivations:
    """All `batch_*.pt` of a folder in numeric order, given round-robin, one in memory at a time.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for b in (0, 1):
        ...         batch = ActivationBatch.from_dense([[b + 1.0]], ["m:0"])
        ...         batch.save(f"{folder}/batch_{b}.pt")
        ...     batches = BatchedActivations(folder)
        ...     batches.n_batches, [float(batches.get_next_batch().maxima[0]) for _ in range(3)]
        (2, [1.0, 2.0, 1.0])

    Args:
        source: a folder of batches, or the batch files themselves in the order wanted.

    Raises:
        InputError: no batches there, or their labels differ.
    """

    def __init__(self, source: str | Path | list[Path] | list[str]) -> None:
        if isinstance(source, (str, Path)):
            self.paths = find_batches(source)
        else:
            self.paths = [Path(path) for path in source]
        if not self.paths:
            raise InputError("no batches given", field="source", allowed="at least one batch_<b>.pt")
        self._next = 0
        self._stats: tuple[np.ndarray, np.ndarray] | None = None
        self._digests: list[str] = []
        first = self._load(0)
        self.labels: Labels = first.labels
        self._held: tuple[int, ActivationBatch] | None = (0, first)

    @property
    def n_batches(self) -> int:
        """Number of batches."""
        return len(self.paths)

    def get_next_batch(self) -> ActivationBatch:
        """Return the next batch; after the last one comes the first again.

        Raises:
            InputError: the batch cannot be read.
        """
        number = self._next
        self._next = (number + 1) % self.n_batches
        if self._held is None or self._held[0] != number:
            self._held = None  # let the old batch go before the new one is read
            self._held = (number, self._load(number))
        batch = self._held[1]
        if self.n_batches > 1:
            self._held = None
        return batch

    def component_stats(
        self,
    ) -> tuple[Float[np.ndarray, "batches components"], Float[np.ndarray, "batches components"]]:
        """Return every component's maximum and mean in every batch, without reading the activations.

        Raises:
            InputError: a batch cannot be read or has other labels.
        """
        if self._stats is None:
            maxima, means, self._digests = [], [], []
            for path in self.paths:
                arrays, texts = _read(path)
                self._check_labels(path, texts.get("labels", "").split("\n"))
                maxima.append(np.array(arrays["maxima"]))
                means.append(np.array(arrays["means"]))
                self._digests.append(texts.get("checksum", ""))
            self._stats = np.stack(maxima), np.stack(means)
        return self._stats

    @property
    def digests(self) -> list[str]:
        """The checksum of every batch, in order: what the activations were."""
        self.component_stats()
        return self._digests

    def _load(self, number: int) -> ActivationBatch:
        batch = ActivationBatch.load(self.paths[number])
        if hasattr(self, "labels"):
            self._check_labels(self.paths[number], batch.labels)
        return batch

    def _check_labels(self, path: Path, labels: Labels) -> None:
        if labels != self.labels:
            raise InputError(
                "labels differ from those of the first batch",
                file=path,
                field="labels",
                found=f"{len(labels)} labels",
                allowed=f"the {len(self.labels)} labels of {self.paths[0]}",
            )


def find_batches(folder: str | Path) -> list[Path]:
    """Return the `batch_<b>.pt` files of a folder in numeric order.

    Raises:
        InputError: no such folder, or no batch in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError("no such folder", file=folder, allowed="a folder with batch_<b>.pt files")
    numbered = {
        int(match[1]): path
        for path in folder.iterdir()
        if (match := re.fullmatch(r"batch_(\d+)\.pt", path.name))
    }
    if not numbered:
        raise InputError("no batches in this folder", file=folder, allowed="files named batch_<b>.pt")
    return [numbered[number] for number in sorted(numbered)]
