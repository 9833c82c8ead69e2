"""The best matching of groups while groups merge, by warm-started shortest augmenting paths.

Maximum-weight bipartite matching with integer weights (the counts) and integer duals. Three invariants hold
between calls: duals are at least 0 and cover every cell (`dual[row] + dual[column] ≥ count`); a matched cell
is covered exactly; a free node with a positive dual is in the list of open nodes. When that list is empty,
the matching is optimal and the duals sum to its weight (complementary slackness). A merge opens at most three
nodes. Closing a node takes one shortest-path search over the reachable nodes, never longer than the node's
dual. This is the Hungarian method (Kuhn 1955; shortest paths with duals: Tomizawa 1971, Edmonds & Karp 1972),
started from the duals of the previous step.
"""

from typing import no_type_check

import numpy as np

from spdclust.core.compiling import inner
from spdclust.partitions.kernels.table import (
    COUNT,
    DISTANCE,
    DUAL,
    END,
    HEAD,
    MATE,
    NEXT,
    NONE,
    PARENT,
    STAMP,
)


@inner
@no_type_check
def open_before_merge(table, keep, gone, side, opened, n_open):
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
def cover_after_merge(table, node, side, opened, n_open):
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
def close_node(table, root, n_rows, stamp, queue, stack, seen):
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
