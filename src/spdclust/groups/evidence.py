"""Held-out evidence for groups: the bits that a group's code saves, and whether chance could save as many.

A group of members `G` is coded by a gate, "at least m members are active", and then by every member given the
gate. The samples of a fold are coded with probabilities estimated on the other folds (Krichevsky and Trofimov
1981). The reported value is the difference to coding the members one by one. The tested value is the
difference to the shortest code of independent members, each at its own rate in that fold: a logarithm of a
likelihood ratio. If the members are independent, it is `b` bits or more with a probability of at most
`2^-b` (Kraft's inequality), however the code was chosen, as long as those samples were not used to choose it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from spdclust.core.threads import even_parts, run_parts
from spdclust.core.types import Bool, Float, Int
from spdclust.groups.kernels import nodes as kernels
from spdclust.groups.samples import Entries, Folds
from spdclust.groups.similarity import PairSums, add_sums, average_tree, pair_sums
from spdclust.groups.trees import Tree

FALSE_ALARM = 0.05
"""On data without any groups, a group is reported for at most this share of ensembles."""

_GATES = np.unique(np.concatenate([2 ** np.arange(20), 3 * 2 ** np.arange(19)]))

N_TREES = 5
"""Maximum number of parts that the folds are divided into; each is judged by a tree built without it."""

_KEEP_BYTES = 1_400_000_000
"""Memory limit of the pair sums of all parts; with very many components the folds form fewer parts."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Held-out evidence for sets of components.

    Attributes:
        bits: `(sets, folds)` total bits saved over all samples of each fold.
        at_least: `(sets,)` number of active members that opens the gate.
        opened: `(sets, folds)` number of samples on which the gate is open.
        n_codes: number of codes tried, over all sets.
    """

    bits: Float[np.ndarray, "sets folds"]
    at_least: Int[np.ndarray, " sets"]
    opened: Int[np.ndarray, "sets folds"]
    n_codes: int


def _gates_for(size: int) -> Int[np.ndarray, " gates"]:
    """Return the gates that are tried for a group: 1, 2, 3, 4, 6, 8, 12, … active members, up to half of them
    and one.
    """
    return _GATES[size // 2 + 1 >= _GATES]


def _gather_evidence(
    folds: Folds,
    order: Int[np.ndarray, " places"],
    first: Int[np.ndarray, " sets"],
    sizes: Int[np.ndarray, " sets"],
    threads: int,
) -> Evidence:
    """Return the evidence for sets of components, each consecutive in `order`.

    The cost is proportional to the total number of active entries of all sets: for the nodes of a tree,
    entries times depth.
    """
    gates = [_gates_for(int(size)) for size in sizes]
    n_gates = np.array([len(each) for each in gates], dtype=np.int64)
    gate_start = np.concatenate([[0], np.cumsum(n_gates)])
    member_start = np.concatenate([[0], np.cumsum(n_gates * sizes)])
    gate_members = np.concatenate(gates) if gates else np.empty(0, dtype=np.int64)
    order, first, sizes = (np.asarray(each, dtype=np.int64) for each in (order, first, sizes))
    work = np.array(
        [folds.counts[:, order[a : a + s]].sum() + 1.0 for a, s in zip(first, sizes, strict=True)],
        dtype=float,
    )

    opened = np.zeros((folds.n_folds, gate_start[-1]), dtype=np.int64)
    active = np.zeros((folds.n_folds, member_start[-1]), dtype=np.int64)
    for fold in range(folds.n_folds):
        for sets in folds.sets(fold, threads):

            def count(a: int, b: int, fold: int = fold, sets: Entries = sets) -> None:
                kernels.count_nodes(
                    a, b, order, first, sizes, gate_start, gate_members, member_start, len(folds.labels),
                    sets.start, sets.columns, sets.n_columns, opened[fold], active[fold],
                )  # fmt: skip

            run_parts(count, even_parts(work, 8 * threads), threads)
        kernels.sum_from_above(sizes, gate_start, member_start, opened[fold], active[fold])

    bits = np.zeros((len(sizes), folds.n_folds))
    best = np.zeros(len(sizes), dtype=np.int64)
    n_samples = folds.n_samples

    def code(a: int, b: int) -> None:
        kernels.node_bits(
            a, b, first, sizes, order, gate_start, member_start, opened, active, folds.counts, n_samples,
            bits, best,
        )  # fmt: skip

    run_parts(code, even_parts(n_gates * sizes, 8 * threads), threads)
    chosen = gate_start[:-1] + best
    return Evidence(bits, gate_members[chosen], opened[:, chosen].T, int(n_gates.sum()))


def evidence_of_groups(folds: Folds, groups: list[Int[np.ndarray, "_"]], threads: int) -> Evidence:
    """Return the evidence for groups of two or more components, disjoint or not.

    Example:
        >>> from spdclust.groups.samples import fold_samples
        >>> from spdclust.merge.activations import ProcessedActivations
        >>> acts = ProcessedActivations.from_dense(np.ones((6, 2)), ["m:0", "m:1"])
        >>> folds = fold_samples([acts, acts], acts.labels, [acts.labels] * 2, 0.1)
        >>> evidence_of_groups(folds, [np.array([0, 1])], threads=1).opened.tolist()
        [[6, 6]]

    Raises:
        ValueError: a group has fewer than two components.
    """
    sizes = np.array([len(group) for group in groups], dtype=np.int64)
    if (sizes < 2).any():
        raise ValueError("groups of two or more components only")
    order = np.concatenate(groups) if groups else np.empty(0, dtype=np.int64)
    return _gather_evidence(folds, order, np.cumsum(sizes) - sizes, sizes, threads)


def bits_alone(folds: Folds) -> Float[np.ndarray, "folds components"]:
    """Return the bits that code every component alone in each fold, at the rates of the other folds.

    Example:
        >>> from spdclust.groups.samples import fold_samples
        >>> from spdclust.merge.activations import ProcessedActivations
        >>> acts = ProcessedActivations.from_dense([[1.0], [0.0]], ["m:0"])
        >>> bits_alone(fold_samples([acts, acts], acts.labels, [acts.labels] * 2, 0.1)).tolist()
        [[2.0], [2.0]]
    """
    samples = folds.n_samples[:, None]
    share = (folds.counts.sum(0) - folds.counts + 0.5) / (samples.sum() - samples + 1)
    bits: np.ndarray = -(folds.counts * np.log2(share) + (samples - folds.counts) * np.log2(1 - share))
    return bits


def _rate_regret(folds: Folds) -> Float[np.ndarray, "folds components"]:
    """Return the bits saved by coding every component alone at the fold's own rate.

    Example:
        >>> from spdclust.groups.samples import fold_samples
        >>> from spdclust.merge.activations import ProcessedActivations
        >>> acts = ProcessedActivations.from_dense([[1.0], [1.0]], ["m:0"])
        >>> regret = _rate_regret(fold_samples([acts, acts], acts.labels, [acts.labels] * 2, 0.1))
        >>> regret.round(2).tolist()  # two samples at a rate of 5/6, or of 1
        [[0.53], [0.53]]
    """
    share = folds.counts / np.maximum(folds.n_samples, 1)[:, None]
    silent = folds.n_samples[:, None] - folds.counts
    with np.errstate(divide="ignore", invalid="ignore"):
        shortest = -(
            np.where(folds.counts > 0, folds.counts * np.log2(share), 0)
            + np.where(silent > 0, silent * np.log2(1 - share), 0)
        )
    regret: np.ndarray = np.maximum(bits_alone(folds) - shortest, 0)
    return regret


def log_evidence(
    saved: Float[np.ndarray, "*sets folds"], chosen_without: Bool[np.ndarray, "*sets folds"] | None = None
) -> Float[np.ndarray, "*sets"]:
    """Return the base-2 logarithm of the combined evidence of several folds for a saving.

    `2^bits` of a fold is an e-value: its mean is at most 1 under the null hypothesis. The mean over folds is
    an e-value too, however much the folds depend on each other (Vovk and Wang 2021). A fold counts only for
    candidates that were chosen without it.

    `chosen_without` are the folds without which the candidate was found, too.

    Example:
        >>> float(log_evidence(np.array([3.0, 3.0]))), float(log_evidence(np.array([20.0, -4.0])).round(3))
        (3.0, 19.0)
    """
    counted = saved if chosen_without is None else np.where(chosen_without, saved, -np.inf)
    return np.asarray(np.logaddexp2.reduce(counted, axis=-1) - np.log2(saved.shape[-1]))


def _choose_nodes(
    tree: Tree,
    evidence: Evidence,
    nodes: Int[np.ndarray, " candidates"],
    chosen_without: Bool[np.ndarray, "candidates folds"],
    false_alarm: float = FALSE_ALARM,
    regret: Float[np.ndarray, "folds components"] | None = None,
) -> list[int]:
    """Return the best disjoint nodes of a tree: each saves more bits than its best parts, beyond chance.

    From the leaves up, a node replaces the nodes chosen below it if the total difference in bits is positive
    and its evidence exceeds the number of codes tried, divided by the false-alarm rate.

    Args:
        tree: the candidates.
        evidence: evidence for the given nodes.
        nodes: the candidate nodes.
        chosen_without: for each node and fold, whether the tree built without that fold contains the node.
        false_alarm: rate of ensembles without groups for which a group is reported.
        regret: for each fold and component, the bits saved by coding it alone at the fold's own rate. A
            component alone is charged this shortest code, so rates that differ between folds are not
            evidence (Wasserman, Ramdas and Balakrishnan 2020).
    """
    limit = np.log2(max(evidence.n_codes, 1) / false_alarm)
    row_of = {int(node): row for row, node in enumerate(nodes)}
    n_folds = evidence.bits.shape[1]
    alone = np.zeros((n_folds, tree.n_leaves)) if regret is None else regret
    best = {leaf: alone[:, leaf] for leaf in range(tree.n_leaves)}
    chosen: dict[int, list[int]] = {leaf: [] for leaf in range(tree.n_leaves)}
    for t, (a, b) in enumerate(tree.children.tolist()):
        node = tree.n_leaves + t
        # savings of disjoint groups add up, as their codes are independent
        parts = best.pop(a) + best.pop(b)
        below = chosen.pop(a) + chosen.pop(b)
        row = row_of.get(node, -1)
        if row >= 0 and chosen_without[row].any():
            more = evidence.bits[row] - parts
            if more.sum() > 0 and log_evidence(more, chosen_without[row]) >= limit:
                best[node], chosen[node] = evidence.bits[row], [node]
                continue
        best[node], chosen[node] = parts, below
    return sorted(node for nodes_below in chosen.values() for node in nodes_below)


class Selection(NamedTuple):
    """The chosen nodes of a tree, and what they were chosen from."""

    sums: PairSums
    """Pair sums of all samples."""
    tree: Tree
    """Tree of all samples."""
    nodes: Int[np.ndarray, " nodes"]
    """Nodes that some tree built without a fold contains too: only these are judged."""
    evidence: Evidence
    """Evidence for these nodes."""
    chosen: list[int]
    """The best disjoint nodes."""


def select_nodes(
    folds: Folds,
    threads: int,
    progress: Callable[[str], None] = lambda step: None,
    arrays: list[np.ndarray] | None = None,
) -> Selection:
    """Return the best disjoint nodes of the tree of all samples, judged on folds that did not choose them.

    All pair sums are written to `arrays`, as far as there are any, and all are added to them at the end: null
    runs, whose sums nobody reads, use the same memory. The result does not depend on `threads`.

    Example:
        >>> from spdclust.groups.samples import fold_samples
        >>> from spdclust.merge.activations import ProcessedActivations
        >>> both = np.tile(np.arange(400) % 4 == 0, (2, 1)).T
        >>> acts = ProcessedActivations.from_dense(both, ["m:0", "m:1"])
        >>> folds = fold_samples([acts, acts], acts.labels, [acts.labels] * 2, 0.1)
        >>> found = select_nodes(folds, threads=1)
        >>> [found.tree.members(node).tolist() for node in found.chosen]
        [[0, 1]]
    """

    def array() -> np.ndarray | None:
        return arrays.pop() if arrays else None

    n = len(folds.labels)
    # one triangle per part is in memory at once
    room = int(_KEEP_BYTES // (4 * (n * (n + 1) // 2) + 1))
    n_parts = min(folds.n_folds, max(2, min(N_TREES, room)))
    parts = [list(range(part, folds.n_folds, n_parts)) for part in range(n_parts)]
    sums_of_parts = []
    for number, part in enumerate(parts):
        progress(f"comparing components, part {number + 1} of {n_parts}")
        sums_of_parts.append(pair_sums(folds, part, threads, array()))
    sums = add_sums(sums_of_parts, threads, array())
    progress("building trees")
    tree = average_tree(sums, threads=threads)
    nodes = tree.n_leaves + np.arange(len(tree.children))
    found = np.zeros((len(nodes), folds.n_folds), dtype=bool)
    if len(nodes):
        for part in parts:
            # overwrites the part: never two triangles more than needed
            rest = sums.without(sums_of_parts.pop(0), threads)
            others = average_tree(rest, threads=threads)
            found[:, part] = np.array([key in others.node_keys for key in tree.keys[n:]])[:, None]
            if arrays is not None:
                arrays.append(rest.packed)
        del rest, others
    if arrays is not None:
        arrays += [sums.packed, *(part.packed for part in sums_of_parts)]
    nodes, found = nodes[found.any(1)], found[found.any(1)]
    progress("gathering evidence of candidates")
    evidence = _gather_evidence(folds, tree.order, tree.first[nodes], tree.sizes[nodes], threads)
    chosen = _choose_nodes(tree, evidence, nodes, found, regret=_rate_regret(folds))
    return Selection(sums, tree, nodes, evidence, chosen)
