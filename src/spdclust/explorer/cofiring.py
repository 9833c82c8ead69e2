"""On how many samples two components of a group are active together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from spdclust.core.compiling import ensure_compiled
from spdclust.core.types import Int
from spdclust.merge.kernels.coactivation import count_entries

MAX_SAMPLES = 1 << 16
"""Samples that are counted, the first ones of the batch."""
MAX_MEMBERS = 24
"""Components of a group that are compared with each other, the most active ones."""
MAX_PAIRS = 150_000
"""Pairs that the page holds."""

_AT_ONCE = 2048
_ENTRIES_AT_ONCE = 1 << 17
"""Their temporary arrays stay in the processor's cache."""


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

    Groups that no longer fit in `MAX_PAIRS` pairs are left out.

    Example:
        >>> matrix = sparse.csr_array(np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.5], [1.0, 1.0, 0.0]]))
        >>> counts = count_cofiring(matrix, np.arange(3), [np.array([0, 1, 2])], 0.1)
        >>> counts.singles.tolist(), counts.pairs.tolist(), counts.together.tolist()
        ([2, 3, 1], [[0, 1], [0, 2], [1, 2]], [2, 0, 1])

    Args:
        matrix: `(samples, columns)` causal importances.
        columns: column of each component, -1 for one that has none.
        groups: numbers of the components of each group.
        threshold: active is above this; None takes anything above 0.
    """
    bits, n_samples = _active_bits(matrix, columns, threshold)
    singles = _popcount(bits)
    pairs = _pairs_within(groups, singles, len(columns))
    together = np.empty(len(pairs), dtype=np.int64)
    for start in range(0, len(pairs), _AT_ONCE):
        piece = pairs[start : start + _AT_ONCE]
        together[start : start + _AT_ONCE] = _popcount(bits[piece[:, 0]] & bits[piece[:, 1]])
    return CoFiring(n_samples, singles, pairs, together)


def active_counts(
    matrix: sparse.csr_array, columns: Int[np.ndarray, " components"], threshold: float | None
) -> Int[np.ndarray, " components"]:
    """Return on how many samples each component is active.

    Example:
        >>> matrix = sparse.csr_array(np.array([[1.0, 1.0], [0.0, 0.1], [1.0, 0.0]]))
        >>> active_counts(matrix, np.array([1, -1, 0]), 0.1).tolist()
        [1, 0, 2]

    Args:
        matrix: `(samples, columns)` causal importances.
        columns: column of each component, -1 for one that has none.
        threshold: active is above this; None takes anything above 0.
    """
    counts = np.zeros(matrix.shape[1], dtype=np.int64)
    for start in range(0, len(matrix.data), _ENTRIES_AT_ONCE):
        piece = slice(start, start + _ENTRIES_AT_ONCE)
        active = matrix.data[piece] > (threshold or 0.0)
        counts += np.bincount(matrix.indices[piece][active], minlength=matrix.shape[1])
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

    Args:
        matrix: `(samples, columns)` causal importances.
        columns: column of each component, -1 for one that has none.
        group_idxs: group of each component.
        threshold: active is above this; None takes anything above 0.
    """
    n_groups = int(group_idxs.max(initial=-1)) + 1
    known = columns >= 0
    group_of_column = np.full(matrix.shape[1], -1, dtype=np.int32)
    group_of_column[columns[known]] = group_idxs[known]
    ensure_compiled("merge, counting entries", _count_little)
    return _count(matrix, group_of_column, n_groups, threshold or 0.0)


def _count(
    matrix: sparse.csr_array, group_of_column: Int[np.ndarray, " columns"], n_groups: int, threshold: float
) -> Int[np.ndarray, " groups"]:
    counts = np.zeros(n_groups, dtype=np.int64)
    count_entries(
        matrix.indptr.astype(np.int64, copy=False),
        matrix.indices.astype(np.int32, copy=False),
        np.asarray(matrix.data > threshold),
        group_of_column,
        0,
        np.full(n_groups, -1, dtype=np.int64),
        counts,
        np.empty(matrix.shape[0], dtype=np.int32),
    )
    return counts


def _count_little() -> None:
    _count(sparse.csr_array(np.eye(2)), np.zeros(2, dtype=np.int32), 1, 0.0)


def _active_bits(
    matrix: sparse.csr_array, columns: np.ndarray, threshold: float | None
) -> tuple[np.ndarray, int]:
    """Return `(components, bytes)` one bit a sample, and the number of samples."""
    n_samples = min(matrix.shape[0], MAX_SAMPLES)
    place = np.full(matrix.shape[1], -1, dtype=np.int64)
    place[columns[columns >= 0]] = np.flatnonzero(columns >= 0)
    bits = np.zeros((len(columns), -(-n_samples // 8)), dtype=np.uint8)
    for start in range(0, n_samples, _AT_ONCE):
        piece = matrix[start : min(start + _AT_ONCE, n_samples)]
        dense = np.zeros((len(columns), piece.shape[0]), dtype=bool)
        rows = np.repeat(np.arange(piece.shape[0]), np.diff(piece.indptr))
        components = place[piece.indices]
        active = (piece.data > (threshold or 0.0)) & (components >= 0)
        dense[components[active], rows[active]] = True
        packed = np.packbits(dense, axis=1)
        bits[:, start // 8 : start // 8 + packed.shape[1]] = packed
    return bits, n_samples


def _popcount(bits: np.ndarray) -> np.ndarray:
    counts: np.ndarray = np.bitwise_count(bits).sum(axis=1, dtype=np.int64)
    return counts
