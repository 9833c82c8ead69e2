"""Stage: every `registered.json` of the results -> the registry."""

import logging
from pathlib import Path

from spdclust.files.registry import write_registry

log = logging.getLogger(__name__)


def registry(path: str | Path) -> None:
    """Write the registry of all ensembles in its folder.

    Example:
        >>> import tempfile
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_example_ensemble(folder)
        ...     registry(f"{folder}/results/ensemble_registry.db")

    Args:
        path: `<results>/ensemble_registry.db`.

    Raises:
        InputError: a `registered.json` is damaged, or the registry cannot be written.
    """
    log.info("%d ensembles in %s", write_registry(Path(path).parent), path)
