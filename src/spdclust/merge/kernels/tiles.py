"""Count coactivations with the most active groups, 512 of them at a time.

Most coactivations involve the few groups that are active on many samples. Every sample has one bit for each
of these dense slots, in tiles of 512. The samples of a group are added to 512 counts at once, kept as binary
numbers across words: full adders add sixteen samples by some hundred operations on words (Harley and Seal;
Muła, Kurz and Lemire, *Faster population counts using AVX2 instructions*, 2018).
"""

import numpy as np

from spdclust.core.compiling import compiled
from spdclust.merge.kernels.coactivation import lowest_bit, numbers_in
from spdclust.merge.kernels.layout import row_start
from spdclust.merge.kernels.machine import CARRY, add_sixteen, fetch

TILE = 8
"""Words of a tile: 512 slots, and one line of the caches."""


@compiled
def fill_tiles(first_dense, words, span_start, span_length, bitmap, tiles):
    """Set the bit of each slot from `first_dense` on in the row of each of its samples."""
    for p in range(first_dense, len(span_start)):
        bit, column = np.uint64(1) << np.uint64((p - first_dense) & 63), (p - first_dense) >> 6
        for w in range(span_length[p]):
            word = words[span_start[p] + w]
            if bitmap[p]:
                while word:
                    tiles[(w << 5) + lowest_bit(word), column] |= bit
                    word &= word - np.uint32(1)
            else:
                tiles[word, column] |= bit


@compiled
def count_in_tiles(first, last, words, span_start, span_length, bitmap, first_dense, tiles, coact):
    """Write the coactivations of slots `first` to `last` with all younger slots from `first_dense` on.

    `tiles`, `(samples + 1, words)`, has a bit for each of the latter; its last row is 0. Each pair is counted
    on the samples of the older slot, as a rule the less active one. Neighbours write to the same lines of the
    caches.
    """
    numbers = np.empty(len(tiles), dtype=np.uint32)
    planes = np.empty(TILE * (CARRY + 1), dtype=np.uint64)
    counts = np.empty(64 * TILE, dtype=np.uint64)
    for p in range(first, last):
        span = words[span_start[p] : span_start[p] + span_length[p]]
        samples = numbers_in(span, numbers) if bitmap[p] else span
        for tile in range(max(0, p + 1 - first_dense) // (64 * TILE), tiles.shape[1] // TILE):
            _count_tile(samples, tiles, tile, planes, counts)
            start = first_dense + 64 * TILE * tile
            for q in range(max(start, p + 1), min(start + 64 * TILE, len(span_start))):
                coact[row_start(q) + p] = counts[q - start]


@compiled
def _count_tile(samples, tiles, tile, planes, counts):
    """Count on how many of the samples each slot of a tile is active; `planes` has bit `k` of all counts."""
    n_bits = 5
    while (1 << n_bits) <= len(samples):
        n_bits += 1
    planes[: TILE * n_bits] = 0
    n_words, first = np.uint64(tiles.shape[1]), np.uint64(TILE * tile)
    at, flat = np.empty(16, dtype=np.uint64), tiles.ravel()
    nothing = n_words * np.uint64(len(tiles) - 1) + first
    for t in range(0, len(samples), 16):
        for k in range(16):
            at[k] = np.uint64(samples[t + k]) * n_words + first if t + k < len(samples) else nothing
            if t + k + 16 < len(samples):
                fetch(flat, np.int64(np.uint64(samples[t + k + 16]) * n_words + first))
        add_sixteen(planes, flat, at)
        for bit in range(4, n_bits):
            for w in range(TILE):
                carry, plane = planes[TILE * CARRY + w], planes[TILE * bit + w]
                planes[TILE * bit + w] = plane ^ carry
                planes[TILE * CARRY + w] = plane & carry
    counts[:] = 0
    for w in range(TILE):
        for bit in range(n_bits):
            plane, value = planes[TILE * bit + w], np.uint64(1) << np.uint64(bit)
            for b in range(64):
                counts[64 * w + b] += value * ((plane >> np.uint64(b)) & np.uint64(1))
