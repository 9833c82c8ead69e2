"""Stage: distances and stability analysis -> which runs resemble each other at the cuts."""

from collections.abc import Sequence
from pathlib import Path

from spdclust.files.ensembles import load_distance_rows
from spdclust.files.stability_reading import load_stability_record
from spdclust.plotting.runs import plot_runs as draw
from spdclust.plotting.style import save_figure


def plot_runs(
    distances: str | Path,
    record: str | Path,
    method: str,
    *,
    paths: Sequence[str | Path],
    dpi: int = 150,
    scale: float = 1.0,
) -> None:
    """Draw the distances of one method between runs at the cuts, once for each path.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     place, method = write_example_ensemble(folder, n_runs=3), "perm_invariant_hamming"
        ...     picture = Path(folder) / f"runs_{method}.png"
        ...     record = place.folder / "stability.json"
        ...     plot_runs(place.distance_file(method), record, method, paths=[picture])
        ...     picture.is_file()
        True

    Args:
        distances: `distances_<method>.npz`.
        record: `stability.json`.
        method: the distance.
        paths: where it goes.
        dpi: pixels per inch.
        scale: factor on the size.

    Raises:
        InputError: a file cannot be read, or a figure cannot be written.
    """
    iterations, between = load_distance_rows(distances)
    figure = draw(between, method, iterations, load_stability_record(record))
    save_figure(figure, *paths, dpi=dpi, scale=scale)
