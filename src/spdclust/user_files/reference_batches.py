"""Batches of the reference implementation's branch with several batches: `batch_<b>.zip`.

Members: `activations.npy` `(samples, components)` and `labels.txt`, one label per line.
"""

from dataclasses import replace
from pathlib import Path

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import split_lines
from spdclust.files.archive import read_archive
from spdclust.user_files.contents import UserContent, matrix_content, zipped_arrays

_WHAT = "batch_<b>.zip with activations.npy and labels.txt"
_ACTIVATIONS, _LABELS = "activations", "labels.txt"


def zipped_batch(path: Path) -> UserContent:
    """Return the activations of a batch and its labels, before the samples are read.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from spdclust.files.archive import write_archive
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "batch_0000.zip")
        ...     members = {"activations.npy": np.array([[0.0, 0.5], [0.25, 0.0]]), "labels.txt": "m:0\\nm:1"}
        ...     write_archive(path, members)
        ...     batch = zipped_batch(path)
        ...     batch.rows().toarray().tolist(), batch.labels
        ([[0.0, 0.5], [0.25, 0.0]], ['m:0', 'm:1'])

    Raises:
        InputError: the file is damaged, or a member is missing.
    """
    arrays = zipped_arrays(path, _WHAT, _WHAT)
    labels = split_lines(read_archive(path, texts=[_LABELS], what=_WHAT)[_LABELS])
    if _ACTIVATIONS not in arrays:
        found = [*(f"{name}.npy" for name in arrays), _LABELS]
        raise InputError("member missing", file=path, field=f"{_ACTIVATIONS}.npy", found=found, allowed=_WHAT)
    return replace(matrix_content(arrays[_ACTIVATIONS], path), labels=labels)
