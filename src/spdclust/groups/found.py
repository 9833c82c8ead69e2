"""The result of `find_groups`: groups of components with the evidence for each, and names for citing them.

Those of two ensembles can be matched, by their shared members or by their weights.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spdclust.core.arguments import checked, whole
from spdclust.core.errors import InputError
from spdclust.core.types import Bool, Brief, Float, Int, Labels

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
"""Description of each column of `FoundGroups.columns`."""


@dataclass(frozen=True)
class EvidenceTree:
    """The tree that the groups were chosen from, with the evidence for every node.

    Nodes are numbered as in SciPy: the leaves are the components in the order of the labels, and node
    `n_components + t` is row `t` of the arrays below, children before parents.

    Attributes:
        children: `(nodes, 2)` the two parts of each node.
        height: mean distance between the two parts: 1 minus their similarity.
        bits: bits per sample that the node saves on held-out samples; NaN if it was not a candidate.
        bits_se: standard error of `bits` over runs.
        group: number of the group that the node became, which may have other members, too; -1 if it is not
            chosen.
    """

    children: Int[np.ndarray, "nodes 2"]
    height: Float[np.ndarray, " nodes"]
    bits: Float[np.ndarray, " nodes"]
    bits_se: Float[np.ndarray, " nodes"]
    group: Int[np.ndarray, " nodes"]

    @property
    def chosen(self) -> Bool[np.ndarray, " nodes"]:
        """Whether each node became a group."""
        return self.group >= 0


@dataclass(frozen=True)
class SharedMembers:
    """Components that are also active with a second group, one row each, strongest evidence first.

    Attributes:
        group: the second group.
        bits: bits per sample saved on held-out samples by also assigning the component to that group.
        share: share of the group's events on which the component is active while its own group is inactive.
    """

    component: Int[np.ndarray, " rows"]
    group: Int[np.ndarray, " rows"]
    bits: Float[np.ndarray, " rows"]
    share: Float[np.ndarray, " rows"]


@dataclass(frozen=True, eq=False, repr=False)
class FoundGroups(Brief):
    """Groups of components, best supported by evidence first.

    Attributes:
        labels: names of the components of all runs.
        group_idxs: `(components,)` group of every component; components in no group are singletons, numbered
            after all groups.
        columns: arrays with one entry per group, see `COLUMNS`; NaN if no batches were given.
        n_groups: groups of two or more.
        bits: held-out bits per sample of the result (`answer`), of all components alone (`alone`), and of
            every alternative grouping compared; empty without batches.
        null_groups: `(nulls,)` number of groups that the same analysis finds in each null run, in which
            components keep their activations but are independent.
        null_groups_busy: the same if every sample also keeps its number of active components: groups that
            exist only because some samples have more active components than others.
        bits_saved_runs: `(groups, runs)` bits per sample that each group saves in each run.
        shared: components that are also active with a second group.
        tree: the tree that the groups were chosen from; None without batches.
        cohesion: similarity of pairs `inside` groups and `between` groups: mean, median and the share of
            pairs that are never active together.
        settings: inputs that the result depends on: runs, samples, thresholds.
        warnings: caveats of the result, one sentence each.
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
        """Mean number of groups found per null run, with coactivation destroyed; NaN without null runs."""
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
        """Return the component indices of a group's members.

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


def group_name(members: Labels) -> str:
    """Return the permanent name of a group: the same for the same members, in whatever order, run or version.

    It is `g` and the first 10 hexadecimal digits of the SHA-256 digest of the sorted labels, joined by line
    breaks, in UTF-8.

    Example:
        >>> group_name(["mlp:0", "attn:0"]), group_name(["attn:0", "mlp:0"])
        ('g4d2f7f37d5', 'g4d2f7f37d5')
    """
    return "g" + hashlib.sha256("\n".join(sorted(members)).encode()).hexdigest()[:10]


Weights = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""`V`, `(inputs, components)`, and `U`, `(components, outputs)`, by module."""


GroupPair = tuple[int | None, int | None]
"""A group of one ensemble and its counterpart in another; None where there is none."""


def match_groups(similarity: Float[np.ndarray, "first second"]) -> list[GroupPair]:
    """Return the pairing of groups with the greatest sum of similarities, each group at most once.

    Example:
        >>> match_groups(np.array([[0.2, 0.9], [0.0, 0.5], [0.0, 0.0]]))
        [(0, 1), (1, None), (2, None), (None, 0)]

    Args:
        similarity: similarity of each group of the first with each of the second; pairs at 0 or below, or
            NaN, are not matched.

    Returns:
        The groups of the first ensemble in order, then those of the second without a counterpart.
    """
    from scipy.optimize import linear_sum_assignment  # slow to import

    comparable = np.where(similarity > 0, similarity, 0.0)
    rows, columns = linear_sum_assignment(comparable, maximize=True)
    partner = {
        int(row): int(column)
        for row, column in zip(rows, columns, strict=True)
        if comparable[row, column] > 0
    }
    pairs: list[GroupPair] = [(row, partner.get(row)) for row in range(similarity.shape[0])]
    left = sorted(set(range(similarity.shape[1])) - set(partner.values()))
    return pairs + [(None, column) for column in left]


def group_overlaps(first: Sequence[Labels], second: Sequence[Labels]) -> Float[np.ndarray, "first second"]:
    """Return the Jaccard similarity of the members of each pair of groups.

    Example:
        >>> group_overlaps([["a:0", "a:1"]], [["a:1", "a:0"], ["a:1", "b:0"]]).tolist()
        [[1.0, 0.3333333333333333]]
    """
    sets = [set(members) for members in second]
    overlaps = [[len(one & other) / len(one | other) for other in sets] for one in map(set, first)]
    return np.array(overlaps, dtype=np.float64).reshape(len(first), len(second))


def group_cosines(
    first: Sequence[Labels], second: Sequence[Labels], weights: Weights, other_weights: Weights
) -> Float[np.ndarray, "first second"]:
    """Return the cosine similarity of the weights of each pair of groups.

    The weights of a group are, for each module, the sum over its members of the outer product of a
    component's `V` and `U`: the group's part of the weight matrix. These matrices are not built: the inner
    product of two of them is the sum over pairs of components of (V·V')(U·U').

    Example:
        >>> weights = {"m": (np.eye(2), np.array([[3.0, 0.0], [0.0, 4.0]]))}
        >>> group_cosines([["m:0"]], [["m:1"], ["m:0", "m:1"]], weights, weights).tolist()
        [[0.0, 0.6]]

    Returns:
        The similarities; NaN where a group's weights are 0.

    Raises:
        InputError: a member has no weights, or a module has different sizes in the two models.
    """
    for module in set(weights) & set(other_weights):
        (v, u), (other_v, other_u) = weights[module], other_weights[module]
        if v.shape[0] != other_v.shape[0] or u.shape[1] != other_u.shape[1]:
            raise InputError(
                "module has different sizes in the two models", field=module,
                found=f"{v.shape[0]} to {u.shape[1]} and {other_v.shape[0]} to {other_u.shape[1]}",
                allowed="models of the same architecture",
            )  # fmt: skip
    one, other = _by_module(first, weights), _by_module(second, other_weights)
    products = _products(one, other, weights, other_weights, (len(first), len(second)))
    norms = [
        np.sqrt(np.maximum(np.diag(_products(of, of, own, own, (n, n))), 0.0))
        for of, own, n in ((one, weights, len(first)), (other, other_weights, len(second)))
    ]
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines: np.ndarray = products / np.outer(*norms)
    return np.where(np.isfinite(cosines), np.clip(cosines, -1.0, 1.0), np.nan)


_Members = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""By module: the components in any group, and a `(groups, components)` membership mask."""


def _by_module(groups: Sequence[Labels], weights: Weights) -> _Members:
    listed: dict[str, list[tuple[int, int]]] = {}
    for group, members in enumerate(groups):
        for label in members:
            module, _, index = label.rpartition(":")
            if module not in weights or not index.isdecimal() or int(index) >= weights[module][0].shape[1]:
                raise InputError("component has no weights in the model", field="labels", found=label)
            listed.setdefault(module, []).append((int(index), group))
    found = {}
    for module, pairs in sorted(listed.items()):
        components, column_of = np.unique([component for component, _ in pairs], return_inverse=True)
        mask = np.zeros((len(groups), len(components)))
        mask[[group for _, group in pairs], column_of] = 1.0
        found[module] = components, mask
    return found


def _products(
    one: _Members, other: _Members, weights: Weights, other_weights: Weights, shape: tuple[int, int]
) -> Float[np.ndarray, "first second"]:
    """Return the inner products of the weights of each pair of groups, summed over modules."""
    total = np.zeros(shape)
    for module in sorted(set(one) & set(other)):
        (chosen, mask), (other_chosen, other_mask) = one[module], other[module]
        (v, u), (other_v, other_u) = weights[module], other_weights[module]
        pairs = (v[:, chosen].T @ other_v[:, other_chosen]) * (u[chosen] @ other_u[other_chosen].T)
        total += mask @ pairs @ other_mask.T
    return total
