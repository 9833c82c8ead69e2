"""Where the parts of a merge tree are drawn: leaves side by side, merges at the height of their number."""

from dataclasses import dataclass

import numpy as np

from spdclust.core.types import Float, Int
from spdclust.merge.history import MergeHistory

WHOLE_UP_TO = 300
"""Components up to which the whole tree is drawn."""

MOST_LEAVES = 80
"""Groups that the last merges of a larger tree begin with."""


@dataclass(frozen=True)
class TreeLayout:
    """A merge tree, or its last merges, laid out from left to right.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> layout = lay_out_tree(example_history())
        >>> layout.first, layout.n_leaves, layout.corners.shape
        (0, 12, (11, 4, 2))

    Attributes:
        first: the first merge that is drawn; each leaf is a group before it.
        leaf_of_component: `(components,)` the leaf that each component is in, numbered from left to right.
        corners: `(merges, 4, 2)` the bracket of each merge: left foot, left top, right top, right foot.
        first_leaf: `(merges,)` leftmost leaf below each merge.
        last_leaf: `(merges,)` rightmost leaf below it.
    """

    first: int
    leaf_of_component: Int[np.ndarray, " components"]
    corners: Float[np.ndarray, "merges 4 2"]
    first_leaf: Int[np.ndarray, " merges"]
    last_leaf: Int[np.ndarray, " merges"]

    @property
    def n_leaves(self) -> int:
        """Number of leaves."""
        return int(self.leaf_of_component.max()) + 1 if len(self.leaf_of_component) else 0


def lay_out_tree(
    history: MergeHistory, *, whole_up_to: int = WHOLE_UP_TO, most_leaves: int = MOST_LEAVES
) -> TreeLayout:
    """Place the leaves of a merge tree so that no two brackets cross, larger groups to the left.

    A tree of more than `whole_up_to` components begins where `most_leaves` groups are left.

    Example:
        >>> from spdclust.config.merge import MergeConfig
        >>> pairs = np.array([[0, 2], [0, 1]])
        >>> history = MergeHistory(["a:0", "a:1", "a:2"], pairs, np.zeros(2), np.zeros(2), MergeConfig())
        >>> layout = lay_out_tree(history)
        >>> layout.leaf_of_component.tolist(), layout.corners[0].tolist()
        ([0, 2, 1], [[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])

    Args:
        history: the merge; it may end with several groups.
        whole_up_to: components up to which every merge is drawn.
        most_leaves: leaves of a larger tree.
    """
    linkage = history.to_linkage()
    n, n_merges = history.n_components, history.n_iterations
    first = 0 if n <= whole_up_to else min(n_merges, max(0, n - most_leaves))
    node_size = np.concatenate([np.ones(n), linkage[:, 3]]).astype(np.int64)
    children = linkage[:, :2].astype(np.int64)
    roots = np.setdiff1d(np.arange(n + n_merges), children)
    order: list[int] = []
    waiting = sorted(roots.tolist(), key=lambda node: (node_size[node], -node))
    while waiting:  # the last one is drawn first
        node = waiting.pop()
        if node < n + first:
            order.append(node)
        else:
            low, high = children[node - n].tolist()
            waiting += [high, low] if node_size[low] >= node_size[high] else [low, high]
    leaf_of_node = np.full(n + n_merges, -1, dtype=np.int64)
    leaf_of_node[order] = np.arange(len(order))
    for node in range(n + first - 1, n - 1, -1):  # what lies below a leaf belongs to it
        leaf_of_node[children[node - n]] = leaf_of_node[node]
    place, height = leaf_of_node.astype(np.float64), np.full(n + n_merges, float(first))
    spans = np.stack([leaf_of_node, leaf_of_node], axis=1)
    corners = np.empty((n_merges - first, 4, 2))
    for merge in range(first, n_merges):
        node, (low, high) = n + merge, children[merge].tolist()
        left, right = (low, high) if place[low] < place[high] else (high, low)
        height[node] = linkage[merge, 2]
        place[node] = (place[low] + place[high]) / 2
        spans[node] = spans[left, 0], spans[right, 1]
        corners[merge - first, :, 0] = place[left], place[left], place[right], place[right]
        corners[merge - first, :, 1] = height[left], height[node], height[node], height[right]
    shown = spans[n + first :]
    return TreeLayout(first, leaf_of_node[:n], corners, shown[:, 0], shown[:, 1])
