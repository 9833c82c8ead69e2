"""The page's file: template, style and scripts around the data, which is packed for a browser."""

import base64
import hashlib
import html
import json
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

TYPES = ("u1", "u2", "u4", "i4", "f8")
"""Types of arrays that the page reads."""


ASSETS = Path(__file__).resolve().parent / "assets"
SCRIPTS = (
    "data.js",
    "merges.js",
    "agreement.js",
    "definitions.js",
    "elements.js",
    "charts.js",
    "found.js",
    "found_view.js",
    "found_panel.js",
    "group_table.js",
    "panels.js",
    "mapping.js",
    "explorer.js",
)
"""The page's scripts, in the order in which they are put together."""


def page_html(title: str, packed: bytes) -> str:
    """Return the page: one self-contained text.

    The only script that runs is ours, by its digest, and nothing can be fetched or sent; the data are
    base64, so that no label can become markup.

    Example:
        >>> page = page_html("a <b>", b"packed")
        >>> "<title>a &lt;b&gt;" in page, "cGFja2Vk" in page, "default-src 'none'" in page
        (True, True, True)
    """
    body = "\n".join((ASSETS / name).read_text(encoding="utf-8") for name in SCRIPTS)
    script = f'"use strict";\n(() => {{\n{body}}})();\n'
    style = (ASSETS / "explorer.css").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    page = (ASSETS / "page.html").read_text(encoding="utf-8")
    parts = {
        "policy": html.escape(policy, quote=False),
        "title": html.escape(title),
        "style": style,
        "script": script,
        "data": base64.b64encode(packed).decode("ascii"),
    }
    before, *rest = page.split("{{")
    pieces = [before]
    for piece in rest:
        name, _, after = piece.partition("}}")
        pieces += [parts[name], after]
    return "".join(pieces)


def assets_digest() -> str:
    """Return a digest of template, style and scripts, which the fingerprint of Python code does not see.

    Example:
        >>> len(assets_digest())
        16
    """
    digest = hashlib.sha256()
    for path in sorted(ASSETS.iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def pack(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return a header of plain JSON types and arrays of the types in `TYPES` as compressed bytes.

    Compressed (zlib) are: the length of the header (4 bytes), the header as JSON, and the arrays one after
    the other, each with the first bytes of all its values, then the second bytes, …: neighbouring values
    share their high bytes, and compress better so.

    Example:
        >>> zlib.decompress(pack({"name": "demo"}, {"x": np.array([1, 258], dtype=np.uint16)}))[4:]
        b'{"name":"demo","arrays":{"x":{"type":"u2","shape":[2]}}}\\x01\\x02\\x00\\x01'

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


def narrow(numbers: np.ndarray) -> np.ndarray:
    """Return whole numbers from 0 on in the narrowest type that the page reads.

    Example:
        >>> narrow(np.array([0, 300])).dtype.name, narrow(np.array([0, 65536])).dtype.name
        ('uint16', 'uint32')
    """
    return numbers.astype(np.uint16 if int(numbers.max(initial=0)) < 2**16 else np.uint32)
