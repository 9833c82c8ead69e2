"""The groups that are active on many samples, whose coactivations are counted in tiles of 512."""

import numpy as np

from spdclust.core.compiling import ensure_compiled
from spdclust.core.threads import even_parts, run_parts
from spdclust.core.types import Int
from spdclust.merge.kernels import coactivation as tiles

DENSE = 10
"""Slots of a tile active on an average sample that make counting them together worthwhile."""


def dense_slots(activity: Int[np.ndarray, " slots"], n_samples: int, room: int) -> tuple[int, int]:
    """Return the first slot to count in tiles, up to the last slot, and the number of tiles.

    A tile pays if at least `DENSE` of its slots are active on a sample on average. Its bits take 64 bytes a
    sample.

    Example:
        >>> dense_slots(np.repeat([1, 90], [600, 512]), n_samples=100, room=100_000)
        (600, 1)

    Args:
        activity: samples on which each slot is active, ascending as a rule.
        n_samples: number of samples.
        room: number of bytes that the bits may take.
    """
    first, n_tiles = len(activity), 0
    while first > 0 and (n_tiles + 1) * 8 * tiles.TILE * n_samples <= room:
        before = max(first - 64 * tiles.TILE, 0)
        if activity[before:first].sum() < DENSE * n_samples:
            break
        first, n_tiles = before, n_tiles + 1
    return first, n_tiles


def count_dense(
    spans: tuple[np.ndarray, ...],
    activity: np.ndarray,
    n_samples: int,
    first_dense: int,
    n_tiles: int,
    coact: np.ndarray,
    threads: int,
) -> None:
    """Write the coactivations of all slots with those from `first_dense` on.

    Example:
        >>> words, one = np.array([0, 2, 0, 2], dtype=np.uint32), np.full(2, 2)
        >>> spans = words, np.array([0, 2]), one, np.zeros(2, dtype=np.bool_)  # both on samples 0 and 2
        >>> coact = np.zeros(1, dtype=np.int32)
        >>> count_dense(spans, one, n_samples=3, first_dense=0, n_tiles=1, coact=coact, threads=1)
        >>> coact.tolist()
        [2]

    Args:
        spans: `words`, and per slot the start, the length and the kind of its set of samples; see
            `merge.loading.SampleSets`.
        activity: samples on which each slot is active.
        n_samples: number of samples.
        first_dense: the first of the slots that are counted in tiles.
        n_tiles: number of tiles, as `dense_slots` returns them.
        coact: packed lower triangle of coactivations.
        threads: how many threads may work.
    """

    def compile_on_little() -> None:
        little = (np.zeros(1, np.uint32), *np.zeros((2, 1), np.int64), np.zeros(1, np.bool_))
        nothing = np.zeros((2, tiles.TILE), np.uint64)
        tiles.fill_tiles(0, *little, nothing)
        tiles.count_in_tiles(0, 1, *little, 0, nothing, np.zeros(1, coact.dtype))

    # most merges never come here, so this is not compiled with their kernels
    ensure_compiled(f"counting in tiles in {coact.dtype}", compile_on_little)
    # one row more than samples, for the last few samples of a slot
    bits = np.zeros((n_samples + 1, tiles.TILE * n_tiles), dtype=np.uint64)
    tiles.fill_tiles(first_dense, *spans, bits)

    def count(first: int, last: int) -> None:
        tiles.count_in_tiles(first, last, *spans, first_dense, bits, coact)

    run_parts(count, even_parts(activity + 1, 1 if threads == 1 else 8 * threads), threads)
