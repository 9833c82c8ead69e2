"""Fonts in `.pdf` files: only the glyphs that a figure shows, without tables that a `.pdf` does not use."""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from fontTools import subset

UNUSED_TABLES = ("GDEF", "GPOS", "GSUB", "MATH", "kern")
"""Rules for placing glyphs: in a `.pdf`, every glyph has its place already."""


@contextlib.contextmanager
def only_glyphs() -> Iterator[None]:
    """Let matplotlib embed fonts without `UNUSED_TABLES`, which take most of the time, and no log of it.

    Example:
        >>> from matplotlib.font_manager import findfont
        >>> with only_glyphs(), subset.load_font(findfont("DejaVu Sans"), subset.Options()) as font:
        ...     "GSUB" in font, "glyf" in font
        (False, True)
    """
    load, log = subset.load_font, logging.getLogger("fontTools")

    def load_font(file: Any, options: subset.Options, **kwargs: Any) -> Any:
        font = load(file, options, **kwargs)
        for table in UNUSED_TABLES:
            if table in font:
                del font[table]
        return font

    level = log.level
    log.setLevel(logging.WARNING)  # a line for every table and list of glyphs
    subset.load_font = load_font
    try:
        yield
    finally:
        subset.load_font = load
        log.setLevel(level)
