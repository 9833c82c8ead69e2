"""User-supplied activations, used instead of a model: common file formats, read as batches.

============================== ============================================================================
file or folder                 contents
============================== ============================================================================
`batch_<b>.pt`                 a batch written by spdclust
`.pt`, `.npz`, `.safetensors`  one or several tensors, dense or sparse (see `user_files.contents`)
`.npz`                         also a `scipy.sparse` matrix of any number of axes
`.npy`                         a dense array
`.parquet`, saved datasets     tables (see `user_files.arrow`)
feature caches                 a folder of `<first>_<last>.safetensors` (see `user_files.arrays`)
`batch_<b>.zip`                a batch of the reference implementation (see `user_files.arrays`)
`memberships.npz`              next to a `metadata.json`: a harvest snapshot of the active components
============================== ============================================================================

Rows are samples, columns components; further leading axes (sequence, position) are flattened. Dense data are
read in pieces.
"""

import functools
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import as_input_error, read_json, read_text, regular_file, split_lines
from spdclust.core.types import Labels
from spdclust.files.activation_batch import ActivationBatch
from spdclust.files.archive import array_header, check_announced, digest_of, digest_of_file
from spdclust.files.batch_format import FORMAT, THRESHOLD
from spdclust.files.torch_files import load_tensors
from spdclust.merge.activations import ProcessedActivations, check_labels
from spdclust.merge.rows import flattened
from spdclust.user_files.arrays import (
    cache_content,
    content_of,
    read_safetensors,
    zipped_batch,
)
from spdclust.user_files.arrow import table_content
from spdclust.user_files.contents import (
    ALLOWED_LABELS,
    UserContent,
    are_whole,
    as_labels,
    check_shape,
    describe,
    matrix_content,
    matrix_rows,
    not_a_matrix,
    zipped_arrays,
)
from spdclust.user_files.folders import ALLOWED, METADATA, SNAPSHOT, SUFFIXES
from spdclust.user_files.layout import (
    LABEL_FILES,
    cache_files,
    is_saved_dataset,
    is_zipped_batch,
    parts_of,
    tokens_file,
)
from spdclust.user_files.tokens import TokenTexts, UserTokens, read_tokens

log = logging.getLogger(__name__)

_PROBLEM = "not a readable matrix"
_WRITERS = {
    ".npy": "numpy.save",
    ".npz": "numpy.savez or scipy.sparse.save_npz",
    ".pt": "torch.save",
    ".safetensors": "safetensors",
    ".parquet": "pyarrow",
}
_LFS = b"version https://git-lfs"


def read_user_file(
    path: str | Path, seed: int = 0, *, token_texts: TokenTexts | None = None
) -> ActivationBatch:
    """Read one user-supplied file, or a folder that holds one batch, as a batch.

    Example:
        >>> np.save(f"{folder}/latents.npy", np.array([[0.0, 0.5], [0.1, 0.0]]))
        >>> batch = read_user_file(f"{folder}/latents.npy")
        >>> batch.labels, batch.maxima.tolist()
        (['latent:0', 'latent:1'], [0.1, 0.5])

    Args:
        path: one that `files_of_run` returns.
        seed: seed of the batch, unless the file is an spdclust batch, which has its own.
        token_texts: the texts of token ids; without it, tokens that are integers are shown as numbers.

    Raises:
        InputError: the file is missing, damaged or not a matrix, or its labels, values or tokens are invalid.
    """
    batch, tokens = read_with_tokens(Path(path), seed)
    return batch if tokens is None else replace(batch, examples=tokens.examples(token_texts))


def read_with_tokens(path: Path, seed: int = 0) -> tuple[ActivationBatch, UserTokens | None]:
    """Read one user-supplied file, and the tokens in it or next to it.

    Example:
        >>> np.savez(f"{folder}/a.npz", activations=np.eye(2), tokens=np.array(["the", " cat"]))
        >>> batch, tokens = read_with_tokens(folder / "a.npz")
        >>> batch.n_components, tokens.first.tolist()
        (2, ['the', ' cat'])

    Raises:
        InputError: as `read_user_file`.
    """
    content = open_user_file(path)
    if content.is_batch:
        return ActivationBatch.load(path), None
    with as_input_error(_PROBLEM, path, _whole(path)):
        labels = content.generated_labels if content.labels is None else content.labels
        activations = ProcessedActivations.from_sparse(content.rows(), labels, copy=False)
        batch = ActivationBatch(activations, seed, {"task": "own activations", "source": path.name})
        # a damaged table may hold fewer samples than it states
        return batch, tokens_of(replace(content, n_samples=batch.n_samples), path)[1]


def tokens_of(
    content: UserContent, path: Path, *, with_torch: bool = True
) -> tuple[Path | None, UserTokens | None]:
    """Return the file with the tokens of the samples, and the tokens, after comparing their number.

    Example:
        >>> np.save(f"{folder}/acts.npy", np.ones((4, 2)))
        >>> np.save(f"{folder}/tokens.npy", np.array([[5, 9], [5, 5]]))
        >>> file, tokens = tokens_of(open_user_file(folder / "acts.npy"), folder / "acts.npy")
        >>> file.name, tokens.n_samples
        ('tokens.npy', 4)

    Args:
        content: what the file holds.
        path: the file.
        with_torch: also read what only torch can read; otherwise such tokens are None.

    Raises:
        InputError: there is not one token for each sample, or the tokens cannot be read.
    """
    file, tokens = path, content.tokens
    if tokens is None:
        found = None if content.is_batch else tokens_file(path, SUFFIXES)
        if found is None:
            return None, None
        if found.suffix == ".pt" and not with_torch:
            return found, None
        file, tokens = found, read_tokens(found)
    tokens.check_number(content.n_samples, file)
    return file, tokens


def open_user_file(path: Path, *, verify: bool = True) -> UserContent:
    """Return what a user-supplied file or folder holds, with its labels, before the samples are read.

    Example:
        >>> np.save(f"{folder}/mask.npy", np.ones((20, 4), dtype=np.int64))
        >>> content = open_user_file(folder / "mask.npy")
        >>> content.n_samples, content.n_components, content.whole_numbers
        (20, 4, True)

    Raises:
        InputError: the file is missing, damaged or not a matrix, or its labels are invalid.
    """
    with as_input_error(_PROBLEM, path, _whole(path)):
        content = _opened(path, verify=verify)
        if content.labels is None:
            return _labelled(content, path)
        check_labels(content.labels, content.n_components)
        return content


def digest_of_user_file(path: Path) -> str:
    """Return the SHA-256 of a user-supplied file, in hex, or one of all files that are read of a folder.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile() as file:
        ...     digest_of_user_file(Path(file.name))[:8]
        'e3b0c442'

    Raises:
        InputError: a file cannot be read.
    """
    digests = [digest_of_file(part) for part in parts_of(path)]
    return digest_of(*digests) if path.is_dir() else digests[0]


def _labels_beside(path: Path) -> tuple[Path, Labels] | None:
    """Return the file of labels next to activations or one folder up, and its labels, or None."""
    above = [path.parent, path.parent.parent]
    if path.is_dir() and not path.parent.name.startswith("run_"):
        above.pop()  # the folder is that of all activations, or of a run
    for folder in [path, *above] if path.is_dir() else above:
        files = [folder / name for name in LABEL_FILES]
        # a broken link raises an error below
        found = {
            file: _of_json(file) if file.suffix == ".json" else _of_lines(file)
            for file in files
            if os.path.lexists(file)
        }
        if len(found) > 1 and found[files[0]] != found[files[1]]:
            raise InputError(
                "two files of labels that differ", file=files[0], found=files[1].name, allowed="one of them"
            )
        if found:
            return next(iter(found.items()))
    return None


def _snapshot_labels(path: Path) -> Labels:
    """Return the labels in the `metadata.json` of a harvest snapshot."""
    content = read_json(path, "the metadata of a snapshot")
    labels = as_labels(content.get("labels")) if isinstance(content, dict) else None
    if labels is None:
        raise InputError("no labels", file=path, field="labels", allowed=ALLOWED_LABELS)
    return labels


def _whole(path: Path) -> str:
    writer = _WRITERS.get(path.suffix)
    return ALLOWED if writer is None else f"a whole file as {writer} writes it, without Python objects"


def _opened(path: Path, *, verify: bool) -> UserContent:
    if path.is_dir():
        return _of_folder(path)
    regular_file(path, ALLOWED)
    with path.open("rb") as stream:
        if stream.read(len(_LFS)) == _LFS:
            raise InputError(
                "a pointer of Git LFS, not the file itself", file=path, allowed="the file: git lfs pull"
            )
    if is_zipped_batch(path):
        return zipped_batch(path)
    if path.suffix == ".pt":
        stored = load_tensors(path, "matrix", _whole(path), verify=verify)
        if isinstance(stored, dict) and stored.get("format") == FORMAT:
            return _of_batch(stored, path)
        if isinstance(stored, list | tuple):
            raise not_a_matrix(path, f"{type(stored).__name__} of {len(stored)}; torch.cat joins tensors")
        return content_of(stored, path) if isinstance(stored, dict) else matrix_content(stored, path)
    if path.suffix == ".npy":
        with path.open("rb") as stream:
            shape, _, dtype = array_header(stream)
            check_announced(shape, dtype, path.stat().st_size - stream.tell())  # one array, and whole
        return matrix_content(np.load(path, mmap_mode="r", allow_pickle=False), path)
    if path.suffix == ".safetensors":
        return content_of(read_safetensors(path), path)
    if path.suffix == ".parquet":
        return table_content(path)
    return _of_npz(path)


def _labelled(content: UserContent, path: Path) -> UserContent:
    """Add the labels that are stored next to the activations."""
    if path.name == SNAPSHOT and os.path.lexists(path.parent / METADATA):
        file, labels = path.parent / METADATA, _snapshot_labels(path.parent / METADATA)
    elif found := _labels_beside(path):
        file, labels = found
    else:
        if not content.states_width:
            _warn_of_width(path, content.n_components)
        return content
    if not content.states_width and len(labels) > content.n_components:
        content = content.widened(len(labels))
    if len(labels) != content.n_components:
        is_other_axis = len(labels) == content.n_samples
        raise InputError(
            "one label per component is needed",
            file=file,
            found=f"{len(labels)} labels",
            allowed=f"{content.n_components} labels, one for each column of {path.name}"
            + (f"; transposed? {path.name} has {content.n_samples} rows" if is_other_axis else ""),
        )
    with as_input_error(_PROBLEM, file, _whole(path)):
        check_labels(labels, content.n_components)
    return replace(content, labels=labels)


@functools.cache  # a job opens a file more than once: its header, then the samples
def _warn_of_width(path: Path, n_components: int) -> None:
    log.warning(
        "%s does not state how many components there are: taken to be %d, by the largest index; "
        "labels.txt or labels.json would name all",
        path,
        n_components,
    )


def _of_batch(stored: dict[str, Any], path: Path) -> UserContent:
    n_samples, n_components = (int(n) for n in stored["shape"].tolist())
    labels = str(stored["labels"]).split("\n")
    return UserContent(
        n_samples,
        n_components,
        lambda: ActivationBatch.load(path).matrix,
        labels,
        whole_numbers=False,
        is_batch=True,
        threshold=float(stored[THRESHOLD]) if THRESHOLD in stored else None,
    )


def _of_folder(folder: Path) -> UserContent:
    if is_saved_dataset(folder):
        return table_content(folder)
    if cache_files(folder):
        return cache_content(folder)
    names = sorted(each.name for each in folder.iterdir())
    raise InputError("not one batch of activations", file=folder, found=names[:8], allowed=ALLOWED)


def _of_npz(path: Path) -> UserContent:
    arrays = zipped_arrays(path, "matrix", _whole(path))
    if {"format", "shape"} <= set(arrays):  # as scipy.sparse writes it
        n_samples, n_components = flattened(np.asarray(arrays["shape"]).tolist())
        check_shape(n_samples, n_components, path)
        whole_numbers = are_whole(arrays["data"].dtype) if "data" in arrays else None
        if "data" in arrays and whole_numbers is None:
            raise not_a_matrix(path, f"sparse {arrays['data'].dtype} {(n_samples, n_components)}")
        return UserContent(
            n_samples,
            n_components,
            lambda: matrix_rows(sparse.load_npz(path), path),
            whole_numbers=whole_numbers,
        )
    # dense activations are left where they are, to be read in pieces
    small = {
        name: np.asarray(array)
        for name, array in arrays.items()
        if array.ndim < 2 or array.dtype.kind not in "biufc"
    }
    return content_of({**arrays, **small}, path)


def _of_json(file: Path) -> Labels:
    content = read_json(file, ALLOWED_LABELS)
    labels = as_labels(content)
    if labels is None:
        kinds = {type(each).__name__ for each in content} if isinstance(content, list) else set()
        found = describe(content) + (f": {', '.join(sorted(kinds))}" if kinds else "")
        raise InputError("not a list of labels", file=file, found=found, allowed=ALLOWED_LABELS)
    return labels


def _of_lines(file: Path) -> Labels:
    return split_lines(read_text(file, "one label a line"))
