"""Figures: what happens over the iterations of a merge, all runs in one picture; the merges as a tree."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from spdclust.core.types import Float, Int, evenly_spaced
from spdclust.merge.history import MergeHistory
from spdclust.merge.inspection import size_curves
from spdclust.partitions.ensemble import MergeHistoryEnsemble
from spdclust.plotting.matrices import module_colors, module_handles, number_modules
from spdclust.plotting.style import BLUE, GREEN, GREY, ORANGE, groups_span, new_figure, plain_text, styled

WHOLE_UP_TO = 300  # components up to which the whole tree is drawn
MOST_LEAVES = 80  # groups that the last merges of a larger tree begin with
MIXED = "#3C3C3C"  # a merge across modules
_AFTER = "after how many merges"
_RANKS = ("largest", "second", "third")
_MOST_ITERATIONS, _MOST_NAMED = 2_000, 100
_STRIP_ROWS = 24


@styled
def plot_mdl(histories: MergeHistoryEnsemble | Sequence[MergeHistory]) -> Figure:
    """Draw the description length over iterations, the least one of each run marked.

    Without merges, or without description lengths in the histories, a title explains the empty figure.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> plot_mdl([example_history()]).axes[0].get_ylabel()
        'description length [bits per sample]'
    """
    figure, (axes,) = new_figure()
    axes.set(xlabel="after how many merges", ylabel="description length [bits per sample]")
    axes.margins(x=0.01)
    known = [history for history in histories if history.has_description_length]
    if not known:
        reason = "no merges" if not any(history.n_iterations for history in histories) else "not recorded"
        if any(history.is_scalar for history in histories):
            reason = "means nothing for scalar activations"
        axes.set_title(f"Description length: {reason}")
        return figure
    for number, history in enumerate(known):
        best, drawn = history.best_iteration(), evenly_spaced(history.n_iterations, _MOST_ITERATIONS)
        label = "each run" if number == 0 else None
        axes.plot(drawn + 1, history.mdl_loss[drawn], color=BLUE, alpha=0.6, lw=1, label=label)
        label = "its shortest description" if number == 0 else None
        axes.plot(best + 1, history.mdl_loss[best], "o", color=ORANGE, ms=5, zorder=3, label=label)
    best_groups = [int(history.k_groups[history.best_iteration()]) for history in known]
    axes.set_title(f"Description length, shortest at {groups_span(best_groups)}")
    axes.legend()
    return figure


@styled
def plot_cluster_sizes(histories: MergeHistoryEnsemble | Sequence[MergeHistory]) -> Figure:
    """Draw the numbers of groups and the sizes of the largest ones over iterations.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> [axes.get_ylabel() for axes in plot_cluster_sizes([example_history()]).axes]
        ['groups [count]', 'size [components]']
    """
    figure, (counts, sizes) = new_figure(2, size=(6.4, 5.4))
    for number, history in enumerate(histories):
        largest, singletons = size_curves(history)
        first, drawn = number == 0, evenly_spaced(history.n_iterations, _MOST_ITERATIONS)
        several = history.k_groups - singletons
        for curve, color, name in (
            (history.k_groups, GREY, "all"),
            (singletons, BLUE, "of one component"),
            (several, ORANGE, "of several"),
        ):
            counts.plot(drawn + 1, curve[drawn], color=color, lw=1, alpha=0.6, label=name if first else None)
        for rank, (color, name) in enumerate(zip((ORANGE, GREEN, BLUE), _RANKS, strict=True)):
            curve = largest[drawn, rank].astype(float)
            curve[curve == 0] = np.nan  # there is no such group
            sizes.plot(drawn + 1, curve, color=color, lw=1, alpha=0.6, label=name if first else None)
    merged = any(history.n_iterations for history in histories)
    counts.set(ylabel="groups [count]")
    counts.set_title("Number of groups, one line a run" if merged else "Number of groups: no merges")
    counts.legend()
    sizes.set(
        xlabel="after how many merges", ylabel="size [components]", yscale="log" if merged else "linear"
    )
    sizes.set_title("Sizes of the three largest groups")
    sizes.margins(x=0.01)
    sizes.legend()
    return figure


@dataclass(frozen=True)
class TreeLayout:
    """A merge tree, or its last merges, laid out from left to right.

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


def _lay_out_tree(
    history: MergeHistory, *, whole_up_to: int = WHOLE_UP_TO, most_leaves: int = MOST_LEAVES
) -> TreeLayout:
    """Place the leaves of a merge tree so that no two brackets cross, larger groups to the left.

    A tree of more than `whole_up_to` components begins where `most_leaves` groups are left.
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
    x, height = leaf_of_node.astype(np.float64), np.full(n + n_merges, float(first))
    spans = np.stack([leaf_of_node, leaf_of_node], axis=1)
    corners = np.empty((n_merges - first, 4, 2))
    for merge in range(first, n_merges):
        node, (low, high) = n + merge, children[merge].tolist()
        left, right = (low, high) if x[low] < x[high] else (high, low)
        height[node] = linkage[merge, 2]
        x[node] = (x[low] + x[high]) / 2
        spans[node] = spans[left, 0], spans[right, 1]
        corners[merge - first, :, 0] = x[left], x[left], x[right], x[right]
        corners[merge - first, :, 1] = height[left], height[node], height[node], height[right]
    visible = spans[n + first :]
    return TreeLayout(first, leaf_of_node[:n], corners, visible[:, 0], visible[:, 1])


@styled
def plot_merge_tree(history: MergeHistory, *, title: str = "Merge tree") -> Figure:
    """Draw the merge tree of one run, and above it once more the last merges of a large one.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> plot_merge_tree(example_history()).axes[0].get_title(loc="left")
        'Merge tree: 12 components, 11 merges, 1 group at the end'
    """
    names, module = number_modules(history.labels)
    layout = _lay_out_tree(history)
    counts = np.zeros((layout.n_leaves, len(names)), dtype=np.int64)
    np.add.at(counts, (layout.leaf_of_component, module), 1)
    colors = module_colors(names, counts.sum(axis=0).tolist())
    width = min(14.0, 6.0 + 0.09 * layout.n_leaves)
    merges = "1 merge" if history.n_iterations == 1 else f"{history.n_iterations} merges"
    n_left = history.n_components - history.n_iterations
    groups = "1 group" if n_left == 1 else f"{n_left} groups"
    heading = plain_text(title) + f": {history.n_components} components, {merges}, {groups} at the end"
    if layout.first == 0:
        figure = Figure(figsize=(width, 5.6), layout="constrained")
        tree, strip = figure.subplots(2, 1, sharex=True, height_ratios=(12, 1))
        tree.set_title(heading)
    else:
        figure = Figure(figsize=(width, 10.6), layout="constrained")
        tree, strip, all_merges, below = figure.subplots(4, 1, height_ratios=(12, 1, 12, 1))
        strip.sharex(tree)
        below.sharex(all_merges)
        tree.set_title(f"The last {len(layout.corners)} merges")
        all_merges.set_title("All merges")
        figure.suptitle(heading, x=0.01, ha="left")
        _draw_whole(all_merges, below, history, module, [colors[name] for name in names])
    _draw_brackets(tree, history, layout, counts, [colors[name] for name in names])
    tree.yaxis.set_major_locator(MaxNLocator(integer=True))
    if history.n_iterations == 0:
        tree.text(0.5, 0.5, "no merges: every component alone", ha="center", transform=tree.transAxes)
    handles = module_handles(colors)
    if len(names) > 1:
        handles.append(Patch(color=MIXED, label="several modules"))
    handles += tree.get_legend_handles_labels()[0]
    tree.legend(handles=handles, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _draw_strip(strip, history, layout, counts, [colors[name] for name in names])
    return figure


def _draw_whole(
    axes: Axes, strip: Axes, history: MergeHistory, module: np.ndarray, colors: list[str]
) -> None:
    """Draw all merges of a large tree as a picture, whose size does not grow with the number of merges."""
    layout = _lay_out_tree(history, whole_up_to=history.n_components)
    counts = np.zeros((layout.n_leaves, len(colors)), dtype=np.int64)
    counts[layout.leaf_of_component, module] = 1
    _draw_brackets(axes, history, layout, counts, colors, rasterized=True)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _draw_strip(strip, history, layout, counts, colors)


def _draw_brackets(
    axes: Axes,
    history: MergeHistory,
    layout: TreeLayout,
    counts: np.ndarray,
    colors: list[str],
    *,
    rasterized: bool = False,
) -> None:
    """Draw every merge, in a module's colour where all below is of it, and the shortest description."""
    total = np.concatenate([np.zeros((1, counts.shape[1]), dtype=np.int64), np.cumsum(counts, axis=0)])
    below = total[layout.last_leaf + 1] - total[layout.first_leaf]
    pure = (below > 0).sum(axis=1) == 1
    chosen = [colors[n] if one else MIXED for n, one in zip(below.argmax(axis=1), pure, strict=True)]
    axes.add_collection(
        LineCollection(list(layout.corners), colors=chosen or None, linewidths=0.9, rasterized=rasterized)
    )
    axes.set(ylabel=_AFTER, xlim=(-0.6, max(1, layout.n_leaves) - 0.4))
    axes.set_ylim(layout.first, max(history.n_iterations, layout.first + 1) * 1.02)
    axes.grid(axis="x", visible=False)
    axes.tick_params(axis="x", bottom=False, labelbottom=False)
    best = history.best_iteration() + 1 if history.has_description_length else 0
    if best > layout.first:
        groups = f"shortest description: {history.n_components - best} groups"
        axes.axhline(best, color=BLUE, ls="--", lw=1.2, label=groups)


def _draw_strip(
    axes: Axes, history: MergeHistory, layout: TreeLayout, counts: np.ndarray, colors: list[str]
) -> None:
    """Draw below each leaf the modules of its components, as shares of its height, and name it."""
    axes.grid(visible=False)
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    sizes = counts.sum(axis=1)
    if len(sizes):
        shares = np.cumsum(counts, axis=1) / sizes[:, None]
        levels = (np.arange(_STRIP_ROWS) + 0.5) / _STRIP_ROWS
        module = (levels[:, None, None] > shares[None]).sum(axis=2)
        palette = np.array([to_rgb(color) for color in colors])
        extent = (-0.5, len(sizes) - 0.5, 0, 1)
        axes.imshow(palette[module], extent=extent, aspect="auto", interpolation="nearest", origin="lower")
    if len(sizes) > _MOST_NAMED:
        axes.tick_params(axis="x", bottom=False, labelbottom=False)
        axes.set_xlabel(f"{len(sizes)} components, one a column: its module")
        return
    first = {
        leaf: component for component, leaf in reversed(list(enumerate(layout.leaf_of_component.tolist())))
    }
    texts = [
        plain_text(history.labels[first[leaf]], 26) if size == 1 else f"{size} components"
        for leaf, size in enumerate(sizes.tolist())
    ]
    axes.set_xticks(np.arange(len(sizes)), texts, rotation=90, fontsize=7)
    axes.set_xlabel(
        "components" if layout.first == 0 else "groups that these merges begin with, and their modules"
    )
