"""Stage: distances -> their figure."""

from collections.abc import Sequence
from pathlib import Path

from spdclust.files.ensembles import load_distance_rows
from spdclust.plotting.distances import plot_distances as draw
from spdclust.plotting.style import save_figure


def plot_distances(
    distances: str | Path,
    method: str,
    *,
    paths: Sequence[str | Path],
    dpi: int = 150,
    scale: float = 1.0,
) -> None:
    """Draw the distances of one method, once for each path.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     method, picture = "perm_invariant_hamming", Path(folder) / "distances.png"
        ...     file = write_example_ensemble(folder).distance_file(method)
        ...     plot_distances(file, method, paths=[picture])
        ...     picture.is_file()
        True

    Raises:
        InputError: the distances cannot be read, or a figure cannot be written.
    """
    iterations, between = load_distance_rows(distances)
    save_figure(draw(between, method, iterations), *paths, dpi=dpi, scale=scale)
