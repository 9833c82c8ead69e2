"""The answer of `find_groups`: groups of components with the evidence for each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spdclust.core.argument_kinds import whole
from spdclust.core.arguments import checked
from spdclust.core.brief import Brief
from spdclust.core.errors import InputError
from spdclust.core.types import Bool, Float, Int, Labels

COLUMNS = {
    "size": "components in the group",
    "bits_saved": "bits per sample that the group saves on held-out samples, mean over runs",
    "bits_saved_se": "standard error of bits_saved over runs: it covers the samples, not the decomposition",
    "support": "mean over runs of the best Jaccard similarity with a node of the run's merge tree",
    "runs_exact": "runs whose merge tree has exactly this group as a node",
    "runs_exact_low": "lower end of the 95 % interval of the share of runs that form the group exactly",
    "runs_exact_high": "upper end of that interval",
    "activity": "share of samples on which the group is active: at least `active_members` members at once",
    "active_members": "how many members have to be active for the group to count as active",
    "cohesion": "mean Jaccard similarity of the activity of two members",
    "lift": "median over pairs of members of their coactivation, relative to independence",
}
"""What each column of `FoundGroups.columns` holds."""


@dataclass(frozen=True)
class EvidenceTree:
    """The tree that the groups were chosen from, with the evidence of every node.

    Nodes are numbered as SciPy does: leaves are the components in the order of the labels, node
    `n_components + t` is row `t` of the arrays below, children before parents.

    Attributes:
        children: `(nodes, 2)` the two parts of each node.
        height: mean distance between the two parts: 1 minus their similarity.
        bits: bits per sample that the node saves on held-out samples; NaN where it was not a candidate.
        bits_se: its standard error over runs.
        chosen: whether the node is one of the groups (before components joined it).
    """

    children: Int[np.ndarray, "nodes 2"]
    height: Float[np.ndarray, " nodes"]
    bits: Float[np.ndarray, " nodes"]
    bits_se: Float[np.ndarray, " nodes"]
    chosen: Bool[np.ndarray, " nodes"]


@dataclass(frozen=True)
class SharedMembers:
    """Components that are also active with a second group, one row each, the strongest evidence first.

    Attributes:
        component: number of the component.
        group: the second group.
        bits: bits per sample saved by counting the component to that group too, on held-out samples.
        share: share of the group's events on which the component is active, its own group being inactive.
    """

    component: Int[np.ndarray, " rows"]
    group: Int[np.ndarray, " rows"]
    bits: Float[np.ndarray, " rows"]
    share: Float[np.ndarray, " rows"]


@dataclass(frozen=True, eq=False, repr=False)
class FoundGroups(Brief):
    """Groups of components, the best supported by evidence first.

    Attributes:
        labels: names of the components of all runs.
        group_idxs: `(components,)` group of every component; those in no group are alone, with numbers after
            all groups.
        columns: arrays with one entry a group, see `COLUMNS`; NaN where batches were not given.
        n_groups: groups of two or more.
        bits: held-out bits per sample of the answer (`answer`), of all components alone (`alone`), and of
            every other answer that was compared; empty without batches.
        null_groups: `(nulls,)` how many groups the same analysis finds in each null run, in which components
            keep their activations but are independent.
        null_groups_busy: the same where every sample keeps its number of active components too: groups that
            there are because some samples are busier than others.
        bits_saved_runs: `(groups, runs)` bits per sample that each group saves in each run.
        shared: components that are also active with a second group.
        tree: the tree that the groups were chosen from; None without batches.
        cohesion: similarity of pairs `inside` groups and `between` groups: mean, median and the share of
            pairs that are never active together.
        settings: what the answer depends on: runs, samples, thresholds.
        warnings: what a reader has to know before using the answer, one sentence each.
    """

    labels: Labels
    group_idxs: Int[np.ndarray, " components"]
    columns: dict[str, np.ndarray]
    n_groups: int
    bits: dict[str, float]
    null_groups: Int[np.ndarray, " nulls"]
    null_groups_busy: Int[np.ndarray, " nulls"]
    bits_saved_runs: Float[np.ndarray, "groups runs"]
    shared: SharedMembers
    tree: EvidenceTree | None = None
    cohesion: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def _facts(self) -> dict[str, object]:
        return {
            "n_groups": self.n_groups,
            "n_components": len(self.labels),
            "n_alone": self.n_alone,
            "expected_false": self.expected_false,
        }

    @property
    def expected_false(self) -> float:
        """Groups that the same analysis finds when coactivation is destroyed, mean per null run; NaN without
        any.
        """
        return float(self.null_groups.mean()) if len(self.null_groups) else float("nan")

    @property
    def n_alone(self) -> int:
        """Number of components that belong to no group."""
        return int((self.group_idxs >= self.n_groups).sum())

    @checked(group=whole())
    def members(self, group: int) -> Labels:
        """Return the labels of a group's members.

        Raises:
            InputError: there is no such group.
        """
        return [self.labels[component] for component in self.member_idxs(group)]

    @checked(group=whole())
    def member_idxs(self, group: int) -> Int[np.ndarray, " members"]:
        """Return the numbers of a group's members.

        Raises:
            InputError: there is no such group.
        """
        if not 0 <= group < self.n_groups:
            allowed = f"0 to {self.n_groups - 1}" if self.n_groups else "none, no group was found"
            raise InputError("no such group", field="group", found=group, allowed=allowed)
        return np.flatnonzero(self.group_idxs == group)

    @checked(group=whole())
    def shared_with(self, group: int) -> Labels:
        """Return the labels of components of other groups that are also active with this one.

        Raises:
            InputError: there is no such group.
        """
        self.member_idxs(group)
        return [self.labels[component] for component in self.shared.component[self.shared.group == group]]
