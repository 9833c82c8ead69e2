"""Stage: comparison of a sweep's points -> its figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from spdclust.files.sweeps import load_sweep
from spdclust.plotting.style import save_figure
from spdclust.plotting.sweeps import FIGURES


def plot_sweep(
    record: str | Path, *, paths: Mapping[str, Sequence[str | Path]], dpi: int = 150, scale: float = 1.0
) -> None:
    """Draw figures of `FIGURES`.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> from spdclust.stages.compare_points import PointFiles, compare_points
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     place = write_example_ensemble(folder).folder
        ...     values = [("alpha~1", {"alpha": 1}), ("alpha~2", {"alpha": 2})]
        ...     points = [PointFiles(*each, place, place / "stability.json") for each in values]
        ...     _ = compare_points(points, folder)
        ...     plot_sweep(f"{folder}/sweep.json", paths={"sweep": [f"{folder}/sweep.png"]})
        ...     [path.name for path in Path(folder).glob("*.png")]
        ['sweep.png']

    Args:
        record: `sweep.json`.
        paths: for each figure wanted, where it goes, once for each path.
        dpi: pixels per inch.
        scale: factor on the size.

    Raises:
        InputError: the comparison cannot be read, or a figure cannot be written.
    """
    compared = load_sweep(record)
    for name, files in paths.items():
        save_figure(FIGURES[name](compared), *files, dpi=dpi, scale=scale)
