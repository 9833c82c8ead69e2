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

from spdclust.core.errors import InputError
from spdclust.core.types import Labels
from spdclust.files.stability_reading import CutComponent
from spdclust.plotting.cuts import cut_title
from spdclust.plotting.style import AMOUNT, GREY, plain_text, styled

MOST_COMPONENTS = 150
"""Contested components shown at each cut, those that runs disagree about most."""

_MOST_NAMED = 70


@styled
def plot_coclustering(
    record: Mapping[str, Any],
    components: Mapping[str, Sequence[CutComponent]],
    labels: Labels,
    frequencies: Mapping[str, sparse.csr_array | None],
) -> Figure:
    """Draw, at each cut, the share of runs that put two contested components together.

    Example:
        >>> record = {"cuts": {"least_mdl": {"cut": {"n_groups": [2, 2]}, "n_contested_components": 2}}}
        >>> share = sparse.csr_array(np.array([[0.0, 0.5, 0.5], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
        >>> components = {"least_mdl": [CutComponent(label, 0, 0.5) for label in "ab"]}
        >>> figure = plot_coclustering(record, components, ["a", "b", "c"], {"least_mdl": share})
        >>> [text.get_text() for text in figure.axes[1].get_yticklabels()]
        ['a', 'b']

    Args:
        record: the few numbers of the stability analysis, see `stability_record`.
        components: for each cut, its components, the most contested first.
        labels: names of the components of the matrices.
        frequencies: for each cut, `(components, components)` share of runs, upper triangle; None where there
            were too many pairs to keep.

    Raises:
        InputError: no frequencies of a cut.
    """
    cuts = record["cuts"]
    if unknown := [name for name in cuts if name not in frequencies]:
        raise InputError(
            "cut without co-clustering", field="cuts", found=unknown, allowed=", ".join(frequencies)
        )
    number = {label: component for component, label in enumerate(labels)}
    panels = [(name, at, _contested(components.get(name, []))) for name, at in cuts.items()]
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


def _contested(components: Sequence[CutComponent]) -> list[str]:
    return [each.label for each in components if each.contestedness > 0][:MOST_COMPONENTS]


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
