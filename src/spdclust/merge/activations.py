"""Activations of components over samples, the input of a merge: sparse, labelled, in memory.

Components are merged if they are of the chosen modules, and alive in any batch of the run.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from scipy import sparse

from spdclust.config.merge import MergeConfig
from spdclust.core.arguments import check_fields, checked, dense_array, instance, optional, real, texts, truth
from spdclust.core.errors import InputError
from spdclust.core.types import Bool, Brief, Float, Int, Labels
from spdclust.merge.rows import dense_rows, sparse_rows

ENTRIES_PER_SUM = 1 << 22
"""Entries whose values are summed before the sum is added to that of all."""

_CSR = instance(sparse.csr_array, allowed="a scipy.sparse.csr_array; from_sparse takes any matrix")


@dataclass(frozen=True, eq=False)
class ActiveSets:
    """What is known of activations of which only the sets of active components are kept.

    Attributes:
        threshold: a component is in the set of a sample if its causal importance is above this.
        maxima: each component's largest causal importance over the samples.
        means: each component's mean causal importance over the samples.

    Raises:
        InputError: the threshold is negative, or not less than 1.
    """

    threshold: float
    maxima: Float[np.ndarray, " components"]
    means: Float[np.ndarray, " components"]

    def __post_init__(self) -> None:
        statistics = dense_array(1, "f", axes="(components,)")
        check_fields(self, threshold=real(at_least=0.0), maxima=statistics, means=statistics)
        # where values are expected, sets have the value 1, which has to be above the threshold
        if np.float32(self.threshold) >= 1:
            raise InputError("out of range", field="threshold", found=self.threshold, allowed="less than 1")


@dataclass(frozen=True, eq=False, repr=False)
class ProcessedActivations(Brief):
    """Causal importances of every component on every sample, stored sparse.

    Example:
        >>> acts = ProcessedActivations.from_dense(np.eye(3), ["m:0", "m:1", "m:2"])
        >>> acts.n_samples, acts.n_components, acts.matrix.nnz
        (3, 3, 3)

    Attributes:
        matrix: `(samples, components)` CSR matrix of float32 or float64 causal importances, without stored
            zeros, indices sorted.
        labels: one unique name per component.
        sets: None if the values are kept; otherwise all values are 1, and this is what is left of them.
    """

    matrix: sparse.csr_array
    labels: Labels
    sets: ActiveSets | None = None

    def __post_init__(self) -> None:
        check_fields(
            self, matrix=_CSR, labels=texts, sets=optional(instance(ActiveSets, allowed="ActiveSets"))
        )
        check_labels(self.labels, self.matrix.shape[1])

    @classmethod
    @checked(labels=texts)
    def from_dense(cls, array: Any, labels: Labels) -> "ProcessedActivations":
        """Build from a dense `(samples, components)` NumPy array or torch tensor.

        Further leading axes, as in `(sequences, positions, components)`, are flattened into samples.

        Example:
            >>> ProcessedActivations.from_dense([[0.0, 0.5]], ["a:0", "a:1"]).maxima().tolist()
            [0.0, 0.5]

        Args:
            array: causal importances, `(…, components)`; bool, integer or floating, float16 and bfloat16 too.
            labels: one name per component.

        Raises:
            InputError: the array has fewer than two axes, labels do not match, or a value is NaN or infinite.
        """
        return cls.from_sparse(dense_rows(array), labels, copy=False)

    @classmethod
    @checked(labels=texts, copy=truth)
    def from_sparse(cls, matrix: Any, labels: Labels, *, copy: bool = True) -> "ProcessedActivations":
        """Build from any `scipy.sparse` `(samples, components)` matrix, or sparse torch tensor.

        Further leading axes, as in `(sequences, positions, components)`, are flattened into samples.

        Example:
            >>> ProcessedActivations.from_sparse(sparse.eye_array(2), ["a:0", "a:1"]).n_samples
            2

        Args:
            matrix: causal importances, `(…, components)`; bool, integer or floating.
            labels: one name per component.
            copy: whether to copy the matrix; False may reuse its arrays and sort them in place.

        Raises:
            InputError: it is not such a matrix, labels do not match the components, or a value is NaN or
                infinite.
        """
        csr = sparse_rows(matrix, copy=copy)
        if not (csr.data.flags.writeable and csr.indices.flags.writeable and csr.indptr.flags.writeable):
            csr = csr.copy()
        csr.sum_duplicates()
        csr.eliminate_zeros()
        csr.sort_indices()
        activations = cls(csr, labels)
        finite = np.isfinite(csr.data)
        if not finite.all():
            where = int(np.flatnonzero(~finite)[0])
            raise InputError(
                "activation is not a finite number",
                field=labels[int(csr.indices[where])],
                found=float(csr.data[where]),
                allowed="finite values",
            )
        return activations

    def as_sets(self, threshold: float) -> "ProcessedActivations":
        """Return only the sets of the components above a threshold, with the statistics of all values.

        Example:
            >>> acts = ProcessedActivations.from_dense([[0.05, 0.5], [0.25, 0.0]], ["a:0", "a:1"])
            >>> sets = acts.as_sets(0.1)
            >>> sets.matrix.toarray().tolist(), sets.maxima().tolist(), sets.sets.threshold
            ([[0.0, 1.0], [1.0, 0.0]], [0.25, 0.5], 0.1)

        Args:
            threshold: 0 or more, less than 1.

        Raises:
            InputError: the threshold is out of range, or only sets at another threshold are known.
        """
        sets = ActiveSets(threshold, self.maxima(), self.means())
        if self.sets is not None:
            check_threshold(self.threshold, threshold)
            return self
        active = self.matrix.data > threshold  # in the precision of the activations
        before = np.concatenate([[0], np.cumsum(active)])
        indptr = before[self.matrix.indptr].astype(self.matrix.indptr.dtype)
        values = np.ones(int(before[-1]), dtype=self.matrix.dtype)
        matrix = sparse.csr_array((values, self.matrix.indices[active], indptr), shape=self.matrix.shape)
        return ProcessedActivations(matrix, self.labels, sets)

    def _facts(self) -> dict[str, object]:
        return {
            "samples": self.n_samples,
            "components": self.n_components,
            "stored_values": int(self.matrix.nnz),
            "dtype": str(self.matrix.dtype),
            **({} if self.threshold is None else {"threshold": self.threshold}),
        }

    @property
    def threshold(self) -> float | None:
        """Threshold of the sets if only these are known; None if the values are."""
        return None if self.sets is None else self.sets.threshold

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return int(self.matrix.shape[0])

    @property
    def n_components(self) -> int:
        """Number of components."""
        return int(self.matrix.shape[1])

    def maxima(self) -> Float[np.ndarray, " components"]:
        """Return each component's largest causal importance over the samples.

        Example:
            >>> ProcessedActivations.from_dense([[0.1, 0.0], [0.3, 0.0]], ["a:0", "a:1"]).maxima().tolist()
            [0.3, 0.0]
        """
        if self.sets is not None:
            return self.sets.maxima
        if self.n_samples == 0:
            return np.zeros(self.n_components)
        return np.asarray(self.matrix.max(axis=0).toarray()).ravel()

    def means(self) -> Float[np.ndarray, " components"]:
        """Return each component's mean causal importance over the samples, summed in float64.

        Example:
            >>> ProcessedActivations.from_dense([[0.5, 0.0], [0.0, 0.0]], ["a:0", "a:1"]).means().tolist()
            [0.25, 0.0]
        """
        if self.sets is not None:
            return self.sets.means
        if self.n_samples == 0:
            return np.zeros(self.n_components)
        sums = np.zeros(self.n_components)
        # scipy's sum accumulates in float32; convert piece by piece to keep the float64 copy small
        for start in range(0, self.matrix.nnz, ENTRIES_PER_SUM):
            piece = slice(start, start + ENTRIES_PER_SUM)
            columns, values = self.matrix.indices[piece], self.matrix.data[piece]
            sums += np.bincount(columns, weights=values, minlength=self.n_components)
        return sums / self.n_samples


def check_threshold(
    threshold: float | None, requested: float | None, *, field: str = "activation_threshold", file: Any = None
) -> None:
    """Check that a threshold can be applied to activations, of which only sets may be known.

    Example:
        >>> check_threshold(None, 0.5), check_threshold(0.1, 0.1)
        (None, None)
        >>> check_threshold(0.1, 0.5)
        Traceback (most recent call last):
        ...
        spdclust.InputError: activation_threshold: only the sets of active components at another threshold are
        known (found: 0.5; allowed: 0.1; for others, sample the batches with keep_values: true)

    Raises:
        InputError: only sets are known, and another threshold or the values are asked for.
    """
    if threshold is None or requested == threshold:
        return
    known = "only the sets of active components are known"
    if requested is not None:
        known = "only the sets of active components at another threshold are known"
    raise InputError(
        known,
        file=file,
        field=field,
        found="null, the values themselves" if requested is None else requested,
        allowed=f"{threshold!r}; for others, sample the batches with keep_values: true",
    )


def check_labels(labels: Labels, n_components: int) -> None:
    """Check that there is one label per component, each unique, non-empty and on one line.

    Example:
        >>> check_labels(["m:0", "m:0"], 2)
        Traceback (most recent call last):
        ...
        spdclust.InputError: labels: label given twice (found: m:0; allowed: unique labels)

    Raises:
        InputError: a label is missing, duplicated, empty or spans several lines.
    """
    if len(labels) != n_components:
        raise InputError(
            "one label per component is needed",
            field="labels",
            found=f"{len(labels)} labels for {n_components} components",
            allowed=f"{n_components} labels",
        )
    seen: set[str] = set()
    for label in labels:
        if label in seen:
            raise InputError("label given twice", field="labels", found=label, allowed="unique labels")
        if "\n" in label or "\r" in label or not label:
            raise InputError("unusable label", field="labels", found=label, allowed="non-empty, one line")
        seen.add(label)


def components_to_merge(
    labels: Labels,
    maxima: Float[np.ndarray, "batches components"],
    means: Float[np.ndarray, "batches components"],
    config: MergeConfig,
) -> Int[np.ndarray, " kept"]:
    """Return the components to merge, in order.

    A component is left out if its statistic (`filter_dead_stat`) is below `filter_dead_threshold` in every
    batch, or if its module does not match `module_name_filter`.

    `maxima`, in the precision of the activations, and `means` are those of each component in each batch.

    Example:
        >>> labels = ["a:0", "a:1", "b:0"]
        >>> maxima = np.array([[0.5, 0.0, 0.0], [0.0, 0.0, 0.2]])
        >>> components_to_merge(labels, maxima, maxima / 2, MergeConfig()).tolist()
        [0, 2]

    Raises:
        InputError: no module matches `module_name_filter`, or no component is alive.
    """
    chosen = in_modules(labels, config.module_name_filter)
    statistic = maxima if config.filter_dead_stat == "max" else means
    threshold = config.filter_dead_threshold
    # a plain float is compared in the precision of the statistic, as in the reference implementation
    alive = np.ones(len(labels), dtype=bool) if threshold == 0 else ~(statistic < threshold).all(axis=0)
    components = np.flatnonzero(chosen & alive)
    if len(components) == 0:
        largest = float(statistic[:, chosen].max()) if statistic[:, chosen].size else 0.0
        raise InputError(
            "no component is alive",
            field="filter_dead_threshold",
            found=f"largest {config.filter_dead_stat} of {int(chosen.sum())} components is {largest:.4g}",
            allowed=f"a threshold of at most that, not {threshold:g}",
        )
    return components


def in_modules(labels: Labels, module_filter: str | list[str] | None) -> Bool[np.ndarray, " components"]:
    """Return which components belong to modules matched by a prefix, a glob pattern or a list of these.

    Example:
        >>> in_modules(["mlp.in:0", "mlp.out:0", "attn:0"], ["*.out", "att"]).tolist()
        [False, True, True]

    Raises:
        InputError: an entry matches no module.
    """
    if module_filter is None:
        return np.ones(len(labels), dtype=bool)
    of_label = [module_of(label) for label in labels]
    modules = list(dict.fromkeys(of_label))
    chosen: set[str] = set()
    for entry in [module_filter] if isinstance(module_filter, str) else module_filter:
        is_glob = any(sign in entry for sign in "*?[")
        matches = [m for m in modules if (fnmatchcase(m, entry) if is_glob else m.startswith(entry))]
        if not matches:
            raise InputError(
                "no module matches", field="module_name_filter", found=entry, allowed=_some_of(modules)
            )
        chosen.update(matches)
    if not chosen:
        raise InputError(
            "no module is named", field="module_name_filter", found=module_filter, allowed=_some_of(modules)
        )
    return np.array([module in chosen for module in of_label], dtype=bool)


def module_of(label: str) -> str:
    """Return the module part of a component's label.

    Example:
        >>> module_of("layers.0.mlp_in:17")
        'layers.0.mlp_in'
    """
    return label.rpartition(":")[0] or label


def _some_of(modules: list[str], limit: int = 8) -> str:
    first = ", ".join(modules[:limit])
    return first if len(modules) <= limit else f"{first}, … ({len(modules)} modules)"
