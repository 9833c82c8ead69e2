"""What the named arrays of a user-supplied file mean: a dictionary of tensors, `.npz`, `.safetensors`.

=============================================== ===========================================================
arrays                                          meaning
=============================================== ===========================================================
one array, or `activations`                     activations `(…, components)`, dense or sparse
`locations` `(n, axes)`, `activations` `(n,)`   coordinates of the values that are not 0, the component last
`indices`, `values` (see `TOP_K`)               the active components of each sample `(…, k)`, their values
`{module: array}`                               activations of several modules on the same samples
=============================================== ===========================================================

Next to them, `tokens` (see `user_files.tokens`) and `labels`. Also
`batch_<b>.zip` of a branch of the reference implementation: `activations.npy` `(samples, components)` and
`labels.txt`, one label per line.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import split_lines
from spdclust.core.types import Labels
from spdclust.files.archive import read_archive
from spdclust.user_files.contents import (
    ALLOWED,
    ALLOWED_LABELS,
    UserContent,
    as_labels,
    beside_each_other,
    describe,
    matrix_content,
    zipped_arrays,
)
from spdclust.user_files.coordinates import coordinates, top_k
from spdclust.user_files.layout import TOKEN_NAMES
from spdclust.user_files.tokens import UserTokens

_WHAT = "batch_<b>.zip with activations.npy and labels.txt"
_ACTIVATIONS, _LABELS = "activations", "labels.txt"


TOP_K = (("indices", "values"), ("top_indices", "top_acts"), ("top_indices", "top_values"))
"""Names of the active components of each sample, and of their values."""

_WIDTHS = ("n_components", "n_latents", "num_latents", "d_sae")  # the number of components
_UNNAMED = ("arr_0", "activations")
_PARTS = {"activations", "locations", *(name for pair in TOP_K for name in pair)}


def content_of(arrays: Mapping[str, Any], path: Path) -> UserContent:
    """Return the activations that named arrays or tensors hold.

    Example:
        >>> import numpy as np
        >>> content = content_of({"mlp": np.eye(2), "attn": np.ones((2, 1))}, Path(__file__))
        >>> content.generated_labels, content.rows().toarray().tolist()
        (['mlp:0', 'mlp:1', 'attn:0'], [[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])

    Args:
        arrays: NumPy arrays, tensors or sparse matrices by name; other values are metadata and ignored.
        path: the file, for messages.

    Raises:
        InputError: the arrays are none of those in the table above, or do not fit together.
    """
    left = {str(name): value for name, value in arrays.items() if hasattr(value, "shape")}
    tokens = next((left.pop(name) for name in TOKEN_NAMES if name in left), None)
    left.pop("labels", None)
    labels = _labels(arrays["labels"], path) if "labels" in arrays else None
    width = next((int(arrays[name]) for name in _WIDTHS if name in arrays and _is_count(arrays[name])), None)
    left = {name: value for name, value in left.items() if name not in _WIDTHS}
    names = set(left)
    if names == {"locations", "activations"}:
        leading = None if tokens is None else tuple(tokens.shape)
        content = coordinates(left["locations"], left["activations"], path, leading=leading, width=width)
    elif pair := next((pair for pair in TOP_K if names - {"pre_acts"} == set(pair)), None):
        # the activations of all latents, of which the top k were taken
        if width is None and "pre_acts" in left:
            width = int(left["pre_acts"].shape[-1])
        content = top_k(left[pair[0]], left[pair[1]], path, width=width)
    elif len(names) == 1 and not names.isdisjoint(_UNNAMED):
        content = matrix_content(left.popitem()[1], path)
    else:
        content = _modules(left, path, arrays)
    return replace(
        content,
        labels=content.labels if labels is None else labels,
        tokens=None if tokens is None else UserTokens.of(tokens, path),
    )


def _modules(arrays: Mapping[str, Any], path: Path, contents: Mapping[str, Any]) -> UserContent:
    """Return the activations of several modules on the same samples, side by side."""
    matrices = {name: value for name, value in arrays.items() if len(value.shape) >= 2}
    leading = {tuple(value.shape[:-1]) for value in matrices.values()}
    if not matrices or len(matrices) < len(arrays) or len(leading) > 1 or not _PARTS.isdisjoint(arrays):
        what = "arrays do not have the same samples"
        if len(leading) < 2:
            what = (
                "no matrix of activations"
                if "activations" not in arrays
                else "arrays next to the activations"
            )
        found = ", ".join(f"{name} {describe(value)}" for name, value in list(contents.items())[:8])
        raise InputError(what, file=path, found=found or "nothing", allowed=ALLOWED)
    parts = {name: matrix_content(matrix, path) for name, matrix in matrices.items()}
    whole = [name for name, part in parts.items() if part.whole_numbers]
    if 0 < len(whole) < len(parts):
        raise InputError(
            "whole numbers next to real ones: a mask or token numbers?",
            file=path,
            field=whole[0],
            found=describe(matrices[whole[0]]),
            allowed=ALLOWED,
        )
    return beside_each_other(parts)


def _labels(labels: Any, path: Path) -> Labels | None:
    if labels is None:
        return None
    found = as_labels(labels.tolist() if hasattr(labels, "tolist") else labels)
    if found is None:
        raise InputError(
            "no labels", file=path, field="labels", found=describe(labels), allowed=ALLOWED_LABELS
        )
    return found


def _is_count(value: Any) -> bool:
    size = getattr(value, "size", 1)
    return (isinstance(value, int) and value >= 0) or (
        hasattr(value, "shape") and value.shape == () and size == 1
    )


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
