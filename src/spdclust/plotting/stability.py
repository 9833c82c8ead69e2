"""Figures: where the runs of an ensemble agree, next to shuffled runs; what they contest; what most back."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy import sparse
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from spdclust.core.errors import InputError
from spdclust.core.names import METHODS
from spdclust.core.types import Labels
from spdclust.files.stability import CutComponent
from spdclust.plotting.matrices import draw_sizes, module_colors, module_handles, number_modules
from spdclust.plotting.style import (
    AMOUNT,
    BLUE,
    CUT_NAMES,
    GREEN,
    GREY,
    ORANGE,
    cut_title,
    groups_span,
    new_figure,
    plain_text,
    styled,
)

MOST_CONTESTED = 12  # components shown by name at each cut
MOST_COMPONENTS = 150  # contested components in the co-clustering of a cut, the most contested
MOST_GROUPS = 20  # consensus groups shown one by one, the largest
_MOST_NAMED = 70
_CUT_STYLES = {
    "least_mdl": (ORANGE, "-"),
    "stability_drop": (GREEN, "--"),
    "iteration": (GREY, "-."),
    "n_groups": (GREY, ":"),
}


@styled
def plot_agreement(record: Mapping[str, Any], table: Mapping[str, np.ndarray]) -> Figure:
    """Draw, over iterations, the distances between runs and the number of distinct groupings.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> from spdclust.stability.analysis import analyze_stability
        >>> from spdclust.stability.summary import iteration_table, stability_record
        >>> normalized = example_normalized()
        >>> stability = analyze_stability(normalized)
        >>> table = iteration_table(normalized, stability)
        >>> figure = plot_agreement(stability_record(normalized, stability), table)
        >>> figure.axes[-1].get_title(loc="left")
        'Distinct groupings among 2 runs (1: all agree)'
    """
    methods = list(dict.fromkeys(["adjusted_rand_dist", record["methods"][0]]))
    figure, panels = new_figure(len(methods) + 1, size=(6.4, 2.1 * (len(methods) + 1) + 0.6))
    n_merges = table["iteration"] + 1
    for axes, method in zip(panels, methods, strict=False):
        for prefix, color, name in (("", BLUE, "runs"), ("null.", GREY, "shuffled runs")):
            column = f"{prefix}{method}"
            axes.fill_between(
                n_merges, table[f"{column}.q0"], table[f"{column}.q100"], color=color, alpha=0.2, lw=0
            )
            axes.plot(n_merges, table[f"{column}.q50"], color=color, label=f"{name}: median, range")
        axes.set(ylabel=f"distance\n[{METHODS[method].unit}]")
        axes.set_title(f"Distance between runs: {method} (0: all agree)")
        axes.set_ylim(bottom=0)
    distinct = panels[-1]
    distinct.plot(n_merges, table["n_distinct"], color=BLUE, drawstyle="steps-mid")
    distinct.plot(n_merges, table["null.n_distinct"], color=GREY, drawstyle="steps-mid", zorder=1)
    notes = [
        f"{CUT_NAMES[name]}: {' '.join(at['cut']['notes'])}"
        for name, at in record["cuts"].items()
        if at["cut"].get("notes")
    ]
    lines = [line for note in notes for line in textwrap.wrap(note, 90)]
    distinct.set_xlabel("\n".join(["after how many merges [count]", *lines]))
    distinct.set(ylabel="groupings\n[count]")
    distinct.set_ylim(0, record["n_runs"] + 0.5)
    distinct.yaxis.set_major_locator(MaxNLocator(integer=True))
    distinct.set_title(f"Distinct groupings among {record['n_runs']} runs (1: all agree)")
    distinct.margins(x=0.01)
    for axes in panels:
        _mark_cuts(axes, record["cuts"])
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=9)
    return figure


def _mark_cuts(axes: Axes, cuts: Mapping[str, Any]) -> None:
    for name, at in cuts.items():
        if at["iteration"] is None:
            continue
        color, style = _CUT_STYLES[name]
        groups = groups_span(at["cut"]["n_groups"])
        axes.axvline(at["iteration"] + 1, color=color, ls=style, lw=1.2, label=f"{CUT_NAMES[name]}: {groups}")


@styled
def plot_contested(record: Mapping[str, Any], table: Mapping[str, np.ndarray]) -> Figure:
    """Draw, at each cut, how many runs put pairs of components together, and the most contested components.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> from spdclust.stability.analysis import analyze_stability
        >>> from spdclust.stability.summary import stability_record
        >>> normalized = example_normalized()
        >>> figure = plot_contested(stability_record(normalized, analyze_stability(normalized)), {})
        >>> figure.axes[0].get_title(loc="left")
        'Shortest description: 4 groups'
    """
    cuts = record["cuts"]
    figure = Figure(figsize=(8.4, 3.6 * len(cuts)), layout="constrained")
    panels = figure.subplots(len(cuts), 2, squeeze=False)
    for (pairs, components), (name, at) in zip(panels, cuts.items(), strict=True):
        _draw_pairs(pairs, at, record["n_runs"])
        pairs.set_title(cut_title(name, at))
        _draw_most_contested(components, at)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=9)
    return figure


def _draw_pairs(axes: Axes, at: Mapping[str, Any], n_runs: int) -> None:
    together = np.arange(1, n_runs + 1)
    for offset, histogram, color, name in (
        (-0.2, at["histogram"], BLUE, "runs"),
        (0.2, at["null"]["histogram"], GREY, "shuffled runs"),
    ):
        axes.bar(together + offset, histogram[1:], width=0.4, color=color, label=name)
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.7)
    axes.set(xlabel="runs that put a pair together [count]", ylabel="pairs of components [count]")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _draw_most_contested(axes: Axes, at: Mapping[str, Any]) -> None:
    shown = [each for each in at["most_contested"] if each["contestedness"] > 0][:MOST_CONTESTED]
    null = at["null"]["mean_contestedness"]
    low, high = at["null"].get("range", {}).get("mean_contestedness", (null, null))
    if not shown:
        axes.set_title("No component is contested")
        axes.set_axis_off()
        return
    axes.set_title(
        f"Most contested of {at['n_contested_components']}; dashed: shuffled runs, mean {null:.3g}"
    )
    axes.set(xlabel="contestedness [components]")
    positions = np.arange(len(shown))
    axes.barh(positions, [each["contestedness"] for each in shown], height=0.7, color=BLUE)
    axes.axvspan(low, high, color=GREY, alpha=0.25, lw=0)
    axes.axvline(null, color=GREY, ls="--")
    axes.set_yticks(positions, [plain_text(each["component"], 40) for each in shown], fontsize=8)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlim(left=0)


@styled
def plot_coclustering(
    record: Mapping[str, Any],
    components: Mapping[str, Sequence[CutComponent]],
    labels: Labels,
    frequencies: Mapping[str, sparse.csr_array | None],
) -> Figure:
    """Draw, at each cut, the share of runs that put two contested components together.

    Example:
        >>> record = {"cuts": {"least_mdl": {"cut": {"n_groups": [2, 2]}, "n_contested_components": 2}}}
        >>> share = sparse.csr_array(np.array([[0.0, 0.5, 0.5], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
        >>> components = {"least_mdl": [CutComponent(label, 0, 0.5) for label in "ab"]}
        >>> figure = plot_coclustering(record, components, ["a", "b", "c"], {"least_mdl": share})
        >>> [text.get_text() for text in figure.axes[1].get_yticklabels()]
        ['a', 'b']

    Args:
        record: the few numbers of the stability analysis, see `stability_record`.
        components: for each cut, its components, the most contested first.
        labels: names of the components of the matrices.
        frequencies: for each cut, `(components, components)` share of runs, upper triangle; None where there
            were too many pairs to keep.

    Raises:
        InputError: no frequencies of a cut.
    """
    cuts = record["cuts"]
    if unknown := [name for name in cuts if name not in frequencies]:
        raise InputError(
            "cut without co-clustering", field="cuts", found=unknown, allowed=", ".join(frequencies)
        )
    number = {label: component for component, label in enumerate(labels)}
    panels = [(name, at, _contested(components.get(name, []))) for name, at in cuts.items()]
    drawn = [frequencies[name] is not None and len(shown) > 1 for name, _, shown in panels]
    heights = [6.6 if each else 0.9 for each in drawn]
    figure = Figure(figsize=(8.2, sum(heights) + 0.3), layout="constrained")
    outer = figure.subfigures(len(panels), 1, squeeze=False, height_ratios=heights)
    for part, (name, at, shown) in zip(outer[:, 0], panels, strict=True):
        frequency = frequencies[name]
        title = cut_title(name, at)
        n_contested = at["n_contested_components"]
        if frequency is None or len(shown) < 2:
            why = "no component is contested: all runs agree"
            if frequency is None:
                why = "more pairs than are kept: see stability_groups.csv"
            axes = part.subplots()
            axes.set_axis_off()
            axes.set_title(f"{title}\n{why}")
            continue
        tree, table = part.subplots(2, 1, height_ratios=(1, 7), sharex=True)
        rows = np.array([number[label] for label in shown])
        _draw_panel(tree, table, _square(frequency, rows), shown)
        of = (
            f"the {len(shown)} most contested of {n_contested}"
            if len(shown) < n_contested
            else f"all {n_contested}"
        )
        tree.set_title(f"{title}\nhow often runs put them together: {of} contested components")
    return figure


def _contested(components: Sequence[CutComponent]) -> list[str]:
    return [each.label for each in components if each.contestedness > 0][:MOST_COMPONENTS]


def _square(frequency: sparse.csr_array, rows: np.ndarray) -> np.ndarray:
    upper = frequency[rows][:, rows].toarray()
    square: np.ndarray = upper + upper.T
    np.fill_diagonal(square, 1.0)
    return square


def _draw_panel(tree: Axes, table: Axes, together: np.ndarray, shown: Sequence[str]) -> None:
    apart = squareform(1.0 - together, checks=False)
    linkage = hierarchy.optimal_leaf_ordering(hierarchy.average(apart), apart)
    drawing = hierarchy.dendrogram(linkage, no_plot=True)
    order = np.array(drawing["leaves"])
    # scipy puts leaf n at 10 n + 5
    feet = (np.array(drawing["icoord"]) - 5) / 10
    brackets = np.stack([feet, np.array(drawing["dcoord"])], axis=2)
    tree.add_collection(LineCollection(list(brackets), colors=GREY, linewidths=0.8))
    tree.set(ylim=(0, 1.05), ylabel="apart [share]")
    tree.grid(axis="x", visible=False)
    tree.tick_params(axis="x", bottom=False, labelbottom=False)
    image = table.imshow(
        together[np.ix_(order, order)], vmin=0, vmax=1, cmap=AMOUNT, aspect="auto", interpolation="nearest"
    )
    table.grid(visible=False)
    assert table.figure is not None
    table.figure.colorbar(image, ax=[tree, table], label="runs that put both in one group [share]")
    n = len(order)
    table.set_xticks([])
    if n <= _MOST_NAMED:
        size = 7 if n <= 45 else 5
        table.set_yticks(range(n), [plain_text(shown[each], 32) for each in order], fontsize=size)
    else:
        table.set_yticks([])
        table.set_ylabel("component, by the tree above")
    table.set_xlabel("component, by the tree above")


@styled
def plot_consensus(
    record: Mapping[str, Any],
    groups: Mapping[str, Sequence[Mapping[str, Any]]],
    components: Mapping[str, Sequence[CutComponent]],
) -> Figure:
    """Draw the consensus groups at each cut: the largest by module, and the support of all by size.

    Example:
        >>> at = {"cut": {"n_groups": [2, 2]}, "mean_support": 1.0, "null": {"mean_support": 0.5}}
        >>> groups = [{"group": 0, "size": 2, "support": 1.0}, {"group": 1, "size": 1, "support": 1.0}]
        >>> components = [CutComponent(*each, 0.0) for each in (("attn:0", 0), ("mlp:0", 0), ("mlp:1", 1))]
        >>> record = {"n_runs": 2, "cuts": {"least_mdl": at}}
        >>> figure = plot_consensus(record, {"least_mdl": groups}, {"least_mdl": components})
        >>> figure.axes[0].get_title(loc="left").splitlines()
        ['Shortest description: 2 groups', '1 consensus group of several components']
    """
    cuts = record["cuts"]
    figure = Figure(figsize=(9.8, 4.4 * len(cuts) + 0.6), layout="constrained")
    panels = figure.subplots(len(cuts), 2, squeeze=False, width_ratios=(3, 2))
    numbers = {name: {each.label: each.consensus_group for each in components.get(name, [])} for name in cuts}
    labels = list(next(iter(numbers.values()), {}))
    names, module = number_modules(sorted(labels))
    colors = module_colors(names, np.bincount(module, minlength=len(names)).tolist())
    for (bars, support), (name, at) in zip(panels, cuts.items(), strict=True):
        n_several = sum(group["size"] > 1 for group in groups[name])
        several = f"{n_several} consensus group{'s' if n_several != 1 else ''} of several components"
        _draw_largest(bars, groups[name], numbers[name], names, colors)
        bars.set_title(f"{cut_title(name, at)}\n{several}")
        _draw_support(support, groups[name], at, record["n_runs"])
    handles = module_handles(colors)
    if handles:
        figure.legend(handles=handles, loc="outside upper center", ncols=min(4, len(handles)), fontsize=8)
    return figure


def _draw_largest(
    axes: Axes,
    groups: Sequence[Mapping[str, Any]],
    components: Mapping[str, int],
    names: list[str],
    colors: Mapping[str, str],
) -> None:
    shown = [group for group in groups if group["size"] > 1][:MOST_GROUPS]
    if not shown:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "every consensus group has one component", ha="center", transform=axes.transAxes)
        return
    row_of = {group["group"]: row for row, group in enumerate(shown)}
    counts = np.zeros((len(shown), len(names)), dtype=np.int64)
    present, module = number_modules(list(components))
    number = np.array([names.index(name) for name in present])
    for module_number, its_group in zip(number[module].tolist(), components.values(), strict=True):
        if its_group in row_of:
            counts[row_of[its_group], module_number] += 1
    draw_sizes(axes, counts, [colors[name] for name in names])
    for row, group in enumerate(shown):
        axes.annotate(
            f"{group['support']:.0%}",
            (group["size"], row),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
        )
    axes.set_yticks(range(len(shown)), [f"{group['group']}" for group in shown], fontsize=7)
    axes.set_ylim(max(len(shown), 8) - 0.4, -0.6)  # few bars do not grow fat
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.1)
    axes.set(xlabel="size [components], support beside it", ylabel="consensus group, largest first")


def _dot_size(counts: Any) -> Any:
    return 14 + 30 * np.log10(counts)


def _draw_support(
    axes: Axes, groups: Sequence[Mapping[str, Any]], at: Mapping[str, Any], n_runs: int
) -> None:
    points, counts = np.unique(
        np.array([(group["size"], round(group["support"], 2)) for group in groups]).reshape(-1, 2),
        axis=0,
        return_counts=True,
    )
    axes.scatter(
        points[:, 0], points[:, 1], s=_dot_size(counts), color=BLUE, alpha=0.6, lw=0, rasterized=True
    )
    null = at["null"]["mean_support"]
    for count in sorted({1, 10 ** int(np.log10(counts.max(initial=1)))}):
        name = "1 group" if count == 1 else f"{count} groups"
        axes.scatter([], [], s=_dot_size(count), color=BLUE, alpha=0.6, lw=0, label=name)
    axes.axhline(at["mean_support"], color=BLUE, lw=1.2, label=f"mean: {at['mean_support']:.2f}")
    low, high = at["null"].get("range", {}).get("mean_support", (null, null))
    axes.axhspan(low, high, color=GREY, alpha=0.25, lw=0)
    axes.axhline(null, color=GREY, ls="--", lw=1.2, label=f"of shuffled runs: {null:.2f}")
    axes.set(xscale="log", ylim=(-0.04, 1.06))
    axes.set(xlabel="size [components]", ylabel=f"support [share of {n_runs} runs]")
    axes.set_title(f"Support of all {len(groups)} consensus groups")
    axes.legend(fontsize=8, loc="lower right", frameon=True, framealpha=0.9)
