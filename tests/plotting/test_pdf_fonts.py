"""Fonts in `.pdf` files: real text, in a font that has only its glyphs."""

import io
import logging
import re
import zlib

import pytest
from fontTools import subset, ttLib

from spdclust.plotting.style import UNUSED_TABLES, _only_glyphs, new_figure, save_figure


def streams(pdf):
    """Return the parts of a file, uncompressed where they can be."""
    found = []
    for part in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        try:
            found.append(zlib.decompress(part))
        except zlib.error:
            found.append(part)
    return found


def test_text_stays_text_in_a_font_of_its_glyphs_alone(tmp_path, caplog):
    figure, (axes,) = new_figure()
    axes.set_title("office")
    with caplog.at_level(logging.INFO):
        save_figure(figure, tmp_path / "a.pdf")
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert b"/Type3" not in pdf
    assert b"/CIDFontType2" in pdf
    assert b"/ToUnicode" in pdf
    fonts = [part for part in streams(pdf) if part.startswith(b"\x00\x01\x00\x00")]
    assert fonts  # a ligature has a font of its own
    for font in fonts:
        tables = ttLib.TTFont(io.BytesIO(font))
        assert {"glyf", "hmtx", "loca"} <= set(tables.keys())
        assert not set(UNUSED_TABLES) & set(tables.keys())
        assert tables["maxp"].numGlyphs < 100
    assert [record for record in caplog.records if record.name.startswith("fontTools")] == []


def test_fonts_are_read_as_before_after_an_error():
    load, level = subset.load_font, logging.getLogger("fontTools").level
    with pytest.raises(KeyError), _only_glyphs():
        assert subset.load_font is not load
        raise KeyError
    assert subset.load_font is load
    assert logging.getLogger("fontTools").level == level
