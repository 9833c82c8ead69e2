"""Collect the active components of samples: compaction on the model's device, narrow arrays on the host."""

from collections.abc import Mapping

import numpy as np
import torch
from scipy import sparse

from spdclust.core.errors import InputError
from spdclust.core.types import Float, Int, Integer
from spdclust.merge.activations import ENTRIES_PER_SUM

Compacted = tuple[np.ndarray, np.ndarray, np.ndarray | None]
"""Number of entries of each sample, their columns, and their values."""


def checked_dense(
    importances: Mapping[str, torch.Tensor], source: str | None = None
) -> Float[torch.Tensor, "samples components"]:
    """Return importances by module as one matrix, with positions as samples in row-major order.

    Example:
        >>> checked_dense({"a": torch.zeros(2, 3, 4), "b": torch.ones(2, 3, 1)}).shape
        torch.Size([6, 5])

    Raises:
        InputError: a value is NaN or infinite (names the component).
    """
    dense = torch.cat([each.flatten(0, -2) for each in importances.values()], dim=1)
    finite = dense.isfinite()
    if not bool(finite.all()):
        column = int((~finite).any(dim=0).nonzero()[0])
        raise _not_finite(importances, column, source)
    return dense


def _not_finite(importances: Mapping[str, torch.Tensor], column: int, source: str | None) -> InputError:
    labels = (f"{name}:{i}" for name, each in importances.items() for i in range(each.shape[-1]))
    return InputError(
        "causal importance is NaN or infinite",
        file=source,
        field=next(label for number, label in enumerate(labels) if number == column),
        allowed="finite values; the weights of this module are damaged, or training diverged",
    )


class RowCollector:
    """Collect the components that are active on each sample, one forward pass after the other.

    On a GPU, only the active entries are copied to the host. All values that are not 0 are kept or, with a
    threshold, the sets of the components above it; and every component's maximum and mean.

    Example:
        >>> rows = RowCollector(2, threshold=0.1)
        >>> rows.add({"a": torch.tensor([[0.05], [0.5]]), "b": torch.tensor([[1.0], [0.0]])})
        >>> rows.indptr.tolist(), rows.columns.tolist(), rows.values, rows.maxima().tolist()
        ([0, 1, 2], [1, 0], None, [0.5, 1.0])

    Args:
        n_components: number of components of all modules.
        threshold: keep the sets of the components above it; None keeps the values.
        n_samples: ignore samples after so many; None takes all.

    Attributes:
        n_rows: number of samples so far.
    """

    def __init__(
        self, n_components: int, *, threshold: float | None = None, n_samples: int | None = None
    ) -> None:
        self.n_components, self.threshold = n_components, threshold
        self.n_rows, self._n_samples = 0, n_samples
        self._ends = _Growing(np.int64)
        self._columns = _Growing(np.uint16 if n_components <= 2**16 else np.int32)
        self._values = None if threshold is not None else _Growing(np.float32)
        self._maxima = np.full(n_components, -np.inf, dtype=np.float32)
        self._sums, self._sum, self._n_in_sum = np.zeros(n_components), np.zeros(n_components), 0
        # on a GPU, until they are needed
        self._on_device: tuple[torch.Tensor, torch.Tensor] | None = None
        self._mask = np.empty(0, dtype=bool)
        self._unfinished: Compacted | None = None

    def add(self, importances: Mapping[str, torch.Tensor], source: str | None = None) -> None:
        """Add the causal importances of the next samples, by module in the order of the labels.

        Leading axes of `(…, components)` are samples in row-major order. `source` names the model in
        messages.

        Raises:
            InputError: a value is NaN or infinite (names the component).
        """
        by_module = {name: each.flatten(0, -2)[: self.n_left] for name, each in importances.items()}
        first = next(iter(by_module.values()))
        self._finish()  # while a GPU computes these importances
        if first.device.type == "cpu":
            compacted: Compacted = self._compacted_by_numpy(by_module)
        else:
            compacted = self._compacted_by_torch(by_module, source)
        counts, columns, values = compacted
        if values is not None and not (finite := np.isfinite(values)).all():
            raise _not_finite(importances, int(columns[~finite].min()), source)
        self.n_rows += len(counts)
        self._unfinished = compacted

    def _finish(self) -> None:
        """Add the last samples, which a GPU may still have been computing, to the arrays on the host."""
        if self._unfinished is None:
            return
        counts, columns, values = self._unfinished
        self._unfinished = None
        if values is not None:
            self._add_statistics(len(counts), columns, values)
            if self._values is not None:
                self._values.extend(values)
            else:
                counts, columns = self._thresholded(counts, columns, values)
        end = int(self._ends.array[-1]) if len(self._ends.array) else 0
        self._ends.extend(np.cumsum(counts, dtype=np.int64) + end)
        self._columns.extend(columns)

    @property
    def n_left(self) -> int | None:
        """Number of samples that are still missing; None if all are taken."""
        return None if self._n_samples is None else self._n_samples - self.n_rows

    @property
    def indptr(self) -> Int[np.ndarray, " samples_and_end"]:
        """Start of every sample's entries, and their end."""
        self._finish()
        return np.concatenate([np.zeros(1, dtype=np.int64), self._ends.array])

    @property
    def columns(self) -> Integer[np.ndarray, " entries"]:
        """Component of every entry: uint16 for at most 65,536 components, otherwise int32."""
        self._finish()
        return self._columns.array

    @property
    def values(self) -> Float[np.ndarray, " entries"] | None:
        """Causal importance of every entry; None with a threshold."""
        self._finish()
        return None if self._values is None else self._values.array

    def maxima(self) -> Float[np.ndarray, " components"]:
        """Return each component's largest causal importance."""
        self._fetch()
        return np.where(np.isneginf(self._maxima), np.float32(0), self._maxima)

    def means(self) -> Float[np.ndarray, " components"]:
        """Return each component's mean causal importance, summed in float64."""
        self._fetch()
        return (self._sums + self._sum) / max(1, self.n_rows)

    def matrix(self) -> sparse.csr_array:
        """Return the entries as a `(samples, components)` matrix; sets have the value 1."""
        columns = self.columns.astype(np.int32)
        values = np.ones(len(columns), dtype=np.float32) if self.values is None else self.values
        indptr = self.indptr.astype(np.int32 if len(columns) < 2**31 else np.int64)
        return sparse.csr_array((values, columns, indptr), shape=(self.n_rows, self.n_components))

    def _compacted_by_numpy(
        self, by_module: Mapping[str, torch.Tensor]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the number of entries of each sample, their columns and values.

        The dense values are read once and copied nowhere: on the CPU, writing to fresh memory takes longer
        than computing most causal importances.
        """
        parts, offset = [], 0
        n_rows = len(next(iter(by_module.values())))
        counts = np.empty((n_rows, len(by_module)), dtype=np.int64)
        for number, each in enumerate(by_module.values()):
            dense = each.detach().contiguous().numpy()
            if self._mask.size < dense.size:
                self._mask = np.empty(dense.size, dtype=bool)
            flat = np.flatnonzero(np.not_equal(dense.ravel(), 0, out=self._mask[: dense.size]))
            row_starts = np.arange(n_rows + 1) * dense.shape[1]
            counts[:, number] = np.diff(np.searchsorted(flat, row_starts))
            columns = flat - np.repeat(row_starts[:-1] - offset, counts[:, number])
            parts.append((columns.astype(self._columns.dtype), dense.ravel()[flat]))
            offset += dense.shape[1]
        if len(parts) == 1:
            return counts[:, 0], *parts[0]
        # entries of a sample follow each other, module by module
        starts = (np.cumsum(counts) - counts.ravel()).reshape(counts.shape)
        shift = starts - (np.cumsum(counts, axis=0) - counts)
        n_entries = int(counts.sum())
        all_columns = np.empty(n_entries, dtype=self._columns.dtype)
        all_values = np.empty(n_entries, dtype=np.float32)
        for number, (columns, values) in enumerate(parts):
            position = np.arange(len(columns)) + np.repeat(shift[:, number], counts[:, number])
            all_columns[position], all_values[position] = columns, values
        return counts.sum(axis=1), all_columns, all_values

    def _add_statistics(self, n_rows: int, columns: np.ndarray, values: np.ndarray) -> None:
        for start in range(0, len(columns), ENTRIES_PER_SUM):
            piece = slice(start, start + ENTRIES_PER_SUM)
            self._add_sums(columns[piece], values[piece])
        np.maximum.at(self._maxima, columns, values)
        # a component without an entry on some sample is 0 there
        if values.min(initial=0) < 0:
            somewhere = np.bincount(columns, minlength=self.n_components) < n_rows
            np.maximum(self._maxima, 0, out=self._maxima, where=somewhere)
        elif n_rows:
            np.maximum(self._maxima, 0, out=self._maxima)

    def _add_sums(self, columns: np.ndarray, values: np.ndarray) -> None:
        # the same partial sums as in `ProcessedActivations.means`, so that the result has the same bytes
        room = ENTRIES_PER_SUM - self._n_in_sum
        for piece in (slice(0, room), slice(room, None)):
            np.add.at(self._sum, columns[piece], values[piece].astype(np.float64))
            self._n_in_sum += len(columns[piece])
            if self._n_in_sum == ENTRIES_PER_SUM:
                self._sums += self._sum
                self._sum[:], self._n_in_sum = 0, 0

    def _thresholded(
        self, counts: np.ndarray, columns: np.ndarray, values: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        active = values > self.threshold  # in the precision of the activations, as in the merge
        before = np.concatenate([[0], np.cumsum(active)])
        ends = np.cumsum(counts)
        return before[ends] - before[ends - counts], columns[active]

    def _compacted_by_torch(self, by_module: Mapping[str, torch.Tensor], source: str | None) -> Compacted:
        """Return the same as `_compacted_by_numpy`, of values on a GPU; with a threshold, without values."""
        dense = torch.cat(list(by_module.values()), dim=1)
        if self.threshold is None:
            active = dense != 0
        else:
            self._reduce(dense, by_module, source)
            active = dense > float(np.float32(self.threshold))
        flat = active.flatten().nonzero().squeeze(1)
        counts = torch.bincount(flat // max(1, self.n_components), minlength=len(dense)).to(torch.int32)
        # only the lower bits matter: there is no unsigned type of 16 bits on every device
        narrow = torch.int16 if self._columns.dtype == np.uint16 else torch.int32
        columns = (flat % max(1, self.n_components)).to(narrow).cpu().numpy().view(self._columns.dtype)
        values = None if self.threshold is not None else dense.flatten()[flat].cpu().numpy()
        return counts.cpu().numpy(), columns, values

    def _reduce(self, dense: torch.Tensor, by_module: Mapping[str, torch.Tensor], source: str | None) -> None:
        """Add to the statistics on the device."""
        if not len(dense):
            return
        maxima, sums = dense.amax(dim=0), dense.sum(dim=0, dtype=torch.float64)
        if not bool(sums.isfinite().all()):
            raise _not_finite(by_module, int((~sums.isfinite()).nonzero()[0]), source)
        if self._on_device is not None:
            maxima, sums = torch.maximum(maxima, self._on_device[0]), sums + self._on_device[1]
        self._on_device = maxima, sums

    def _fetch(self) -> None:
        """Add the statistics of the last samples, and those on the device, to those on the host."""
        self._finish()
        if self._on_device is not None:
            maxima, sums = (each.cpu().numpy() for each in self._on_device)
            self._maxima, self._sums = np.maximum(self._maxima, maxima), self._sums + sums
            self._on_device = None


class _Growing:
    """An array that grows at its end; it is moved rather than copied where the system can."""

    def __init__(self, dtype: type[np.generic]) -> None:
        self._room: np.ndarray = np.empty(0, dtype=dtype)
        self._n = 0

    @property
    def dtype(self) -> "np.dtype[np.generic]":
        return np.dtype(self._room.dtype)

    @property
    def array(self) -> np.ndarray:
        return self._room[: self._n]

    def extend(self, more: np.ndarray) -> None:
        end = self._n + len(more)
        if end > len(self._room):
            # views of the array made before are invalid after this
            self._room.resize(max(end, len(self._room) + len(self._room) // 8), refcheck=False)
        self._room[self._n : end] = more
        self._n = end
