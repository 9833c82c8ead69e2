"""The samples of an ensemble, read as folds of sparse pieces over the components of all runs."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spdclust.core.errors import InputError
from spdclust.core.threads import run_in_order, run_parts
from spdclust.core.types import Float, Int, Integer, Labels
from spdclust.groups.kernels import samples as kernels
from spdclust.merge.sources import as_batch_source, check_source, next_batch, readers, rewind

BLOCKS_OF_ONE_RUN = 5
"""Number of blocks that the samples of a single run are split into, used in place of runs."""

_KEEP_BYTES = 240_000_000
"""Pieces of at most this total size stay in memory between passes; the others are read again."""

_KEEP_SETS_BYTES = 480_000_000
"""The samples of each component stay in memory up to this total size; beyond it they are read again."""

BLOCK = 2**16
"""Most samples of a block when entries are read component by component: their numbers take 2 bytes."""

BLOCK_ENTRIES = 3_400_000
"""Most entries of a block: 20 MB, which stay in the processor's cache."""


@dataclass(frozen=True, eq=False)
class Entries:
    """Active entries row by row, each row's columns in order: 2 bytes an entry and the value.

    Attributes:
        start: `(rows + 1,)` start of each row's entries.
        columns: `(entries,)` uint16 if there are at most 65,536 columns, else uint32.
        values: `(entries,)` float32, or None if all are 1.
    """

    start: Integer[np.ndarray, " rows_and_end"]
    columns: Integer[np.ndarray, " entries"]
    values: Float[np.ndarray, " entries"] | None
    n_columns: int

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.start) - 1

    @property
    def n_bytes(self) -> int:
        """Memory of the entries."""
        return self.columns.nbytes + (0 if self.values is None else self.values.nbytes)

    def between(self, first: int, last: int) -> "Entries":
        """Return a copy of some rows."""
        start, end = self.start[first], self.start[last]
        values = None if self.values is None else self.values[start:end].copy()
        return Entries(
            self.start[first : last + 1] - start, self.columns[start:end].copy(), values, self.n_columns
        )

    def transposed(self, threads: int = 1, block: int | None = None) -> "Entries":
        """Return the same entries column by column, separately for each block of so many rows.

        Row `b * n_columns + i` of the result is column `i` within block `b`, its rows counted from the start
        of the block. In blocks of at most 65,536 rows, an entry takes 2 bytes and writing stays close to the
        processor. Without a number, all rows are one block.

        Example:
            >>> rows = Entries(np.array([0, 1, 3]), np.array([1, 0, 1], np.uint16), None, 2)
            >>> columns = rows.transposed()
            >>> columns.start.tolist(), columns.columns.tolist()
            ([0, 1, 3], [1, 0, 1])
            >>> rows.transposed(block=1).start.tolist(), rows.transposed(block=1).columns.tolist()
            ([0, 0, 1, 2, 3], [0, 0, 0])
        """
        block = block or max(self.n_rows, 1)
        edges = [*range(0, max(self.n_rows, 1), block), self.n_rows]
        parts = list(itertools.pairwise(edges))
        counts = np.zeros((len(parts), self.n_columns), dtype=np.int64)

        def count(first: int, last: int) -> None:
            kernels.count_rows(first, last, self.start, self.columns, counts[first // block])

        run_parts(count, parts, threads)
        start = np.concatenate([[0], np.cumsum(counts)])
        position = start[:-1].reshape(counts.shape).copy()
        columns = np.empty(len(self.columns), dtype=_number_type(block))
        values = None if self.values is None else np.empty_like(self.values)

        def write(first: int, last: int) -> None:
            at = position[first // block]
            kernels.transpose_rows(first, last, self.start, self.columns, self.values, at, columns, values)

        run_parts(write, parts, threads)
        return Entries(start, columns, values, block)


def _block_of(piece: Entries) -> int:
    """Return the size of blocks: as equal as possible, because each is transposed by one thread."""
    n_blocks = max(-(-piece.n_rows // BLOCK), -(-len(piece.columns) // BLOCK_ENTRIES), 1)
    return max(-(-piece.n_rows // n_blocks), 1)


def _number_type(n: int) -> type[np.uint16] | type[np.uint32]:
    return np.uint16 if n <= 2**16 else np.uint32


class Folds:
    """The samples used as evidence: one fold per run, or blocks of the samples of a single run.

    Args:
        labels: components of all runs.
        n_folds: number of folds.
        read: `read(fold, most)` yields the fold's pieces; may be called any number of times. If `most` is a
            number, a piece may be cut after so many entries.

    Attributes:
        n_samples: `(folds,)` samples of each fold.
        counts: `(folds, components)` samples on which each component is active.
        squares: `(folds, components)` sum of squared activations.
    """

    def __init__(
        self, labels: Labels, n_folds: int, read: Callable[[int, int | None], Iterator[Entries]]
    ) -> None:
        self.labels, self.n_folds, self._read = labels, n_folds, read
        self._n_samples = np.zeros(n_folds, dtype=np.int64)
        self._counts = np.zeros((n_folds, len(labels)), dtype=np.int64)
        self._squares = np.zeros((n_folds, len(labels)))
        self._n_pieces: list[int | None] = [None] * n_folds  # None until a fold was read to its end
        self._sets: list[list[Entries]] = [[] for _ in range(n_folds)]
        self._room = _KEEP_SETS_BYTES

    def pieces(self, fold: int) -> Iterator[Entries]:
        """Yield the pieces of a fold; the first pass also computes the counts, because reading is slow."""
        n_samples, counts, squares = 0, np.zeros_like(self._counts[fold]), np.zeros_like(self._squares[fold])
        n_pieces, is_first = 0, self._n_pieces[fold] is None
        for piece in self._read(fold, None):
            n_pieces += 1
            if is_first:
                n_samples += piece.n_rows
                kernels.count_columns(piece.columns, piece.values, counts, squares)
            yield piece
        if is_first:
            self._check_size(squares)
            self._n_samples[fold], self._counts[fold], self._squares[fold] = n_samples, counts, squares
            self._n_pieces[fold] = n_pieces

    def _check_size(self, squares: Float[np.ndarray, " components"]) -> None:
        """Reject activations whose products, summed over all folds, could exceed the largest float32."""
        limit = float(np.finfo(np.float32).max) / self.n_folds
        largest = int(squares.argmax()) if squares.size else 0
        if squares.size and not squares[largest] <= limit:
            raise InputError(
                "activations are too large for sums of their products",
                field=self.labels[largest],
                found=f"sum of squares {squares[largest]:.3g}",
                allowed=f"at most {limit:.3g} in a run; divide all activations by one number",
            )

    def pieces_both_ways(self, fold: int, threads: int = 1) -> Iterator[tuple[Entries, Entries]]:
        """Yield the pieces of a fold, by sample and by component in blocks of at most `BLOCK` samples."""
        for number, piece in enumerate(self.pieces(fold)):
            by_component = piece.transposed(threads, _block_of(piece))
            size = by_component.columns.nbytes + by_component.start.nbytes
            # the first pieces of a fold, so that `sets` goes on where they end
            if number == len(self._sets[fold]) and size <= self._room:
                self._room -= size
                self._sets[fold].append(replace(by_component, values=None))
            yield piece, by_component

    def sets(self, fold: int, threads: int = 1) -> Iterator[Entries]:
        """Yield the samples of each component as `pieces_both_ways` does, without values.

        They are in memory if the fold was read `pieces_both_ways` and there was room for them.
        """
        stored = self._sets[fold]
        yield from stored
        if self._n_pieces[fold] == len(stored):
            return
        for piece in itertools.islice(self.pieces(fold), len(stored), None):
            yield replace(piece.transposed(threads, _block_of(piece)), values=None)

    def first_pieces(self, fold: int, most: int) -> Iterator[Entries]:
        """Yield the pieces of a fold, of which each may be cut after its first `most` entries."""
        return self._read(fold, most)

    def totals(
        self, fold_numbers: Sequence[int]
    ) -> tuple[Float[np.ndarray, " components"], Float[np.ndarray, " components"]]:
        """Return the counts and the squares summed over some folds; no others are read."""
        self._count(fold_numbers)
        return self._counts[fold_numbers].sum(0).astype(float), self._squares[fold_numbers].sum(0)

    def _count(self, fold_numbers: Sequence[int] | None = None) -> None:
        for fold in range(self.n_folds) if fold_numbers is None else fold_numbers:
            if self._n_pieces[fold] is None:
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
    threads: int = 1,
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
        threads: number of threads that read; the result does not depend on it.

    Raises:
        InputError: a run's batches lack components of its merge, or hold sets at another threshold.
    """
    number = {label: component for component, label in enumerate(labels)}
    sources = [as_batch_source(each) for each in batches]
    columns = []
    for run, (source, own) in enumerate(zip(sources, own_labels, strict=True)):
        check_source(source, threshold)
        missing = set(own) - set(source.labels)
        if missing:
            raise InputError(
                "batches are not those of the history: components of the merge are missing",
                field=f"batches[{run if runs is None else runs[run]}].labels",
                found=f"{len(missing)} missing, such as {min(missing)}",
                allowed="the batches that the run was merged on, runs and batches in the same order",
            )
        merged = set(own)
        columns.append(np.array([number[x] if x in merged else -1 for x in source.labels], dtype=np.int64))

    single = len(sources) == 1
    stored: dict[tuple[int, int], Entries] = {}
    room = [_KEEP_BYTES]

    def load(run: int, most: int | None) -> Iterator[Entries]:
        source = sources[run]
        known = [key for key in stored if key[0] == run]
        if len(known) == source.n_batches:
            yield from (stored[key] for key in sorted(known))
            return
        rewind(source)
        for batch in range(source.n_batches):
            piece = _active_in_batch(next_batch(source), columns[run], len(labels), threshold, threads, most)
            if most is None and piece.n_bytes <= room[0] and (run, batch) not in stored:
                room[0] -= piece.n_bytes
                stored[run, batch] = piece
            yield piece

    def read(fold: int, most: int | None) -> Iterator[Entries]:
        before = 0
        # blocks of a single run are parts of whole batches
        for piece in load(0 if single else fold, None if single else most):
            if single:
                edges = _block_edges(before, piece.n_rows)
                before += piece.n_rows
                yield piece.between(int(edges[fold]), int(edges[fold + 1]))
            else:
                yield piece

    return Folds(labels, BLOCKS_OF_ONE_RUN if single else len(sources), read)


def _block_edges(before: int, n_samples: int) -> Int[np.ndarray, " edges"]:
    """Return the block edges within a batch of a single run; blocks are equal in size over all batches.

    Example:
        >>> _block_edges(0, 12).tolist(), _block_edges(12, 4).tolist()  # 3, 3, 2, 2, 2 and 1, 0, 1, 1, 1
        ([0, 3, 6, 8, 10, 12], [0, 1, 1, 2, 3, 4])
    """
    ends = np.array([before, before + n_samples])[:, None] - np.arange(BLOCKS_OF_ONE_RUN)
    taken = -(-ends // BLOCKS_OF_ONE_RUN)  # samples per block, as if dealt one by one
    return np.concatenate([[0], np.cumsum(taken[1] - taken[0])])


def _active_entries(
    matrix: Any,
    columns: Int[np.ndarray, " own"],
    n_components: int,
    threshold: float,
    into: tuple[np.ndarray, np.ndarray] | None = None,
) -> Entries:
    """Return the entries above a threshold, with columns renumbered and sorted in every row.

    Args:
        matrix: `(samples, own components)` CSR matrix.
        columns: new number of each column; columns with a negative number are dropped.
        n_components: number of columns of the result.
        threshold: keep entries greater than this.
        into: arrays for the columns and values of the result; None for new ones.
    """
    start = np.zeros(matrix.shape[0] + 1, dtype=np.int64)
    data = matrix.data.astype(np.float32) if matrix.data.dtype == np.bool_ else matrix.data
    level = data.dtype.type(threshold)  # compared in the precision of the activations, as in the merge
    indptr, indices = matrix.indptr.astype(np.int64, copy=False), matrix.indices.astype(np.int32, copy=False)
    n_other = kernels.count_active(indptr, indices, data, columns, level, start)
    numbers, values = into or (np.empty(start[-1], _number_type(n_components)), np.empty(start[-1], "f4"))
    numbers, values = numbers[: start[-1]], values[: start[-1] if n_other else 0]
    kernels.keep_active(indptr, indices, data, columns, level, numbers, values)
    active = Entries(start, numbers, values if n_other else None, n_components)
    used = columns[columns >= 0]
    in_order = (used[1:] > used[:-1]).all() and matrix.has_sorted_indices
    if not in_order:
        kernels.sort_rows(start, numbers, values, n_components)
    return active


def _active_in_batch(
    batch: Any,
    columns: Int[np.ndarray, " own"],
    n_components: int,
    threshold: float,
    threads: int = 1,
    most: int | None = None,
) -> Entries:
    """Return the active entries of a batch, of which only a few stretches of samples are in memory at a time.

    With `most`, the stretches after so many active entries are left out.
    """
    # as large as necessary if all entries are active; parts that are not written take no memory
    n_entries = sum(n_stored for n_stored, _ in readers(batch))
    numbers, values = np.empty(n_entries, _number_type(n_components)), np.empty(n_entries, np.float32)

    def places() -> Iterator[tuple[int, Callable[[], Any]]]:
        before = 0
        for n_stored, read in readers(batch):
            yield before, read
            before += n_stored

    def active(part_reader: tuple[int, Callable[[], Any]]) -> tuple[int, Entries]:
        at, read = part_reader
        return at, _active_entries(read(), columns, n_components, threshold, (numbers[at:], values[at:]))

    starts, ones, end = [np.zeros(1, dtype=np.int64)], [], 0
    for at, part in run_in_order(active, places(), threads):
        rows = slice(end, end + len(part.columns))
        if at != end or part.columns.base is not numbers:
            numbers[rows] = part.columns
            if part.values is not None:
                values[rows] = part.values
        if part.values is None:
            ones.append(rows)
        starts.append(part.start[1:] + end)
        end = rows.stop
        if most is not None and end >= most:
            break
    start = np.concatenate(starts)
    if sum(rows.stop - rows.start for rows in ones) == end:
        return Entries(start, numbers[:end], None, n_components)
    for rows in ones:
        values[rows] = 1
    return Entries(start, numbers[:end], values[:end], n_components)
