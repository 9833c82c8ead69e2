"""A simple dense implementation of the merge: slow, for reading and for testing the engine."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from spdclust.config.merge import MergeConfig
from spdclust.core.types import Seed, make_generator
from spdclust.merge.costs import compute_mdl_cost, recompute_coacts_from_scratch, relative_costs
from spdclust.merge.filtering import components_to_merge
from spdclust.merge.history import MergeHistory
from spdclust.merge.samplers import SAMPLERS
from spdclust.merge.sources import as_batch_source


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
    kept = components_to_merge(source.labels, *source.component_stats(), config)
    rng = make_generator(seed)
    n_merges = config.n_merges(len(kept))
    state = _Groups.of(source.get_next_batch().matrix[:, kept].toarray(), config)
    pairs, losses, pair_costs = (
        np.empty((n_merges, 2), dtype=np.int64),
        np.empty(n_merges),
        np.empty(n_merges),
    )
    for t in range(n_merges):
        if config.recompute_costs_every > 1 and t > 0 and t % config.recompute_costs_every == 0:
            state.load(source.get_next_batch().matrix[:, kept].toarray())
        costs = state.relative_costs() / state.n_samples
        i, j = SAMPLERS[config.merge_pair_sampling_method](costs, rng, **config.sampler_kwargs)
        pairs[t] = i, j
        pair_costs[t] = costs[i, j] + state.common_cost()
        state.merge(i, j)
        losses[t] = state.mdl()
    return MergeHistory(
        labels=[source.labels[component] for component in kept],
        selected_pairs=pairs,
        mdl_loss=losses,
        merge_pair_cost=pair_costs,
        config=config,
    )


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
