"""Powers of ten at logarithmic axes as plain text, `10⁻³`: as a formula, each takes longer than the axis."""

import functools
import re
from typing import Any

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ticker import Formatter, LogFormatterMathtext

_FORMULA = re.compile(r"\$\\mathdefault\{(.*)\}\$")
_EXPONENT = re.compile(r"\^\{([-−]?\d+)\}")
_RAISED = str.maketrans("-−0123456789", "⁻⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@functools.cache
def has_glyph(sign: str) -> bool:
    """Return whether the font of the figures has a sign.

    Example:
        >>> has_glyph("µ"), has_glyph("測")
        (True, False)
    """
    if sign.isascii():
        return True
    return bool(get_font(findfont(FontProperties())).get_char_index(ord(sign)))


def power_as_text(formula: str) -> str:
    """Return what matplotlib writes as a formula at a logarithmic axis as text; other texts as they are.

    Example:
        >>> power_as_text(r"$\\mathdefault{10^{-3}}$"), power_as_text(r"$\\mathdefault{-2\\times10^{5}}$")
        ('10⁻³', '−2×10⁵')
        >>> power_as_text(r"$\\mathdefault{100}$"), power_as_text("100")
        ('100', '100')
    """
    found = _FORMULA.fullmatch(formula)
    if found is None:
        return formula
    text = found[1].replace(r"\times", "×").replace("-", "−")
    text = _EXPONENT.sub(lambda power: power[1].translate(_RAISED), text)
    # another font may lack the signs, and another version of matplotlib write other formulas
    return text if all(map(has_glyph, text)) and not set(text) & set("{}\\^_$") else formula


class _AsText(Formatter):
    """What another formatter writes, as text."""

    def __init__(self, formatter: Formatter) -> None:
        self._formatter = formatter

    def set_axis(self, axis: Axis | None) -> None:  # type: ignore[override]
        super().set_axis(axis)
        self._formatter.set_axis(axis)

    def set_locs(self, locs: Any) -> None:
        self._formatter.set_locs(locs)

    def __call__(self, x: float, pos: int | None = None) -> str:
        return power_as_text(self._formatter(x, pos))


def write_powers_as_text(figure: Figure) -> None:
    """Let the logarithmic axes and colour bars of a figure have powers of ten as text.

    Example:
        >>> figure = Figure()
        >>> axis = figure.subplots().xaxis
        >>> axis.axes.set_xscale("log")
        >>> write_powers_as_text(figure)
        >>> axis.get_major_formatter()(1e5)
        '10⁵'
    """
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if isinstance(major := axis.get_major_formatter(), LogFormatterMathtext):
                axis.set_major_formatter(_AsText(major))
            if isinstance(minor := axis.get_minor_formatter(), LogFormatterMathtext):
                axis.set_minor_formatter(_AsText(minor))
