"""Fast look-up of the size of a file's contents, to choose the memory of jobs."""

import struct
import zipfile
from pathlib import Path

from spdclust.core.errors import InputError


def batch_shape(path: str | Path) -> tuple[int, int]:
    """Return the number of samples and of components of a `batch_<b>.pt`.

    Nothing is verified and nothing else is read; the merge does both.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from spdclust.files.batches import ActivationBatch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ActivationBatch.from_dense(np.eye(2, 3), ["m:0", "m:1", "m:2"]).save(f"{folder}/batch_0.pt")
        ...     batch_shape(f"{folder}/batch_0.pt")
        (2, 3)

    Raises:
        FileNotFoundError: no such file.
        InputError: the file is not an spdclust batch.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # tensors are numbered in the order of writing; the shape is the first
            first = next(info for info in archive.infolist() if info.filename.endswith("/data/0"))
            if first.file_size != 16:
                raise ValueError
            n_samples, n_components = struct.unpack("<qq", archive.read(first))
    except FileNotFoundError:
        raise
    except (OSError, zipfile.BadZipFile, StopIteration, ValueError, struct.error) as error:
        raise InputError(
            "not an activation batch", file=path, field="shape", allowed="a batch written by spdclust"
        ) from error
    return n_samples, n_components


def batch_entries(path: str | Path) -> int:
    """Return the number of entries of a `batch_<b>.pt`: its values other than 0, or the members of its sets.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from spdclust.files.batches import ActivationBatch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ActivationBatch.from_dense(np.eye(2, 3), ["m:0", "m:1", "m:2"]).save(f"{folder}/batch_0.pt")
        ...     batch_entries(f"{folder}/batch_0.pt")
        2

    Raises:
        FileNotFoundError: no such file.
        InputError: the file is not an spdclust batch.
    """
    index_bytes = 2 if batch_shape(path)[1] <= 2**16 else 4
    with zipfile.ZipFile(path) as archive:
        # the third tensor, after the shape and the starts of the rows
        sizes = [info.file_size for info in archive.infolist() if info.filename.endswith("/data/2")]
    return sizes[0] // index_bytes if sizes else 0


def history_length(path: str | Path) -> int:
    """Return the number of merges in a `history.zip`; 0 if it cannot be determined.

    Example:
        >>> import tempfile
        >>> from spdclust.example_ensemble import example_history
        >>> from spdclust.files.histories import save_merge_history
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_merge_history(example_history(), f"{folder}/history.zip")
        ...     history_length(f"{folder}/history.zip")
        11

    Raises:
        FileNotFoundError: no such file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # a header of 128 bytes, then two int32 per merge
            return max(0, archive.getinfo("selected_pairs.npy").file_size - 128) // 8
    except FileNotFoundError:
        raise
    except (OSError, zipfile.BadZipFile, KeyError):
        return 0
