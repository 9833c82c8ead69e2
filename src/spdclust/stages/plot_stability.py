"""Stage: stability analysis -> its figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from spdclust.files.stability_reading import load_stability_iterations, load_stability_record
from spdclust.plotting.stability import STABILITY_FIGURES
from spdclust.plotting.style import save_figure


def plot_stability(
    record: str | Path,
    iterations: str | Path,
    *,
    paths: Mapping[str, Sequence[str | Path]],
    dpi: int = 150,
    scale: float = 1.0,
) -> None:
    """Draw figures of `STABILITY_FIGURES`.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     place = write_example_ensemble(folder).folder
        ...     record, iterations = place / "stability.json", place / "stability_iterations.csv"
        ...     plot_stability(record, iterations, paths={"stability": [f"{folder}/stability.png"]})
        ...     [path.name for path in Path(folder).glob("*.png")]
        ['stability.png']

    Args:
        record: `stability.json`.
        iterations: `stability_iterations.csv`.
        paths: for each figure wanted, where it goes, once for each path.
        dpi: pixels per inch.
        scale: factor on the size.

    Raises:
        InputError: the analysis cannot be read, or a figure cannot be written.
    """
    said, rows = load_stability_record(record), load_stability_iterations(iterations)
    for name, files in paths.items():
        save_figure(STABILITY_FIGURES[name](said, rows), *files, dpi=dpi, scale=scale)
