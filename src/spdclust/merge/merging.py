"""Merge components into groups and report the progress; return to any state of a merge: the public entry."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from tqdm import tqdm

from spdclust.config.merge import MergeConfig, merge_settings_without_effect
from spdclust.core.arguments import (
    checked,
    either,
    function,
    instance,
    optional,
    real,
    seed_number,
    truth,
    whole,
)
from spdclust.core.errors import InputError
from spdclust.core.threads import available_threads
from spdclust.core.types import Float, Seed, make_generator
from spdclust.merge.activations import components_to_merge
from spdclust.merge.engine import CheckpointStore, Engine, identity_of, load_fitting
from spdclust.merge.history import MergeHistory, pairs_from_names
from spdclust.merge.kernels import layout
from spdclust.merge.memory import enough_memory
from spdclust.merge.sources import as_batch_source, check_source
from spdclust.merge.stepping import warm_up
from spdclust.merge.view import MergeView

logger = logging.getLogger(__name__)

SECONDS_AT_ONCE = 0.25
"""Approximate interval at which the kernels return, for progress, checkpoints and interrupts."""


@checked(
    config=instance(MergeConfig, allowed="a MergeConfig"),
    seed=seed_number,
    progress=truth,
    callback=optional(function),
    callback_at=either(function, whole(at_least=1)),
    watch=optional(function),
    checkpoint=optional(instance(CheckpointStore, allowed="an object with load and save")),
    checkpoint_seconds=real(at_least=0.0, infinite=True),
    threads=optional(whole(at_least=1)),
    thorough=truth,
)
def merge_iteration(
    activations: Any,
    config: MergeConfig,
    seed: Seed = 0,
    *,
    progress: bool = False,
    callback: Callable[[MergeView], None] | None = None,
    callback_at: int | Callable[[int], bool] = 1,
    watch: Callable[[int, dict[str, np.ndarray]], None] | None = None,
    checkpoint: CheckpointStore | None = None,
    checkpoint_seconds: float = 300.0,
    threads: int | None = None,
    thorough: bool = False,
) -> MergeHistory:
    """Merge components into groups, one pair at a time, and return the history.

    Example:
        >>> from spdclust.merge.activations import ProcessedActivations
        >>> dense = np.array([[1, 1, 0, 0], [1, 1, 0, 1], [0, 0, 1, 0], [0, 0, 1, 1]], dtype=np.float32)
        >>> acts = ProcessedActivations.from_dense(dense, ["m:0", "m:1", "m:2", "m:3"])
        >>> greedy = MergeConfig(iters=None, merge_pair_sampling_kwargs={"threshold": 0})
        >>> history = merge_iteration(acts, greedy)
        >>> history.selected_pairs.tolist(), history.mdl_loss.round(3).tolist()
        ([[0, 1]], [4.377])

    Args:
        activations: `ProcessedActivations`, a list of them, or any `BatchSource`, such as
            `BatchedActivations`.
        config: the settings of the merge.
        seed: seed of the random generator; the result does not depend on `threads`.
        progress: show a progress line when standard error is a terminal.
        callback: called with a `MergeView` of the state just after a merge.
        callback_at: when to call it: after every n-th merge (0, n, 2n, …), or a function of the merge number.
        watch: called a few times a second with the number of the first new merge and the values of all new
            merges by name: those of the history, and `names`, the smallest components of the merged groups.
        checkpoint: store for the state: an interrupted merge resumes from it and gives an identical result.
        checkpoint_seconds: interval at which the state is saved.
        threads: number of threads; None for all cores.
        thorough: count the records `pair_rank` and `zero_coactivation_share` where they are not already
            known, with one pass over all pairs per merge.

    Returns:
        The history, with `mdl_loss` and `merge_pair_cost` in bits per sample. `records` holds, per merge:
        `gap_to_best` (bits per sample above the best pair), `pair_rank` (number of better pairs, -1 when
        not known), `zero_coactivation_share` (share of pairs never active together among the candidates, NaN
        when not known), and of the two groups `size_first`, `size_second` (components), `activity_first`,
        `activity_second` (share of samples; sum of squares or of activations per sample for scalar ones).

    Raises:
        InputError: an argument is of the wrong type, the activations are sets at another threshold, no
            component is alive, no pair can be merged, or there is not enough memory.
    """
    source = as_batch_source(activations)
    for note in merge_settings_without_effect(config):
        logger.warning("%s", note)
    check_source(source, config.activation_threshold)
    components = components_to_merge(source.labels, *source.component_stats(), config)
    labels = [source.labels[component] for component in components]
    with enough_memory(len(components), config):
        threads = threads or available_threads()
        warm_up(config, len(components))
        engine = Engine(source, components, config, make_generator(seed), threads=threads, thorough=thorough)
        identity = identity_of(config, labels, seed, engine.n_merges)
        if checkpoint is not None:
            arrays = load_fitting(checkpoint, identity)
            if arrays is not None:
                engine.from_arrays(arrays)
        line = Progress(engine.n_merges, n_done=engine.n_done, on_terminal=progress)
        last_save, at_once = time.monotonic(), 16
        while engine.n_done < engine.n_merges:
            began, first = time.monotonic(), engine.n_done
            stop = min(engine.n_done + at_once, engine.next_stop())
            if stop == engine.n_done:  # load the next batch
                stop = min(
                    engine.n_done + at_once, engine.n_done + config.recompute_costs_every, engine.n_merges
                )
            if callback is not None:
                stop = _next_callback(callback_at, engine.n_done, stop)
            engine.advance(stop)
            if callback is not None and _is_at(callback_at, stop - 1):
                callback(_view_of(engine))
            if watch is not None:
                watch(first, {"names": engine.names()[first:], **_figures(engine, first, engine.n_done)})
            spent = time.monotonic() - began
            at_once = max(1, min(2 * at_once, int((stop - first) * SECONDS_AT_ONCE / max(spent, 1e-6))))
            figures = _figures(engine, engine.n_done - 1, engine.n_done)
            line.update(
                k=len(components) - engine.n_done,
                mdl=float(figures["mdl_loss"][0]),
                cost=float(figures["merge_pair_cost"][0]),
                n_done=engine.n_done,
            )
            if checkpoint is not None and time.monotonic() - last_save >= checkpoint_seconds:
                checkpoint.save(engine.to_arrays() | {"identity": np.array(identity)})
                last_save = time.monotonic()
        line.end()
        return _history(engine, labels, seed)


def _is_at(callback_at: int | Callable[[int], bool], iteration: int) -> bool:
    return bool(callback_at(iteration)) if callable(callback_at) else iteration % callback_at == 0


def _next_callback(callback_at: int | Callable[[int], bool], n_done: int, stop: int) -> int:
    for iteration in range(n_done, stop):
        if _is_at(callback_at, iteration):
            return iteration + 1
    return stop


def _figures(engine: Engine, first: int, last: int) -> dict[str, Float[np.ndarray, " some"]]:
    """Return the values of merges `first` to `last`; counts are divided by the number of samples."""
    log, n_samples = engine.log[:, first:last], engine.samples_at[first:last]
    return {
        "mdl_loss": log[layout.MDL] / n_samples,
        "merge_pair_cost": (log[layout.VALUE] + log[layout.COMMON]) / n_samples,
        "gap_to_best": log[layout.GAP] / n_samples,
        "pair_rank": log[layout.PAIR_RANK],
        "zero_coactivation_share": log[layout.ZERO_SHARE],
        "size_first": log[layout.SIZE_FIRST],
        "size_second": log[layout.SIZE_SECOND],
        "activity_first": log[layout.ACTIVITY_FIRST] / n_samples,
        "activity_second": log[layout.ACTIVITY_SECOND] / n_samples,
    }


def _view_of(engine: Engine) -> MergeView:
    """Return the view that a callback gets of a merge, just after its last iteration."""
    figures = _figures(engine, engine.n_done - 1, engine.n_done)
    return MergeView(
        engine.state,
        engine.n_done - 1,
        int(engine.samples_at[engine.n_done - 1]),
        engine.config.alpha,
        {name: float(values[0]) for name, values in figures.items()},
        np.unique(engine.name_of_component(engine.n_done), return_inverse=True)[1].astype(np.int64),
    )


def _history(engine: Engine, labels: list[str], seed: Seed) -> MergeHistory:
    records: dict[str, np.ndarray] = dict(_figures(engine, 0, engine.n_merges))
    mdl_loss, merge_pair_cost = records.pop("mdl_loss"), records.pop("merge_pair_cost")
    for name in ("pair_rank", "size_first", "size_second"):
        records[name] = records[name].astype(np.int64)
    return MergeHistory(
        labels=labels,
        selected_pairs=pairs_from_names(engine.names(), len(labels)),
        mdl_loss=mdl_loss,
        merge_pair_cost=merge_pair_cost,
        config=engine.config,
        records=records,
        provenance={
            "seed": seed if isinstance(seed, int) else list(seed),
            "n_samples": int(engine.samples_at[0]) if engine.n_merges else 0,
        },
    )


def repeat_merge(
    activations: Any, history: MergeHistory, iterations: Iterable[int], *, threads: int | None = None
) -> Iterator[MergeView]:
    """Yield the state just after chosen merges of a history, as a callback of `merge_iteration` gets it.

    Merges before the first of these are skipped where possible (see `Engine.skip_to`). From there the pairs
    are joined as recorded in the history; no pair is searched for, so this takes a fraction of the time of
    the merge. A view is valid until the next one is requested.

    `activations` are in any form that `merge_iteration` accepts. `iterations` increase, and are consumed
    lazily.

    Example:
        >>> from spdclust.config.merge import MergeConfig
        >>> from spdclust.merge.activations import ProcessedActivations
        >>> from spdclust.merge.merging import merge_iteration
        >>> acts = ProcessedActivations.from_dense(np.eye(6), [f"m:{i}" for i in range(6)])
        >>> history = merge_iteration(acts, MergeConfig(iters=None))
        >>> [(view.iteration, view.k_groups) for view in repeat_merge(acts, history, [0, 2])]
        [(0, 5), (2, 3)]

    Raises:
        InputError: the activations are not those of the history, or an iteration does not exist or is out of
            order.
    """
    source = as_batch_source(activations)
    check_source(source, history.config.activation_threshold)
    components = components_to_merge(source.labels, *source.component_stats(), history.config)
    if [source.labels[component] for component in components] != list(history.labels):
        raise InputError(
            "the activations are not those that were merged",
            field="labels",
            found=f"{len(components)} live components",
            allowed=f"the {history.n_components} components of the history",
        )
    warm_up(history.config, len(components))
    # nothing is drawn, so any generator works
    engine = Engine(
        source, components, history.config, np.random.default_rng(0), threads=threads or available_threads()
    )
    names = history.group_names
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
        yield _view_of(engine)


LOG_SECONDS = 10.0
"""Interval of the progress lines in the log."""

_UNIT = " merges"
# what a narrow terminal cuts off comes last
_LINE = "{n_fmt}/{total_fmt} merges, {rate_noinv_fmt}, {remaining} left{postfix}"


class Progress:
    """Report the progress of a merge, from the number of merges that an earlier process has done.

    Example:
        >>> progress = Progress(10, n_done=0, on_terminal=False)
        >>> progress.line(k=5, mdl=1.5, cost=-0.25, n_done=5, seconds=2.0)
        '5/10 merges, 2.50 merges/s, 00:02 left, k 5, MDL 1.5 bits, pair cost -0.25 bits'
    """

    def __init__(self, n_merges: int, *, n_done: int, on_terminal: bool) -> None:
        self._n_merges = n_merges
        self._first = n_done
        self._start = self._last_log = time.monotonic()
        self._bar = tqdm(
            total=n_merges,
            initial=n_done,
            unit=_UNIT,
            bar_format=_LINE,
            disable=not (on_terminal and sys.stderr.isatty()),
        )

    def update(self, *, k: int, mdl: float, cost: float, n_done: int) -> None:
        """Report the current state."""
        self._bar.set_postfix_str(_values(k, mdl, cost), refresh=False)
        self._bar.update(n_done - self._bar.n)
        now = time.monotonic()
        if now - self._last_log >= LOG_SECONDS:
            self._last_log = now
            logger.info(self.line(k=k, mdl=mdl, cost=cost, n_done=n_done, seconds=now - self._start))

    def line(self, *, k: int, mdl: float, cost: float, n_done: int, seconds: float) -> str:
        """Return the values as one line."""
        return tqdm.format_meter(
            n_done,
            self._n_merges,
            seconds,
            unit=_UNIT,
            bar_format=_LINE,
            postfix=_values(k, mdl, cost),
            initial=self._first,
        )

    def end(self) -> None:
        """End the line on the terminal."""
        self._bar.close()


def _values(k: int, mdl: float, cost: float) -> str:
    return f"k {k}, MDL {mdl:.6g} bits, pair cost {cost:.4g} bits"
