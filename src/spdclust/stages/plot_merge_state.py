"""Stage: merge history and its batches -> a figure of one moment of the merge."""

from collections.abc import Sequence
from pathlib import Path

from spdclust.core.errors import InputError
from spdclust.files.batches import BatchedActivations
from spdclust.files.histories import load_merge_history
from spdclust.merge.repeating import repeat_merge
from spdclust.plotting.merge_state import draw_merge_view, draw_nothing
from spdclust.plotting.style import save_figure


def plot_merge_state(
    history: str | Path,
    batches: Sequence[str | Path],
    moment: str,
    *,
    paths: Sequence[str | Path],
    title: str = "Merge",
    threads: int | None = None,
    dpi: int = 150,
    scale: float = 1.0,
) -> None:
    """Draw the groups, their coactivations and costs just after one merge, once for each path.

    Example:
        >>> import tempfile
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     place, picture = write_example_ensemble(folder), Path(folder) / "merge_state.png"
        ...     batches = [place.batches(0) / "batch_0.pt"]
        ...     plot_merge_state(place.history(0), batches, "least_mdl", paths=[picture])
        ...     picture.is_file()
        True

    Args:
        history: `history.zip` of a run.
        batches: the run's batch files in order.
        moment: `iteration_<i>` (from 0), or `least_mdl` for the shortest description.
        paths: where it goes.
        title: which run this is.
        threads: how many may be used to repeat the merge.
        dpi: pixels per inch.
        scale: factor on the size.

    Raises:
        InputError: a file cannot be read, the batches are not those of the history, or there is no such
            merge.
    """
    made = load_merge_history(history)
    if made.n_iterations == 0:
        save_figure(draw_nothing(f"{title}: no merges"), *paths, dpi=dpi, scale=scale)
        return
    try:
        iteration = made.best_iteration() if moment == "least_mdl" else int(moment.removeprefix("iteration_"))
        made.group_idxs(iteration)
    except InputError as error:
        raise error.located(file=history) from error
    source = BatchedActivations([Path(path) for path in batches])
    try:
        (view,) = repeat_merge(source, made, [iteration], threads=threads)
    except InputError as error:
        raise error.located(file=Path(batches[0]).parent) from error
    best = " (shortest description)" if moment == "least_mdl" else ""
    said = f"{title} after merge {iteration}{best}: {view.k_groups} groups"
    save_figure(draw_merge_view(view, title=said), *paths, dpi=dpi, scale=scale)
