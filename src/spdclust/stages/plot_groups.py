"""Stage: stability analysis -> who is with whom: contested components and consensus groups."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from spdclust.files.stability_groups import load_coclusterings, load_components, load_groups
from spdclust.files.stability_reading import load_stability_record
from spdclust.plotting.coclustering import plot_coclustering
from spdclust.plotting.consensus import plot_consensus
from spdclust.plotting.style import save_figure


def plot_groups(
    record: str | Path,
    components: str | Path,
    groups: str | Path,
    coclustering: str | Path,
    *,
    paths: Mapping[str, Sequence[str | Path]],
    dpi: int = 150,
    scale: float = 1.0,
) -> None:
    """Draw `coclustering` and `consensus`.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> from spdclust.stability.names import STABILITY_FILES
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     place = write_example_ensemble(folder).folder
        ...     found = {what: place / name for what, name in STABILITY_FILES.items()}
        ...     plot_groups(
        ...         found["record"], found["components"], found["groups"], found["coclustering"],
        ...         paths={name: [f"{folder}/{name}.png"] for name in ("coclustering", "consensus")},
        ...     )
        ...     sorted(path.name for path in Path(folder).glob("*.png"))
        ['coclustering.png', 'consensus.png']

    Args:
        record: `stability.json`.
        components: `stability_components.csv`.
        groups: `stability_groups.csv`.
        coclustering: `stability_coclustering.npz`.
        paths: for each figure, where it goes, once for each path.
        dpi: pixels per inch.
        scale: factor on the size.

    Raises:
        InputError: the analysis cannot be read, or a figure cannot be written.
    """
    said, of_cut = load_stability_record(record), load_components(components)
    cuts = list(said["cuts"])
    labels, frequencies = load_coclusterings(coclustering, cuts)
    contested = {cut: [each.label for each in of_cut.get(cut, []) if each.contestedness > 0] for cut in cuts}
    together = plot_coclustering(said, contested, frequencies, labels)
    save_figure(together, *paths["coclustering"], dpi=dpi, scale=scale)
    numbers = {cut: {each.label: each.consensus_group for each in of_cut.get(cut, [])} for cut in cuts}
    consensus = plot_consensus(said, load_groups(groups), numbers)
    save_figure(consensus, *paths["consensus"], dpi=dpi, scale=scale)
