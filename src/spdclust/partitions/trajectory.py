"""Compare whole trajectories: walk each pair of runs once, updating only what each merge changes.

Pairs of runs can be divided among jobs; matrices of their distances are put together from all pairs.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import combinations
from math import comb, sqrt

import numpy as np

from spdclust.core.compiling import ensure_compiled
from spdclust.core.errors import InputError
from spdclust.core.types import Float, Int
from spdclust.partitions.ensemble import NormalizedHistories
from spdclust.partitions.kernels.walk import walk_pair, walk_run
from spdclust.partitions.overlap import OverlapSums, xlogx_table

Progress = Callable[[int, int], None]
"""Called with the number of run pairs done and their total."""

RunPairs = Int[np.ndarray, "pairs 2"]
"""Pairs of runs, the smaller number first."""


@dataclass(frozen=True, eq=False)
class AlignedMerges:
    """The merges of some runs of an ensemble: what walking their pairs needs of `NormalizedHistories`.

    Attributes:
        of_runs: by run, `(n_iterations, 2)` the merges, as `NormalizedHistories.merges` returns them; row 0
            is the state after the first one.
        n_components: number of components in the union of all runs.
    """

    of_runs: Mapping[int, Int[np.ndarray, "iterations 2"]]
    n_components: int
    n_iterations: int
    n_runs: int

    @classmethod
    def of(cls, normalized: NormalizedHistories) -> "AlignedMerges":
        """Return the merges of all runs, which must be aligned by iteration."""
        assert normalized.align == "iteration"
        merges = {run: normalized.merges(run)[: normalized.n_iterations] for run in range(normalized.n_runs)}
        return cls(merges, normalized.n_components, normalized.n_iterations, normalized.n_runs)

    def merges(self, run: int) -> Int[np.ndarray, "iterations 2"]:
        """Return the merges of one run."""
        return self.of_runs[run]

    @property
    def first_merges(self) -> Int[np.ndarray, " runs"]:
        """For each run, the merge after which row 0 is the state: the first."""
        return np.zeros(self.n_runs, dtype=np.int64)


def kept_iterations(n_iterations: int, stride: int) -> Int[np.ndarray, "_"]:
    """Return the iterations kept by a stride: the first and every `stride`-th after it.

    Example:
        >>> kept_iterations(10, 4).tolist()
        [0, 4, 8]

    Raises:
        InputError: the stride is below 1.
    """
    if stride < 1:
        raise InputError("stride is too small", field="stride", found=stride, allowed="1 or more")
    return np.arange(0, n_iterations, stride)


def walk_run_pairs(
    normalized: NormalizedHistories | AlignedMerges,
    *,
    pairs: RunPairs | None = None,
    stride: int = 1,
    with_matching: bool = True,
    n_workers: int = 1,
    progress: Progress | None = None,
) -> Iterator[tuple[int, int, OverlapSums]]:
    """Yield, for pairs of runs, the sums that distances are computed from, one row per kept iteration.

    Each pair is walked independently, by threads if there are several workers. The values do not depend on
    the number of workers, but the order of the pairs does.

    `normalized` may be the merges of the runs in `pairs` alone. Every `stride`-th iteration is kept.
    `with_matching` also solves the assignment problems, which take most of the time. `progress` is called
    after every pair.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> walked = walk_run_pairs(example_normalized(), stride=5)
        >>> [(a, b, sums.matched.tolist()) for a, b, sums in walked]
        [(0, 1, [10, 9, 12])]

    Raises:
        InputError: fewer than two runs, or a stride or a number of workers below 1.
    """
    check_runs(normalized)
    if n_workers < 1:
        raise InputError("too few workers", field="n_workers", found=n_workers, allowed="1 or more")
    n_kept = len(kept_iterations(normalized.n_iterations, stride))
    warm_up()
    n = normalized.n_components
    xlogx, unit = xlogx_table(n)
    walked = list(combinations(range(normalized.n_runs), 2) if pairs is None else map(tuple, pairs.tolist()))
    runs = sorted({run for pair in walked for run in pair})
    merges = {run: np.ascontiguousarray(normalized.merges(run)) for run in runs}
    firsts = [int(first) for first in normalized.first_merges]
    squares, information = ({run: np.empty(n_kept, dtype=np.int64) for run in runs} for _ in range(2))
    for run in runs:
        walk_run(merges[run], firsts[run], n, stride, xlogx, squares[run], information[run])

    def walk(first: int, second: int) -> tuple[int, int, OverlapSums]:
        cells, cell_information, matched = np.zeros((3, n_kept), dtype=np.int64)
        walk_pair(
            merges[first],
            merges[second],
            firsts[first],
            firsts[second],
            n,
            stride,
            xlogx,
            with_matching,
            cells,
            cell_information,
            matched,
        )
        sums = OverlapSums(
            n_components=n,
            first_squares=squares[first],
            second_squares=squares[second],
            cell_squares=cells,
            first_information=information[first],
            second_information=information[second],
            cell_information=cell_information,
            information_unit=unit,
            matched=matched,
        )
        return first, second, sums

    for done, result in enumerate(_in_threads(walk, walked, n_workers), start=1):
        if progress is not None:
            progress(done, len(walked))
        yield result


def warm_up() -> None:
    """Compile the kernels that walk runs, or load them from the cache.

    Example:
        >>> warm_up()
    """
    ensure_compiled("partitions, walking", _walk_little)


def _walk_little() -> None:
    xlogx, _ = xlogx_table(3)
    merges = np.array([[0, 1], [0, 2]])
    filled = np.zeros((3, 2), dtype=np.int64)
    walk_run(merges, 0, 3, 1, xlogx, filled[0], filled[1])
    walk_pair(merges, merges[::-1].copy(), 0, 0, 3, 1, xlogx, True, *filled)


def check_runs(normalized: NormalizedHistories | AlignedMerges) -> None:
    """Raise an error if an ensemble has fewer than two runs.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> check_runs(example_normalized(n_runs=1))
        Traceback (most recent call last):
        ...
        spdclust.InputError: n_runs: distances need several runs (found: 1; allowed: 2 or more)

    Raises:
        InputError: there are fewer than two runs.
    """
    if normalized.n_runs < 2:
        raise InputError(
            "distances need several runs", field="n_runs", found=normalized.n_runs, allowed="2 or more"
        )


def _in_threads(
    walk: Callable[[int, int], tuple[int, int, OverlapSums]], pairs: list[tuple[int, int]], n_workers: int
) -> Iterator[tuple[int, int, OverlapSums]]:
    if n_workers == 1:
        yield from (walk(*pair) for pair in pairs)
        return
    pool = ThreadPoolExecutor(n_workers)
    try:
        waiting = iter(pairs)
        # submit pairs only as results are consumed, so that few results are held at a time
        running = {pool.submit(walk, *pair) for _, pair in zip(range(2 * n_workers), waiting, strict=False)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
            running |= {pool.submit(walk, *pair) for _, pair in zip(done, waiting, strict=False)}
    finally:
        pool.shutdown(cancel_futures=True)


_ROWS_AT_ONCE = 64


def divide_pairs(n_runs: int, n_parts: int) -> list[RunPairs]:
    """Divide the pairs of runs into parts that differ by at most one pair and use few runs each.

    The pairs are the cells of a triangle of runs × runs. It is cut into bands of rows; each band is traversed
    column by column, alternately forwards and backwards, and the sequence is cut into equal parts. A part of
    `p` pairs is then close to a square: it uses at most about 3√p runs, where a square would use 2√p.

    Example:
        >>> [part.tolist() for part in divide_pairs(4, 3)]
        [[[0, 1], [0, 2]], [[0, 3], [1, 3]], [[1, 2], [2, 3]]]

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
