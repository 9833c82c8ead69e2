"""The arrays that a merge works on, and where things stand in them.

Every group has a *slot*. Slots are in order of age: a merged group takes a new slot behind all others, and
the slots of its two parts are closed. A slot's row holds its coactivations with all older slots, one after
the other, so that all rows together are a packed lower triangle: half of a square matrix, and a merge writes
one new row and nothing else. When many slots are closed, the rows are moved together.

Few arrays with named rows, rather than many arrays: numba takes long to compile functions of many arguments.
"""

from typing import NamedTuple

import numpy as np

from spdclust.core.compiling import compiled

BLOCK = 64
"""Slots per block: each block remembers its least bound and its total weight."""


class State(NamedTuple):
    """Everything a kernel may need. Counts are exact in float64."""

    coact: np.ndarray
    """Packed triangle of coactivations: int32 counts, or float64 sums of products."""
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
    """Sample after sample, one entry per active group: its slot when the batch was loaded."""
    row_start: np.ndarray
    """int64: where each sample's entries begin."""
    row_length: np.ndarray
    """int32: how many entries each sample has left."""
    owner: np.ndarray
    """What became of each slot that the batch was loaded with: its present slot."""
    following: np.ndarray
    """int32: the next entry with the same owner, -1 after the last."""
    words: np.ndarray
    """uint32: every group's set of samples: sorted numbers, or a bitmap once that is shorter."""
    shared: np.ndarray
    """uint32: room for samples that both parts of a merge are active on."""
    touched: np.ndarray
    """int32 per slot: shared samples of the present merge; zero in between."""
    room: np.ndarray
    """float64 `(2, slot)`: room for a row's values."""
    listed: np.ndarray
    """int64 per slot: room for a list of slots."""
    heap: np.ndarray
    """float64: room for the smallest pair values."""
    heap_pairs: np.ndarray
    """int64 `(2, heap)`: room for their slots."""
    log: np.ndarray
    """float64 `(record, merge)`."""


class Rules(NamedTuple):
    """What does not change during a merge."""

    sampler: int
    argument: float
    alpha: float
    n_samples: float
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
MOST = 7  # the row's greatest value when last read for it
LEAST_WEIGHED = 8  # the row's least value when it was weighed (mcmc)
WEIGHT = 9  # no less than the row's weight: sum of pair weights (mcmc), number of candidates (range)
WEIGHT_TOTAL = 10  # sum of the row's pair weights relative to that of its least pair, when weighed (mcmc)
N_FIGURES = 11

# rows of State.marks
NAME = 0  # smallest component
LOW_AT = 1  # after how many merges LOW was exact
TIES = 2  # at most so many pairs of the row are exactly at LOW; -1: not known
PEAK_AT = 3  # after how many merges MOST was exact
SPAN_START = 4  # where the group's set of samples begins
SPAN_LENGTH = 5  # how many words it takes
IS_BITMAP = 6  # 1 when it is a bitmap
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
LOST_ACTIVITY, LOST_ACTIVITY_RANK = range(7, 9)  # what rounding took from the first two
N_SUMS = 9

# values of counts[STATUS], why a kernel came back
DONE, NO_PAIR, MOVE_TOGETHER, PACK_WORDS, FIND_RANK, FIND_FIGURES = range(6)

# rows of State.log
NAME_FIRST, NAME_SECOND, VALUE, COMMON, MDL, GAP, PAIR_RANK, ZERO_SHARE = range(8)
SIZE_FIRST, SIZE_SECOND, ACTIVITY_FIRST, ACTIVITY_SECOND = range(8, 12)
N_RECORDS = 12


@compiled
def row_start(slot):
    """Return where the row of a slot begins in the packed triangle."""
    return slot * (slot - 1) // 2


@compiled
def pair_place(p, q):
    """Return where the pair of two slots stands in the packed triangle."""
    return row_start(p) + q if p > q else row_start(q) + p


@compiled
def pair_value(c, s_i, s_j, r_i, r_j, alpha, log_k):
    """Return the cost of a pair without the term that all pairs share, in bits (docs/merge-math.md)."""
    return alpha * ((s_i - c) * r_j + (s_j - c) * r_i) - c * log_k


@compiled
def value_of(coact, figures, p, q, alpha, log_k):
    """Return the value of the pair of two slots."""
    return pair_value(
        np.float64(coact[pair_place(p, q)]),
        figures[ACTIVITY, p],
        figures[ACTIVITY, q],
        figures[RANK, p],
        figures[RANK, q],
        alpha,
        log_k,
    )


@compiled
def draw_below(rng, n):
    """Draw a whole number from 0 to n − 1, all exactly alike."""
    everything = np.int64(1) << 53
    while True:
        number = np.int64(rng.random() * everything)  # whole, from 0 to 2^53 − 1
        if number < everything - everything % n:
            return number % n
