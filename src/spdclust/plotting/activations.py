"""Figures: the activations of one batch, component by component, and which components act together."""

import itertools

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy import sparse

from spdclust.core.types import Float, Int
from spdclust.files.batches import ActivationBatch
from spdclust.merge.activations import ProcessedActivations, check_threshold
from spdclust.merge.sources import rows_between, stretches
from spdclust.plotting import matrices
from spdclust.plotting.matrices import (
    MOST_CELLS,
    ModuleOrder,
    bin_edges,
    draw_matrix,
    draw_modules,
    mean_coactivation,
    order_by_module,
)
from spdclust.plotting.style import BLUE, GREEN, ORANGE, styled

ACTIVITY_THRESHOLD = 0.01  # the default of the merge
_SAMPLE_CELLS = 250
_ZERO = np.zeros(1, dtype=np.int32)
_BINS, _CLOSE = 50, 1e-3  # bins of the activations; rounding moves values by less than this share of a bin
_STORED = 1 << 17  # stored values read at a time: their temporary arrays stay in the processor's cache


def activation_figures(
    activations: ProcessedActivations | ActivationBatch,
    *,
    activation_threshold: float | None = ACTIVITY_THRESHOLD,
) -> dict[str, Figure]:
    """Draw one batch of activations in every way.

    Components are sorted by module; those that are never active in the batch are left out of the
    matrices, and the titles give their number. Large batches are aggregated to at most 400 × 400 cells.
    With a threshold of None, components are active above 0.

    Example:
        >>> acts = ProcessedActivations.from_dense(np.eye(3), ["m:0", "m:1", "n:0"])
        >>> list(activation_figures(acts))
        ['raw', 'sorted', 'coactivation', 'log_coactivation', 'histograms']

    Raises:
        InputError: only the sets at another threshold are known.
    """
    quantity = "activation"
    if isinstance(activations, ActivationBatch):
        quantity = "causal importance" if "causal_importance" in activations.provenance else quantity
        activations = activations.activations
    check_threshold(activations.threshold, activation_threshold)
    threshold = activation_threshold or 0.0
    if activations.threshold is not None:
        quantity = f"{quantity} above {threshold:g}: 1, else 0"
    frequency = _times_active(activations, threshold)
    alive = np.flatnonzero(frequency)
    modules = order_by_module([activations.labels[component] for component in alive])
    columns = alive[modules.order]
    summary = f"{len(alive)} of {activations.n_components} components are ever active (> {threshold:g})"
    frequent = _most_frequent_first(frequency[columns], modules)
    matrix = activations.matrix
    together = mean_coactivation(matrix, columns, threshold)
    sampled = (
        f"; {matrices.MOST_SAMPLES} of {activations.n_samples} samples, drawn at random"
        if activations.n_samples > matrices.MOST_SAMPLES
        else ""
    )
    return {
        "raw": _draw_samples(
            _mean_cells(matrix, columns),
            activations.n_samples,
            modules,
            ("Activations", summary),
            "sample, as drawn",
            quantity,
        ),
        "sorted": _draw_samples(
            _mean_cells(matrix, columns[frequent], _sample_order(activations, columns[frequent])),
            activations.n_samples,
            modules,
            ("Activations, sorted", summary),
            "sample, by its most distinctive component",
            quantity,
        ),
        "coactivation": _draw_coactivation(together, modules, summary + sampled, "linear"),
        "log_coactivation": _draw_coactivation(together, modules, summary + sampled, "log"),
        "histograms": _draw_histograms(activations, frequency, threshold, quantity),
    }


@styled
def _draw_samples(
    cells: np.ndarray, n_samples: int, modules: ModuleOrder, title: tuple[str, str], rows: str, quantity: str
) -> Figure:
    n_components = len(modules.order)
    figure = Figure(figsize=(8.4, 5.2), layout="constrained")
    axes = figure.subplots()
    aggregated = n_samples > _SAMPLE_CELLS or n_components > MOST_CELLS
    quantity_label = f"mean {quantity} in the cell" if aggregated else quantity
    draw_matrix(axes, cells, (n_samples, n_components), quantity_label, "log")
    per_cell = (-(-n_samples // _SAMPLE_CELLS), -(-n_components // MOST_CELLS))
    note = f"; a cell: {per_cell[0]} samples × {per_cell[1]} components" if aggregated else ""
    axes.set_title(f"{title[0]}: {n_samples} samples{note}\n{title[1]}")
    axes.set(xlabel="component, by module", ylabel=rows)
    axes.yaxis.set_major_locator(MaxNLocator(8, integer=True))
    draw_modules(axes, modules, y=False)
    return figure


@styled
def _draw_coactivation(cells: np.ndarray, modules: ModuleOrder, summary: str, scale: str) -> Figure:
    n = len(modules.order)
    figure = Figure(figsize=(7.6, 6.2), layout="constrained")
    axes = figure.subplots()
    width = -(-n // MOST_CELLS)
    mean = f"mean over {width} × {width} components of " if width > 1 else ""
    draw_matrix(axes, cells, (n, n), f"{mean}share of samples with both active", scale)
    name = "Coactivation" if scale == "linear" else "Coactivation, logarithmic (white: never together)"
    axes.set_title(f"{name}\n{summary}")
    axes.set(xlabel="component, by module", ylabel="component, by module")
    draw_modules(axes, modules)
    return figure


@styled
def _draw_histograms(
    activations: ProcessedActivations, frequency: np.ndarray, threshold: float, quantity: str
) -> Figure:
    matrix, n_samples = activations.matrix, max(1, activations.n_samples)
    figure = Figure(figsize=(10.0, 3.6), layout="constrained")
    values, often, busy = figure.subplots(1, 3)
    top = np.float64(matrix.data.max(initial=1))
    counts, edges = np.zeros(_BINS, dtype=np.int64), np.linspace(0, top, _BINS + 1)
    per_sample = np.zeros(activations.n_samples, dtype=np.int64)
    for first, rows in stretches(activations, _STORED):
        active = rows.data > threshold
        counts += _count_in_bins(rows.data[active], top)
        before = np.concatenate([_ZERO, np.cumsum(active, dtype=np.int32)])
        per_sample[first : first + rows.shape[0]] = np.diff(before[rows.indptr])
    if activations.threshold is None:
        values.stairs(counts, edges, fill=True, color=BLUE)
        values.set(xlabel=f"{quantity}, where > {threshold:g}", ylabel="entries [count]")
        if counts.any():
            values.set_yscale("log")
            values.set_ylim(bottom=0.7)
        values.set_title("How active")
    else:
        values.set_axis_off()
        values.set_title("How active: not known, keep_values: false")
    shares = frequency[frequency > 0] / n_samples
    dead = int((frequency == 0).sum())
    often.hist(shares, bins=np.geomspace(1 / n_samples, 1, 40) if n_samples > 1 else 10, color=ORANGE)
    often.set(xlabel="share of samples on which it is active", ylabel="components [count]")
    if n_samples > 1:
        often.set_xscale("log")
    often.set_title(f"How often: {dead} never are")
    most = int(per_sample.max(initial=0))
    busy.hist(per_sample, bins=np.arange(0, most + 2, max(1, -(-most // 60))) - 0.5, color=GREEN)
    busy.set(xlabel="components active on it [count]", ylabel="samples [count]")
    mean = per_sample.mean() if len(per_sample) else 0.0
    busy.set_title(f"How many on a sample: mean {mean:.3g}")
    busy.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.suptitle(
        f"Activations of {activations.n_components} components on {activations.n_samples} samples",
        x=0.01,
        ha="left",
    )
    return figure


def _count_in_bins(values: Float[np.ndarray, " values"], top: float) -> Int[np.ndarray, " bins"]:
    """Return how many values are in each of the equal bins from 0 to `top`, as `np.histogram` counts them."""
    scaled = np.multiply(values, _BINS / top, dtype=np.result_type(values, np.float32))
    bins = scaled.astype(np.uint8)
    # NumPy compares every value with the edges of its bin; only those close to one need it
    scaled -= bins
    close = np.abs(scaled - scaled.dtype.type(0.5)) > 0.5 - _CLOSE
    counts: np.ndarray = np.bincount(bins[~close], minlength=_BINS)
    counts += np.histogram(values[close], bins=_BINS, range=(np.float64(0), np.float64(top)))[0]
    return counts


def _times_active(activations: ProcessedActivations, threshold: float) -> Int[np.ndarray, " components"]:
    times = np.zeros(activations.n_components, dtype=np.int64)
    for _, rows in stretches(activations, _STORED):
        times += np.bincount(rows.indices[rows.data > threshold], minlength=len(times))
    return times


def _most_frequent_first(frequency: np.ndarray, modules: ModuleOrder) -> Int[np.ndarray, " columns"]:
    module = np.repeat(np.arange(len(modules.names)), np.diff(modules.edges))
    return np.lexsort((-frequency, module))


def _mean_cells(
    matrix: sparse.csr_array,
    columns: Int[np.ndarray, " columns"],
    order: Int[np.ndarray, " samples"] | None = None,
) -> Float[np.ndarray, "_ _"]:
    """Return the mean activation of blocks of samples (in `order`, if given) and components (`columns`)."""
    n_samples, n_components = matrix.shape
    row_edges, column_edges = bin_edges(n_samples, _SAMPLE_CELLS), bin_edges(len(columns))
    width, height = np.diff(column_edges), np.diff(row_edges)
    if 0 in (n_samples, len(columns)):
        return np.full((len(height), len(width)), np.nan)
    cell_of = np.full(n_components, len(width), dtype=np.int64)  # those left out have a cell of their own
    cell_of[columns] = np.repeat(np.arange(len(width)), width)
    sums = np.empty((len(height), len(width)))
    arrays = _Reused()
    for row, (first, last) in enumerate(itertools.pairwise(row_edges.tolist())):
        block = rows_between(matrix, first, last) if order is None else matrix[order[first:last]]
        cell, value = arrays.of(len(block.data))
        # no index is clipped; the mode that checks them needs an array of their size
        np.take(cell_of, block.indices, out=cell, mode="clip")
        value[:] = block.data
        sums[row] = np.bincount(cell, weights=value, minlength=len(width) + 1)[:-1]
    cells: np.ndarray = sums / (height[:, None] * width[None, :])
    return cells


def _sample_order(activations: ProcessedActivations, columns: np.ndarray) -> Int[np.ndarray, " samples"]:
    """Return the samples in the order of the component that exceeds its own mean most, ties by the first."""
    n_samples, n_components = activations.matrix.shape
    position = np.full(n_components, -1, dtype=np.int64)  # those left out have none
    position[columns] = np.arange(len(columns))
    means = _column_sums(activations) / max(1, n_samples)
    means[position < 0] = np.inf  # those left out exceed nothing
    leader = np.full(n_samples, len(columns), dtype=np.int64)  # samples without any come last
    excess = np.zeros(n_samples)
    for first, rows in stretches(activations, _STORED):
        n_stored = np.diff(rows.indptr)
        some = np.flatnonzero(n_stored)
        if len(some) == 0:
            continue
        beyond = rows.data - means[rows.indices]
        starts = rows.indptr[some]
        most = np.maximum.reduceat(beyond, starts)
        leads = np.flatnonzero(beyond == np.repeat(most, n_stored[some]))
        least = np.minimum.reduceat(position[rows.indices[leads]], np.searchsorted(leads, starts))
        known = most > -np.inf
        leader[first + some[known]], excess[first + some[known]] = least[known], most[known]
    return np.lexsort((-excess, leader))


def _column_sums(activations: ProcessedActivations) -> Float[np.ndarray, " components"]:
    sums = np.zeros(activations.n_components)
    arrays = _Reused()
    for _, rows in stretches(activations, _STORED):
        component, value = arrays.of(len(rows.data))
        component[:], value[:] = rows.indices, rows.data
        sums += np.bincount(component, weights=value, minlength=len(sums))
    return sums


class _Reused:
    """Arrays of numbers and weights that are reused: allocating new ones takes longer than filling them."""

    def __init__(self) -> None:
        self._numbers, self._weights = np.empty(0, dtype=np.int64), np.empty(0)

    def of(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return both arrays with `n` elements, which still have other values."""
        if n > len(self._numbers):
            self._numbers, self._weights = np.empty(n, dtype=np.int64), np.empty(n)
        return self._numbers[:n], self._weights[:n]
