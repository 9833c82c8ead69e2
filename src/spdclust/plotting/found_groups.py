"""Figures of the groups that hold: each with its evidence, and the tree that they were chosen from."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec
from matplotlib.ticker import MaxNLocator, ScalarFormatter, SymmetricalLogLocator

from spdclust.core.types import Float, Int
from spdclust.files.batches import ActivationBatch
from spdclust.groups.found import EvidenceTree, FoundGroups
from spdclust.groups.trees import Tree
from spdclust.merge.activations import ProcessedActivations
from spdclust.plotting.matrices import (
    block_note,
    draw_matrix,
    draw_sizes,
    mean_coactivation,
    module_colors,
    module_handles,
    number_modules,
)
from spdclust.plotting.style import AMOUNT, BLUE, GREY, ORANGE, empty_figure, styled

MOST_GROUPS = 40  # shown one by one: those with the strongest evidence
MOST_POINTS = 2000  # of the curve over all groups
MOST_NODES = 800  # drawn: up to half of them chosen ones, then the largest
MOST_NAMED = 40  # groups whose numbers are written: those with the strongest evidence
_LEAST_GAP = 1 / 45
_MOST_COUNTS = 5
_EVIDENCE = "bits saved [per sample, held out]"


@styled
def plot_found_groups(found: FoundGroups) -> Figure:
    """Draw each group with its evidence, size, modules and support, and the number of groups in null runs.

    Of more than `MOST_GROUPS` groups those with the strongest evidence are drawn; a curve shows all. Without
    evidence (no batches) the support is drawn, and the title explains why.

    Example:
        >>> from spdclust.example_ensemble import example_found
        >>> figure = plot_found_groups(example_found())
        >>> figure.get_suptitle()
        '3 groups hold (0.25 expected by chance), 3 of 12 components belong to none'
    """
    n_shown = min(found.n_groups, MOST_GROUPS)
    figure = Figure(figsize=(12.0, max(4.2, 0.16 * n_shown + 2.4)), layout="constrained")
    figure.suptitle(_headline(found), x=0.01, ha="left")
    grid = figure.add_gridspec(1, 2, width_ratios=(3, 1.3))
    left = GridSpecFromSubplotSpec(1, 3, grid[0], width_ratios=(1.4, 1, 0.8))
    evidence = figure.add_subplot(left[0])
    size, support = (figure.add_subplot(left[column], sharey=evidence) for column in (1, 2))
    right = GridSpecFromSubplotSpec(2, 1, grid[1], height_ratios=(1, 1.4))
    null, ranked = (figure.add_subplot(right[row]) for row in (0, 1))
    if found.n_groups:
        _draw_evidence(evidence, found, n_shown)
        names, counts = _modules_of_groups(found)
        colors = module_colors(names, counts.sum(axis=0).tolist())
        _draw_sizes(size, counts[:n_shown], [colors[name] for name in names])
        _draw_support(support, found, n_shown)
        figure.legend(
            handles=module_handles(colors), loc="outside lower left", ncols=4, fontsize=8, title="modules"
        )
    else:
        for axes in (evidence, size, support):
            axes.set_axis_off()
        evidence.text(0.0, 0.5, "no group holds", transform=evidence.transAxes)
    _draw_null(null, found)
    _draw_ranked(ranked, found)
    return figure


def _headline(found: FoundGroups) -> str:
    groups = "1 group holds" if found.n_groups == 1 else f"{found.n_groups} groups hold"
    chance = f" ({found.expected_false:.2g} expected by chance)" if len(found.null_groups) else ""
    return f"{groups}{chance}, {found.n_alone} of {len(found.labels)} components belong to none"


def _modules_of_groups(found: FoundGroups) -> tuple[list[str], Int[np.ndarray, "groups modules"]]:
    """Return the modules, and how many components of each every group has."""
    names, module = number_modules(found.labels)
    counts = np.zeros((found.n_groups, len(names)), dtype=np.int64)
    grouped = found.group_idxs < found.n_groups
    np.add.at(counts, (found.group_idxs[grouped], module[grouped]), 1)
    return names, counts


def _draw_evidence(axes: Axes, found: FoundGroups, n_shown: int) -> None:
    saved, error = found.columns["bits_saved"][:n_shown], found.columns["bits_saved_se"][:n_shown]
    rows = np.arange(n_shown)
    positive = saved > 0
    axes.set_title("Evidence" if n_shown == found.n_groups else f"The {n_shown} with the strongest evidence")
    axes.set_yticks(rows, [str(group) for group in rows], fontsize=7)
    axes.set_ylim(max(n_shown, 8) - 0.4, -0.6)
    axes.set(ylabel="group, strongest evidence first", xlabel=_EVIDENCE)
    axes.grid(axis="y", visible=False)
    if not positive.any():
        axes.text(0.05, 0.5, "not known: no batches", transform=axes.transAxes)
        axes.set_xticks([])
        return
    error = np.nan_to_num(error)
    axes.set_xscale("log", nonpositive="clip")
    spread = error[positive]
    axes.errorbar(saved[positive], rows[positive], xerr=spread, fmt="o", ms=3.5, color=BLUE, elinewidth=1)
    # on a logarithmic axis, an error as large as the value would have no lower end
    low = np.where(saved > error, saved - error, saved / 3)[positive].min()
    axes.set_xlim(low / 1.5, (saved + error)[positive].max() * 1.5)


def _draw_sizes(axes: Axes, counts: np.ndarray, colors: list[str]) -> None:
    sizes = draw_sizes(axes, counts, colors)
    axes.tick_params(axis="y", labelleft=False)
    axes.set(xlabel="size [components], by module")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(axis="y", visible=False)
    if sizes.max() > 20 * np.median(sizes):
        axes.set_xscale("symlog", linthresh=10)
        axes.xaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=10, subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_title("Size")


def _draw_support(axes: Axes, found: FoundGroups, n_shown: int) -> None:
    rows = np.arange(n_shown)
    columns = {name: found.columns[name][:n_shown] for name in ("support", "runs_exact")}
    n_runs = max(1, int(found.settings.get("n_runs", 1)))
    axes.plot(columns["support"], rows, "o", ms=3.5, color=BLUE, label="support")
    axes.plot(columns["runs_exact"] / n_runs, rows, "|", ms=7, color=ORANGE, label="formed exactly")
    axes.tick_params(axis="y", labelleft=False)
    axes.set(xlim=(-0.04, 1.04), xlabel=f"share of {n_runs} runs")
    axes.grid(axis="y", visible=False)
    axes.set_title("In the merge trees")
    axes.legend(fontsize=7, loc="lower left", frameon=True, framealpha=0.9)


def _draw_null(axes: Axes, found: FoundGroups) -> None:
    axes.set_title("Groups in null runs")
    if len(found.null_groups) == 0:
        axes.set_axis_off()
        axes.text(0.0, 0.5, "not known: no batches", transform=axes.transAxes)
        return
    bars = [("activations", found.n_groups, BLUE)]
    for kind, null, color in (
        ("independent", found.null_groups, GREY),
        ("busy samples", found.null_groups_busy, ORANGE),
    ):
        bars += [(f"{kind}: {which}", value, color) for which, value in _counts(null)]
    rows, values = np.arange(len(bars)), [value for _, value, _ in bars]
    axes.barh(rows, values, height=0.7, color=[color for _, _, color in bars])
    for row, value in enumerate(values):
        axes.annotate(
            str(value), (value, row), xytext=(3, 0), textcoords="offset points", va="center", fontsize=8
        )
    axes.set_yticks(rows, [name for name, _, _ in bars], fontsize=8)
    axes.set_ylim(max(len(bars), 4) - 0.4, -0.6)
    axes.set_xlim(0, 1.15 * max(*values, 1))
    axes.set(xlabel="groups [count]")
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.grid(axis="y", visible=False)


def _counts(null: Int[np.ndarray, " nulls"]) -> list[tuple[str, int]]:
    """Return the numbers of groups in null runs: each that occurs, or quantiles of many different ones."""
    groups, times = np.unique(null, return_counts=True)
    if len(groups) <= _MOST_COUNTS:
        runs = [f"{number} of {len(null)} runs" for number in times.tolist()]
        return list(zip(runs, groups.tolist(), strict=True))
    quantiles = np.quantile(null, (0, 0.25, 0.5, 0.75, 1), method="nearest").tolist()
    return list(
        zip(("least", "lower quartile", "median", "upper quartile", "largest"), quantiles, strict=True)
    )


def _draw_ranked(axes: Axes, found: FoundGroups) -> None:
    saved = found.columns["bits_saved"]
    known = np.flatnonzero(saved > 0)
    axes.set_title(f"All {found.n_groups} groups")
    if len(known) == 0:
        axes.set_axis_off()
        return
    points = known[np.unique(np.linspace(0, len(known) - 1, MOST_POINTS).round().astype(np.int64))]
    error = np.nan_to_num(found.columns["bits_saved_se"][points])
    low = np.maximum(saved[points] - error, saved[points] / 10)
    axes.fill_between(points + 1, low, saved[points] + error, color=BLUE, alpha=0.25, lw=0)
    axes.plot(points + 1, saved[points], color=BLUE, marker="." if len(points) <= MOST_GROUPS else "", ms=4)
    axes.set(yscale="log", xlabel="rank by evidence", ylabel=_EVIDENCE)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


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


def _lay_out_found_tree(tree: EvidenceTree, n_components: int) -> FoundTreeLayout:
    """Place the components so that those below a node are consecutive, the largest trees first."""
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
    drawn = set(best[: min(int(tree.chosen.sum()), MOST_NODES // 2)].tolist())
    for row in np.argsort(-sizes, kind="stable").tolist():
        if len(drawn) >= MOST_NODES:
            break
        drawn.add(row)
    nodes = np.array(sorted(drawn), dtype=np.int64)
    first, second = tree.children[nodes].reshape(-1, 2).T
    swapped = middle[first] > middle[second]
    first, second = np.where(swapped, second, first), np.where(swapped, first, second)
    top = tree.height[nodes]
    x = np.stack([height[first], top, top, height[second]], axis=1)
    y = np.stack([middle[first], middle[first], middle[second], middle[second]], axis=1)
    corners = np.stack([x, y], axis=2)
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
        return empty_figure(
            "No tree: no batches" if tree is None else "No tree: no two components act together"
        )
    if isinstance(activations, ActivationBatch):
        activations = activations.activations
    layout = _lay_out_found_tree(tree, len(found.labels))
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
    title = f"Tree of {len(layout.order)} components: {chosen} node{'s' if chosen != 1 else ''} chosen"
    n_alone = len(found.labels) - len(layout.order)
    notes = [f"{n_alone} components are in no node"] if n_alone else []
    if len(layout.nodes) < len(tree.children):
        notes.append(f"{len(layout.nodes)} of {len(tree.children)} nodes drawn")
    axes.set_title("\n".join([title, *(["; ".join(notes)] if notes else [])]))
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
        axes.figure.colorbar(marks, ax=axes, label=_EVIDENCE, location="bottom", aspect=40, shrink=0.8)
    _name_groups(axes, found, tree, layout, top)


def _name_groups(
    axes: Axes, found: FoundGroups, tree: EvidenceTree, layout: FoundTreeLayout, top: float
) -> None:
    """Write the number of a group left of its components, where there is room, strong evidence first."""
    position = np.full(len(found.labels), -1.0)
    position[layout.order] = np.arange(len(layout.order)) + 0.5
    leftmost = {int(tree.group[row]): float(layout.middle[row]) for row in np.flatnonzero(tree.chosen)}
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
    cells = mean_coactivation(matrix, columns, threshold, relative=True)
    n = len(columns)
    draw_matrix(axes, cells, (n, n), "both active, relative to the mean of how often each is", "linear")
    axes.set_title("\n".join(["Active together", *filter(None, [block_note(n, "components", "mean")])]))
    axes.set(xlabel="component, in the order of the tree")
    axes.set_xticks([])
