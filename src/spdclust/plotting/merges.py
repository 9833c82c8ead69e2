"""Figures: what happens over the iterations of a merge, all runs of an ensemble in one picture."""

from collections.abc import Callable, Sequence

from matplotlib.figure import Figure

from spdclust.ensemble import MergeHistoryEnsemble
from spdclust.merge.history import MergeHistory
from spdclust.merge.sizes import size_curves
from spdclust.plotting.style import BLUE, GREEN, GREY, ORANGE, new_figure, styled


@styled
def plot_mdl(histories: MergeHistoryEnsemble | Sequence[MergeHistory]) -> Figure:
    """Draw the description length over iterations, the least one of each run marked.

    Example:
        >>> import numpy as np
        >>> from spdclust.config.merge import MergeConfig
        >>> history = MergeHistory(
        ...     ["a:0", "a:1"], np.array([[0, 1]]), np.array([2.5]), np.array([-1.0]), MergeConfig()
        ... )
        >>> plot_mdl([history]).axes[0].get_ylabel()
        'description length [bits per sample]'

    Raises:
        InputError: a history has no merges.
    """
    figure, (axes,) = new_figure()
    for number, history in enumerate(histories):
        best = history.best_iteration()
        axes.plot(history.mdl_loss, color=BLUE, alpha=0.6, lw=1, label="each run" if number == 0 else None)
        axes.plot(
            best, history.mdl_loss[best], "o", color=ORANGE, ms=5, label="least" if number == 0 else None
        )
    best_groups = [int(history.k_groups[history.best_iteration()]) for history in histories]
    low, high = min(best_groups), max(best_groups)
    groups = f"{low} groups" if low == high else f"{low} to {high} groups"
    axes.set(xlabel="iteration [merges]", ylabel="description length [bits per sample]")
    axes.set_title(f"Description length, least at {groups}")
    axes.margins(x=0.01)
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
        first = number == 0
        several = history.k_groups - singletons
        counts.plot(history.k_groups, color=GREY, lw=1, alpha=0.6, label="all" if first else None)
        counts.plot(singletons, color=BLUE, lw=1, alpha=0.6, label="of one component" if first else None)
        counts.plot(several, color=ORANGE, lw=1, alpha=0.6, label="of several" if first else None)
        for rank, (color, name) in enumerate(zip((ORANGE, GREEN, BLUE), _RANKS, strict=True)):
            sizes.plot(largest[:, rank], color=color, lw=1, alpha=0.6, label=name if first else None)
    counts.set(ylabel="groups [count]")
    counts.set_title("Groups over the merge, one line a run")
    counts.legend()
    sizes.set(xlabel="iteration [merges]", ylabel="size [components]", yscale="log")
    sizes.set_title("Sizes of the three largest groups")
    sizes.margins(x=0.01)
    sizes.legend()
    return figure


_RANKS = ("largest", "second", "third")


CURVES: dict[str, Callable[[MergeHistoryEnsemble], Figure]] = {
    "mdl": plot_mdl,
    "cluster_sizes": plot_cluster_sizes,
}
"""Figures drawn from the histories of an ensemble, by file name."""
