"""Stage: distances -> their figure."""

from collections.abc import Sequence
from pathlib import Path

from spdclust.files.ensembles import load_distances
from spdclust.plotting.distances import plot_distances as draw
from spdclust.plotting.style import save_figure


def plot_distances(distances: str | Path, method: str, *, paths: Sequence[str | Path]) -> None:
    """Draw the distances of one method, once for each path.

    Raises:
        InputError: the distances cannot be read, or a figure cannot be written.
    """
    save_figure(draw(load_distances(distances), method), *paths)
