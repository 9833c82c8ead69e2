"""The three laws for drawing a pair, on a dense cost matrix: exact and slow, for testing and teaching.

Pairs are unordered; NaN costs (masked groups) are never drawn. `docs/merge-math.md` defines the laws.
"""

from typing import Any

import numpy as np

from spdclust.core.errors import InputError
from spdclust.core.types import Bool, Float, Int

Pair = tuple[int, int]
"""Two groups, smaller number first."""


def range_sampler(costs: Any, rng: np.random.Generator, threshold: float = 0.05) -> Pair:
    """Draw uniformly among the pairs with cost ≤ min + threshold·(max − min).

    Example:
        >>> costs = np.array([[0.0, 1.0, 5.0], [1.0, 0.0, 9.0], [5.0, 9.0, 0.0]])
        >>> range_sampler(costs, np.random.default_rng(0), threshold=0.0)
        (0, 1)

    Args:
        costs: `(groups, groups)` symmetric cost matrix, NaN for pairs that cannot be merged; the diagonal is
            ignored.
        rng: where the draw comes from.
        threshold: 0 (only the best pair, ties uniformly) to 1 (all pairs).

    Raises:
        InputError: no pair has a cost, or `threshold` is not between 0 and 1.
    """
    pairs, values = pairs_with_costs(costs)
    return _draw(pairs, range_law(values, threshold), rng)


def mcmc_sampler(costs: Any, rng: np.random.Generator, temperature: float = 1.0) -> Pair:
    """Draw a pair with probability ∝ exp(−cost / temperature).

    Example:
        >>> costs = np.array([[0.0, -900.0, 5.0], [-900.0, 0.0, 9.0], [5.0, 9.0, 0.0]])
        >>> mcmc_sampler(costs, np.random.default_rng(0), temperature=2.0)
        (0, 1)

    Args:
        costs: `(groups, groups)` symmetric cost matrix in bits per sample, NaN for pairs that cannot be
            merged.
        rng: where the draw comes from.
        temperature: bits per sample, above 0.

    Raises:
        InputError: no pair has a cost, or `temperature` is not above 0.
    """
    pairs, values = pairs_with_costs(costs)
    return _draw(pairs, mcmc_law(values, temperature), rng)


def exp_rank_sampler(costs: Any, rng: np.random.Generator, decay: float = 0.2) -> Pair:
    """Draw the pair at rank ρ of the sorted costs with probability ∝ exp(−decay·ρ), ties in random order.

    Example:
        >>> costs = np.array([[0.0, 1.0, 5.0], [1.0, 0.0, 9.0], [5.0, 9.0, 0.0]])
        >>> exp_rank_sampler(costs, np.random.default_rng(0), decay=50.0)
        (0, 1)

    Args:
        costs: `(groups, groups)` symmetric cost matrix, NaN for pairs that cannot be merged.
        rng: where the draw comes from.
        decay: 0 (all pairs equally likely) or more.

    Raises:
        InputError: no pair has a cost, or `decay` is negative.
    """
    pairs, values = pairs_with_costs(costs)
    return _draw(pairs, exp_rank_law(values, decay), rng)


SAMPLERS = {"range": range_sampler, "mcmc": mcmc_sampler, "exp_rank": exp_rank_sampler}
"""Each sampler by its name in the configuration."""


def range_candidates(costs: Float[np.ndarray, " pairs"], threshold: float) -> Bool[np.ndarray, " pairs"]:
    """Return which pairs have a cost ≤ min + threshold·(max − min).

    Example:
        >>> range_candidates(np.array([0.0, 4.0, 10.0]), 0.5).tolist()
        [True, True, False]
    """
    if not 0 <= threshold <= 1:
        raise InputError("threshold is out of range", field="threshold", found=threshold, allowed="0 to 1")
    low, high = costs.min(), costs.max()
    # for a threshold of 1 the sum may round to just below the maximum
    candidates: np.ndarray = costs <= (high if threshold == 1 else low + threshold * (high - low))
    return candidates


def range_law(costs: Float[np.ndarray, " pairs"], threshold: float) -> Float[np.ndarray, " pairs"]:
    """Return the probability of each pair under the `range` sampler.

    Example:
        >>> range_law(np.array([0.0, 4.0, 10.0]), 0.5).tolist()
        [0.5, 0.5, 0.0]
    """
    candidates = range_candidates(costs, threshold)
    law: np.ndarray = candidates / candidates.sum()
    return law


def mcmc_law(costs: Float[np.ndarray, " pairs"], temperature: float) -> Float[np.ndarray, " pairs"]:
    """Return the probability of each pair under the `mcmc` sampler.

    Example:
        >>> mcmc_law(np.array([0.0, np.log(3.0)]), 1.0).round(3).tolist()
        [0.75, 0.25]
    """
    if not temperature > 0:
        raise InputError(
            "temperature is out of range", field="temperature", found=temperature, allowed="above 0"
        )
    with np.errstate(over="ignore"):
        weights = np.exp(-(costs - costs.min()) / temperature)
    law: np.ndarray = weights / weights.sum()
    return law


def exp_rank_law(costs: Float[np.ndarray, " pairs"], decay: float) -> Float[np.ndarray, " pairs"]:
    """Return the probability of each pair under the `exp_rank` sampler; tied pairs share their ranks evenly.

    Example:
        >>> exp_rank_law(np.array([7.0, 3.0, 3.0]), np.log(2.0)).round(4).tolist()
        [0.1429, 0.4286, 0.4286]
    """
    if not decay >= 0:
        raise InputError("decay is negative", field="decay", found=decay, allowed="0 or more")
    by_rank = np.exp(-decay * np.arange(len(costs)))
    by_rank /= by_rank.sum()
    levels, level = np.unique(costs, return_inverse=True)
    sizes = np.bincount(level, minlength=len(levels))
    ends = np.cumsum(sizes)
    shares = np.array([by_rank[end - size : end].mean() for size, end in zip(sizes, ends, strict=True)])
    return shares[level]


def pairs_with_costs(
    costs: Any,
) -> tuple[Int[np.ndarray, "pairs 2"], Float[np.ndarray, " pairs"]]:
    """Return every unordered pair that has a cost, row by row, and the costs.

    Example:
        >>> pairs, values = pairs_with_costs([[0, 1, np.nan], [1, 0, 2], [np.nan, 2, 0]])
        >>> pairs.tolist(), values.tolist()
        ([[0, 1], [1, 2]], [1.0, 2.0])

    Raises:
        InputError: the matrix is not square, or no pair has a cost.
    """
    if hasattr(costs, "detach"):
        costs = costs.detach().cpu().numpy()
    matrix = np.asarray(costs, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise InputError(
            "costs must be square", field="costs", found=matrix.shape, allowed="(groups, groups)"
        )
    pairs = np.stack(np.triu_indices(len(matrix), 1), axis=1)
    values = matrix[pairs[:, 0], pairs[:, 1]]
    known = ~np.isnan(values)
    if not known.any():
        raise InputError(
            "no pair of groups can be merged: every pair cost is NaN",
            field="costs",
            found=f"{len(matrix)} groups, {len(values)} pairs",
            allowed="at least one pair with a cost",
        )
    return pairs[known], values[known]


def _draw(
    pairs: Int[np.ndarray, "pairs 2"], law: Float[np.ndarray, " pairs"], rng: np.random.Generator
) -> Pair:
    i, j = pairs[rng.choice(len(pairs), p=law / law.sum())]
    return int(i), int(j)
