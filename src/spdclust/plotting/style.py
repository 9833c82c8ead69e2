"""How figures look and what they call cuts: safe for colour-blind readers, readable in print, reproducible.

Powers of ten at logarithmic axes are plain text, `10⁻³`: as a formula, each takes longer than the axis.
"""

import contextlib
import functools
import logging
import re
import textwrap
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.text import Text
from matplotlib.ticker import Formatter, LogFormatterMathtext

from spdclust.core.atomic import atomic_path

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6E6E6E"
"""From the palette of Okabe and Ito."""

PALETTE = (BLUE, ORANGE, GREEN, "#E69F00", "#CC79A7", "#56B4E9", "#B8A500")
"""Colours for lines, and for modules in order, that colour-blind readers can distinguish."""

AMOUNT, CHANGE = "viridis", "RdBu_r"
"""Colour maps: of quantities, and of changes around zero (blue below, red above)."""

UNDEFINED = "#BDBDBD"
"""Colour of what has no value."""

LONGEST_TITLE = 110  # characters of a title over a whole figure
_MOST_CHARACTERS = 60
_WRAPS, _GAP = 4, 6
_COMPRESSION = 4
"""Of `.png` files: two thirds of the time of the default, 6, for files that are 2 % larger."""

_STYLE: Any = {
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.min_exponent": 4,  # 2 instead of 2×10⁰
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "pdf.fonttype": 42,
}

Arguments = ParamSpec("Arguments")


def styled(draw: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """Give a drawing function the package's style, without touching the caller's settings.

    Example:
        >>> @styled
        ... def draw_one():
        ...     return new_figure()[0]
        >>> axes = draw_one().axes[0]
        >>> axes.spines["top"].get_visible(), mpl.rcParams["axes.spines.top"]
        (False, True)
    """

    @functools.wraps(draw)
    def drawn(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Figure:
        with mpl.rc_context(_STYLE):
            figure = draw(*args, **kwargs)
            _write_powers_as_text(figure)
            return figure

    return drawn


def new_figure(n_rows: int = 1, size: tuple[float, float] = (6.4, 4.0)) -> tuple[Figure, list[Axes]]:
    """Return a figure and its axes from top to bottom, which share their horizontal axis.

    Example:
        >>> figure, axes = new_figure(2)
        >>> len(axes)
        2
    """
    figure = Figure(figsize=size, layout="constrained")  # no pyplot: nothing global, no window
    axes = figure.subplots(n_rows, 1, squeeze=False, sharex=True)
    return figure, list(axes[:, 0])


@styled
def empty_figure(title: str) -> Figure:
    """Return a figure with the reason why there is nothing to draw.

    Example:
        >>> empty_figure("Run 0: no merges").axes[0].get_title(loc="left")
        'Run 0: no merges'
    """
    figure, (axes,) = new_figure(size=(6.4, 1.6))
    axes.set_axis_off()
    axes.set_title(plain_text(title, LONGEST_TITLE))
    return figure


def plain_text(text: str, limit: int = _MOST_CHARACTERS) -> str:
    """Return a label as figures can show it: literally, on one line, at most `limit` characters.

    A `$` starts no formula, the middle of a long text becomes an ellipsis, and characters that the font lacks
    become boxes.

    Example:
        >>> plain_text("price_$a_$b:0"), plain_text("a" * 50 + ":17", limit=12)
        ('price_\\\\$a_\\\\$b:0', 'aaaaaa…aa:17')
    """
    if len(text) > limit:
        tail = (limit - 1) // 2
        text = f"{text[: limit - 1 - tail]}…{text[len(text) - tail :]}"
    visible = "".join(
        sign if _has_glyph(sign) and unicodedata.category(sign)[0] != "C" else "□" for sign in text
    )
    return visible.replace("$", r"\$")


def save_figure(figure: Figure, *paths: str | Path, dpi: int = 150, scale: float = 1.0) -> None:
    """Write a figure under each of the paths, the suffix naming the format, without dates.

    `dpi` holds for pictures inside a `.pdf`, too; `scale` is a factor on the figure's width and height, while
    texts keep their size.

    Example:
        >>> figure, _ = new_figure(size=(2.0, 2.0))
        >>> for name in ("a", "b"):
        ...     save_figure(figure, f"{folder}/{name}.png")
        >>> (folder / "a.png").read_bytes() == (folder / "b.png").read_bytes()
        True

    Raises:
        InputError: a file cannot be written.
    """
    width, height = figure.get_size_inches()
    figure.set_size_inches(width * scale, height * scale)
    engine = figure.get_layout_engine()
    with mpl.rc_context(_STYLE):
        _lay_out(figure)
    for path in map(Path, paths):
        suffix = path.suffix.removeprefix(".")
        kwargs: dict[str, Any] = {
            "metadata": {"CreationDate": None} if suffix == "pdf" else {"Software": None}
        }
        fonts = _only_glyphs() if suffix == "pdf" else contextlib.nullcontext()
        if suffix == "png":
            kwargs["pil_kwargs"] = {"compress_level": _COMPRESSION}
        with atomic_path(path) as temporary, mpl.rc_context(_STYLE), fonts:
            figure.savefig(temporary, format=suffix, dpi=dpi, **kwargs)
    figure.set_layout_engine(engine)
    figure.set_size_inches(width, height)


def _lay_out(figure: Figure) -> None:
    """Lay a figure out with its titles wrapped, and keep that layout: a pass costs as much as a picture."""
    engine = figure.get_layout_engine()
    lay_out = figure.draw_without_rendering if engine is None else functools.partial(engine.execute, figure)
    for _ in range(_WRAPS):
        lay_out()
        if not _wrap_titles(figure):
            break
    else:
        lay_out()
    _settle_layout(figure)


def _wrap_titles(figure: Figure) -> bool:
    """Break titles that reach over the edge or into the next title: layouts leave room for height only.

    Returns whether there were any.
    """
    titles = [title for title in _titles(figure) if title.get_text()]
    boxes = [title.get_window_extent() for title in titles]
    wrapped = False
    for title, box in zip(titles, boxes, strict=True):
        neighbors = [
            other.x0 for other in boxes if other.x0 > box.x0 and other.y0 < box.y1 and box.y0 < other.y1
        ]
        room = min([figure.bbox.width, *neighbors]) - box.x0 - _GAP * figure.dpi / 72
        if box.width <= room:
            continue
        lines = title.get_text().splitlines()
        longest = max(map(len, lines))
        width = max(8, min(longest - 1, int(longest * room / box.width)))
        broken = "\n".join(part for line in lines for part in (textwrap.wrap(line, width) or [""]))
        wrapped |= broken != title.get_text()
        title.set_text(broken)
    return wrapped


def _titles(figure: Figure) -> list[Text]:
    above = [figure._suptitle] if figure._suptitle is not None else []  # type: ignore[attr-defined]
    return above + [axes._left_title for axes in figure.axes]  # type: ignore[attr-defined]


def _settle_layout(figure: Figure) -> None:
    """Keep the layout of a figure, in round numbers.

    The solver of constrained layouts adds up in the order of memory addresses: the last digits of its
    positions differ from run to run, and a `.pdf` holds enough of them, or the sign of a zero, to differ.
    """
    figure.set_layout_engine(None)  # "none" would be one more pass for each file
    for part in figure.subfigs:
        part.bbox_relative.set_points(part.bbox_relative.get_points().round(6))
    for axes in figure.axes:
        left, bottom, width, height = (round(each, 6) for each in axes.get_position(original=True).bounds)
        axes.set_position((left, bottom, width, height))


UNUSED_TABLES = ("GDEF", "GPOS", "GSUB", "MATH", "kern")
"""Rules for placing glyphs; in a `.pdf`, every glyph already has a position."""


@contextlib.contextmanager
def _only_glyphs() -> Iterator[None]:
    """Make matplotlib embed fonts without `UNUSED_TABLES`, which take most of the time, without logging."""
    from fontTools import subset  # not loaded where no `.pdf` is written

    load, log = subset.load_font, logging.getLogger("fontTools")

    def load_font(file: Any, options: Any, **kwargs: Any) -> Any:
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


_FORMULA = re.compile(r"\$\\mathdefault\{(.*)\}\$")
_EXPONENT = re.compile(r"\^\{([-−]?\d+)\}")
_RAISED = str.maketrans("-−0123456789", "⁻⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@functools.cache
def _has_glyph(sign: str) -> bool:
    """Return whether the font of the figures has a sign."""
    if sign.isascii():
        return True
    return bool(get_font(findfont(FontProperties())).get_char_index(ord(sign)))


def _power_as_text(formula: str) -> str:
    """Return a tick label that matplotlib writes as a formula as text; other labels unchanged."""
    found = _FORMULA.fullmatch(formula)
    if found is None:
        return formula
    text = found[1].replace(r"\times", "×").replace("-", "−")
    text = _EXPONENT.sub(lambda power: power[1].translate(_RAISED), text)
    # another font may lack the signs, and another version of matplotlib write other formulas
    return text if all(map(_has_glyph, text)) and not set(text) & set("{}\\^_$") else formula


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
        return _power_as_text(self._formatter(x, pos))


def _write_powers_as_text(figure: Figure) -> None:
    """Write powers of ten at the logarithmic axes and colour bars of a figure as text."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if isinstance(major := axis.get_major_formatter(), LogFormatterMathtext):
                axis.set_major_formatter(_AsText(major))
            if isinstance(minor := axis.get_minor_formatter(), LogFormatterMathtext):
                axis.set_minor_formatter(_AsText(minor))


CUT_NAMES = {
    "least_mdl": "shortest description",
    "stability_drop": "before stability drops",
    "iteration": "chosen iteration",
    "n_groups": "chosen number of groups",
}
"""What figures call the cuts."""


def groups_span(n_groups: Sequence[int]) -> str:
    """Return the range of the numbers of groups of several runs as text.

    Example:
        >>> groups_span([43, 44, 43]), groups_span([1])
        ('43 to 44 groups', '1 group')
    """
    low, high = min(n_groups), max(n_groups)
    if low < high:
        return f"{low} to {high} groups"
    return "1 group" if low == 1 else f"{low} groups"


def cut_title(name: str, at: Mapping[str, Any]) -> str:
    """Return the title of what is drawn at one cut of a record, see `stability_record`.

    Example:
        >>> cut_title("least_mdl", {"cut": {"n_groups": [4, 5]}})
        'Shortest description: 4 to 5 groups'
        >>> cut_title("least_mdl", {"cut": {"n_groups": [4, 5], "notes": ["Raise iters."]}}).splitlines()[1]
        'Raise iters.'
    """
    title = f"{CUT_NAMES[name].capitalize()}: {groups_span(at['cut']['n_groups'])}"
    notes = [line for note in at["cut"].get("notes", []) for line in textwrap.wrap(note, 52)]
    return "\n".join([title, *notes])
