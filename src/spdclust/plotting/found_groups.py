"""Figure: the groups that hold, each with its evidence, and how many the same analysis finds by chance."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec
from matplotlib.ticker import MaxNLocator, ScalarFormatter, SymmetricalLogLocator

from spdclust.core.types import Int
from spdclust.groups.found import FoundGroups
from spdclust.plotting.modules import module_colors, module_handles, number_modules
from spdclust.plotting.style import BLUE, GREY, ORANGE, styled

MOST_GROUPS = 40
"""Groups shown one by one, those with the strongest evidence."""

MOST_POINTS = 2000
"""Points of the curve over all groups."""

_MOST_COUNTS = 5
_EVIDENCE = "bits saved [per sample, held out]"


@styled
def plot_found_groups(found: FoundGroups) -> Figure:
    """Draw each group with its evidence, size, modules and support, and the number of groups in null runs.

    Of more than `MOST_GROUPS` groups those with the strongest evidence are drawn; a curve shows all.

    Example:
        >>> from spdclust.example_ensemble import example_found
        >>> figure = plot_found_groups(example_found())
        >>> figure.get_suptitle()
        '3 groups hold (0.25 expected by chance), 3 of 12 components belong to none'

    Args:
        found: the groups; without evidence (no batches) their support is drawn, and the figure says why.
    """
    shown = min(found.n_groups, MOST_GROUPS)
    figure = Figure(figsize=(12.0, max(4.2, 0.16 * shown + 2.4)), layout="constrained")
    figure.suptitle(_headline(found), x=0.01, ha="left")
    grid = figure.add_gridspec(1, 2, width_ratios=(3, 1.3))
    left = GridSpecFromSubplotSpec(1, 3, grid[0], width_ratios=(1.4, 1, 0.8))
    evidence = figure.add_subplot(left[0])
    size, support = (figure.add_subplot(left[column], sharey=evidence) for column in (1, 2))
    right = GridSpecFromSubplotSpec(2, 1, grid[1], height_ratios=(1, 1.4))
    null, ranked = (figure.add_subplot(right[row]) for row in (0, 1))
    if found.n_groups:
        _draw_evidence(evidence, found, shown)
        names, counts = _modules_of_groups(found)
        colors = module_colors(names, counts.sum(axis=0).tolist())
        _draw_sizes(size, counts[:shown], [colors[name] for name in names])
        _draw_support(support, found, shown)
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


def _draw_evidence(axes: Axes, found: FoundGroups, shown: int) -> None:
    saved, error = found.columns["bits_saved"][:shown], found.columns["bits_saved_se"][:shown]
    rows = np.arange(shown)
    positive = saved > 0
    axes.set_title("Evidence" if shown == found.n_groups else f"The {shown} with the strongest evidence")
    axes.set_yticks(rows, [str(group) for group in rows], fontsize=7)
    axes.set_ylim(max(shown, 8) - 0.4, -0.6)
    axes.set(ylabel="group, strongest evidence first", xlabel=_EVIDENCE)
    axes.grid(axis="y", visible=False)
    if not positive.any():
        axes.text(0.05, 0.5, "not known: no batches", transform=axes.transAxes)
        axes.set_xticks([])
        return
    error = np.nan_to_num(error)
    axes.set_xscale("log", nonpositive="clip")
    axes.errorbar(
        saved[positive],
        rows[positive],
        xerr=error[positive],
        fmt="o",
        ms=3.5,
        color=BLUE,
        ecolor=BLUE,
        elinewidth=1,
    )
    # an error as large as the value reaches down to the edge, not to the end of the logarithm
    low = np.where(saved > error, saved - error, saved / 3)[positive].min()
    axes.set_xlim(low / 1.5, (saved + error)[positive].max() * 1.5)


def _draw_sizes(axes: Axes, counts: np.ndarray, colors: list[str]) -> None:
    rows, left = np.arange(len(counts)), np.zeros(len(counts))
    for color in dict.fromkeys(colors):  # one bar a colour, not one a module
        width = counts[:, [each == color for each in colors]].sum(axis=1)
        axes.barh(rows, width, left=left, height=0.75, color=color)
        left += width
    axes.tick_params(axis="y", labelleft=False)
    axes.set(xlabel="size [components], by module")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(axis="y", visible=False)
    if left.max() > 20 * np.median(left):
        axes.set_xscale("symlog", linthresh=10)
        axes.xaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=10, subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_title("Size")


def _draw_support(axes: Axes, found: FoundGroups, shown: int) -> None:
    rows = np.arange(shown)
    columns = {name: found.columns[name][:shown] for name in ("support", "runs_exact")}
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
    kept = known[np.unique(np.linspace(0, len(known) - 1, MOST_POINTS).round().astype(np.int64))]
    error = np.nan_to_num(found.columns["bits_saved_se"][kept])
    low = np.maximum(saved[kept] - error, saved[kept] / 10)
    axes.fill_between(kept + 1, low, saved[kept] + error, color=BLUE, alpha=0.25, lw=0)
    axes.plot(kept + 1, saved[kept], color=BLUE, marker="." if len(kept) <= MOST_GROUPS else "", ms=4)
    axes.set(yscale="log", xlabel="rank by evidence", ylabel=_EVIDENCE)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
