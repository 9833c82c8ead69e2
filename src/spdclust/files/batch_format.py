"""The layout of `batch_<b>.pt`: plain tensors and strings, nothing else is ever read."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy import sparse

from spdclust.errors import InputError

FORMAT = "spdclust.activation_batch"
FORMAT_VERSION = 1
ALLOWED = "a batch written by spdclust"


def read_payload(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read tensors and strings, and nothing else, from a `.pt` file.

    Raises:
        InputError: no such file, truncated, damaged, or not a batch of ours.
    """
    import torch

    if not path.is_file():
        raise InputError("no such file", file=path, allowed=ALLOWED)
    try:
        payload = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, ValueError, EOFError, KeyError, OSError, pickle.UnpicklingError) as error:
        raise InputError(
            "not a readable batch (truncated, damaged or not a batch)",
            file=path,
            found=str(error).split("\n")[0],
            allowed=ALLOWED,
        ) from error
    if not isinstance(payload, dict) or payload.get("format") != FORMAT:
        raise InputError("not an activation batch", file=path, field="format", allowed=ALLOWED)
    if payload.get("format_version") != str(FORMAT_VERSION):
        raise InputError(
            "unknown format version",
            file=path,
            field="format_version",
            found=payload.get("format_version"),
            allowed=str(FORMAT_VERSION),
        )
    arrays = {name: value.numpy() for name, value in payload.items() if isinstance(value, torch.Tensor)}
    texts = {name: value for name, value in payload.items() if isinstance(value, str)}
    return arrays, texts


def stored_matrix(arrays: dict[str, np.ndarray], path: Path) -> sparse.csr_array:
    """Return the `(samples, components)` matrix that the arrays of a file make.

    Raises:
        InputError: the arrays do not fit together.
    """
    n_samples, n_components = (int(n) for n in arrays["shape"])
    indptr, indices, values = arrays["indptr"], arrays["indices"], arrays["values"]
    if (
        len(indptr) != n_samples + 1
        or (np.diff(indptr) < 0).any()
        or indptr[0] != 0
        or indptr[-1] != len(indices)
        or len(values) not in (0, len(indices))
        or (len(indices) and int(indices.max()) >= n_components)
        or len(arrays["maxima"]) != n_components
        or len(arrays["means"]) != n_components
    ):
        raise InputError("sparse arrays do not fit together", file=path, field="indptr", allowed=ALLOWED)
    if len(values) == 0:
        values = np.ones(len(indices), dtype=values.dtype)
    index_type = np.int32 if len(indices) < 2**31 else np.int64
    return sparse.csr_array(
        (values, indices.astype(index_type), indptr.astype(index_type)), shape=(n_samples, n_components)
    )


def stored_provenance(texts: Mapping[str, str]) -> dict[str, str]:
    """Return the texts of a file that say what made the batch.

    Example:
        >>> stored_provenance({"seed": "0", "provenance.task": "tms"})
        {'task': 'tms'}
    """
    prefix = "provenance."
    return {name.removeprefix(prefix): text for name, text in texts.items() if name.startswith(prefix)}
