"""A simple dense implementation of the merge and its samplers: slow, for reading and for testing the engine.

The three laws for drawing a pair are exact, on a dense cost matrix. Pairs are unordered; NaN costs (masked
groups) are never drawn. `docs/merge-math.md` defines the laws.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError
from spdclust.core.types import Bool, Float, Int, Seed, make_generator
from spdclust.merge.activations import components_to_merge
from spdclust.merge.costs import compute_mdl_cost, recompute_coacts_from_scratch, relative_costs
from spdclust.merge.history import MergeHistory
from spdclust.merge.sources import as_batch_source

Pair = tuple[int, int]
"""Two groups, smaller number first."""

Law = Callable[[np.ndarray, float], np.ndarray]
"""From the costs of pairs and the sampler's argument to their probabilities."""


def merge_plainly(activations: Any, config: MergeConfig, seed: Seed = 0) -> MergeHistory:
    """Merge like `merge_iteration`, but recompute every coactivation and every cost before each merge.

    The laws are the same but the random draws differ: histories agree where the choice is not random.

    Example:
        >>> from spdclust.merge.activations import ProcessedActivations
        >>> acts = ProcessedActivations.from_dense([[1, 1, 0], [1, 1, 1]], ["m:0", "m:1", "m:2"])
        >>> greedy = MergeConfig(min_groups=2, merge_pair_sampling_kwargs={"threshold": 0})
        >>> merge_plainly(acts, greedy).selected_pairs.tolist()
        [[0, 1]]
    """
    source = as_batch_source(activations)
    components = components_to_merge(source.labels, *source.component_stats(), config)
    rng = make_generator(seed)
    (argument,) = config.sampler_kwargs.values()
    n_merges = config.n_merges(len(components))
    state = _Groups.of(source.get_next_batch().matrix[:, components].toarray(), config)
    pairs, losses, pair_costs = (
        np.empty((n_merges, 2), dtype=np.int64),
        np.empty(n_merges),
        np.empty(n_merges),
    )
    for t in range(n_merges):
        if config.recompute_costs_every > 1 and t > 0 and t % config.recompute_costs_every == 0:
            state.load(source.get_next_batch().matrix[:, components].toarray())
        costs = state.relative_costs() / state.n_samples
        i, j = draw_pair(costs, LAWS[config.merge_pair_sampling_method], argument, rng)
        pairs[t] = i, j
        pair_costs[t] = costs[i, j] + state.common_cost()
        state.merge(i, j)
        losses[t] = state.mdl()
    return MergeHistory(
        labels=[source.labels[component] for component in components],
        selected_pairs=pairs,
        mdl_loss=losses,
        merge_pair_cost=pair_costs,
        config=config,
    )


def draw_pair(costs: Any, law: Law, argument: float, rng: np.random.Generator) -> Pair:
    """Draw a pair of groups by a law of `LAWS`.

    Costs are symmetric, in bits per sample, NaN for pairs that cannot be merged; the diagonal is ignored.

    Example:
        >>> costs = np.array([[0.0, 1.0, 5.0], [1.0, 0.0, 9.0], [5.0, 9.0, 0.0]])
        >>> draw_pair(costs, exp_rank_law, 50.0, np.random.default_rng(0))
        (0, 1)

    Raises:
        InputError: no pair has a cost, or the argument is out of range.
    """
    pairs, values = pairs_with_costs(costs)
    probabilities = law(values, argument)
    i, j = pairs[rng.choice(len(pairs), p=probabilities / probabilities.sum())]
    return int(i), int(j)


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
    """Return the probability of each pair under the `range` sampler: equal among the candidates.

    Example:
        >>> range_law(np.array([0.0, 4.0, 10.0]), 0.5).tolist()
        [0.5, 0.5, 0.0]
    """
    candidates = range_candidates(costs, threshold)
    law: np.ndarray = candidates / candidates.sum()
    return law


def mcmc_law(costs: Float[np.ndarray, " pairs"], temperature: float) -> Float[np.ndarray, " pairs"]:
    """Return the probability of each pair under the `mcmc` sampler, ∝ exp(−cost / temperature).

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
    """Return the probability of each pair under the `exp_rank` sampler, ∝ exp(−decay·rank of its cost).

    Tied pairs share their ranks evenly.

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


LAWS: dict[str, Law] = {"range": range_law, "mcmc": mcmc_law, "exp_rank": exp_rank_law}
"""The law of each sampler by its name in the configuration."""


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


@dataclass
class _Groups:
    """The current grouping on the current batch, dense."""

    config: MergeConfig
    group_idxs: np.ndarray
    activations: np.ndarray
    coact: np.ndarray
    masked: np.ndarray

    @classmethod
    def of(cls, activations: np.ndarray, config: MergeConfig) -> "_Groups":
        groups = cls(config, np.arange(activations.shape[1]), activations, np.empty(0), np.empty(0))
        groups.load(activations)
        return groups

    def load(self, activations: np.ndarray) -> None:
        self.activations = activations
        self.n_samples = len(activations)
        self.coact = recompute_coacts_from_scratch(
            activations, self.group_idxs, self.config.activation_threshold
        )
        self.masked = np.zeros(len(self.coact), dtype=bool)

    @property
    def ranks(self) -> np.ndarray:
        return np.bincount(self.group_idxs)

    def common_cost(self) -> float:
        k = len(self.coact)
        return float(np.trace(self.coact) / self.n_samples * (np.log1p(-1 / k) / np.log(2)))

    def relative_costs(self) -> np.ndarray:
        coact = self.coact.copy()
        coact[self.masked] = coact[:, self.masked] = np.nan
        return relative_costs(coact, self.ranks, self.config.alpha)

    def mdl(self) -> float:
        return compute_mdl_cost(np.diag(self.coact) / self.n_samples, self.ranks, self.config.alpha)

    def merge(self, i: int, j: int) -> None:
        scalar = self.config.activation_threshold is None
        old = np.diag(self.coact).copy()
        self.group_idxs = np.where(self.group_idxs == j, i, self.group_idxs)
        self.group_idxs = self.group_idxs - (self.group_idxs > j)
        self.masked = np.delete(self.masked, j)
        coact = recompute_coacts_from_scratch(
            self.activations, self.group_idxs, self.config.activation_threshold
        )
        if scalar:  # the diagonal of a merged group is the plain sum of its activations
            np.fill_diagonal(coact, np.delete(old, j))
            coact[i, i] = self.activations[:, self.group_idxs == i].sum(dtype=np.float64)
        self.coact = coact
        if self.config.between_batches == "mask" and self.config.recompute_costs_every > 1:
            self.masked[i] = True
