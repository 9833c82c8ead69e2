"""Figures: where the runs of an ensemble agree, and which components they contest, next to shuffled runs."""

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

from spdclust.core.distance_methods import METHODS
from spdclust.core.errors import InputError
from spdclust.core.types import Labels
from spdclust.files.stability_reading import CutComponent
from spdclust.plotting.cuts import CUT_NAMES as CUT_NAMES
from spdclust.plotting.cuts import cut_title, groups_span
from spdclust.plotting.style import AMOUNT, BLUE, GREEN, GREY, ORANGE, new_figure, plain_text, styled

MOST_CONTESTED = 12
"""Components shown by name at each cut."""

_CUT_STYLES = {
    "least_mdl": (ORANGE, "-"),
    "stability_drop": (GREEN, "--"),
    "iteration": (GREY, "-."),
    "n_groups": (GREY, ":"),
}


MOST_COMPONENTS = 150
"""Contested components shown at each cut, those that runs disagree about most."""

_MOST_NAMED = 70


@styled
def plot_agreement(record: Mapping[str, Any], table: Mapping[str, np.ndarray]) -> Figure:
    """Draw, over iterations, the distances between runs and the number of distinct groupings.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> from spdclust.stability.analysis import analyze_stability
        >>> from spdclust.stability.tables import iteration_table, stability_record
        >>> normalized = example_normalized()
        >>> stability = analyze_stability(normalized)
        >>> table = iteration_table(normalized, stability)
        >>> figure = plot_agreement(stability_record(normalized, stability), table)
        >>> figure.axes[-1].get_title(loc="left")
        'Distinct groupings among 2 runs (1: all agree)'

    Args:
        record: the few numbers of the analysis, see `stability_record`.
        table: its curves, see `iteration_table`.
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
        >>> from spdclust.stability.tables import stability_record
        >>> normalized = example_normalized()
        >>> figure = plot_contested(stability_record(normalized, analyze_stability(normalized)), {})
        >>> figure.axes[0].get_title(loc="left")
        'Shortest description: 4 groups'

    Args:
        record: the few numbers of the analysis, see `stability_record`.
        table: not used.
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
    places = np.arange(len(shown))
    axes.barh(places, [each["contestedness"] for each in shown], height=0.7, color=BLUE)
    axes.axvspan(low, high, color=GREY, alpha=0.25, lw=0)
    axes.axvline(null, color=GREY, ls="--")
    axes.set_yticks(places, [plain_text(each["component"], 40) for each in shown], fontsize=8)
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
        which = np.array([number[label] for label in shown])
        _draw_panel(tree, table, _square(frequency, which), shown)
        of = (
            f"the {len(shown)} most contested of {n_contested}"
            if len(shown) < n_contested
            else f"all {n_contested}"
        )
        tree.set_title(f"{title}\nhow often runs put them together: {of} contested components")
    return figure


def _contested(components: Sequence[CutComponent]) -> list[str]:
    return [each.label for each in components if each.contestedness > 0][:MOST_COMPONENTS]


def _square(frequency: sparse.csr_array, which: np.ndarray) -> np.ndarray:
    upper = frequency[which][:, which].toarray()
    whole: np.ndarray = upper + upper.T
    np.fill_diagonal(whole, 1.0)
    return whole


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
