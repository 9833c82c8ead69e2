"""The read-only view of a merge that callbacks get: the grouping and its matrices at one iteration."""

import math
from functools import cached_property

import numpy as np

from spdclust.core.types import Float, Int
from spdclust.merge.costs import compute_merge_costs
from spdclust.merge.kernels import layout
from spdclust.merge.kernels.joining import total_of
from spdclust.merge.kernels.layout import State
from spdclust.merge.stepping import open_slots


class MergeView:
    """A merge just after iteration `iteration`, on the current batch.

    Groups are numbered by their smallest component, as in the history. Matrices are built on first access, so
    a callback that accesses none costs nothing.

    Example:
        >>> from spdclust.example_ensemble import example_activations, example_history
        >>> from spdclust.merge.merging import repeat_merge
        >>> (view,) = repeat_merge(example_activations(), example_history(), [7])
        >>> view.k_groups, view.ranks.tolist(), view.costs.shape
        (4, [3, 3, 3, 3], (4, 4))

    Attributes:
        iteration: number of the last merge, from 0.
        k_groups: current number of groups.
        n_samples: samples in the current batch.
        alpha: bits per component of an active group.
        record: values of the last merge, by the names in `MergeHistory.records`, and `mdl_loss`,
            `merge_pair_cost`.
        group_idxs: group of each component.
    """

    def __init__(
        self,
        state: State,
        iteration: int,
        n_samples: int,
        alpha: float,
        record: dict[str, float],
        group_idxs: Int[np.ndarray, " components"],
    ) -> None:
        self.iteration = iteration
        self.n_samples = n_samples
        self.alpha = alpha
        self.record = record
        self.group_idxs = _frozen(group_idxs)
        self.k_groups = int(state.counts[layout.GROUPS])
        self._state = state

    @cached_property
    def ranks(self) -> Int[np.ndarray, " groups"]:
        """Number of components of each group."""
        return _frozen(np.bincount(self.group_idxs, minlength=self.k_groups))

    @cached_property
    def coactivations(self) -> Float[np.ndarray, "groups groups"]:
        """Coactivation counts (sums of products for scalar activations), activities on the diagonal.

        Rows and columns of groups that are masked until the next batch are NaN.
        """
        state, slots = self._state, open_slots(self._state)
        order = np.argsort(state.marks[layout.NAME, slots])
        groups = self._group_of_name(state.marks[layout.NAME, slots])
        matrix = np.full((self.k_groups, self.k_groups), np.nan)
        for slot, group in zip(slots[order].tolist(), groups[order].tolist(), strict=True):
            is_older = slots < slot
            counts = layout.counts_of(state.coact, slot, slots[is_older])
            matrix[group, groups[is_older]] = matrix[groups[is_older], group] = counts
            matrix[group, group] = state.figures[layout.ACTIVITY, slot]
        return _frozen(matrix)

    @cached_property
    def activities(self) -> Float[np.ndarray, " groups"]:
        """Samples on which each group is active; NaN for masked groups."""
        slots = self._slots
        activities = np.where(slots >= 0, self._state.figures[layout.ACTIVITY, slots], np.nan)
        return _frozen(activities)

    @property
    def total_activity(self) -> float:
        """Sum of the activities of all groups, masked ones included."""
        return float(total_of(self._state.sums[layout.SUM_ACTIVITY], self._state.sums[layout.LOST_ACTIVITY]))

    def coactivations_of(
        self, first: Int[np.ndarray, "*pairs"], second: Int[np.ndarray, "*pairs"]
    ) -> Float[np.ndarray, "*pairs"]:
        """Return the coactivation counts of given pairs of groups, without building the matrix.

        Args:
            first: a group of each pair.
            second: the other group of each pair; a group paired with itself gives its activity.
        """
        p, q = self._slots[first], self._slots[second]
        # there is nothing on the diagonal, nor of masked groups
        known = (np.minimum(p, q) >= 0) & (p != q)
        values = np.full(np.shape(known), np.nan)
        values[known] = layout.counts_of(self._state.coact, p[known], q[known])
        same = np.asarray(first) == np.asarray(second)
        return np.where(same, self.activities[first], values)

    def costs_of(
        self, first: Int[np.ndarray, "*pairs"], second: Int[np.ndarray, "*pairs"]
    ) -> Float[np.ndarray, "*pairs"]:
        """Return the costs of merging pairs of different groups, bits per sample, without a matrix."""
        s, r = self.activities, self.ranks
        return _pair_costs(
            self.coactivations_of(first, second),
            (s[first], s[second]),
            (r[first], r[second]),
            k_groups=self.k_groups,
            total_activity=self.total_activity,
            n_samples=self.n_samples,
            alpha=self.alpha,
        )

    @cached_property
    def _slots(self) -> Int[np.ndarray, " groups"]:
        """The slot of each group, -1 for masked ones."""
        open_now = open_slots(self._state)
        slots = np.full(self.k_groups, -1, dtype=np.int64)
        slots[self._group_of_name(self._state.marks[layout.NAME, open_now])] = open_now
        return slots

    @cached_property
    def costs(self) -> Float[np.ndarray, "groups groups"]:
        """Cost of merging two groups next, bits per sample; NaN for masked groups and on the diagonal."""
        costs = compute_merge_costs(self.coactivations / self.n_samples, self.ranks, self.alpha)
        if np.isnan(self.activities).any() and self.k_groups > 1:
            # masked groups still count in the total activity
            known = np.nansum(self.activities)
            missing = (self.total_activity - float(known)) / self.n_samples
            costs = costs + missing * math.log1p(-1 / self.k_groups) / math.log(2)
        np.fill_diagonal(costs, np.nan)
        return _frozen(costs)

    def _group_of_name(self, names: Int[np.ndarray, " some"]) -> Int[np.ndarray, " some"]:
        groups: np.ndarray = self.group_idxs[names]
        return groups


def _pair_costs(
    coactivations: Float[np.ndarray, "*pairs"],
    activities: tuple[Float[np.ndarray, "*pairs"], Float[np.ndarray, "*pairs"]],
    ranks: tuple[Int[np.ndarray, "*pairs"], Int[np.ndarray, "*pairs"]],
    *,
    k_groups: int,
    total_activity: float,
    n_samples: int,
    alpha: float,
) -> Float[np.ndarray, "*pairs"]:
    """Return the costs of merging pairs of groups, bits per sample: `compute_merge_costs`, pair by pair.

    Example:
        >>> one = np.ones(1, dtype=np.int64)
        >>> never_alone = _pair_costs(
        ...     np.array([2.0]), (np.array([2.0]), np.array([2.0])), (one, one),
        ...     k_groups=5, total_activity=0.0, n_samples=4, alpha=1.0,
        ... )
        >>> never_alone.tolist()  # together on half of the samples: each time one index of 2 bits less
        [-1.0]
    """
    c, (s, t), (r, q) = coactivations, activities, ranks
    log_k = math.log2(max(k_groups - 1, 1))
    common = total_activity * math.log1p(-1 / k_groups) / math.log(2) if k_groups > 1 else 0.0
    costs: np.ndarray = (alpha * ((s - c) * q + (t - c) * r) - c * log_k + common) / n_samples
    return costs


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
