"""Figure: how far apart the runs of an ensemble are after each iteration."""

import numpy as np
from matplotlib.figure import Figure

from spdclust.partitions.methods import METHODS
from spdclust.plotting.style import BLUE, GREY, new_figure, styled
from spdclust.types import Float, Int

_POINTS_UP_TO = 20_000


@styled
def plot_distances(
    distances: Float[np.ndarray, "iterations runs runs"],
    method: str,
    iterations: Int[np.ndarray, " iterations"] | None = None,
) -> Figure:
    """Draw the distribution of the distances between runs over iterations.

    Example:
        >>> figure = plot_distances(np.zeros((5, 3, 3)), "matching_dist")
        >>> figure.axes[0].get_ylabel()
        'matching_dist [pairs]'

    Args:
        distances: of one method.
        method: its name.
        iterations: which iterations the rows are; 0, 1, 2, … when left out.
    """
    n_runs = distances.shape[1]
    pairs = distances[:, *np.triu_indices(n_runs, k=1)]
    iterations = np.arange(len(distances)) if iterations is None else iterations
    low, first, median, third, high = np.quantile(pairs, [0, 0.25, 0.5, 0.75, 1], axis=1)
    figure, (axes,) = new_figure()
    axes.fill_between(iterations, low, high, color=BLUE, alpha=0.15, lw=0, label="least to largest")
    axes.fill_between(iterations, first, third, color=BLUE, alpha=0.35, lw=0, label="quartiles")
    axes.plot(iterations, median, color=BLUE, label="median")
    if pairs.size <= _POINTS_UP_TO:
        axes.plot(
            np.repeat(iterations, pairs.shape[1]), pairs.ravel(), ".", color=GREY, ms=1.5, alpha=0.4, zorder=1
        )
    axes.set(xlabel="iteration [merges]", ylabel=f"{method} [{METHODS[method].unit}]")
    axes.set_title(f"Distance between runs: {pairs.shape[1]} pairs of {n_runs} runs")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    axes.legend(loc="upper left")
    return figure
