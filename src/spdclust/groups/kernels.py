"""Kernels of the group analysis: sums over pairs of components, counts for nodes of a tree, null samples."""

import numpy as np

from spdclust.compiling import compiled
from spdclust.merge.kernels.machine import fetch

AHEAD = 6
"""How many samples ahead of the present one rows are fetched: they lie far apart in memory."""


@compiled
def count_columns(columns, values, counts, squares):
    """Add to every column its number of entries and the sum of their squares."""
    for e in range(len(columns)):
        counts[columns[e]] += 1
        squares[columns[e]] += np.float64(values[e]) * values[e]


@compiled
def count_active(row_start, rows, values, columns, threshold, new_start):
    """Write where each row begins when only entries above a threshold, of columns that are kept, remain."""
    for n in range(len(row_start) - 1):
        kept = 0
        for e in range(row_start[n], row_start[n + 1]):
            kept += values[e] > threshold and columns[rows[e]] >= 0
        new_start[n + 1] = new_start[n] + kept


@compiled
def keep_active(row_start, rows, values, columns, threshold, new_rows, new_values):
    """Write the entries above a threshold, of columns that are kept, with the new numbers of the columns."""
    at = 0
    for e in range(row_start[0], row_start[-1]):
        if values[e] > threshold and columns[rows[e]] >= 0:
            new_rows[at] = columns[rows[e]]
            new_values[at] = values[e]
            at += 1


@compiled
def pair_sums(first, last, column_start, column_samples, column_values, row_start, rows, row_values, sums):
    """Add, for components `first` to `last`, the products of activations with every component before them.

    `sums` is the packed lower triangle with its diagonal: row `i` starts at `i * (i + 1) / 2`. Components of
    a sample are in order.
    """
    total = np.zeros(last)
    for i in range(first, last):
        total[: i + 1] = 0
        for e in range(column_start[i], column_start[i + 1]):
            if e + 2 * AHEAD < column_start[i + 1]:
                fetch(row_start, np.int64(column_samples[e + 2 * AHEAD]))
            if e + AHEAD < column_start[i + 1]:
                ahead = np.int64(row_start[column_samples[e + AHEAD]])
                for line in range(4):
                    fetch(rows, ahead + 16 * line)
                    fetch(row_values, ahead + 16 * line)
            n, value = column_samples[e], column_values[e]
            for f in range(row_start[n], row_start[n + 1]):
                j = rows[f]
                if j > i:
                    break
                total[j] += value * row_values[f]
        start = i * (i + 1) // 2
        for j in range(i + 1):
            sums[start + j] += total[j]


@compiled
def similar_pairs(n_components, sums, counts, scale, least, pairs):
    """Write the pairs whose similarity is at least `least`; return how many there are (more than fit are
    counted only).
    """
    n = 0
    for i in range(n_components):
        start = i * (i + 1) // 2
        for j in range(i):
            shared = sums[start + j] * scale[i] * scale[j]
            if shared > 0 and shared >= least * (counts[i] + counts[j] - shared):
                if n < len(pairs):
                    pairs[n, 0], pairs[n, 1] = i, j
                n += 1
    return n


@compiled
def distances_among(members, sums, counts, scale, distances):
    """Write the condensed distances (1 minus similarity) between the given components, which are in order."""
    n = 0
    for a in range(len(members)):
        i = members[a]
        for b in range(a + 1, len(members)):
            j = members[b]
            shared = sums[j * (j + 1) // 2 + i] * scale[i] * scale[j]
            either = counts[i] + counts[j] - shared
            distances[n] = 1 - shared / either if either > 0 else 1.0
            n += 1


@compiled
def count_nodes(
    first, last, order, lo, size, gate_start, gate_members, member_start,
    column_start, column_samples, n_samples, opened, active,
):  # fmt: skip
    """Count, for nodes `first` to `last`, on how many samples every gate is open, and where each member is
    active then.

    A node's members are `order[lo : lo + size]`; its gates, ascending, are in `gate_members`. Counts are by
    the last gate that is open; `sum_from_above` turns them into counts by every open gate.
    """
    present = np.zeros(n_samples, dtype=np.int32)
    for v in range(first, last):
        gates = gate_members[gate_start[v] : gate_start[v + 1]]
        n_gates, base = len(gates), member_start[v]
        for p in range(size[v]):
            i = order[lo[v] + p]
            for e in range(column_start[i], column_start[i + 1]):
                present[column_samples[e]] += 1
        for p in range(size[v]):
            i = order[lo[v] + p]
            for e in range(column_start[i], column_start[i + 1]):
                active[base + p * n_gates + _last_open(gates, present[column_samples[e]])] += 1
        for p in range(size[v]):
            i = order[lo[v] + p]
            for e in range(column_start[i], column_start[i + 1]):
                count = present[column_samples[e]]
                if count > 0:
                    opened[gate_start[v] + _last_open(gates, count)] += 1
                    present[column_samples[e]] = 0


@compiled
def _last_open(gates, count):
    """Return the last gate that so many active members open; the first one asks for 1."""
    k = 0
    while k + 1 < len(gates) and gates[k + 1] <= count:
        k += 1
    return k


@compiled
def sum_from_above(size, gate_start, member_start, opened, active):
    """Turn counts by the last open gate into counts by every open gate."""
    for v in range(len(size)):
        n_gates = gate_start[v + 1] - gate_start[v]
        for k in range(n_gates - 2, -1, -1):
            opened[gate_start[v] + k] += opened[gate_start[v] + k + 1]
            for p in range(size[v]):
                at = member_start[v] + p * n_gates + k
                active[at] += active[at + 1]


@compiled
def code_length(hits, trials, other_hits, other_trials):
    """Return the bits that code `hits` of `trials`, with the probability that the other samples give."""
    share = (other_hits + 0.5) / (other_trials + 1)
    return -(hits * np.log2(share) + (trials - hits) * np.log2(1 - share))


@compiled
def node_bits(lo, size, order, gate_start, member_start, opened, active, n_active, n_samples, saved, best):
    """Write the bits that every node saves in every run, under the gate that saves most in all, and that
    gate.

    `opened` is `(runs, gates)`, `active` `(runs, members and gates)`, `n_active` `(runs, components)`.
    """
    n_runs = len(n_samples)
    all_samples = n_samples.sum()
    for v in range(len(lo)):
        n_gates = gate_start[v + 1] - gate_start[v]
        most = -np.inf
        bits = np.zeros(n_runs)
        for k in range(n_gates):
            gate = gate_start[v] + k
            all_open = opened[:, gate].sum()
            for r in range(n_runs):
                bits[r] = -code_length(
                    opened[r, gate], n_samples[r], all_open - opened[r, gate], all_samples - n_samples[r]
                )
            for p in range(size[v]):
                at, i = member_start[v] + p * n_gates + k, order[lo[v] + p]
                inside, everywhere = active[:, at].sum(), n_active[:, i].sum()
                for r in range(n_runs):
                    bits[r] += code_length(
                        n_active[r, i], n_samples[r], everywhere - n_active[r, i], all_samples - n_samples[r]
                    )
                    bits[r] -= code_length(
                        active[r, at], opened[r, gate], inside - active[r, at], all_open - opened[r, gate]
                    )
                    bits[r] -= code_length(
                        n_active[r, i] - active[r, at],
                        n_samples[r] - opened[r, gate],
                        everywhere - n_active[r, i] - (inside - active[r, at]),
                        all_samples - n_samples[r] - (all_open - opened[r, gate]),
                    )
            if bits.sum() > most:
                most = bits.sum()
                best[v] = k
                saved[v] = bits


@compiled
def count_with_groups(
    row_start, rows, squares, group_of, at_least, others, hits, extra, energy, opened, both
):
    """Count how components act on the samples on which groups are active, their own group being inactive.

    A group is active when `at_least` of its members are; without a member when `others` of the others are. A
    component of no group has no own group that could be active.

    Added to: `hits`, `(groups, components)`, samples on which the group is active, the component too, its
    own group not; `extra`, those of them on which its own group is inactive only because the component itself
    is left out; `energy`, the component's squares on the samples of `hits`; `opened`, per group, samples on
    which it is active; `both`, `(groups, groups)`, samples on which the first is active, and `others` of the
    second.
    """
    n_groups = len(at_least)
    count = np.zeros(n_groups + 1, dtype=np.int32)
    busy = np.empty(n_groups, dtype=np.int32)  # groups with enough members to matter, either way
    is_open = np.empty(n_groups, dtype=np.int32)
    for n in range(len(row_start) - 1):
        for e in range(row_start[n], row_start[n + 1]):
            count[group_of[rows[e]]] += 1  # -1: the last place
        n_busy = n_open = 0
        for e in range(row_start[n], row_start[n + 1]):
            g = group_of[rows[e]]
            if g < 0 or count[g] < 0:
                continue
            if count[g] >= others[g]:
                busy[n_busy] = g
                n_busy += 1
            if count[g] >= at_least[g]:
                is_open[n_open] = g
                n_open += 1
            count[g] = -count[g] - 1  # seen
        for a in range(n_open):
            g = is_open[a]
            opened[g] += 1
            for b in range(n_busy):
                both[g, busy[b]] += 1
            for e in range(row_start[n], row_start[n + 1]):
                i = rows[e]
                own = group_of[i]
                if own == g:
                    continue
                of_own = -count[own] - 1 if own >= 0 else 0
                if own < 0 or of_own <= others[own]:
                    hits[g, i] += 1
                    energy[g, i] += squares[e]
                    if own >= 0 and of_own == others[own]:
                        extra[g, i] += 1
        for e in range(row_start[n], row_start[n + 1]):
            count[group_of[rows[e]]] = 0


@compiled
def count_own(
    row_start, rows, squares, group_of, at_least, others, own_hits, alone_hits, alone_energy, edge, opened
):
    """Count every member where its own group is active, and where it is active while the others are not.

    Added to: `own_hits`, per component, samples on which it and its group are active; `alone_hits`, those on
    which it is active and its group, itself left out, is not; `alone_energy`, its squares on those; `edge`,
    those of `alone_hits` on which it makes up the number of active members; `opened`, `(groups, 2)`, samples
    with `at_least` and with `others` active members.
    """
    n_groups = len(at_least)
    count = np.zeros(n_groups + 1, dtype=np.int32)
    for n in range(len(row_start) - 1):
        for e in range(row_start[n], row_start[n + 1]):
            count[group_of[rows[e]]] += 1
        for e in range(row_start[n], row_start[n + 1]):
            i = rows[e]
            g = group_of[i]
            if g < 0:
                alone_hits[i] += 1
                alone_energy[i] += squares[e]
                continue
            if count[g] >= at_least[g]:
                own_hits[i] += 1
            if count[g] <= others[g]:
                alone_hits[i] += 1
                alone_energy[i] += squares[e]
                if count[g] == others[g]:
                    edge[i] += 1
        for e in range(row_start[n], row_start[n + 1]):
            g = group_of[rows[e]]
            if g >= 0 and count[g] > 0:
                opened[g, 0] += count[g] >= at_least[g]
                opened[g, 1] += count[g] >= others[g]
            count[g] = 0


@compiled
def scatter(column_start, samples, n_samples, rng):
    """Put every component's activations on different samples, drawn evenly; in order of neither."""
    drawn = np.full(n_samples, -1, dtype=np.int64)
    for i in range(len(column_start) - 1):
        n = column_start[i + 1] - column_start[i]
        # draw those to use, or those to leave out, whichever are fewer
        few = min(n, n_samples - n)
        done = 0
        while done < few:
            sample = np.int64(rng.random() * n_samples)
            if drawn[sample] != i:
                drawn[sample] = i
                if few == n:
                    samples[column_start[i] + done] = sample
                done += 1
        if few < n:
            place = column_start[i]
            for sample in np.flatnonzero(drawn != i):
                samples[place] = sample
                place += 1


@compiled
def trade(order, row_start, rows, values, rng):
    """Let neighbours in a random order of samples swap what only one of them has: a round of curveball.

    Every component keeps its number of samples, every sample its number of components; values go with their
    components.
    """
    longest = 0
    for n in range(len(row_start) - 1):
        longest = max(longest, row_start[n + 1] - row_start[n])
    shared, shared_a, shared_b = (
        np.empty(longest, rows.dtype),
        np.empty(longest, values.dtype),
        np.empty(longest, values.dtype),
    )
    only, only_value = np.empty(2 * longest, rows.dtype), np.empty(2 * longest, values.dtype)
    for t in range(0, len(order) - 1, 2):
        a, b = row_start[order[t]], row_start[order[t + 1]]
        end_a, end_b = row_start[order[t] + 1], row_start[order[t + 1] + 1]
        n_a = end_a - a
        x, y, n_shared, n_only = a, b, 0, 0
        while x < end_a or y < end_b:
            if y == end_b or (x < end_a and rows[x] < rows[y]):
                only[n_only], only_value[n_only] = rows[x], values[x]
                n_only += 1
                x += 1
            elif x == end_a or rows[y] < rows[x]:
                only[n_only], only_value[n_only] = rows[y], values[y]
                n_only += 1
                y += 1
            else:
                shared[n_shared], shared_a[n_shared], shared_b[n_shared] = rows[x], values[x], values[y]
                n_shared += 1
                x += 1
                y += 1
        # `only` is in order: walk it once and give each to `a` with the probability that leaves its number as
        # it was
        left_for_a, left = n_a - n_shared, n_only
        x, y, s = a, b, 0
        for o in range(n_only):
            while s < n_shared and shared[s] < only[o]:
                rows[x], values[x] = shared[s], shared_a[s]
                rows[y], values[y] = shared[s], shared_b[s]
                x += 1
                y += 1
                s += 1
            if rng.random() * left < left_for_a:
                rows[x], values[x] = only[o], only_value[o]
                x += 1
                left_for_a -= 1
            else:
                rows[y], values[y] = only[o], only_value[o]
                y += 1
            left -= 1
        while s < n_shared:
            rows[x], values[x] = shared[s], shared_a[s]
            rows[y], values[y] = shared[s], shared_b[s]
            x += 1
            y += 1
            s += 1


@compiled
def best_overlaps(leaf_start, leaves, parents, node_size, overlap, touched, best):
    """Write the best Jaccard similarity of every group with a node of a tree, its leaves among them.

    A group's members that the tree has are `leaves[leaf_start[g] : leaf_start[g + 1]]`; `best[g]` holds the
    group's size on entry. `overlap` is zero for every node, `touched` has room for them all.
    """
    for g in range(len(leaf_start) - 1):
        size, n_touched, most = best[g], 0, 0.0
        for e in range(leaf_start[g], leaf_start[g + 1]):
            v = leaves[e]
            while v >= 0:
                if overlap[v] == 0:
                    touched[n_touched] = v
                    n_touched += 1
                overlap[v] += 1
                v = parents[v]
        for t in range(n_touched):
            v = touched[t]
            most = max(most, overlap[v] / (size + node_size[v] - overlap[v]))
            overlap[v] = 0
        best[g] = most
