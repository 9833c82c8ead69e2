"""Figure: how far apart the runs of an ensemble are after each iteration."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from spdclust.core.distance_methods import METHODS
from spdclust.core.spacing import evenly_spaced
from spdclust.core.types import Float, Int
from spdclust.plotting.style import BLUE, GREY, new_figure, styled

_POINTS_UP_TO = 30
_MOST_ITERATIONS = 2_000


@styled
def plot_distances(
    distances: Float[np.ndarray, "iterations runs runs"],
    method: str,
    iterations: Int[np.ndarray, " iterations"] | None = None,
) -> Figure:
    """Draw the distribution of the distances between runs over iterations.

    The axis is linear up to one unit (up to 0.01 for indices), where equal groupings lie, and logarithmic
    above. Every pair of runs is a point when there are at most 30 pairs; only the quantiles are drawn when
    there are more.

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
    iterations = np.arange(len(distances)) if iterations is None else iterations
    kept = evenly_spaced(len(iterations), _MOST_ITERATIONS)
    n_merges, distances = iterations[kept] + 1, distances[kept]
    pairs = distances[:, *np.triu_indices(n_runs, k=1)]
    figure, (axes,) = new_figure()
    unit = METHODS[method].unit
    axes.set(xlabel="after how many merges", ylabel=f"{method} [{unit}]")
    axes.set_title(f"Distance between runs: {pairs.shape[1]} pairs of {n_runs} runs")
    if not pairs.size:
        axes.text(0.5, 0.5, "no two runs to compare", ha="center", transform=axes.transAxes)
        return figure
    low, first, median, third, high = np.quantile(pairs, [0, 0.25, 0.5, 0.75, 1], axis=1)
    axes.fill_between(n_merges, low, high, color=BLUE, alpha=0.15, lw=0, label="least to largest")
    axes.fill_between(n_merges, first, third, color=BLUE, alpha=0.35, lw=0, label="quartiles")
    axes.plot(n_merges, median, color=BLUE, label="median")
    if pairs.shape[1] <= _POINTS_UP_TO:
        axes.plot(
            np.repeat(n_merges, pairs.shape[1]),
            pairs.ravel(),
            ".",
            color=GREY,
            ms=1.5,
            alpha=0.4,
            zorder=1,
            rasterized=True,
            label="each pair",
        )
    linear = 1.0 if high.max() > 2 else 0.01
    axes.set_yscale("symlog", linthresh=linear, linscale=0.5)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylim(0, max(float(high.max()) * 1.15, linear))
    if not high.any():
        axes.set_title(f"Distance between runs: all {n_runs} are equal after every merge")
    axes.margins(x=0.01)
    axes.legend(loc="best", fontsize=8)
    return figure
