"""A flat `torch.save` file of tensors and texts, read without torch: its import takes longer than most jobs.

The pickle inside is never executed: the standard library's disassembler lists its opcodes, and the few that
`torch.save` needs for a dictionary of plain tensors and texts are followed here.
"""

import math
import pickletools
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.core.safe_reading import check_size
from spdclust.files.zip_files import open_zip

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


def read_plain_tensors(path: str | Path, what: str) -> dict[str, np.ndarray | str] | None:
    """Return the arrays and texts of a `torch.save` file; None where it may hold anything else.

    The arrays are mapped into memory. The checksums of the archive are not compared.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save({"a": torch.arange(3), "text": "b"}, f"{folder}/a.pt")
        ...     read_plain_tensors(f"{folder}/a.pt", "batch")
        ...     torch.save([torch.arange(3)], f"{folder}/list.pt")
        ...     read_plain_tensors(f"{folder}/list.pt", "batch")
        {'a': memmap([0, 1, 2]), 'text': 'b'}

    Args:
        path: the file.
        what: short description of the expected contents, for messages.

    Raises:
        InputError: the file is a damaged archive, or its tensors have more data than it can contain.
    """
    path = Path(path)
    if not path.is_file() or not zipfile.is_zipfile(path):
        return None
    with open_zip(path, what) as archive:
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


def _storage(what: str, kind: _Name, key: str, _device: str, size: int) -> _Storage:
    if what != "storage":  # the device it was saved from does not matter here
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
