"""Matrices as pictures of bounded size: blocks of large ones share a cell; modules along the axes."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import AsinhNorm, LogNorm, Normalize
from matplotlib.patches import Patch
from scipy import sparse

from spdclust.core.types import Float, Int, Labels, Num, make_generator
from spdclust.merge.activations import module_of
from spdclust.plotting.style import AMOUNT, CHANGE, GREY, PALETTE, UNDEFINED, plain_text

MOST_CELLS = 400  # along one axis of a picture; above that blocks of rows and columns share a cell
MOST_SAMPLES = 50_000  # coactivations of more samples are counted on a sample of that many
SAMPLE_SEED = 0
OTHER = "#9A9A9A"  # of the modules for which no colour is left
_MANY, _LINEAR_QUANTILE = 1000, 0.998
_LOG_SPAN = 1e4
_STRETCH = 4096
_MOST_NAMES, _LONGEST_NAME = 24, 28

Rows = Callable[[int, int], np.ndarray]
"""Gives rows `start` to `stop` of a matrix, so that the matrix need not exist."""


def bin_edges(n: int, limit: int = MOST_CELLS) -> Int[np.ndarray, " edges"]:
    """Return the borders of at most `limit` bins of nearly equal size over `n` items.

    Example:
        >>> bin_edges(10, 4).tolist(), bin_edges(2, 4).tolist()
        ([0, 2, 5, 7, 10], [0, 1, 2])
    """
    n_bins = max(1, min(n, limit))
    return np.linspace(0, n, n_bins + 1).astype(np.int64)


def aggregate(
    rows: Rows, shape: tuple[int, int], how: str = "mean", limit: int = MOST_CELLS
) -> Float[np.ndarray, "_ _"]:
    """Return a matrix of at most `limit` rows and columns, each cell standing for a block of the given one.

    NaN does not count; a block of nothing else is NaN. `rows` returns any rows of the matrix of this `shape`,
    and is called once for each block, in order. `how` is `mean`, `least` or `largest`.

    Example:
        >>> matrix = np.array([[1.0, 3.0], [np.nan, 5.0]])
        >>> aggregate(lambda start, stop: matrix[start:stop], matrix.shape, limit=1).tolist()
        [[3.0]]
    """
    row_edges, column_edges = bin_edges(shape[0], limit), bin_edges(shape[1], limit)
    cells = np.full((len(row_edges) - 1, len(column_edges) - 1), np.nan)
    if 0 in shape:
        return cells
    for cell, (start, stop) in enumerate(itertools.pairwise(row_edges)):
        block = np.asarray(rows(int(start), int(stop)), dtype=np.float64)
        if how == "mean":
            total, count = block.sum(axis=0), np.full(shape[1], len(block))
            if np.isnan(total).any():
                known = ~np.isnan(block)
                total, count = np.where(known, block, 0.0).sum(axis=0), known.sum(axis=0)
            total, count = (np.add.reduceat(each, column_edges[:-1]) for each in (total, count))
            cells[cell] = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
        else:
            extreme = np.fmin if how == "least" else np.fmax
            cells[cell] = extreme.reduceat(extreme.reduce(block, axis=0), column_edges[:-1])
    return cells


def aggregate_matrix(
    matrix: Num[np.ndarray, "rows columns"], how: str = "mean", limit: int = MOST_CELLS
) -> Float[np.ndarray, "_ _"]:
    """Return `aggregate` of a matrix in memory.

    Example:
        >>> aggregate_matrix(np.array([[1.0, 3.0], [5.0, 7.0]]), limit=1).tolist()
        [[4.0]]
    """
    return aggregate(lambda start, stop: matrix[start:stop], matrix.shape, how, limit)


def block_note(n: int, what: str, how: str) -> str:
    """Return what a cell of an aggregated picture shows, nothing when each cell is one pair.

    Example:
        >>> block_note(13_000, "groups", "mean"), block_note(40, "groups", "mean")
        ('a cell: mean of 33 × 33 groups', '')
    """
    width = -(-n // MOST_CELLS)
    return f"a cell: {how} of {width} × {width} {what}" if width > 1 else ""


def draw_matrix(
    axes: Axes, cells: Num[np.ndarray, "_ _"], shape: tuple[int, int], label: str, scale: str = "linear"
) -> Colorbar | None:
    """Draw a matrix as one picture with its colour bar; what has no value is grey, zero on a log scale white.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = Figure().subplots()
        >>> bar = draw_matrix(axes, np.array([[0.0, 2.0]]), (1, 2), "activity [samples]")
        >>> bar.ax.get_ylabel(), float(bar.vmax)
        ('activity [samples]', 2.0)

    Args:
        axes: of a figure.
        cells: the values, aggregated to a bounded size.
        shape: rows and columns of the whole matrix, the numbers along the axes.
        label: quantity and unit, at the colour bar.
        scale: `linear`, `log`, or `change` for values on both sides of zero. Where few cells would take the
            whole linear scale it ends earlier, at an arrow; a log scale spans four powers of ten at most, and
            smaller values have its first colour.

    Returns:
        The colour bar; None without any value; the figure then has a note.
    """
    values = np.ma.masked_invalid(np.asarray(cells, dtype=np.float64))
    axes.grid(visible=False)
    extent = (0, max(1, shape[1]), max(1, shape[0]), 0)
    if values.count() == 0:
        axes.imshow(
            np.zeros((1, 1)), extent=extent, aspect="auto", cmap=mpl.colors.ListedColormap([UNDEFINED])
        )
        axes.text(0.5, 0.5, "no value", ha="center", va="center", transform=axes.transAxes)
        return None
    norm, values = _norm(values, scale)
    colors = mpl.colormaps[CHANGE if scale == "change" else AMOUNT].with_extremes(
        bad=UNDEFINED, under="white"
    )
    image = axes.imshow(values, norm=norm, cmap=colors, extent=extent, aspect="auto", interpolation="nearest")
    assert axes.figure is not None
    ticks = change_ticks(float(norm.vmax or 1.0)) if scale == "change" else None
    extend = "max" if float(values.max()) > float(norm.vmax or np.inf) else "neither"
    return axes.figure.colorbar(image, ax=axes, label=label, ticks=ticks, extend=extend)


def change_ticks(reach: float) -> list[float]:
    """Return ticks of an axis or colour bar of changes, on both sides of zero.

    Example:
        >>> change_ticks(0.3)
        [-0.1, -0.01, 0.0, 0.01, 0.1]
    """
    top = 10.0 ** math.floor(math.log10(reach))
    return [-top, -top / 10, 0.0, top / 10, top]


def _norm(values: np.ma.MaskedArray, scale: str) -> tuple[Normalize, np.ma.MaskedArray]:
    low, high = float(values.min()), float(values.max())
    if scale == "change":
        reach = max(abs(low), abs(high)) or 1.0
        return AsinhNorm(linear_width=reach / 50, vmin=-reach, vmax=reach), values
    if scale == "log" and high > 0:
        least = min(float(values[values > 0].min()), high / 10)
        least = max(least, high / _LOG_SPAN)
        # a logarithm would make zeros as undefined as NaN
        known = np.where(values.filled(1) > 0, np.maximum(values.filled(1), least), least / 10)
        return LogNorm(least, high), np.ma.masked_array(known, values.mask)
    low = min(0.0, low)
    top = float(np.quantile(values.compressed(), _LINEAR_QUANTILE)) if values.count() > _MANY else high
    return Normalize(low, next((each for each in (top, high) if each > low), low + 1.0)), values


def mean_coactivation(
    matrix: sparse.csr_array,
    columns: Int[np.ndarray, " columns"],
    threshold: float,
    *,
    relative: bool = False,
) -> Float[np.ndarray, "_ _"]:
    """Return the share of samples on which two components are active, averaged over blocks of pairs.

    The mean over a block is the product of the numbers of active components in either range, summed over
    samples: neither the samples × components nor the components × components matrix is built.

    Example:
        >>> active = sparse.csr_array([[1.0, 1.0], [1.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
        >>> mean_coactivation(active, np.array([0, 1]), 0.1).tolist()
        [[1.0, 0.5], [0.5, 0.5]]
        >>> mean_coactivation(active, np.array([0, 1]), 0.1, relative=True).round(3).tolist()
        [[1.0, 0.707], [0.707, 1.0]]

    Args:
        matrix: `(samples, components)` activations.
        columns: the components in the order of the cells.
        threshold: a component is active above this.
        relative: divide by the geometric mean of how often the two are active (Ochiai's coefficient): 1
            where they are always together. A component is not compared with itself unless it has a cell
            of its own.
    """
    edges = bin_edges(len(columns))
    n_bins = len(edges) - 1
    if 0 in (matrix.shape[0], len(columns)):
        return np.full((n_bins, n_bins), np.nan)
    if matrix.shape[0] > MOST_SAMPLES:
        chosen = make_generator(SAMPLE_SEED).choice(matrix.shape[0], MOST_SAMPLES, replace=False)
        matrix = matrix[np.sort(chosen)]
    column_of = np.full(matrix.shape[1], -1, dtype=np.int64)
    column_of[columns] = np.arange(len(columns))
    bin_of = np.repeat(np.arange(n_bins), np.diff(edges))
    times = np.bincount(matrix.indices[matrix.data > threshold], minlength=matrix.shape[1])[columns]
    weight = 1 / np.sqrt(np.maximum(times, 1)) if relative else np.ones(len(columns))
    together = np.zeros((n_bins, n_bins))
    for start in range(0, matrix.shape[0], _STRETCH):
        rows = matrix[start : start + _STRETCH]
        column = column_of[rows.indices]
        inside = (rows.data > threshold) & (column >= 0)
        sample = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))[inside]
        flat = sample * n_bins + bin_of[column[inside]]
        # float32 holds counts up to 2^24 exactly, more than a stretch of sparse activations has in a cell
        active = np.bincount(flat, weights=weight[column[inside]], minlength=rows.shape[0] * n_bins)
        active = active.reshape(-1, n_bins).astype(np.float32)
        together += active.T @ active
    width = np.diff(edges)
    pairs = width[:, None] * width[None, :].astype(np.float64)
    if not relative:
        cells: np.ndarray = together / pairs / matrix.shape[0]
        return cells
    several = np.diag_indices(n_bins)
    with_itself = np.add.reduceat((times > 0).astype(np.float64), edges[:-1])
    wide = width > 1
    together[several] -= np.where(wide, with_itself, 0.0)
    pairs[several] -= np.where(wide, width, 0)
    cells = np.maximum(together / pairs, 0.0)
    return cells


@dataclass(frozen=True)
class ModuleOrder:
    """Components brought into the order of their modules.

    Attributes:
        names: the modules, in the order of their first component.
        order: the components, module by module, otherwise as they were.
        edges: where each module begins in that order, and the end.
    """

    names: list[str]
    order: Int[np.ndarray, " components"]
    edges: Int[np.ndarray, " edges"]


def order_by_module(labels: Labels) -> ModuleOrder:
    """Return the order of components module by module.

    Example:
        >>> order = order_by_module(["b:0", "a:0", "b:1"])
        >>> order.names, order.order.tolist(), order.edges.tolist()
        (['b', 'a'], [0, 2, 1], [0, 2, 3])
    """
    names, numbers = number_modules(labels)
    sizes = np.bincount(numbers, minlength=len(names)) if len(numbers) else np.zeros(0, dtype=np.int64)
    return ModuleOrder(names, np.argsort(numbers, kind="stable"), np.concatenate([[0], np.cumsum(sizes)]))


def number_modules(labels: Labels) -> tuple[list[str], Int[np.ndarray, " components"]]:
    """Return the modules in the order of their first component, and the module of every component.

    Example:
        >>> names, numbers = number_modules(["b:0", "a:0", "b:1"])
        >>> names, numbers.tolist()
        (['b', 'a'], [0, 1, 0])
    """
    of_label = [module_of(label) for label in labels]
    number = {name: n for n, name in enumerate(dict.fromkeys(of_label))}
    return list(number), np.array([number[name] for name in of_label], dtype=np.int64)


def module_colors(names: Sequence[str], sizes: Sequence[int] | None = None) -> dict[str, str]:
    """Return a colour for each module; the smallest share grey when there are more than colours.

    Example:
        >>> module_colors(["a", "b"])
        {'a': '#0072B2', 'b': '#D55E00'}
    """
    colored = list(names)
    if len(names) > len(PALETTE):
        sizes = [0] * len(names) if sizes is None else sizes
        largest = sorted(range(len(names)), key=lambda n: (-sizes[n], n))[: len(PALETTE)]
        colored = [names[n] for n in sorted(largest)]
    colors = dict(zip(colored, PALETTE, strict=False))
    return {name: colors.get(name, OTHER) for name in names}


def module_handles(colors: Mapping[str, str]) -> list[Patch]:
    """Return the entries of a legend of modules; those without a colour of their own share one.

    Example:
        >>> [patch.get_label() for patch in module_handles({"attn": PALETTE[0], "a": OTHER, "b": OTHER})]
        ['attn', '2 other modules']
    """
    handles = [
        Patch(color=color, label=plain_text(name, 40)) for name, color in colors.items() if color != OTHER
    ]
    if len(handles) < len(colors):
        handles.append(Patch(color=OTHER, label=f"{len(colors) - len(handles)} other modules"))
    return handles


def draw_sizes(
    axes: Axes, counts: Int[np.ndarray, "groups modules"], colors: Sequence[str]
) -> Int[np.ndarray, " groups"]:
    """Draw the size of each group as a bar, by the colour of its components' modules; return the sizes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> draw_sizes(Figure().subplots(), np.array([[1, 2], [0, 2]]), PALETTE[:2]).tolist()
        [3, 2]
    """
    sizes = np.zeros(len(counts), dtype=np.int64)
    for color in dict.fromkeys(colors):  # one bar a colour, not one a module
        width = counts[:, [each == color for each in colors]].sum(axis=1)
        axes.barh(np.arange(len(counts)), width, left=sizes, height=0.75, color=color)
        sizes = sizes + width
    return sizes


def draw_modules(axes: Axes, modules: ModuleOrder, *, x: bool = True, y: bool = True) -> None:
    """Mark where modules end and name them on the axes of components, as many as there is room for.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = Figure().subplots()
        >>> draw_modules(axes, order_by_module(["attn:0", "attn:1", "mlp:0"]), y=False)
        >>> [text.get_text() for text in axes.get_xticklabels()], axes.get_xticks().tolist()
        (['attn', 'mlp'], [1.0, 2.5])
    """
    edges = modules.edges
    inner = edges[1:-1]
    middles = (edges[:-1] + edges[1:]) / 2
    room = _with_room(np.diff(edges))
    names = [plain_text(modules.names[n], _LONGEST_NAME) for n in room]
    if x:
        axes.vlines(inner, 0, 1, transform=axes.get_xaxis_transform(), color=GREY, lw=0.6)
        axes.set_xticks(middles[room], names, rotation=40, ha="right", rotation_mode="anchor", fontsize=8)
        axes.tick_params(axis="x", length=0)
    if y:
        axes.hlines(inner, 0, 1, transform=axes.get_yaxis_transform(), color=GREY, lw=0.6)
        axes.set_yticks(middles[room], names, fontsize=8)
        axes.tick_params(axis="y", length=0)


def _with_room(sizes: np.ndarray) -> list[int]:
    """Return the modules whose names fit side by side, the larger ones first."""
    total, chosen = int(sizes.sum()), list[int]()
    middles = np.cumsum(sizes) - sizes / 2
    for n in np.argsort(-sizes, kind="stable").tolist():
        if all(abs(middles[n] - middles[other]) * _MOST_NAMES >= total for other in chosen):
            chosen.append(n)
    return sorted(chosen)
