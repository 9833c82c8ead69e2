"""A draw with probability ∝ exp(−cost / temperature), from row weights that may be old.

Values only grow, so a weight computed earlier is an upper bound of today's: draw a row by its old weight,
read it, accept it with probability today's weight / old weight. That is exactly the softmax law.
"""

import math

import numpy as np

from spdclust.core.compiling import compiled
from spdclust.merge.kernels.bounds import values_of_row
from spdclust.merge.kernels.joining import update_weight
from spdclust.merge.kernels.layout import (
    BLOCK,
    CLOSED,
    LEAST_WEIGHED,
    SCALE,
    SLOTS,
    TOTAL_WEIGHT,
    WEIGHT,
    WEIGHT_TOTAL,
)

RESCALE_BELOW, RESCALE_ABOVE = 1e-200, 1e200
"""Total weights outside these are rescaled, long before a weight that matters is rounded to nothing."""


STEEPEST = 1e300
"""Largest inverse temperature: a difference of 0 times infinity would be no number."""


@compiled
def weigh_row(coact, figures, rules, p, log_k, room):
    """Return a row's least value, and the sum of its weights relative to that of its least pair.

    The weight itself, total · exp(−least / temperature), is no number at low temperatures; nor can its
    logarithm tell rows of equal least values apart once that is above 1e16. `room[1]` gets the pairs'
    weights relative to the greatest, `room[0]` their values.
    """
    values, weights = room[0], room[1]
    least = values_of_row(coact, figures, p, 0, p, rules.alpha, log_k, values)
    if least == np.inf:
        return np.inf, 0.0
    inverse, total = inverse_temperature(rules), 0.0
    for q in range(p):
        weights[q] = math.exp((least - values[q]) * inverse)
        total += weights[q]
    return least, total


@compiled
def inverse_temperature(rules):
    """Return the inverse temperature for costs that are counts."""
    return min(1.0 / (rules.argument * max(rules.n_samples, 1.0)), STEEPEST)


@compiled
def relative_weight(least, total, scale, inverse):
    """Return a row's weight relative to exp(−scale / temperature)."""
    return total * math.exp((scale - least) * inverse) if least < np.inf else 0.0


@compiled
def weigh_rows(coact, figures, rules, first, last, log_k, room):
    """Weigh the rows of slots `first` to `last`; `rescale` is for the caller."""
    for p in range(first, last):
        figures[LEAST_WEIGHED, p], figures[WEIGHT_TOTAL, p] = np.inf, 0.0
        if figures[CLOSED, p] == 0.0:
            least, total = weigh_row(coact, figures, rules, p, log_k, room)
            figures[LEAST_WEIGHED, p], figures[WEIGHT_TOTAL, p] = least, total


@compiled
def weigh_new_row(state, rules, p, log_k):
    """Weigh a row that has just been written."""
    figures, inverse, scale = state.figures, inverse_temperature(rules), state.sums[SCALE]
    least, total = weigh_row(state.coact, figures, rules, p, log_k, state.room)
    figures[LEAST_WEIGHED, p], figures[WEIGHT_TOTAL, p] = least, total
    if least < np.inf and (scale - least) * inverse > 400.0:
        rescale(figures, state.blocks, state.sums, state.counts[SLOTS], rules)
    else:
        figures[WEIGHT, p] = relative_weight(least, total, scale, inverse)
        update_weight(figures, state.blocks, p)


@compiled
def rescale(figures, blocks, sums, n_slots, rules):
    """Measure all weights against that of the least value."""
    scale, inverse = np.inf, inverse_temperature(rules)
    for p in range(n_slots):
        scale = min(scale, figures[LEAST_WEIGHED, p])
    sums[SCALE] = scale
    for p in range(n_slots):
        least, total = figures[LEAST_WEIGHED, p], figures[WEIGHT_TOTAL, p]
        figures[WEIGHT, p] = relative_weight(least, total, scale, inverse)
    for block in range((n_slots + BLOCK - 1) // BLOCK):
        update_weight(figures, blocks, block * BLOCK)


@compiled
def choose_mcmc(state, rules, log_k, rng):
    """Draw a pair with probability ∝ exp(−cost / temperature); -1 when there is no pair."""
    figures, blocks, sums, n_slots = state.figures, state.blocks, state.sums, state.counts[SLOTS]
    inverse = inverse_temperature(rules)
    while True:
        total = total_weight(blocks, n_slots)
        if not RESCALE_BELOW < total < RESCALE_ABOVE:
            rescale(figures, blocks, sums, n_slots, rules)
            total = total_weight(blocks, n_slots)
            if total == 0.0:
                return -1, -1
        p = _row_at(figures, blocks, rng.random() * total, n_slots)
        old_least, old_total = figures[LEAST_WEIGHED, p], figures[WEIGHT_TOTAL, p]
        least, row_total = weigh_row(state.coact, figures, rules, p, log_k, state.room)
        if rng.random() < relative_weight(least, row_total / old_total, old_least, inverse):
            return p, _pair_at(state.room[1], rng.random() * row_total, p)
        figures[LEAST_WEIGHED, p], figures[WEIGHT_TOTAL, p] = least, row_total
        figures[WEIGHT, p] = relative_weight(least, row_total, sums[SCALE], inverse)
        update_weight(figures, blocks, p)


@compiled
def total_weight(blocks, n_slots):
    """Return the sum of all rows' weights."""
    total = 0.0
    for block in range((n_slots + BLOCK - 1) // BLOCK):
        total += blocks[TOTAL_WEIGHT, block]
    return total


@compiled
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


@compiled
def _pair_at(weights, rest, n):
    """Return where a running sum of weights passes `rest`, or the last place with a weight."""
    chosen = -1
    for q in range(n):
        if weights[q] > 0.0:
            chosen = q
            rest -= weights[q]
            if rest < 0.0:
                break
    return chosen
