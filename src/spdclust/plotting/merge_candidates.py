"""Figure: what merging two groups would cost, against how alike they are, at a few moments of a merge."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from spdclust.core.numbering import merges_done
from spdclust.core.types import Float, Int
from spdclust.files.batches import BatchedActivations
from spdclust.merge.history import MergeHistory
from spdclust.merge.view import MergeView
from spdclust.plotting.matrices import change_ticks
from spdclust.plotting.merge_state import draw_nothing, views_of
from spdclust.plotting.style import AMOUNT, GREY, ORANGE, groups_span, plain_text, styled

_SIMILARITY_BINS, _COST_BINS = 60, 80
_ROWS = 64
_LINEAR_SHARE = 50
"""Costs below this share of the largest are on the linear part of the axis."""


@dataclass(frozen=True, eq=False)
class CandidatePairs:
    """All pairs of groups at one moment of a merge, counted by similarity and cost.

    Attributes:
        counts: `(costs, similarities)` number of pairs in each bin; first column: never active together.
        similarity_edges: borders of the bins of Jaccard similarity, but for that first column.
        cost_edges: borders of the bins of cost, bits per sample.
        chosen: similarity and cost of the pair that was merged next; None after the last merge.
        k_groups: number of groups.
        iteration: number of the merge just done, from 0.
    """

    counts: Int[np.ndarray, "costs similarities"]
    similarity_edges: Float[np.ndarray, "_"]
    cost_edges: Float[np.ndarray, "_"]
    chosen: tuple[float, float] | None
    k_groups: int
    iteration: int


def count_candidates(view: MergeView, next_pair: Sequence[int] | None = None) -> CandidatePairs:
    """Count all pairs of groups by their Jaccard similarity and by what merging them would cost.

    The pairs are gone through twice, a few rows at a time; no matrix of them is built.

    Example:
        >>> from spdclust.example_ensemble import example_activations, example_history
        >>> from spdclust.merge.merging import repeat_merge
        >>> history = example_history()
        >>> (view,) = repeat_merge(example_activations(), history, [0])
        >>> candidates = count_candidates(view, history.selected_pairs[1].tolist())
        >>> candidates.k_groups, int(candidates.counts.sum()), round(candidates.chosen[0], 2)
        (11, 55, 0.91)
    """
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
        return draw_nothing(f"{title}: no merges")
    counted = []
    for view in views_of(history, batches, moments_of(history), threads):
        after = view.iteration + 1
        following = history.selected_pairs[after].tolist() if after < history.n_iterations else None
        counted.append(count_candidates(view, following))
    return draw_candidates(counted, title=title)


def moments_of(history: MergeHistory) -> list[int]:
    """Return the first iteration, one halfway, and that of the shortest description, or else the last one.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> moments_of(example_history())
        [0, 3, 7]
    """
    known = history.has_description_length
    end = history.best_iteration() if known else history.n_iterations - 1
    return sorted({0, end // 2, end})


@styled
def draw_candidates(moments: Sequence[CandidatePairs], *, title: str = "Merge") -> Figure:
    """Draw the candidate pairs of a few moments of a merge, cost against Jaccard similarity.

    Example:
        >>> from spdclust.example_ensemble import example_activations, example_history
        >>> from spdclust.merge.merging import repeat_merge
        >>> views = repeat_merge(example_activations(), example_history(), [0, 7])
        >>> figure = draw_candidates([count_candidates(view) for view in views])
        >>> [axes.get_title(loc="left") for axes in figure.axes[:2]]
        ['After 1 merge: 11 groups', 'After 8 merges: 4 groups']
    """
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
