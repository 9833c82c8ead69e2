"""Figure: the groups that most runs of an ensemble back, their sizes, modules and support."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spdclust.files.stability_reading import CutComponent
from spdclust.plotting.cuts import cut_title
from spdclust.plotting.modules import module_colors, module_handles, number_modules
from spdclust.plotting.style import BLUE, GREY, styled

MOST_GROUPS = 20
"""Consensus groups shown one by one, the largest."""


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

    Args:
        record: the few numbers of the stability analysis, see `stability_record`.
        groups: for each cut, the consensus groups (`group`, `size`, `support`), the largest first.
        components: for each cut, all components.
    """
    cuts = record["cuts"]
    figure = Figure(figsize=(9.8, 4.4 * len(cuts) + 0.6), layout="constrained")
    panels = figure.subplots(len(cuts), 2, squeeze=False, width_ratios=(3, 2))
    numbers = {name: {each.label: each.consensus_group for each in components.get(name, [])} for name in cuts}
    labels = list(next(iter(numbers.values()), {}))
    names, _ = number_modules(sorted(labels))
    totals = np.bincount(number_modules(sorted(labels))[1], minlength=len(names)) if labels else np.zeros(0)
    colors = module_colors(names, [int(total) for total in totals])
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
    place = {group["group"]: row for row, group in enumerate(shown)}
    counts = np.zeros((len(shown), len(names)), dtype=np.int64)
    present, module = number_modules(list(components))
    number = np.array([names.index(name) for name in present])
    for which, its_group in zip(number[module].tolist(), components.values(), strict=True):
        if its_group in place:
            counts[place[its_group], which] += 1
    rows = np.arange(len(shown))
    left = np.zeros(len(shown))
    for color in dict.fromkeys(colors[name] for name in names):  # one bar a colour, not one a module
        width = counts[:, [colors[name] == color for name in names]].sum(axis=1)
        axes.barh(rows, width, left=left, height=0.75, color=color)
        left += width
    for row, group in enumerate(shown):
        axes.annotate(
            f"{group['support']:.0%}",
            (group["size"], row),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
        )
    axes.set_yticks(rows, [f"{group['group']}" for group in shown], fontsize=7)
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
