"""Figures of moments of a merge, which is repeated: groups, how they act together, what merging two costs."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from spdclust.core.errors import InputError, in_file
from spdclust.core.names import merges_done, split_cut
from spdclust.core.types import Float, Int, Num
from spdclust.files.batches import BatchedActivations
from spdclust.merge.history import MergeHistory
from spdclust.merge.merging import repeat_merge
from spdclust.merge.view import MergeView
from spdclust.plotting.matrices import (
    aggregate,
    aggregate_matrix,
    bin_edges,
    block_note,
    change_ticks,
    draw_matrix,
)
from spdclust.plotting.style import (
    AMOUNT,
    BLUE,
    GREY,
    LONGEST_TITLE,
    ORANGE,
    empty_figure,
    groups_span,
    plain_text,
    styled,
)

_SIMILARITY_BINS, _COST_BINS = 60, 80
_ROWS = 64
_LINEAR_SHARE = 50  # costs below this share of the largest are on the linear part of the axis


def draw_merge_state(
    group_idxs: Int[np.ndarray, " components"],
    coactivations: Num[np.ndarray, "groups groups"],
    costs: Num[np.ndarray, "groups groups"],
    *,
    title: str,
) -> Figure:
    """Draw the assignment of components to groups, the groups' coactivations and their merge costs.

    Example:
        >>> view = np.array([[2.0, 1.0], [1.0, 3.0]])
        >>> figure = draw_merge_state(np.array([0, 1, 0]), view, -view, title="run 0 after 6 merges")
        >>> [axes.get_title(loc="left") for axes in figure.axes[:3]]
        ['Groups of 3 components', 'Coactivations', 'Costs of merging two next']

    Args:
        group_idxs: group of each component.
        coactivations: samples on which two groups are both active, counts; their activities on the diagonal.
        costs: change of the description length by merging two groups, bits per sample. In both matrices NaN
            is what has no value (masked groups, the diagonal).
        title: names the moment of the merge.

    Raises:
        InputError: the shapes do not fit together.
    """
    n_groups = _n_groups(group_idxs)
    for name, matrix in (("coactivations", coactivations), ("costs", costs)):
        if matrix.shape != (n_groups, n_groups):
            raise InputError(
                "matrix does not match the groups",
                field=name,
                found=matrix.shape,
                allowed=f"({n_groups}, {n_groups}), as in group_idxs",
            )
    return _draw_merge_state_cells(
        group_idxs,
        aggregate_matrix(coactivations),
        aggregate_matrix(costs, "least"),
        title=title,
        counts=_whole(np.diag(coactivations)),
    )


def _draw_merge_view(view: MergeView, *, title: str) -> Figure:
    """Draw the state of a merge without building its matrices: only what the cells need is read."""
    n_groups = view.k_groups

    def pairs(start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        first, second = np.meshgrid(np.arange(start, stop), np.arange(n_groups), indexing="ij")
        return first, second

    def coactivations(start: int, stop: int) -> np.ndarray:
        return np.asarray(view.coactivations_of(*pairs(start, stop)))

    def costs(start: int, stop: int) -> np.ndarray:
        first, second = pairs(start, stop)
        return np.where(first == second, np.nan, view.costs_of(first, second))

    shape = (n_groups, n_groups)
    return _draw_merge_state_cells(
        np.asarray(view.group_idxs),
        aggregate(coactivations, shape),
        aggregate(costs, shape, "least"),
        title=title,
        counts=_whole(view.activities),
    )


def plot_merge_state(
    history: MergeHistory,
    batches: BatchedActivations,
    moment: str,
    *,
    title: str = "Merge",
    threads: int | None = None,
) -> Figure:
    """Repeat a merge up to one moment, and draw its state.

    `moment` is `merges_<n>`, `iteration_<t>`, or `least_mdl` for the shortest description.

    Example:
        >>> from spdclust.example_ensemble import example_history, write_example_ensemble
        >>> batches = BatchedActivations(write_example_ensemble(folder).batches(0))
        >>> figure = plot_merge_state(example_history(), batches, "least_mdl", title="Run 0")
        >>> figure.get_suptitle()
        'Run 0 after 8 merges (shortest description): 4 groups'

    Raises:
        InputError: the batches are not those of the history, or there is no such merge.
    """
    if history.n_iterations == 0:
        return empty_figure(f"{title}: no merges")
    shortest = moment == "least_mdl"
    iteration = history.best_iteration() if shortest else split_cut(moment)[1]
    history.group_idxs(iteration)  # is there such a merge?
    (view,) = _views_of(history, batches, [iteration], threads)
    best = " (shortest description)" if shortest else ""
    return _draw_merge_view(
        view, title=f"{title} after {merges_done(iteration)}{best}: {view.k_groups} groups"
    )


def _whole(activities: np.ndarray) -> bool:
    return bool((np.mod(activities[~np.isnan(activities)], 1) == 0).all())


@styled
def _draw_merge_state_cells(
    group_idxs: Int[np.ndarray, " components"],
    coactivations: Float[np.ndarray, "_ _"],
    costs: Float[np.ndarray, "_ _"],
    *,
    title: str,
    counts: bool = True,
) -> Figure:
    """Draw the same from matrices that are aggregated already, for more groups than fit in memory squared.

    Without `counts`, coactivations are sums of products of activations.
    """
    n_groups = _n_groups(group_idxs)
    figure = Figure(figsize=(11.0, 4.0), layout="constrained")
    assigned, together, price = figure.subplots(1, 3)
    figure.suptitle(plain_text(title, LONGEST_TITLE), x=0.01, ha="left")
    _draw_assignment(assigned, group_idxs, n_groups)
    shape = (n_groups, n_groups)
    unit = "samples on which both are active [count]" if counts else "sum over samples of products"
    draw_matrix(together, coactivations, shape, unit, "log")
    together.set_title(_titled("Coactivations", block_note(n_groups, "groups", "mean")))
    draw_matrix(price, costs, shape, "change of description length [bits per sample]", "change")
    price.set_title(_titled("Costs of merging two next", block_note(n_groups, "groups", "least")))
    if n_groups == 1:
        price.set_title("One group: nothing to merge")
    for axes, note in ((together, "white: never together"), (price, "grey: no value")):
        axes.set(xlabel=f"group ({note})", ylabel="group")
        _whole_numbers(axes)
    return figure


def _draw_assignment(axes: Axes, group_idxs: np.ndarray, n_groups: int) -> None:
    n_components = len(group_idxs)
    rows, columns = bin_edges(n_components), bin_edges(n_groups)
    shape = (len(rows) - 1, len(columns) - 1)
    row = np.searchsorted(rows, np.arange(n_components), side="right") - 1
    column = np.searchsorted(columns, group_idxs, side="right") - 1
    counts = np.bincount(row * shape[1] + column, minlength=shape[0] * shape[1]).reshape(shape)
    axes.grid(visible=False)
    filled = np.ma.masked_equal(counts, 0)
    extent = (0, max(1, n_groups), max(1, n_components), 0)
    if n_components and counts.max() > 1:
        norm = LogNorm(1, counts.max())
        image = axes.imshow(
            filled, extent=extent, aspect="auto", cmap=AMOUNT, norm=norm, interpolation="nearest"
        )
        assert axes.figure is not None
        axes.figure.colorbar(image, ax=axes, label="components in the cell [count]")
    else:
        blue = ListedColormap([BLUE])
        axes.imshow(filled, extent=extent, aspect="auto", cmap=blue, interpolation="nearest")
    axes.set(xlabel=f"group ({n_groups} in all)", ylabel="component")
    axes.set_title(f"Groups of {n_components} components")
    _whole_numbers(axes)


def _whole_numbers(axes: Axes) -> None:
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6, integer=True))


def _titled(title: str, note: str) -> str:
    return f"{title}\n{note}" if note else title


def _n_groups(group_idxs: np.ndarray) -> int:
    return int(group_idxs.max()) + 1 if len(group_idxs) else 0


def _views_of(
    history: MergeHistory, batches: BatchedActivations, iterations: Iterable[int], threads: int | None
) -> Iterator[MergeView]:
    """Yield the state of a merge just after some iterations; errors name the folder of the batches."""
    with in_file(batches.paths[0].parent):
        yield from repeat_merge(batches, history, iterations, threads=threads)


@dataclass(frozen=True, eq=False)
class CandidatePairs:
    """All pairs of groups at one moment of a merge, counted by similarity and cost.

    Attributes:
        counts: `(costs, similarities)` number of pairs in each bin; first column: never active together.
        similarity_edges: borders of the bins of Jaccard similarity, but for that first column.
        cost_edges: borders of the bins of cost, bits per sample.
        chosen: similarity and cost of the pair that was merged next; None after the last merge.
        iteration: number of the merge just done, from 0.
    """

    counts: Int[np.ndarray, "costs similarities"]
    similarity_edges: Float[np.ndarray, "_"]
    cost_edges: Float[np.ndarray, "_"]
    chosen: tuple[float, float] | None
    k_groups: int
    iteration: int


def _count_candidates(view: MergeView, next_pair: Sequence[int] | None = None) -> CandidatePairs:
    """Count all pairs of groups by their Jaccard similarity and by what merging them would cost."""
    low, high = np.inf, -np.inf
    for _, costs in _pairs(view):
        if len(costs):
            low, high = min(low, float(costs.min())), max(high, float(costs.max()))
    if low > high:  # no pair at all
        low, high = 0.0, 0.0
    width = max(abs(low), abs(high), 1e-12) / _LINEAR_SHARE
    ends = np.arcsinh(np.array([low, high]) / width) + np.array([-1e-6, 1e-6])
    cost_edges = np.sinh(np.linspace(ends[0], ends[1], _COST_BINS + 1)) * width
    similarity_edges = np.linspace(0, 1, _SIMILARITY_BINS + 1)
    counts = np.zeros((_COST_BINS, _SIMILARITY_BINS + 1), dtype=np.int64)
    for similarity, costs in _pairs(view):
        row = np.clip(np.searchsorted(cost_edges, costs, side="right") - 1, 0, _COST_BINS - 1)
        column = np.ceil(similarity * _SIMILARITY_BINS).astype(np.int64)
        flat = row * counts.shape[1] + np.clip(column, 0, _SIMILARITY_BINS)
        counts += np.bincount(flat, minlength=counts.size).reshape(counts.shape)
    chosen = None
    if next_pair is not None:
        first, second = (np.array([group]) for group in next_pair)
        similarity, costs = _compare(view, first, second)
        if len(costs):
            chosen = float(similarity[0]), float(costs[0])
    return CandidatePairs(counts, similarity_edges, cost_edges, chosen, view.k_groups, view.iteration)


def _pairs(view: MergeView) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the similarity and the cost of all pairs of groups, those of a few rows at a time."""
    for start in range(0, view.k_groups, _ROWS):
        first, second = np.meshgrid(
            np.arange(start, min(start + _ROWS, view.k_groups)), np.arange(view.k_groups), indexing="ij"
        )
        later = second > first
        yield _compare(view, first[later], second[later])


def _compare(view: MergeView, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    together = view.coactivations_of(first, second)
    costs = view.costs_of(first, second)
    either = view.activities[first] + view.activities[second] - together
    similarity = np.divide(together, either, out=np.zeros(len(together)), where=either > 0)
    known = np.isfinite(costs)  # not of groups that are masked until the next batch
    return np.clip(similarity[known], 0, 1), costs[known]


def plot_merge_candidates(
    history: MergeHistory, batches: BatchedActivations, *, title: str = "Merge", threads: int | None = None
) -> Figure:
    """Repeat a merge, and draw the candidate pairs at its start, halfway, and at its shortest description.

    Example:
        >>> from spdclust.example_ensemble import example_history, write_example_ensemble
        >>> batches = BatchedActivations(write_example_ensemble(folder).batches(0))
        >>> figure = plot_merge_candidates(example_history(), batches, title="Run 0")
        >>> figure.axes[2].get_title(loc="left")
        'After 8 merges: 4 groups'

    Raises:
        InputError: the batches are not those of the history.
    """
    if history.n_iterations == 0:
        return empty_figure(f"{title}: no merges")
    counted = []
    for view in _views_of(history, batches, _moments_of(history), threads):
        after = view.iteration + 1
        following = history.selected_pairs[after].tolist() if after < history.n_iterations else None
        counted.append(_count_candidates(view, following))
    return _draw_candidates(counted, title=title)


def _moments_of(history: MergeHistory) -> list[int]:
    """Return the first iteration, one halfway, and that of the shortest description, or else the last one."""
    known = history.has_description_length
    end = history.best_iteration() if known else history.n_iterations - 1
    return sorted({0, end // 2, end})


@styled
def _draw_candidates(moments: Sequence[CandidatePairs], *, title: str = "Merge") -> Figure:
    """Draw the candidate pairs of a few moments of a merge, cost against Jaccard similarity."""
    figure = Figure(figsize=(4.0 * max(1, len(moments)) + 1.0, 4.4), layout="constrained")
    figure.suptitle(plain_text(f"{title}: pairs that could be merged next"), x=0.01, ha="left")
    most = max((int(moment.counts.max()) for moment in moments), default=1)
    panels = figure.subplots(1, max(1, len(moments)), squeeze=False)[0]
    width = 1 / _SIMILARITY_BINS
    mesh = None
    for axes, moment in zip(panels, moments, strict=True):
        edges = np.concatenate([[-3 * width, -0.5 * width], moment.similarity_edges[1:]])
        filled = np.ma.masked_equal(moment.counts, 0)
        mesh = axes.pcolormesh(
            edges, moment.cost_edges, filled, cmap=AMOUNT, norm=LogNorm(1, max(2, most)), rasterized=True
        )
        axes.axhline(0, color=GREY, lw=1.0)
        if moment.chosen is not None:
            axes.plot(*moment.chosen, "o", ms=9, mfc="none", mec=ORANGE, mew=1.8, label="merged next")
            axes.legend(fontsize=8, loc="upper right")
        reach = max(float(np.abs(moment.cost_edges).max()), 1e-12)
        axes.set_yscale("asinh", linear_width=reach / _LINEAR_SHARE)
        axes.set_yticks(change_ticks(reach))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda cost, _: f"{cost:g}"))
        axes.minorticks_off()
        axes.set_ylim(1.15 * min(moment.cost_edges[0], 0), 1.15 * max(moment.cost_edges[-1], 0) or 1)
        axes.set(xlim=(-4 * width, 1 + width), xlabel="Jaccard similarity (left: never together)")
        axes.set_title(f"After {merges_done(moment.iteration)}: {groups_span([moment.k_groups])}")
    panels[0].set_ylabel("change of description length [bits per sample]")
    if mesh is not None:
        figure.colorbar(mesh, ax=list(panels), label="pairs of groups [count]")
    return figure
