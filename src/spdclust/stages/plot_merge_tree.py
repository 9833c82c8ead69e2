"""Stage: merge history -> its tree."""

from collections.abc import Sequence
from pathlib import Path

from spdclust.files.histories import load_merge_history
from spdclust.plotting.merge_tree import plot_merge_tree as draw
from spdclust.plotting.style import save_figure


def plot_merge_tree(
    history: str | Path,
    *,
    paths: Sequence[str | Path],
    title: str = "Merge tree",
    dpi: int = 150,
    scale: float = 1.0,
) -> None:
    """Draw the merge tree of one run, once for each path.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     history = write_example_ensemble(folder).history(0)
        ...     plot_merge_tree(history, paths=[f"{folder}/merge_tree.png", f"{folder}/merge_tree.pdf"])
        ...     sorted(path.name for path in Path(folder).glob("merge_tree.*"))
        ['merge_tree.pdf', 'merge_tree.png']

    Raises:
        InputError: the history cannot be read, or a figure cannot be written.
    """
    save_figure(draw(load_merge_history(history), title=title), *paths, dpi=dpi, scale=scale)
