"""How figures look: safe for colour-blind readers, readable in print, the same bytes each time."""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from spdclust.files.atomic import atomic_path

BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#6E6E6E"
"""From the palette of Okabe and Ito."""

_STYLE = {
    "figure.figsize": (6.4, 4.0),
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "pdf.fonttype": 42,
    "svg.hashsalt": "spdclust",
}


def new_figure(n_rows: int = 1, **options: object) -> tuple[Figure, list[plt.Axes]]:
    """Return a figure in the package's style and its axes, from top to bottom.

    Example:
        >>> figure, axes = new_figure(2)
        >>> len(axes)
        2
    """
    with mpl.rc_context(_STYLE):
        figure, axes = plt.subplots(n_rows, 1, squeeze=False, **options)  # type: ignore[arg-type]
    return figure, list(axes[:, 0])


def save_figure(figure: Figure, *paths: str | Path) -> None:
    """Write a figure under each of the paths, the suffix naming the format, without dates; then close it.

    Raises:
        InputError: a file cannot be written.
    """
    for path in map(Path, paths):
        suffix = path.suffix.removeprefix(".")
        metadata = {"CreationDate": None} if suffix == "pdf" else {"Software": None}
        with atomic_path(path) as temporary, mpl.rc_context(_STYLE):
            figure.savefig(temporary, format=suffix, metadata=metadata)
    plt.close(figure)
