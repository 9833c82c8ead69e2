"""Similarity of components, a Jaccard similarity weighted by activation, and its average-linkage tree.

With `s_ij` the sum over samples of the products of two components' activations, each scaled to a mean square
of 1 where it is active, and `n_i` the number of samples on which `i` is active, the similarity is `s_ij /
(n_i + n_j - s_ij)`. For components that are either on or off this is the Jaccard similarity of their sets of
samples. Activations count in proportion: two components that are strongly active on different samples are not
similar only because both are weakly active on many samples.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from scipy import sparse
from scipy.cluster.hierarchy import linkage
from scipy.sparse.csgraph import connected_components

from spdclust.core.threads import even_parts, run_parts
from spdclust.core.types import Float
from spdclust.groups.kernels import pairs as kernels
from spdclust.groups.samples import Entries, Folds
from spdclust.groups.trees import Tree

MIN_SIMILARITY = 1 / 9
"""Least average similarity of the two parts of a node; no nodes are built below it."""


@dataclass(frozen=True, eq=False)
class PairSums:
    """Sums of products of activations, for every pair of components.

    Attributes:
        packed: float32 lower triangle with the diagonal, row by row.
        counts: `(components,)` samples on which each is active.
        squares: `(components,)` sums of squared activations.
    """

    packed: np.ndarray
    counts: Float[np.ndarray, " components"]
    squares: Float[np.ndarray, " components"]

    @property
    def n_components(self) -> int:
        """Number of components."""
        return len(self.counts)

    @cached_property
    def scale(self) -> Float[np.ndarray, " components"]:
        """Factor that each component's activations are multiplied by."""
        ratio = np.divide(self.counts, self.squares, out=np.zeros(self.n_components), where=self.squares > 0)
        scale: np.ndarray = np.sqrt(ratio)
        return scale

    def without(self, other: "PairSums", threads: int = 1) -> "PairSums":
        """Return the sums over the samples that are not in `other`; `other` is overwritten."""

        def subtract(first: int, last: int) -> None:
            np.subtract(self.packed[first:last], other.packed[first:last], out=other.packed[first:last])

        run_parts(subtract, _stretches(len(self.packed)), threads)
        return PairSums(other.packed, self.counts - other.counts, self.squares - other.squares)

    def row(self, component: int) -> Float[np.ndarray, " earlier"]:
        """Return the similarity of a component with every component before it."""
        start = component * (component + 1) // 2
        shared = self.packed[start : start + component] * self.scale[component] * self.scale[:component]
        either = self.counts[component] + self.counts[:component] - shared
        similar: np.ndarray = np.divide(shared, either, out=np.zeros(component), where=either > 0)
        return similar

    def among(self, members: np.ndarray) -> Float[np.ndarray, " pairs"]:
        """Return the similarities between given components, in the order of SciPy's condensed matrices."""
        return 1 - self.distances(np.sort(members))

    def between(self, group_of: np.ndarray, threads: int = 1) -> np.ndarray:
        """Return the float32 similarities of pairs in different groups, by component; -1 is no group."""
        grouped = group_of >= 0
        order = np.argsort(group_of, kind="stable")
        _, first, size = np.unique(group_of[order], return_index=True, return_counts=True)
        before_in_group = np.empty(len(group_of), dtype=np.int64)
        before_in_group[order] = np.arange(len(order)) - np.repeat(first, size)
        n_pairs = np.where(grouped, np.cumsum(grouped) - 1 - before_in_group, 0)
        start = np.cumsum(n_pairs) - n_pairs
        found = np.empty(int(n_pairs.sum()), dtype=np.float32)

        def fill(first: int, last: int) -> None:
            kernels.similarities_between(
                first, last, group_of, start, self.packed, self.counts, self.scale, found
            )

        run_parts(fill, even_parts(n_pairs + 1, 8 * threads), threads)
        return found

    def distances(self, members: np.ndarray, threads: int = 1) -> Float[np.ndarray, " pairs"]:
        """Return 1 minus the similarities between components given in order, as `among` does."""
        n = len(members)
        distances = np.empty(n * (n - 1) // 2)

        def fill(first: int, last: int) -> None:
            kernels.distances_among(first, last, members, self.packed, self.counts, self.scale, distances)

        run_parts(fill, even_parts(np.arange(n, 0, -1), 8 * threads if n > 1000 else 1), threads)
        return distances


def pair_sums(
    folds: Folds, fold_numbers: list[int], threads: int, packed: np.ndarray | None = None
) -> PairSums:
    """Return the sums over the samples of some folds.

    Example:
        >>> from spdclust.groups.samples import fold_samples
        >>> from spdclust.merge.activations import ProcessedActivations
        >>> acts = ProcessedActivations.from_dense([[1, 1], [1, 1], [1, 0]], ["m:0", "m:1"])
        >>> folds = fold_samples([acts, acts], acts.labels, [acts.labels] * 2, 0.1)
        >>> sums = pair_sums(folds, [0, 1], threads=1)
        >>> sums.packed.tolist(), sums.row(1).round(3).tolist()
        ([6.0, 4.0, 4.0], [0.667])
    """
    n = len(folds.labels)
    if packed is None:
        packed = np.empty(n * (n + 1) // 2, dtype=np.float32)
    is_first = True
    for fold in fold_numbers:
        for piece, by_component in folds.pieces_both_ways(fold, threads):
            if piece.n_rows:  # without samples nothing is written, so the next piece is still the first
                _add_products(piece, by_component, packed, is_first=is_first, threads=threads)
                is_first = False
            del piece, by_component  # before the next piece needs as much
    if is_first:
        packed[:] = 0
    return PairSums(packed, *folds.totals(fold_numbers))


def _add_products(
    rows: Entries, columns: Entries, packed: np.ndarray, *, is_first: bool, threads: int
) -> None:
    """Add the products of one piece, given by sample and by component; the first overwrites the sums."""
    n, block = rows.n_columns, columns.n_columns
    for first_block, last_block in _block_ranges(rows, block, len(packed)):
        row_start = rows.start[first_block * block : last_block * block + 1]
        column_start = columns.start[first_block * n : last_block * n + 1]
        add = partial(
            kernels.pair_sums, n_components=n, column_start=column_start, column_samples=columns.columns,
            column_values=columns.values, block=block, row_start=row_start, rows=rows.columns,
            row_values=rows.values, sums=packed, is_first=is_first,
        )  # fmt: skip
        # each component is paired with those before it: later ones have more work
        active = np.diff(column_start).reshape(-1, n).sum(0)
        run_parts(add, even_parts(active * np.arange(1.0, n + 1) + 1, 16 * threads), threads)
        is_first = False


def _block_ranges(rows: Entries, block: int, n_pairs: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of blocks of samples that are counted together.

    The samples of one block stay in the processor's cache, but all pairs are read and written once for each
    range: a range has so many blocks that there are at least twice as many products as pairs.
    """
    n_products = np.diff(rows.start) ** 2 // 2
    first, so_far = 0, 0
    for number, start in enumerate(range(0, rows.n_rows, block), 1):
        so_far += int(n_products[start : start + block].sum())
        if so_far >= 2 * n_pairs or start + block >= rows.n_rows:
            yield first, number
            first, so_far = number, 0


def add_sums(parts: list[PairSums], threads: int = 1, packed: np.ndarray | None = None) -> PairSums:
    """Return the sums over the samples of all parts.

    Example:
        >>> part = PairSums(np.ones(1, dtype=np.float32), np.array([1.0]), np.array([1.0]))
        >>> add_sums([part, part]).packed.tolist()
        [2.0]
    """
    into = np.empty_like(parts[0].packed) if packed is None else packed

    def add(first: int, last: int) -> None:
        into[first:last] = parts[0].packed[first:last]
        for part in parts[1:]:
            into[first:last] += part.packed[first:last]

    run_parts(add, _stretches(len(into)), threads)
    counts = np.sum([part.counts for part in parts], axis=0)
    return PairSums(into, counts, np.sum([part.squares for part in parts], axis=0))


def _stretches(n: int) -> list[tuple[int, int]]:
    """Return consecutive parts that fit into the processor's caches together with a few arrays more."""
    edges = [*range(0, n, 2**18), n]
    return list(itertools.pairwise(edges))


def average_tree(sums: PairSums, least: float = MIN_SIMILARITY, threads: int = 1) -> Tree:
    """Return the average-linkage forest of all nodes whose two parts have at least a similarity of `least`.

    Groups that average linkage joins at a similarity of `least` or more are within one connected component of
    the graph of pairs at least as similar. Each connected component therefore gets a separate tree, and large
    distance matrices are never built.

    Example:
        >>> packed = np.array([4, 4, 4, 0, 0, 2], dtype=np.float32)
        >>> tree = average_tree(PairSums(packed, np.array([4.0, 4.0, 2.0]), np.array([4.0, 4.0, 2.0])))
        >>> tree.children.tolist(), tree.height.tolist()
        ([[0, 1]], [0.0])
    """
    n = sums.n_components
    scale = sums.scale

    def similar(first: int, last: int) -> np.ndarray:
        # a guess of how many there are; if there are more, the number found is the room for a second try
        found = 20 * (last - first)
        while True:
            pairs = np.empty((found, 2), dtype=np.int32)
            found = kernels.similar_pairs(first, last, sums.packed, sums.counts, scale, least, pairs)
            if found <= len(pairs):
                return pairs[:found]

    pairs = np.concatenate(run_parts(similar, even_parts(np.arange(n) + 1, 8 * threads), threads))
    graph = sparse.coo_array((np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, part = connected_components(graph, directed=False)
    by_part = np.argsort(part, kind="stable")
    edges = [0, *(np.flatnonzero(np.diff(part[by_part])) + 1).tolist(), n]

    rows: list[tuple[float, int, int, int, int]] = []  # height, part, row within it, its two children
    members_of: dict[int, np.ndarray] = {}
    for first, last in itertools.pairwise(edges):
        if last - first < 2:
            continue
        members = by_part[first:last]
        distances = sums.distances(members, threads)
        # sums in float32 can exceed the counts by rounding
        np.clip(distances, 0, 1, out=distances)
        key = int(part[members[0]])
        members_of[key] = members
        for t, (a, b, height, _) in enumerate(linkage(distances, "average")):
            if height <= 1 - least:
                rows.append((height, key, t, int(a), int(b)))
    # by height: average linkage never joins lower than before, so children come before parents
    rows.sort()
    number: dict[tuple[int, int], int] = {}
    children = np.empty((len(rows), 2), dtype=np.int64)
    for position, (_, key, t, a, b) in enumerate(rows):
        members = members_of[key]
        for side, child in enumerate((a, b)):
            inside = child >= len(members)
            children[position, side] = number[key, child - len(members)] if inside else members[child]
        number[key, t] = n + position
    return Tree(n, children, np.array([row[0] for row in rows], dtype=np.float64))
