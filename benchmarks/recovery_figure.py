"""The figure of the recovery benchmark: the mean of every answer, and F1 by law."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from alternatives import METHODS
from answers import Row
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from planted import INDEPENDENT, LAWS
from recovery_tables import values

from spdclust.plotting.style import AMOUNT, BLUE, GREY, ORANGE, save_figure, styled

COUNTS = ("false", "n_groups")


def draw(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the results of all laws, the best answers first."""
    save_figure(recovery_figure(results), path, dpi=100)


@styled
def recovery_figure(results: Sequence[dict[str, Any]]) -> Figure:
    """Return dots with the spread over seeds for every answer, next to F1 of every law."""
    laws, empty = (
        [law for law in kind if any(each["law"] == law for each in results)] for kind in (LAWS, INDEPENDENT)
    )
    rows: list[Row] = list(dict.fromkeys((each["answer"], each["mode"]) for each in results))
    rows.sort(key=lambda row: values(results, row, laws, "f1").mean())
    panels = [(laws, "f1", "pair F1"), (laws, "exact", "recovered exactly"), (laws, "false", "false groups")]
    if empty:
        panels.append((empty, "n_groups", "groups in\nindependent data"))
    figure = Figure(figsize=(6 + 2 * len(panels), 1.6 + 0.26 * len(rows)), layout="constrained")
    ratios = [1.0] * len(panels) + [2.6]
    *dots, cells = figure.subplots(1, len(ratios), sharey=True, width_ratios=ratios)
    for axes, (names, key, title) in zip(dots, panels, strict=True):
        _draw_means(axes, [values(results, row, names, key) for row in rows], rows, is_count=key in COUNTS)
        axes.set_title(title)
    dots[0].set_yticks(range(len(rows)), [f"{answer} ({source})" for answer, source in rows], fontsize=8)
    for label, row in zip(dots[0].get_yticklabels(), rows, strict=True):
        label.set_color(_color(row))
    by_law = np.array([[values(results, row, [law], "f1").mean() for law in laws] for row in rows])
    _draw_cells(cells, by_law, laws)
    return figure


def _draw_means(axes: Axes, found: Sequence[np.ndarray], rows: Sequence[Row], *, is_count: bool) -> None:
    for height, (each, row) in enumerate(zip(found, rows, strict=True)):
        spread = each.std(ddof=1) if len(each) > 1 else 0.0
        axes.errorbar(each.mean(), height, xerr=spread, fmt="o", ms=4, lw=1, color=_color(row))
        text = f"{each.mean():.1f}" if is_count else f"{each.mean():.3f}"
        axes.text(1.02, height, text, transform=axes.get_yaxis_transform(), va="center", fontsize=7)
    if is_count:
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xlim(-0.15, 300)
        axes.set_xticks([0, 1, 10, 100], ["0", "1", "10", "100"])
    else:
        axes.set_xlim(-0.02, 1.02)


def _draw_cells(axes: Axes, by_law: np.ndarray, laws: Sequence[str]) -> None:
    axes.imshow(by_law, aspect="auto", cmap=AMOUNT, vmin=0, vmax=1, origin="lower")
    for (row, column), each in np.ndenumerate(by_law):
        color = "white" if each < 0.6 else "black"
        axes.text(column, row, f"{each:.2f}", ha="center", va="center", fontsize=7, color=color)
    axes.set_xticks(range(len(laws)), laws, rotation=40, ha="right", fontsize=8)
    axes.set_title("pair F1 by law")
    axes.grid(False)
    axes.tick_params(left=False)


def _color(row: Row) -> str:
    if row[0] == "find_groups":
        return BLUE
    if row[1] == "the truth":
        return "black"
    return ORANGE if row[0] in METHODS else GREY
