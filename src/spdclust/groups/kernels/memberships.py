"""Count the activity of components on the samples on which groups are active."""

import numpy as np

from spdclust.core.compiling import compiled
from spdclust.merge.kernels.machine import fetch

AHEAD = 6
"""Number of samples ahead of the current one for which entries are prefetched: they are far apart."""


@compiled
def mark_samples(
    row_start, rows, values, group_of, at_least, others, loose_start, loose, loose_squares, edge_end,
    own_hits, alone_hits, alone_energy, edge, n_active, busy_start, busy, busy_active,
):  # fmt: skip
    """Find the groups of every sample, and the activity of each component relative to its own group.

    A group is active on a sample if at least `at_least` of its members are; with one member excluded, if at
    least `others` of the other members are. A component in no group has no own group that could be active.
    An entry is loose if the component's own group is inactive without it; on the edge if the group is active
    only because of it.

    Writes, per sample, the components of loose entries and, if there are values, their squares from
    `loose_start[n]` on, first those on the edge, up to `edge_end[n]`; and the groups with `others` active
    members to `busy[busy_start[n] : busy_start[n + 1]]`, and whether they are active. Adds, per component, to
    `own_hits` the samples on which it and its group are active, to `alone_hits` the loose entries, to
    `alone_energy` their squares, and to `edge` the entries on the edge. Adds to `n_active`, `(groups, 2)`,
    the samples with `at_least` and with `others` active members.
    """
    count = np.zeros(len(at_least) + 1, dtype=np.int32)
    n_busy, n_loose = 0, 0
    for n in range(len(row_start) - 1):
        for e in range(row_start[n], row_start[n + 1]):
            count[group_of[rows[e]]] += 1  # -1: the last element
        for on_edge in (True, False):
            for e in range(row_start[n], row_start[n + 1]):
                i = rows[e]
                g = group_of[i]
                if (g >= 0 and count[g] == others[g]) == on_edge and (g < 0 or count[g] <= others[g]):
                    square = 1.0
                    if values is not None:
                        square = np.float64(values[e]) * values[e]
                        loose_squares[n_loose] = square
                    loose[n_loose] = i
                    n_loose += 1
                    alone_hits[i] += 1
                    alone_energy[i] += square
                    edge[i] += on_edge
            if on_edge:
                edge_end[n] = n_loose
        loose_start[n + 1] = n_loose
        for e in range(row_start[n], row_start[n + 1]):
            i = rows[e]
            g = group_of[i]
            if g >= 0:
                own_hits[i] += count[g] >= at_least[g]
        for e in range(row_start[n], row_start[n + 1]):
            g = group_of[rows[e]]
            if g >= 0 and count[g] >= others[g]:
                busy[n_busy] = g
                busy_active[n_busy] = count[g] >= at_least[g]
                n_active[g, 0] += busy_active[n_busy]
                n_active[g, 1] += 1
                n_busy += 1
            count[g] = 0
        busy_start[n + 1] = n_busy


@compiled
def samples_of_groups(busy_start, busy, busy_active, filled, samples):
    """Write the samples on which each group is active, starting at `filled`, which moves to their end."""
    for n in range(len(busy_start) - 1):
        for b in range(busy_start[n], busy_start[n + 1]):
            if busy_active[b]:
                samples[filled[busy[b]]] = n
                filled[busy[b]] += 1


@compiled
def count_with_groups(
    first, last, sample_start, samples, loose_start, edge_end, loose, loose_squares, busy_start, busy,
    hits, extra, energy, both,
):  # fmt: skip
    """Count the loose entries of components on the samples of groups `first` to `last`.

    Adds to `hits`, `(groups, components)`, the samples on which the group is active and the component's entry
    is loose; to `extra` those of them on the edge; if there are squares, to `energy` those of `hits`; and to
    `both`, `(groups, groups)`, the samples on which the first group and `others` members of the second are
    active.
    """
    per_line = 64 // loose.itemsize
    for g in range(first, last):
        hits_of, extra_of = hits[g], extra[g]
        for t in range(sample_start[g], sample_start[g + 1]):
            if t + 2 * AHEAD < sample_start[g + 1]:
                fetch(loose_start, np.int64(samples[t + 2 * AHEAD]))
            if t + AHEAD < sample_start[g + 1]:
                ahead = loose_start[samples[t + AHEAD]]
                for line in range(3):
                    fetch(loose, ahead + per_line * line)
                fetch(busy, busy_start[samples[t + AHEAD]])
            n = samples[t]
            for b in range(busy_start[n], busy_start[n + 1]):
                both[g, busy[b]] += 1
            for e in range(loose_start[n], loose_start[n + 1]):
                hits_of[loose[e]] += 1
            if loose_squares is not None:
                for e in range(loose_start[n], loose_start[n + 1]):
                    energy[g, loose[e]] += loose_squares[e]
            for e in range(loose_start[n], edge_end[n]):
                extra_of[loose[e]] += 1
