"""The layout of `batch_<b>.pt`: only plain tensors and strings are read.

Two checksums (SHA-256) are stored among the texts: `checksum` of all tensors and texts with their names, and
`head_checksum` of the parts that are read without the activations: shape, maxima, means and all texts.
Version 1 had only the first one, without the names of the tensors. Version 3 has no values but the threshold
of the sets of active components; batches with values are written as version 2.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import as_input_error, check_size, regular_file
from spdclust.files.archive import digest_of
from spdclust.files.torch_files import load_tensors, read_plain_tensors

FORMAT = "spdclust.activation_batch"
FORMAT_VERSION = 2
ALLOWED = "a batch written by spdclust"
SETS_VERSION = 3
THRESHOLD = "threshold"
"""Text that holds the threshold of the sets, in files of version 3."""

_VERSIONS = ("1", "2", "3")
_HEAD = ("shape", "maxima", "means")
_BYTES_OF_LABEL = 100

Arrays = dict[str, np.ndarray]
Texts = dict[str, str]


def checksums(arrays: Mapping[str, np.ndarray], texts: Mapping[str, str]) -> dict[str, str]:
    """Return the checksums to store with the other texts, so that damage is detected.

    Example:
        >>> arrays = {name: np.zeros(1) for name in ("shape", "maxima", "means", "values")}
        >>> list(checksums(arrays, {"labels": "m:0"}))
        ['checksum', 'head_checksum']
    """
    whole = digest_of(*_named(arrays, sorted(arrays)), dict(texts))
    return {"checksum": whole, "head_checksum": _head_checksum(arrays, {**texts, "checksum": whole})}


def _head_checksum(arrays: Mapping[str, np.ndarray], texts: Mapping[str, str]) -> str:
    return digest_of(*_named(arrays, [name for name in _HEAD if name in arrays]), dict(texts))


def _named(arrays: Mapping[str, np.ndarray], names: list[str]) -> list[str | np.ndarray]:
    return [part for name in names for part in (name, arrays[name])]


def read_whole(path: Path) -> tuple[Arrays, Texts]:
    """Read and verify all tensors and strings of a batch.

    Example:
        >>> from spdclust.files.activation_batch import ActivationBatch
        >>> ActivationBatch.from_dense(np.eye(2), ["m:0", "m:1"], seed=3).save(f"{folder}/batch_0.pt")
        >>> arrays, texts = read_whole(folder / "batch_0.pt")
        >>> arrays["indices"].tolist(), texts["labels"], texts["seed"]
        ([0, 1], 'm:0\\nm:1', '3')

    Raises:
        InputError: no such file, truncated, damaged, or not a batch written by spdclust.
    """
    arrays, texts = _read(path)
    _verify(arrays, texts, path)
    return arrays, texts


def read_head(path: Path) -> tuple[Arrays, Texts]:
    """Read and verify a batch without its activations: maxima, means and all strings.

    Files of version 1 are read and verified in full.

    Example:
        >>> from spdclust.files.activation_batch import ActivationBatch
        >>> batch = ActivationBatch.from_dense([[0.2, 0.0], [0.8, 0.0]], ["m:0", "m:1"])
        >>> batch.save(f"{folder}/batch_0.pt")
        >>> arrays, texts = read_head(folder / "batch_0.pt")
        >>> sorted(arrays), arrays["means"].tolist()
        (['maxima', 'means', 'shape'], [0.5, 0.0])

    Raises:
        InputError: no such file, truncated, damaged, or not a batch written by spdclust.
    """
    arrays, texts = _read(path)
    if texts["format_version"] == "1":
        _verify(arrays, texts, path)
    else:
        with as_input_error("checksum cannot be computed", path, ALLOWED):
            rest = {name: text for name, text in texts.items() if name != "head_checksum"}
            fits = texts.get("head_checksum") == _head_checksum(arrays, rest)
        if not fits:
            raise _damaged(path)
    return {name: arrays[name] for name in _HEAD if name in arrays}, texts


def _read(path: Path) -> tuple[Arrays, Texts]:
    # not verified here: the checksums inside are stricter than those of the archive
    payload: Any = read_plain_tensors(regular_file(path, ALLOWED), "batch")
    if payload is None:  # older files, and what was written by others: as torch reads it
        payload = load_tensors(path, "batch", ALLOWED, verify=False)
    if not isinstance(payload, dict) or payload.get("format") != FORMAT:
        raise InputError("not an activation batch", file=path, field="format", allowed=ALLOWED)
    if payload.get("format_version") not in _VERSIONS:
        raise InputError(
            "unknown format version",
            file=path,
            field="format_version",
            found=payload.get("format_version"),
            allowed=", ".join(_VERSIONS),
        )
    arrays, texts = {}, {}
    for name, value in payload.items():
        if isinstance(name, str) and isinstance(value, str):
            texts[name] = value
        elif isinstance(name, str) and isinstance(value, np.ndarray):
            arrays[name] = value
        elif isinstance(name, str) and hasattr(value, "numpy"):
            with as_input_error("not a plain tensor", path, ALLOWED, name):
                arrays[name] = value.numpy()
        else:
            raise InputError(
                "neither a tensor nor a string",
                file=path,
                field=str(name),
                found=type(value).__name__,
                allowed=ALLOWED,
            )
    return arrays, texts


def _verify(arrays: Arrays, texts: Texts, path: Path) -> None:
    with as_input_error("checksum cannot be computed", path, ALLOWED):
        rest = {name: text for name, text in texts.items() if name not in ("checksum", "head_checksum")}
        if texts["format_version"] == "1":
            fits = texts.get("checksum") == digest_of(*arrays.values(), rest)
        else:
            computed = checksums(arrays, rest)
            fits = all(texts.get(name) == computed[name] for name in computed)
    if not fits:
        raise _damaged(path)


def _damaged(path: Path) -> InputError:
    return InputError("checksum does not match: the file is damaged", file=path, allowed=ALLOWED)


def stored_matrix(arrays: Mapping[str, np.ndarray], path: Path) -> sparse.csr_array:
    """Return the `(samples, components)` matrix built from the arrays of a file.

    Example:
        >>> from spdclust.files.activation_batch import ActivationBatch
        >>> path = folder / "batch_0.pt"
        >>> ActivationBatch.from_dense([[1.0, 0.0], [1.0, 0.5]], ["m:0", "m:1"]).save(path)
        >>> stored_matrix(read_whole(path)[0], path).toarray().tolist()
        [[1.0, 0.0], [1.0, 0.5]]

    Raises:
        InputError: the arrays are inconsistent.
    """
    n_samples, n_components = stored_shape(arrays, path)
    check_rows(arrays, path)
    indptr, indices, values = arrays["indptr"], arrays["indices"], arrays["values"]
    if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < n_components:
        raise _misfit(path, "indices", f"{indices.min()} to {indices.max()} of {n_components} components")
    # not those of the file, which cannot be written to: whoever needs that would copy all three arrays
    values = np.array(values) if len(values) else np.ones(len(indices), dtype=values.dtype)
    index_type = np.int32 if len(indices) < 2**31 else np.int64
    return sparse.csr_array(
        (values, indices.astype(index_type), indptr.astype(index_type)), shape=(n_samples, n_components)
    )


def check_rows(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Check the types and lengths of the arrays of a file, and where its rows start.

    Example:
        >>> arrays = {"shape": np.array([1, 2]), "maxima": np.ones(2), "means": np.ones(2)}
        >>> arrays |= {"indptr": np.array([0, 7]), "indices": np.array([1]), "values": np.ones(1)}
        >>> check_rows(arrays, Path("batch_0.pt"))
        Traceback (most recent call last):
        ...
        spdclust.InputError: batch_0.pt: indptr: arrays are inconsistent (found: 2 for 1 samples and 1
        entries; allowed: a batch written by spdclust)

    Raises:
        InputError: they are inconsistent.
    """
    for name, kinds in (("indptr", "iu"), ("indices", "iu"), ("values", "f")):
        if arrays[name].ndim != 1 or arrays[name].dtype.kind not in kinds:
            raise _misfit(path, name, f"{arrays[name].dtype} {arrays[name].shape}")
    n_samples = int(arrays["shape"][0])
    indptr, indices, values = arrays["indptr"], arrays["indices"], arrays["values"]
    if len(indptr) != n_samples + 1 or indptr[0] != 0 or indptr[-1] != len(indices):
        raise _misfit(path, "indptr", f"{len(indptr)} for {n_samples} samples and {len(indices)} entries")
    if (indptr[1:] < indptr[:-1]).any():
        raise _misfit(path, "indptr", "a decreasing one")
    if len(values) not in (0, len(indices)):
        raise _misfit(path, "values", f"{len(values)} for {len(indices)} entries")


def stored_threshold(arrays: Mapping[str, np.ndarray], texts: Mapping[str, str], path: Path) -> float | None:
    """Return the threshold of the sets in a file; None if it holds values.

    Without `values` the arrays are not compared with it.

    Example:
        >>> stored_threshold({}, {"format_version": "3", "threshold": "0.1"}, Path("batch_0.pt"))
        0.1

    Raises:
        InputError: the threshold is missing or out of range, or there are values as well.
    """
    is_sets = texts["format_version"] == str(SETS_VERSION)
    if not is_sets and THRESHOLD not in texts:
        return None
    text = texts.get(THRESHOLD)
    try:
        threshold = float(text or "")
    except ValueError:
        threshold = -1.0
    if not is_sets or not 0 <= threshold < 1 or len(arrays.get("values", ())):
        found = f"{text}, version {texts['format_version']}, {len(arrays.get('values', ()))} values"
        raise InputError(
            "not the threshold of sets",
            file=path,
            field=THRESHOLD,
            found=found,
            allowed="0 or more and less than 1, in version 3, without values",
        )
    return threshold


def stored_shape(arrays: Mapping[str, np.ndarray], path: Path) -> tuple[int, int]:
    """Return the number of samples and components of a file, after checking its maxima and means.

    Example:
        >>> import tempfile
        >>> arrays = {"shape": np.array([500, 2]), "maxima": np.ones(2), "means": np.ones(3)}
        >>> with tempfile.NamedTemporaryFile() as file:
        ...     stored_shape(arrays, Path(file.name))
        Traceback (most recent call last):
        ...
        spdclust.InputError: ...means: ... (found: float64 (3,) for 2 components...)

    Raises:
        InputError: the maxima or means have the wrong shape, or contain a value that is not finite.
    """
    shape = arrays["shape"]
    if shape.shape != (2,) or shape.dtype.kind not in "iu" or (shape < 0).any():
        raise _misfit(path, "shape", shape.tolist())
    n_samples, n_components = (int(n) for n in shape)
    check_size(_BYTES_OF_LABEL * n_components + 8 * n_samples, path, "shape")
    for name in ("maxima", "means"):
        array = arrays[name]
        if array.shape != (n_components,) or array.dtype.kind != "f":
            raise _misfit(path, name, f"{array.dtype} {array.shape} for {n_components} components")
        if not np.isfinite(array).all():
            raise InputError(
                "not a finite number", file=path, field=name, found=float(array[~np.isfinite(array)][0])
            )
    return n_samples, n_components


def _misfit(path: Path, name: str, found: object) -> InputError:
    return InputError("arrays are inconsistent", file=path, field=name, found=found, allowed=ALLOWED)


def stored_provenance(texts: Mapping[str, str]) -> dict[str, str]:
    """Return the texts of a file that describe the origin of the batch.

    Example:
        >>> stored_provenance({"seed": "0", "provenance.task": "tms"})
        {'task': 'tms'}
    """
    prefix = "provenance."
    return {name.removeprefix(prefix): text for name, text in texts.items() if name.startswith(prefix)}
