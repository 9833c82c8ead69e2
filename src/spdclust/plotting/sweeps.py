"""Figures: what the points of a sweep found, how well it describes activations, how far points are apart."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from spdclust.core.names import METHODS
from spdclust.core.types import Float, Int
from spdclust.plotting.style import BLUE, GREEN, GREY, ORANGE, empty_figure, new_figure, plain_text, styled

METHOD = "adjusted_rand_dist"  # the distance that the figures show
# inches of a cell's side, cells above which they are smaller and not all named, inches of a character
_CELL, _MOST_CELLS, _CHARACTER = 0.45, 24, 0.075

_QUANTITIES = (
    ("n_groups_mean", None, "groups at the cut", "groups [count]", "{:.4g}"),
    (
        "mean_support",
        "null_mean_support",
        "support of the consensus\n(of shuffled runs)",
        "support beyond shuffled runs [share]",
        "{:.2f}",
    ),
    ("n_contested_components", None, "contested components", "components [count]", "{:.0f}"),
)
"""Quantity, what chance gives for it, title, label of the colours, format of the numbers."""

MOST_NUMBERS = 10  # with more rows or columns, the cells of a heat map have no numbers
_MOST_NAMES, _LONGEST_VALUE = 50, 30
_LOG_SPAN = 20.0  # positive values that span more than this factor are drawn on a logarithmic axis
_CURVES = (
    ("alone", GREY, "all components alone"),
    ("answer", BLUE, "groups that hold"),
    ("formed_by_most", GREEN, "groups that most merges form"),
    ("least_mdl", ORANGE, "first run, cut at its shortest description"),
)
_SAME = 1e-6


@styled
def plot_sweep(record: Mapping[str, Any]) -> Figure:
    """Draw groups, support and disagreement of every point: curves over one setting, heat maps over two.

    Sweeps of more settings, or of lists taken side by side, are drawn as one row of points.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> from spdclust.stability.analysis import analyze_stability
        >>> from spdclust.stability.summary import stability_record
        >>> from spdclust.stability.sweeps import compare_points, sweep_point
        >>> normalized = example_normalized()
        >>> record = stability_record(normalized, analyze_stability(normalized))
        >>> points = [sweep_point(f"alpha~{alpha}", {"alpha": alpha}, normalized, record) for alpha in (1, 2)]
        >>> plot_sweep(compare_points(points)).axes[0].get_title(loc="left")
        'Groups at the shortest description (mean and range of 2 runs)'
    """
    swept, points = record["swept"], record["points"]
    if len(swept) == 2:
        rows, columns = (_distinct([point["values"][key] for point in points]) for key in swept)
        if len(rows) * len(columns) == len(points) and min(len(rows), len(columns)) > 1:
            return _draw_grid(record, rows, columns)
    return _draw_curves(record)


def _draw_curves(record: Mapping[str, Any]) -> Figure:
    swept = record["swept"]
    points, order, x, numeric = _along_axis(record)
    height, style = 7.2 + _label_height(swept, points, numeric), "o-" if numeric else "o"
    figure, (groups, support, apart) = new_figure(3, size=(6.4, height))

    mean, low, high = (_column(points, f"n_groups_{name}") for name in ("mean", "min", "max"))
    groups.errorbar(x, mean, yerr=[mean - low, high - mean], color=BLUE, fmt=style, ms=4, capsize=3)
    groups.set(ylabel="groups\n[count]")
    groups.set_title(f"Groups at the shortest description (mean and range of {_runs(points)} runs)")
    groups.set_ylim(bottom=0)

    for key, color, name in (("mean_support", BLUE, "runs"), ("null_mean_support", GREY, "shuffled runs")):
        support.plot(x, _column(points, key), style, color=color, ms=4, label=name)
    support.set(ylabel="support of the\nconsensus [share]")
    support.set_ylim(0, 1.05)
    support.set_title("How many runs back the consensus groups (1: all agree)")
    support.legend()

    apart.plot(x, _column(points, f"within.{METHOD}"), style, color=BLUE, ms=4, label="two runs of a point")
    same = record["distances"][METHOD]["same_sample"]
    if numeric and same is not None and len(x) > 1:
        steps = [same[first][second] for first, second in itertools.pairwise(order)]
        positive = x.min() > 0
        between = np.sqrt(x[:-1] * x[1:]) if positive else (x[:-1] + x[1:]) / 2
        apart.plot(between, steps, "s", color=ORANGE, ms=5, label="the same run at the next point")
    apart.set(ylabel=f"distance\n[{METHODS[METHOD].unit}]")
    apart.set_ylim(bottom=0)
    apart.set_title(f"{METHOD} there")
    apart.legend()
    _label_axis(apart, swept, points, x, numeric)
    return figure


def _draw_grid(record: Mapping[str, Any], rows: list[Any], columns: list[Any]) -> Figure:
    swept = record["swept"]
    width = max(4.2, 0.5 * min(len(columns), MOST_NUMBERS) + 1.6)
    figure = Figure(figsize=(3 * width, max(3.0, 0.5 * len(rows) + 1.8)), layout="constrained")
    panels = figure.subplots(1, len(_QUANTITIES), squeeze=False, sharey=True)[0]
    for axes, (quantity, chance, title, label, written) in zip(panels, _QUANTITIES, strict=True):
        values, by_chance = (np.full((len(rows), len(columns)), np.nan) for _ in range(2))
        for point in record["points"]:
            row, column = (point["values"][key] for key in swept)
            at = _place(row, rows), _place(column, columns)
            values[at] = point[quantity]
            by_chance[at] = point[chance] if chance else 0.0
        numbers = [
            [
                written.format(value) + (f"\n({written.format(null)})" if chance else "")
                for value, null in pairs
            ]
            for pairs in (zip(*each, strict=True) for each in zip(values, by_chance, strict=True))
        ]
        # coloured by what is beyond chance: a support of 1 means nothing where shuffled runs reach 0.99
        drawn = _draw_heat_map(axes, values - by_chance, numbers)
        figure.colorbar(drawn, ax=axes, label=label)
        axes.set_title(title)
        axes.set_xticks(
            range(len(columns)), [_shown_value(value) for value in columns], rotation=30, ha="right"
        )
        axes.set_xlabel(_short(swept[1]))
    panels[0].set_yticks(range(len(rows)), [_shown_value(value) for value in rows])
    panels[0].set_ylabel(_short(swept[0]))
    return figure


@styled
def plot_sweep_distances(record: Mapping[str, Any]) -> Figure:
    """Draw the distance between every two points: between their runs, and between their consensus groupings.

    Example:
        >>> points = [{"name": f"alpha~{alpha}", "values": {"alpha": alpha}} for alpha in (1, 2)]
        >>> apart = {"runs": [[0.1, 0.6], [0.6, 0.2]], "consensus": [[0.0, 0.5], [0.5, 0.0]]}
        >>> record = {"swept": ["alpha"], "points": points, "distances": {METHOD: apart}}
        >>> figure = plot_sweep_distances(record)
        >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
        ['alpha 1', 'alpha 2']
    """
    names = [_point_name(point, record["swept"]).replace(", ", ",\n") for point in record["points"]]
    side = max(1.6, _CELL * min(len(names), _MOST_CELLS))
    longest = _CHARACTER * max(len(line) for name in names for line in name.splitlines())
    lines = max(name.count("\n") for name in names) + 1
    size = (2 * (side + 1.1) + longest + 0.3, side + 0.75 * longest + 0.8)
    figure = Figure(figsize=size, layout="constrained")
    every = slice(None, None, -(-len(names) * (lines + 1) // (2 * _MOST_CELLS)))
    ticks = range(len(names))[every]
    panels = figure.subplots(1, 2, squeeze=False, sharey=True)[0]
    for axes, (kind, title) in zip(
        panels, (("runs", "Between runs"), ("consensus", "Between consensus groupings")), strict=True
    ):
        values = np.array(record["distances"][METHOD][kind])
        numbers = [[f"{value:.2f}" for value in row] for row in values]
        drawn = _draw_heat_map(axes, values, numbers)
        axes.set_title(title)
        axes.set_xticks(ticks, names[every], rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
        figure.colorbar(drawn, ax=axes, label=f"{METHOD} [{METHODS[METHOD].unit}]")
    panels[0].set_yticks(ticks, names[every], fontsize=8)
    return figure


def _draw_heat_map(axes: Axes, values: np.ndarray, numbers: Sequence[Sequence[str]]) -> Any:
    most = float(np.nanmax(values, initial=0.0))
    drawn = axes.imshow(
        values, cmap="cividis", aspect="auto", vmin=min(0.0, float(np.nanmin(values))), vmax=most or 1.0
    )
    axes.grid(visible=False)
    if max(values.shape) <= MOST_NUMBERS:
        for (row, column), value in np.ndenumerate(values):
            dark = float(np.asarray(drawn.norm(value))) < 0.5
            axes.text(
                column, row, numbers[row][column], ha="center", va="center", fontsize=8,
                color="white" if dark else "black",
            )  # fmt: skip
    return drawn


def _distinct(values: Sequence[Any]) -> list[Any]:
    """Return the values without repetition: numbers in order, others as they come."""
    seen: list[Any] = []
    for value in values:
        if not any(_equal(value, other) for other in seen):
            seen.append(value)
    return sorted(seen) if all(_is_number(value) for value in seen) else seen


def _place(value: Any, among: Sequence[Any]) -> int:
    return next(position for position, other in enumerate(among) if _equal(value, other))


def _equal(value: Any, other: Any) -> bool:
    return type(value) is type(other) and bool(value == other)


def _runs(points: Sequence[Mapping[str, Any]]) -> str:
    low, high = (end(point["n_runs"] for point in points) for end in (min, max))
    return f"{low}" if low == high else f"{low} to {high}"


def _along_axis(
    record: Mapping[str, Any],
) -> tuple[list[Mapping[str, Any]], Int[np.ndarray, " points"], Float[np.ndarray, " points"], bool]:
    """Return the points along an axis, their order, their places, and whether those are the swept values."""
    swept, points = record["swept"], list(record["points"])
    values = [point["values"][swept[0]] for point in points] if len(swept) == 1 else []
    numeric = bool(values) and all(_is_number(value) for value in values)
    order = np.argsort(values) if numeric else np.arange(len(points))
    x = np.array(values, dtype=float)[order] if numeric else np.arange(len(points), dtype=float)
    return [points[each] for each in order], order, x, numeric


def _label_axis(
    axes: Axes, swept: Sequence[str], points: Sequence[Mapping[str, Any]], x: np.ndarray, numeric: bool
) -> None:
    """Label the horizontal axis of the points."""
    axes.set_xlabel(", ".join(_short(key) for key in swept))
    if numeric:
        if x.min() > 0 and x.max() / x.min() > _LOG_SPAN:
            axes.set_xscale("log")
        if len(x) <= MOST_NUMBERS:
            axes.set_xticks(x, [f"{value:g}" for value in x])
            axes.minorticks_off()
        return
    if len(x) <= MOST_NUMBERS:
        names = [_point_name(point, swept).replace(", ", ",\n") for point in points]
        axes.set_xticks(x, names, rotation=30, ha="right", rotation_mode="anchor", fontsize=8)
        return
    every = slice(None, None, -(-len(x) // _MOST_NAMES))
    names = [_point_name(point, swept) for point in points]
    axes.set_xticks(x[every], names[every], rotation=90, fontsize=6)


def _label_height(swept: Sequence[str], points: Sequence[Mapping[str, Any]], numeric: bool) -> float:
    """Return how much higher a figure has to be for the names of its points, inches."""
    if numeric:
        return 0.0
    names = [_point_name(point, swept) for point in points]
    if len(names) > MOST_NUMBERS:
        return max(map(len, names)) / 20
    longest = max(len(line) for name in names for line in name.split(", "))
    return 0.035 * longest + 0.12 * max(name.count(", ") for name in names)


def _is_number(value: Any) -> bool:
    """Return whether a swept value is a number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _point_name(point: Mapping[str, Any], swept: Sequence[str]) -> str:
    """Return what a figure calls a point: its swept values."""
    values = point["values"]
    named = [
        # the keys of a mapping name its values
        _shown_value(values[key])
        if isinstance(values[key], Mapping)
        else f"{_short(key)} {_shown_value(values[key])}"
        for key in swept
    ]
    return ", ".join(named) or plain_text(str(point["name"]), _LONGEST_VALUE)


def _short(key: str) -> str:
    """Return the last part of a setting's name."""
    return key.rsplit(".", 1)[-1]


def _shown_value(value: Any) -> str:
    """Return a swept value as text."""
    if isinstance(value, Mapping):
        text = " ".join(f"{name} {_shown_value(each)}" for name, each in value.items()) or "{}"
    else:
        text = "null" if value is None else f"{value:g}" if _is_number(value) else str(value)
    return plain_text(text, _LONGEST_VALUE)


@styled
def plot_sweep_bits(record: Mapping[str, Any]) -> Figure:
    """Draw the held-out bits per sample of every point, what merges take more, and the number of groups.

    Points are comparable where all components alone take equally many bits: then the same activations are
    coded. Of two or more such points the best of each curve is marked.

    Example:
        >>> points = [
        ...     {"name": f"alpha~{alpha}", "values": {"alpha": alpha}, "n_groups_found": 4,
        ...      "bits_alone": 9.0, "bits_answer": 5.0, "bits_formed_by_most": 7 - alpha}
        ...     for alpha in (1, 2)
        ... ]
        >>> figure = plot_sweep_bits({"swept": ["alpha"], "points": points})
        >>> figure.axes[0].get_title(loc="left")
        'Held-out description of the activations (less is better)'
    """
    points, _, x, numeric = _along_axis(record)
    bits = {name: _column(points, f"bits_{name}", may_be_missing=True) for name, _, _ in _CURVES}
    if not np.isfinite(bits["alone"]).any():
        return empty_figure("Held-out description of the activations: not known, no batches")
    height = 7.4 + _label_height(record["swept"], points, numeric)
    figure, (described, beyond, groups) = new_figure(3, size=(6.4, height))
    sets, style = _comparable_sets(bits["alone"]), "o-" if numeric else "o"
    for name, color, label in _CURVES:
        for number, same in enumerate(sets):
            named = label if number == 0 else None
            described.plot(x[same], bits[name][same], style, color=color, ms=4, label=named)
            known = same[np.isfinite(bits[name][same])]
            if name != "alone" and len(known) > 1 and np.ptp(bits[name][known]) > _SAME:
                best = known[int(np.argmin(bits[name][known]))]
                described.plot(x[best], bits[name][best], "o", ms=10, mfc="none", mec=color, mew=1.4)
    described.set(ylabel="bits per sample")
    described.set_ylim(0, 1.08 * float(np.nanmax(list(bits.values()))))
    described.set_title(
        "Held-out description of the activations (less is better)"
        + ("\npoints not joined by a line code different activations" if len(sets) > 1 else "")
    )
    described.legend(fontsize=8, loc="best")
    _draw_beyond(beyond, bits, sets, x, style)
    _draw_groups(groups, points, x, style)
    _label_axis(groups, record["swept"], points, x, numeric)
    return figure


def _comparable_sets(alone: Sequence[float] | np.ndarray) -> list[np.ndarray]:
    """Return which points code the same activations: those whose components alone take equally many bits."""
    sets: list[list[int]] = []
    for point, value in enumerate(alone):
        if not np.isfinite(value):
            continue
        for others in sets:
            if abs(alone[others[0]] - value) <= _SAME * abs(value):
                others.append(point)
                break
        else:
            sets.append([point])
    return [np.array(points) for points in sets]


def _draw_beyond(
    axes: Axes, bits: Mapping[str, np.ndarray], sets: Sequence[np.ndarray], x: np.ndarray, style: str
) -> None:
    """Draw how many bits more the answers from the merges take than the groups that hold."""
    values = {name: bits[name] - bits["answer"] for name in ("formed_by_most", "least_mdl")}
    for name, color, label in _CURVES[2:]:
        for number, same in enumerate(sets):
            named = label if number == 0 else None
            axes.plot(x[same], values[name][same], style, color=color, ms=4, label=named)
    known = np.concatenate([each[np.isfinite(each)] for each in values.values()])
    if len(known) and known.min() > 0:
        axes.set_yscale("log")
    axes.set(ylabel="bits per sample")
    axes.set_title("What the merges take more than the groups that hold (less is better)")


def _draw_groups(axes: Axes, points: Sequence[Mapping[str, Any]], x: np.ndarray, style: str) -> None:
    found = _column(points, "n_groups_found", may_be_missing=True)
    by_chance = _column(points, "expected_false", may_be_missing=True)
    axes.plot(x, found, style, color=BLUE, ms=4, label="hold")
    axes.plot(x, by_chance, style, color=GREY, ms=4, label="expected by chance")
    axes.set(ylabel="groups [count]")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title("Groups that hold")
    axes.legend(fontsize=8)


def _column(
    points: Sequence[Mapping[str, Any]], key: str, *, may_be_missing: bool = False
) -> Float[np.ndarray, " points"]:
    """Return one value of every point, NaN where it is None or may be missing and is."""
    values = [point.get(key) if may_be_missing else point[key] for point in points]
    return np.array(values, dtype=np.float64)
