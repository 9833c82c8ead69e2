"""Stage: stability analysis -> its figures."""

from collections.abc import Sequence
from pathlib import Path

from spdclust.files.stability_reading import load_stability_iterations, load_stability_record
from spdclust.plotting.stability import STABILITY_FIGURES
from spdclust.plotting.style import save_figure


def plot_stability(
    record: str | Path,
    iterations: str | Path,
    figure: str,
    *,
    paths: Sequence[str | Path],
    dpi: int = 150,
    scale: float = 1.0,
) -> None:
    """Draw one of `STABILITY_FIGURES`, once for each path.

    Args:
        record: `stability.json`.
        iterations: `stability_iterations.csv`.
        figure: which figure.
        paths: where it goes.
        dpi: pixels per inch.
        scale: factor on the size.

    Raises:
        InputError: the analysis cannot be read, or a figure cannot be written.
    """
    draw = STABILITY_FIGURES[figure]
    save_figure(
        draw(load_stability_record(record), load_stability_iterations(iterations)),
        *paths,
        dpi=dpi,
        scale=scale,
    )
