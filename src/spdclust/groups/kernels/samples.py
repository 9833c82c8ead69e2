"""Active entries of a batch, and null samples with coactivation destroyed."""

import numpy as np

from spdclust.core.compiling import compiled


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
def transpose_rows(first, last, row_start, columns, values, place, rows, new_values):
    """Write the entries of rows `first` to `last` column by column, starting at `place`, which moves on."""
    for n in range(first, last):
        for e in range(row_start[n], row_start[n + 1]):
            at = place[columns[e]]
            place[columns[e]] += 1
            rows[at] = n
            if values is not None:
                new_values[at] = values[e]


@compiled
def count_active(row_start, rows, values, columns, threshold, new_start):
    """Write the start of each row after keeping only entries above a threshold in the kept columns; return
    how many of these entries are not 1.
    """
    n_other = 0
    for n in range(len(row_start) - 1):
        kept = 0
        for e in range(row_start[n], row_start[n + 1]):
            keep = values[e] > threshold and columns[rows[e]] >= 0
            kept += keep
            n_other += keep and values[e] != 1
        new_start[n + 1] = new_start[n] + kept
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


@compiled
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
            place = column_start[i]
            for sample in np.flatnonzero(drawn != i):
                samples[place] = sample
                place += 1


@compiled
def trade(order, row_start, rows, values, rng):
    """Trade components between neighbours in a random order of samples: one round of curveball.

    Every component keeps its number of samples and every sample its number of components; values move with
    their components.
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
        # `only` is sorted: walk it once and assign each entry to `a` with the probability that preserves the
        # number of entries of `a`
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
