"""Find the batches that a history was merged on, by number, and verify them by the history's digests."""

from collections.abc import Sequence
from pathlib import Path

from spdclust.core.errors import InputError
from spdclust.files.batches import BatchedActivations, find_batches
from spdclust.files.ensemble_folder import EnsembleFolder
from spdclust.files.histories import run_number
from spdclust.merge.history import MergeHistory
from spdclust.provenance.models import INSIST


def merged_batches(history: MergeHistory, source: str | Path | Sequence[str | Path]) -> BatchedActivations:
    """Return the batches of a history: the first ones of a folder that other merges may share.

    Example:
        >>> import tempfile
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> from spdclust.files.histories import load_merge_history
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     place = write_example_ensemble(folder)
        ...     merged_batches(load_merge_history(place.history(0)), place.batches(0)).n_batches
        1

    Args:
        history: the run. If it records no digests, all batches are used, unverified.
        source: the folder of the run's batches, or the files in order.

    Raises:
        InputError: a batch is missing or damaged, or is not the one that was merged.
    """
    known = history.provenance.get("batches")
    files = find_batches(source) if isinstance(source, str | Path) else list(map(Path, source))
    insisted = history.provenance.get(INSIST) is True
    batches = BatchedActivations(files[: len(known)] if known else files, allow_different_models=insisted)
    if known is not None and list(known) != batches.digests:
        raise InputError(
            "not the batches of this history",
            file=source if isinstance(source, str | Path) else files[0].parent,
            found=f"{batches.n_batches} batches",
            allowed=f"the {len(known)} that the history names",
        )
    return batches


def kept_batches(place: EnsembleFolder, histories: Sequence[str | Path]) -> list[Path] | None:
    """Return the batch folders of an ensemble's runs, or None if those of any run are missing.

    Example:
        >>> import shutil, tempfile
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     place = write_example_ensemble(folder)
        ...     histories = [place.history(0), place.history(1)]
        ...     [path.name for path in kept_batches(place, histories)]
        ...     shutil.rmtree(place.batches(1))
        ...     kept_batches(place, histories) is None
        ['run_0', 'run_1']
        True

    Args:
        place: the ensemble.
        histories: its `runs/run_<r>/history.zip`.
    """
    folders = [place.batches(run_number(Path(history))) for history in histories]
    return folders if all(any(folder.glob("batch_*.pt")) for folder in folders) else None
