"""The axis along which the points of a sweep are drawn: swept values, or names."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from spdclust.core.types import Float, Int
from spdclust.plotting.style import plain_text

MOST_NUMBERS = 10
"""Rows or columns of a heat map above which its cells carry no numbers."""

_MOST_NAMES, _LONGEST_VALUE = 50, 30

_LOG_SPAN = 20.0
"""Positive values that span more than this factor are drawn on a logarithmic axis."""


def along_axis(
    record: Mapping[str, Any],
) -> tuple[list[Mapping[str, Any]], Int[np.ndarray, " points"], Float[np.ndarray, " points"], bool]:
    """Return the points along an axis, their order, their places, and whether those are the swept values.

    Example:
        >>> points = [{"name": f"alpha~{alpha}", "values": {"alpha": alpha}} for alpha in (2, 1)]
        >>> [point["name"] for point in along_axis({"swept": ["alpha"], "points": points})[0]]
        ['alpha~1', 'alpha~2']
    """
    swept, points = record["swept"], list(record["points"])
    values = [point["values"][swept[0]] for point in points] if len(swept) == 1 else []
    numeric = bool(values) and all(is_number(value) for value in values)
    order = np.argsort(values) if numeric else np.arange(len(points))
    x = np.array(values, dtype=float)[order] if numeric else np.arange(len(points), dtype=float)
    return [points[each] for each in order], order, x, numeric


def label_axis(
    axes: Axes, swept: Sequence[str], points: Sequence[Mapping[str, Any]], x: np.ndarray, numeric: bool
) -> None:
    """Label the horizontal axis of the points.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = Figure().subplots()
        >>> label_axis(axes, ["merge_config.alpha"], [], np.array([1.0, 2.0]), True)
        >>> axes.get_xlabel()
        'alpha'
    """
    axes.set_xlabel(", ".join(short(key) for key in swept))
    if numeric:
        if x.min() > 0 and x.max() / x.min() > _LOG_SPAN:
            axes.set_xscale("log")
        if len(x) <= MOST_NUMBERS:
            axes.set_xticks(x, [f"{value:g}" for value in x])
            axes.minorticks_off()
        return
    if len(x) <= MOST_NUMBERS:
        names = [point_name(point, swept).replace(", ", ",\n") for point in points]
        axes.set_xticks(x, names, rotation=30, ha="right", rotation_mode="anchor", fontsize=8)
        return
    every = slice(None, None, -(-len(x) // _MOST_NAMES))
    names = [point_name(point, swept) for point in points]
    axes.set_xticks(x[every], names[every], rotation=90, fontsize=6)


def label_height(swept: Sequence[str], points: Sequence[Mapping[str, Any]], numeric: bool) -> float:
    """Return how much higher a figure has to be for the names of its points, inches.

    Example:
        >>> point = {"name": "a", "values": {"alpha": 1}}
        >>> label_height(["alpha"], [point], True), label_height(["alpha"], [point] * 20, False)
        (0.0, 0.35)
    """
    if numeric:
        return 0.0
    names = [point_name(point, swept) for point in points]
    if len(names) > MOST_NUMBERS:
        return max(map(len, names)) / 20
    longest = max(len(line) for name in names for line in name.split(", "))
    return 0.035 * longest + 0.12 * max(name.count(", ") for name in names)


def is_number(value: Any) -> bool:
    """Return whether a swept value is a number.

    Example:
        >>> is_number(0.5), is_number(True)
        (True, False)
    """
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def point_name(point: Mapping[str, Any], swept: Sequence[str]) -> str:
    """Return what a figure calls a point: its swept values.

    Example:
        >>> point_name({"name": "s", "values": {"merge_config.alpha": 0.5}}, ["merge_config.alpha"])
        'alpha 0.5'
    """
    values = point["values"]
    named = [
        # the keys of a mapping name its values
        shown_value(values[key])
        if isinstance(values[key], Mapping)
        else f"{short(key)} {shown_value(values[key])}"
        for key in swept
    ]
    return ", ".join(named) or plain_text(str(point["name"]), _LONGEST_VALUE)


def short(key: str) -> str:
    """Return the last part of a setting's name.

    Example:
        >>> short("merge_config.alpha")
        'alpha'
    """
    return key.rsplit(".", 1)[-1]


def shown_value(value: Any) -> str:
    """Return a swept value as text.

    Example:
        >>> shown_value(None), shown_value(0.5), shown_value({"threshold": 0.1})
        ('null', '0.5', 'threshold 0.1')
    """
    if isinstance(value, Mapping):
        text = " ".join(f"{name} {shown_value(each)}" for name, each in value.items()) or "{}"
    else:
        text = "null" if value is None else f"{value:g}" if is_number(value) else str(value)
    return plain_text(text, _LONGEST_VALUE)
