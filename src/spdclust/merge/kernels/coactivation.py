"""Count coactivations of groups from sparse rows, without a dense samples × components matrix.

Most coactivations involve the few groups that are active on many samples. Every sample has one bit for each
of these dense slots, in tiles of 512. The samples of a group are added to 512 counts at once, kept as binary
numbers across words: full adders add sixteen samples by some hundred operations on words (Harley and Seal;
Muła, Kurz and Lemire, *Faster population counts using AVX2 instructions*, 2018).
"""

import numpy as np

from spdclust.core.compiling import compiled, inner
from spdclust.merge.kernels.layout import narrow_row, row_start, wide_row
from spdclust.merge.kernels.machine import CARRY, add_sixteen, fetch

AHEAD = 6
"""Number of samples ahead of the current one for which rows are prefetched."""

DE_BRUIJN = np.zeros(32, dtype=np.int64)
for _bit in range(32):
    DE_BRUIJN[(((1 << _bit) * 0x077CB531) & 0xFFFFFFFF) >> 27] = _bit

TILE = 8
"""Words of a tile: 512 slots, and one line of the caches."""


@inner
def lowest_bit(word):
    """Return the position of the lowest set bit of a 32-bit word that is not 0."""
    value = np.int64(word)
    return DE_BRUIJN[(((value & -value) * 0x077CB531) & 0xFFFFFFFF) >> 27]


@compiled
def count_entries(indptr, columns, active, group_of_column, first_sample, seen, activity, row_length):
    """Count each group's active samples and each sample's active groups over a stretch of samples."""
    for n in range(len(indptr) - 1):
        length = 0
        for e in range(indptr[n], indptr[n + 1]):
            group = group_of_column[columns[e]]
            if active[e] and group >= 0 and seen[group] != first_sample + n:
                seen[group] = first_sample + n
                activity[group] += 1
                length += 1
        row_length[first_sample + n] = length


@compiled
def fill_spans(
    indptr, columns, active, slot_of_column, first_sample, seen, filled, words, span_start, bitmap
):
    """Add the samples of a stretch to the sets of the groups that are active on them."""
    for n in range(len(indptr) - 1):
        sample = first_sample + n
        for e in range(indptr[n], indptr[n + 1]):
            slot = slot_of_column[columns[e]]
            if active[e] and slot >= 0 and seen[slot] != sample:
                seen[slot] = sample
                if bitmap[slot]:
                    words[span_start[slot] + (sample >> 5)] |= np.uint32(1 << (sample & 31))
                else:
                    words[span_start[slot] + filled[slot]] = sample
                    filled[slot] += 1


@compiled
def fill_rows(n_slots, words, span_start, span_length, bitmap, rows, row_starts, row_length):
    """Write every sample's groups in slot order, from the groups' sets; `row_length` starts at 0."""
    for p in range(n_slots):
        start, length = span_start[p], span_length[p]
        for w in range(length):
            word = words[start + w]
            if bitmap[p]:
                while word:
                    n = (w << 5) + lowest_bit(word)
                    rows[row_starts[n] + row_length[n]] = p
                    row_length[n] += 1
                    word &= word - np.uint32(1)
            else:
                rows[row_starts[word] + row_length[word]] = p
                row_length[word] += 1


@compiled(allocates=True)
def count_coactivations(first, last, words, span_start, span_length, bitmap, rows, row_starts, coact):
    """Fill the rows of slots `first` to `last` by counting the older slots on each slot's samples."""
    numbers = np.empty(len(row_starts), dtype=np.uint32)
    for p in range(first, last):
        span = words[span_start[p] : span_start[p] + span_length[p]]
        samples = numbers[: _numbers_in(span, numbers)] if bitmap[p] else span
        if coact.wide_start[p] >= 0:
            _count_older(samples, p, rows, row_starts, wide_row(coact, p))
        else:
            _count_older(samples, p, rows, row_starts, narrow_row(coact, p))


@inner
def _numbers_in(bitmap, numbers):
    """Write the numbers contained in a bitmap to `numbers`, and return how many there are."""
    n = 0
    for w in range(len(bitmap)):
        word = bitmap[w]
        while word:
            numbers[n] = (w << 5) + lowest_bit(word)
            n += 1
            word &= word - np.uint32(1)
    return n


@inner
def _count_older(span, p, rows, row_starts, row):
    """Count the slots before `p` on each of its samples, whose rows are in slot order and contain `p`.

    Rows are far apart in memory, so without prefetching almost all of the time is memory latency.
    """
    row[:] = 0
    per_line = 64 // rows.itemsize
    for t in range(len(span)):
        if t + 2 * AHEAD < len(span):
            fetch(row_starts, np.int64(span[t + 2 * AHEAD]))
        if t + AHEAD < len(span):
            n = span[t + AHEAD]
            for line in range(min((row_starts[n + 1] - row_starts[n]) // per_line + 1, 4)):
                fetch(rows, row_starts[n] + line * per_line)
        e = np.uint64(row_starts[span[t]])  # unsigned numbers spare the test for negative indices
        q = rows[e]
        while q < p:
            row[q] += 1
            e += np.uint64(1)
            q = rows[e]


@compiled
def count_zeros(first, last, coact):
    """Return the number of pairs in the rows of slots `first` to `last` that are never active together."""
    zeros = 0
    for p in range(first, last):
        if coact.wide_start[p] >= 0:
            zeros += _zeros_in(wide_row(coact, p))
        else:
            zeros += _zeros_in(narrow_row(coact, p))
    return zeros


@inner
def _zeros_in(row):
    zeros = 0
    for q in range(len(row)):
        zeros += row[q] == 0
    return zeros


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


@compiled(allocates=True)
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
        samples = numbers[: _numbers_in(span, numbers)] if bitmap[p] else span
        for tile in range(max(0, p + 1 - first_dense) // (64 * TILE), tiles.shape[1] // TILE):
            _count_tile(samples, tiles, tile, planes, counts)
            start = first_dense + 64 * TILE * tile
            for q in range(max(start, p + 1), min(start + 64 * TILE, len(span_start))):
                wide = coact.wide_start[q]
                if wide >= 0:
                    coact.wide[wide + p] = counts[q - start]
                else:
                    coact.narrow[row_start(q) + p] = counts[q - start]


@inner(allocates=True)
def _count_tile(samples, tiles, tile, planes, counts):
    """Count on how many of the samples each slot of a tile is active; `planes` has bit `k` of all counts."""
    # `add_sixteen` adds to bits 0 to 3; its carry goes on from bit 4, as far as the count may reach
    n_bits = 5
    while (1 << n_bits) <= len(samples):
        n_bits += 1
    planes[: TILE * n_bits] = 0
    n_words, first = np.uint64(tiles.shape[1]), np.uint64(TILE * tile)
    at, flat = np.empty(16, dtype=np.uint64), tiles.ravel()
    # the last row has no bits: it fills up the last sixteen samples
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
