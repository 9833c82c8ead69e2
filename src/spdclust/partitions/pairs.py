"""Pairs of the runs of an ensemble: their division among jobs, and matrices of their distances."""

from collections.abc import Iterable, Iterator
from math import comb, sqrt

import numpy as np

from spdclust.core.errors import InputError
from spdclust.core.types import Float, Int

RunPairs = Int[np.ndarray, "pairs 2"]
"""Pairs of runs, the smaller number first."""

_ROWS_AT_ONCE = 64


def divide_pairs(n_runs: int, n_parts: int) -> list[RunPairs]:
    """Divide the pairs of runs into parts that differ by at most one pair and use few runs each.

    The pairs are the cells of a triangle of runs × runs. It is cut into bands of rows; each band is traversed
    column by column, alternately forwards and backwards, and the sequence is cut into equal parts. A part of
    `p` pairs is then close to a square: it uses at most about 3√p runs, where a square would use 2√p.

    Example:
        >>> [part.tolist() for part in divide_pairs(4, 3)]
        [[[0, 1], [0, 2]], [[0, 3], [1, 3]], [[1, 2], [2, 3]]]

    Args:
        n_runs: number of runs.
        n_parts: number of parts, at most the number of pairs.

    Raises:
        InputError: fewer parts than one, or more than there are pairs.
    """
    n_pairs = comb(n_runs, 2)
    if not 1 <= n_parts <= n_pairs:
        raise InputError(
            "pairs of runs cannot be divided", field="n_parts", found=n_parts, allowed=f"1 to {n_pairs}"
        )
    first, second = np.triu_indices(n_runs, 1)
    band = first // max(1, round(sqrt(n_pairs / n_parts)))
    column = np.where(band % 2 == 0, second, -second)
    order = np.lexsort((first, column, band))
    pairs = np.column_stack([first, second])[order]
    return np.array_split(pairs, n_parts)


def iteration_rows(
    distances: Float[np.ndarray, "pairs iterations"],
) -> Iterator[Float[np.ndarray, " pairs"]]:
    """Yield the distances of all pairs after each iteration.

    Example:
        >>> [row.tolist() for row in iteration_rows(np.array([[1.0, 2.0], [3.0, 4.0]]))]
        [[1.0, 3.0], [2.0, 4.0]]

    Args:
        distances: one row a pair of runs.
    """
    for start in range(0, distances.shape[1], _ROWS_AT_ONCE):
        yield from np.ascontiguousarray(distances[:, start : start + _ROWS_AT_ONCE].T)


def symmetric_rows(
    rows: Iterable[Float[np.ndarray, " pairs"]], n_runs: int, pairs: RunPairs | None = None
) -> Iterator[Float[np.ndarray, "runs runs"]]:
    """Yield the matrix of distances after each iteration; always the same array, updated in place.

    Example:
        >>> rows = symmetric_rows(np.array([[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]]), 3)
        >>> next(rows).tolist()
        [[0.0, 1.0, 3.0], [1.0, 0.0, 5.0], [3.0, 5.0, 0.0]]

    Args:
        rows: the distances of all pairs after each iteration.
        n_runs: number of runs.
        pairs: the pairs in the order of the rows; that of `itertools.combinations` by default.
    """
    first, second = np.triu_indices(n_runs, 1) if pairs is None else pairs.T
    # each entry of the matrix is looked up, zero at the end: half the time of assigning both triangles
    row_and_zero = np.zeros(len(first) + 1)
    entries = np.full((n_runs, n_runs), len(first))
    entries[first, second] = entries[second, first] = np.arange(len(first))
    matrix = np.empty((n_runs, n_runs))
    for row in rows:
        row_and_zero[:-1] = row
        yield np.take(row_and_zero, entries, out=matrix, mode="clip")
