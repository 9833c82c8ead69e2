"""Figure: how well the points of a sweep describe held-out activations, and how many groups hold at each."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from spdclust.plotting.style import BLUE, GREEN, GREY, ORANGE, new_figure, styled
from spdclust.plotting.sweeps import along_axis, label_axis, label_height

_CURVES = (
    ("alone", GREY, "all components alone"),
    ("answer", BLUE, "groups that hold"),
    ("formed_by_most", GREEN, "groups that most merges form"),
    ("least_mdl", ORANGE, "first run, cut at its shortest description"),
)
_SAME = 1e-6


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
    points, _, x, numeric = along_axis(record)
    bits = {
        name: np.array([_number(point.get(f"bits_{name}")) for point in points]) for name, _, _ in _CURVES
    }
    if not np.isfinite(bits["alone"]).any():
        figure, (axes,) = new_figure(size=(6.4, 1.6))
        axes.set_axis_off()
        axes.set_title("Held-out description of the activations: not known, no batches")
        return figure
    height = 7.4 + label_height(record["swept"], points, numeric)
    figure, (described, beyond, groups) = new_figure(3, size=(6.4, height))
    sets = _comparable_sets(bits["alone"])
    for name, color, label in _CURVES:
        for number, same in enumerate(sets):
            described.plot(
                x[same], bits[name][same], "o-" if numeric else "o", color=color, ms=4,
                label=label if number == 0 else None,
            )  # fmt: skip
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
    _draw_beyond(beyond, bits, sets, x, "o-" if numeric else "o")
    _draw_groups(groups, points, x, numeric)
    label_axis(groups, record["swept"], points, x, numeric)
    return figure


def _comparable_sets(alone: Sequence[float] | np.ndarray) -> list[np.ndarray]:
    """Return which points code the same activations: those whose components alone take equally many bits.

    Example:
        >>> [points.tolist() for points in _comparable_sets([9.0, 7.0, 9.0, float("nan")])]
        [[0, 2], [1]]
    """
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
            axes.plot(
                x[same], values[name][same], style, color=color, ms=4, label=label if number == 0 else None
            )
    known = np.concatenate([each[np.isfinite(each)] for each in values.values()])
    if len(known) and known.min() > 0:
        axes.set_yscale("log")
    axes.set(ylabel="bits per sample")
    axes.set_title("What the merges take more than the groups that hold (less is better)")


def _draw_groups(axes: Axes, points: Sequence[Mapping[str, Any]], x: np.ndarray, numeric: bool) -> None:
    found = np.array([_number(point.get("n_groups_found")) for point in points])
    chance = np.array([_number(point.get("expected_false")) for point in points])
    style = "o-" if numeric else "o"
    axes.plot(x, found, style, color=BLUE, ms=4, label="hold")
    axes.plot(x, chance, style, color=GREY, ms=4, label="expected by chance")
    axes.set(ylabel="groups [count]")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title("Groups that hold")
    axes.legend(fontsize=8)


def _number(value: float | int | None) -> float:
    return float("nan") if value is None else float(value)
