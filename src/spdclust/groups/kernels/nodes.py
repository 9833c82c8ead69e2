"""Counts and code lengths of the nodes of a tree, and their overlaps with groups."""

import numpy as np

from spdclust.core.compiling import compiled, inner


@compiled(allocates=True)
def count_nodes(
    first, last, order, lo, size, gate_start, gate_members, member_start,
    n_components, column_start, column_samples, block, opened, active,
):  # fmt: skip
    """Count, for nodes `first` to `last`, on how many samples every gate is open, and where each member is
    active then.

    A node's members are `order[lo : lo + size]`; its gates are in `gate_members`, ascending. Samples are
    given by component in blocks of `block`, and are counted at their last open gate; `sum_from_above` turns
    these counts into counts at every open gate.
    """
    present = np.zeros(block, dtype=np.int32)
    for v in range(first, last):
        gates = gate_members[gate_start[v] : gate_start[v + 1]]
        n_gates, base = len(gates), member_start[v]
        last_open = np.empty(size[v] + 1, dtype=np.int64)  # the last gate that so many active members open
        k = 0
        for count in range(size[v] + 1):
            while k + 1 < n_gates and gates[k + 1] <= count:
                k += 1
            last_open[count] = k
        members = order[lo[v] : lo[v] + size[v]]
        # count the active members of every sample, use the counts, and reset them by the same entries:
        # the cost is proportional to the entries of the group, not to the number of samples
        for offset in range(0, len(column_start) - 1, n_components):
            for i in members:
                for e in range(column_start[offset + i], column_start[offset + i + 1]):
                    present[column_samples[e]] += 1
            for p in range(size[v]):
                i = offset + members[p]
                for e in range(column_start[i], column_start[i + 1]):
                    active[base + p * n_gates + last_open[present[column_samples[e]]]] += 1
            for i in members:
                for e in range(column_start[offset + i], column_start[offset + i + 1]):
                    count = present[column_samples[e]]
                    if count > 0:
                        opened[gate_start[v] + last_open[count]] += 1
                        present[column_samples[e]] = 0


@compiled
def sum_from_above(size, gate_start, member_start, opened, active):
    """Turn counts at the last open gate into counts at every open gate."""
    for v in range(len(size)):
        n_gates = gate_start[v + 1] - gate_start[v]
        for k in range(n_gates - 2, -1, -1):
            opened[gate_start[v] + k] += opened[gate_start[v] + k + 1]
            for p in range(size[v]):
                at = member_start[v] + p * n_gates + k
                active[at] += active[at + 1]


@inner
def _code_length(hits, trials, other_hits, other_trials):
    """Return the bits that code `hits` of `trials` with the probability estimated on the other samples."""
    share = (other_hits + 0.5) / (other_trials + 1)
    return -(hits * np.log2(share) + (trials - hits) * np.log2(1 - share))


@inner
def _total(values):
    total = values[0]
    for r in range(1, len(values)):
        total += values[r]
    return total


@compiled(allocates=True)
def node_bits(
    first, last, lo, size, order, gate_start, member_start, opened, active, n_active, n_samples, saved, best
):  # fmt: skip
    """Write the bits that nodes `first` to `last` save in every run, under the gate that saves most in all,
    and that gate.

    `opened` is `(runs, gates)`, `active` `(runs, members and gates)`, `n_active` `(runs, components)`.
    """
    n_runs = len(n_samples)
    all_samples = _total(n_samples)
    for v in range(first, last):
        n_gates = gate_start[v + 1] - gate_start[v]
        most = -np.inf
        bits = np.zeros(n_runs)
        for k in range(n_gates):
            gate = gate_start[v] + k
            all_open = _total(opened[:, gate])
            for r in range(n_runs):
                # minus the cost of the gate; each member then saves its code alone, minus that given the gate
                bits[r] = -_code_length(
                    opened[r, gate], n_samples[r], all_open - opened[r, gate], all_samples - n_samples[r]
                )
            for p in range(size[v]):
                at, i = member_start[v] + p * n_gates + k, order[lo[v] + p]
                inside, everywhere = _total(active[:, at]), _total(n_active[:, i])
                for r in range(n_runs):
                    bits[r] += _code_length(
                        n_active[r, i], n_samples[r], everywhere - n_active[r, i], all_samples - n_samples[r]
                    )
                    bits[r] -= _code_length(
                        active[r, at], opened[r, gate], inside - active[r, at], all_open - opened[r, gate]
                    )
                    bits[r] -= _code_length(
                        n_active[r, i] - active[r, at],
                        n_samples[r] - opened[r, gate],
                        everywhere - n_active[r, i] - (inside - active[r, at]),
                        all_samples - n_samples[r] - (all_open - opened[r, gate]),
                    )
            total = _total(bits)
            if total > most:
                most = total
                best[v] = k
                for r in range(n_runs):
                    saved[v, r] = bits[r]


@compiled
def best_overlaps(leaf_start, leaves, parents, node_size, overlap, touched, best):
    """Write the best Jaccard similarity of every group with a node or leaf of a tree.

    A group's members in the tree are `leaves[leaf_start[g] : leaf_start[g + 1]]`. On entry, `best[g]` is the
    group's size and `overlap` is zero for every node; `touched` must have space for all nodes.
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
