"""The found groups on the page: their evidence, and what independent components would give."""

import math
from itertools import pairwise

import numpy as np

from spdclust.core.errors import InputError
from spdclust.core.types import Float, Int
from spdclust.explorer.collecting import PageData
from spdclust.explorer.page import narrow
from spdclust.files.groups import json_types
from spdclust.groups.found import FoundGroups, group_name


def add_found(data: PageData, found: FoundGroups) -> None:
    """Add the found groups, in the page's numbering of components; groups keep their numbers.

    Example:
        >>> from spdclust.groups.found import SharedMembers
        >>> none = np.array([], dtype=np.int64)
        >>> found = FoundGroups(
        ...     labels=["c", "a", "b"], group_idxs=np.array([1, 0, 0]), n_groups=1,
        ...     columns={"bits_saved": np.array([0.5])}, bits_saved_runs=np.array([[0.4, 0.6]]), bits={},
        ...     null_groups=np.array([0, 1]), null_groups_busy=np.array([1, 1]),
        ...     shared=SharedMembers(none, none, np.array([]), np.array([])),
        ... )
        >>> data = PageData({"labels": ["a", "b", "c"], "runs": [{}, {}]})
        >>> add_found(data, found)
        >>> data.arrays["found.group"].tolist(), data.arrays["found.bits_saved"].tolist()
        ([0, 0, -1], [0.5])
        >>> data.header["found"]["expected_false"], data.header["found"]["null_groups"]
        (0.5, [0, 1])

    Raises:
        InputError: the groups hold a component that no run has, or are of another number of runs.
    """
    number = {label: component for component, label in enumerate(data.header["labels"])}
    unknown = next((label for label in found.labels if label not in number), None)
    if unknown is not None:
        raise InputError(
            "groups of another ensemble",
            field="members",
            found=unknown,
            allowed="a component of the histories",
        )
    n_runs = found.settings.get("n_runs", len(data.header["runs"]))
    if n_runs != len(data.header["runs"]):
        raise InputError(
            "groups of another ensemble", field="n_runs", found=n_runs, allowed=str(len(data.header["runs"]))
        )
    columns = np.array([number[label] for label in found.labels], dtype=np.int64)
    group = np.full(len(number), -1, dtype=np.int32)
    group[columns] = np.where(found.group_idxs < found.n_groups, found.group_idxs, -1)
    data.header["found"] = json_types(
        {
            "n_groups": found.n_groups,
            "names": [group_name(found.members(group)) for group in range(found.n_groups)],
            "expected_false": found.expected_false,
            "null_groups": found.null_groups.tolist(),
            "null_groups_busy": found.null_groups_busy.tolist(),
            "bits": found.bits,
            "cohesion": found.cohesion,
            "settings": found.settings,
            "warnings": found.warnings,
        }
    )
    data.arrays["found.group"] = group
    for name, values in found.columns.items():
        data.arrays[f"found.{name}"] = np.asarray(values, dtype=np.float64)
    data.arrays["found.runs"] = np.asarray(found.bits_saved_runs, dtype=np.float64)
    data.arrays["found.shared.component"] = narrow(columns[found.shared.component])
    data.arrays["found.shared.group"] = narrow(found.shared.group)
    data.arrays["found.shared.bits"] = np.asarray(found.shared.bits, dtype=np.float64)
    data.arrays["found.shared.share"] = np.asarray(found.shared.share, dtype=np.float64)


def found_members(data: PageData, *, with_shared: bool = False) -> list[Int[np.ndarray, "_"]]:
    """Return the components of each found group, in the page's numbering; none where no groups were added.

    Example:
        >>> data = PageData({"found": {"n_groups": 2}}, {
        ...     "found.group": np.array([0, 0, 1, 1]),
        ...     "found.shared.component": np.array([2]), "found.shared.group": np.array([0]),
        ... })
        >>> [members.tolist() for members in found_members(data)]
        [[0, 1], [2, 3]]
        >>> [members.tolist() for members in found_members(data, with_shared=True)]
        [[0, 1, 2], [2, 3]]
    """
    if "found" not in data.header:
        return []
    arrays = data.arrays
    group = arrays["found.group"]
    order = np.argsort(group, kind="stable")  # components in no group come first
    starts = np.searchsorted(group[order], np.arange(data.header["found"]["n_groups"] + 1))
    members = [order[start:end] for start, end in pairwise(starts.tolist())]
    if not with_shared:
        return members
    component, second = (arrays[f"found.shared.{name}"].astype(np.int64) for name in ("component", "group"))
    return [np.union1d(own, component[second == number]) for number, own in enumerate(members)]


def add_independent(data: PageData, rates: Float[np.ndarray, " components"], n_samples: int) -> None:
    """Add the activity and cohesion that each found group would have if its members were independent.

    Example:
        >>> data = PageData({"found": {"n_groups": 1}}, {
        ...     "found.group": np.array([0, 0, -1]), "found.active_members": np.array([2.0])
        ... })
        >>> add_independent(data, np.array([0.5, 0.5, 0.1]), 1000)
        >>> data.arrays["found.activity_independent"].tolist()
        [0.25]
        >>> data.arrays["found.cohesion_independent"].round(3).tolist()
        [0.333]
    """
    members = found_members(data)
    least = data.arrays["found.active_members"]
    data.header["found"]["n_samples_independent"] = n_samples
    data.arrays["found.activity_independent"] = np.array(
        [
            _independent_activity(rates[own], int(at_least)) if math.isfinite(at_least) else math.nan
            for own, at_least in zip(members, least, strict=True)
        ],
        dtype=np.float64,
    )
    data.arrays["found.cohesion_independent"] = np.array(
        [_independent_cohesion(rates[own]) for own in members], dtype=np.float64
    )


def _independent_activity(rates: Float[np.ndarray, " members"], active_members: int) -> float:
    """Return the probability that at least `active_members` of some independent components are active."""
    below = np.zeros(active_members)  # probability of 0, 1, ... active components so far, fewer than needed
    below[0] = 1.0
    enough = 0.0  # summed up directly: 1 - below.sum() would lose small probabilities
    for rate in rates:
        enough += below[-1] * rate
        below[1:] = below[1:] * (1 - rate) + below[:-1] * rate
        below[0] *= 1 - rate
    return float(enough)


def _independent_cohesion(rates: Float[np.ndarray, " members"]) -> float:
    """Return the mean Jaccard similarity that pairs of independent components would have."""
    total, n_pairs = 0.0, len(rates) * (len(rates) - 1) // 2
    for number, rate in enumerate(rates[:-1]):
        both = rate * rates[number + 1 :]
        either = rate + rates[number + 1 :] - both
        total += float(np.divide(both, either, out=np.zeros_like(both), where=either > 0).sum())
    return total / n_pairs if n_pairs else math.nan
