"""Stage: merge history and its batches -> what merging two groups costs, against how alike they are."""

from collections.abc import Sequence
from pathlib import Path

from spdclust.core.errors import InputError
from spdclust.files.batches import BatchedActivations
from spdclust.files.histories import load_merge_history
from spdclust.merge.history import MergeHistory
from spdclust.merge.repeating import repeat_merge
from spdclust.plotting.merge_candidates import count_candidates
from spdclust.plotting.merge_candidates import plot_merge_candidates as draw
from spdclust.plotting.merge_state import draw_nothing
from spdclust.plotting.style import save_figure


def plot_merge_candidates(
    history: str | Path,
    batches: Sequence[str | Path],
    *,
    paths: Sequence[str | Path],
    title: str = "Merge",
    threads: int | None = None,
    dpi: int = 150,
    scale: float = 1.0,
) -> None:
    """Draw the candidate pairs at the start of a merge, halfway, and at its shortest description.

    Example:
        >>> import tempfile
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     place, picture = write_example_ensemble(folder), Path(folder) / "merge_candidates.png"
        ...     plot_merge_candidates(place.history(0), [place.batches(0) / "batch_0.pt"], paths=[picture])
        ...     picture.is_file()
        True

    Args:
        history: `history.zip` of a run.
        batches: the run's batch files in order.
        paths: where it goes.
        title: which run this is.
        threads: how many may be used to repeat the merge.
        dpi: pixels per inch.
        scale: factor on the size.

    Raises:
        InputError: a file cannot be read, or the batches are not those of the history.
    """
    made = load_merge_history(history)
    if made.n_iterations == 0:
        save_figure(draw_nothing(f"{title}: no merges"), *paths, dpi=dpi, scale=scale)
        return
    source = BatchedActivations([Path(path) for path in batches])
    moments = []
    try:
        for view in repeat_merge(source, made, moments_of(made), threads=threads):
            after = view.iteration + 1
            following = made.selected_pairs[after].tolist() if after < made.n_iterations else None
            moments.append(count_candidates(view, following))
    except InputError as error:
        raise error.located(file=Path(batches[0]).parent) from error
    save_figure(draw(moments, title=title), *paths, dpi=dpi, scale=scale)


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
