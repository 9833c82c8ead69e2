"""Stage: histories -> figures over the iterations of the merges."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from spdclust.files.histories import load_merge_histories
from spdclust.plotting.merges import CURVES
from spdclust.plotting.style import save_figure


def plot_curves(
    histories: Sequence[str | Path],
    *,
    paths: Mapping[str, Sequence[str | Path]],
    dpi: int = 150,
    scale: float = 1.0,
) -> None:
    """Draw figures of `CURVES`.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     place = write_example_ensemble(folder)
        ...     figures = {"mdl": [f"{folder}/mdl.png", f"{folder}/mdl.pdf"]}
        ...     plot_curves([place.history(0), place.history(1)], paths=figures)
        ...     sorted(path.name for path in Path(folder).glob("mdl.*"))
        ['mdl.pdf', 'mdl.png']

    Args:
        histories: `history.zip` of each run.
        paths: for each figure wanted, where it goes, once for each path.
        dpi: pixels per inch.
        scale: factor on the size.

    Raises:
        InputError: a history cannot be read, or a figure cannot be written.
    """
    ensemble = load_merge_histories(histories)
    for name, files in paths.items():
        save_figure(CURVES[name](ensemble), *files, dpi=dpi, scale=scale)
