"""How the groups of two groupings overlap: the sparse contingency table."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from spdclust.core.errors import InputError
from spdclust.core.types import Int


@dataclass(frozen=True)
class Contingency:
    """Overlaps of the groups of two groupings, the non-zero cells only.

    Example:
        >>> table = contingency(np.array([0, 0, 1]), np.array([0, 1, 1]))
        >>> table.rows.tolist(), table.columns.tolist(), table.counts.tolist()
        ([0, 0, 1], [0, 1, 1], [1, 1, 1])

    Attributes:
        rows: `(nnz,)` group in the first grouping.
        columns: `(nnz,)` group in the second grouping.
        counts: `(nnz,)` number of components in both.
        row_sizes: `(n_rows,)` number of components in each group of the first grouping.
        column_sizes: `(n_columns,)` the same for the second grouping.
    """

    rows: Int[np.ndarray, " nnz"]
    columns: Int[np.ndarray, " nnz"]
    counts: Int[np.ndarray, " nnz"]
    row_sizes: Int[np.ndarray, " n_rows"]
    column_sizes: Int[np.ndarray, " n_columns"]

    @property
    def n_components(self) -> int:
        """Number of components."""
        return int(self.row_sizes.sum())

    def to_sparse(self) -> sparse.csr_array:
        """Return the table as a `(n_rows, n_columns)` scipy matrix."""
        shape = (len(self.row_sizes), len(self.column_sizes))
        return sparse.csr_array((self.counts, (self.rows, self.columns)), shape=shape)


def contingency(first: Int[np.ndarray, "_"], second: Int[np.ndarray, "_"]) -> Contingency:
    """Count the components in every pair of groups of two groupings.

    Example:
        >>> table = contingency(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]))
        >>> table.to_sparse().toarray().tolist()
        [[2, 0], [1, 1]]

    Args:
        first: `(components,)` group of each component in one grouping, any numbering.
        second: the same in the other grouping.

    Raises:
        InputError: the groupings have different numbers of components.
    """
    if len(first) != len(second):
        raise InputError(
            "groupings have different components",
            field="second",
            found=f"{len(second)} components",
            allowed=f"{len(first)} components",
        )
    rows, row_sizes = _numbered(first)
    columns, column_sizes = _numbered(second)
    n_columns = max(1, len(column_sizes))
    cells, counts = np.unique(rows * n_columns + columns, return_counts=True)
    return Contingency(cells // n_columns, cells % n_columns, counts, row_sizes, column_sizes)


def _numbered(groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    _, numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return numbers.astype(np.int64), sizes.astype(np.int64)
