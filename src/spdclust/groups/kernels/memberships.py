"""How components act on the samples on which groups are active."""

import numpy as np

from spdclust.core.compiling import compiled


@compiled
def mark_samples(
    row_start, rows, squares, group_of, at_least, others, state, own_hits, alone_hits, alone_energy, edge,
    n_active, busy_start, busy, busy_active,
):  # fmt: skip
    """Find the groups of every sample, and how each component is active with regard to its own group.

    A group is active on a sample when `at_least` of its members are; without a member, when `others` of the
    others are. A component of no group has no own group that could be active.

    Written: per entry `state`, 0 where the own group is active without the component, 1 where it is not, 2
        where
    it is not only because the component makes up the number; per sample its groups with `others` active
    members in `busy[busy_start[n] : busy_start[n + 1]]`, and whether they are active. Added to: per component
    `own_hits`, samples on which it and its group are active; `alone_hits`, entries of state 1 and 2, their
    squares in `alone_energy`, and `edge`, those of state 2; `n_active`, `(groups, 2)`, samples with
    `at_least` and with `others` active members.
    """
    count = np.zeros(len(at_least) + 1, dtype=np.int32)
    n_busy = 0
    for n in range(len(row_start) - 1):
        for e in range(row_start[n], row_start[n + 1]):
            count[group_of[rows[e]]] += 1  # -1: the last place
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
    """Write the samples on which each group is active from place `filled` on, which moves to their end."""
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
    """Count how components act on the samples of groups `first` to `last`, their own group being inactive.

    Added to: `hits`, `(groups, components)`, samples on which the group is active, the component too, its
    own group not; `extra`, those of them on which its own group is inactive only because the component itself
    is left out; `energy`, the component's squares on the samples of `hits`; `both`, `(groups, groups)`,
    samples on which the first is active, and `others` members of the second.
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
