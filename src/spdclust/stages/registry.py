"""Stage: what ensembles are to be known by -> the registry. The one writer of a workflow."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from spdclust.files.records import RegisteredEnsemble, read_record
from spdclust.files.registry import register_ensembles

log = logging.getLogger(__name__)


def registry(records: Sequence[str | Path], *, path: str | Path) -> None:
    """Put the ensembles of several `registered.json` into the registry.

    Example:
        >>> import tempfile
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> from spdclust.files.registry import read_registry
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     place = write_example_ensemble(folder)
        ...     registry([place.folder / "registered.json"], path=f"{folder}/ensemble_registry.db")
        ...     [(row["ensemble"], row["n_runs"]) for row in read_registry(f"{folder}/ensemble_registry.db")]
        [('example/example', 2)]

    Args:
        records: the `registered.json` files.
        path: `ensemble_registry.db`.

    Raises:
        InputError: a file cannot be read, or the registry not be written.
    """
    loaded = [read_record(RegisteredEnsemble, record, "a registered.json") for record in records]
    changed = register_ensembles(loaded, path)
    os.utime(path)  # newer than its inputs, also when nothing had to be written
    log.info("%d of %d ensembles registered anew in %s", changed, len(loaded), path)
