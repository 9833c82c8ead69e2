"""Support for groups from the runs' merges: how often each is formed, and the groups of a cut."""

from collections import Counter

import numpy as np
from scipy.special import betaincinv

from spdclust.groups.trees import Tree
from spdclust.merge.history import MergeHistory


def support_columns(merges: list[Tree], groups: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Return the columns computed from the runs' merge trees.

    Example:
        >>> tree = Tree(3, np.array([[0, 2], [3, 1]]), np.zeros(2))
        >>> columns = support_columns([tree, tree], [np.array([0, 2]), np.array([0, 1])])
        >>> columns["runs_exact"].tolist(), columns["runs_exact_low"].round(2).tolist()
        ([2, 0], [0.16, 0.0])

    Args:
        merges: merge tree of each run.
        groups: members of each group.

    Returns:
        `size`, `support`, `runs_exact` and the bounds of its 95 % interval (Clopper and Pearson 1934).
    """
    n_runs = len(merges)
    exact = np.zeros(len(groups), dtype=np.int64)
    support = np.zeros(len(groups))
    keys = [_key_of(merges[0], members) for members in groups]
    for tree in merges:
        exact += np.array([key in tree.node_keys for key in keys], dtype=np.int64).reshape(len(groups))
        support += tree.best_overlaps(groups) / n_runs
    low = np.where(exact > 0, betaincinv(np.maximum(exact, 1), n_runs - exact + 1, 0.025), 0.0)
    high = np.where(exact < n_runs, betaincinv(exact + 1, np.maximum(n_runs - exact, 1), 0.975), 1.0)
    return {
        "size": np.array([len(members) for members in groups], dtype=np.int64),
        "support": support,
        "runs_exact": exact,
        "runs_exact_low": low,
        "runs_exact_high": high,
    }


def _key_of(tree: Tree, members: np.ndarray) -> tuple[int, int]:
    high = sum(tree.keys[component][0] for component in members.tolist())
    low = sum(tree.keys[component][1] for component in members.tolist())
    return high % 2**64, low % 2**64


def cuts_of_merges(
    runs: list[MergeHistory], own: list[np.ndarray], merges: list[Tree]
) -> dict[str, list[np.ndarray]]:
    """Return the groups of several cuts through the merges, to be compared in bits.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> from spdclust.groups.trees import merge_history_tree
        >>> run = example_history()
        >>> own = np.arange(run.n_components)
        >>> tree = merge_history_tree(run.selected_pairs, own, run.n_components)
        >>> sorted(cuts_of_merges([run], [own], [tree]))
        ['formed_by_all', 'formed_by_most', 'least_mdl']

    Args:
        runs: the histories.
        own: for each run, the indices of its components among the components of all runs.
        merges: merge tree of each run.
    """
    answers = {
        "formed_by_most": formed_by(own, merges, len(merges) // 2 + 1),
        "formed_by_all": formed_by(own, merges, len(merges)),
    }
    first = runs[0]
    if first.n_iterations and first.has_description_length:
        at = first.at(first.best_iteration())
        order = np.argsort(at.group_idxs, kind="stable")
        parts = np.split(own[0][order], np.cumsum(at.sizes())[:-1])
        answers["least_mdl"] = [np.sort(part) for part in parts if len(part) > 1]
    return answers


def formed_by(own: list[np.ndarray], merges: list[Tree], n_runs: int) -> list[np.ndarray]:
    """Return the largest groups that at least `n_runs` runs form; `n_runs` must exceed half of the runs.

    Example:
        >>> tree = Tree(4, np.array([[0, 2], [1, 3], [4, 5]]), np.zeros(3))
        >>> [members.tolist() for members in formed_by([np.arange(4)] * 2, [tree, tree], 2)]
        [[0, 2], [1, 3]]

    Two such groups are disjoint or nested: they form the majority-rule consensus tree (Margush and McMorris
    1981). The set of all components of a run does not count as a group, because any merge that runs long
    enough ends in it.
    """
    formed: Counter[tuple[int, int]] = Counter()
    nodes_of = []
    for has, tree in zip(own, merges, strict=True):
        nodes = [tree.n_leaves + t for t in np.flatnonzero(tree.sizes[tree.n_leaves :] < len(has)).tolist()]
        nodes_of.append(nodes)
        formed.update(tree.keys[node] for node in nodes)
    kept, taken = [], set()
    for nodes, tree in zip(nodes_of, merges, strict=True):
        for node in nodes:
            key = tree.keys[node]
            if formed[key] >= n_runs and key not in taken:
                taken.add(key)
                kept.append(np.sort(tree.members(node)))
    kept.sort(key=lambda members: (-len(members), members.tolist()))
    seen = np.zeros(merges[0].n_leaves, dtype=bool)
    largest = []
    for members in kept:
        if not seen[members].any():
            seen[members] = True
            largest.append(members)
    return largest
