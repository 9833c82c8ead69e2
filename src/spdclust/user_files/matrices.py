"""User-supplied activations, used instead of a model: common file formats, read as batches.

============================== ============================================================================
file or folder                 contents
============================== ============================================================================
`batch_<b>.pt`                 a batch written by spdclust
`.pt`, `.npz`, `.safetensors`  one or several tensors, dense or sparse (see `user_files.contents`)
`.npz`                         also a `scipy.sparse` matrix of any number of axes
`.npy`                         a dense array
`.parquet`, saved datasets     tables (see `user_files.arrow`)
feature caches                 a folder of `<first>_<last>.safetensors` (see `user_files.safetensors`)
`batch_<b>.zip`                a batch of the reference implementation (see `reference_batches`)
`memberships.npz`              next to a `metadata.json`: a harvest snapshot of the active components
============================== ============================================================================

Rows are samples, columns components; further leading axes (sequence, position) are flattened. Dense data are
read in pieces.
"""

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import as_input_error, regular_file
from spdclust.files.activation_batch import ActivationBatch
from spdclust.files.archive import array_header, check_announced, digest_of, digest_of_file
from spdclust.files.batch_format import FORMAT
from spdclust.files.torch_files import load_tensors
from spdclust.files.zip_files import check_members_size, open_zip
from spdclust.merge.activations import ProcessedActivations
from spdclust.merge.rows import flattened
from spdclust.user_files.arrays import content_of
from spdclust.user_files.arrow import table_content
from spdclust.user_files.contents import (
    OwnContent,
    ZippedArray,
    check_shape,
    matrix_content,
    matrix_rows,
    not_a_matrix,
)
from spdclust.user_files.folders import ALLOWED, METADATA, SNAPSHOT, SUFFIXES
from spdclust.user_files.labels import labels_beside, snapshot_labels
from spdclust.user_files.layout import cache_files, is_saved_dataset, is_zipped_batch, parts_of, tokens_file
from spdclust.user_files.reference_batches import (
    read_zipped_batch,
    zipped_batch_labels,
    zipped_batch_shape,
)
from spdclust.user_files.safetensors import cache_content, read_safetensors
from spdclust.user_files.tokens import TokenTexts, read_tokens

log = logging.getLogger(__name__)

_PROBLEM = "not a readable matrix"


def read_own(path: str | Path, seed: int = 0, *, token_texts: TokenTexts | None = None) -> ActivationBatch:
    """Read one user-supplied file, or a folder that holds one batch, as a batch.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/latents.npy", np.array([[0.0, 0.5], [0.1, 0.0]]))
        ...     batch = read_own(f"{folder}/latents.npy")
        >>> batch.labels, batch.maxima.tolist()
        (['latent:0', 'latent:1'], [0.1, 0.5])

    Args:
        path: one that `files_of_run` returns.
        seed: seed of the batch, unless the file is an spdclust batch, which has its own.
        token_texts: the texts of token ids; without it, tokens that are integers are shown as numbers.

    Raises:
        InputError: the file is missing, damaged or not a matrix, or its labels, values or tokens are invalid.
    """
    path = Path(path)
    content = open_own(path)
    if content.is_batch:
        return ActivationBatch.load(path)
    with as_input_error(_PROBLEM, path, ALLOWED):
        labels = content.generated_labels if content.labels is None else content.labels
        activations = ProcessedActivations.from_sparse(content.rows(), labels, copy=False)
        examples = None
        if content.tokens is not None:
            examples = content.tokens.examples(activations.n_samples, path, token_texts)
        elif file := tokens_file(path, SUFFIXES):
            examples = read_tokens(file).examples(activations.n_samples, file, token_texts)
        provenance = {"task": "own activations", "source": path.name}
        return ActivationBatch(activations, seed, provenance, examples=examples)


def shape_of_own(path: str | Path) -> tuple[int, int]:
    """Return the number of samples and components of a user-supplied file, reading as little as possible.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/latents.npy", np.zeros((2, 3, 4)))
        ...     shape_of_own(f"{folder}/latents.npy")
        (6, 4)

    Raises:
        InputError: the file is missing, damaged or not a matrix.
    """
    content = open_own(Path(path), verify=False)
    return content.n_samples, content.n_components


def open_own(path: Path, *, verify: bool = True) -> OwnContent:
    """Return what a user-supplied file or folder holds, with its labels, before the samples are read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/mask.npy", np.ones((20, 4), dtype=np.int64))
        ...     content = open_own(Path(folder) / "mask.npy")
        >>> content.n_samples, content.n_components, content.whole_numbers
        (20, 4, True)

    Args:
        path: one that `files_of_run` returns.
        verify: check the checksums of the archive first, if it has any.

    Raises:
        InputError: the file is missing, damaged or not a matrix, or its labels are invalid.
    """
    with as_input_error(_PROBLEM, path, ALLOWED):
        content = _opened(path, verify=verify)
        return content if content.labels is not None else _labelled(content, path)


def digest_of_own(path: Path) -> str:
    """Return the SHA-256 of a user-supplied file, in hex, or one of all files that are read of a folder.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile() as file:
        ...     digest_of_own(Path(file.name))[:8]
        'e3b0c442'

    Raises:
        InputError: a file cannot be read.
    """
    digests = [digest_of_file(part) for part in parts_of(path)]
    return digest_of(*digests) if path.is_dir() else digests[0]


def _opened(path: Path, *, verify: bool) -> OwnContent:
    if path.is_dir():
        return _of_folder(path)
    regular_file(path, ALLOWED)
    if is_zipped_batch(path):
        n_samples, n_components = zipped_batch_shape(path)
        labels = zipped_batch_labels(path)
        return OwnContent(n_samples, n_components, lambda: read_zipped_batch(path)[0], labels)
    if path.suffix == ".pt":
        stored = load_tensors(path, "matrix", ALLOWED, verify=verify)
        if isinstance(stored, dict) and stored.get("format") == FORMAT:
            return _of_batch(stored, path)
        if isinstance(stored, list | tuple):
            raise not_a_matrix(path, f"{type(stored).__name__} of {len(stored)}; torch.cat joins tensors")
        return content_of(stored, path) if isinstance(stored, dict) else matrix_content(stored, path)
    if path.suffix == ".npy":
        return matrix_content(np.load(path, mmap_mode="r", allow_pickle=False), path)
    if path.suffix == ".safetensors":
        return content_of(read_safetensors(path), path)
    if path.suffix == ".parquet":
        return table_content(path)
    return _of_npz(path)


def _labelled(content: OwnContent, path: Path) -> OwnContent:
    """Add the labels that are stored next to the activations."""
    if path.name == SNAPSHOT and os.path.lexists(path.parent / METADATA):
        file, labels = path.parent / METADATA, snapshot_labels(path.parent / METADATA)
    elif found := labels_beside(path):
        file, labels = found
    else:
        if not content.states_width:
            log.warning(
                "%s does not state how many components there are: taken to be %d, by the largest index; "
                "labels.txt or labels.json would name all",
                path,
                content.n_components,
            )
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
    return replace(content, labels=labels)


def _of_batch(stored: dict[str, Any], path: Path) -> OwnContent:
    n_samples, n_components = (int(n) for n in stored["shape"].tolist())
    labels = str(stored["labels"]).split("\n")
    return OwnContent(
        n_samples,
        n_components,
        lambda: ActivationBatch.load(path).matrix,
        labels,
        whole_numbers=False,
        is_batch=True,
    )


def _of_folder(folder: Path) -> OwnContent:
    if is_saved_dataset(folder):
        return table_content(folder)
    if cache_files(folder):
        return cache_content(folder)
    names = sorted(each.name for each in folder.iterdir())
    raise InputError("not one batch of activations", file=folder, found=names[:8], allowed=ALLOWED)


def _of_npz(path: Path) -> OwnContent:
    arrays = _checked_arrays(path)
    if {"format", "shape"} <= set(arrays):  # as scipy.sparse writes it
        n_samples, n_components = flattened(np.asarray(arrays["shape"]).tolist())
        check_shape(n_samples, n_components, path)
        whole = arrays["data"].dtype.kind in "biu" if "data" in arrays else None
        return OwnContent(
            n_samples,
            n_components,
            lambda: matrix_rows(sparse.load_npz(path), path),
            whole_numbers=whole,
        )
    # dense activations are left where they are, to be read in pieces
    small = {
        name: np.asarray(array)
        for name, array in arrays.items()
        if array.ndim < 2 or array.dtype.kind not in "biufc"
    }
    return content_of({**arrays, **small}, path)


def _checked_arrays(path: Path) -> dict[str, ZippedArray]:
    """Return the arrays by name, after checking that every header matches the stored size."""
    arrays = {}
    with open_zip(path, "matrix") as archive:
        members = [name for name in archive.namelist() if name.endswith(".npy")]
        check_members_size(archive, path, members)
        for member in members:
            with (
                as_input_error("not a readable array", path, ALLOWED, member),
                archive.open(member) as stream,
            ):
                shape, fortran, dtype = array_header(stream)
                check_announced(shape, dtype, archive.getinfo(member).file_size - stream.tell())
            name = member.removesuffix(".npy")
            arrays[name] = ZippedArray(path, name, shape, dtype, fortran)
    return arrays
