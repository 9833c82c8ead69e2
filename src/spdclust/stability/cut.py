"""Cuts through the merge trees of an ensemble: by iteration, by number of groups, or automatic."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spdclust.core.errors import InputError
from spdclust.core.types import Float, Int
from spdclust.partitions.ensemble import NormalizedHistories

_ROUNDING = 1e-12
"""Differences of distances below this are rounding errors of the running sums."""

_LEAST_DROP = 0.01
"""Runs whose mean distance rises by at most this do not diverge; 1 is the distance by chance."""

_UNLIKE_LENGTHS = 1.2
"""Add a note if the longest run has more than this multiple of the merges of the shortest run."""


@dataclass(frozen=True)
class Cut:
    """One grouping of every run, and how it was chosen.

    Example:
        >>> Cut("iteration", np.array([3, 3]), np.array([5, 4]), 2.5).to_dict()
        {'name': 'iteration', 'merges': [3, 3], 'n_groups': [5, 4], 'mdl': 2.5, 'notes': []}

    Attributes:
        name: `iteration`, `n_groups`, `least_mdl` or `stability_drop`.
        merges: `(runs,)` the merge after which each run's grouping is taken.
        n_groups: `(runs,)` number of groups of each run's own components at the cut.
        mdl: mean over runs of the description length at the cut, bits per sample; NaN if histories lack it.
        notes: reasons to doubt the cut, one sentence each; may be empty.
    """

    name: str
    merges: Int[np.ndarray, " runs"]
    n_groups: Int[np.ndarray, " runs"]
    mdl: float
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers."""
        return {
            "name": self.name,
            "merges": self.merges.tolist(),
            "n_groups": self.n_groups.tolist(),
            "mdl": self.mdl if np.isfinite(self.mdl) else None,
            "notes": list(self.notes),
        }


def cut_at_iteration(normalized: NormalizedHistories, iteration: int, *, name: str = "iteration") -> Cut:
    """Cut every run at the same row of the normalised histories; negative counts from the end.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> cut_at_iteration(example_normalized(), 7).n_groups.tolist()  # 8 merges of 12 components
        [4, 4]

    Raises:
        InputError: there is no such iteration.
    """
    return _cut(normalized, name, normalized.first_merges + normalized.check_iteration(iteration))


def cut_at_n_groups(normalized: NormalizedHistories, n_groups: int) -> Cut:
    """Cut every run where it has `n_groups` groups of its own components.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> cut_at_n_groups(example_normalized(), 4).merges.tolist()  # 12 components, merges 0 to 7 done
        [7, 7]

    Raises:
        InputError: a run never has that many groups after a merge.
    """
    n_own = np.array([len(own) for own in normalized.own_components])
    n_merges = np.array([len(pairs) for pairs in normalized.selected_pairs])
    most, fewest = int(n_own.min()) - 1, int((n_own - n_merges).max())
    if not fewest <= n_groups <= most:
        raise InputError(
            "not every run has this number of groups after a merge",
            field="n_groups",
            found=n_groups,
            allowed=f"{fewest} to {most}" if fewest <= most else "none is common to all runs",
        )
    return _cut(normalized, "n_groups", n_own - n_groups - 1)


def cut_at_least_mdl(normalized: NormalizedHistories) -> Cut:
    """Cut at the row with the least description length, averaged over runs; the first one if tied.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> cut_at_least_mdl(example_normalized()).n_groups.tolist()  # the four concepts that are in it
        [4, 4]

    Adds a note if the minimum is at the first or last row, or if the runs differ greatly in length.

    Raises:
        InputError: the histories have no description length (some reference histories do not), or the
            activations are scalar, so that it is meaningless.
    """
    recorded = bool(np.isfinite(mean_mdl(normalized)).any())
    if recorded and _is_scalar(normalized):
        raise InputError(
            "description lengths of scalar activations are not meaningful",
            field="activation_threshold",
            found="null",
            allowed="a cut by iteration or n_groups, or the groups in groups.json",
        )
    if not recorded:
        raise InputError(
            "the histories have no description lengths",
            field="mdl_loss",
            allowed="a cut by iteration or n_groups",
        )
    curve = mean_mdl(normalized)
    row = int(np.nanargmin(curve))
    notes = []
    if row == normalized.n_iterations - 1 and row > 0:
        unlimited = any(config["iters"] is None for config in normalized.configs)
        remedy = "lower min_groups" if unlimited else "raise iters"
        notes.append(f"The description is still getting shorter at the last merge: {remedy}.")
    if row == 0:
        notes.append("No merge after the first shortens the description.")
    at = cut_at_iteration(normalized, row, name="least_mdl")
    return replace(at, notes=(*notes, *_notes_on_lengths(normalized)))


def has_description_length(normalized: NormalizedHistories) -> bool:
    """Return whether there are meaningful description lengths; scalar activations have none.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> has_description_length(example_normalized())
        True
    """
    return not _is_scalar(normalized) and bool(np.isfinite(mean_mdl(normalized)).any())


def _is_scalar(normalized: NormalizedHistories) -> bool:
    return any(config["activation_threshold"] is None for config in normalized.configs)


def _notes_on_lengths(normalized: NormalizedHistories) -> list[str]:
    n_merges = [len(pairs) for pairs in normalized.selected_pairs]
    low, high = min(n_merges), max(n_merges)
    if high <= _UNLIKE_LENGTHS * low:
        return []
    return [f"Runs have {low} to {high} merges; they are compared up to the end of the shortest."]


def cut_before_stability_drop(
    normalized: NormalizedHistories,
    mean_distance: Float[np.ndarray, " kept"],
    iterations: Int[np.ndarray, " kept"] | None = None,
) -> Cut:
    """Cut before stability drops, see `_stability_drop`; if it never does, cut at the last row with a note.

    `mean_distance` is the mean over run pairs of a chance-adjusted distance (`adjusted_rand_dist`) at
    `iterations`, by default all of them.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> apart = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.7, 0.9, 0.0])
        >>> cut_before_stability_drop(example_normalized(), apart).merges.tolist()
        [7, 7]

    Raises:
        InputError: the distances do not match the iterations.
    """
    iterations = np.arange(normalized.n_iterations) if iterations is None else iterations
    if len(iterations) != len(mean_distance):
        raise InputError(
            "one distance per iteration is needed",
            field="mean_distance",
            found=len(mean_distance),
            allowed=f"{len(iterations)} values",
        )
    before_drop = _stability_drop(mean_distance)
    if before_drop is None:
        row, notes = (
            int(iterations[-1]),
            ["No drop found: the runs do not part. The cut is at the last merge."],
        )
    else:
        row, notes = int(iterations[before_drop]), []
        if before_drop == 0:
            notes.append("The runs part from the first merge on.")
    at = cut_at_iteration(normalized, row, name="stability_drop")
    return replace(at, notes=(*notes, *_notes_on_lengths(normalized)))


def _stability_drop(mean_distance: Float[np.ndarray, " kept"]) -> int | None:
    """Return the row at the foot of the largest rise of the distance between runs; None if there is no rise.

    Runs usually differ at first, because the order in which a group's members merge is random. They agree
    best when those groups are complete, and then diverge again. The curve is smoothed by a running mean over
    a twentieth of the rows, so that a single outlier has no effect. The foot of the largest rise from one row
    to a later one is where runs begin to diverge. The result is the row of least distance within the window
    around that foot, the last one if tied. A curve that rises by a hundredth or less has no drop.
    """
    n = len(mean_distance)
    width = max(1, n // 20)
    starts = np.maximum(0, np.arange(n) - (width - 1) // 2)
    ends = np.minimum(n, np.arange(n) + width // 2 + 1)
    total = np.concatenate([[0.0], np.cumsum(mean_distance)])
    smooth = (total[ends] - total[starts]) / (ends - starts)
    rise = smooth - np.minimum.accumulate(smooth)
    top = int(np.argmax(rise))
    if rise[top] <= _LEAST_DROP:
        return None
    # the smooth curve finds the foot of the rise, the curve itself the exact row within that window
    foot = _last_least(smooth[: top + 1])
    start, end = starts[foot], min(int(ends[foot]), top + 1)
    return int(start) + _last_least(mean_distance[start:end])


def _last_least(values: np.ndarray) -> int:
    return int(np.flatnonzero(values <= values.min() + _ROUNDING)[-1])


def mean_mdl(normalized: NormalizedHistories) -> Float[np.ndarray, " iterations"]:
    """Return the description length in bits per sample, averaged over runs, at every row.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> curve = mean_mdl(example_normalized())
        >>> len(curve), int(curve.argmin())
        (11, 7)
    """
    rows = [
        mdl[first : first + normalized.n_iterations]
        for mdl, first in zip(normalized.mdl_loss, normalized.first_merges, strict=True)
    ]
    return np.asarray(np.mean(rows, axis=0))


def groups_at(normalized: NormalizedHistories, cut: Cut) -> Int[np.ndarray, "runs components"]:
    """Return the group of every component in every run at a cut; missing components are singletons.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> normalized = example_normalized()
        >>> groups_at(normalized, cut_at_n_groups(normalized, 4)).tolist()  # attn:0 … attn:5, mlp:0 … mlp:5
        [[0, 0, 1, 1, 2, 3, 0, 1, 2, 2, 3, 3], [0, 0, 1, 1, 2, 3, 0, 1, 2, 2, 3, 3]]

    Raises:
        InputError: the cut is not one of this ensemble.
    """
    if len(cut.merges) != normalized.n_runs:
        raise InputError(
            "the cut is of another ensemble",
            field="cut.merges",
            found=f"{len(cut.merges)} runs",
            allowed=f"{normalized.n_runs} runs",
        )
    return np.stack([normalized.groups_after(run, int(merge)) for run, merge in enumerate(cut.merges)])


def _cut(normalized: NormalizedHistories, name: str, merges: np.ndarray) -> Cut:
    n_own = np.array([len(own) for own in normalized.own_components])
    mdl = [float(loss[merge]) for loss, merge in zip(normalized.mdl_loss, merges, strict=True)]
    return Cut(name, merges.astype(np.int64), (n_own - merges - 1).astype(np.int64), float(np.mean(mdl)))
