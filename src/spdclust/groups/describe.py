"""The columns reported for each group: evidence, activity of its members, similarity within and between."""

import numpy as np

from spdclust.groups.evidence import Evidence
from spdclust.groups.found import COLUMNS
from spdclust.groups.samples import Folds
from spdclust.groups.similarity import PairSums
from spdclust.groups.support import support_columns
from spdclust.groups.trees import Tree


def describe(
    folds: Folds, sums: PairSums, merges: list[Tree], groups: list[np.ndarray], evidence: Evidence
) -> dict[str, np.ndarray]:
    """Return the columns of `FoundGroups`, with one entry per group.

    Args:
        folds: the samples.
        sums: sums over all samples, for the similarity of members.
        merges: merge tree of each run.
        groups: members of each group, in order.
        evidence: evidence for these groups.
    """
    columns = support_columns(merges, groups)
    per_sample = evidence.bits / folds.n_samples
    rates = folds.counts.sum(0) / folds.n_samples.sum()
    alike, lift = np.empty(len(groups)), np.empty(len(groups))
    for g, members in enumerate(groups):
        similar = sums.among(members)
        alike[g] = similar.mean()
        a, b = np.triu_indices(len(members), 1)
        n_a, n_b = sums.counts[members[a]], sums.counts[members[b]]
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


def cohesion(sums: PairSums, groups: list[np.ndarray]) -> dict[str, dict[str, float]]:
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
    rows = [
        sums.row(i)[(group_of[:i] >= 0) & (group_of[:i] != group_of[i])].astype(np.float32)
        for i in np.flatnonzero(group_of >= 0).tolist()
    ]
    between = np.concatenate([np.empty(0, dtype=np.float32), *rows])
    return {
        name: {
            "mean": float(values.mean(dtype=np.float64)) if len(values) else float("nan"),
            "median": float(np.median(values)) if len(values) else float("nan"),
            "never": float((values <= 0).mean()) if len(values) else float("nan"),
        }
        for name, values in (("inside", inside), ("between", between))
    }


def standard_error(values: np.ndarray) -> np.ndarray:
    """Return the standard error of the mean over the last axis.

    Example:
        >>> standard_error(np.array([[1.0, 2.0, 3.0]])).round(3).tolist()
        [0.577]
    """
    errors: np.ndarray = values.std(axis=-1, ddof=1) / np.sqrt(values.shape[-1])
    return errors
