"""Stage: the groups that hold -> their figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from spdclust.files.batches import ActivationBatch
from spdclust.files.groups import load_groups
from spdclust.plotting.found_groups import plot_found_groups as draw_groups
from spdclust.plotting.found_tree import plot_found_tree
from spdclust.plotting.style import save_figure


def plot_found_groups(
    record: str | Path,
    batch: str | Path | None = None,
    *,
    paths: Mapping[str, Sequence[str | Path]],
    dpi: int = 150,
    scale: float = 1.0,
) -> None:
    """Draw figures of `FOUND_FIGURES`.

    Example:
        >>> import tempfile
        >>> from spdclust.example_ensemble import example_activations, example_found
        >>> from spdclust.files.groups import save_groups
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_groups(example_found(), folder, ensemble="example/example")
        ...     ActivationBatch(example_activations()).save(f"{folder}/batch_0.pt")
        ...     paths = {name: [f"{folder}/{name}.png"] for name in ("groups", "groups_tree")}
        ...     plot_found_groups(f"{folder}/groups.json", f"{folder}/batch_0.pt", paths=paths)
        ...     sorted(path.name for path in Path(folder).glob("*.png"))
        ['groups.png', 'groups_tree.png']

    Args:
        record: `groups.json`.
        batch: a batch to count on which components are active together; without it the tree is drawn alone.
        paths: for each figure, where it goes, once for each path.
        dpi: pixels per inch.
        scale: factor on the size.

    Raises:
        InputError: a file cannot be read, or a figure cannot be written.
    """
    found = load_groups(record)
    for name, files in paths.items():
        if name == "groups":
            figure = draw_groups(found)
        else:
            figure = plot_found_tree(
                found, None if batch is None else ActivationBatch.load(batch).activations
            )
        save_figure(figure, *files, dpi=dpi, scale=scale)
