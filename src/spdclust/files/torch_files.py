"""Safe reading of `torch.save` files that may be damaged or hostile: plain tensors only, no code run.

A flat file of tensors and texts is read without torch, whose import takes longer than most jobs: the standard
library's disassembler lists the opcodes of the pickle inside, and the few that `torch.save` needs for such a
file are followed here. Torch reads the others.
"""

import math
import pickle
import pickletools
import re
import threading
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import as_input_error, check_size, regular_file
from spdclust.files.zip_files import open_zip

if TYPE_CHECKING:
    import torch

_one_at_a_time = threading.Lock()  # hidden warnings and torch's checks are states of the whole process


def load_tensors(
    path: str | Path, kind: str, allowed: str, *, verify: bool = True, mapped: bool = True
) -> Any:
    """Return the contents of a `torch.save` file, with tensors on the CPU.

    Example:
        >>> import torch
        >>> torch.save({"a": torch.ones(2)}, f"{folder}/a.pt")
        >>> load_tensors(f"{folder}/a.pt", "batch", "a batch")
        {'a': tensor([1., 1.])}

    Args:
        path: the file.
        kind: short description of the expected contents, for messages.
        allowed: long description of the expected contents, for messages.
        verify: check the CRC-32 of every member, which reads the whole file once; PyTorch does not check.
        mapped: memory-map the tensors; the file must not change while they are in use.

    Raises:
        InputError: the file does not exist, is truncated or damaged, contains code or unsupported tensors,
            or declares more data than it can contain.
    """
    import torch

    path = regular_file(path, allowed)
    problem = f"not a readable {kind} (truncated, damaged or not a {kind})"
    with as_input_error(problem, path, allowed):
        is_zip = zipfile.is_zipfile(path)
        if is_zip:
            _check_stored(path, kind)
            if verify:
                _check_crc(path, kind)
        checked: Any = torch.sparse.check_sparse_tensor_invariants  # indices within the shape
        try:
            # hide warnings about the pickle protocol: invalid files raise a one-line error
            with _one_at_a_time, warnings.catch_warnings(), checked(True):
                warnings.simplefilter("ignore")
                content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped and is_zip)
        except pickle.UnpicklingError as error:
            raise InputError(
                f"not a readable {kind}; nothing in it was executed",
                file=path,
                found=_object_in(str(error)),
                allowed=allowed,
            ) from error
        _check_tensors(content, path, allowed)
    return content


def _object_in(message: str) -> str | None:
    """Return what a file contains that is no tensor, from PyTorch's message."""
    named = re.search(r"Unsupported global: GLOBAL (\S+)", message)
    if named is None:
        return None
    if named[1].startswith("numpy."):
        return "an array or a number of NumPy; torch.from_numpy makes an array a tensor"
    return named[1]


def _check_stored(path: Path, kind: str) -> None:
    """Raise an error for compressed members: `torch.save` writes none, and they may expand to any size."""
    with open_zip(path, kind) as archive:
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


_TYPES = {
    "torch DoubleStorage": "<f8",
    "torch FloatStorage": "<f4",
    "torch HalfStorage": "<f2",
    "torch LongStorage": "<i8",
    "torch IntStorage": "<i4",
    "torch ShortStorage": "<i2",
    "torch CharStorage": "<i1",
    "torch ByteStorage": "<u1",
    "torch BoolStorage": "?",
    "torch uint16": "<u2",
    "torch uint32": "<u4",
    "torch uint64": "<u8",
}
_UNTYPED = "torch.storage UntypedStorage"
_REBUILDS = ("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor_v3")
_LOCAL_HEADER = 30
"""Size in bytes of a member's local header, without its name and extra field."""


class _NotPlainError(Exception):
    """The file holds something else, which torch may be able to read."""


@dataclass(frozen=True)
class _Name:
    """A global that the pickle refers to; it is never imported."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """Values of a tensor: a member of the archive, its type if it has one, and its size as stated."""

    kind: str
    key: str
    size: int


def read_plain_tensors(path: str | Path, kind: str) -> dict[str, np.ndarray | str] | None:
    """Return the arrays and texts of a `torch.save` file; None where it may hold anything else.

    The arrays are mapped into memory. The checksums of the archive are not compared.

    Example:
        >>> import torch
        >>> torch.save({"a": torch.arange(3), "text": "b"}, f"{folder}/a.pt")
        >>> read_plain_tensors(f"{folder}/a.pt", "batch")
        {'a': memmap([0, 1, 2]), 'text': 'b'}
        >>> torch.save([torch.arange(3)], f"{folder}/list.pt")
        >>> read_plain_tensors(f"{folder}/list.pt", "batch")

    Raises:
        InputError: the file is a damaged archive, or its tensors have more data than it can contain.
    """
    path = Path(path)
    if not path.is_file() or not zipfile.is_zipfile(path):
        return None
    with open_zip(path, kind) as archive:
        members = {
            info.filename.partition("/")[2]: info
            for info in archive.infolist()
            if info.compress_type == zipfile.ZIP_STORED and info.compress_size == info.file_size
        }
        try:
            mapped = _Mapped(path, members)
            # compressed members cannot be mapped, and torch swaps the bytes of other machines itself
            if len(members) != len(archive.infolist()) or mapped.member("byteorder").tobytes() != b"little":
                return None
            content: dict[str, np.ndarray | str] = _followed(mapped.member("data.pkl").tobytes(), mapped)
        except (_NotPlainError, LookupError, TypeError, ValueError, AttributeError, OverflowError):
            return None
    plain = isinstance(content, dict) and all(
        isinstance(name, str) and isinstance(value, (str, np.ndarray)) for name, value in content.items()
    )
    if not plain:
        return None
    # tensors may share their storage
    check_size(sum(value.nbytes for value in content.values() if not isinstance(value, str)), path, "tensors")
    return content


class _Mapped:
    """The members of an archive as arrays."""

    def __init__(self, path: Path, members: Mapping[str, zipfile.ZipInfo]) -> None:
        self._bytes = np.memmap(path, mode="c")
        self._members = members

    def __call__(self, storage: _Storage, offset: int, shape: tuple[int, ...], kind: str) -> np.ndarray:
        """Return a part of a storage; its size must be the one stated."""
        dtype = np.dtype(_TYPES[kind])
        values = self.member(f"data/{storage.key}")
        stated = storage.size * (1 if storage.kind == _UNTYPED else dtype.itemsize)
        first, size = offset * dtype.itemsize, math.prod(shape) * dtype.itemsize
        if stated != len(values) or min(shape, default=0) < 0 or not 0 <= first <= first + size <= stated:
            raise _NotPlainError
        return values[first : first + size].view(dtype).reshape(shape)

    def member(self, name: str) -> np.ndarray:
        """Return the bytes of a member. Their CRC-32 may be missing, and is not compared."""
        info = self._members[name]
        lengths = self._bytes[info.header_offset :][26:_LOCAL_HEADER].view("<u2")
        first = info.header_offset + _LOCAL_HEADER + int(lengths.sum())
        content = self._bytes[first : first + info.file_size]
        if len(content) != info.file_size:
            raise _NotPlainError
        return content


def _followed(pickled: bytes, mapped: _Mapped) -> Any:
    """Return what the opcodes of a pickle build."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        start = marks.pop()
        taken = stack[start:]
        del stack[start:]
        return taken

    argument: Any
    for opcode, argument, _ in pickletools.genops(pickled):
        name = opcode.name
        if name in ("BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1"):
            stack.append(argument)
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "MARK":
            marks.append(len(stack))
        elif name == "TUPLE":
            stack.append(tuple(since_mark()))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            length = int(name[-1])
            stack[-length:] = [tuple(stack[-length:])]
        elif name == "EMPTY_TUPLE":
            stack.append(())
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name in ("NEWFALSE", "NEWTRUE"):
            stack.append(name == "NEWTRUE")
        elif name == "GLOBAL":
            stack.append(_Name(argument))
        elif name == "BINPERSID":
            stack.append(_storage(*stack.pop()))
        elif name == "REDUCE":
            arguments, call = stack.pop(), stack.pop()
            stack.append(_reduced(call.name, arguments, mapped))
        elif name in ("SETITEM", "SETITEMS"):
            items = since_mark() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            stack[-1].update(zip(items[::2], items[1::2], strict=True))
        elif name == "BUILD":
            attributes, target = stack.pop(), stack[-1]
            # versions of the modules, which `Module.state_dict` leaves as an attribute of its dictionary
            if not isinstance(target, dict) or not isinstance(attributes, dict):
                raise _NotPlainError
        elif name == "STOP":
            (content,) = stack
            return content
        elif name != "PROTO":
            raise _NotPlainError
    raise _NotPlainError


def _storage(tag: str, kind: _Name, key: str, _device: str, size: int) -> _Storage:
    if tag != "storage":  # the device it was saved from does not matter here
        raise _NotPlainError
    return _Storage(kind.name, key, size)


def _reduced(call: str, arguments: tuple[Any, ...], mapped: _Mapped) -> Any:
    if call == "collections OrderedDict" and arguments == ():
        return {}
    if call not in _REBUILDS:
        raise _NotPlainError
    storage, offset, shape, strides, needs_gradient, hooks, *rest = arguments
    steps = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    in_order = math.prod(shape) < 2 or all(
        size == 1 or step == stride for size, step, stride in zip(shape, steps, strides, strict=True)
    )
    if not in_order or needs_gradient or hooks:
        raise _NotPlainError
    kind = rest[0].name if storage.kind == _UNTYPED else storage.kind
    return mapped(storage, offset, shape, kind)


def _check_crc(path: str | Path, kind: str) -> None:
    """Check the CRC-32 of every member, which readers of `.pt` files do not.

    Files written without checksums (all are 0) pass.
    """
    with open_zip(path, kind) as archive:
        if not any(info.CRC for info in archive.infolist()):
            return
        for info in archive.infolist():
            with archive.open(info) as stream:  # raises at the end of a member whose checksum does not match
                while stream.read(1 << 20):
                    pass
