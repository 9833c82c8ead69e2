"""Draw a pair with probability ∝ exp(−cost / temperature), using row weights that may be outdated.

Values only grow, so a weight computed earlier is an upper bound of the current one: draw a row by its old
weight, read it and accept it with probability current weight / old weight. This is exactly the softmax law.
"""

import math

import numpy as np

from spdclust.core.compiling import compiled, inner
from spdclust.merge.kernels.bounds import values_of_row
from spdclust.merge.kernels.joining import update_weight
from spdclust.merge.kernels.layout import (
    CLOSED,
    LEAST_WEIGHED,
    SCALE,
    SLOTS,
    TOTAL_WEIGHT,
    WEIGHT,
    WEIGHT_TOTAL,
)
from spdclust.merge.memory import BLOCK

RESCALE_BELOW, RESCALE_ABOVE = 1e-200, 1e200
"""Rescale when the total weight leaves this range, long before a relevant weight underflows."""


STEEPEST = 1e300
"""Largest inverse temperature: a difference of 0 times infinity would be NaN."""


@inner
def _weigh_row(coact, figures, rules, p, log_k, room):
    """Return a row's least value and the sum of its weights relative to the weight of its least pair.

    The absolute weight, total · exp(−least / temperature), under- or overflows at low temperatures, and its
    logarithm cannot distinguish rows of equal least values above 1e16. Writes the pairs' weights relative to
    the greatest to `room[1]` and their values to `room[0]`.
    """
    values, weights = room[0], room[1]
    least = values_of_row(coact, figures, p, np.int64(0), p, rules.alpha, log_k, values)
    if least == np.inf:
        return np.inf, 0.0
    inverse, total = _inverse_temperature(rules), 0.0
    for q in range(p):
        weights[q] = math.exp((least - values[q]) * inverse)
        total += weights[q]
    return least, total


@inner
def _inverse_temperature(rules):
    """Return the inverse temperature for costs that are counts."""
    return min(1.0 / (rules.argument * max(rules.n_samples, 1.0)), STEEPEST)


@inner
def _relative_weight(least, total, scale, inverse):
    """Return a row's weight relative to exp(−scale / temperature)."""
    return total * math.exp((scale - least) * inverse) if least < np.inf else 0.0


@compiled
def weigh_rows(coact, figures, rules, first, last, log_k, room):
    """Weigh the rows of slots `first` to `last`; the caller must call `rescale`."""
    for p in range(first, last):
        figures[LEAST_WEIGHED, p], figures[WEIGHT_TOTAL, p] = np.inf, 0.0
        if figures[CLOSED, p] == 0.0:
            least, total = _weigh_row(coact, figures, rules, p, log_k, room)
            figures[LEAST_WEIGHED, p], figures[WEIGHT_TOTAL, p] = least, total


@inner
def weigh_new_row(state, rules, p, log_k):
    """Weigh a newly written row."""
    figures, inverse, scale = state.figures, _inverse_temperature(rules), state.sums[SCALE]
    least, total = _weigh_row(state.coact, figures, rules, p, log_k, state.room)
    figures[LEAST_WEIGHED, p], figures[WEIGHT_TOTAL, p] = least, total
    # exp(400) is 5e173: sums of weights much above that would overflow
    if least < np.inf and (scale - least) * inverse > 400.0:
        rescale(figures, state.blocks, state.sums, state.counts[SLOTS], rules)
    else:
        figures[WEIGHT, p] = _relative_weight(least, total, scale, inverse)
        update_weight(figures, state.blocks, p)


@compiled
def rescale(figures, blocks, sums, n_slots, rules):
    """Rescale all weights relative to that of the least value."""
    scale, inverse = np.inf, _inverse_temperature(rules)
    for p in range(n_slots):
        scale = min(scale, figures[LEAST_WEIGHED, p])
    sums[SCALE] = scale
    for p in range(n_slots):
        least, total = figures[LEAST_WEIGHED, p], figures[WEIGHT_TOTAL, p]
        figures[WEIGHT, p] = _relative_weight(least, total, scale, inverse)
    for block in range((n_slots + BLOCK - 1) // BLOCK):
        update_weight(figures, blocks, block * BLOCK)


@inner
def choose_mcmc(state, rules, log_k, rng):
    """Draw a pair with probability ∝ exp(−cost / temperature); -1 if there is no pair."""
    figures, blocks, sums, n_slots = state.figures, state.blocks, state.sums, state.counts[SLOTS]
    inverse = _inverse_temperature(rules)
    while True:
        total = _total_weight(blocks, n_slots)
        if not RESCALE_BELOW < total < RESCALE_ABOVE:
            rescale(figures, blocks, sums, n_slots, rules)
            total = _total_weight(blocks, n_slots)
            if total == 0.0:
                return -1, -1
        p = _row_at(figures, blocks, rng.random() * total, n_slots)
        # the ratio of two weights is finite where the weights themselves are not
        old_least, old_total = figures[LEAST_WEIGHED, p], figures[WEIGHT_TOTAL, p]
        least, row_total = _weigh_row(state.coact, figures, rules, p, log_k, state.room)
        if rng.random() < _relative_weight(least, row_total / old_total, old_least, inverse):
            return p, _pair_at(state.room[1], rng.random() * row_total, p)
        figures[LEAST_WEIGHED, p], figures[WEIGHT_TOTAL, p] = least, row_total
        figures[WEIGHT, p] = _relative_weight(least, row_total, sums[SCALE], inverse)
        update_weight(figures, blocks, p)


@inner
def _total_weight(blocks, n_slots):
    """Return the sum of all rows' weights."""
    total = 0.0
    for block in range((n_slots + BLOCK - 1) // BLOCK):
        total += blocks[TOTAL_WEIGHT, block]
    return total


@inner
def _row_at(figures, blocks, rest, n_slots):
    """Return the row in which a running sum of weights passes `rest`."""
    block, n_blocks = 0, (n_slots + BLOCK - 1) // BLOCK
    while block < n_blocks - 1 and rest >= blocks[TOTAL_WEIGHT, block]:
        rest -= blocks[TOTAL_WEIGHT, block]
        block += 1
    row = -1
    for p in range(block * BLOCK, min(block * BLOCK + BLOCK, n_slots)):
        if figures[WEIGHT, p] > 0.0:
            row = p
            rest -= figures[WEIGHT, p]
            if rest < 0.0:
                break
    if row < 0:  # rounding led into an empty last block
        for p in range(n_slots):
            if figures[WEIGHT, p] > 0.0:
                row = p
    return row


@inner
def _pair_at(weights, rest, n):
    """Return the index at which a running sum of weights passes `rest`, or the last index with a weight."""
    chosen = -1
    for q in range(n):
        if weights[q] > 0.0:
            chosen = q
            rest -= weights[q]
            if rest < 0.0:
                break
    return chosen
