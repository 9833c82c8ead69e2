"""Find the groups supported by the runs of an ensemble and their samples, with the evidence for each.

The kernels that this needs can be compiled before, in one process at a time.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from spdclust.config.merge import MergeConfig
from spdclust.core.compiling import ensure_compiled
from spdclust.core.errors import InputError
from spdclust.core.provenance import check_one_model, model_digests
from spdclust.core.threads import available_threads
from spdclust.core.types import Float, Int, Labels
from spdclust.groups.describe import (
    cohesion,
    cuts_of_merges,
    describe,
    formed_by,
    standard_error,
    support_columns,
)
from spdclust.groups.evidence import FALSE_ALARM, Evidence, bits_alone, evidence_of_groups, select_nodes
from spdclust.groups.found import COLUMNS, EvidenceTree, FoundGroups, SharedMembers
from spdclust.groups.members import Memberships, complete_groups, find_memberships
from spdclust.groups.nulls import first_samples, null_folds, null_groups
from spdclust.groups.samples import BLOCKS_OF_ONE_RUN, Folds, fold_samples
from spdclust.groups.similarity import MIN_SIMILARITY
from spdclust.groups.trees import Tree, merge_history_tree
from spdclust.merge.activations import ProcessedActivations
from spdclust.merge.history import MergeHistory
from spdclust.partitions.ensemble import MergeHistoryEnsemble, runs_by_samples, warn_of_shared_samples

N_NULL = 3
"""Default number of null runs of the whole analysis."""


def find_groups(
    histories: MergeHistoryEnsemble | Sequence[MergeHistory],
    batches: Sequence[Any] | None = None,
    *,
    n_null: int = N_NULL,
    seed: int = 0,
    allow_different_models: bool = False,
    threads: int | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> FoundGroups:
    """Return the groups that the samples support, each with its evidence, best supported first.

    Candidates are the nodes of an average-linkage tree over all components (`similarity`). A run counts as
    evidence for a node only if the tree built without that run also contains the node; the evidence is the
    number of bits that the node saves there (`evidence`). The best disjoint nodes are the groups. Components
    that are active with a group in the same way as its members join it, and those that belong to several
    groups are listed where they make one complete (`members`). The runs' merge trees show how often a group
    forms (`support`, `runs_exact`). The samples of a single run, or of runs that all have the same samples,
    are split into five blocks, which are used in place of runs; runs with the same samples otherwise count as
    one.

    Arguments are those of `spdclust.find_groups`, which reads batches from files, too.

    Example:
        >>> from spdclust.example_ensemble import example_activations, example_history
        >>> runs, batches = zip(*((example_history(run), example_activations(run)) for run in range(2)))
        >>> found = find_groups(runs, batches)
        >>> found.n_groups, found.members(0), found.columns["runs_exact"].tolist(), found.expected_false
        (4, ['attn:2', 'attn:3', 'mlp:1'], [2, 2, 2, 2], 0.0)

    Raises:
        InputError: there is no history, runs were merged at different activation thresholds or on different
            models, the batches are not those of the histories, or activations are too large to be multiplied.
    """
    runs = _check_runs(histories)
    allow_different_models |= getattr(histories, "allow_different_models", False)
    _check_models(runs, [], allowed=allow_different_models)
    labels = sorted({label for history in runs for label in history.labels})
    number = {label: component for component, label in enumerate(labels)}
    own = [np.array([number[label] for label in history.labels], dtype=np.int64) for history in runs]
    merges = [
        merge_history_tree(h.selected_pairs, each, len(labels)) for h, each in zip(runs, own, strict=True)
    ]
    if batches is None:
        return _by_support_only(labels, own, merges, warn_of_shared_samples(runs))
    _check_batches(batches, runs)
    _check_models(runs, batches, allowed=allow_different_models)
    level, warnings = _activity_level(runs)
    threads = threads or available_threads()

    progress("reading samples")
    warm_up(with_values=any(getattr(source, "threshold", None) is None for source in batches))
    # runs with the same samples count once: what these samples chose, they cannot test
    same_samples = runs_by_samples(runs, batches)
    folds = fold_samples(
        [batches[same[0]] for same in same_samples],
        labels,
        [list(dict.fromkeys(label for run in same for label in runs[run].labels)) for same in same_samples],
        level,
        runs=[same[0] for same in same_samples],
        threads=threads,
    )
    warnings = warn_of_shared_samples(runs, batches) + warnings
    sums, tree, nodes, evidence, chosen = select_nodes(folds, threads, progress)
    # only now: counting reads all samples, which the first pass has just done
    _check_samples(folds, [same[0] for same in same_samples])
    if not folds.counts.any():
        warnings.append(f"No component is active above {level:g} on any sample, so there are no groups.")
    members = [tree.members(node) for node in chosen]
    at_least = evidence.at_least[np.searchsorted(nodes, chosen)]
    groups, shared = _with_joined(folds, members, at_least, threads)
    progress("gathering evidence of groups")
    final, bits = _evidence_of_answers(folds, {"answer": groups} | cuts_of_merges(runs, own, merges), threads)
    first = np.array([int(members[0]) for members in groups])
    # ties by the first member: the order must not depend on the tree
    order = np.lexsort((first, -final.bits.sum(1)))
    rank = np.empty(len(groups), dtype=np.int64)
    rank[order] = np.arange(len(groups))
    groups, final = [groups[g] for g in order], _rows(final, order)

    progress("describing groups")
    n_samples = folds.n_samples
    columns = describe(folds, sums, merges, groups, final)
    similar = cohesion(sums, groups, threads)

    # null runs need as much memory as all of the above, so they come last, when most of it can be used again
    null_samples, n_folds, array = first_samples(folds) if n_null else None, folds.n_folds, sums.packed
    del folds, sums
    independent, busy = null_groups(null_samples, n_null, seed, threads, progress, [array])
    return FoundGroups(
        labels=labels,
        group_idxs=_numbered(len(labels), groups),
        columns=columns,
        n_groups=len(groups),
        bits=bits,
        null_groups=independent,
        null_groups_busy=busy,
        bits_saved_runs=final.bits / n_samples,
        shared=SharedMembers(
            shared.component, rank[shared.group], shared.bits.sum(1) / n_samples.sum(), shared.share
        ),
        tree=_evidence_tree(tree, nodes, evidence.bits / n_samples, chosen, rank),
        cohesion=similar,
        settings={
            "n_runs": len(runs),
            "n_folds": n_folds,
            "n_samples": [int(n) for n in n_samples],
            "activation_threshold": level,
            "min_similarity": MIN_SIMILARITY,
            "false_alarm": FALSE_ALARM,
            "n_null": n_null,
            "seed": seed,
            **({"same_samples": same_samples} if len(same_samples) < len(runs) else {}),
        },
        warnings=tuple(warnings),
    )


def _check_runs(histories: Any) -> list[MergeHistory]:
    if not isinstance(histories, Sequence | MergeHistoryEnsemble):
        raise InputError(
            "not a sequence of histories",
            field="histories",
            found=type(histories).__name__,
            allowed="MergeHistoryEnsemble, or a list of MergeHistory",
        )
    runs = list(histories)
    if not runs:
        raise InputError("no histories given", field="histories", allowed="at least one")
    for run, history in enumerate(runs):
        if not isinstance(history, MergeHistory):
            raise InputError(
                "not a history",
                field=f"histories[{run}]",
                found=type(history).__name__,
                allowed="MergeHistory",
            )
        if _threshold(history) != _threshold(runs[0]):
            raise InputError(
                "runs were merged at different activation thresholds",
                field=f"histories[{run}].config.activation_threshold",
                found=_threshold(history),
                allowed=f"{_threshold(runs[0])}, as in the first run",
            )
    return runs


def _check_batches(batches: Any, runs: list[MergeHistory]) -> None:
    if not isinstance(batches, Sequence) or isinstance(batches, str):
        raise InputError(
            "not a sequence with the batches of each run",
            field="batches",
            found=type(batches).__name__,
            allowed="a list: for each run activations, a list of them, or a source of batches",
        )
    if len(batches) != len(runs):
        raise InputError(
            "one batch or source of batches per run is needed",
            field="batches",
            found=f"{len(batches)} for {len(runs)} runs",
            allowed=f"{len(runs)}, in the order of the histories",
        )


def _activity_level(runs: list[MergeHistory]) -> tuple[float, list[str]]:
    """Return the activation above which a component counts as active, and a warning if no merge states it."""
    stated = runs[0].config.activation_threshold
    if stated is not None:
        return stated, []
    level = MergeConfig().activation_threshold
    assert level is not None
    reason = (
        "The merge used scalar activations"
        if runs[0].is_scalar
        else "The histories do not state the activation threshold of the merge"
    )
    return level, [f"{reason}; a component counts as active above {level:g} here."]


def _threshold(history: MergeHistory) -> float | str:
    threshold = history.config.activation_threshold
    unknown = "null" if history.is_scalar else "not stated"
    return unknown if threshold is None else threshold


def _check_models(runs: list[MergeHistory], batches: Sequence[Any], *, allowed: bool) -> None:
    """Raise an error if the runs, or batches that record their origin, are of different models."""
    of_batches = [getattr(source, "made_from", []) for source in batches] or [[]] * len(runs)
    records = []
    for number, (history, made_from) in enumerate(zip(runs, of_batches, strict=True)):
        digests = set().union(model_digests(history.provenance), *map(model_digests, made_from))
        records.append((f"run {number}", {**history.provenance, "checkpoint_digests": sorted(digests)}))
    check_one_model(records, allowed=allowed)


def _check_samples(folds: Folds, runs: list[int]) -> None:
    single = len(runs) == 1
    if not folds.n_samples.all():
        raise InputError(
            "a run has too few samples",
            field=f"batches[{runs[0 if single else int(np.argmin(folds.n_samples))]}]",
            found=f"{int(folds.n_samples.sum()) if single else 0} samples",
            allowed=f"at least {BLOCKS_OF_ONE_RUN} samples" if single else "at least one sample a run",
        )


def _with_joined(
    folds: Folds, groups: list[Int[np.ndarray, "_"]], at_least: Int[np.ndarray, " groups"], threads: int
) -> tuple[list[Int[np.ndarray, "_"]], Memberships]:
    """Return the groups with the components that join or complete them, and the shared members."""
    groups = [np.sort(group) for group in groups]
    found = find_memberships(folds, groups, at_least, threads)
    grouped = set(np.concatenate(groups).tolist()) if groups else set()
    joined = False
    for component, group in zip(found.component.tolist(), found.group.tolist(), strict=True):
        if component not in grouped:  # rows are sorted by bits saved
            grouped.add(component)
            joined = True
            groups[group] = np.sort(np.append(groups[group], component))
    if joined:  # a component that joined now has its own group, and counts only where that group is inactive
        found = find_memberships(folds, groups, at_least, threads)
    found = found.rows(np.isin(found.component, list(grouped)))
    completed = complete_groups(groups, found)
    changed = [g for g, pair in enumerate(zip(groups, completed, strict=True)) if not np.array_equal(*pair)]
    if changed:
        at_least = at_least.copy()
        at_least[changed] = evidence_of_groups(folds, [completed[g] for g in changed], threads).at_least
        found = find_memberships(folds, completed, at_least, threads)
        found = found.rows(np.isin(found.component, list(grouped)))
    return completed, found


def _evidence_of_answers(
    folds: Folds, answers: dict[str, list[Int[np.ndarray, "_"]]], threads: int
) -> tuple[Evidence, dict[str, float]]:
    """Return the evidence of the groups of the first answer, and the held-out bits per sample of each answer.

    The bits of all components `alone` come first.
    """
    # the answers have most groups in common
    row_of: dict[tuple[int, ...], int] = {}
    rows_of = {
        name: np.array([row_of.setdefault(tuple(group.tolist()), len(row_of)) for group in groups], np.int64)
        for name, groups in answers.items()
    }
    evidence = evidence_of_groups(folds, [np.array(group) for group in row_of], threads)
    n_samples = int(folds.n_samples.sum())
    alone = float(bits_alone(folds).sum() / n_samples)
    bits = {name: alone - float(evidence.bits[rows].sum() / n_samples) for name, rows in rows_of.items()}
    return _rows(evidence, next(iter(rows_of.values()))), {"alone": alone} | bits


def _evidence_tree(
    tree: Tree,
    nodes: Int[np.ndarray, " tested"],
    bits: Float[np.ndarray, "tested folds"],
    chosen: list[int],
    group_of_chosen: Int[np.ndarray, " chosen"],
) -> EvidenceTree:
    """Return the tree with the bits per sample of the tested nodes, and the group of each chosen node."""
    node_bits = np.full((len(tree.children), bits.shape[1]), np.nan)
    node_bits[nodes - tree.n_leaves] = bits
    group = np.full(len(tree.children), -1, dtype=np.int64)
    group[np.array(chosen, dtype=np.int64) - tree.n_leaves] = group_of_chosen
    return EvidenceTree(tree.children, tree.height, node_bits.mean(1), standard_error(node_bits), group)


def _rows(evidence: Evidence, mask: np.ndarray) -> Evidence:
    return Evidence(evidence.bits[mask], evidence.at_least[mask], evidence.opened[mask], evidence.n_codes)


def _numbered(n_components: int, groups: list[np.ndarray]) -> Int[np.ndarray, " components"]:
    """Return the group of every component: the groups in order, then the singletons."""
    numbers = np.full(n_components, -1, dtype=np.int64)
    for g, members in enumerate(groups):
        numbers[members] = g
    alone = numbers < 0
    numbers[alone] = len(groups) + np.arange(int(alone.sum()))
    return numbers


def _by_support_only(
    labels: Labels, own: list[np.ndarray], merges: list[Tree], warnings: list[str]
) -> FoundGroups:
    """Return the groups that more than half of the runs form, without any evidence."""
    groups = formed_by(own, merges, len(merges) // 2 + 1)
    columns = support_columns(merges, groups)
    first = np.array([int(members[0]) for members in groups])
    order = np.lexsort((first, -columns["size"], -columns["runs_exact"]))
    groups = [groups[g] for g in order]
    columns = {name: values[order] for name, values in columns.items()}
    unknown = np.full(len(groups), np.nan)
    nothing = np.empty(0, dtype=np.int64)
    return FoundGroups(
        labels=labels,
        group_idxs=_numbered(len(labels), groups),
        columns={name: columns.get(name, unknown) for name in COLUMNS},
        n_groups=len(groups),
        bits={},
        null_groups=nothing,
        null_groups_busy=nothing,
        bits_saved_runs=np.full((len(groups), len(merges)), np.nan),
        shared=SharedMembers(nothing, nothing, np.empty(0), np.empty(0)),
        settings={"n_runs": len(merges)},
        warnings=(
            "No samples were given, so there is no evidence: "
            "these are the largest groups that more than half of the runs form.",
            *warnings,
        ),
    )


def warm_up(*, with_values: bool = True) -> None:
    """Compile the kernels that find groups, or load them from the cache.

    Jobs that start at the same time on one file system wait for the first one to compile.

    Example:
        >>> warm_up()
    """
    name = "values" if with_values else "sets"
    ensure_compiled(f"groups, {name}", lambda: _find_little(0.5 if with_values else 1.0))


def _find_little(value: float) -> None:
    together = np.arange(64) % 4 == 0
    active = np.stack([together, together, together, ~together], 1).astype(np.float32)
    active[0] *= value
    labels = [f"m:{i}" for i in range(4)]
    acts = ProcessedActivations.from_dense(active, labels)
    folds = fold_samples([acts, acts], labels, [labels] * 2, 0.01)
    sums, tree, *_ = select_nodes(folds, 1)
    groups = [np.array([0, 1])]
    cohesion(sums, [*groups, np.array([2, 3])])
    find_memberships(folds, groups, evidence_of_groups(folds, groups, 1).at_least, 1)
    tree.best_overlaps(groups)
    for keep_busy in (False, True):
        null_folds(folds, 0, keep_busy=keep_busy)
