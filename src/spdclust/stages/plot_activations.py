"""Stage: one batch of activations -> its figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from spdclust.files.batches import ActivationBatch
from spdclust.plotting.activations import activation_figures
from spdclust.plotting.style import save_figure


def plot_activations(
    batch: str | Path,
    *,
    paths: Mapping[str, Sequence[str | Path]],
    activation_threshold: float | None = None,
    dpi: int = 150,
    scale: float = 1.0,
) -> None:
    """Draw figures of `ACTIVATION_FIGURES`.

    Example:
        >>> import tempfile
        >>> from spdclust.example_ensemble import example_activations
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     batch = Path(folder) / "batch_0.pt"
        ...     ActivationBatch(example_activations()).save(batch)
        ...     figures = {name: [f"{folder}/{name}.png"] for name in ("raw", "histograms")}
        ...     plot_activations(batch, paths=figures, activation_threshold=0.1)
        ...     sorted(path.name for path in Path(folder).glob("*.png"))
        ['histograms.png', 'raw.png']

    Args:
        batch: `batch_<b>.pt`.
        paths: for each figure wanted, where it goes, once for each path.
        activation_threshold: a component is active above this; None for the usual one.
        dpi: pixels per inch.
        scale: factor on the size.

    Raises:
        InputError: the batch cannot be read, or a figure cannot be written.
    """
    figures = activation_figures(ActivationBatch.load(batch), activation_threshold=activation_threshold)
    for name, files in paths.items():
        save_figure(figures[name], *files, dpi=dpi, scale=scale)
