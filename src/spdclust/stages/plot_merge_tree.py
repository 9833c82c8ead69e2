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
        >>> from spdclust.example_ensemble import example_history
        >>> from spdclust.files.histories import save_merge_history
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_merge_history(example_history(), f"{folder}/history.zip")
        ...     plot_merge_tree(f"{folder}/history.zip", paths=[f"{folder}/merge_tree.png"])
        ...     sorted(path.name for path in Path(folder).iterdir())
        ['history.zip', 'merge_tree.png']

    Raises:
        InputError: the history cannot be read, or a figure cannot be written.
    """
    save_figure(draw(load_merge_history(history), title=title), *paths, dpi=dpi, scale=scale)
