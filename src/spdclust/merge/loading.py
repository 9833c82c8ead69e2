"""Load a batch for merging: coactivations and sample sets of the current groups, in slot order.

Groups that are active on many samples are counted in tiles of 512.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from spdclust.config.merge import MergeConfig
from spdclust.core.compiling import ensure_compiled
from spdclust.core.threads import even_parts, run_parts
from spdclust.core.types import Int
from spdclust.merge.costs import check_costs_stay_finite
from spdclust.merge.kernels import coactivation
from spdclust.merge.kernels import coactivation as tiles
from spdclust.merge.kernels.layout import Coactivations, row_start
from spdclust.merge.memory import NARROW, capacity_for, enough_memory, wide_capacity
from spdclust.merge.sources import count_samples, stretches

DENSE = 10
"""Slots of a tile active on an average sample that make counting them together worthwhile."""


@dataclass(frozen=True)
class SampleSets:
    """Which groups are active on which samples, by group and by sample; see `layout.State` for the arrays.

    Attributes:
        span_start: per slot, start of its set of samples in `words`.
        span_length: per slot, number of words of the set.
        is_bitmap: per slot, whether the set is a bitmap.
    """

    rows: np.ndarray
    row_start: np.ndarray
    row_length: np.ndarray
    words: np.ndarray
    span_start: np.ndarray
    span_length: np.ndarray
    is_bitmap: np.ndarray


@dataclass(frozen=True)
class LoadedBatch:
    """One batch under one grouping, its groups in slot order: the least active first.

    Attributes:
        order: group of each slot, identified by its smallest component.
        activity: per slot, samples on which the group is active; for scalar activations the sum of squares.
        total: per slot, sum of activations; zeros unless scalar.
        coact: coactivations, allocated for `capacity` slots.
        narrow: slots of greater activity have wide rows of coactivations.
        zero_pairs: number of pairs with no coactivation.
        samples: which groups are active on which samples; empty for scalar activations.
        monotone: False if a coactivation may be negative, so that costs may fall.
    """

    order: Int[np.ndarray, " groups"]
    n_samples: int
    activity: np.ndarray
    total: np.ndarray
    coact: Coactivations
    narrow: float
    zero_pairs: int
    samples: SampleSets
    monotone: bool


def load_batch(
    batch: Any,
    group_of_column: Int[np.ndarray, " columns"],
    order: Int[np.ndarray, " groups"] | None,
    config: MergeConfig,
    threads: int,
    *,
    capacity: int | None = None,
    wide: bool = False,
) -> LoadedBatch:
    """Load a batch under a grouping.

    A batch that has `chunks()` is read chunk by chunk. Excluded components have group -1. `order` has the
    groups of the slots, by activity if None; `capacity` is the number of slots, as many as a merge needs if
    None; `wide` stores the rows of samples in the wide type even for few groups.

    Example:
        >>> from spdclust.merge.activations import ProcessedActivations
        >>> acts = ProcessedActivations.from_dense([[1, 1, 0], [1, 1, 0], [1, 0, 1]], ["m:0", "m:1", "m:2"])
        >>> loaded = load_batch(acts, np.arange(3), None, MergeConfig(), threads=1)
        >>> loaded.order.tolist(), loaded.activity.tolist(), loaded.zero_pairs  # m:1, m:2 are never together
        ([2, 1, 0], [1.0, 2.0, 3.0], 1)

    Raises:
        InputError: there are too many samples, there is not enough memory, or costs would be too large for
            floating-point numbers.
    """
    with enough_memory(int(group_of_column.max()) + 1, config, capacity):
        if config.activation_threshold is None:
            loaded = _load_scalar(batch, group_of_column, order, capacity)
        else:
            threshold = config.activation_threshold
            loaded = _load_boolean(batch, group_of_column, order, threshold, threads, capacity, wide)
    check_costs_stay_finite(loaded.activity, loaded.n_samples, len(group_of_column), config)
    return loaded


def _load_boolean(
    batch: Any,
    group_of_column: np.ndarray,
    order: np.ndarray | None,
    threshold: float,
    threads: int,
    capacity: int | None,
    wide: bool,
) -> LoadedBatch:
    n_samples, n_groups = count_samples(batch), int(group_of_column.max()) + 1
    group_of_column = group_of_column.astype(np.int32)
    counts, row_length = np.zeros(n_groups, dtype=np.int64), np.zeros(n_samples, dtype=np.int32)
    seen = np.full(n_groups, -1, dtype=np.int64)
    for first, chunk in stretches(batch):
        coactivation.count_entries(
            *_entries(chunk, threshold), group_of_column, first, seen, counts, row_length
        )
    if order is None:
        order = np.argsort(counts, kind="stable")
    slot_of_group = np.empty(n_groups + 1, dtype=np.int32)
    slot_of_group[order] = np.arange(n_groups)
    slot_of_group[-1] = -1  # for excluded components
    activity = counts[order]

    capacity = capacity or capacity_for(n_groups)
    samples = _empty_sets(n_samples, activity, row_length, np.int32 if wide else entry_type(capacity))
    # the samples are read a second time
    seen[:] = -1
    filled = np.zeros(n_groups, dtype=np.int64)
    for first, chunk in stretches(batch):
        coactivation.fill_spans(
            *_entries(chunk, threshold),
            slot_of_group[group_of_column],
            first,
            seen,
            filled,
            samples.words,
            samples.span_start,
            samples.is_bitmap,
        )
    # `fill_rows` counts it up again, as the end of each row so far
    samples.row_length[:] = 0
    spans = (samples.words, samples.span_start, samples.span_length, samples.is_bitmap)
    coactivation.fill_rows(n_groups, *spans, samples.rows, samples.row_start, samples.row_length)

    coact = _empty_coactivations(activity, capacity)
    first_dense, n_tiles = _dense_slots(activity, n_samples, samples.rows.nbytes)
    n_parts = 1 if threads == 1 else 8 * threads

    def count(first: int, last: int) -> None:
        coactivation.count_coactivations(first, last, *spans, samples.rows, samples.row_start, coact)

    # each group visits its samples; the most active groups are last in each sample and visit most entries
    work = activity * (1.0 + np.arange(n_groups)) + np.arange(n_groups)
    run_parts(count, even_parts(work[:first_dense], n_parts), threads)
    if n_tiles:
        _count_dense(spans, activity, n_samples, first_dense, n_tiles, coact, threads)

    def count_zeros(first: int, last: int) -> int:
        return int(coactivation.count_zeros(first, last, coact))

    zeros = run_parts(count_zeros, even_parts(np.arange(n_groups) + 1, n_parts), threads)
    return LoadedBatch(
        order=order,
        n_samples=n_samples,
        activity=activity.astype(np.float64),
        total=np.zeros(n_groups),
        coact=coact,
        narrow=float(NARROW),
        zero_pairs=sum(zeros),
        samples=samples,
        monotone=True,
    )


def _entries(chunk: Any, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # a plain float is compared in the precision of the data, as in the reference implementation
    return (
        chunk.indptr.astype(np.int64, copy=False),
        chunk.indices.astype(np.int32, copy=False),
        np.asarray(chunk.data > threshold),
    )


def _empty_sets(
    n_samples: int, activity: np.ndarray, row_length: np.ndarray, entry: type[np.generic]
) -> SampleSets:
    """Allocate sets and rows of the given sizes; sets longer than a bitmap become empty bitmaps."""
    n_words = (n_samples + 31) // 32
    span_length = np.minimum(activity, n_words)
    span_start = np.cumsum(span_length) - span_length
    is_bitmap = activity > n_words
    used = int(span_length.sum())
    # a union is written after all other sets before its parts are freed; it never exceeds a bitmap
    words = np.empty(used + max(n_words, used // 8), dtype=np.uint32)
    for slot in np.flatnonzero(is_bitmap):
        words[span_start[slot] : span_start[slot] + n_words] = 0
    row_starts = np.zeros(n_samples + 1, dtype=np.int64)
    np.cumsum(row_length, out=row_starts[1:])
    return SampleSets(
        rows=np.empty(int(row_starts[-1]), dtype=entry),
        row_start=row_starts,
        row_length=row_length,
        words=words,
        span_start=span_start,
        span_length=span_length,
        is_bitmap=is_bitmap,
    )


def _empty_coactivations(activity: Int[np.ndarray, " groups"], capacity: int) -> Coactivations:
    """Return coactivations to be filled, with wide rows where counts may need more than 16 bits."""
    room = wide_capacity(int(activity.sum()), capacity, NARROW)
    coact = Coactivations(
        np.empty(capacity * (capacity - 1) // 2, dtype=np.uint16),
        np.empty(room, dtype=np.int32),
        np.full(capacity + 1, -1, dtype=np.int64),
    )
    wide = np.flatnonzero(activity > NARROW)
    coact.wide_start[wide] = np.cumsum(wide) - wide  # a row holds one entry for each older slot
    coact.wide_start[-1] = wide.sum()
    return coact


def entry_type(capacity: int) -> type[np.generic]:
    """Return the narrowest type that holds every slot.

    Example:
        >>> entry_type(65_536).__name__, entry_type(65_537).__name__
        ('uint16', 'int32')
    """
    return np.uint16 if capacity <= 2**16 else np.int32


def _load_scalar(
    batch: Any, group_of_column: np.ndarray, order: np.ndarray | None, capacity: int | None
) -> LoadedBatch:
    n_samples, n_groups = count_samples(batch), int(group_of_column.max()) + 1
    used = np.flatnonzero(group_of_column >= 0)
    to_group = sparse.csr_array(
        (np.ones(len(used)), (used, group_of_column[used])), shape=(len(group_of_column), n_groups)
    )
    # components of one group are summed first: their squares are those of the sum
    pieces = [sparse.csr_array(chunk).astype(np.float64) @ to_group for _, chunk in stretches(batch)]
    grouped = sparse.csc_array(sparse.vstack(pieces) if pieces else sparse.csr_array((0, n_groups)))
    squares = np.asarray(grouped.multiply(grouped).sum(axis=0)).ravel()
    if order is None:
        order = np.argsort(squares, kind="stable")
    grouped = grouped[:, order]
    capacity = capacity or capacity_for(n_groups)
    coact = Coactivations(np.empty(capacity * (capacity - 1) // 2), np.empty(0), np.full(capacity + 1, -1))
    activity, zero_pairs = np.empty(n_groups), 0
    # a dense piece of 32 MB at a time
    rows_per_piece = max(1, (1 << 22) // max(n_groups, 1))
    for first in range(0, n_groups, rows_per_piece):
        last = min(first + rows_per_piece, n_groups)
        products = (grouped[:, first:last].T @ grouped[:, :last]).toarray()
        for p in range(first, last):
            # from the same sums, so that identical components tie exactly
            activity[p] = products[p - first, p]
            row = products[p - first, :p]
            coact.narrow[row_start(p) : row_start(p) + p] = row
            zero_pairs += int((row == 0).sum())
    return LoadedBatch(
        order=order,
        n_samples=n_samples,
        activity=activity,
        total=np.asarray(grouped.sum(axis=0)).ravel(),
        coact=coact,
        narrow=np.inf,
        zero_pairs=zero_pairs,
        samples=_empty_sets(0, np.zeros(n_groups, dtype=np.int64), np.zeros(0, dtype=np.int32), np.uint16),
        monotone=bool(grouped.nnz == 0 or grouped.data.min() >= 0),
    )


def _dense_slots(activity: Int[np.ndarray, " slots"], n_samples: int, room: int) -> tuple[int, int]:
    """Return the first slot to count in tiles, up to the last slot, and the number of tiles.

    A tile pays if at least `DENSE` of its slots are active on a sample on average. Its bits take 64 bytes a
    sample.
    """
    first, n_tiles = len(activity), 0
    while first > 0 and (n_tiles + 1) * 8 * tiles.TILE * n_samples <= room:
        before = max(first - 64 * tiles.TILE, 0)
        if activity[before:first].sum() < DENSE * n_samples:
            break
        first, n_tiles = before, n_tiles + 1
    return first, n_tiles


def _count_dense(
    spans: tuple[np.ndarray, ...],
    activity: np.ndarray,
    n_samples: int,
    first_dense: int,
    n_tiles: int,
    coact: Coactivations,
    threads: int,
) -> None:
    """Write the coactivations of all slots with those from `first_dense` on, counted in `n_tiles` tiles."""

    def compile_on_little() -> None:
        little = (np.zeros(1, np.uint32), *np.zeros((2, 1), np.int64), np.zeros(1, np.bool_))
        nothing = np.zeros((2, tiles.TILE), np.uint64)
        tiles.fill_tiles(0, *little, nothing)
        tiles.count_in_tiles(0, 1, *little, 0, nothing, _empty_coactivations(little[1], 1))

    # most merges never come here, so this is not compiled with their kernels
    ensure_compiled("merge, counting in tiles", compile_on_little)
    # one row more than samples, for the last few samples of a slot
    bits = np.zeros((n_samples + 1, tiles.TILE * n_tiles), dtype=np.uint64)
    tiles.fill_tiles(first_dense, *spans, bits)

    def count(first: int, last: int) -> None:
        tiles.count_in_tiles(first, last, *spans, first_dense, bits, coact)

    run_parts(count, even_parts(activity + 1, 1 if threads == 1 else 8 * threads), threads)
