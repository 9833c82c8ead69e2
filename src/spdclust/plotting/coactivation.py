"""Coactivation of many components as few cells: means over blocks of pairs, without the matrix of pairs."""

import numpy as np
from scipy import sparse

from spdclust.core.types import Float, Int, make_generator
from spdclust.plotting.matrices import bin_edges

MOST_SAMPLES = 50_000
"""Coactivations of more samples are counted on a sample of that many, drawn with `SAMPLE_SEED`."""

SAMPLE_SEED = 0

_STRETCH = 4096


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
    place = np.full(matrix.shape[1], -1, dtype=np.int64)
    place[columns] = np.arange(len(columns))
    bin_of = np.repeat(np.arange(n_bins), np.diff(edges))
    times = np.bincount(matrix.indices[matrix.data > threshold], minlength=matrix.shape[1])[columns]
    weight = 1 / np.sqrt(np.maximum(times, 1)) if relative else np.ones(len(columns))
    together = np.zeros((n_bins, n_bins))
    for start in range(0, matrix.shape[0], _STRETCH):
        rows = matrix[start : start + _STRETCH]
        column = place[rows.indices]
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
