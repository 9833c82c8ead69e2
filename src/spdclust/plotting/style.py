"""How figures look: safe for colour-blind readers, readable in print, the same bytes each time."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spdclust.files.atomic import atomic_path

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6E6E6E"
"""From the palette of Okabe and Ito."""

_STYLE: Any = {
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "pdf.fonttype": 42,
}

Arguments = ParamSpec("Arguments")


def styled(draw: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """Give a drawing function the package's style, without touching the caller's settings."""

    @functools.wraps(draw)
    def drawn(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Figure:
        with mpl.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return drawn


def new_figure(n_rows: int = 1, size: tuple[float, float] = (6.4, 4.0)) -> tuple[Figure, list[Axes]]:
    """Return a figure and its axes from top to bottom, which share their horizontal axis.

    Example:
        >>> figure, axes = new_figure(2)
        >>> len(axes)
        2

    Args:
        n_rows: number of axes.
        size: width and height, inches.
    """
    figure = Figure(figsize=size, layout="constrained")  # no pyplot: nothing global, no window
    axes = figure.subplots(n_rows, 1, squeeze=False, sharex=True)
    return figure, list(axes[:, 0])


def save_figure(figure: Figure, *paths: str | Path) -> None:
    """Write a figure under each of the paths, the suffix naming the format, without dates.

    Raises:
        InputError: a file cannot be written.
    """
    for path in map(Path, paths):
        suffix = path.suffix.removeprefix(".")
        metadata = {"CreationDate": None} if suffix == "pdf" else {"Software": None}
        with atomic_path(path) as temporary, mpl.rc_context(_STYLE):
            figure.savefig(temporary, format=suffix, metadata=metadata)
