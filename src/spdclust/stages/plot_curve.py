"""Stage: histories -> a figure over the iterations of the merges."""

from collections.abc import Sequence
from pathlib import Path

from spdclust.files.histories import load_merge_histories
from spdclust.plotting.merges import CURVES
from spdclust.plotting.style import save_figure


def plot_curve(
    histories: Sequence[str | Path],
    curve: str,
    *,
    paths: Sequence[str | Path],
    dpi: int = 150,
    scale: float = 1.0,
) -> None:
    """Draw one of `CURVES`, once for each path.

    Raises:
        InputError: a history cannot be read, or a figure cannot be written.
    """
    save_figure(CURVES[curve](load_merge_histories(histories)), *paths, dpi=dpi, scale=scale)
