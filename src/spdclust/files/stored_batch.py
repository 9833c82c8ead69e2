"""A batch in the form that its file has: narrow arrays, read from disk one stretch of samples at a time.

Tokens may be stored with it, to show the contexts that activate a group.
"""

import json
import mmap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from spdclust.core.atomic import atomic_path
from spdclust.core.errors import InputError
from spdclust.core.safe_reading import as_input_error
from spdclust.core.types import Int, Labels
from spdclust.files.batch_format import (
    ALLOWED,
    FORMAT,
    FORMAT_VERSION,
    SETS_VERSION,
    THRESHOLD,
    Arrays,
    Texts,
    check_rows,
    checksums,
    read_whole,
    stored_matrix,
    stored_provenance,
    stored_shape,
    stored_threshold,
)
from spdclust.merge.activations import check_labels

_NAMES = ("example_tokens", "example_samples", "example_vocabulary")
_ALLOWED = "tokens as spdclust writes them"


@dataclass(frozen=True, eq=False)
class TokenExamples:
    """The tokens of some sequences of a batch, and the samples that they belong to.

    Example:
        >>> examples = TokenExamples(np.array([[7, 8, 7]]), np.array([[0, 0], [0, 2]]), {7: "a", 8: " b"})
        >>> examples.n_samples, examples.context(1)
        (2, (['a', ' b', 'a'], 2))

    Attributes:
        tokens: `(sequences, positions)` token ids.
        samples: `(samples, 2)` the sequence and the position of the batch's first samples, in their order.
        vocabulary: text of each token that occurs.
    """

    tokens: Int[np.ndarray, "sequences positions"]
    samples: Int[np.ndarray, "samples 2"]
    vocabulary: Mapping[int, str]

    @property
    def n_samples(self) -> int:
        """Number of samples, from the start of the batch, whose tokens are known."""
        return len(self.samples)

    def context(self, sample: int) -> tuple[list[str], int]:
        """Return the token texts of a sample's sequence and the position of the sample in it."""
        sequence, position = (int(n) for n in self.samples[sample])
        return [self.vocabulary[int(token)] for token in self.tokens[sequence]], position

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the parts that are stored as tensors."""
        largest = int(self.tokens.max(initial=0))
        return {
            "example_tokens": self.tokens.astype(np.uint16 if largest < 2**16 else np.int32),
            "example_samples": self.samples.astype(np.int32),
            "example_vocabulary": np.array(sorted(self.vocabulary), dtype=np.int32),
        }

    def texts(self) -> dict[str, str]:
        """Return the parts that are stored as text."""
        written = [self.vocabulary[number] for number in sorted(self.vocabulary)]
        return {"example_texts": json.dumps(written, ensure_ascii=False)}

    @classmethod
    def stored(cls, arrays: Mapping[str, np.ndarray], texts: Mapping[str, str]) -> "TokenExamples | None":
        """Return the examples among the members of a batch file, or None if it has none.

        Raises:
            InputError: the members are inconsistent.
        """
        if "example_tokens" not in arrays:
            return None
        tokens, samples, numbers = (arrays[name].astype(np.int64) for name in _NAMES)
        written = json.loads(texts["example_texts"])
        fits = (
            tokens.ndim == samples.ndim == 2
            and samples.shape[1] == 2
            and numbers.ndim == 1
            and isinstance(written, list)
            and all(isinstance(text, str) for text in written)
            and len(written) == len(numbers) == len(np.unique(numbers))
            and np.isin(tokens, numbers).all()
            and (samples >= 0).all()
            and (samples < np.array(tokens.shape)).all()
        )
        if not fits:
            raise InputError("tokens are inconsistent", field="example_tokens", allowed=_ALLOWED)
        return cls(tokens, samples, dict(zip(numbers.tolist(), written, strict=True)))


def samples_of(
    n_sequences: int, n_ctx: int, positions: Int[np.ndarray, "rows chosen"] | None
) -> Int[np.ndarray, "samples 2"]:
    """Return the sequence and the position of every sample, in row-major order.

    Example:
        >>> samples_of(2, 3, np.array([[0, 2], [1, 2]])).tolist()
        [[0, 0], [0, 2], [1, 1], [1, 2]]
        >>> samples_of(1, 2, None).tolist()
        [[0, 0], [0, 1]]
    """
    chosen = np.tile(np.arange(n_ctx), (n_sequences, 1)) if positions is None else positions
    sequences = np.repeat(np.arange(n_sequences), chosen.shape[1])
    return np.column_stack([sequences, chosen.ravel()])


ENTRIES_PER_CHUNK = 1 << 20
"""Approximate number of entries that are read at a time. Larger arrays would get new memory each time."""

_ARRAYS = ("shape", "indptr", "indices", "values", "maxima", "means")


@dataclass(frozen=True, eq=False)
class StoredBatch:
    """The arrays and texts of a batch file, mapped from disk or about to be written.

    Attributes:
        arrays: `shape`, `indptr`, `indices` and `values` of a CSR matrix, `maxima` and `means` of its
            columns; without values all entries are 1.
        texts: `labels`, one a line, `seed`, the threshold of sets, and the provenance.
        path: the file, if it was read from one.
    """

    arrays: Arrays
    texts: Texts
    labels: Labels
    path: Path | None = None

    @classmethod
    def open(cls, path: str | Path) -> "StoredBatch":
        """Open and verify a batch; its entries stay on disk.

        Raises:
            InputError: the file does not exist, is truncated or damaged, or is not an spdclust batch.
        """
        path = Path(path)
        arrays, texts = read_whole(path)
        # the digest has read all pages once: they need not stay in memory
        _release(arrays)
        with as_input_error("not a batch written by spdclust", path, ALLOWED):
            missing = [name for name in ("labels", "seed") if name not in texts]
            missing += [name for name in _ARRAYS if name not in arrays]
            if missing:
                raise InputError("member missing", field=missing[0], allowed=ALLOWED)
            stored_threshold(arrays, texts, path)
            n_components = stored_shape(arrays, path)[1]
            check_rows(arrays, path)
            labels = texts["labels"].split("\n") if n_components else []
            check_labels(labels, n_components)
        return cls(arrays, texts, labels, path)

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return int(self.arrays["shape"][0])

    @property
    def n_components(self) -> int:
        """Number of components."""
        return int(self.arrays["shape"][1])

    @property
    def n_entries(self) -> int:
        """Number of values other than 0, or of members of the sets."""
        return len(self.arrays["indices"])

    @property
    def threshold(self) -> float | None:
        """Threshold of the sets of active components; None if values are stored."""
        return float(self.texts[THRESHOLD]) if THRESHOLD in self.texts else None

    @property
    def seed(self) -> int:
        """Seed used to draw the samples."""
        return int(self.texts["seed"])

    @property
    def provenance(self) -> dict[str, str]:
        """Origin of the batch as strings."""
        return stored_provenance(self.texts)

    @property
    def examples(self) -> TokenExamples | None:
        """Tokens of the first samples, if they were stored."""
        assert self.path is not None
        with as_input_error("not a batch written by spdclust", self.path, ALLOWED):
            return TokenExamples.stored(self.arrays, self.texts)

    @property
    def matrix(self) -> sparse.csr_array:
        """The `(samples, components)` matrix in memory, unverified; without values all entries are 1."""
        assert self.path is not None
        return stored_matrix(self.arrays, self.path)

    def chunks(self) -> Iterator[sparse.csr_array]:
        """Yield consecutive samples; at most about `ENTRIES_PER_CHUNK` entries are in memory.

        Raises:
            InputError: an index is out of range, or a value is NaN or infinite.
        """
        for _, read in self.readers():
            yield read()

    def readers(self) -> Iterator[tuple[int, Callable[[], sparse.csr_array]]]:
        """Yield the number of entries of each chunk, and a function that reads it, in any thread."""
        indptr, first = self.arrays["indptr"], 0
        while first < self.n_samples:
            # a number of another type would make NumPy copy the whole array, each time
            most = min(int(indptr[first]) + ENTRIES_PER_CHUNK, int(indptr[-1]))
            end = int(np.searchsorted(indptr, indptr.dtype.type(most), side="right"))
            last = min(max(end - 1, first + 1), self.n_samples)
            yield int(indptr[last]) - int(indptr[first]), partial(self._rows, first, last)
            first = last

    def _rows(self, first: int, last: int) -> sparse.csr_array:
        indptr, indices, values = (self.arrays[name] for name in ("indptr", "indices", "values"))
        entries = slice(int(indptr[first]), int(indptr[last]))
        columns = np.array(indices[entries], dtype=np.int32)
        if len(columns) and not 0 <= int(columns.min()) <= int(columns.max()) < self.n_components:
            raise InputError(
                "arrays are inconsistent",
                file=self.path,
                field="indices",
                found=f"{columns.min()} to {columns.max()} of {self.n_components} components",
                allowed=ALLOWED,
            )
        # sets: true is above every threshold below 1
        stored = np.array(values[entries]) if len(values) else np.ones(len(columns), dtype=bool)
        if len(values) and not np.isfinite(stored).all():
            wrong = int(np.flatnonzero(~np.isfinite(stored))[0])
            raise InputError(
                "activation is not a finite number",
                file=self.path,
                field=self.labels[int(columns[wrong])],
                found=float(stored[wrong]),
                allowed="finite values",
            )
        starts = np.array(indptr[first : last + 1], dtype=np.int64) - entries.start
        starts = starts.astype(np.int32)  # of 64 bits, SciPy would copy the columns to as many
        _release(self.arrays)
        return sparse.csr_array(
            (stored, columns, starts), shape=(last - first, self.n_components), copy=False
        )

    def save(self, path: str | Path) -> None:
        """Write the batch.

        Raises:
            InputError: the file cannot be written.
        """
        import torch

        payload: dict[str, Any] = {name: torch.from_numpy(array) for name, array in self.arrays.items()}
        payload |= self.texts
        payload |= checksums(self.arrays, self.texts)
        # write to a stream: given a path, torch.save would store the temporary name in the file
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            torch.save(payload, stream)


def batch_to_store(
    arrays: Mapping[str, np.ndarray],
    labels: Labels,
    seed: int,
    provenance: Mapping[str, str],
    *,
    threshold: float | None = None,
    examples: TokenExamples | None = None,
) -> StoredBatch:
    """Return a batch that is ready to be written.

    `arrays` are as in `StoredBatch`; indices of any type become as narrow as possible. `threshold` is that of
    sets, if no values are stored, and `examples` are the tokens of the first samples.

    Example:
        >>> arrays = {"shape": np.array([1, 1]), "indptr": np.array([0, 1]), "indices": np.zeros(1, int)}
        >>> arrays |= {"values": np.ones(1, "f4"), "maxima": np.ones(1, "f4"), "means": np.ones(1)}
        >>> batch = batch_to_store(arrays, ["m:0"], 7, {"task": "tms"}, threshold=0.1)
        >>> batch.texts["format_version"], batch.arrays["indices"].dtype.name, len(batch.arrays["values"])
        ('3', 'uint16', 0)
    """
    n_entries = len(arrays["indices"])
    values = arrays["values"]
    stored = {
        **arrays,
        "indptr": arrays["indptr"].astype(np.int32 if n_entries < 2**31 else np.int64, copy=False),
        "indices": arrays["indices"].astype(np.uint16 if len(labels) <= 2**16 else np.int32, copy=False),
        # active components are usually exactly 1, and then no value is stored
        "values": np.empty(0, values.dtype) if (values == 1).all() else values,
    }
    texts = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION if threshold is None else SETS_VERSION),
        "labels": "\n".join(labels),
        "seed": str(seed),
        **({} if threshold is None else {THRESHOLD: repr(threshold)}),
        **({} if examples is None else examples.texts()),
        **{f"provenance.{name}": text for name, text in sorted(provenance.items())},
    }
    return StoredBatch(stored | ({} if examples is None else examples.arrays()), texts, labels)


def _release(arrays: Mapping[str, np.ndarray]) -> None:
    """Free the memory of pages that were read from a mapped file; they are read again where needed."""
    for array in arrays.values():
        mapped = getattr(array, "_mmap", None)
        if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)
            return  # all arrays are in the same file
