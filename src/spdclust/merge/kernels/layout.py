"""The arrays that a merge works on, and their layout.

Every group has a *slot*. Slots are ordered by age: a merged group takes a new slot after all others, and the
slots of its two parts are closed. A slot's row holds its coactivations with all older slots, so all rows
together form a packed lower triangle, half of a square matrix, and a merge only writes one new row. When many
slots are closed, the rows are compacted.

There are few arrays with named rows because numba is slow to compile functions of many arguments.
"""

from typing import NamedTuple

import numpy as np

from spdclust.core.compiling import compiled, inner


class Coactivations(NamedTuple):
    """Packed triangle of coactivations: a row for each slot, with one entry for each older slot.

    A count is at most the activity of either slot. The few slots that are active on more samples than
    16 bits can count have their rows in `wide`, and nothing in `narrow`.
    """

    narrow: np.ndarray
    """uint16 counts of all rows but wide ones, or float64 sums of products."""
    wide: np.ndarray
    """int32 counts of wide rows, one after the other."""
    wide_start: np.ndarray
    """int64 per slot: start of its row in `wide`, -1 if it is narrow. One more: the end of the last row."""


class State(NamedTuple):
    """All arrays that a kernel may need. Counts are exact in float64."""

    coact: Coactivations
    figures: np.ndarray
    """float64 `(figure, slot)`."""
    marks: np.ndarray
    """int64 `(mark, slot)`."""
    blocks: np.ndarray
    """float64 `(figure, block)`."""
    counts: np.ndarray
    """int64, of the whole grouping."""
    sums: np.ndarray
    """float64, of the whole grouping."""
    rows: np.ndarray
    """Per sample, one entry per active group: its slot when the batch was loaded."""
    row_start: np.ndarray
    """int64: start of each sample's entries."""
    row_length: np.ndarray
    """int32: number of entries that remain for each sample."""
    owner: np.ndarray
    """Current slot of each slot that the batch was loaded with."""
    following: np.ndarray
    """int32: the next entry with the same owner, -1 after the last."""
    words: np.ndarray
    """uint32: every group's set of samples, as sorted numbers or, once shorter, as a bitmap."""
    shared: np.ndarray
    """uint32: buffer for samples on which both parts of a merge are active."""
    new_row: np.ndarray
    """int32 (float64 for scalar activations) per slot: buffer for the row of a union; zero between merges."""
    room: np.ndarray
    """float64 `(2, slot)`: buffer for a row's values."""
    listed: np.ndarray
    """int64 per slot: buffer for a list of slots."""
    heap: np.ndarray
    """float64: buffer for the smallest pair values."""
    heap_pairs: np.ndarray
    """int64 `(2, heap)`: buffer for their slots."""
    log: np.ndarray
    """float64 `(record, merge)`."""


class Rules(NamedTuple):
    """Values that are constant during a merge."""

    sampler: int
    argument: float
    alpha: float
    n_samples: float
    narrow: float
    """Slots that are active on more samples have wide rows."""
    scalar: bool
    monotone: bool
    mask: bool
    thorough: bool


RANGE, MCMC, EXP_RANK = range(3)

# rows of State.figures
ACTIVITY = 0  # samples on which the group is active
RANK = 1  # number of components
CLOSED = 2  # 0 for a group, infinity for a closed slot: added to pair values
TOTAL = 3  # sum of activations, for scalar activations
LOW = 4  # no pair of the row is below this
PEAK = 5  # no pair of the row is above PEAK − SLOPE·log2(k−1)
SLOPE = 6  # how fast the row's greatest value may grow as log2(k−1) falls
MOST = 7  # the row's greatest value when last read
LEAST_WEIGHED = 8  # the row's least value when it was weighed (mcmc)
WEIGHT = 9  # at least the row's weight: sum of pair weights (mcmc), number of candidates (range)
WEIGHT_TOTAL = 10  # sum of the row's pair weights relative to that of its least pair, when weighed (mcmc)
N_FIGURES = 11

# rows of State.marks
NAME = 0  # smallest component
LOW_AT = 1  # number of merges after which LOW was exact
TIES = 2  # upper bound of the number of pairs in the row with exactly LOW; -1: unknown
PEAK_AT = 3  # number of merges after which MOST was exact
SPAN_START = 4  # start of the group's set of samples
SPAN_LENGTH = 5  # number of words of the set
IS_BITMAP = 6  # 1 if the set is a bitmap
FIRST_ENTRY = 7  # first entry that the slot owns
LAST_ENTRY = 8  # last one
N_MARKS = 9

# rows of State.blocks
LEAST, TOTAL_WEIGHT = 0, 1

# positions in State.counts
SLOTS, GROUPS, OPEN, MERGES, ZERO_PAIRS, TOP, STATUS, BLIND_FAILED, CHOSEN_P, CHOSEN_Q, CHOSEN_RANK = range(
    11
)
N_COUNTS = 11

# positions in State.sums
SUM_ACTIVITY, SUM_ACTIVITY_RANK, LIMIT, SCALE, LEAST_VALUE, CHOSEN_LIMIT, MARGIN = range(7)
LOST_ACTIVITY, LOST_ACTIVITY_RANK = range(7, 9)  # rounding error of the first two
N_SUMS = 9

# values of counts[STATUS]: why a kernel returned
DONE, NO_PAIR, MOVE_TOGETHER, PACK_WORDS, FIND_RANK, FIND_FIGURES = range(6)

# rows of State.log
NAME_FIRST, NAME_SECOND, VALUE, COMMON, MDL, GAP, PAIR_RANK, ZERO_SHARE = range(8)
SIZE_FIRST, SIZE_SECOND, ACTIVITY_FIRST, ACTIVITY_SECOND = range(8, 12)
N_RECORDS = 12


@compiled
def row_start(slot):
    """Return the start of a slot's row in the packed triangle."""
    return slot * (slot - 1) // 2


@inner(inline="always")
def narrow_row(coact, slot):
    """Return the row of a slot that is not wide."""
    return coact.narrow[row_start(slot) : row_start(slot) + slot]


@inner(inline="always")
def wide_row(coact, slot):
    """Return the row of a wide slot."""
    return coact.wide[coact.wide_start[slot] : coact.wide_start[slot] + slot]


@inner
def store_row(coact, slot, counts):
    """Write the row of a slot."""
    if coact.wide_start[slot] >= 0:
        _copy(counts, wide_row(coact, slot))
    else:
        _copy(counts, narrow_row(coact, slot))


@inner
def _copy(counts, row):
    for q in range(len(row)):
        row[q] = counts[q]


@inner
def count_of(coact, p, q):
    """Return the coactivation of two slots."""
    younger, older = max(p, q), min(p, q)
    start = coact.wide_start[younger]
    if start >= 0:
        return coact.wide[start + older]
    return coact.narrow[row_start(younger) + older]


def counts_of(coact: Coactivations, p: np.ndarray | int, q: np.ndarray) -> np.ndarray:
    """Return the coactivations of many pairs of slots, in float64."""
    younger, older = np.maximum(p, q), np.minimum(p, q)
    start = coact.wide_start[younger]
    counts: np.ndarray = coact.narrow[younger * (younger - 1) // 2 + older].astype(np.float64)
    counts[start >= 0] = coact.wide[(start + older)[start >= 0]]
    return counts


@inner
def pair_value(c, s_i, s_j, r_i, r_j, alpha, log_k):
    """Return the cost of a pair without the term that all pairs share, in bits (docs/merge-math.md)."""
    return alpha * ((s_i - c) * r_j + (s_j - c) * r_i) - c * log_k


@compiled
def value_of(coact, figures, p, q, alpha, log_k):
    """Return the value of the pair of two slots."""
    return pair_value(
        np.float64(count_of(coact, p, q)),
        figures[ACTIVITY, p],
        figures[ACTIVITY, q],
        figures[RANK, p],
        figures[RANK, q],
        alpha,
        log_k,
    )


@compiled
def draw_below(rng, n):
    """Draw an integer from 0 to n − 1, exactly uniformly."""
    everything = np.int64(1) << 53
    while True:
        number = np.int64(rng.random() * everything)  # an integer from 0 to 2^53 − 1
        if number < everything - everything % n:
            return number % n
