"""Components that belong to a group outside their own node of the tree: joining and shared members.

A component qualifies for a group if, on the group's events, it is active at least half as often as the
members; if coding it given the group saves bits, beyond chance; and if its activity and the group's overlap
as much as the tree requires of the parts of a node. A component in no group joins the group with the largest
saving. A member of another group is examined only where that group, the component itself excluded, is
inactive; if it still qualifies, it is shared with a second group. It can then be listed there instead, if
that makes the second group complete.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from spdclust.core.threads import even_parts, one_ahead, run_parts
from spdclust.core.types import Float, Int
from spdclust.groups.evidence import FALSE_ALARM, log_evidence
from spdclust.groups.kernels import samples as kernels
from spdclust.groups.samples import Entries, Folds
from spdclust.groups.similarity import MIN_SIMILARITY

MIN_RELATIVE_RATE = 0.5
"""Least frequency of a joining or shared component on the group's events, relative to the members."""

FULL_RELATIVE_RATE = 0.75
"""The same of a shared component that can be listed in the group; it then hardly differs from the members."""

_CHUNK = 8_000_000


@dataclass(frozen=True, eq=False)
class Memberships:
    """Components that are active with a group outside their own node, one row each.

    Attributes:
        group: the group that it is active with.
        bits: `(rows, folds)` bits saved by coding it given the group, over all samples of the fold.
        share: share of the group's events (while its own group is inactive) on which it is active.
        relative: the same, divided by the mean share of the group's members.
    """

    component: Int[np.ndarray, " rows"]
    group: Int[np.ndarray, " rows"]
    bits: Float[np.ndarray, "rows folds"]
    share: Float[np.ndarray, " rows"]
    relative: Float[np.ndarray, " rows"]

    def rows(self, mask: np.ndarray) -> "Memberships":
        """Return the selected rows."""
        columns = (self.component, self.group, self.bits, self.share, self.relative)
        return Memberships(*(column[mask] for column in columns))


def find_memberships(
    folds: Folds,
    groups: list[Int[np.ndarray, "_"]],
    at_least: Int[np.ndarray, " groups"],
    threads: int,
    false_alarm: float = FALSE_ALARM,
) -> Memberships:
    """Return the components that are active with a group like its members, for every group but their own.

    A group is active if `at_least` of its members are, the gate of its code. `false_alarm` is the rate of
    ensembles with any row due to chance. The result does not depend on `threads`.

    Example:
        >>> from spdclust.groups.samples import fold_samples
        >>> from spdclust.merge.activations import ProcessedActivations
        >>> together = np.arange(400) % 20 == 0
        >>> acts = ProcessedActivations.from_dense(np.stack([together] * 3, 1), ["m:0", "m:1", "m:2"])
        >>> folds = fold_samples([acts, acts], acts.labels, [acts.labels] * 2, 0.1)
        >>> found = find_memberships(folds, [np.array([0, 1])], at_least=np.array([1]), threads=1)
        >>> found.component.tolist(), found.group.tolist(), found.share.tolist()
        ([2], [0], [1.0])
    """
    n_groups, n_components = len(groups), len(folds.labels)
    nothing = np.empty(0, dtype=np.int64)
    if n_groups == 0:
        return Memberships(nothing, nothing, np.empty((0, folds.n_folds)), np.empty(0), np.empty(0))
    group_of = np.full(n_components, -1, dtype=np.int64)
    for group, members in enumerate(groups):
        group_of[members] = group
    sizes = np.array([len(members) for members in groups])
    events = _count_events(folds, group_of, sizes, at_least, threads)

    # squares scaled to a mean of 1 over the component's active samples, as in the similarity
    squares, counts = folds.squares.sum(0), folds.counts.sum(0)
    usual = np.divide(squares, counts, out=np.ones(n_components), where=counts > 0)
    alone = events.alone_energy / usual
    rows: list[tuple[int, int, np.ndarray, float, float]] = []
    # every pair of a group and a component is a test (Bonferroni)
    limit = np.log2(n_groups * n_components / false_alarm)
    for group, members in enumerate(groups):
        together = (events.hits[:, group].sum(0) if events.energy is None else events.energy[group]) / usual
        # most components overlap too little, whatever the number of events that count for them
        least = MIN_SIMILARITY * np.maximum(alone - together, 1)
        near = np.flatnonzero((together >= least) & (group_of != group))
        together, hits = together[near], events.hits[:, group, near]
        trials = events.trials(group, near, group_of)
        n_trials, n_hits = trials.sum(0), hits.sum(0)
        share = np.divide(n_hits, n_trials, out=np.zeros(len(near)), where=n_trials > 0)
        own_share = events.own_hits[members].mean() / max(int(events.opened[:, group].sum()), 1)
        alike = together >= MIN_SIMILARITY * np.maximum(alone[near] + n_trials - together, 1)
        passes = (share >= MIN_RELATIVE_RATE * own_share) & alike
        tested, share = near[passes], share[passes]
        bits = _saved(hits[:, passes], trials[:, passes], events.alone[:, tested], events.inactive[:, tested])
        rows += [
            (int(tested[n]), group, bits[:, n], float(share[n]), float(share[n] / own_share))
            for n in np.flatnonzero((bits.sum(0) > 0) & (log_evidence(bits.T) >= limit))
        ]
    rows.sort(key=lambda row: (-row[2].sum(), row[0], row[1]))
    return Memberships(
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.int64),
        np.array([row[2] for row in rows]).reshape(len(rows), folds.n_folds),
        np.array([row[3] for row in rows], dtype=np.float64),
        np.array([row[4] for row in rows], dtype=np.float64),
    )


def complete_groups(groups: list[Int[np.ndarray, "_"]], shared: Memberships) -> list[Int[np.ndarray, "_"]]:
    """Return the groups with members of several groups listed so that many groups are complete.

    A group is complete if it lists its full members: its own, and the shared ones that are active on its
    events nearly as often (`FULL_RELATIVE_RATE`). Groups are completed one after another, in the order of the
    square root of their size divided by the sum of square roots of the groups with which they share full
    members, as these can then no longer be complete. A group is not completed if a complete group lists one
    of its full members, or if another group would keep fewer than two members.

    Example:
        >>> groups = [np.array([0, 1, 2]), np.array([3, 4, 5])]
        >>> row = (np.array([2]), np.array([1]), np.ones((1, 1)), np.array([0.8]), np.array([0.9]))
        >>> [group.tolist() for group in complete_groups(groups, Memberships(*row))]
        [[0, 1], [2, 3, 4, 5]]

    Args:
        groups: disjoint groups.
        shared: components of a group that are shared with another one.
    """
    members = [set(group.tolist()) for group in groups]
    listed = {component: group for group, own in enumerate(members) for component in own}
    groups_of = {component: {group} for component, group in listed.items()}
    full = shared.relative >= FULL_RELATIVE_RATE
    for component, group in zip(shared.component[full].tolist(), shared.group[full].tolist(), strict=True):
        members[group].add(component)
        groups_of[component].add(group)
    value = [math.sqrt(len(each)) for each in members]
    order: list[tuple[float, int, int]] = []
    for group, each in enumerate(members):
        others = set().union(*(groups_of[component] for component in each)) - {group}
        if others:
            # ties by the first own member: the result must not depend on the order of groups
            first = int(groups[group].min())
            order.append((-value[group] / math.fsum(value[other] for other in others), first, group))
    size = Counter(listed.values())
    complete: set[int] = set()
    for _, _, group in sorted(order):
        moved = Counter(listed[component] for component in members[group])
        del moved[group]
        if complete.isdisjoint(members[group]) and all(size[other] - n >= 2 for other, n in moved.items()):
            complete |= members[group]
            listed |= dict.fromkeys(members[group], group)
            size.subtract(moved)  # in place: there may be many groups
            size[group] = len(members[group])
    kept: list[list[int]] = [[] for _ in groups]
    for component, group in sorted(listed.items()):
        kept[group].append(component)
    return [np.array(each, dtype=np.int64) for each in kept]


@dataclass(frozen=True, eq=False)
class _Events:
    """How often components are active on the events of groups, the samples on which a group's gate is open.

    A member of a group counts for another group only on samples on which its own group, the component itself
    excluded, is inactive.
    """

    hits: Int[np.ndarray, "folds groups components"]
    """Events of the group on which the component is active."""
    opened: Int[np.ndarray, "folds groups"]
    """All events of the group."""
    closed: Int[np.ndarray, "folds groups groups"]
    """Events of the first group on which the second is inactive."""
    extra: Int[np.ndarray, "folds groups components"]
    """Events of the group on which the component's own group is active only because of the component."""
    inactive: Int[np.ndarray, "folds components"]
    """Samples that count for the component."""
    alone: Int[np.ndarray, "folds components"]
    """Of these, those on which it is active."""
    own_hits: Int[np.ndarray, " components"]
    """Events of its own group on which the component is active."""
    energy: Float[np.ndarray, "groups components"] | None
    """Sum of squared activations over `hits`; None if all activations are 1, as then it is the same."""
    alone_energy: Float[np.ndarray, " components"]
    """Sum of squared activations over `alone`."""

    def trials(
        self, group: int, components: Int[np.ndarray, " some"], group_of: Int[np.ndarray, " components"]
    ) -> Int[np.ndarray, "folds some"]:
        """Return the events of one group that count for some components."""
        own = group_of[components]
        without_own = self.closed[:, group, own]
        trials: np.ndarray = np.where(own >= 0, without_own, self.opened[:, group, None])
        trials += self.extra[:, group, components]
        return trials


def _count_events(
    folds: Folds,
    group_of: Int[np.ndarray, " components"],
    sizes: Int[np.ndarray, " groups"],
    at_least: Int[np.ndarray, " groups"],
    threads: int,
) -> _Events:
    n_groups, n_components = len(sizes), len(group_of)
    others = np.minimum(at_least, sizes - 1)  # members that must be active for a member itself excluded
    hits = np.zeros((folds.n_folds, n_groups, n_components), dtype=np.int32)
    extra = np.zeros(hits.shape, dtype=np.int32)  # `zeros_like` would write all of it
    energy: np.ndarray | None = None  # allocated only if some activation is not 1
    opened = np.zeros((folds.n_folds, n_groups), dtype=np.int64)
    closed = np.zeros((folds.n_folds, n_groups, n_groups), dtype=np.int64)
    inactive = np.zeros((folds.n_folds, n_components), dtype=np.int64)
    alone = np.zeros((folds.n_folds, n_components), dtype=np.int64)
    own_hits, alone_energy = np.zeros(n_components, dtype=np.int64), np.zeros(n_components)
    in_group = group_of >= 0
    for fold in range(folds.n_folds):
        both = np.zeros((n_groups, n_groups), dtype=np.int64)
        edge = np.zeros(n_components, dtype=np.int64)
        n_active = np.zeros((n_groups, 2), dtype=np.int64)
        per_component = (own_hits, alone[fold], alone_energy, edge)
        chunks = (
            _mark_samples(chunk, group_of, at_least, others, per_component)
            for piece in folds.pieces(fold)
            for chunk in _chunks(piece)
        )
        # marking the samples of a chunk takes one thread, while those of the chunk before are counted
        for marked in one_ahead(chunks, threads):
            if energy is None and marked.squares is not None:
                energy = hits.sum(0, dtype=np.float64) if opened.any() else np.zeros(hits.shape[1:])
            if energy is not None and marked.squares is None:
                marked = marked._replace(squares=np.ones(len(marked.loose)))
            counted = (hits[fold], extra[fold], np.empty((0, 0)) if energy is None else energy, both)

            def count(
                first: int, last: int, marked: _Marked = marked, counted: tuple[Any, ...] = counted
            ) -> None:
                kernels.count_with_groups(first, last, *marked[1:], *counted)

            run_parts(count, even_parts(marked.n_active[:, 0] + 1, 8 * threads), threads)
            n_active += marked.n_active
            opened[fold] += marked.n_active[:, 0]
            del count, marked  # before the next chunk needs as much
        closed[fold] = opened[fold][:, None] - both
        inactive[fold] = folds.n_samples[fold] - np.where(in_group, n_active[group_of, 1], 0) + edge
    return _Events(hits, opened, closed, extra, inactive, alone, own_hits, energy, alone_energy)


class _Marked(NamedTuple):
    """A chunk of samples with their groups: how many are active, then what `count_with_groups` takes."""

    n_active: Int[np.ndarray, "groups 2"]
    sample_start: Int[np.ndarray, " groups_and_end"]
    samples: np.ndarray
    loose_start: np.ndarray
    edge_end: np.ndarray
    loose: np.ndarray
    squares: np.ndarray | None
    """None if all values are 1."""
    busy_start: np.ndarray
    busy: np.ndarray


def _mark_samples(
    chunk: Entries,
    group_of: Int[np.ndarray, " components"],
    at_least: Int[np.ndarray, " groups"],
    others: Int[np.ndarray, " groups"],
    per_component: tuple[np.ndarray, ...],
) -> _Marked:
    """Find the groups of every sample, and add to what `mark_samples` counts of every component."""
    n_entries, n_here = len(chunk.columns), chunk.n_rows
    loose = np.empty(n_entries, chunk.columns.dtype)
    squares = None if chunk.values is None else np.empty(n_entries)
    loose_start, edge_end = np.zeros(n_here + 1, dtype=np.int64), np.zeros(n_here, dtype=np.int64)
    busy_start = np.zeros(n_here + 1, dtype=np.int64)
    busy, busy_active = np.empty(n_entries, dtype=np.int32), np.empty(n_entries, dtype=np.bool_)
    n_active = np.zeros((len(at_least), 2), dtype=np.int64)
    kernels.mark_samples(
        chunk.start, chunk.columns, chunk.values, group_of, at_least, others,
        loose_start, loose, squares, edge_end, *per_component,
        n_active, busy_start, busy, busy_active,
    )  # fmt: skip
    sample_start = np.concatenate([[0], np.cumsum(n_active[:, 0])])
    samples = np.empty(sample_start[-1], dtype=np.int32)
    kernels.samples_of_groups(busy_start, busy, busy_active, sample_start[:-1].copy(), samples)
    return _Marked(n_active, sample_start, samples, loose_start, edge_end, loose, squares, busy_start, busy)


def _chunks(piece: Entries) -> Iterator[Entries]:
    """Yield consecutive samples, at most `_CHUNK` entries if possible.

    What is stored per entry while samples are counted stays small, and close to the processor.
    """
    first = 0
    while first < piece.n_rows:
        room = piece.start[first] + _CHUNK
        last = max(first + 1, int(np.searchsorted(piece.start, room, side="right")) - 1)
        yield piece.between(first, last)
        first = last


def _saved(
    hits: np.ndarray, trials: np.ndarray, alone: np.ndarray, inactive: np.ndarray
) -> Float[np.ndarray, "folds candidates"]:
    """Return the bits saved by coding components given a group, at the rates of the other folds.

    On the `inactive` samples the component's own group is not active; the component is active on `alone` of
    them. On `trials` of them the other group is active; the component is active on `hits` of these.
    """

    def length(n: np.ndarray, of: np.ndarray) -> np.ndarray:
        rate = (n.sum(0) - n + 0.5) / (of.sum(0) - of + 1)
        bits: np.ndarray = -(n * np.log2(rate) + (of - n) * np.log2(1 - rate))
        return bits

    saved: np.ndarray = (
        length(alone, inactive) - length(hits, trials) - length(alone - hits, inactive - trials)
    )
    return saved
