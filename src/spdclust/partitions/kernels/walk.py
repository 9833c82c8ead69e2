"""Walk two merge trajectories in parallel and record the sums that all distances are computed from."""

from typing import no_type_check

import numpy as np

from spdclust.core.compiling import compiled
from spdclust.partitions.kernels.assignment import close_node, cover_after_merge, open_before_merge
from spdclust.partitions.kernels.table import DEGREE, DUAL, MATE, NONE, identity_table, merge_nodes


@compiled(allocates=True)
@no_type_check
def walk_run(merges, first, n, stride, xlogx, squares, information):
    """Record Σ size² and Σ xlogx[size] over one run's groups, at every `stride`-th iteration."""
    sizes = np.ones(n, dtype=np.int64)
    square, info = np.int64(n), np.int64(0)
    for t in range(first + (len(squares) - 1) * stride + 1):
        keep, gone = merges[t, 0], merges[t, 1]
        a, b = sizes[keep], sizes[gone]
        square += 2 * a * b
        info += xlogx[a + b] - xlogx[a] - xlogx[b]
        sizes[keep] = a + b
        row = t - first
        if row >= 0 and row % stride == 0:
            squares[row // stride] = square
            information[row // stride] = info


@compiled(allocates=True)
@no_type_check
def walk_pair(
    merges_a, merges_b, first_a, first_b, n, stride, xlogx, want_matched, squares, information, matched
):
    """Record Σ cell², Σ xlogx[cell] and the weight of the best matching, at every `stride`-th iteration.

    Row `t` is the state after merges `0 … first + t` of each run. `matched` is filled on request.
    """
    table = identity_table(n)
    node_of = np.empty((2, n), dtype=np.int32)
    for i in range(n):
        node_of[0, i] = i
        node_of[1, i] = n + i
    sums = np.array([n, 0], dtype=np.int64)
    dual_sum = np.int64(n)
    opened = np.empty(6 * n + 8, dtype=np.int32)
    n_open = stamp = np.int64(0)
    queue = np.empty(4 * n + 8, dtype=np.int64)
    stack = np.empty(n + 1, dtype=np.int32)
    seen = np.empty(2 * n + 1, dtype=np.int32)

    n_kept = len(squares)
    # before row 0: the merges of a run that starts with more groups than the others
    for t in range(-max(first_a, first_b), (n_kept - 1) * stride + 1):
        for side in range(2):
            first = first_a if side == 0 else first_b
            merges = merges_a if side == 0 else merges_b
            if t + first < 0:
                continue
            name, gone_name = merges[t + first, 0], merges[t + first, 1]
            keep, gone = node_of[side, name], node_of[side, gone_name]
            # move the cells of the node that has fewer; the group keeps its name through `node_of`
            if table.nodes[keep, DEGREE] < table.nodes[gone, DEGREE]:
                keep, gone = gone, keep
            node_of[side, name] = keep
            if want_matched:
                taken, n_open = open_before_merge(table, keep, gone, side, opened, n_open)
                merge_nodes(table, keep, gone, side, xlogx, sums)
                dual, n_open = cover_after_merge(table, keep, side, opened, n_open)
                dual_sum += dual - taken
            else:
                merge_nodes(table, keep, gone, side, xlogx, sums)
        if t >= 0 and t % stride == 0:
            squares[t // stride] = sums[0]
            information[t // stride] = sums[1]
            if want_matched:
                for i in range(n_open):
                    # it may have been matched, or merged away, since it was listed
                    node = opened[i]
                    if table.nodes[node, MATE] == NONE and table.nodes[node, DUAL] > 0:
                        stamp += 1
                        dual_sum -= close_node(table, node, n, stamp, queue, stack, seen)
                n_open = np.int64(0)
                matched[t // stride] = dual_sum
