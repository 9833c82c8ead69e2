"""Safe reading of `torch.save` files that may be damaged or hostile: plain tensors only, no code run."""

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import as_input_error, check_size, regular_file
from spdclust.files.zip_files import check_crc, open_zip

if TYPE_CHECKING:
    import torch


def load_tensors(
    path: str | Path, what: str, allowed: str, *, verify: bool = True, mapped: bool = True
) -> Any:
    """Return the contents of a `torch.save` file, with tensors on the CPU.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save({"a": torch.ones(2)}, f"{folder}/a.pt")
        ...     load_tensors(f"{folder}/a.pt", "batch", "a batch")
        {'a': tensor([1., 1.])}

    Args:
        path: the file.
        what: short description of the expected contents, for messages.
        allowed: long description of the expected contents, for messages.
        verify: check the CRC-32 of every member, which reads the whole file once; PyTorch does not check.
        mapped: memory-map the tensors; the file must not change while they are in use.

    Raises:
        InputError: the file does not exist, is truncated or damaged, contains code or unsupported tensors,
            or declares more data than it can contain.
    """
    import torch

    path = regular_file(path, allowed)
    problem = f"not a readable {what} (truncated, damaged or not a {what})"
    with as_input_error(problem, path, allowed):
        is_zip = zipfile.is_zipfile(path)
        if is_zip:
            _check_stored(path, what)
            if verify:
                check_crc(path, what)
        checked: Any = torch.sparse.check_sparse_tensor_invariants  # indices within the shape
        try:
            # hide warnings about the pickle protocol: invalid files raise a one-line error
            with warnings.catch_warnings(), checked(True):
                warnings.simplefilter("ignore")
                content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped and is_zip)
        except pickle.UnpicklingError as error:
            raise InputError(
                f"not a readable {what}; nothing in it was executed", file=path, allowed=allowed
            ) from error
        _check_tensors(content, path, allowed)
    return content


def _check_stored(path: Path, what: str) -> None:
    """Raise an error for compressed members: `torch.save` writes none, and they may expand to any size."""
    with open_zip(path, what) as archive:
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                raise InputError(
                    "member is compressed", field=info.filename, allowed="as torch.save writes it"
                )


def _check_tensors(content: Any, path: Path, allowed: str) -> None:
    """Raise an error for tensors whose data are not in the file."""
    import torch

    n_bytes, waiting = 0, [("", content)]
    seen: set[int] = set()
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, torch.Tensor):
            n_bytes += _bytes_of(value, name, path, allowed)
        elif isinstance(value, dict | list | tuple | set) and id(value) not in seen:
            seen.add(id(value))
            inner = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += [(f"{name}.{key}" if name else str(key), each) for key, each in inner]
    check_size(n_bytes, path, "tensors")


def _bytes_of(tensor: "torch.Tensor", name: str, path: Path, allowed: str) -> int:
    import torch

    field = name or "tensor"
    if tensor.is_quantized or tensor.is_nested or tensor.device.type != "cpu":
        found = "quantized" if tensor.is_quantized else "nested" if tensor.is_nested else tensor.device.type
        raise InputError("not a plain tensor", file=path, field=field, found=found, allowed=allowed)
    if tensor.layout is torch.strided:
        return tensor.numel() * tensor.element_size()
    # memory of a sparse tensor as rows: its entries, and a pointer for every row
    n_rows = 0
    for size in tensor.shape[:-1]:
        n_rows = max(1, n_rows) * int(size)
    entries = tensor._nnz() * (tensor.element_size() + 8 * max(1, len(tensor.shape)))
    return 8 * n_rows + entries
