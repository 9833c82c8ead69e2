"""The state of an unfinished merge on disk, so that an interrupted merge can resume."""

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import exists
from spdclust.files.archive import digest_of, read_archive, write_archive
from spdclust.files.zip_files import open_zip

log = logging.getLogger(__name__)

_WHAT = "merge checkpoint"
_TEXTS = ("key.txt", "digest.txt")


def _digest(members: Mapping[str, np.ndarray]) -> str:
    return digest_of(*(part for name in sorted(members) for part in (name, members[name])))


class MergeCheckpointFile:
    """A `CheckpointStore` in one file, valid only for the merge of the same batches by the same code.

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
        key: identifies the merge; a file with a different key is not used.
    """

    def __init__(self, path: str | Path, key: str) -> None:
        self.path = Path(path)
        self.key = key

    def load(self) -> dict[str, np.ndarray] | None:
        """Return the last saved arrays, or None if there are none with this key."""
        if not exists(self.path):
            return None
        try:
            with open_zip(self.path, _WHAT) as archive:
                names = [name for name in archive.namelist() if name.endswith(".npy")]
            members = read_archive(self.path, arrays=names, texts=_TEXTS, what=_WHAT)
            if members.pop("digest.txt") != _digest({name: members[name] for name in names}):
                raise InputError("checksum does not match: the file is damaged", file=self.path)
        except InputError as error:
            log.warning("%s; the merge starts from the beginning", error)
            return None
        if members.pop("key.txt") != self.key:
            log.warning("%s belongs to other batches; the merge starts from the beginning", self.path)
            return None
        log.info("going on from %s", self.path)
        # arrays are read-only when loaded, but the engine changes them in place
        return {name.removesuffix(".npy"): np.array(array) for name, array in members.items()}

    def save(self, arrays: dict[str, np.ndarray]) -> None:
        """Replace the saved arrays with these.

        Raises:
            InputError: the file cannot be written.
        """
        members = {f"{name}.npy": np.asarray(array) for name, array in arrays.items()}
        write_archive(self.path, {"key.txt": self.key, "digest.txt": _digest(members), **members})

    def remove(self) -> None:
        """Remove the file after the merge is done."""
        self.path.unlink(missing_ok=True)
