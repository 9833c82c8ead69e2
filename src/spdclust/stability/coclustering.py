"""Co-clustering of components over the runs at one cut: pair counts, ambiguity, consensus groups."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from spdclust.core.compiling import ensure_compiled
from spdclust.core.errors import InputError
from spdclust.core.types import Brief, Float, Int, Labels
from spdclust.partitions.kernels.table import count_together
from spdclust.stability.agreement import check_several_runs

MAX_STORED_PAIRS = 20_000_000
"""Above this many pairs (counted per run) the matrix of co-clustering frequencies is not built."""


@dataclass(frozen=True, eq=False, repr=False)
class Coclustering(Brief):
    """Pairs of components by the number of runs in which they are together.

    Example:
        >>> together = coclustering(np.array([[0, 0, 1], [0, 1, 1], [0, 0, 1]]))
        >>> together.histogram.tolist(), together.never, together.contested
        ([1, 1, 1, 0], 1, 2)

    Attributes:
        histogram: `(runs + 1,)` number of component pairs that are together in exactly 0, 1, … runs.
        ambiguous: the open interval of frequencies that count as ambiguous.
    """

    histogram: Int[np.ndarray, "_"]
    consensus: "ConsensusGroups"
    ambiguous: tuple[float, float]

    def _facts(self) -> dict[str, object]:
        groups = len(self.consensus.sizes)
        return {"consensus_groups": groups, "always": self.always, "contested": self.contested}

    @property
    def never(self) -> int:
        """Number of pairs together in no run."""
        return int(self.histogram[0])

    @property
    def always(self) -> int:
        """Number of pairs together in every run."""
        return int(self.histogram[-1])

    @property
    def contested(self) -> int:
        """Number of pairs together in some runs only."""
        return int(self.histogram[1:-1].sum())

    @property
    def ambiguous_share(self) -> float:
        """Proportion of ambiguous clustering: share of all pairs with a frequency inside `ambiguous`.

        PAC of Șenbabaoğlu, Michailidis & Li 2014 (Scientific Reports 4); 0 without pairs.
        """
        return self._share(int(self.histogram.sum()))

    @property
    def ambiguous_share_of_joined(self) -> float:
        """The same among pairs that are together in at least one run; 0 if there is none.

        With many small groups nearly all pairs are never together, so the plain share is small whatever the
        agreement of the runs.
        """
        return self._share(int(self.histogram[1:].sum()))

    def _share(self, of: int) -> float:
        frequency = np.arange(len(self.histogram)) / (len(self.histogram) - 1)
        inside = (frequency > self.ambiguous[0]) & (frequency < self.ambiguous[1])
        return int(self.histogram[inside].sum()) / of if of else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers, without the groups themselves."""
        return {
            "never": self.never,
            "always": self.always,
            "contested": self.contested,
            "histogram": self.histogram.tolist(),
            "ambiguous_interval": list(self.ambiguous),
            "ambiguous_share": self.ambiguous_share,
            "ambiguous_share_of_joined": self.ambiguous_share_of_joined,
            "n_consensus_groups": len(self.consensus.sizes),
            "mean_support": self.consensus.mean_support,
        }


@dataclass(frozen=True)
class ConsensusGroups:
    """The grouping supported by most runs.

    Attributes:
        group_idxs: `(components,)` consensus group of each component, ordered by smallest component.
        support: `(groups,)` mean co-clustering frequency of the group's pairs; for a singleton, the share of
            runs in which it is alone.
        threshold: pairs together in more than this share of the runs are joined.
    """

    group_idxs: Int[np.ndarray, " components"]
    sizes: Int[np.ndarray, " groups"]
    support: Float[np.ndarray, " groups"]
    threshold: float

    @property
    def mean_support(self) -> float:
        """Support averaged over components; 1 when all runs agree."""
        return float((self.support * self.sizes).sum() / max(1, int(self.sizes.sum())))

    def to_rows(self, labels: Labels) -> list[dict[str, Any]]:
        """Return one flat record per group: number, size, support, and the labels of its members."""
        order = np.argsort(self.group_idxs, kind="stable")
        members = np.split(order, np.cumsum(self.sizes)[:-1]) if len(self.sizes) else []
        return [
            {
                "group": group,
                "size": len(of_group),
                "support": float(self.support[group]),
                "members": [labels[component] for component in of_group.tolist()],
            }
            for group, of_group in enumerate(members)
        ]


def coclustering(
    groups: Int[np.ndarray, "runs components"],
    *,
    threshold: float = 0.5,
    ambiguous: tuple[float, float] = (0.1, 0.9),
) -> Coclustering:
    """Count pairs by the number of runs that group them; join those above a share of `threshold`.

    Consensus groups are the connected components of the pairs above the threshold (evidence accumulation with
    single linkage, Fred & Jain 2005, IEEE TPAMI 27).

    Example:
        >>> together = coclustering(np.array([[0, 0, 0, 1], [0, 0, 1, 2], [0, 0, 1, 1]]))
        >>> together.always, together.contested, together.never
        (1, 3, 2)
        >>> together.consensus.group_idxs.tolist(), together.consensus.support.round(2).tolist()
        ([0, 0, 1, 2], [1.0, 0.33, 0.67])

    Args:
        groups: group of every component in every run, see `groups_at`.
        threshold: share of the runs, 0 to below 1.
        ambiguous: a frequency strictly between these is ambiguous.

    Raises:
        InputError: fewer than two runs, or a threshold outside its range.
    """
    n_runs = len(groups)
    check_several_runs(n_runs)
    if not 0 <= threshold < 1:
        raise InputError("threshold out of range", field="threshold", found=threshold, allowed="0 to below 1")
    # components that are together in every run are treated as one, which leaves far fewer pairs to visit
    atoms, first, atom_of, weights = np.unique(
        groups, axis=1, return_index=True, return_inverse=True, return_counts=True
    )
    # `unique` sorts by value; in the order of the first component, the roots below are first components
    order = np.argsort(first)
    position = np.empty_like(order)
    position[order] = np.arange(len(order))
    histogram = np.zeros(n_runs + 1, dtype=np.int64)
    parents = np.arange(len(order), dtype=np.int64)
    warm_up()
    count_together(
        np.ascontiguousarray(atoms[:, order].T, dtype=np.int32),
        weights[order].astype(np.int64),
        next(count for count in range(n_runs + 1) if count / n_runs > threshold),
        histogram,
        parents,
    )
    for atom in range(len(parents)):  # parents are smaller, so one pass in order reaches the roots
        parents[atom] = parents[parents[atom]]
    group_idxs = np.unique(parents[position[atom_of.ravel()]], return_inverse=True)[1].astype(np.int64)
    sizes = np.bincount(group_idxs, minlength=0)
    consensus = ConsensusGroups(group_idxs, sizes, _support(groups, group_idxs, sizes), threshold)
    return Coclustering(histogram, consensus, ambiguous)


def warm_up() -> None:
    """Compile the kernel that counts pairs of components, or load it from the cache.

    Example:
        >>> warm_up()
    """
    ensure_compiled("stability, counting pairs", _count_little)


def _count_little() -> None:
    groups, weights = np.zeros((2, 2), dtype=np.int32), np.ones(2, dtype=np.int64)
    count_together(groups, weights, 1, np.zeros(3, dtype=np.int64), np.arange(2, dtype=np.int64))


def coclustering_frequency(
    groups: Int[np.ndarray, "runs components"],
) -> sparse.csr_array:
    """Return the share of runs in which two components are together, for pairs `i < j` that are in any run.

    Example:
        >>> coclustering_frequency(np.array([[0, 0, 1], [0, 1, 1]])).toarray().tolist()
        [[0.0, 0.5, 0.0], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]]

    Returns:
        `(components, components)` upper triangle, float64.

    Raises:
        InputError: fewer than two runs, or more than `MAX_STORED_PAIRS` pairs.
    """
    n_runs, n_components = groups.shape
    check_several_runs(n_runs)
    sizes = [np.bincount(row) for row in groups]
    n_pairs = sum(int((size * (size - 1) // 2).sum()) for size in sizes)
    if n_pairs > MAX_STORED_PAIRS:
        raise InputError(
            "too many co-clustered pairs to store",
            field="groups",
            found=n_pairs,
            allowed=f"at most {MAX_STORED_PAIRS}; cut earlier, or use coclustering() for the counts",
        )
    offsets = np.cumsum([0] + [len(size) for size in sizes])
    column = (groups + offsets[:-1, None]).T.ravel()
    member = sparse.csr_array(
        (np.ones(len(column), dtype=np.int32), column, np.arange(n_components + 1) * n_runs),
        shape=(n_components, int(offsets[-1])),
    )
    return sparse.csr_array(sparse.triu(member @ member.T, k=1) / n_runs)


def _support(groups: np.ndarray, group_idxs: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    n_runs = len(groups)
    together = np.zeros(len(sizes))
    alone = np.zeros(len(sizes))
    for row in groups:
        # one number per cell of the contingency table
        width = int(row.max()) + 1 if len(row) else 1
        cells, counts = np.unique(group_idxs * width + row, return_counts=True)
        np.add.at(together, cells // width, counts * (counts - 1) / 2)
        np.add.at(alone, group_idxs, np.bincount(row)[row] == 1)
    pairs = sizes * (sizes - 1) / 2
    return np.where(sizes > 1, together / np.maximum(1, pairs * n_runs), alone / n_runs)
