"""Numbers and texts in one run of bytes that a browser takes apart again."""

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

TYPES = ("u1", "u2", "u4", "i4", "f8")
"""Types of arrays that the page reads."""


def pack(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return a header and arrays as compressed bytes.

    Compressed (zlib) are: the length of the header (4 bytes), the header as JSON, and the arrays one after
    the other, each with the first bytes of all its values, then the second bytes, …: neighbouring values
    share their high bytes, and compress better so.

    Example:
        >>> unpacked = unpack(pack({"name": "demo"}, {"x": np.array([1, 2], dtype=np.uint16)}))
        >>> unpacked[0]["name"], unpacked[1]["x"].tolist()
        ('demo', [1, 2])

    Args:
        header: plain JSON types without NaN; a key `arrays` is added.
        arrays: of the types in `TYPES`.

    Raises:
        ValueError: a type that the page does not read, or NaN in the header.
    """
    index, blocks = {}, []
    for name, array in arrays.items():
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        kind = little.dtype.str.lstrip("<|")
        if kind not in TYPES:
            raise ValueError(f"array {name}: the page does not read {little.dtype}")
        index[name] = {"type": kind, "shape": list(array.shape)}
        blocks.append(little.view(np.uint8).reshape(-1, little.itemsize).T.tobytes())
    text = json.dumps(
        {**header, "arrays": index}, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    ).encode()
    return zlib.compress(struct.pack("<I", len(text)) + text + b"".join(blocks), 9)


def unpack(packed: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what `pack` was given; the page does the same.

    Example:
        >>> header, arrays = unpack(pack({"name": "demo"}, {"x": np.array([1, 2], dtype=np.uint16)}))
        >>> header["name"], arrays["x"].tolist()
        ('demo', [1, 2])
    """
    raw = zlib.decompress(packed)
    (length,) = struct.unpack_from("<I", raw)
    header = json.loads(raw[4 : 4 + length])
    arrays, start = {}, 4 + length
    for name, told in header["arrays"].items():
        dtype = np.dtype(f"<{told['type']}")
        size = int(np.prod(told["shape"], dtype=np.int64)) * dtype.itemsize
        planes = np.frombuffer(raw, np.uint8, size, start).reshape(dtype.itemsize, -1)
        arrays[name] = np.ascontiguousarray(planes.T).view(dtype).reshape(told["shape"])
        start += size
    return header, arrays


def narrow(numbers: np.ndarray) -> np.ndarray:
    """Return whole numbers from 0 on in the narrowest type that the page reads.

    Example:
        >>> narrow(np.array([0, 300])).dtype.name, narrow(np.array([0, 65536])).dtype.name
        ('uint16', 'uint32')
    """
    return numbers.astype(np.uint16 if int(numbers.max(initial=0)) < 2**16 else np.uint32)
