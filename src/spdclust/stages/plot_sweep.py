"""Stage: comparison of a sweep's points -> its figures."""

from collections.abc import Sequence
from pathlib import Path

from spdclust.files.sweeps import load_sweep
from spdclust.plotting.style import save_figure
from spdclust.plotting.sweeps import FIGURES


def plot_sweep(
    record: str | Path, figure: str, *, paths: Sequence[str | Path], dpi: int = 150, scale: float = 1.0
) -> None:
    """Draw one of `FIGURES`, once for each path.

    Args:
        record: `sweep.json`.
        figure: which figure.
        paths: where it goes.
        dpi: pixels per inch.
        scale: factor on the size.

    Raises:
        InputError: the comparison cannot be read, or a figure cannot be written.
    """
    save_figure(FIGURES[figure](load_sweep(record)), *paths, dpi=dpi, scale=scale)
