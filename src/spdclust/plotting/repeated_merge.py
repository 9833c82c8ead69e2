"""What figures of moments of a merge share: the merge is repeated to see them."""

from collections.abc import Iterable, Iterator

from matplotlib.figure import Figure

from spdclust.core.errors import InputError
from spdclust.files.batches import BatchedActivations
from spdclust.merge.history import MergeHistory
from spdclust.merge.repeating import repeat_merge
from spdclust.merge.view import MergeView
from spdclust.plotting.style import new_figure, plain_text, styled

_LONGEST_TITLE = 110


def views_of(
    history: MergeHistory, batches: BatchedActivations, iterations: Iterable[int], threads: int | None
) -> Iterator[MergeView]:
    """Yield the state of a merge just after some iterations; errors name the folder of the batches.

    Example:
        >>> import tempfile
        >>> from spdclust.example_ensemble import example_history, write_example_ensemble
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     batches = BatchedActivations(write_example_ensemble(folder).batches(0))
        ...     [view.k_groups for view in views_of(example_history(), batches, [0, 7], None)]
        [11, 4]

    Args:
        history: the merge.
        batches: what was merged.
        iterations: which to look at, in order.
        threads: how many may be used; None for all cores.

    Raises:
        InputError: a batch cannot be read, or the batches are not those of the history.
    """
    try:
        yield from repeat_merge(batches, history, iterations, threads=threads)
    except InputError as error:
        raise error.located(file=batches.paths[0].parent) from error


@styled
def draw_nothing(title: str) -> Figure:
    """Return a figure that only says why there is nothing to draw.

    Example:
        >>> draw_nothing("run_0: no merges").axes[0].get_title(loc="left")
        'run_0: no merges'
    """
    figure, (axes,) = new_figure(size=(6.4, 1.6))
    axes.set_axis_off()
    axes.set_title(plain_text(title, _LONGEST_TITLE))
    return figure
