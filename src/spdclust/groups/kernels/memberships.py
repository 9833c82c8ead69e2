"""Count the activity of components on the samples on which groups are active."""

import numpy as np

from spdclust.core.compiling import compiled


@compiled
def mark_samples(
    row_start, rows, squares, group_of, at_least, others, state, own_hits, alone_hits, alone_energy, edge,
    n_active, busy_start, busy, busy_active,
):  # fmt: skip
    """Find the groups of every sample, and the activity of each component relative to its own group.

    A group is active on a sample if at least `at_least` of its members are; with one member excluded, if at
    least `others` of the other members are. A component in no group has no own group that could be active.

    Writes, per entry, `state`: 0 if the component's own group is active without it, 1 if the group is
    inactive, 2 if it is active only because of the component. Writes, per sample, the groups with `others`
    active members to `busy[busy_start[n] : busy_start[n + 1]]`, and whether they are active. Adds, per
    component, to `own_hits` the samples on which it and its group are active, to `alone_hits` the entries of
    state 1 and 2, to `alone_energy` their squares, and to `edge` the entries of state 2. Adds to `n_active`,
    `(groups, 2)`, the samples with `at_least` and with `others` active members.
    """
    count = np.zeros(len(at_least) + 1, dtype=np.int32)
    n_busy = 0
    for n in range(len(row_start) - 1):
        for e in range(row_start[n], row_start[n + 1]):
            count[group_of[rows[e]]] += 1  # -1: the last element
        for e in range(row_start[n], row_start[n + 1]):
            i = rows[e]
            g = group_of[i]
            state[e] = 1
            if g >= 0:
                own_hits[i] += count[g] >= at_least[g]
                state[e] = 0 if count[g] > others[g] else (2 if count[g] == others[g] else 1)
                edge[i] += state[e] == 2
            if state[e] > 0:
                alone_hits[i] += 1
                alone_energy[i] += squares[e]
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
    first, last, sample_start, samples, row_start, rows, squares, state, group_of, busy_start, busy,
    hits, extra, energy, both,
):  # fmt: skip
    """Count the activity of components on samples of groups `first` to `last` where their own is inactive.

    Adds to `hits`, `(groups, components)`, the samples on which the group and the component are active but
    the component's own group is not; to `extra` those of them on which its own group is inactive only because
    the component itself is excluded; to `energy` the component's squares on the samples of `hits`; and to
    `both`, `(groups, groups)`, the samples on which the first group and `others` members of the second are
    active.
    """
    for g in range(first, last):
        for t in range(sample_start[g], sample_start[g + 1]):
            n = samples[t]
            for b in range(busy_start[n], busy_start[n + 1]):
                both[g, busy[b]] += 1
            for e in range(row_start[n], row_start[n + 1]):
                i = rows[e]
                if state[e] > 0 and group_of[i] != g:
                    hits[g, i] += 1
                    energy[g, i] += squares[e]
                    extra[g, i] += state[e] == 2
