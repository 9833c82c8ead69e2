"""User-supplied activations, used instead of a model: matrices in common file formats, read as batches.

========================= ===========================================================================
file                      contents
========================= ===========================================================================
`batch_<b>.pt`            a batch written by spdclust
`.pt`                     a tensor, dense or sparse; or `{"activations": tensor, "labels": [...]}`
`.npy`                    a dense array
`.npz`                    a `scipy.sparse` matrix, or dense: one array, or `activations` and `labels`
`memberships.npz`         next to a `metadata.json`: a harvest snapshot of the active components
========================= ===========================================================================

Rows are samples, columns components; further leading axes (sequence, position) are flattened.
"""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from scipy import sparse

from spdclust.core.errors import InputError
from spdclust.core.opening import check_size, read_json, read_text, refused, regular_file
from spdclust.core.types import Labels
from spdclust.files.activation_batch import ActivationBatch
from spdclust.files.archive import array_header, check_announced
from spdclust.files.batch_format import FORMAT
from spdclust.files.own_folders import ALLOWED, LABEL_FILES, METADATA, SNAPSHOT
from spdclust.files.sparse_parts import check_indices
from spdclust.files.torch_files import load_tensors
from spdclust.files.zip_files import check_members_size, open_zip
from spdclust.merge.activations import ProcessedActivations

_DENSE_NUMBERS = 1 << 24
_BYTES_OF_LABEL = 100
_PROBLEM = "not a readable matrix"


def read_own(path: str | Path, seed: int = 0) -> ActivationBatch:
    """Read one user-supplied file as a batch.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/latents.npy", np.array([[0.0, 0.5], [0.1, 0.0]]))
        ...     batch = read_own(f"{folder}/latents.npy")
        >>> batch.labels, batch.maxima.tolist()
        (['latent:0', 'latent:1'], [0.1, 0.5])

    Args:
        path: one of `own_files`.
        seed: seed of the batch, unless the file is an spdclust batch, which has its own.

    Raises:
        InputError: the file is missing, damaged or not a matrix, or its labels or values are invalid.
    """
    path = regular_file(path, ALLOWED)
    with refused(_PROBLEM, path, ALLOWED):
        if path.suffix == ".pt":
            content = _read_torch(path)
            if isinstance(content, dict) and content.get("format") == FORMAT:
                return ActivationBatch.load(path)
            matrix, labels = _of_mapping(content, path) if isinstance(content, dict) else (content, None)
        elif path.suffix == ".npy":
            matrix, labels = np.load(path, mmap_mode="r", allow_pickle=False), None
        elif path.name == SNAPSHOT and os.path.lexists(path.parent / METADATA):
            matrix, labels = _read_npz(path)[0], _snapshot_labels(path.parent / METADATA)
        else:
            matrix, labels = _read_npz(path)
        rows = _sparse(matrix, path)
        labels = labels if labels is not None else labels_beside(path, rows.shape)
        labels = labels if labels is not None else [f"latent:{number}" for number in range(rows.shape[1])]
        provenance = {"task": "own activations", "source": path.name}
        return ActivationBatch(ProcessedActivations.from_sparse(rows, labels, copy=False), seed, provenance)


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
    path = regular_file(path, ALLOWED)
    with refused(_PROBLEM, path, ALLOWED):
        if path.suffix == ".pt":
            content = _read_torch(path, verify=False)
            if isinstance(content, dict) and content.get("format") == FORMAT:
                shape = tuple(content["shape"].tolist())
            else:
                shape = tuple((content["activations"] if isinstance(content, dict) else content).shape)
        elif path.suffix == ".npy":
            shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
        else:
            shape = _shape_of_npz(path)
        if len(shape) < 2:
            raise _not_a_matrix(path, f"shape {shape}")
        return math.prod(shape[:-1]), int(shape[-1])


def _read_torch(path: Path, *, verify: bool = True) -> Any:
    return load_tensors(path, "matrix", ALLOWED, verify=verify)


def _of_mapping(content: Mapping[str, Any], path: Path) -> tuple[Any, Labels | None]:
    if "activations" not in content:
        raise InputError(
            "no matrix in this file",
            file=path,
            field="activations",
            found=sorted(map(str, content))[:8],
            allowed="a tensor, or a dict with the keys activations and, if wanted, labels",
        )
    labels = content.get("labels")
    if labels is not None and not _are_texts(labels):
        raise InputError(
            "no labels", file=path, field="labels", allowed="a list with one label per component"
        )
    return content["activations"], labels


def _read_npz(path: Path) -> tuple[Any, Labels | None]:
    names = _checked_names(path)
    if "format" in names and "shape" in names:
        return sparse.load_npz(path), None
    with np.load(path, allow_pickle=False) as stored:
        if len(names) == 1:
            return stored[names[0]], None
        labels = {"labels": stored["labels"].tolist()} if "labels" in names else {}
        if "activations" not in names:
            return _of_mapping(dict.fromkeys(names), path)
        return _of_mapping({"activations": stored["activations"], **labels}, path)


def _shape_of_npz(path: Path) -> tuple[int, ...]:
    names = _checked_names(path)
    with np.load(path, allow_pickle=False) as stored:
        if "format" in names and "shape" in names:
            return tuple(stored["shape"].tolist())
        name = names[0] if len(names) == 1 else "activations"
        with stored.zip.open(f"{name}.npy") as stream:
            return array_header(stream)[0]


def _checked_names(path: Path) -> list[str]:
    """Return the names of the arrays, after checking that every header matches the stored size."""
    with open_zip(path, "matrix") as archive:
        members = [name for name in archive.namelist() if name.endswith(".npy")]
        check_members_size(archive, path, members)
        for name in members:
            with refused("not a readable array", path, ALLOWED, name), archive.open(name) as stream:
                shape, _, dtype = array_header(stream)
                check_announced(shape, dtype, archive.getinfo(name).file_size - stream.tell())
    return [name.removesuffix(".npy") for name in members]


def _sparse(matrix: Any, path: Path) -> sparse.csr_array:
    """Return any matrix as sparse float rows without zeros; a dense matrix is read piece by piece."""
    if hasattr(matrix, "to_sparse_csr"):
        matrix = matrix.detach()
        if matrix.is_complex():
            raise _not_a_matrix(path, str(matrix.dtype))
        if matrix.layout is not _strided():
            _check_shape(matrix.shape, path)
            coo = matrix.to_sparse_coo().coalesce()
            matrix = sparse.coo_array((coo.values().float().numpy(), coo.indices().numpy()), shape=coo.shape)
        else:
            matrix = (matrix.float() if not _is_wide(matrix) else matrix).numpy()
    if sparse.issparse(matrix):
        _check_shape(matrix.shape, path)
        if matrix.dtype.kind not in "biuf":
            raise _not_a_matrix(path, f"sparse {matrix.dtype}")
        if matrix.format in ("csr", "csc", "bsr"):
            check_indices(matrix)
        return sparse.csr_array(matrix).astype(np.float64 if matrix.dtype == np.float64 else np.float32)
    if not isinstance(matrix, np.ndarray) or matrix.ndim < 2 or matrix.dtype.kind not in "biuf":
        raise _not_a_matrix(path, f"{type(matrix).__name__} of shape {getattr(matrix, 'shape', None)}")
    _check_shape(matrix.shape, path)
    rows = matrix.reshape(math.prod(matrix.shape[:-1]), matrix.shape[-1])
    kind = np.float64 if rows.dtype == np.float64 else np.float32
    at_once = max(1, _DENSE_NUMBERS // max(1, rows.shape[1]))
    with np.errstate(over="ignore"):  # values too large for float32 become infinite and are rejected
        pieces = [
            sparse.csr_array(np.asarray(rows[start : start + at_once], dtype=kind))
            for start in range(0, len(rows), at_once)
        ]
    return sparse.vstack(pieces, format="csr") if pieces else sparse.csr_array(rows.shape, dtype=kind)


def _check_shape(shape: Any, path: Path) -> None:
    """Raise an error for numbers of rows and columns that would only waste memory."""
    if len(shape) < 2:
        raise _not_a_matrix(path, f"shape {tuple(shape)}")
    n_rows, n_columns = math.prod(int(n) for n in shape[:-1]), int(shape[-1])
    check_size(8 * n_rows + _BYTES_OF_LABEL * n_columns, path, "shape")


def _not_a_matrix(path: Path, found: str) -> InputError:
    return InputError(
        "not a matrix of numbers", file=path, found=found, allowed="(samples, components), or (…, components)"
    )


def _strided() -> Any:
    import torch

    return torch.strided


def _is_wide(tensor: Any) -> bool:
    import torch

    return bool(tensor.dtype == torch.float64)


def _snapshot_labels(path: Path) -> Labels:
    content = read_json(path, "the metadata of a snapshot")
    labels = content.get("labels") if isinstance(content, dict) else None
    if not _are_texts(labels):
        raise InputError(
            "no labels", file=path, field="labels", allowed="a list with one label per component"
        )
    return list(labels)


def labels_beside(path: Path, shape: tuple[int, int]) -> Labels | None:
    """Return the labels in a file next to a matrix or one folder up, None if there is no such file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "labels.txt").write_text("m:0\\nm:1\\n")
        ...     labels_beside(Path(folder, "latents.npy"), (2, 3))
        Traceback (most recent call last):
        ...
        spdclust.InputError: ...labels.txt: one label per component is needed (found: 2 labels; allowed: 3
        labels, one for each column of latents.npy; transposed? latents.npy has 2 rows)

    Args:
        path: the file of the matrix.
        shape: number of samples and components.

    Raises:
        InputError: the labels cannot be read, or their number differs from that of the components.
    """
    n_samples, n_components = shape
    for place in (path.parent, path.parent.parent):
        for name in LABEL_FILES:
            file = place / name
            if not os.path.lexists(file):  # a broken link raises an error below
                continue
            is_json = file.suffix == ".json"
            labels = read_json(file, "a list of labels") if is_json else _lines(file)
            if not _are_texts(labels) or len(labels) != n_components:
                is_other_axis = _are_texts(labels) and len(labels) == n_samples
                raise InputError(
                    "one label per component is needed",
                    file=file,
                    found=f"{len(labels)} labels" if _are_texts(labels) else type(labels).__name__,
                    allowed=f"{n_components} labels, one for each column of {path.name}"
                    + (f"; transposed? {path.name} has {n_samples} rows" if is_other_axis else ""),
                )
            return list(labels)
    return None


def _lines(file: Path) -> Labels:
    return read_text(file, "one label a line").splitlines()


def _are_texts(labels: Any) -> TypeGuard[list[str]]:
    return isinstance(labels, list) and all(isinstance(label, str) for label in labels)
