"""The samples of an ensemble, read as folds of sparse pieces over the components of all runs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from spdclust.core.errors import InputError
from spdclust.core.types import Float, Int, Labels
from spdclust.groups.kernels import samples as kernels
from spdclust.merge.sources import as_batch_source

BLOCKS_OF_ONE_RUN = 5
"""Number of blocks that the samples of a single run are split into, used in place of runs."""

NULL_ENTRIES = 20_000_000
"""A null run uses the first samples of every fold, up to this total number of activations."""

TRADES = 6
"""Rounds of curveball trades in a null run: then 1 in 64 active components is unmoved, mostly by chance."""

_KEEP_ENTRIES = 60_000_000
"""Pieces with at most this total number of entries stay in memory between passes; larger ones are re-read."""


@dataclass(frozen=True, eq=False)
class Piece:
    """Activations of some samples, by sample and by component."""

    by_sample: sparse.csr_array

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return int(self.by_sample.shape[0])

    def by_component(self) -> sparse.csc_array:
        """Return the same in column order, with sorted samples."""
        return sparse.csc_array(self.by_sample)


class Folds:
    """The samples used as evidence: one fold per run, or blocks of the samples of a single run.

    Args:
        labels: components of all runs.
        n_folds: number of folds.
        read: `read(fold)` yields the fold's pieces; may be called any number of times.

    Attributes:
        n_samples: `(folds,)` samples of each fold.
        counts: `(folds, components)` samples on which each component is active.
        squares: `(folds, components)` sum of squared activations.
    """

    def __init__(self, labels: Labels, n_folds: int, read: Callable[[int], Iterator[Piece]]) -> None:
        self.labels, self.n_folds, self._read = labels, n_folds, read
        self._n_samples = np.zeros(n_folds, dtype=np.int64)
        self._counts = np.zeros((n_folds, len(labels)), dtype=np.int64)
        self._squares = np.zeros((n_folds, len(labels)))
        self._counted = [False] * n_folds

    def pieces(self, fold: int) -> Iterator[Piece]:
        """Yield the pieces of a fold; the first pass also computes the counts, because reading is slow."""
        n_samples, counts, squares = 0, np.zeros_like(self._counts[fold]), np.zeros_like(self._squares[fold])
        for piece in self._read(fold):
            if not self._counted[fold]:
                n_samples += piece.n_samples
                kernels.count_columns(piece.by_sample.indices, piece.by_sample.data, counts, squares)
            yield piece
        if not self._counted[fold]:
            self._n_samples[fold], self._counts[fold], self._squares[fold] = n_samples, counts, squares
            self._counted[fold] = True

    def _count(self) -> None:
        for fold in range(self.n_folds):
            if not self._counted[fold]:
                for _ in self.pieces(fold):
                    pass

    @property
    def n_samples(self) -> Int[np.ndarray, " folds"]:
        """Samples of each fold."""
        self._count()
        return self._n_samples

    @property
    def counts(self) -> Int[np.ndarray, "folds components"]:
        """Samples on which each component is active."""
        self._count()
        return self._counts

    @property
    def squares(self) -> Float[np.ndarray, "folds components"]:
        """Sum of squared activations."""
        self._count()
        return self._squares


def fold_samples(
    batches: Sequence[Any],
    labels: Labels,
    own_labels: Sequence[Labels],
    threshold: float,
    *,
    runs: Sequence[int] | None = None,
) -> Folds:
    """Return the samples of an ensemble, one fold per run; the samples of a single run form blocks.

    Example:
        >>> from spdclust.merge.activations import ProcessedActivations
        >>> acts = ProcessedActivations.from_dense([[0.0, 0.9], [0.4, 0.0]], ["m:0", "m:1"])
        >>> folds = fold_samples([acts, acts], ["m:0", "m:1"], [["m:0", "m:1"]] * 2, 0.1)
        >>> folds.n_samples.tolist(), folds.counts.tolist()
        ([2, 2], [[1, 1], [1, 1]])

    Args:
        batches: one `ProcessedActivations`, list of them, or source of batches per run.
        labels: components of all runs.
        own_labels: components of each run's merge; other components of its batches are ignored.
        threshold: a component is active if its activation is greater than this.
        runs: numbers of the runs, for messages.

    Raises:
        InputError: a run's batches lack components of its merge.
    """
    number = {label: component for component, label in enumerate(labels)}
    sources = [as_batch_source(each) for each in batches]
    columns = []
    for run, (source, own) in enumerate(zip(sources, own_labels, strict=True)):
        missing = set(own) - set(source.labels)
        if missing:
            raise InputError(
                "batches are not those of the history: components of the merge are missing",
                field=f"batches[{run if runs is None else runs[run]}].labels",
                found=f"{len(missing)} missing, such as {min(missing)}",
                allowed="the batches that the run was merged on, runs and batches in the same order",
            )
        kept = set(own)
        columns.append(np.array([number[x] if x in kept else -1 for x in source.labels], dtype=np.int64))

    single = len(sources) == 1
    stored: dict[tuple[int, int], sparse.csr_array] = {}
    room = [_KEEP_ENTRIES]

    def load(run: int) -> Iterator[sparse.csr_array]:
        source = sources[run]
        known = [key for key in stored if key[0] == run]
        if len(known) == source.n_batches:
            yield from (stored[key] for key in sorted(known))
            return
        for batch in range(source.n_batches):
            matrix = active_entries(source.get_next_batch().matrix, columns[run], len(labels), threshold)
            if matrix.nnz <= room[0] and (run, batch) not in stored:
                room[0] -= matrix.nnz
                stored[run, batch] = matrix
            yield matrix

    def read(fold: int) -> Iterator[Piece]:
        before = 0
        for matrix in load(0 if single else fold):
            if single:
                edges = block_edges(before, matrix.shape[0])
                before += matrix.shape[0]
                yield Piece(sparse.csr_array(matrix[edges[fold] : edges[fold + 1]]))
            else:
                yield Piece(matrix)

    return Folds(labels, BLOCKS_OF_ONE_RUN if single else len(sources), read)


def block_edges(before: int, n_samples: int) -> Int[np.ndarray, " edges"]:
    """Return the block edges within a batch of a single run; blocks are equal in size over all batches.

    Example:
        >>> block_edges(0, 12).tolist(), block_edges(12, 4).tolist()  # 3, 3, 2, 2, 2 and 1, 0, 1, 1, 1
        ([0, 3, 6, 8, 10, 12], [0, 1, 1, 2, 3, 4])

    Args:
        before: samples in the batches before this one.
        n_samples: samples in this batch.
    """
    ends = np.array([before, before + n_samples])[:, None] - np.arange(BLOCKS_OF_ONE_RUN)
    taken = -(-ends // BLOCKS_OF_ONE_RUN)  # samples per block, as if dealt one by one
    return np.concatenate([[0], np.cumsum(taken[1] - taken[0])])


def active_entries(
    matrix: Any, columns: Int[np.ndarray, " own"], n_components: int, threshold: float
) -> sparse.csr_array:
    """Return the entries above a threshold as float32, with columns renumbered and sorted in every row.

    Example:
        >>> active = active_entries(sparse.csr_array([[0.5, 0.05, 0.75]]), np.array([2, 1, 0]), 3, 0.1)
        >>> active.indices.tolist(), active.data.tolist()
        ([0, 2], [0.75, 0.5])

    Args:
        matrix: `(samples, own components)` CSR matrix.
        columns: new number of each column; columns with a negative number are dropped.
        n_components: number of columns of the result.
        threshold: keep entries greater than this.
    """
    number = np.int32 if matrix.nnz < 2**31 else np.int64
    indptr = np.zeros(matrix.shape[0] + 1, dtype=number)
    level = matrix.data.dtype.type(threshold)  # compared in the precision of the activations, as in the merge
    kernels.count_active(matrix.indptr, matrix.indices, matrix.data, columns, level, indptr)
    indices, values = np.empty(indptr[-1], dtype=number), np.empty(indptr[-1], dtype=np.float32)
    kernels.keep_active(matrix.indptr, matrix.indices, matrix.data, columns, level, indices, values)
    result = sparse.csr_array((values, indices, indptr), shape=(matrix.shape[0], n_components))
    result.sort_indices()
    return result


def null_folds(folds: Folds, seed: int, *, keep_busy: bool = False) -> Folds:
    """Return the samples with every coactivation destroyed; every component keeps its activations.

    The samples on which each component is active are redrawn, so that all components are independent. With
    `keep_busy` every sample also keeps its number of active components, as far as a random arrangement can:
    components are traded between random pairs of samples (curveball, Strona et al. 2014). Groups found then
    exist because some samples have more active components than others.

    Example:
        >>> from spdclust.merge.activations import ProcessedActivations
        >>> acts = ProcessedActivations.from_dense(np.eye(4).repeat(2, 1), [f"m:{i}" for i in range(8)])
        >>> folds = fold_samples([acts, acts], acts.labels, [acts.labels] * 2, 0.1)
        >>> nulls = [null_folds(folds, seed=0, keep_busy=busy) for busy in (False, True)]
        >>> [bool((null.counts == folds.counts).all()) for null in nulls]
        [True, True]

    Args:
        folds: the samples.
        seed: seed of the draws.
        keep_busy: whether samples keep their number of active components.
    """

    def draw(fold: int) -> Iterator[Piece]:
        room = NULL_ENTRIES // folds.n_folds
        for number, piece in enumerate(folds.pieces(fold)):
            rng = np.random.default_rng((seed, fold, number))
            n_kept = max(1, int(np.searchsorted(piece.by_sample.indptr, room, side="right")) - 1)
            piece = Piece(piece.by_sample[:n_kept].copy())  # a slice would keep the whole array alive
            room -= piece.by_sample.nnz
            if not keep_busy:
                columns = piece.by_component()
                kernels.scatter(columns.indptr, columns.indices, columns.shape[0], rng)
                matrix = sparse.csr_array(columns)
                matrix.sort_indices()
            else:
                matrix = piece.by_sample
                for _ in range(TRADES):
                    order = rng.permutation(matrix.shape[0])
                    kernels.trade(order, matrix.indptr, matrix.indices, matrix.data, rng)
            yield Piece(matrix)

    drawn: dict[int, list[Piece]] = {}  # stored: they are few, and re-reading the samples takes longer

    def read(fold: int) -> Iterator[Piece]:
        if fold not in drawn:
            drawn[fold] = list(draw(fold))
        yield from drawn[fold]

    return Folds(folds.labels, folds.n_folds, read)
