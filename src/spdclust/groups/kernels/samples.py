"""Active entries of a batch, null samples with coactivation destroyed, samples on which groups are active."""

import numpy as np

from spdclust.core.compiling import compiled, inner
from spdclust.merge.kernels.machine import fetch, trailing_zeros

AHEAD = 6
"""Number of samples ahead of the current one for which entries are prefetched: they are far apart."""


@compiled
def count_columns(columns, values, counts, squares):
    """Add to every column its number of entries and the sum of their squares; no values: all are 1."""
    for e in range(len(columns)):
        counts[columns[e]] += 1
        squares[columns[e]] += 1.0 if values is None else np.float64(values[e]) * values[e]


@compiled
def count_rows(first, last, row_start, columns, counts):
    """Add the number of entries of rows `first` to `last` in every column to `counts`."""
    for e in range(row_start[first], row_start[last]):
        counts[columns[e]] += 1


@compiled
def transpose_rows(first, last, row_start, columns, values, position, rows, new_values):
    """Write the entries of rows `first` to `last` column by column, starting at `position`, which moves on;
    rows are counted from `first`.
    """
    for n in range(first, last):
        for e in range(row_start[n], row_start[n + 1]):
            at = position[columns[e]]
            position[columns[e]] += 1
            rows[at] = n - first
            if values is not None:
                new_values[at] = values[e]


@compiled
def count_active(row_start, rows, values, columns, threshold, new_start):
    """Write the start of each row after keeping only entries above a threshold in the kept columns; return
    how many of these entries are not 1.
    """
    n_other = 0
    for n in range(len(row_start) - 1):
        n_kept = 0
        for e in range(row_start[n], row_start[n + 1]):
            keep = values[e] > threshold and columns[rows[e]] >= 0
            n_kept += keep
            n_other += keep and values[e] != 1
        new_start[n + 1] = new_start[n] + n_kept
    return n_other


@compiled
def keep_active(row_start, rows, values, columns, threshold, new_rows, new_values):
    """Write the entries above a threshold in the kept columns, with the new column numbers; values only
    where there is space for them.
    """
    at = 0
    for e in range(row_start[0], row_start[-1]):
        if values[e] > threshold and columns[rows[e]] >= 0:
            new_rows[at] = columns[rows[e]]
            if len(new_values):
                new_values[at] = values[e]
            at += 1


@compiled(allocates=True)
def sort_rows(row_start, columns, values, n_columns):
    """Sort the columns of every row; values, if there are any, move with them.

    The columns of a row are marked in a bitmap, and the words that have a mark in a smaller one, so the work
    is proportional to the entries.
    """
    marked = np.zeros(n_columns // 64 + 1, dtype=np.uint64)
    words = np.zeros(n_columns // 4096 + 1, dtype=np.uint64)
    value_of = np.empty(n_columns if len(values) else 0, dtype=values.dtype)
    one, six, low = np.uint64(1), np.uint64(6), np.uint64(63)
    for n in range(len(row_start) - 1):
        for e in range(row_start[n], row_start[n + 1]):
            i = np.uint64(columns[e])
            word = i >> six
            marked[word] |= one << (i & low)
            words[word >> six] |= one << (word & low)
            if len(values):
                value_of[i] = values[e]
        e = row_start[n]
        for block in range(len(words)):
            while words[block]:
                word = (np.uint64(block) << six) + np.uint64(trailing_zeros(words[block]))
                words[block] &= words[block] - one
                while marked[word]:
                    i = (word << six) + np.uint64(trailing_zeros(marked[word]))
                    marked[word] &= marked[word] - one
                    columns[e] = i
                    if len(values):
                        values[e] = value_of[i]
                    e += 1


@compiled(allocates=True)
def scatter(column_start, samples, n_samples, rng):
    """Move every component's activations to distinct, uniformly drawn samples; the output is unsorted."""
    drawn = np.full(n_samples, -1, dtype=np.int64)
    for i in range(len(column_start) - 1):
        n = column_start[i + 1] - column_start[i]
        # draw the samples to use or those to exclude, whichever are fewer
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
            position = column_start[i]
            for sample in np.flatnonzero(drawn != i):
                samples[position] = sample
                position += 1


@inner
def _copy_entry(columns, values, e, to_columns, to_values, at):
    to_columns[at] = columns[e]
    if len(values) > 0:
        to_values[at] = values[e]


@compiled(allocates=True)
def trade(order, row_start, rows, values, n_columns, rng):
    """Trade components between neighbours in a random order of samples: one round of curveball.

    Every component keeps its number of samples and every sample its number of components; values, if there
    are any, move with their components. The components of a sample are not in order afterwards.
    """
    longest = 0
    for n in range(len(row_start) - 1):
        longest = max(longest, row_start[n + 1] - row_start[n])
    marked = np.zeros(n_columns, dtype=np.uint8)
    only = np.empty(2 * longest, rows.dtype)
    only_value = np.empty(2 * longest if len(values) > 0 else 0, values.dtype)
    for t in range(0, len(order) - 1, 2):
        a, b = row_start[order[t]], row_start[order[t + 1]]
        end_a, end_b = row_start[order[t] + 1], row_start[order[t + 1] + 1]
        # components of both samples stay, at the front of each; all others are collected
        for e in range(a, end_a):
            marked[rows[e]] = 1
        x, y, n_only = a, b, np.int64(0)  # a literal 0 would be a type of its own
        for e in range(b, end_b):
            if marked[rows[e]]:
                marked[rows[e]] = 2
                _copy_entry(rows, values, e, rows, values, y)
                y += 1
            else:
                _copy_entry(rows, values, e, only, only_value, n_only)
                n_only += 1
        for e in range(a, end_a):
            i = rows[e]
            if marked[i] == 2:
                _copy_entry(rows, values, e, rows, values, x)
                x += 1
            else:
                _copy_entry(rows, values, e, only, only_value, n_only)
                n_only += 1
            marked[i] = 0
        # every subset of the right size is equally likely to go to `a`; without a branch, because a branch on
        # a random number is predicted wrongly half of the time
        left_for_a = end_a - x
        for o in range(n_only):
            to_a = rng.random() * (n_only - o) < left_for_a
            _copy_entry(only, only_value, o, rows, values, x if to_a else y)
            x += to_a
            y += not to_a
            left_for_a -= to_a


@compiled(allocates=True)
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


@compiled(allocates=True)
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
    # a group's counts are collected in arrays that stay in the processor's caches, unlike those of all groups
    n_components = hits.shape[1]
    hits_of, extra_of = np.zeros(n_components, dtype=np.uint32), np.zeros(n_components, dtype=np.uint32)
    energy_of = np.zeros(n_components if loose_squares is not None else 0)
    for g in range(first, last):
        if sample_start[g] == sample_start[g + 1]:
            continue
        both_of = both[g]
        for t in range(sample_start[g], sample_start[g + 1]):
            if t + 2 * AHEAD < sample_start[g + 1]:
                far = np.int64(samples[t + 2 * AHEAD])
                fetch(loose_start, far)
                fetch(edge_end, far)
                fetch(busy_start, far)
            if t + AHEAD < sample_start[g + 1]:
                entry, busy_entry = loose_start[samples[t + AHEAD]], busy_start[samples[t + AHEAD]]
                for line in range(2):
                    fetch(loose, entry + line * (64 // loose.itemsize))
                    fetch(busy, busy_entry + line * (64 // busy.itemsize))
                    if loose_squares is not None:
                        fetch(loose_squares, entry + line * (64 // loose_squares.itemsize))
            n = samples[t]
            for b in range(busy_start[n], busy_start[n + 1]):
                both_of[busy[b]] += 1
            for e in range(loose_start[n], loose_start[n + 1]):
                hits_of[loose[e]] += np.uint32(1)
            if loose_squares is not None:
                for e in range(loose_start[n], loose_start[n + 1]):
                    energy_of[loose[e]] += loose_squares[e]
            for e in range(loose_start[n], edge_end[n]):
                extra_of[loose[e]] += np.uint32(1)
        for i in range(n_components):
            hits[g, i] += np.int32(hits_of[i])
            extra[g, i] += np.int32(extra_of[i])
            hits_of[i], extra_of[i] = 0, 0
        if loose_squares is not None:
            for i in range(n_components):
                energy[g, i] += energy_of[i]
                energy_of[i] = 0
