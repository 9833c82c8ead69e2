"""Build the engine's arrays for one loaded batch."""

import math

import numpy as np

from spdclust.config.merge import MergeConfig
from spdclust.core.threads import even_parts, run_parts
from spdclust.core.types import Float, Int
from spdclust.merge.kernels import layout, loop
from spdclust.merge.kernels.bounds import update_least
from spdclust.merge.kernels.choosing_mcmc import rescale, weigh_rows
from spdclust.merge.kernels.layout import Rules, State
from spdclust.merge.loading import LoadedBatch
from spdclust.merge.memory import BLOCK

HEAP = 4096
"""Ranks below this are found from the row bounds, higher ones by reading all rows."""

SHARED = 4096
"""Number of shared samples to collect before visiting them."""

SAMPLERS = {"range": layout.RANGE, "mcmc": layout.MCMC, "exp_rank": layout.EXP_RANK}


def rules_for(config: MergeConfig, loaded: LoadedBatch, thorough: bool) -> Rules:
    """Return the settings in the form that the kernels use.

    Example:
        >>> from spdclust.merge.activations import ProcessedActivations
        >>> from spdclust.merge.loading import load_batch
        >>> config = MergeConfig(alpha=2, merge_pair_sampling_kwargs={"threshold": 0.1})
        >>> acts = ProcessedActivations.from_dense(np.eye(3), ["m:0", "m:1", "m:2"])
        >>> rules = rules_for(config, load_batch(acts, np.arange(3), None, config, 1), thorough=False)
        >>> rules.alpha, rules.argument, rules.n_samples
        (2.0, 0.1, 3.0)
    """
    (argument,) = config.sampler_kwargs.values()
    return Rules(
        sampler=SAMPLERS[config.merge_pair_sampling_method],
        argument=float(argument),
        alpha=float(config.alpha),
        n_samples=float(loaded.n_samples),
        narrow=loaded.narrow,
        scalar=config.activation_threshold is None,
        monotone=loaded.monotone,
        mask=config.recompute_costs_every > 1 and config.between_batches == "mask",
        thorough=thorough,
    )


def build_state(
    loaded: LoadedBatch,
    names: Int[np.ndarray, " groups"],
    ranks: Int[np.ndarray, " groups"],
    n_done: int,
    log: Float[np.ndarray, "records iterations"],
) -> State:
    """Return the state at the start of a batch, before any row is read.

    Example:
        >>> from spdclust.merge.activations import ProcessedActivations
        >>> from spdclust.merge.loading import load_batch
        >>> acts = ProcessedActivations.from_dense([[1, 1, 0], [1, 0, 1]], ["m:0", "m:1", "m:2"])
        >>> loaded = load_batch(acts, np.arange(3), None, MergeConfig(), 1)
        >>> log = np.zeros((layout.N_RECORDS, 2))
        >>> state = build_state(loaded, np.arange(3), np.ones(3, dtype=np.int64), 0, log)
        >>> int(state.counts[layout.GROUPS]), float(state.sums[layout.SUM_ACTIVITY])
        (3, 4.0)
    """
    n_groups, samples = len(names), loaded.samples
    capacity = len(loaded.coact.wide_start) - 1
    figures = np.zeros((layout.N_FIGURES, capacity))
    # slots without a group lose every comparison, so that no search has to skip them
    figures[[layout.CLOSED, layout.LOW, layout.LEAST_WEIGHED]] = np.inf
    figures[[layout.PEAK, layout.MOST]] = -np.inf
    figures[layout.CLOSED, :n_groups] = 0
    figures[layout.ACTIVITY, :n_groups] = loaded.activity
    figures[layout.RANK, :n_groups] = ranks[loaded.order]
    figures[layout.TOTAL, :n_groups] = loaded.total
    marks = np.full((layout.N_MARKS, capacity), -1, dtype=np.int64)
    marks[layout.NAME, :n_groups] = names[loaded.order]
    marks[layout.SPAN_START, :n_groups] = samples.span_start
    marks[layout.SPAN_LENGTH] = 0
    marks[layout.SPAN_LENGTH, :n_groups] = samples.span_length
    marks[layout.IS_BITMAP, :n_groups] = samples.is_bitmap
    marks[layout.FIRST_ENTRY, :n_groups] = marks[layout.LAST_ENTRY, :n_groups] = np.arange(n_groups)
    counts, sums = np.zeros(layout.N_COUNTS, dtype=np.int64), np.zeros(layout.N_SUMS)
    counts[[layout.SLOTS, layout.GROUPS, layout.OPEN]] = n_groups
    counts[layout.MERGES] = n_done
    counts[layout.ZERO_PAIRS] = loaded.zero_pairs
    counts[layout.TOP] = samples.span_length.sum()
    of_rank = figures[layout.ACTIVITY] * figures[layout.RANK]
    for terms, total, lost in (
        (figures[layout.ACTIVITY], layout.SUM_ACTIVITY, layout.LOST_ACTIVITY),
        (of_rank, layout.SUM_ACTIVITY_RANK, layout.LOST_ACTIVITY_RANK),
    ):
        sums[total] = terms.sum()
        # the exact rounding error of this first sum: merges carry it on, and never add up all terms again
        sums[lost] = math.fsum([*terms.tolist(), -sums[total]])
    sums[layout.LIMIT] = -np.inf
    sums[layout.MARGIN] = 0.25
    blocks = np.zeros((2, -(-capacity // BLOCK)))
    blocks[layout.LEAST] = np.inf
    return State(
        coact=loaded.coact,
        figures=figures,
        marks=marks,
        blocks=blocks,
        counts=counts,
        sums=sums,
        rows=samples.rows,
        row_start=samples.row_start,
        row_length=samples.row_length,
        owner=np.arange(n_groups).astype(samples.rows.dtype),
        following=np.full(n_groups, -1, dtype=np.int32),
        words=samples.words,
        shared=np.zeros(SHARED, dtype=np.uint32),
        new_row=np.zeros(capacity, dtype=loaded.coact.wide.dtype),
        room=np.zeros((2, capacity)),
        listed=np.zeros(capacity, dtype=np.int64),
        heap=np.zeros(HEAP),
        heap_pairs=np.zeros((2, HEAP), dtype=np.int64),
        log=log,
    )


def read_all_rows(state: State, rules: Rules, threads: int) -> None:
    """Re-read every row, so that all stored values are up to date.

    Example:
        >>> from spdclust.merge.activations import ProcessedActivations
        >>> from spdclust.merge.loading import load_batch
        >>> config = MergeConfig()
        >>> acts = ProcessedActivations.from_dense(np.eye(3), ["m:0", "m:1", "m:2"])
        >>> loaded = load_batch(acts, np.arange(3), None, config, 1)
        >>> log, ranks = np.zeros((layout.N_RECORDS, 2)), np.ones(3, dtype=np.int64)
        >>> state = build_state(loaded, np.arange(3), ranks, 0, log)
        >>> read_all_rows(state, rules_for(config, loaded, thorough=False), threads=1)
        >>> state.figures[layout.LOW, :3].tolist()  # a row holds pairs with older slots: the first has none
        [inf, 2.0, 2.0]
    """
    n_slots = int(state.counts[layout.SLOTS])
    log_k = float(np.log2(max(state.counts[layout.GROUPS] - 1, 1)))

    def read(first: int, last: int) -> None:
        loop.read_rows(state, rules, first, last)
        if rules.sampler == layout.MCMC:
            weigh_rows(state.coact, state.figures, rules, first, last, log_k, np.empty((2, n_slots)))

    run_parts(read, even_parts(np.arange(n_slots) + 1, 1 if threads == 1 else 4 * threads), threads)
    for slot in range(0, state.figures.shape[1], BLOCK):
        update_least(state.figures, state.blocks, slot)
    state.sums[layout.LIMIT] = -np.inf
    if rules.sampler == layout.MCMC:
        rescale(state.figures, state.blocks, state.sums, n_slots, rules)
