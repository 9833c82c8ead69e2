"""Every answer to "which groups are there?" on the same activations: ours, our cuts, and the alternatives."""

import functools
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from alternatives import METHODS, alternatives
from partition_scores import without_singletons

import spdclust
from spdclust import MergeConfig, MergeHistory, ProcessedActivations, merge_iteration, normalize_ensemble
from spdclust.stability.agreement import groups_formed_by_all
from spdclust.stability.analysis import find_cut
from spdclust.stability.coclustering import coclustering
from spdclust.stability.cut import groups_at

GREEDY = {"threshold": 0.0}

Row = tuple[str, str]
"""Name of an answer, and what it is made from."""


@dataclass(frozen=True)
class Answer:
    """The groups that one answer reports.

    Attributes:
        groups: `(components,)` group of each component, -1 for a component in no group.
        cpu_s: CPU seconds of this process, counting or merging included.
        shared: by group, components of other groups that the answer counts to it as well.
        sure: groups that save more than two standard errors of bits, where the answer has such a measure.
    """

    groups: np.ndarray
    cpu_s: float
    shared: dict[int, np.ndarray] = field(default_factory=dict)
    sure: tuple[int, ...] = ()


def answer_all(
    runs: Sequence[ProcessedActivations],
    config: MergeConfig,
    only: Callable[[str], bool] = lambda name: True,
) -> dict[Row, Answer]:
    """Apply every answer to the runs of one ensemble.

    Args:
        runs: activations of each run, over the same components.
        config: settings of the merges; the cuts are also made from greedy merges.
        only: which answers, by name.
    """
    results: dict[Row, Answer] = {}
    greedy = config.model_copy(update={"merge_pair_sampling_kwargs": GREEDY})
    if only("find_groups"):
        results |= _apply(_FIND_GROUPS, runs, config, "")
    cuts = {row: cut for row, cut in _CUTS.items() if only(row[0])}
    if cuts:
        results |= _apply(cuts, runs, greedy, ", greedy")
        if config.sampler_kwargs != GREEDY:
            results |= _apply(cuts, runs, config, "")
    threshold = config.activation_threshold or 0.0
    others = alternatives([run.matrix for run in runs], threshold, only)
    return results | {row: Answer(*other) for row, other in others.items()}


def names() -> list[str]:
    """Return the names of all answers."""
    return ["find_groups", *dict.fromkeys(name for name, _ in _CUTS), *METHODS]


@functools.cache
def note(text: str) -> None:
    """Print a remark on standard error, once."""
    print(text, file=sys.stderr, flush=True)


Groups = tuple[np.ndarray, dict[int, np.ndarray], tuple[int, ...]]
Own = Callable[[Sequence[MergeHistory], Sequence[ProcessedActivations]], np.ndarray | Groups]


def _apply(
    chosen: dict[Row, Own], runs: Sequence[ProcessedActivations], config: MergeConfig, suffix: str
) -> dict[Row, Answer]:
    began = time.process_time()
    histories = [merge_iteration(run, config, number) for number, run in enumerate(runs)]
    merging = (time.process_time() - began) / len(runs)
    results: dict[Row, Answer] = {}
    for (name, source), answer in chosen.items():
        n_runs = 1 if source == "one run" else len(runs)
        began = time.process_time()
        try:
            found = answer(histories[:n_runs], runs[:n_runs])
        except _NotThere as missing:
            note(f"{name} ({source}) is left out: {missing}")
            continue
        groups, shared, sure = found if isinstance(found, tuple) else (found, {}, ())
        cpu_s = time.process_time() - began + merging * n_runs
        results[name, source + suffix] = Answer(groups, cpu_s, shared, sure)
    return results


class _NotThere(Exception):
    """An answer that the installed package does not have."""


def _find_groups(histories: Sequence[MergeHistory], runs: Sequence[ProcessedActivations]) -> Groups:
    try:
        find_groups = spdclust.find_groups
    except AttributeError as missing:
        raise _NotThere(str(missing)) from None
    found = find_groups(histories, runs, n_null=0)  # null runs do not change the groups
    groups = _over(runs, found.labels, found.group_idxs)
    number = {label: component for component, label in enumerate(runs[0].labels)}
    shared = {
        int(groups[number[found.members(group)[0]]]): np.array(
            [number[label] for label in found.shared_with(group)], dtype=np.int64
        )
        for group in np.unique(found.shared.group).tolist()
    }
    beyond_error = found.columns["bits_saved"] > 2 * found.columns["bits_saved_se"]
    sure = [int(groups[number[found.members(group)[0]]]) for group in np.flatnonzero(beyond_error).tolist()]
    return groups, shared, tuple(sure)


def _shortest(histories: Sequence[MergeHistory], runs: Sequence[ProcessedActivations]) -> np.ndarray:
    (history,) = histories
    return _over(runs, history.labels, history.group_idxs(history.best_iteration()))


def _consensus(cut: str) -> Own:
    def answer(histories: Sequence[MergeHistory], runs: Sequence[ProcessedActivations]) -> np.ndarray:
        normalized = normalize_ensemble(histories)
        groups = groups_at(normalized, find_cut(normalized, cut))
        return _over(runs, normalized.labels, coclustering(groups).consensus.group_idxs)

    return answer


def _formed_by_all(histories: Sequence[MergeHistory], runs: Sequence[ProcessedActivations]) -> np.ndarray:
    least = MergeConfig().min_groups  # every run ends with one group of everything, which is no answer
    groups = groups_formed_by_all([_stop_at(history, least) for history in histories])
    labels = [label for group in groups for label in group]
    return _over(runs, labels, np.repeat(np.arange(len(groups)), [len(group) for group in groups]))


def _stop_at(history: MergeHistory, n_groups: int) -> MergeHistory:
    """Return the history as it is when merging stops at so many groups."""
    n_merges = max(history.n_components - n_groups, 1)
    return replace(
        history,
        selected_pairs=history.selected_pairs[:n_merges],
        mdl_loss=history.mdl_loss[:n_merges],
        merge_pair_cost=history.merge_pair_cost[:n_merges],
        records={},
    )


_FIND_GROUPS: dict[Row, Own] = {
    ("find_groups", "one run"): _find_groups,
    ("find_groups", "all runs"): _find_groups,
}

_CUTS: dict[Row, Own] = {
    ("shortest description", "one run"): _shortest,
    ("consensus at least_mdl", "all runs"): _consensus("least_mdl"),
    ("consensus at stability_drop", "all runs"): _consensus("stability_drop"),
    ("formed by all runs", "all runs"): _formed_by_all,
}


def _over(runs: Sequence[ProcessedActivations], labels: Sequence[str], groups: Iterable[int]) -> np.ndarray:
    """Return the groups in the order of the activations' components; -1 for a component in no group."""
    of = dict(zip(labels, groups, strict=True))
    return without_singletons(np.array([of.get(label, -1) for label in runs[0].labels]))
