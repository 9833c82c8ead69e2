"""Reconstruct the states of a finished merge from its history and its activations."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from spdclust.core.errors import InputError
from spdclust.core.threads import available_threads
from spdclust.merge.engine import Engine
from spdclust.merge.filtering import components_to_merge
from spdclust.merge.groups import merge_tree
from spdclust.merge.history import MergeHistory
from spdclust.merge.merging import view_of
from spdclust.merge.sources import as_batch_source, check_source
from spdclust.merge.view import MergeView


def repeat_merge(
    activations: Any, history: MergeHistory, iterations: Iterable[int], *, threads: int | None = None
) -> Iterator[MergeView]:
    """Yield the state just after chosen merges of a history, as a callback of `merge_iteration` gets it.

    Merges before the first of these are skipped where possible (see `Engine.skip_to`). From there the pairs
    are joined as recorded in the history; no pair is searched for, so this takes a fraction of the time of
    the merge. A view is valid until the next one is requested.

    Example:
        >>> from spdclust.config.merge import MergeConfig
        >>> from spdclust.merge.activations import ProcessedActivations
        >>> from spdclust.merge.merging import merge_iteration
        >>> acts = ProcessedActivations.from_dense(np.eye(6), [f"m:{i}" for i in range(6)])
        >>> history = merge_iteration(acts, MergeConfig(iters=None))
        >>> [(view.iteration, view.k_groups) for view in repeat_merge(acts, history, [0, 2])]
        [(0, 5), (2, 3)]

    Args:
        activations: the merged activations, in any form that `merge_iteration` accepts.
        history: the history of the merge.
        iterations: merges after which to yield a view, in increasing order; consumed lazily.
        threads: number of threads; None for all cores.

    Raises:
        InputError: the activations are not those of the history, or an iteration does not exist or is out of
            order.
    """
    source = as_batch_source(activations)
    check_source(source, history.config.activation_threshold)
    kept = components_to_merge(source.labels, *source.component_stats(), history.config)
    if [source.labels[component] for component in kept] != list(history.labels):
        raise InputError(
            "the activations are not those that were merged",
            field="labels",
            found=f"{len(kept)} live components",
            allowed=f"the {history.n_components} components of the history",
        )
    # nothing is drawn, so any generator works
    engine = Engine(
        source, kept, history.config, np.random.default_rng(0), threads=threads or available_threads()
    )
    _, names = merge_tree(history.selected_pairs, history.n_components)
    for iteration in iterations:
        if not engine.n_done - 1 <= iteration < history.n_iterations or iteration < 0:
            raise InputError(
                "no such iteration, or it is over",
                field="iterations",
                found=iteration,
                allowed=f"{max(0, engine.n_done - 1)} to {history.n_iterations - 1}",
            )
        if engine.n_done == 0:  # the merge itself is repeated, for the values that are recorded of it
            engine.skip_to(names, iteration)
        while engine.n_done <= iteration:
            stop = engine.next_stop()
            if stop == engine.n_done:  # load the next batch
                stop = min(engine.n_done + history.config.recompute_costs_every, engine.n_merges)
            engine.repeat(names, min(iteration + 1, stop))
        yield view_of(engine)
