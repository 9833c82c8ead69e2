"""Figures: what happens over the iterations of a merge, all runs of an ensemble in one picture."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from spdclust.core.spacing import evenly_spaced
from spdclust.merge.history import MergeHistory
from spdclust.merge.sizes import size_curves
from spdclust.partitions.ensemble import MergeHistoryEnsemble
from spdclust.plotting.cuts import groups_span
from spdclust.plotting.style import BLUE, GREEN, GREY, ORANGE, new_figure, styled


@styled
def plot_mdl(histories: MergeHistoryEnsemble | Sequence[MergeHistory]) -> Figure:
    """Draw the description length over iterations, the least one of each run marked.

    Without merges, or without description lengths in the histories, the figure says so.

    Example:
        >>> import numpy as np
        >>> from spdclust.config.merge import MergeConfig
        >>> history = MergeHistory(
        ...     ["a:0", "a:1"], np.array([[0, 1]]), np.array([2.5]), np.array([-1.0]), MergeConfig()
        ... )
        >>> plot_mdl([history]).axes[0].get_ylabel()
        'description length [bits per sample]'
    """
    figure, (axes,) = new_figure()
    axes.set(xlabel="after how many merges", ylabel="description length [bits per sample]")
    axes.margins(x=0.01)
    known = [history for history in histories if history.has_description_length]
    if not known:
        said = "no merges" if not any(history.n_iterations for history in histories) else "not recorded"
        if any(history.is_scalar for history in histories):
            said = "means nothing for scalar activations"
        axes.set_title(f"Description length: {said}")
        return figure
    for number, history in enumerate(known):
        best, shown = history.best_iteration(), evenly_spaced(history.n_iterations, _MOST_ITERATIONS)
        label = "each run" if number == 0 else None
        axes.plot(shown + 1, history.mdl_loss[shown], color=BLUE, alpha=0.6, lw=1, label=label)
        label = "its shortest description" if number == 0 else None
        axes.plot(best + 1, history.mdl_loss[best], "o", color=ORANGE, ms=5, zorder=3, label=label)
    best_groups = [int(history.k_groups[history.best_iteration()]) for history in known]
    axes.set_title(f"Description length, shortest at {groups_span(best_groups)}")
    axes.legend()
    return figure


@styled
def plot_cluster_sizes(histories: MergeHistoryEnsemble | Sequence[MergeHistory]) -> Figure:
    """Draw the numbers of groups and the sizes of the largest ones over iterations.

    Example:
        >>> import numpy as np
        >>> from spdclust.config.merge import MergeConfig
        >>> history = MergeHistory(
        ...     ["a:0", "a:1"], np.array([[0, 1]]), np.array([2.5]), np.array([-1.0]), MergeConfig()
        ... )
        >>> [axes.get_ylabel() for axes in plot_cluster_sizes([history]).axes]
        ['groups [count]', 'size [components]']
    """
    figure, (counts, sizes) = new_figure(2, size=(6.4, 5.4))
    for number, history in enumerate(histories):
        largest, singletons = size_curves(history)
        first, shown = number == 0, evenly_spaced(history.n_iterations, _MOST_ITERATIONS)
        several = history.k_groups - singletons
        for curve, color, name in (
            (history.k_groups, GREY, "all"),
            (singletons, BLUE, "of one component"),
            (several, ORANGE, "of several"),
        ):
            counts.plot(shown + 1, curve[shown], color=color, lw=1, alpha=0.6, label=name if first else None)
        for rank, (color, name) in enumerate(zip((ORANGE, GREEN, BLUE), _RANKS, strict=True)):
            curve = largest[shown, rank].astype(float)
            curve[curve == 0] = np.nan  # there is no such group
            sizes.plot(shown + 1, curve, color=color, lw=1, alpha=0.6, label=name if first else None)
    merged = any(history.n_iterations for history in histories)
    counts.set(ylabel="groups [count]")
    counts.set_title("Number of groups, one line a run" if merged else "Number of groups: no merges")
    counts.legend()
    sizes.set(
        xlabel="after how many merges", ylabel="size [components]", yscale="log" if merged else "linear"
    )
    sizes.set_title("Sizes of the three largest groups")
    sizes.margins(x=0.01)
    sizes.legend()
    return figure


_MOST_ITERATIONS = 2_000
_RANKS = ("largest", "second", "third")
