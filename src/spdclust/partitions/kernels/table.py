"""The contingency table of two groupings while groups merge: sparse cells, hashed, linked by row and column.

Rows of the table are nodes `0 … n−1`, columns nodes `n … 2n−1`; a cell is an edge between a row and a column.
A merge moves the cells of the node with fewer of them, so a whole trajectory costs O(n log n) moves.
Of more than two groupings, `count_together` counts the pairs by the number of groupings that join them.
"""

from typing import NamedTuple, no_type_check

import numpy as np

from spdclust.core.compiling import compiled, inner

# columns of `cells`: both ends, neighbours in the lists of either end, the count
END, NEXT, PREV, COUNT = 0, 2, 4, 6
# columns of `nodes`; the last five are used by the assignment
HEAD, DEGREE, MATE, DUAL, STAMP, DISTANCE, PARENT = 0, 1, 2, 3, 4, 5, 6

NONE = -1


class Table(NamedTuple):
    """State of one table: `(n, 8)` cells, `(2n, 8)` nodes (a cache line half each), and the hash of cells."""

    cells: np.ndarray
    nodes: np.ndarray
    keys: np.ndarray
    values: np.ndarray


@inner(allocates=True)
@no_type_check
def identity_table(n):
    """Return the table of two groupings into singletons, with a one-to-one matching."""
    size = 8
    # at most half full, so that chains stay short
    while size < 2 * n:
        size *= 2
    cells = np.full((n, 8), NONE, dtype=np.int32)
    nodes = np.full((2 * n, 8), NONE, dtype=np.int32)
    table = Table(cells, nodes, np.full(size, NONE, dtype=np.int64), np.zeros(size, dtype=np.int32))
    for i in range(n):
        cells[i, END] = i
        cells[i, END + 1] = n + i
        cells[i, COUNT] = 1
        nodes[i, DUAL] = 1
        nodes[n + i, DUAL] = 0
        for node in (i, n + i):
            nodes[node, HEAD] = i
            nodes[node, DEGREE] = 1
            nodes[node, MATE] = i
            nodes[node, STAMP] = 0
        _insert(table, np.int32(i), np.int32(n + i), np.int32(i))
    return table


@inner
@no_type_check
def merge_nodes(table, keep, gone, side, xlogx, sums):
    """Move the cells of `gone` to `keep`, both on `side`; add the change to `sums` (squares, information)."""
    cells, nodes = table.cells, table.nodes
    cell = nodes[gone, HEAD]
    while cell != NONE:
        following = cells[cell, NEXT + side]
        other = cells[cell, END + 1 - side]
        if side == 0:
            _remove(table, gone, other)
            target = _find(table, keep, other)
        else:
            _remove(table, other, gone)
            target = _find(table, other, keep)
        if target == NONE:
            cells[cell, END + side] = keep
            _link(cells, nodes, cell, keep, side)
            if side == 0:
                _insert(table, keep, other, cell)
            else:
                _insert(table, other, keep, cell)
        else:
            more = np.int64(cells[cell, COUNT])
            count = np.int64(cells[target, COUNT])
            cells[target, COUNT] = count + more
            sums[0] += 2 * count * more
            sums[1] += xlogx[count + more] - xlogx[count] - xlogx[more]
            _unlink(cells, nodes, cell, other, 1 - side)
        cell = following
    nodes[gone, HEAD] = NONE
    nodes[gone, DEGREE] = 0


@inner
@no_type_check
def _link(cells, nodes, cell, node, side):
    head = nodes[node, HEAD]
    cells[cell, PREV + side] = NONE
    cells[cell, NEXT + side] = head
    if head != NONE:
        cells[head, PREV + side] = cell
    nodes[node, HEAD] = cell
    nodes[node, DEGREE] += 1


@inner
@no_type_check
def _unlink(cells, nodes, cell, node, side):
    before, after = cells[cell, PREV + side], cells[cell, NEXT + side]
    if before == NONE:
        nodes[node, HEAD] = after
    else:
        cells[before, NEXT + side] = after
    if after != NONE:
        cells[after, PREV + side] = before
    nodes[node, DEGREE] -= 1


@inner
@no_type_check
def _slot(key, size):
    return np.int64((np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20)) & (size - 1)


@inner
@no_type_check
def _key(table, row, column):
    return np.int64(row) * len(table.nodes) + column


@inner
@no_type_check
def _insert(table, row, column, cell):
    size = len(table.keys)
    key = _key(table, row, column)
    slot = _slot(key, size)
    while table.keys[slot] != NONE:
        slot = (slot + 1) & (size - 1)
    table.keys[slot] = key
    table.values[slot] = cell


@inner
@no_type_check
def _find(table, row, column):
    size = len(table.keys)
    key = _key(table, row, column)
    slot = _slot(key, size)
    while table.keys[slot] != NONE:
        if table.keys[slot] == key:
            return table.values[slot]
        slot = (slot + 1) & (size - 1)
    return np.int32(NONE)


@inner
@no_type_check
def _remove(table, row, column):
    keys, values = table.keys, table.values
    size = len(keys)
    key = _key(table, row, column)
    hole = _slot(key, size)
    while keys[hole] != key:
        hole = (hole + 1) & (size - 1)
    # close the gap: move back every later entry whose home slot is not after the hole
    slot = hole
    while True:
        slot = (slot + 1) & (size - 1)
        if keys[slot] == NONE:
            break
        own = _slot(keys[slot], size)
        if ((slot - own) & (size - 1)) >= ((slot - hole) & (size - 1)):
            keys[hole] = keys[slot]
            values[hole] = values[slot]
            hole = slot
    keys[hole] = NONE


@compiled(allocates=True)
@no_type_check
def count_together(groups, weights, least, histogram, parents):
    """Count weighted pairs by the number of runs that group them; join those grouped by `least` or more.

    Only pairs that are in one group of some run are visited; all others are together in no run.

    Args:
        groups: `(atoms, runs)` int32 group of every atom (components that are together in every run), from 0.
        weights: `(atoms,)` int64 number of components in each.
        least: minimum number of runs in which two atoms must be together to be joined, at least 1.
        histogram: `(runs + 1,)` int64, updated in place.
        parents: `(atoms,)` int64 forest of joined atoms, roots are the smallest; starts as `0 … atoms−1`.
    """
    n_atoms, n_runs = groups.shape
    n_before = np.int64(0)
    for i in range(n_atoms):
        histogram[n_runs] += weights[i] * (weights[i] - 1) // 2
        histogram[0] += weights[i] * n_before
        n_before += weights[i]
    previous = np.empty(n_atoms, dtype=np.int64)  # the last atom before, in the same group
    for run in range(n_runs):
        n_groups = 0
        for i in range(n_atoms):
            n_groups = max(n_groups, groups[i, run] + 1)
        last = np.full(n_groups, -1, dtype=np.int64)
        for i in range(n_atoms):
            group = groups[i, run]
            previous[i], last[group] = last[group], i
            j = previous[i]
            while j >= 0:
                together = 0
                for other in range(n_runs):
                    if groups[i, other] == groups[j, other]:
                        if other < run:  # visited in that run
                            together = 0
                            break
                        together += 1
                if together > 0:
                    pairs = weights[i] * weights[j]
                    histogram[together] += pairs
                    histogram[0] -= pairs
                if together >= least:
                    a, b = i, j
                    while parents[a] != a:
                        parents[a] = parents[parents[a]]
                        a = parents[a]
                    while parents[b] != b:
                        parents[b] = parents[parents[b]]
                        b = parents[b]
                    parents[max(a, b)] = min(a, b)
                j = previous[j]
