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

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import as_input_error, regular_file, split_lines
from spdclust.core.types import Labels
from spdclust.files.archive import read_archive
from spdclust.merge.rows import flattened, is_sparse, rows_at
from spdclust.user_files.contents import (
    ALLOWED,
    ALLOWED_LABELS,
    UserContent,
    as_labels,
    beside_each_other,
    check_shape,
    describe,
    matrix_content,
    zipped_arrays,
)
from spdclust.user_files.layout import TOKEN_NAMES, cache_files, natural
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
        content = _coordinates(left["locations"], left["activations"], path, leading=leading, width=width)
    elif pair := next((pair for pair in TOP_K if names - {"pre_acts"} == set(pair)), None):
        # the activations of all latents, of which the top k were taken
        if width is None and "pre_acts" in left:
            width = int(left["pre_acts"].shape[-1])
        content = _top_k(left[pair[0]], left[pair[1]], path, width=width)
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
        problem = "arrays do not have the same samples"
        if len(leading) < 2:
            problem = (
                "no matrix of activations"
                if "activations" not in arrays
                else "arrays next to the activations"
            )
        found = ", ".join(f"{name} {describe(value)}" for name, value in list(contents.items())[:8])
        raise InputError(problem, file=path, found=found or "nothing", allowed=ALLOWED)
    parts = {name: matrix_content(matrix, path) for name, matrix in matrices.items()}
    integer_modules = [name for name, part in parts.items() if part.whole_numbers]
    if 0 < len(integer_modules) < len(parts):
        raise InputError(
            "whole numbers next to real ones: a mask or token numbers?",
            file=path,
            field=integer_modules[0],
            found=describe(matrices[integer_modules[0]]),
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
        >>> import numpy as np
        >>> from spdclust.files.archive import write_archive
        >>> path = folder / "batch_0000.zip"
        >>> members = {"activations.npy": np.array([[0.0, 0.5], [0.25, 0.0]]), "labels.txt": "m:0\\nm:1"}
        >>> write_archive(path, members)
        >>> batch = zipped_batch(path)
        >>> batch.rows().toarray().tolist(), batch.labels
        ([[0.0, 0.5], [0.25, 0.0]], ['m:0', 'm:1'])

    Raises:
        InputError: the file is damaged, or a member is missing.
    """
    arrays = zipped_arrays(path, _WHAT, _WHAT)
    labels = split_lines(read_archive(path, texts=[_LABELS], kind=_WHAT)[_LABELS])
    if _ACTIVATIONS not in arrays:
        found = [*(f"{name}.npy" for name in arrays), _LABELS]
        raise InputError("member missing", file=path, field=f"{_ACTIVATIONS}.npy", found=found, allowed=_WHAT)
    return replace(matrix_content(arrays[_ACTIVATIONS], path), labels=labels)


def _coordinates(
    locations: Any,
    values: Any,
    path: Path,
    *,
    leading: Sequence[int] | None = None,
    width: int | None = None,
) -> UserContent:
    """Return the activations given by the coordinates of the values that are not 0; repeated ones are summed.

    `locations` are integers `(n, axes)`, the component last, `leading` the sizes of the axes of samples and
    `width` the number of components; None: as large as the largest coordinate needs.
    """
    positions, numbers = _array(locations), _array(values)
    fits = positions.ndim == 2 and positions.shape[1] >= 2 and positions.dtype.kind in "iu"
    if leading is not None:
        fits = fits and positions.shape[1] == len(leading) + 1
    if not fits or numbers.shape != positions.shape[:1] or numbers.dtype.kind not in "biuf":
        n_axes = "at least 2" if leading is None else str(len(leading) + 1)
        raise InputError(
            "locations and activations do not fit together",
            file=path,
            found=f"locations {describe(locations)}, activations {describe(values)}",
            allowed=f"integers (n, axes) with {n_axes} axes, the component last, and n numbers",
        )
    largest = [int(n) for n in positions.max(axis=0, initial=0)]
    shape = [n + 1 for n in largest]
    if leading is not None:
        shape[:-1] = leading
    if width is not None:
        shape[-1] = width
    if positions.min(initial=0) < 0 or any(n >= limit for n, limit in zip(largest, shape, strict=True)):
        raise InputError(
            "a location is out of range",
            file=path,
            field="locations",
            found=f"{int(positions.min(initial=0))} to {largest}",
            allowed=f"0 to {[n - 1 for n in shape]}" if positions.min(initial=0) >= 0 else "0 or more",
        )
    n_samples, n_components = flattened(shape)
    check_shape(n_samples, n_components, path)
    return UserContent(
        n_samples,
        n_components,
        lambda: rows_at([*positions.T], _floats(numbers), shape),
        states_width=width is not None,
    )


def _top_k(indices: Any, values: Any, path: Path, *, width: int | None = None) -> UserContent:
    """Return the activations given by the active components of each sample; repeated ones are summed."""
    columns, numbers = _array(indices), _array(values)
    if (
        columns.shape != numbers.shape
        or columns.ndim < 2
        or columns.dtype.kind not in "iu"
        or numbers.dtype.kind not in "biuf"
    ):
        raise InputError(
            "indices and values do not fit together",
            file=path,
            found=f"indices {describe(indices)}, values {describe(values)}",
            allowed="integers (…, k) and numbers of the same shape",
        )
    n_samples, k = flattened(columns.shape)
    widest = int(columns.max(initial=-1)) + 1
    if columns.min(initial=0) < 0 or (width is not None and widest > width):
        raise _outside(path, "indices", columns, width)
    n_components = widest if width is None else width
    check_shape(n_samples, n_components, path)

    def rows() -> sparse.csr_array:
        indptr = np.arange(n_samples + 1) * k
        parts = _floats(numbers).ravel(), columns.ravel(), indptr
        return sparse.csr_array(parts, shape=(n_samples, n_components))

    return UserContent(n_samples, n_components, rows, states_width=width is not None)


def _array(values: Any) -> np.ndarray:
    if is_sparse(values):
        return np.empty(())
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() and values.element_size() < 4 else values
        return np.asarray(values.numpy())
    return np.asarray(values)


def _floats(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return values.astype(np.float64 if values.dtype == np.float64 else np.float32, copy=False)


def _outside(path: Path, field: str, columns: np.ndarray, width: int | None) -> InputError:
    return InputError(
        "a component is out of range",
        file=path,
        field=field,
        found=f"{columns.min(initial=0)} to {columns.max(initial=0)}",
        allowed="0 or more" if width is None else f"0 to {width - 1}",
    )


EXTRA = "pip install 'spdclust[formats]'"

_ALLOWED_CACHE = "a feature cache as delphi writes it: locations (n, 3), activations (n,) and perhaps tokens"


def read_safetensors(path: str | Path) -> dict[str, Any]:
    """Return the tensors of a file by name, in natural order, mapped into memory.

    Example:
        >>> import torch
        >>> from safetensors.torch import save_file
        >>> save_file({"layer.10": torch.ones(1), "layer.9": torch.zeros(1)}, f"{folder}/a.safetensors")
        >>> read_safetensors(f"{folder}/a.safetensors")
        {'layer.9': tensor([0.]), 'layer.10': tensor([1.])}

    Raises:
        InputError: the file does not exist or is damaged, or the safetensors package is missing.
    """
    allowed = "a .safetensors file"
    path = regular_file(path, allowed)
    try:
        from safetensors import safe_open
    except ImportError:
        raise InputError(
            ".safetensors files require the safetensors package", file=path, allowed=EXTRA
        ) from None
    with as_input_error("not a readable .safetensors file", path, allowed), safe_open(path, "pt") as stored:
        return {name: stored.get_tensor(name) for name in sorted(stored.keys(), key=natural)}


def cache_content(folder: Path) -> UserContent:
    """Return the activations of a feature cache, with the splits and the modules side by side.

    The number of samples is that of the tokens; if they were not kept, that of the largest locations.

    Example:
        >>> import torch
        >>> from safetensors.torch import save_file
        >>> (folder / "mlp").mkdir()
        >>> split = {"locations": torch.tensor([[0, 1, 0]]), "activations": torch.ones(1)}
        >>> save_file(split, f"{folder}/mlp/0_1.safetensors")
        >>> cache_content(folder).rows().toarray().tolist()
        [[0.0, 0.0], [1.0, 0.0]]

    Raises:
        InputError: a split is missing or damaged, or the splits are not of the same samples.
    """
    files = cache_files(folder)
    stored = [_read_split(file) for file in files]
    tokens = stored[0].get("tokens")
    for file, arrays in zip(files, stored, strict=True):
        _check_tokens(file, arrays.get("tokens"), files[0], tokens)
    if tokens is not None:
        leading = list(tokens.shape)
    else:
        largest = [arrays["locations"].numpy().max(axis=0, initial=0) for arrays in stored]
        leading = [int(n) + 1 for n in np.max(largest, axis=0)[:-1]]
    modules: dict[str, list[UserContent]] = {}
    ends: dict[str, int] = {}
    for file, arrays in zip(files, stored, strict=True):
        start, end = _range(file)
        module = file.parent.name
        if start != ends.get(module, -1) + 1 or end < start:
            raise InputError(
                "a split of the cache is missing",
                file=file.parent,
                found=", ".join(each.name for each in files if each.parent == file.parent),
                allowed="ranges of latents without gaps from 0: 0_9.safetensors, 10_19.safetensors, …",
            )
        ends[module] = end
        width = end - start + 1
        content = _coordinates(arrays["locations"], arrays["activations"], file, leading=leading, width=width)
        modules.setdefault(module, []).append(content)
    tensors = {
        module: beside_each_other({str(number): part for number, part in enumerate(parts)})
        for module, parts in modules.items()
    }
    stored_tokens = None if tokens is None else UserTokens.of(tokens, files[0])
    return replace(beside_each_other(tensors), tokens=stored_tokens)


def _read_split(file: Path) -> dict[str, Any]:
    arrays = read_safetensors(file)
    shapes = {name: tuple(value.shape) for name, value in arrays.items()}
    locations = shapes.get("locations", ())
    if set(shapes) - {"tokens"} != {"locations", "activations"} or len(locations) != 2:
        raise InputError(
            "not a split of a feature cache, although its name has the form <first>_<last>.safetensors",
            file=file,
            found=", ".join(f"{name} {describe(value)}" for name, value in arrays.items()) or "no tensors",
            allowed=f"{_ALLOWED_CACHE}; other files under another name",
        )
    return arrays


def _range(file: Path) -> tuple[int, int]:
    first, last = file.stem.split("_")
    return int(first), int(last)


def _check_tokens(file: Path, tokens: Any, first: Path, expected: Any) -> None:
    same = tokens is None if expected is None else tokens is not None and tokens.equal(expected)
    if not same:
        raise InputError(
            "the tokens differ between the files of the cache",
            file=file,
            field="tokens",
            found="none" if tokens is None else describe(tokens),
            allowed=f"those of {first.parent.name}/{first.name}: files of one cache, made in one go",
        )
