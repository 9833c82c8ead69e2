"""Figures: how far apart the runs of an ensemble are, along the merge and where it is cut."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from spdclust.core.names import METHODS, merges_done
from spdclust.core.types import Float, Int, evenly_spaced
from spdclust.plotting.style import AMOUNT, BLUE, GREY, cut_title, new_figure, plain_text, styled

_POINTS_UP_TO = 30
_MOST_ITERATIONS = 2_000
_MOST_NAMED = 40
_MOST_NUMBERS = 12
_SHARP = 400


@styled
def plot_runs(
    distances: Float[np.ndarray, "iterations runs runs"],
    method: str,
    iterations: Int[np.ndarray, " iterations"],
    record: Mapping[str, Any],
) -> Figure:
    """Draw the distances between runs at each cut: as a table, and as points in the plane.

    Example:
        >>> cut = {"iteration": 1, "cut": {"n_groups": [4, 4]}}
        >>> record = {"run_names": ["run_0", "run_1"], "cuts": {"least_mdl": cut}}
        >>> apart = np.array([[[0.0, 0.0], [0.0, 0.0]], [[0.0, 3.0], [3.0, 0.0]]])
        >>> figure = plot_runs(apart, "matching_dist", np.array([0, 1]), record)
        >>> figure.axes[0].get_title(loc="left")
        'Shortest description: 4 groups'
    """
    cuts = {name: at for name, at in record["cuts"].items() if at["iteration"] is not None}
    names = [plain_text(name, 20) for name in record["run_names"]]
    unit = METHODS[method].unit
    top = float(distances.max()) if distances.size else 0.0
    figure = Figure(figsize=(9.6, 4.2 * len(cuts) + 0.3), layout="constrained")
    panels = figure.subplots(len(cuts), 2, squeeze=False)
    norms = []
    for (table, points), (name, at) in zip(panels, cuts.items(), strict=True):
        row = int(np.abs(iterations - at["iteration"]).argmin())
        between = distances[row]
        norms.append(Normalize(0, float(between.max()) or top or 1.0))
        _draw_table(table, between, names, f"{method} [{unit}]", norms[-1])
        exact = iterations[row] == at["iteration"]
        near = "" if exact else f"; distances after {merges_done(int(iterations[row]))}"
        table.set_title(f"{cut_title(name, at)}{near}")
        _draw_points(points, between, names, unit)
    figure.suptitle(f"Distances between {len(names)} runs: {method}", x=0.01, ha="left")
    return figure


def _draw_table(axes: Axes, between: np.ndarray, names: list[str], label: str, norm: Normalize) -> None:
    order = _seriated(between)
    n = len(order)
    axes.grid(visible=False)
    image = axes.imshow(between[np.ix_(order, order)], norm=norm, cmap=AMOUNT, interpolation="nearest")
    assert axes.figure is not None
    axes.figure.colorbar(image, ax=axes, label=label)
    if n <= _MOST_NUMBERS:
        for i in range(n):
            for j in range(n):
                value = between[order[i], order[j]]
                color = "black" if norm(value) > 0.6 else "white"
                axes.text(j, i, f"{value:.3g}", ha="center", va="center", fontsize=7, color=color)
    if n <= _MOST_NAMED:
        axes.set_xticks(range(n), [names[run] for run in order], rotation=90, fontsize=7)
        axes.set_yticks(range(n), [names[run] for run in order], fontsize=7)
    else:
        axes.set(xlabel="run, similar ones together", ylabel="run, similar ones together")


def _draw_points(axes: Axes, between: np.ndarray, names: list[str], unit: str) -> None:
    points, shares = _classical_scaling(between)
    unique, at = np.unique(points.round(9), axis=0, return_inverse=True)
    at = at.ravel()
    counts = np.bincount(at, minlength=len(unique))
    axes.scatter(
        unique[:, 0], unique[:, 1], s=30 + 20 * (counts - 1), color=BLUE, alpha=0.75, lw=0, rasterized=True
    )
    reach = (float(np.abs(unique).max()) or 0.8) * 1.25
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axes.locator_params(nbins=6)
    if len(unique) <= _MOST_NAMED:
        _name_points(
            axes, unique, [[names[run] for run in np.flatnonzero(at == n)] for n in range(len(unique))], reach
        )
    axes.set(
        xlabel=f"first axis [{unit}], {shares[0]:.0%} of the distances",
        ylabel=f"second axis [{unit}], {shares[1]:.0%}",
    )
    axes.set_title(
        "All runs have the same groups" if len(unique) == 1 else "The same as points (classical scaling)"
    )


def _name_points(axes: Axes, unique: np.ndarray, names: list[list[str]], reach: float) -> None:
    """Write the names of the runs at each point; names that would overlap share one text."""
    texts: list[tuple[float, float, list[str]]] = []
    for (x, y), run_names in zip(unique.tolist(), names, strict=True):
        label = run_names[0] if len(run_names) == 1 else f"{len(run_names)} equal runs"
        near = (each for each in texts if abs(each[0] - x) < 0.4 * reach and abs(each[1] - y) < 0.1 * reach)
        if (other := next(near, None)) is None:
            texts.append((x, y, [label]))
        else:
            other[2].append(label)
    for x, y, sharing in texts:
        text = ", ".join(sharing) if len(sharing) < 3 else f"{sharing[0]} and {len(sharing) - 1} more points"
        axes.annotate(text, (x, y), xytext=(4, 4), textcoords="offset points", fontsize=7)


def _seriated(between: Float[np.ndarray, "runs runs"]) -> Int[np.ndarray, " runs"]:
    """Return the runs in the order of the leaves of their average-linkage tree: similar ones side by side."""
    if len(between) < 3:
        return np.arange(len(between))
    tree = hierarchy.average(squareform(between, checks=False))
    if len(between) <= _SHARP:
        tree = hierarchy.optimal_leaf_ordering(tree, squareform(between, checks=False))
    return np.asarray(hierarchy.leaves_list(tree), dtype=np.int64)


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
    """
    n_runs = distances.shape[1]
    iterations = np.arange(len(distances)) if iterations is None else iterations
    rows = evenly_spaced(len(iterations), _MOST_ITERATIONS)
    n_merges, distances = iterations[rows] + 1, distances[rows]
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
        x = np.repeat(n_merges, pairs.shape[1])
        (dots,) = axes.plot(x, pairs.ravel(), ".", color=GREY, ms=1.5, label="each pair")
        dots.set(alpha=0.4, zorder=1, rasterized=True)
    linear = 1.0 if high.max() > 2 else 0.01
    axes.set_yscale("symlog", linthresh=linear, linscale=0.5)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylim(0, max(float(high.max()) * 1.15, linear))
    if not high.any():
        axes.set_title(f"Distance between runs: all {n_runs} are equal after every merge")
    axes.margins(x=0.01)
    axes.legend(loc="best", fontsize=8)
    return figure


def _classical_scaling(
    distances: Float[np.ndarray, "runs runs"],
) -> tuple[Float[np.ndarray, "runs axes"], Float[np.ndarray, " axes"]]:
    """Return coordinates of the runs in the plane, and the share of their distances that each axis explains.

    Returns:
        points: coordinates, longest axis first; each axis is oriented such that the item farthest from the
            centre, the first one if tied, is on the positive side.
        shares: eigenvalue over the sum of the absolute eigenvalues; all 0 if all distances are 0.

    Source:
        Torgerson 1952, Psychometrika 17: B = −½ J D² J with J = I − 1/n; coordinates are eigenvectors of B
        times the square roots of their eigenvalues. Non-Euclidean distances give negative eigenvalues, whose
        axes are dropped.
    """
    n = len(distances)
    squared = np.square(distances)
    centred = -0.5 * (squared - squared.mean(axis=0) - squared.mean(axis=1, keepdims=True) + squared.mean())
    values, vectors = np.linalg.eigh((centred + centred.T) / 2)
    order = np.argsort(-values, kind="stable")[:2]
    positive = np.clip(values[order], 0.0, None)
    positive[positive <= 1e-12 * max(1.0, float(np.abs(values).max()))] = 0.0
    points = np.zeros((n, 2))
    points[:, : len(order)] = vectors[:, order] * np.sqrt(positive)
    farthest = np.argmax(np.abs(points).round(9), axis=0)
    points *= np.where(points[farthest, np.arange(2)] < 0, -1.0, 1.0)
    shares = np.zeros(2)
    if positive.any():
        shares[: len(order)] = positive / np.abs(values).sum()
    return points, shares
