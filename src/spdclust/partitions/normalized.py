"""The aligned runs of an ensemble: merge pairs are stored, rows of group numbers are built on demand."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spdclust.core.arguments import checked, whole
from spdclust.core.errors import InputError
from spdclust.core.names import check_iteration
from spdclust.core.types import Brief, Float, Int, Labels
from spdclust.merge.history import iterate_group_idxs

MERGE_ARRAY_MAX_BYTES = 1 << 30
"""Above this size (1 GiB) the whole merge array is never built, and by default not written."""


@dataclass(frozen=True, eq=False, repr=False)
class NormalizedHistories(Brief):
    """The runs of an ensemble over the union of their components, aligned row by row.

    A component that is missing from a run (dead there) is always a singleton group. Stored as merge pairs;
    rows of group numbers are built on demand.

    Example:
        >>> from spdclust.config.merge import MergeConfig
        >>> from spdclust.partitions.ensemble import normalize_ensemble
        >>> from spdclust.merge.history import MergeHistory
        >>> def run(labels):
        ...     pairs = np.array([[0, 1]])
        ...     return MergeHistory(labels, pairs, np.zeros(1), np.zeros(1), MergeConfig())
        >>> normalized = normalize_ensemble([run(["m:0", "m:1", "m:2"]), run(["m:0", "m:2", "m:3"])])
        >>> normalized.labels, normalized.merge_array_rows(0).tolist()
        (['m:0', 'm:1', 'm:2', 'm:3'], [[0, 0, 1, 2], [0, 2, 0, 1]])

    Attributes:
        labels: the union of the runs' labels, in plain string order.
        run_names: name of each run in messages.
        own_components: for each run, the indices of its components in the union, in the run's own order.
        selected_pairs: for each run, `(merges, 2)` the merged groups in the run's numbering, smaller first.
        group_names: for each run, `(merges, 2)` the first component (the run's index) of the merged groups.
        mdl_loss: for each run, `(merges,)` description length in bits per sample, for all its merges.
        first_merges: for each run, the merge after which row 0 is the state.
        n_iterations: number of rows of every run.
        align: the quantity by which rows are aligned, `"iteration"` or `"n_groups"`.
        configs: for each run, the resolved settings of its merge.
    """

    labels: Labels
    run_names: Sequence[str]
    own_components: Sequence[Int[np.ndarray, "_"]]
    selected_pairs: Sequence[Int[np.ndarray, "_ 2"]]
    group_names: Sequence[Int[np.ndarray, "_ 2"]]
    mdl_loss: Sequence[Float[np.ndarray, "_"]]
    first_merges: Int[np.ndarray, " runs"]
    n_iterations: int
    align: str
    configs: Sequence[dict[str, Any]]

    def _facts(self) -> dict[str, object]:
        return {
            "runs": self.n_runs,
            "components": self.n_components,
            "iterations": self.n_iterations,
            "align": self.align,
        }

    @property
    def n_runs(self) -> int:
        """Number of runs."""
        return len(self.own_components)

    @property
    def n_components(self) -> int:
        """Number of components in the union."""
        return len(self.labels)

    @property
    def merge_array_dtype(self) -> np.dtype[Any]:
        """Type of the entries of the merge array: int16 if sufficient, otherwise int32."""
        return np.dtype(np.int16 if self.n_components <= 2**15 - 1 else np.int32)

    @property
    def merge_array_bytes(self) -> int:
        """Size of the whole merge array, in memory and on disk."""
        return self.merge_array_dtype.itemsize * self.n_runs * self.n_iterations * self.n_components

    @checked(run=whole())
    def merges(self, run: int) -> Int[np.ndarray, "_ 2"]:
        """Return the merges of one run as union indices of the two groups' first components.

        A group is identified by its first component in the run's own order; a merged group keeps the first of
        the two identifiers.

        Raises:
            InputError: there is no such run.
        """
        self._check_run(run)
        return np.asarray(self.own_components[run][self.group_names[run]], dtype=np.int64)

    @checked(run=whole(), iteration=whole())
    def merge_at(self, run: int, iteration: int) -> int:
        """Return the merge of a run after which row `iteration` is the state; negative counts from the end.

        Raises:
            InputError: there is no such run or iteration.
        """
        self._check_run(run)
        return int(self.first_merges[run]) + self.check_iteration(iteration)

    @checked(iteration=whole())
    def check_iteration(self, iteration: int) -> int:
        """Return `iteration` counted from the start.

        Raises:
            InputError: there is no such iteration.
        """
        return check_iteration(iteration, self.n_iterations)

    def _check_run(self, run: int) -> None:
        if not 0 <= run < self.n_runs:
            raise InputError("no such run", field="run", found=run, allowed=f"0 to {self.n_runs - 1}")

    def n_groups(self, iteration: int) -> Int[np.ndarray, " runs"]:
        """Return every run's number of groups of its own components, without missing ones.

        Raises:
            InputError: there is no such iteration.
        """
        n_own = np.array([len(own) for own in self.own_components])
        groups: np.ndarray = n_own - self.first_merges - self.check_iteration(iteration) - 1
        return groups

    def merge_array_rows(self, iteration: int) -> Int[np.ndarray, "runs components"]:
        """Return the group number of every component in every run after row `iteration`.

        A run's groups are numbered as in its history; missing components follow, in label order.

        Raises:
            InputError: there is no such iteration.
        """
        return np.stack([self.groups_after(run, self.merge_at(run, iteration)) for run in range(self.n_runs)])

    @checked(run=whole(), merge=whole())
    def groups_after(self, run: int, merge: int) -> Int[np.ndarray, " components"]:
        """Return the group number of every component after merge number `merge` of one run.

        Raises:
            InputError: there is no such run, or it has no such merge.
        """
        self._check_run(run)
        names, own = self.group_names[run], self.own_components[run]
        if not 0 <= merge < len(names):
            raise InputError(
                "no such merge",
                field=self.run_names[run],
                found=merge,
                allowed=f"0 to {len(names) - 1}",
            )
        row = _missing_last(own, self.n_components)
        row[row >= len(own)] -= merge + 1
        row[own] = _group_idxs(names[: merge + 1], len(own))
        return row

    @checked(run=whole())
    def iterate_run(self, run: int) -> Iterator[Int[np.ndarray, " components"]]:
        """Yield the rows of one run in order; always the same array, updated in place.

        `merge_array` is written in this order, run by run.

        Raises:
            InputError: there is no such run.
        """
        self._check_run(run)
        row = _missing_last(self.own_components[run], self.n_components)
        first = int(self.first_merges[run])
        pairs = self.selected_pairs[run][: first + self.n_iterations]
        return itertools.islice(iterate_group_idxs(pairs, row), first, None)

    def iterate_rows(self) -> Iterator[Int[np.ndarray, "runs components"]]:
        """Yield the rows of all runs, iteration by iteration; each is a new array."""
        for rows in zip(*(self.iterate_run(run) for run in range(self.n_runs)), strict=True):
            yield np.stack(rows)

    def merge_array(self) -> Int[np.ndarray, "runs iterations components"]:
        """Return the group number of every component, iteration and run, as `merge_array_dtype`.

        Raises:
            InputError: the array would be larger than `MERGE_ARRAY_MAX_BYTES`.
        """
        if self.merge_array_bytes > MERGE_ARRAY_MAX_BYTES:
            raise InputError(
                "the whole merge array is too large to build",
                field="merge_array",
                found=f"{self.merge_array_bytes / (1 << 30):.1f} GiB",
                allowed=f"{MERGE_ARRAY_MAX_BYTES / (1 << 30):g} GiB; merge_array_rows(iteration) gives one "
                "row, `spdclust merge-array` streams all to disk",
            )
        shape = (self.n_runs, self.n_iterations, self.n_components)
        array = np.empty(shape, dtype=self.merge_array_dtype)
        for run in range(self.n_runs):
            for iteration, row in enumerate(self.iterate_run(run)):
                array[run, iteration] = row
        return array

    def metadata(self) -> dict[str, Any]:
        """Return the contents of `ensemble_meta.json` as plain JSON types, with the keys of the reference."""
        lengths = [len(pairs) for pairs in self.selected_pairs]
        return {
            "component_labels": list(self.labels),
            "n_ensemble": self.n_runs,
            "n_iters_min": min(lengths),
            "n_iters_max": max(lengths),
            "n_iters_range": [min(lengths), max(lengths)],
            "c_components": self.n_components,
            "config": self.configs[0],
            "align": self.align,
            "n_iterations": self.n_iterations,
            "history_metadatas": [
                {
                    "run": name,
                    "merge_config": config,
                    "c_components": len(own),
                    "n_iters_current": length,
                    "labels": [self.labels[component] for component in own],
                }
                for name, config, own, length in zip(
                    self.run_names, self.configs, self.own_components, lengths, strict=True
                )
            ],
        }


def _missing_last(own: np.ndarray, n_components: int) -> np.ndarray:
    row = np.full(n_components, -1, dtype=np.int64)
    row[own] = np.arange(len(own))
    missing = row < 0
    row[missing] = len(own) + np.arange(int(missing.sum()))
    return row


def _group_idxs(names: np.ndarray, n_components: int) -> np.ndarray:
    roots = np.arange(n_components)
    roots[names[:, 1]] = names[:, 0]
    while True:  # every round halves each pointer's distance to the root
        further = roots[roots]
        if np.array_equal(further, roots):
            break
        roots = further
    return np.unique(roots, return_inverse=True)[1].astype(np.int64)
