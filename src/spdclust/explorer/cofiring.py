"""On how many samples two components of a group are active together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from spdclust.core.compiling import ensure_compiled
from spdclust.core.types import Int, Num
from spdclust.explorer import kernels
from spdclust.merge.sources import rows_between

VALUES = np.dtype(np.float32)  # type of activations with values
MAX_SAMPLES = 1 << 16  # samples that are counted: the first ones of the batch
MAX_MEMBERS = 24  # components of a group that are compared with each other: the most active ones
MAX_PAIRS = 150_000  # pairs that the page holds


@dataclass(frozen=True)
class CoFiring:
    """Counts of samples.

    Attributes:
        n_samples: samples counted.
        singles: `(components,)` samples on which each component is active.
        pairs: `(pairs, 2)` components, the smaller number first, in order.
        together: `(pairs,)` samples on which both are active.
    """

    n_samples: int
    singles: Int[np.ndarray, " components"]
    pairs: Int[np.ndarray, "pairs 2"]
    together: Int[np.ndarray, " pairs"]


def count_cofiring(
    matrix: sparse.csr_array,
    columns: Int[np.ndarray, " components"],
    groups: Sequence[Int[np.ndarray, "_"]],
    threshold: float | None,
) -> CoFiring:
    """Count, within groups, on how many samples components are active, and pairs of them.

    `columns` are those of the components in the matrix, -1 for one that it lacks; `groups` have numbers of
    components. With a threshold of None, components are active above 0. Groups that no longer fit in
    `MAX_PAIRS` pairs are left out.

    Example:
        >>> matrix = sparse.csr_array(np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.5], [1.0, 1.0, 0.0]]))
        >>> counts = count_cofiring(matrix, np.arange(3), [np.array([0, 1, 2])], 0.1)
        >>> counts.singles.tolist(), counts.pairs.tolist(), counts.together.tolist()
        ([2, 3, 1], [[0, 1], [0, 2], [1, 2]], [2, 0, 1])
    """
    words, n_samples = _active_words(matrix, columns, threshold)
    singles = _count_common(words, np.repeat(np.arange(len(columns))[:, None], 2, axis=1))
    pairs = _pairs_within(groups, singles, len(columns))
    return CoFiring(n_samples, singles, pairs, _count_common(words, pairs))


def active_counts(
    matrix: sparse.csr_array, columns: Int[np.ndarray, " components"], threshold: float | None
) -> Int[np.ndarray, " components"]:
    """Return on how many samples each component is active.

    Example:
        >>> matrix = sparse.csr_array(np.array([[1.0, 1.0], [0.0, 0.1], [1.0, 0.0]]))
        >>> active_counts(matrix, np.array([1, -1, 0]), 0.1).tolist()
        [1, 0, 2]
    """
    counts = np.zeros(matrix.shape[1], dtype=np.int64)
    _, indices, *above = _arrays(matrix, threshold)
    kernels.count_components(indices, *above, counts)
    return np.where(columns >= 0, counts[columns], 0)


def _pairs_within(
    groups: Sequence[np.ndarray], singles: np.ndarray, n_components: int
) -> Int[np.ndarray, "pairs 2"]:
    """Return the pairs within groups, each once and in order, as long as there is room."""
    triangle = {size: np.triu_indices(size, 1) for size in range(MAX_MEMBERS + 1)}
    codes = np.empty(0, dtype=np.int64)
    waiting: list[np.ndarray] = []
    n_waiting = 0
    for number, group in enumerate(groups):
        members = np.sort(group[np.lexsort((group, -singles[group]))[:MAX_MEMBERS]])
        first, second = triangle[len(members)]
        room = MAX_PAIRS - len(codes) - n_waiting
        if len(first) <= room:
            waiting.append(members[first] * n_components + members[second])
            n_waiting += len(first)
        if len(first) > room or number == len(groups) - 1:
            # groups of different runs share most of their pairs
            codes = np.unique(np.concatenate([codes, *waiting]))
            waiting, n_waiting = [], 0
            new = members[first] * n_components + members[second]
            if len(first) > room and len(codes) + len(new) <= MAX_PAIRS:
                codes = np.union1d(codes, new)
            if len(codes) > 0.95 * MAX_PAIRS:
                break
    return np.column_stack([codes // max(1, n_components), codes % max(1, n_components)])


def group_counts(
    matrix: sparse.csr_array,
    columns: Int[np.ndarray, " components"],
    group_idxs: Int[np.ndarray, " components"],
    threshold: float | None,
) -> Int[np.ndarray, " groups"]:
    """Return on how many samples each group is active: any of its components above the threshold.

    Example:
        >>> matrix = sparse.csr_array(np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.5], [1.0, 0.0, 0.0]]))
        >>> group_counts(matrix, np.arange(3), np.array([0, 0, 1]), 0.1).tolist()
        [2, 1]
    """
    n_groups = int(group_idxs.max(initial=-1)) + 1
    known = columns >= 0
    # columns that no component has are a group more
    group_of_column = np.full(matrix.shape[1], n_groups, dtype=np.int32)
    group_of_column[columns[known]] = group_idxs[known]
    words, counts = np.zeros(n_groups + 1, dtype=np.uint64), np.zeros(n_groups + 1, dtype=np.int64)
    kernels.count_groups(*_arrays(matrix, threshold), group_of_column, words, counts)
    return counts[:-1]


def _active_words(
    matrix: sparse.csr_array, columns: Int[np.ndarray, " components"], threshold: float | None
) -> tuple[Num[np.ndarray, "_ words"], int]:
    """Return a bit for each component and sample, and the number of samples; the last row is no component."""
    n_samples = min(matrix.shape[0], MAX_SAMPLES)
    row_of_column = np.full(matrix.shape[1], len(columns), dtype=np.int32)
    row_of_column[columns[columns >= 0]] = np.flatnonzero(columns >= 0)
    words = np.zeros((len(columns) + 1, -(-n_samples // kernels.WORD)), dtype=np.uint64)
    kernels.mark_active(*_arrays(rows_between(matrix, 0, n_samples), threshold), row_of_column, words)
    return words, n_samples


def _count_common(
    words: Num[np.ndarray, "_ words"], pairs: Int[np.ndarray, "pairs 2"]
) -> Int[np.ndarray, " pairs"]:
    counts = np.empty(len(pairs), dtype=np.int64)
    kernels.count_common(words, pairs, counts)
    return counts


def _arrays(matrix: sparse.csr_array, threshold: float | None) -> tuple[Any, ...]:
    """Return what kernels take: starts of rows, columns, values, and above what a value is active."""
    data = matrix.data.view(np.uint8) if matrix.data.dtype == np.bool_ else matrix.data
    # sets: true is above every threshold below 1
    level = data.dtype.type(0 if data.dtype == np.uint8 else threshold or 0.0)
    warm_up(data.dtype)
    indptr, indices = (array.astype(np.int32, copy=False) for array in (matrix.indptr, matrix.indices))
    return indptr, indices, data, level


def warm_up(kind: np.dtype[Any] = VALUES) -> None:
    """Compile the kernels that count for the page, or load them from the cache.

    Example:
        >>> warm_up()
    """
    ensure_compiled(f"explorer, counting {kind}", lambda: _count_little(kind))


def _count_little(kind: np.dtype[Any]) -> None:
    start, column = np.array([0, 1], dtype=np.int32), np.zeros(1, dtype=np.int32)
    values, counts = np.ones(1, dtype=kind), np.zeros(1, dtype=np.int64)
    words = np.zeros((1, 1), dtype=np.uint64)
    kernels.count_components(column, values, kind.type(0), counts)
    kernels.count_groups(start, column, values, kind.type(0), column, words[0], counts)
    kernels.mark_active(start, column, values, kind.type(0), column, words)
    kernels.count_common(words, np.zeros((1, 2), dtype=np.int64), counts)
