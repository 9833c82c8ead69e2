"""The columns reported for each group: evidence, activity, similarity, support from the runs' merges."""

from collections import Counter
from itertools import pairwise

import numpy as np
from scipy.special import betaincinv

from spdclust.core.threads import run_parts
from spdclust.groups.evidence import Evidence
from spdclust.groups.found import COLUMNS
from spdclust.groups.kernels.pairs import count_digits
from spdclust.groups.samples import Folds
from spdclust.groups.similarity import PairSums
from spdclust.groups.trees import Tree
from spdclust.merge.history import MergeHistory


def describe(
    folds: Folds, sums: PairSums, merges: list[Tree], groups: list[np.ndarray], evidence: Evidence
) -> dict[str, np.ndarray]:
    """Return the columns of `FoundGroups`, with one entry per group."""
    columns = support_columns(merges, groups)
    per_sample = evidence.bits / folds.n_samples
    rates = folds.counts.sum(0) / folds.n_samples.sum()
    alike, lift = np.empty(len(groups)), np.empty(len(groups))
    for g, members in enumerate(groups):
        similar = sums.among(members)
        alike[g] = similar.mean()
        a, b = np.triu_indices(len(members), 1)
        n_a, n_b = sums.counts[members[a]], sums.counts[members[b]]
        # the similarity, solved for the number of shared samples
        together = similar / (1 + similar) * (n_a + n_b)
        lift[g] = np.median(together / (rates[members[a]] * rates[members[b]]) / folds.n_samples.sum())
    columns |= {
        "bits_saved": per_sample.mean(1),
        "bits_saved_se": standard_error(per_sample),
        "activity": evidence.opened.sum(1) / folds.n_samples.sum(),
        "active_members": evidence.at_least,
        "cohesion": alike,
        "lift": lift,
    }
    return {name: columns[name] for name in COLUMNS}


def cohesion(sums: PairSums, groups: list[np.ndarray], threads: int = 1) -> dict[str, dict[str, float]]:
    """Return the similarity of pairs inside groups and of pairs between different groups.

    Example:
        >>> packed = np.array([4, 4, 4, 0, 0, 2], dtype=np.float32)  # components 0 and 1 are always together
        >>> sums = PairSums(packed, np.array([4.0, 4.0, 2.0]), np.array([4.0, 4.0, 2.0]))
        >>> cohesion(sums, [np.array([0, 1])])["inside"]
        {'mean': 1.0, 'median': 1.0, 'never': 0.0}

    Returns:
        For `inside` and `between`, the mean and median similarity and the share of pairs `never` active
        together; NaN if there are no such pairs.
    """
    inside = np.concatenate([np.empty(0), *(sums.among(members) for members in groups)])
    group_of = np.full(sums.n_components, -1)
    for g, members in enumerate(groups):
        group_of[members] = g
    between = sums.between(group_of, threads)
    return {
        name: {
            "mean": float(values.mean(dtype=np.float64)) if len(values) else float("nan"),
            "median": median if len(values) else float("nan"),
            "never": float(np.count_nonzero(values <= 0) / len(values)) if len(values) else float("nan"),
        }
        for name, values, median in (
            ("inside", inside, float(np.median(inside)) if len(inside) else float("nan")),
            ("between", between, _median(between, threads)),
        )
    }


def _median(values: np.ndarray, threads: int) -> float:
    """Return the median of float32 values of 0 or more, as NumPy does, without sorting them."""
    if len(values) == 0:
        return float("nan")
    keys = values.view(np.uint32)  # in the order of the values
    edges = np.linspace(0, len(keys), min(8 * threads, len(keys)) + 1, dtype=np.int64).tolist()

    def count(shift: int, above: int) -> np.ndarray:
        def count_part(first: int, last: int) -> np.ndarray:
            counts = np.zeros(2**16, dtype=np.int64)
            count_digits(keys[first:last], np.uint32(shift), np.uint32(above), counts)
            return counts

        counts: np.ndarray = np.cumsum(np.sum(run_parts(count_part, list(pairwise(edges)), threads), axis=0))
        return counts

    # the upper 16 bits of the middle value, then the lower 16 among values with these upper ones
    high = count(16, 0)
    middle = []
    for rank in ((len(keys) - 1) // 2, len(keys) // 2):
        first = int(np.searchsorted(high, rank, side="right"))
        before = int(high[first - 1]) if first else 0
        middle.append(first << 16 | int(np.searchsorted(count(0, first), rank - before, side="right")))
    return float(np.median(np.array(middle, dtype=np.uint32).view(np.float32)))


def standard_error(values: np.ndarray) -> np.ndarray:
    """Return the standard error of the mean over the last axis.

    Example:
        >>> standard_error(np.array([[1.0, 2.0, 3.0]])).round(3).tolist()
        [0.577]
    """
    errors: np.ndarray = values.std(axis=-1, ddof=1) / np.sqrt(values.shape[-1])
    return errors


def support_columns(merges: list[Tree], groups: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Return the columns computed from the runs' merge trees.

    Example:
        >>> tree = Tree(3, np.array([[0, 2], [3, 1]]), np.zeros(2))
        >>> columns = support_columns([tree, tree], [np.array([0, 2]), np.array([0, 1])])
        >>> columns["runs_exact"].tolist(), columns["runs_exact_low"].round(2).tolist()
        ([2, 0], [0.16, 0.0])

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
    # the maxima avoid invalid arguments in entries that `where` discards
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
    """
    answers = {
        "formed_by_most": formed_by(own, merges, len(merges) // 2 + 1),
        "formed_by_all": formed_by(own, merges, len(merges)),
    }
    # of one run, as `best_iteration` is; the other two cuts are of all runs
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
    groups, used_keys = [], set()
    for nodes, tree in zip(nodes_of, merges, strict=True):
        for node in nodes:
            key = tree.keys[node]
            if formed[key] >= n_runs and key not in used_keys:
                used_keys.add(key)
                groups.append(np.sort(tree.members(node)))
    groups.sort(key=lambda members: (-len(members), members.tolist()))
    seen = np.zeros(merges[0].n_leaves, dtype=bool)
    largest = []
    for members in groups:
        if not seen[members].any():
            seen[members] = True
            largest.append(members)
    return largest
