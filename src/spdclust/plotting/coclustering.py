"""Figure: how often the contested components of an ensemble are together, similar ones side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from scipy import sparse
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from spdclust.core.types import Labels
from spdclust.plotting.cuts import cut_title
from spdclust.plotting.style import AMOUNT, GREY, plain_text, styled

MOST_COMPONENTS = 150
"""Contested components shown at each cut, those that runs disagree about most."""

_MOST_NAMED = 70


@styled
def plot_coclustering(
    record: Mapping[str, Any],
    contested: Mapping[str, Sequence[str]],
    frequencies: Mapping[str, sparse.csr_array | None],
    labels: Labels,
) -> Figure:
    """Draw, at each cut, the share of runs that put two contested components together.

    Example:
        >>> record = {"cuts": {"least_mdl": {"cut": {"n_groups": [2, 2]}, "n_contested_components": 2}}}
        >>> share = sparse.csr_array(np.array([[0.0, 0.5, 0.5], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
        >>> contested, frequencies = {"least_mdl": ["a", "b"]}, {"least_mdl": share}
        >>> figure = plot_coclustering(record, contested, frequencies, ["a", "b", "c"])
        >>> [text.get_text() for text in figure.axes[1].get_yticklabels()]
        ['a', 'b']

    Args:
        record: the few numbers of the stability analysis, see `stability_record`.
        contested: for each cut, the contested components, the most contested first.
        frequencies: for each cut, `(components, components)` share of runs, upper triangle; None where there
            were too many pairs to keep.
        labels: names of the components of the matrices.
    """
    cuts = record["cuts"]
    number = {label: component for component, label in enumerate(labels)}
    panels = [(name, at, list(contested[name])[:MOST_COMPONENTS]) for name, at in cuts.items()]
    drawn = [frequencies[name] is not None and len(shown) > 1 for name, _, shown in panels]
    heights = [6.6 if each else 0.9 for each in drawn]
    figure = Figure(figsize=(8.2, sum(heights) + 0.3), layout="constrained")
    outer = figure.subfigures(len(panels), 1, squeeze=False, height_ratios=heights)
    for part, (name, at, shown) in zip(outer[:, 0], panels, strict=True):
        frequency = frequencies[name]
        title = cut_title(name, at)
        n_contested = at["n_contested_components"]
        if frequency is None or len(shown) < 2:
            why = "no component is contested: all runs agree"
            if frequency is None:
                why = "more pairs than are kept: see stability_groups.csv"
            axes = part.subplots()
            axes.set_axis_off()
            axes.set_title(f"{title}\n{why}")
            continue
        tree, table = part.subplots(2, 1, height_ratios=(1, 7), sharex=True)
        which = np.array([number[label] for label in shown])
        _draw_panel(tree, table, _square(frequency, which), shown)
        of = (
            f"the {len(shown)} most contested of {n_contested}"
            if len(shown) < n_contested
            else f"all {n_contested}"
        )
        tree.set_title(f"{title}\nhow often runs put them together: {of} contested components")
    return figure


def _square(frequency: sparse.csr_array, which: np.ndarray) -> np.ndarray:
    upper = frequency[which][:, which].toarray()
    whole: np.ndarray = upper + upper.T
    np.fill_diagonal(whole, 1.0)
    return whole


def _draw_panel(tree: Axes, table: Axes, together: np.ndarray, shown: Sequence[str]) -> None:
    apart = squareform(1.0 - together, checks=False)
    linkage = hierarchy.optimal_leaf_ordering(hierarchy.average(apart), apart)
    drawing = hierarchy.dendrogram(linkage, no_plot=True)
    order = np.array(drawing["leaves"])
    # scipy puts leaf n at 10 n + 5
    feet = (np.array(drawing["icoord"]) - 5) / 10
    brackets = np.stack([feet, np.array(drawing["dcoord"])], axis=2)
    tree.add_collection(LineCollection(list(brackets), colors=GREY, linewidths=0.8))
    tree.set(ylim=(0, 1.05), ylabel="apart [share]")
    tree.grid(axis="x", visible=False)
    tree.tick_params(axis="x", bottom=False, labelbottom=False)
    image = table.imshow(
        together[np.ix_(order, order)], vmin=0, vmax=1, cmap=AMOUNT, aspect="auto", interpolation="nearest"
    )
    table.grid(visible=False)
    assert table.figure is not None
    table.figure.colorbar(image, ax=[tree, table], label="runs that put both in one group [share]")
    n = len(order)
    table.set_xticks([])
    if n <= _MOST_NAMED:
        size = 7 if n <= 45 else 5
        table.set_yticks(range(n), [plain_text(shown[each], 32) for each in order], fontsize=size)
    else:
        table.set_yticks([])
        table.set_ylabel("component, by the tree above")
    table.set_xlabel("component, by the tree above")
