"""The figure of the recovery benchmark: the mean of every answer, and F1 by law."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from alternatives import METHODS
from answers import Row
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from planted import LAWS
from recovery_tables import values

from spdclust.plotting.style import AMOUNT, BLUE, GREY, ORANGE, save_figure, styled

MEANS = {"f1": "pair F1", "exact": "recovered exactly", "false": "false groups"}
COLORS = {"ours": BLUE, "cut": GREY, "alternative": ORANGE}


def draw(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the results of all laws, the best answers first."""
    save_figure(recovery_figure(results), path)


@styled
def recovery_figure(results: Sequence[dict[str, Any]]) -> Figure:
    """Return dots with the spread over seeds for every answer, next to F1 of every law."""
    laws = [law for law in LAWS if any(each["law"] == law for each in results)]
    rows: list[Row] = list(dict.fromkeys((each["answer"], each["mode"]) for each in results))
    rows.sort(key=lambda row: values(results, row, laws, "f1").mean())
    figure = Figure(figsize=(13, 1.6 + 0.26 * len(rows)), layout="constrained")
    *dots, cells = figure.subplots(1, 4, sharey=True, width_ratios=[1, 1, 1, 2.2])
    for axes, (key, title) in zip(dots, MEANS.items(), strict=True):
        _draw_means(axes, [values(results, row, laws, key) for row in rows], [_kind(row) for row in rows])
        axes.set_title(title)
    for axes in dots[:2]:
        axes.set_xlim(-0.02, 1.02)
    dots[2].set_xscale("symlog", linthresh=1)
    dots[2].set_xlim(left=-0.1)
    dots[0].set_yticks(range(len(rows)), [f"{answer} ({source})" for answer, source in rows], fontsize=8)
    for label, row in zip(dots[0].get_yticklabels(), rows, strict=True):
        label.set_color(COLORS[_kind(row)])
    by_law = np.array([[values(results, row, [law], "f1").mean() for law in laws] for row in rows])
    _draw_cells(cells, by_law, laws)
    return figure


def _draw_means(axes: Axes, found: Sequence[np.ndarray], kinds: Sequence[str]) -> None:
    for height, (each, kind) in enumerate(zip(found, kinds, strict=True)):
        spread = each.std(ddof=1) if len(each) > 1 else 0.0
        axes.errorbar(each.mean(), height, xerr=spread, fmt="o", ms=4, lw=1, color=COLORS[kind])


def _draw_cells(axes: Axes, by_law: np.ndarray, laws: Sequence[str]) -> None:
    axes.imshow(by_law, aspect="auto", cmap=AMOUNT, vmin=0, vmax=1, origin="lower")
    for (row, column), each in np.ndenumerate(by_law):
        color = "white" if each < 0.6 else "black"
        axes.text(column, row, f"{each:.2f}", ha="center", va="center", fontsize=7, color=color)
    axes.set_xticks(range(len(laws)), laws, rotation=40, ha="right", fontsize=8)
    axes.set_title("pair F1 by law")
    axes.grid(False)
    axes.tick_params(left=False)


def _kind(row: Row) -> str:
    answer, _ = row
    if answer == "find_groups":
        return "ours"
    return "alternative" if answer in METHODS else "cut"
