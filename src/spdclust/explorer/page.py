"""The page's file: template, style and scripts around the packed data, nothing from elsewhere."""

import base64
import hashlib
import html
from pathlib import Path

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
    """Return the page: one text that needs nothing beside it.

    The only script that runs is ours, by its digest, and nothing can be fetched or sent; the data are
    base64, so that no label can become markup.

    Example:
        >>> page = page_html("a <b>", b"packed")
        >>> "<title>a &lt;b&gt;" in page, "cGFja2Vk" in page, "default-src 'none'" in page
        (True, True, True)

    Args:
        title: name of the ensemble.
        packed: see `packing.pack`.
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
