"""Compile the kernels that a merge needs before it starts, in one process at a time."""

import numpy as np

from spdclust.config.merge import MergeConfig
from spdclust.core.compiling import ensure_compiled
from spdclust.merge.activations import ProcessedActivations
from spdclust.merge.kernels import choosing_rank, joining, layout, loop
from spdclust.merge.loading import entry_type, load_batch
from spdclust.merge.memory import capacity_for
from spdclust.merge.state import build_state, read_all_rows, rules_for
from spdclust.merge.stepping import merge_up_to, move_together, pack_words


def warm_up(config: MergeConfig, n_components: int) -> None:
    """Compile the kernels for merges of this kind and size, or load them from the cache.

    Jobs that start at the same time on one file system wait for the first one to compile.

    Example:
        >>> warm_up(MergeConfig(), 100)

    Args:
        config: settings of the merge; the sampler and scalar activations determine what is compiled.
        n_components: number of components; large numbers need wider types.
    """
    scalar = config.activation_threshold is None
    wide = entry_type(capacity_for(n_components)) is np.int32
    at_zero = 0.0 in config.sampler_kwargs.values()
    kind = (config.merge_pair_sampling_method, at_zero, scalar, wide and not scalar)
    ensure_compiled(f"merge, {kind}", lambda: _merge_little(config, wide))


def _merge_little(config: MergeConfig, wide: bool) -> None:
    rng = np.random.default_rng(0)
    acts = ProcessedActivations.from_dense(
        (rng.random((200, 12)) < rng.random(12)).astype(np.float32), [f"m:{i}" for i in range(12)]
    )
    loaded = load_batch(acts, np.arange(12), None, config, threads=1, wide=wide)
    rules = rules_for(config, loaded, thorough=False)
    state = build_state(
        loaded, np.arange(12), np.ones(12, dtype=np.int64), 0, np.zeros((layout.N_RECORDS, 12))
    )
    read_all_rows(state, rules, threads=1)
    merge_up_to(state, rules, 6, rng)
    # kernels that a small merge does not reach by itself
    move_together(state, rules)
    pack_words(state)
    joining.spread_rows(state.coact, np.arange(2))
    if config.merge_pair_sampling_method == "exp_rank":
        state.listed[:2] = 0, -1
        choosing_rank.count_between(state, rules, 1.0, 0.0, 0.0, np.empty(0))
        choosing_rank.find_tie(state, rules, 1.0, 0.0, 0, 1)
        layout.draw_below(rng, 2)
        joining.join(state, rules, 0, 1, 0.0, 0, 0.0)
        loop.zero_share_of_all(state.counts)
