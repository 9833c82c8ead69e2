"""How well reported groups match known ones.

Groups are an integer per component, -1 for a component in no group.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

CLOSE = 0.75


@dataclass(frozen=True)
class Scores:
    """Agreement of reported groups with known ones.

    Attributes:
        precision: share of the reported pairs that are true; 1 if no pair is reported.
        recall: share of the true pairs that are reported.
        f1: harmonic mean of the two.
        ari: adjusted Rand index against the groups that components belong to first.
        ami: adjusted mutual information against the same.
        exact: share of the known groups that are reported member for member.
        exact_shared: the same where reported groups have the members that they share with others, too.
        close: share of the known groups with a reported group of Jaccard similarity .75 or more.
        false: number of reported groups of which more than half of the pairs are wrong.
        n_groups: number of reported groups.
        sure: number of reported groups that the answer calls sure.
        sure_true: of these, how many have mostly true pairs.
    """

    precision: float
    recall: float
    f1: float
    ari: float
    ami: float
    exact: float
    exact_shared: float
    close: float
    false: int
    n_groups: int
    sure: int = 0
    sure_true: int = 0


def without_singletons(groups: np.ndarray) -> np.ndarray:
    """Return the groups of two or more, numbered from 0; every other component gets -1."""
    groups = np.asarray(groups)
    numbers, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    real = (numbers >= 0) & (counts > 1)
    return np.where(real, np.cumsum(real) - 1, -1)[inverse]


def score(
    groups: np.ndarray,
    known: Sequence[np.ndarray],
    primary: np.ndarray,
    shared: Mapping[int, np.ndarray] | None = None,
    sure: Collection[int] = (),
) -> Scores:
    """Compare reported groups with known ones, which may overlap.

    Args:
        groups: `(components,)` reported group of each component; -1, and a group of one, mean no group.
        known: the members of each known group. A pair is true if some known group holds both.
        primary: `(components,)` the known group that a component belongs to first; -1 for none.
        shared: components that a reported group shares with others, which are its members too, by the number
            in `groups`. Only `exact_shared` counts them.
        sure: the numbers in `groups` of those that the answer calls sure.
    """
    shared = shared or {}
    numbers, groups = np.asarray(groups), without_singletons(groups)
    together = true_pairs(known, len(groups))
    reported = members(groups)
    right = np.array([_pairs_inside(together, each) for each in reported], dtype=np.int64)
    sizes = np.array([len(each) for each in reported], dtype=np.int64)
    possible = sizes * (sizes - 1) // 2
    precision, recall, f1 = rates(int(right.sum()), int(possible.sum()), int(np.triu(together, 1).sum()))
    overlap = jaccard(reported, known, len(groups))
    best = overlap.max(axis=0, initial=0.0) if len(known) else np.zeros(0)
    extended = [np.union1d(each, shared.get(int(numbers[each[0]]), each)) for each in reported]
    best_extended = jaccard(extended, known, len(groups)).max(axis=0, initial=0.0) if len(known) else best
    called_sure = np.array([int(numbers[each[0]]) in set(sure) for each in reported], dtype=bool)
    alone, primary_alone = each_alone(groups), each_alone(primary)
    return Scores(
        precision=precision,
        recall=recall,
        f1=f1,
        ari=float(adjusted_rand_score(primary_alone, alone)),
        ami=float(adjusted_mutual_info_score(primary_alone, alone)),
        exact=float((best == 1).mean()) if len(known) else 1.0,
        exact_shared=float((best_extended == 1).mean()) if len(known) else 1.0,
        close=float((best >= CLOSE).mean()) if len(known) else 1.0,
        false=int((2 * right < possible).sum()),
        n_groups=len(reported),
        sure=int(called_sure.sum()),
        sure_true=int((called_sure & (2 * right >= possible)).sum()),
    )


def rates(right: int, reported: int, true: int) -> tuple[float, float, float]:
    """Return precision (1 if nothing is reported), recall (1 if nothing is true) and F1 of pairs."""
    precision = right / reported if reported else 1.0
    recall = right / true if true else 1.0
    total = precision + recall
    return precision, recall, 2 * precision * recall / total if total else 0.0


def members(groups: np.ndarray) -> list[np.ndarray]:
    """Return the members of each group, ascending."""
    order = np.argsort(groups, kind="stable")
    order = order[np.count_nonzero(groups < 0) :]
    return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1) if len(order) else []


def true_pairs(known: Sequence[np.ndarray], n_components: int) -> np.ndarray:
    """Return the `(components, components)` matrix of which two components share a known group."""
    membership = _membership(known, n_components)
    return (membership.T @ membership).toarray() > 0


def jaccard(reported: Sequence[np.ndarray], known: Sequence[np.ndarray], n_components: int) -> np.ndarray:
    """Return the `(reported, known)` Jaccard similarities of two lists of groups."""
    left, right = _membership(reported, n_components), _membership(known, n_components)
    common = (left @ right.T).toarray()
    sizes, others = left.sum(axis=1), right.sum(axis=1)
    return common / (sizes[:, None] + others[None, :] - common)


def each_alone(groups: np.ndarray) -> np.ndarray:
    """Return the groups as a partition: every component of no group is a cluster by itself."""
    none = groups < 0
    return np.where(none, groups.max(initial=-1) + 1 + np.cumsum(none), groups)


def _membership(groups: Sequence[np.ndarray], n_components: int) -> sparse.csr_array:
    indices = np.concatenate([np.zeros(0, dtype=np.int64), *groups])
    indptr = np.cumsum([0, *(len(each) for each in groups)])
    shape = (len(groups), n_components)
    return sparse.csr_array((np.ones(len(indices), dtype=np.int64), indices, indptr), shape=shape)


def _pairs_inside(together: np.ndarray, group: np.ndarray) -> int:
    return int(np.triu(together[np.ix_(group, group)], 1).sum())
