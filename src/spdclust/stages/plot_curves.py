"""Stage: histories -> figures over the iterations of the merges."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from spdclust.files.histories import load_merge_histories
from spdclust.plotting.merges import CURVES
from spdclust.plotting.style import save_figure


def plot_curves(
    histories: Sequence[str | Path],
    *,
    paths: Mapping[str, Sequence[str | Path]],
    dpi: int = 150,
    scale: float = 1.0,
) -> None:
    """Draw figures of `CURVES`.

    Args:
        histories: `history.zip` of each run.
        paths: for each figure wanted, where it goes, once for each path.
        dpi: pixels per inch.
        scale: factor on the size.

    Raises:
        InputError: a history cannot be read, or a figure cannot be written.
    """
    ensemble = load_merge_histories(histories)
    for name, files in paths.items():
        save_figure(CURVES[name](ensemble), *files, dpi=dpi, scale=scale)
