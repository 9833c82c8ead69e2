"""The record of one merge: which groups were merged, in what order and at what cost; numbers of groups."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from spdclust.config.merge import MergeConfig
from spdclust.core.arguments import check_fields, checked, dense_array, instance, texts, whole
from spdclust.core.errors import InputError
from spdclust.core.names import check_iteration
from spdclust.core.types import Brief, Float, Int, Labels


@dataclass(frozen=True, eq=False, repr=False)
class GroupMerge(Brief):
    """A grouping of components at one iteration.

    Example:
        >>> merge = GroupMerge(np.array([0, 1, 0]), ["m:0", "m:1", "m:2"])
        >>> merge.k_groups, merge.members(0), merge.sizes().tolist()
        (2, ['m:0', 'm:2'], [2, 1])

    Attributes:
        group_idxs: `(components,)` group of each component, numbered from 0.
        labels: names of the components.
    """

    group_idxs: Int[np.ndarray, " components"]
    labels: Labels

    def __post_init__(self) -> None:
        check_fields(
            self, group_idxs=dense_array(1, "iu", axes="(components,) of whole numbers"), labels=texts
        )
        if len(self.group_idxs) != len(self.labels):
            raise InputError(
                "one group per component is needed",
                field="group_idxs",
                found=f"{len(self.group_idxs)} groups for {len(self.labels)} labels",
                allowed=f"{len(self.labels)} groups",
            )
        if len(self.group_idxs) and self.group_idxs.min() < 0:
            raise InputError(
                "no such group", field="group_idxs", found=int(self.group_idxs.min()), allowed="0 or more"
            )

    def _facts(self) -> dict[str, object]:
        largest = int(self.sizes().max()) if len(self.group_idxs) else 0
        return {"groups": self.k_groups, "components": len(self.labels), "largest_group": largest}

    @property
    def k_groups(self) -> int:
        """Number of groups."""
        return int(self.group_idxs.max()) + 1 if len(self.group_idxs) else 0

    def sizes(self) -> Int[np.ndarray, " groups"]:
        """Return the number of components (rank) of every group."""
        return np.bincount(self.group_idxs, minlength=self.k_groups)

    @checked(group=whole())
    def members(self, group: int) -> Labels:
        """Return the labels of the components of one group.

        Raises:
            InputError: there is no such group.
        """
        if not 0 <= group < self.k_groups:
            raise InputError(
                "no such group",
                field="group",
                found=group,
                allowed=f"0 to {self.k_groups - 1}" if self.k_groups else "none, there are no components",
            )
        return [self.labels[component] for component in np.flatnonzero(self.group_idxs == group)]


NOT_STATED = "not_stated"
"""Entry of the provenance: settings that the source of an imported history does not state."""

GIVEN_ON_IMPORT = "given_on_import"
"""Entry of the provenance: settings that the source does not state and that were given on import."""


def not_stated(provenance: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the settings of a merge that the source of its history does not state.

    Example:
        >>> not_stated({"not_stated": ["activation_threshold"]}), not_stated({"seed": 0})
        (('activation_threshold',), ())
    """
    names = provenance.get(NOT_STATED)
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else ()


@dataclass(frozen=True, eq=False, repr=False)
class MergeHistory(Brief):
    """The complete record of one merge: the merged pairs and the values of each iteration.

    Row `t` of every array belongs to merge `t`; there are no rows for merges that did not happen.

    Example:
        >>> history = MergeHistory(
        ...     labels=["m:0", "m:1", "m:2", "m:3"],
        ...     selected_pairs=np.array([[1, 3], [0, 1]]),
        ...     mdl_loss=np.array([3.0, 2.0]),
        ...     merge_pair_cost=np.array([-1.5, -1.0]),
        ...     config=MergeConfig(min_groups=2),
        ... )
        >>> history.k_groups.tolist(), history.group_idxs(-1).tolist()
        ([3, 2], [0, 0, 1, 0])

    Attributes:
        labels: names of the components, in the order of `group_idxs`.
        selected_pairs: `(iterations, 2)` the merged groups in the numbering before the merge.
        mdl_loss: `(iterations,)` description length after each merge, bits per sample.
        merge_pair_cost: `(iterations,)` change of the description length by each merge, bits per sample.
        config: the settings of the merge; None for those in `not_stated`.
        records: further per-iteration values by name, each `(iterations,)`.
        provenance: origin of this history: seed, source of the activations and its digest, package version.
    """

    labels: Labels
    selected_pairs: Int[np.ndarray, "iterations 2"]
    mdl_loss: Float[np.ndarray, " iterations"]
    merge_pair_cost: Float[np.ndarray, " iterations"]
    config: MergeConfig
    records: dict[str, np.ndarray] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        figures = dense_array(1, axes="(iterations,)")
        check_fields(
            self,
            labels=texts,
            selected_pairs=dense_array(2, "iu", axes="(iterations, 2) of whole numbers"),
            mdl_loss=figures,
            merge_pair_cost=figures,
            config=instance(MergeConfig, allowed="a MergeConfig"),
            records=instance(dict, allowed="a dict of arrays"),
            provenance=instance(dict, allowed="a dict"),
        )
        if self.selected_pairs.shape[1] != 2:
            raise InputError(
                "a merge joins two groups",
                field="selected_pairs",
                found=self.selected_pairs.shape,
                allowed="(iterations, 2)",
            )
        # each merge leaves one group less, so all but one component can be merged away
        if self.n_iterations >= max(1, self.n_components):
            raise InputError(
                "more merges than components allow",
                field="selected_pairs",
                found=f"{self.n_iterations} merges of {self.n_components} components",
                allowed=f"at most {max(0, self.n_components - 1)} merges",
            )
        for name, record in self.records.items():
            figures(record, f"records.{name}")
        arrays = {"mdl_loss": self.mdl_loss, "merge_pair_cost": self.merge_pair_cost, **self.records}
        for name, array in arrays.items():
            if len(array) != self.n_iterations:
                raise InputError(
                    "history arrays differ in length",
                    field=name,
                    found=len(array),
                    allowed=f"{self.n_iterations} iterations, as in selected_pairs",
                )

    def _facts(self) -> dict[str, object]:
        facts: dict[str, object] = {
            "components": self.n_components,
            "merges": self.n_iterations,
            "groups_left": self.n_components - self.n_iterations,
        }
        if self.n_iterations and not np.isnan(self.mdl_loss).all():
            best = self.best_iteration()
            facts["groups_at_least_mdl"] = int(self.k_groups[best])
            facts["least_mdl"] = round(float(self.mdl_loss[best]), 3)
        return facts | {"seed": self.provenance.get("seed")}

    @property
    def n_iterations(self) -> int:
        """Number of merges."""
        return len(self.selected_pairs)

    @property
    def n_components(self) -> int:
        """Number of components."""
        return len(self.labels)

    @property
    def k_groups(self) -> Int[np.ndarray, " iterations"]:
        """Number of groups after each merge."""
        return self.n_components - 1 - np.arange(self.n_iterations)

    @cached_property
    def group_names(self) -> Int[np.ndarray, "iterations 2"]:
        """Smallest components of the two groups of each merge, see `merge_tree`; read-only, computed once.

        Raises:
            InputError: a pair names a group that does not exist at that point, or the same group twice.
        """
        _, names = merge_tree(self.selected_pairs, self.n_components)
        names.flags.writeable = False
        return names

    @checked(iteration=whole())
    def group_idxs(self, iteration: int) -> Int[np.ndarray, " components"]:
        """Return the group of every component after merge `iteration`; negative counts from the end.

        Raises:
            InputError: there is no such iteration.
        """
        return _group_idxs_at(self.selected_pairs, self.n_components, iteration)

    @checked(iteration=whole())
    def at(self, iteration: int) -> GroupMerge:
        """Return the grouping after merge `iteration`.

        Raises:
            InputError: there is no such iteration.
        """
        return GroupMerge(self.group_idxs(iteration), self.labels)

    @property
    def not_stated(self) -> tuple[str, ...]:
        """Settings that are unknown, because the source of an imported history does not state them."""
        return not_stated(self.provenance)

    def settings(self) -> dict[str, Any]:
        """Return every setting of the merge with its value, as plain JSON types; None for unknown ones."""
        return self.config.resolved() | dict.fromkeys(self.not_stated)

    @property
    def is_scalar(self) -> bool:
        """Whether scalar activations were merged; False if that is unknown."""
        return self.config.activation_threshold is None and "activation_threshold" not in self.not_stated

    @property
    def has_description_length(self) -> bool:
        """Whether there is a meaningful description length; scalar activations have none."""
        return not self.is_scalar and bool(np.isfinite(self.mdl_loss).any())

    def best_iteration(self) -> int:
        """Return the iteration with the least description length; the first one if tied.

        This is only a cut through one run: use `find_groups` to find the groups that are stable over runs.

        Raises:
            InputError: the history has no merges, or no description lengths (histories of the reference
                implementation have none, and those of scalar activations are meaningless).
        """
        if self.n_iterations == 0:
            raise InputError(
                "the history has no merges", field="selected_pairs", allowed="at least one merge"
            )
        if self.is_scalar:
            raise InputError(
                "description lengths of scalar activations are not meaningful",
                field="activation_threshold",
                found="null",
                allowed="an iteration or a number of groups, or the groups of find_groups",
            )
        if np.isnan(self.mdl_loss).all():
            raise InputError(
                "the history holds no description length",
                field="mdl_loss",
                allowed="an iteration or a number of groups instead",
            )
        return int(np.nanargmin(self.mdl_loss))

    def to_linkage(self) -> Float[np.ndarray, "iterations 4"]:
        """Return the scipy linkage matrix of the merges, for `scipy.cluster.hierarchy`.

        The height of a merge is its number (1 for the first), because costs need not increase along a
        trajectory. The matrix is a full tree only if the merge ended with a single group.

        Example:
            >>> history = MergeHistory(
            ...     ["a:0", "a:1", "a:2"], np.array([[0, 2], [0, 1]]), np.zeros(2), np.zeros(2),
            ...     MergeConfig(min_groups=1),
            ... )
            >>> history.to_linkage().tolist()
            [[0.0, 2.0, 1.0, 2.0], [1.0, 3.0, 2.0, 3.0]]
        """
        node = np.arange(self.n_components)
        size = np.ones(self.n_components, dtype=np.int64)
        linkage = np.empty((self.n_iterations, 4))
        for t, (first, second) in enumerate(self.group_names):
            low, high = sorted((int(node[first]), int(node[second])))
            size[first] += size[second]
            linkage[t] = low, high, t + 1, size[first]
            node[first] = self.n_components + t
        return linkage


def _group_idxs_at(
    selected_pairs: Int[np.ndarray, "iterations 2"], n_components: int, iteration: int
) -> Int[np.ndarray, " components"]:
    """Return the group of every component after merge `iteration` (0 is the first merge).

    A merge of groups `i < j` keeps `i` for the union, and every index above `j` decreases by one. Groups are
    therefore numbered in the order of their smallest component.
    """
    last = check_iteration(iteration, len(selected_pairs))
    parents, _ = merge_tree(selected_pairs[: last + 1], n_components)
    roots = np.arange(n_components)
    # parents only point to smaller components, so one pass in order resolves every chain
    for component in np.flatnonzero(parents != roots):
        roots[component] = roots[parents[component]]
    return np.unique(roots, return_inverse=True)[1].astype(np.int64)


def iterate_group_idxs(
    selected_pairs: Int[np.ndarray, "iterations 2"], group_idxs: Int[np.ndarray, " components"]
) -> Iterator[Int[np.ndarray, " components"]]:
    """Yield the group of every component after each merge; always the same array, updated in place.

    Example:
        >>> rows = iterate_group_idxs(np.array([[0, 2], [1, 0]]), np.arange(4))
        >>> [row.tolist() for row in rows]
        [[0, 1, 0, 2], [0, 0, 0, 1]]
    """
    for first, second in selected_pairs.tolist():
        low, high = min(first, second), max(first, second)
        group_idxs[group_idxs == high] = low
        group_idxs[group_idxs > high] -= 1
        yield group_idxs


def merge_tree(
    selected_pairs: Int[np.ndarray, "iterations 2"], n_components: int
) -> tuple[Int[np.ndarray, " components"], Int[np.ndarray, "iterations 2"]]:
    """Return which component each one was merged into, and the merged groups' smallest components.

    Every group is named by its smallest component, a name that never changes while the group lives.

    Example:
        >>> parents, names = merge_tree(np.array([[0, 2], [0, 1]]), 3)
        >>> parents.tolist(), names.tolist()
        ([0, 0, 0], [[0, 2], [0, 1]])

    Returns:
        parents: for each component its own number, or the smaller one that its group was merged into.
        names: for each merge, the smallest components of the two groups, `names[t, 0] < names[t, 1]`.

    Raises:
        InputError: a pair names a group that does not exist at that point, or the same group twice.
    """
    pairs = np.sort(np.asarray(selected_pairs, dtype=np.int64), axis=1)
    n_groups = n_components - np.arange(len(pairs))
    wrong = (pairs[:, 0] < 0) | (pairs[:, 1] >= n_groups) | (pairs[:, 0] == pairs[:, 1])
    if wrong.any():
        t = int(np.argmax(wrong))
        raise InputError(
            "pair names a group that does not exist",
            field=f"selected_pairs[{t}]",
            found=np.asarray(selected_pairs[t]).tolist(),
            allowed=f"two different groups of 0 to {n_components - t - 1}",
        )
    alive = list(range(n_components))
    merged = [(alive[i], alive.pop(j)) for i, j in pairs.tolist()]
    names = np.array(merged, dtype=np.int64).reshape(-1, 2)
    parents = np.arange(n_components)
    parents[names[:, 1]] = names[:, 0]
    return parents, names


def pairs_from_names(
    names: Int[np.ndarray, "iterations 2"], n_components: int
) -> Int[np.ndarray, "iterations 2"]:
    """Return the merged groups in the numbering before each merge, from their smallest components.

    The inverse of the second result of `merge_tree`; the engine tracks names, files hold numbers.

    Example:
        >>> pairs_from_names(np.array([[1, 2], [0, 3]]), 4).tolist()
        [[1, 2], [0, 2]]
    """
    removed = [0] * (n_components + 1)  # a Fenwick tree of the removed names
    pairs = np.empty_like(names)
    for t, (first, second) in enumerate(names.tolist()):
        for column, name in ((0, first), (1, second)):
            gone, position = 0, name
            while position:
                gone += removed[position]
                position -= position & -position
            pairs[t, column] = name - gone
        position = second + 1
        while position <= n_components:
            removed[position] += 1
            position += position & -position
    return pairs
