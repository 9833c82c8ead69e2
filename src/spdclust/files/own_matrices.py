"""Activations of one's own, instead of a model's: matrices in the usual files, read as batches.

========================= ===========================================================================
file                      what it holds
========================= ===========================================================================
`batch_<b>.pt`            a batch written by spdclust
`.pt`                     a tensor, dense or sparse; or `{"activations": tensor, "labels": [...]}`
`.npy`                    a dense array
`.npz`                    a `scipy.sparse` matrix, or dense: one array, or `activations` and `labels`
`memberships.npz`         beside a `metadata.json`: a harvest snapshot, which component is active where
========================= ===========================================================================

Rows are samples, columns components; further leading axes (sequence, position) are flattened.
"""

import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from spdclust.errors import InputError
from spdclust.files.activation_batch import ActivationBatch
from spdclust.files.batch_format import FORMAT
from spdclust.files.own_folders import ALLOWED, LABEL_FILES, METADATA, SNAPSHOT
from spdclust.merge.activations import ProcessedActivations
from spdclust.types import Labels

_DENSE_NUMBERS = 1 << 24


def read_own(path: str | Path, seed: int = 0) -> ActivationBatch:
    """Read one file of one's own as a batch.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/latents.npy", np.array([[0.0, 0.5], [0.1, 0.0]]))
        ...     batch = read_own(f"{folder}/latents.npy")
        >>> batch.labels, batch.maxima.tolist()
        (['latent:0', 'latent:1'], [0.1, 0.5])

    Args:
        path: one of `own_files`.
        seed: kept with it, unless it is a batch of ours, which has one.

    Raises:
        InputError: the file is missing or damaged, is no matrix, or labels or values do not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("no such file", file=path, allowed=ALLOWED)
    try:
        if path.suffix == ".pt":
            content = _read_torch(path)
            if isinstance(content, dict) and content.get("format") == FORMAT:
                return ActivationBatch.load(path)
            matrix, labels = _of_mapping(content, path) if isinstance(content, dict) else (content, None)
        elif path.suffix == ".npy":
            matrix, labels = np.load(path, mmap_mode="r", allow_pickle=False), None
        elif path.name == SNAPSHOT and (path.parent / METADATA).is_file():
            matrix, labels = sparse.load_npz(path), _snapshot_labels(path.parent / METADATA)
        else:
            matrix, labels = _read_npz(path)
    except InputError:
        raise
    except Exception as error:  # damaged files make these libraries raise nearly anything
        raise InputError(
            "not a readable matrix", file=path, found=str(error).strip().split("\n")[0], allowed=ALLOWED
        ) from error
    rows = _sparse(matrix, path)
    labels = labels if labels is not None else _labels_beside(path, rows.shape[1])
    provenance = {"task": "own activations", "source": path.name}
    try:
        return ActivationBatch(ProcessedActivations.from_sparse(rows, labels), seed, provenance)
    except InputError as error:
        raise error.located(file=path) from error


def shape_of_own(path: str | Path) -> tuple[int, int]:
    """Return the samples and components of one file of one's own, reading no more of it than its kind allows.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/latents.npy", np.zeros((2, 3, 4)))
        ...     shape_of_own(f"{folder}/latents.npy")
        (6, 4)

    Raises:
        InputError: the file is missing or damaged, or is no matrix.
    """
    path = Path(path)
    try:
        if path.suffix == ".pt":
            content = _read_torch(path)
            if isinstance(content, dict) and content.get("format") == FORMAT:
                shape = tuple(content["shape"].tolist())
            else:
                shape = tuple((content["activations"] if isinstance(content, dict) else content).shape)
        elif path.suffix == ".npy":
            shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
        else:
            with np.load(path, allow_pickle=False) as stored:
                names = list(stored.files)
                dense = names[0] if len(names) == 1 else "activations"
                shape = tuple(stored["shape"].tolist()) if "shape" in names else stored[dense].shape
        return math.prod(shape[:-1]), int(shape[-1])
    except Exception as error:  # damaged files make these libraries raise nearly anything
        raise InputError(
            "not a readable matrix", file=path, found=str(error).strip().split("\n")[0], allowed=ALLOWED
        ) from error


def _read_torch(path: Path) -> Any:
    import torch

    return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))


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
    return content["activations"], None if labels is None else [str(label) for label in labels]


def _read_npz(path: Path) -> tuple[Any, Labels | None]:
    with np.load(path, allow_pickle=False) as stored:
        names = list(stored.files)
        if "format" in names and "shape" in names:
            return sparse.load_npz(path), None
        if len(names) == 1:
            return stored[names[0]], None
        return _of_mapping({name: stored[name] for name in names}, path)


def _sparse(matrix: Any, path: Path) -> sparse.csr_array:
    """Return any matrix as float rows without zeros; a dense one is read a piece at a time."""
    if hasattr(matrix, "to_sparse_csr"):
        matrix = matrix.detach()
        if matrix.layout is not _strided():
            coo = matrix.to_sparse_coo().coalesce()
            matrix = sparse.coo_array((coo.values().float().numpy(), coo.indices().numpy()), shape=coo.shape)
        else:
            matrix = (matrix.float() if not _is_wide(matrix) else matrix).numpy()
    if sparse.issparse(matrix):
        return sparse.csr_array(matrix).astype(np.float64 if matrix.dtype == np.float64 else np.float32)
    if not isinstance(matrix, np.ndarray) or matrix.ndim < 2 or matrix.dtype.kind not in "biuf":
        raise InputError(
            "not a matrix of numbers",
            file=path,
            found=f"{type(matrix).__name__} of shape {getattr(matrix, 'shape', None)}",
            allowed="(samples, components), or (…, components)",
        )
    rows = matrix.reshape(-1, matrix.shape[-1])
    kind = np.float64 if rows.dtype == np.float64 else np.float32
    at_once = max(1, _DENSE_NUMBERS // max(1, rows.shape[1]))
    pieces = [
        sparse.csr_array(np.asarray(rows[start : start + at_once], dtype=kind))
        for start in range(0, len(rows), at_once)
    ]
    return sparse.vstack(pieces, format="csr") if pieces else sparse.csr_array(rows.shape, dtype=kind)


def _strided() -> Any:
    import torch

    return torch.strided


def _is_wide(tensor: Any) -> bool:
    import torch

    return bool(tensor.dtype == torch.float64)


def _snapshot_labels(path: Path) -> Labels:
    labels = json.loads(path.read_text(encoding="utf-8")).get("labels")
    if not isinstance(labels, list):
        raise InputError(
            "no labels", file=path, field="labels", allowed="a list with one label per component"
        )
    return [str(label) for label in labels]


def _labels_beside(path: Path, n_components: int) -> Labels:
    """Return the labels in a file beside a matrix or one folder up, or generated ones."""
    for place in (path.parent, path.parent.parent):
        for name in LABEL_FILES:
            file = place / name
            if not file.is_file():
                continue
            try:
                text = file.read_text(encoding="utf-8")
                labels = json.loads(text) if file.suffix == ".json" else text.splitlines()
            except (OSError, ValueError) as error:
                raise InputError(
                    "not readable", file=file, found=str(error), allowed="one label a line"
                ) from error
            if not isinstance(labels, list) or len(labels) != n_components:
                raise InputError(
                    "one label per component is needed",
                    file=file,
                    found=f"{len(labels)} labels" if isinstance(labels, list) else type(labels).__name__,
                    allowed=f"{n_components} labels, as {path.name} has columns",
                )
            return [str(label) for label in labels]
    return [f"latent:{number}" for number in range(n_components)]
