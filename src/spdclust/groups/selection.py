"""From samples to the chosen nodes of a tree: candidates, those found without a fold, their evidence."""

from collections.abc import Callable

import numpy as np

from spdclust.core.types import Int
from spdclust.groups.evidence import Evidence, choose_nodes, gather_evidence, rate_regret
from spdclust.groups.samples import Folds
from spdclust.groups.similarity import PairSums, add_sums, average_tree, pair_sums
from spdclust.groups.trees import Tree

N_TREES = 5
"""Maximum number of parts that the folds are divided into; each is judged by a tree built without it."""

_KEEP_BYTES = 1_400_000_000
"""Memory limit of the pair sums of all parts; with very many components the folds form fewer parts."""


def select_nodes(
    folds: Folds,
    threads: int,
    progress: Callable[[str], None] = lambda step: None,
    arrays: list[np.ndarray] | None = None,
) -> tuple[PairSums, Tree, Int[np.ndarray, " nodes"], Evidence, list[int]]:
    """Return the pair sums and tree of all samples, the judged nodes, their evidence, and the chosen nodes.

    Example:
        >>> from spdclust.groups.samples import fold_samples
        >>> from spdclust.merge.activations import ProcessedActivations
        >>> both = np.tile(np.arange(400) % 4 == 0, (2, 1)).T
        >>> acts = ProcessedActivations.from_dense(both, ["m:0", "m:1"])
        >>> folds = fold_samples([acts, acts], acts.labels, [acts.labels] * 2, 0.1)
        >>> sums, tree, nodes, evidence, chosen = select_nodes(folds, threads=1)
        >>> [tree.members(node).tolist() for node in chosen]
        [[0, 1]]

    Args:
        folds: the samples.
        threads: number of threads; the result does not depend on it.
        progress: called with a short description at the start of each step.
        arrays: all pair sums are written to these arrays, as far as there are any, and all are added to them
            at the end: null runs, whose sums nobody reads, use the same memory. None for new ones.
    """

    def array() -> np.ndarray | None:
        return arrays.pop() if arrays else None

    n = len(folds.labels)
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
            rest = sums.without(sums_of_parts.pop(0), threads)
            others = average_tree(rest, threads=threads)
            found[:, part] = np.array([key in others.node_keys for key in tree.keys[n:]])[:, None]
            if arrays is not None:
                arrays.append(rest.packed)
    if arrays is not None:
        arrays += [sums.packed, *(part.packed for part in sums_of_parts)]
    nodes, found = nodes[found.any(1)], found[found.any(1)]
    progress("gathering evidence of candidates")
    evidence = gather_evidence(folds, tree.order, tree.first[nodes], tree.sizes[nodes], threads)
    return sums, tree, nodes, evidence, choose_nodes(tree, evidence, nodes, found, regret=rate_regret(folds))
