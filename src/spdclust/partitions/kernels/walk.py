"""Walk two merge trajectories in parallel and record the sums that all distances are computed from.

The best matching of the groups is kept up to date merge by merge: a merge removes one node of the assignment
problem, and one shortest augmenting path repairs the rest.
"""

from typing import no_type_check

import numpy as np

from spdclust.core.compiling import compiled, inner
from spdclust.partitions.kernels.table import (
    COUNT,
    DEGREE,
    DISTANCE,
    DUAL,
    END,
    HEAD,
    MATE,
    NEXT,
    NONE,
    PARENT,
    STAMP,
    identity_table,
    merge_nodes,
)


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
                taken, n_open = _open_before_merge(table, keep, gone, side, opened, n_open)
                merge_nodes(table, keep, gone, side, xlogx, sums)
                dual, n_open = _cover_after_merge(table, keep, side, opened, n_open)
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
                        dual_sum -= _close_node(table, node, n, stamp, queue, stack, seen)
                n_open = np.int64(0)
                matched[t // stride] = dual_sum


@inner
@no_type_check
def _open_before_merge(table, keep, gone, side, opened, n_open):
    """Free both nodes that are about to merge and remove their duals.

    Returns the duals' sum and the number of open nodes.
    """
    cells, nodes = table.cells, table.nodes
    for node in (keep, gone):
        cell = nodes[node, MATE]
        if cell != NONE:
            other = cells[cell, END + 1 - side]
            nodes[other, MATE] = NONE
            nodes[node, MATE] = NONE
            if nodes[other, DUAL] > 0:
                opened[n_open] = other
                n_open += 1
    # in 64 bits: the sum of all duals may exceed the 32 bits of one
    taken = np.int64(nodes[keep, DUAL]) + np.int64(nodes[gone, DUAL])
    nodes[keep, DUAL] = 0
    nodes[gone, DUAL] = 0
    return taken, n_open


@inner
@no_type_check
def _cover_after_merge(table, node, side, opened, n_open):
    """Set the merged node's dual to the least that covers its cells; match it if a tight cell has a free end.

    Returns the dual and the number of open nodes.
    """
    cells, nodes = table.cells, table.nodes
    dual, chosen, best_other = np.int32(0), np.int32(NONE), np.int32(-1)
    cell = nodes[node, HEAD]
    while cell != NONE:
        other = cells[cell, END + 1 - side]
        needed = cells[cell, COUNT] - nodes[other, DUAL]
        if needed >= dual:
            if needed > dual:
                dual, chosen, best_other = needed, np.int32(NONE), np.int32(-1)
            # choose the free end with the largest dual: closing it would cost most
            if nodes[other, MATE] == NONE and nodes[other, DUAL] > best_other:
                chosen, best_other = cell, nodes[other, DUAL]
        cell = cells[cell, NEXT + side]
    nodes[node, DUAL] = dual
    if chosen != NONE and dual + best_other > 0:
        nodes[node, MATE] = chosen
        nodes[cells[chosen, END + 1 - side], MATE] = chosen
    elif dual > 0:
        opened[n_open] = node
        n_open += 1
    return np.int64(dual), n_open


@inner
@no_type_check
def _close_node(table, root, n_rows, stamp, queue, stack, seen):
    """Match a free node or lower its dual to 0; return the decrease of the sum of the duals.

    A Dijkstra search over alternating paths from `root`. It ends at the first of: a free node on the other
    side (the path is added), a matched node on the root's side whose dual reaches 0 (it is freed in the
    root's place), or the root's own dual at 0.
    """
    cells, nodes = table.cells, table.nodes
    side = 0 if root < n_rows else 1
    far = 1 - side
    best = np.int64(nodes[root, DUAL])
    end, end_is_far = root, False
    nodes[root, STAMP] = stamp
    nodes[root, DISTANCE] = 0
    seen[0] = root
    n_seen, n_stack = 1, 0
    n_queue = np.int64(0)
    node, reached = root, np.int64(0)
    while True:
        # scan the cells of `node`, on the root's side at distance `reached`
        base = reached + nodes[node, DUAL]
        cell = nodes[node, HEAD]
        mate = nodes[node, MATE]
        while cell != NONE:
            if cell != mate:
                other = cells[cell, END + far]
                distance = base + nodes[other, DUAL] - cells[cell, COUNT]
                known = nodes[other, STAMP] == stamp
                if distance < best and not (known and nodes[other, DISTANCE] <= distance):
                    if not known:
                        nodes[other, STAMP] = stamp
                        seen[n_seen] = other
                        n_seen += 1
                    nodes[other, DISTANCE] = distance
                    nodes[other, PARENT] = cell
                    if nodes[other, MATE] == NONE:
                        best, end, end_is_far = distance, other, True
                        if distance == reached:
                            break
                    elif distance == reached:
                        stack[n_stack] = other
                        n_stack += 1
                    else:
                        n_queue = _push(queue, n_queue, (distance << 32) | np.int64(other))
            cell = cells[cell, NEXT + side]
        # take the nearest node on the far side and continue from its mate
        found = False
        while not found and reached < best:
            if n_stack > 0:
                n_stack -= 1
                other = stack[n_stack]
                found = True
            elif n_queue > 0:
                top, n_queue = _pop(queue, n_queue)
                # the queue is sorted: what remains is farther than the best end found
                if (top >> 32) >= best:
                    n_queue = np.int64(0)
                    break
                other = np.int32(top & 0xFFFFFFFF)
                # outdated entries stay in the queue when a shorter distance is found, and
                # are passed over here
                if nodes[other, DISTANCE] == (top >> 32) and (top >> 32) >= reached:
                    mate_node = cells[nodes[other, MATE], END + side]
                    if nodes[mate_node, STAMP] != stamp:
                        reached = top >> 32
                        found = True
            else:
                break
        if not found:
            break
        node = cells[nodes[other, MATE], END + side]
        nodes[node, STAMP] = stamp
        nodes[node, DISTANCE] = reached
        seen[n_seen] = node
        n_seen += 1
        # the path may also end here, by lowering this dual to 0
        if reached + nodes[node, DUAL] < best:
            best, end, end_is_far = reached + nodes[node, DUAL], node, False
            if best == reached:
                break

    # move the duals so that the path to `end` becomes tight
    for i in range(n_seen):
        node = seen[i]
        change = best - nodes[node, DISTANCE]
        if change > 0:
            if (node < n_rows) == (root < n_rows):
                nodes[node, DUAL] -= change
            else:
                nodes[node, DUAL] += change
    # exchange matched and unmatched cells along the path
    if end != root:
        if end_is_far:
            other = end
        else:
            other = cells[nodes[end, MATE], END + far]
            nodes[end, MATE] = NONE
        while True:
            cell = nodes[other, PARENT]
            node = cells[cell, END + side]
            before = nodes[node, MATE]
            nodes[other, MATE] = cell
            nodes[node, MATE] = cell
            if node == root:
                break
            other = cells[before, END + far]
    return best


@inner
@no_type_check
def _push(queue, size, item):
    position = size
    while position > 0:
        above = (position - 1) >> 1
        if queue[above] <= item:
            break
        queue[position] = queue[above]
        position = above
    queue[position] = item
    return size + 1


@inner
@no_type_check
def _pop(queue, size):
    top = queue[0]
    size -= 1
    item = queue[size]
    position = 0
    while True:
        below = 2 * position + 1
        if below >= size:
            break
        if below + 1 < size and queue[below + 1] < queue[below]:
            below += 1
        if queue[below] >= item:
            break
        queue[position] = queue[below]
        position = below
    queue[position] = item
    return top, size
