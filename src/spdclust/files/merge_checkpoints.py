"""The state of an unfinished merge on disk, so that a killed one goes on where it was."""

import logging
import zipfile
from pathlib import Path

import numpy as np

from spdclust.errors import InputError
from spdclust.files.archive import read_archive, write_archive

log = logging.getLogger(__name__)


class MergeCheckpointFile:
    """A `CheckpointStore` in one file, of use only to the merge of the same batches by the same code.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "checkpoint.zip"
        >>> MergeCheckpointFile(path, "these batches").save({"n_done": np.array(3)})
        >>> MergeCheckpointFile(path, "these batches").load()
        {'n_done': array(3)}
        >>> MergeCheckpointFile(path, "other batches").load() is None
        True

    Args:
        path: the file.
        key: says what is merged; a file with another key is not used.
    """

    def __init__(self, path: str | Path, key: str) -> None:
        self.path = Path(path)
        self.key = key

    def load(self) -> dict[str, np.ndarray] | None:
        """Return the arrays saved last, or None when there are none of this key."""
        if not self.path.exists():
            return None
        try:
            with zipfile.ZipFile(self.path) as archive:
                names = [name for name in archive.namelist() if name.endswith(".npy")]
            members = read_archive(self.path, arrays=names, texts=["key.txt"], what="merge checkpoint")
        except (InputError, zipfile.BadZipFile, OSError) as error:
            log.warning("%s; the merge starts from the beginning", error)
            return None
        if members.pop("key.txt") != self.key:
            log.warning("%s belongs to other batches; the merge starts from the beginning", self.path)
            return None
        log.info("going on from %s", self.path)
        # read-only as read; the engine changes them in place
        return {name.removesuffix(".npy"): np.array(array) for name, array in members.items()}

    def save(self, arrays: dict[str, np.ndarray]) -> None:
        """Keep these arrays in place of the last ones.

        Raises:
            InputError: the file cannot be written.
        """
        members = {f"{name}.npy": np.asarray(array) for name, array in arrays.items()}
        write_archive(self.path, {"key.txt": self.key, **members})

    def remove(self) -> None:
        """Remove the file, once the merge is done."""
        self.path.unlink(missing_ok=True)
