"""Trees of groups: members of nodes, nodes shared by two trees, and how well a group matches a tree."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from spdclust.core.types import Float, Int
from spdclust.merge.history import merge_tree

_KEY_SEED = 0x5BDC1057


@dataclass(frozen=True, eq=False)
class Tree:
    """A binary forest over components: leaves first, then nodes, children before parents.

    Example:
        >>> tree = Tree(3, np.array([[0, 2], [3, 1]]), np.array([0.2, 0.7]))
        >>> [tree.members(node).tolist() for node in (3, 4)], tree.sizes.tolist()
        ([[0, 2], [0, 2, 1]], [1, 1, 1, 2, 3])

    Attributes:
        n_leaves: number of components.
        children: `(nodes, 2)` the two parts of node `n_leaves + t`.
        height: `(nodes,)` mean distance between the two parts.
    """

    n_leaves: int
    children: Int[np.ndarray, "nodes 2"]
    height: Float[np.ndarray, " nodes"]

    @cached_property
    def sizes(self) -> Int[np.ndarray, " leaves_and_nodes"]:
        """Number of components below every leaf and node."""
        sizes = np.ones(self.n_leaves + len(self.children), dtype=np.int64)
        for t, (a, b) in enumerate(self.children):
            sizes[self.n_leaves + t] = sizes[a] + sizes[b]
        return sizes

    @cached_property
    def parents(self) -> Int[np.ndarray, " leaves_and_nodes"]:
        """Parent of every leaf and node; -1 if there is none."""
        parents = np.full(self.n_leaves + len(self.children), -1, dtype=np.int64)
        parents[self.children.ravel()] = np.repeat(self.n_leaves + np.arange(len(self.children)), 2)
        return parents

    @cached_property
    def first(self) -> Int[np.ndarray, " leaves_and_nodes"]:
        """Start of the components below every leaf and node in `order`."""
        first = np.zeros(self.n_leaves + len(self.children), dtype=np.int64)
        roots = np.flatnonzero(self.parents < 0)
        first[roots] = np.cumsum(self.sizes[roots]) - self.sizes[roots]
        for t in range(len(self.children) - 1, -1, -1):
            a, b = self.children[t]
            first[a] = first[self.n_leaves + t]
            first[b] = first[a] + self.sizes[a]
        return first

    @cached_property
    def order(self) -> Int[np.ndarray, " leaves"]:
        """The components, ordered so that those of every node are consecutive."""
        order = np.empty(self.n_leaves, dtype=np.int64)
        order[self.first[: self.n_leaves]] = np.arange(self.n_leaves)
        return order

    def members(self, node: int) -> Int[np.ndarray, " members"]:
        """Return the components below a leaf or node."""
        return self.order[self.first[node] : self.first[node] + self.sizes[node]]

    @cached_property
    def keys(self) -> list[tuple[int, int]]:
        """Keys of all leaves and nodes: equal keys mean equal sets of components, in any tree over them.

        A key is the sum of 128 random bits per component, as used in phylogenetics to compare bipartitions of
        trees.
        """
        # a fixed seed: keys of trees from different runs are compared
        rng = np.random.default_rng(_KEY_SEED)
        keys = [*map(tuple, rng.integers(0, 2**64, (self.n_leaves, 2), dtype=np.uint64).tolist())]
        for a, b in self.children.tolist():  # Python's numbers: adding two of NumPy's takes 10 times as long
            (high, low), (other_high, other_low) = keys[a], keys[b]
            keys.append(((high + other_high) % 2**64, (low + other_low) % 2**64))
        return keys

    @cached_property
    def node_keys(self) -> set[tuple[int, int]]:
        """The keys of the nodes of two or more components."""
        return set(self.keys[self.n_leaves :])

    def best_overlaps(self, groups: list[Int[np.ndarray, "_"]]) -> Float[np.ndarray, " groups"]:
        """Return, for each group, the best Jaccard similarity with a node or leaf of the tree.

        Example:
            >>> tree = Tree(3, np.array([[0, 2], [3, 1]]), np.zeros(2))
            >>> tree.best_overlaps([np.array([0, 2]), np.array([0, 1])]).tolist()
            [1.0, 0.6666666666666666]
        """
        from spdclust.groups.kernels import nodes as kernels  # slow, and figures need trees without it

        best = np.array([len(group) for group in groups], dtype=np.float64)
        starts = np.cumsum([0, *(len(group) for group in groups)])
        leaves = np.concatenate(groups) if groups else np.empty(0, dtype=np.int64)
        n_nodes = len(self.sizes)
        room = np.zeros(n_nodes, dtype=np.int64)
        kernels.best_overlaps(
            starts, leaves, self.parents, self.sizes, room, np.empty(n_nodes, np.int64), best
        )
        return best


def merge_history_tree(
    selected_pairs: Int[np.ndarray, "merges 2"], own: Int[np.ndarray, " own"], n_components: int
) -> Tree:
    """Return the merge tree of one run over the components of all runs; components not in the run stay alone.

    Example:
        >>> tree = merge_history_tree(np.array([[0, 1], [0, 1]]), np.array([1, 3, 4]), 5)
        >>> [sorted(tree.members(node).tolist()) for node in (5, 6)]
        [[1, 3], [1, 3, 4]]
    """
    _, names = merge_tree(selected_pairs, len(own))
    node_of = own.astype(np.int64).copy()
    children = np.empty((len(names), 2), dtype=np.int64)
    for t, (first, second) in enumerate(names):
        children[t] = node_of[first], node_of[second]
        node_of[first] = n_components + t
    return Tree(n_components, children, np.arange(1.0, len(children) + 1))
