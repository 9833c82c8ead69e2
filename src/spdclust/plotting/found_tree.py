"""Figure: the tree that the groups were chosen from, the evidence at its nodes, and who acts with whom."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from spdclust.core.types import Float, Int
from spdclust.files.batches import ActivationBatch
from spdclust.groups.found import EvidenceTree, FoundGroups
from spdclust.groups.trees import Tree
from spdclust.merge.activations import ProcessedActivations
from spdclust.plotting import coactivation
from spdclust.plotting.matrices import block_note, draw_matrix
from spdclust.plotting.style import AMOUNT, BLUE, GREY, new_figure, styled

MOST_NODES = 800
"""Nodes of the tree that are drawn: half of them chosen ones, if there are as many, then the largest."""

MOST_NAMED = 40
"""Groups whose numbers are written, those with the strongest evidence."""

_LEAST_GAP = 1 / 45


@dataclass(frozen=True)
class FoundTreeLayout:
    """Where the tree is drawn: components from top to bottom, the distance of the parts from left to right.

    Attributes:
        order: the components that are below a node, in the order that they are drawn in.
        nodes: `(drawn,)` the nodes drawn, rows of the tree.
        middle: `(nodes,)` the middle of every node of the tree.
        corners: `(drawn, 4, 2)` the bracket of each drawn node, as (height, place).
        inside: `(drawn,)` whether a node is chosen, or below a chosen one.
    """

    order: Int[np.ndarray, " leaves"]
    nodes: Int[np.ndarray, " drawn"]
    middle: Float[np.ndarray, " nodes"]
    corners: Float[np.ndarray, "drawn 4 2"]
    inside: np.ndarray


def lay_out_found_tree(
    tree: EvidenceTree, n_components: int, *, most_nodes: int = MOST_NODES
) -> FoundTreeLayout:
    """Place the components so that those below a node are consecutive, the largest trees first.

    Example:
        >>> from spdclust.example_ensemble import example_found
        >>> found = example_found()
        >>> layout = lay_out_found_tree(found.tree, 12)
        >>> [found.labels[component] for component in layout.order[:3]], layout.corners[0].round(2).tolist()
        (['attn:0', 'attn:1', 'mlp:0'], [[0.0, 0.5], [0.1, 0.5], [0.1, 1.5], [0.0, 1.5]])
    """
    shape = Tree(n_components, tree.children, tree.height)
    n_nodes = len(tree.children)
    roots = np.flatnonzero((shape.parents < 0) & (shape.sizes > 1))
    roots = roots[np.argsort(-shape.sizes[roots], kind="stable")]
    order = np.concatenate([np.empty(0, dtype=np.int64), *(shape.members(root) for root in roots.tolist())])
    middle = np.zeros(n_components + n_nodes)
    middle[order] = np.arange(len(order)) + 0.5
    height = np.concatenate([np.zeros(n_components), tree.height])
    inside = np.zeros(n_components + n_nodes, dtype=bool)
    for row, (first, second) in enumerate(tree.children.tolist()):
        middle[n_components + row] = (middle[first] + middle[second]) / 2
    for row in range(n_nodes - 1, -1, -1):
        inside[n_components + row] |= tree.chosen[row]
        inside[tree.children[row]] = inside[n_components + row]
    sizes = shape.sizes[n_components:]
    best = np.argsort(-np.where(tree.chosen, np.nan_to_num(tree.bits), -np.inf), kind="stable")
    drawn = set(best[: min(int(tree.chosen.sum()), most_nodes // 2)].tolist())
    for row in np.argsort(-sizes, kind="stable").tolist():
        if len(drawn) >= most_nodes:
            break
        drawn.add(row)
    nodes = np.array(sorted(drawn), dtype=np.int64)
    first, second = tree.children[nodes].reshape(-1, 2).T
    swapped = middle[first] > middle[second]
    first, second = np.where(swapped, second, first), np.where(swapped, first, second)
    top = tree.height[nodes]
    corners = np.stack(
        [
            np.stack([height[first], middle[first]], axis=1),
            np.stack([top, middle[first]], axis=1),
            np.stack([top, middle[second]], axis=1),
            np.stack([height[second], middle[second]], axis=1),
        ],
        axis=1,
    )
    return FoundTreeLayout(order, nodes, middle[n_components:], corners, inside[n_components + nodes])


@styled
def plot_found_tree(
    found: FoundGroups, activations: ProcessedActivations | ActivationBatch | None = None
) -> Figure:
    """Draw the tree of the groups, and next to it which components are active together, in the same order.

    Example:
        >>> from spdclust.example_ensemble import example_activations, example_found
        >>> figure = plot_found_tree(example_found(), example_activations())
        >>> [axes.get_title(loc="left").splitlines()[0] for axes in figure.axes[:2]]
        ['Tree of 12 components: 3 nodes chosen', 'Active together']
    """
    tree = found.tree
    if tree is None or len(tree.children) == 0:
        figure, (axes,) = new_figure(size=(6.4, 1.6))
        axes.set_axis_off()
        axes.set_title("No tree: no batches" if tree is None else "No tree: no two components act together")
        return figure
    if isinstance(activations, ActivationBatch):
        activations = activations.activations
    layout = lay_out_found_tree(tree, len(found.labels))
    figure = Figure(figsize=(12.4 if activations is not None else 6.6, 6.4), layout="constrained")
    panels = figure.subplots(1, 1 if activations is None else 2, squeeze=False, sharey=True)[0]
    _draw_tree(panels[0], found, tree, layout)
    if activations is not None:
        _draw_together(panels[1], found, layout, activations)
    # after the picture, which sets its own limits
    panels[0].set_ylim(len(layout.order), 0)
    return figure


def _draw_tree(axes: Axes, found: FoundGroups, tree: EvidenceTree, layout: FoundTreeLayout) -> None:
    chosen = int(tree.chosen.sum())
    said = f"Tree of {len(layout.order)} components: {chosen} node{'s' if chosen != 1 else ''} chosen"
    n_alone = len(found.labels) - len(layout.order)
    notes = [f"{n_alone} components are in no node"] if n_alone else []
    if len(layout.nodes) < len(tree.children):
        notes.append(f"{len(layout.nodes)} of {len(tree.children)} nodes drawn")
    axes.set_title("\n".join([said, *(["; ".join(notes)] if notes else [])]))
    colors = [BLUE if inside else GREY for inside in layout.inside]
    axes.add_collection(LineCollection(list(layout.corners), colors=colors, linewidths=0.8))
    top = float(tree.height.max()) or 1.0
    axes.set(xlabel="1 − mean similarity of the two parts", ylabel="component, in the order of the tree")
    axes.set_xlim(-0.12 * top, 1.03 * top)
    axes.set_yticks([])
    axes.grid(axis="y", visible=False)
    bits = tree.bits[layout.nodes]
    x, y = tree.height[layout.nodes], layout.middle[layout.nodes]
    nothing = bits <= 0
    axes.scatter(x[nothing], y[nothing], s=9, facecolor="white", edgecolor=GREY, lw=0.7, zorder=3)
    some = bits > 0
    if some.any():
        norm = LogNorm(max(bits[some].min(), bits[some].max() / 1e4), bits[some].max() * (1 + 1e-9))
        marks = axes.scatter(
            x[some], y[some], s=np.where(tree.chosen[layout.nodes][some], 26, 9), c=bits[some], cmap=AMOUNT,
            norm=norm, edgecolor=np.where(tree.chosen[layout.nodes][some], BLUE, "none"), lw=1.0, zorder=4,
        )  # fmt: skip
        assert axes.figure is not None
        axes.figure.colorbar(
            marks,
            ax=axes,
            label="bits saved [per sample, held out]",
            location="bottom",
            aspect=40,
            shrink=0.8,
        )
    _name_groups(axes, found, tree, layout, top)


def _name_groups(
    axes: Axes, found: FoundGroups, tree: EvidenceTree, layout: FoundTreeLayout, top: float
) -> None:
    """Write the number of a group left of its components, where there is room, strong evidence first."""
    place = np.full(len(found.labels), -1.0)
    place[layout.order] = np.arange(len(layout.order)) + 0.5
    leftmost = {}
    shape = Tree(len(found.labels), tree.children, tree.height)
    for row in np.flatnonzero(tree.chosen).tolist():
        member = int(shape.members(shape.n_leaves + row)[0])
        leftmost[int(found.group_idxs[member])] = float(layout.middle[row])
    written: list[float] = []
    for group in sorted(leftmost):
        y = leftmost[group]
        if len(written) < MOST_NAMED and all(
            abs(y - other) >= _LEAST_GAP * len(layout.order) for other in written
        ):
            axes.text(-0.02 * top, y, str(group), ha="right", va="center", fontsize=7, color=BLUE)
            written.append(y)


def _draw_together(
    axes: Axes, found: FoundGroups, layout: FoundTreeLayout, activations: ProcessedActivations
) -> None:
    number = {label: column for column, label in enumerate(activations.labels)}
    columns = np.array([number.get(found.labels[component], -1) for component in layout.order])
    threshold = float(found.settings.get("activation_threshold") or 0.0)
    matrix = activations.matrix
    if (columns < 0).any():  # dead in this batch, and so left out of it
        matrix = matrix.copy()
        matrix.resize(matrix.shape[0], matrix.shape[1] + 1)
        columns = np.where(columns < 0, matrix.shape[1] - 1, columns)
    cells = coactivation.mean_coactivation(matrix, columns, threshold, relative=True)
    n = len(columns)
    draw_matrix(axes, cells, (n, n), "both active, relative to the mean of how often each is", "linear")
    axes.set_title("\n".join(["Active together", *filter(None, [block_note(n, "components", "mean")])]))
    axes.set(xlabel="component, in the order of the tree")
    axes.set_xticks([])
