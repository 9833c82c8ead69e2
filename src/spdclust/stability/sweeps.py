"""Comparison of the points of a sweep: groups, description lengths and distances, also as flat tables."""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spdclust.core.errors import InputError
from spdclust.core.types import Float, Int, Labels
from spdclust.groups.found import FoundGroups
from spdclust.partitions.distances import distance_matrices
from spdclust.partitions.normalized import NormalizedHistories
from spdclust.stability.coclustering import coclustering
from spdclust.stability.cut import Cut, cut_at_iteration, cut_at_least_mdl, groups_at

_MODULES = "merge_config.module_name_filter"

SWEEP_METHODS = ("adjusted_rand_dist", "variation_of_information")
"""Distances between points: adjusted for chance, and a metric in bits. Neither needs a matching."""


@dataclass(frozen=True)
class SweepPoint:
    """One point of a sweep: an ensemble, cut at its shortest mean description.

    Scalar activations have no shortest description; there the cut is before stability drops.

    Attributes:
        name: name of the point in tables and figures.
        values: the swept settings and their values there.
        labels: its components.
        groups: `(runs, components)` group of every component in every run at the cut.
        consensus: `(components,)` consensus group of every component there.
        stability: the record of its stability analysis, see `stability_record`.
        found: the groups found at the point, with their evidence; None if unknown.
    """

    name: str
    values: Mapping[str, Any]
    labels: Labels
    cut: Cut
    groups: Int[np.ndarray, "runs components"]
    consensus: Int[np.ndarray, " components"]
    stability: Mapping[str, Any]
    found: FoundGroups | None = None


def sweep_point(
    name: str,
    values: Mapping[str, Any],
    normalized: NormalizedHistories,
    stability: Mapping[str, Any],
    found: FoundGroups | None = None,
) -> SweepPoint:
    """Cut an ensemble where its mean description is shortest; of scalar activations, before stability drops.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> point = sweep_point("alpha~1", {"alpha": 1}, example_normalized(), {})
        >>> point.cut.n_groups.tolist(), point.consensus.tolist()
        ([4, 4], [0, 0, 1, 1, 2, 3, 0, 1, 2, 2, 3, 3])

    Raises:
        InputError: fewer than two runs, or histories without description length.
    """
    if any(config["activation_threshold"] is None for config in normalized.configs):
        iteration = stability["cuts"]["stability_drop"]["iteration"]
        cut = cut_at_iteration(normalized, iteration, name="stability_drop")
    else:
        cut = cut_at_least_mdl(normalized)
    groups = groups_at(normalized, cut)
    consensus = coclustering(groups).consensus.group_idxs
    return SweepPoint(name, values, normalized.labels, cut, groups, consensus, stability, found)


def compare_points(points: Sequence[SweepPoint]) -> dict[str, Any]:
    """Return the comparison of the points of a sweep, as plain JSON types.

    A component that is missing from a point (dead or filtered out) is a singleton group there.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> from spdclust.stability.analysis import analyze_stability
        >>> from spdclust.stability.summary import stability_record
        >>> normalized = example_normalized()
        >>> record = stability_record(normalized, analyze_stability(normalized))
        >>> points = [sweep_point(f"alpha~{alpha}", {"alpha": alpha}, normalized, record) for alpha in (1, 2)]
        >>> compare_points(points)["distances"]["adjusted_rand_dist"]["consensus"]  # they find the same
        [[0.0, 0.0], [0.0, 0.0]]

    Returns:
        `swept`: the swept settings. `points`: one flat record each. `distances`: for each
        method three `(points, points)` matrices: `runs`, the mean over a run of one point and a run of the
        other (on the diagonal: two different runs of the point); `same_sample`, the mean over runs of equal
        number, which merge the same activations (None where points differ in runs); `consensus`, between the
        consensus groupings.

    Raises:
        InputError: no point, points that sweep different settings, or two points without a common component
            although their modules were not swept.
    """
    if not points:
        raise InputError("no points to compare", field="points", allowed="one or more ensembles")
    swept = list(points[0].values)
    for point in points:
        if set(point.values) != set(swept):
            raise InputError(
                "points of different sweeps",
                field=point.name,
                found=", ".join(point.values) or "nothing swept",
                allowed=", ".join(swept) or "nothing swept",
            )
    if _MODULES not in swept:  # where each point has other modules, only distances need common components
        _check_common(points)
    labels = sorted({label for point in points for label in point.labels})
    number = {label: component for component, label in enumerate(labels)}
    runs, consensus, starts = [], [], [0]
    for point in points:
        own = np.array([number[label] for label in point.labels], dtype=np.int64)
        runs.append(_over_union(point.groups, own, len(labels)))
        consensus.append(_over_union(point.consensus[None], own, len(labels)))
        starts.append(starts[-1] + len(point.groups))
    between_runs = distance_matrices(np.concatenate(runs), SWEEP_METHODS)
    between_consensus = distance_matrices(np.concatenate(consensus), SWEEP_METHODS)
    blocks = [slice(start, end) for start, end in itertools.pairwise(starts)]
    distances = {
        method: {
            "runs": _block_means(between_runs[method], blocks).tolist(),
            "same_sample": _same_sample(between_runs[method], blocks),
            "consensus": between_consensus[method].tolist(),
        }
        for method in SWEEP_METHODS
    }
    rows: list[dict[str, Any]] = []
    for point, block in zip(points, blocks, strict=True):
        equal = between_runs[SWEEP_METHODS[-1]][block, block] == 0
        repeats = (equal & np.tri(len(equal), k=-1, dtype=bool)).any(axis=1)
        within = {method: distances[method]["runs"][len(rows)][len(rows)] for method in SWEEP_METHODS}
        rows.append(_point_row(point, n_distinct=int((~repeats).sum()), within=within))
    return {"swept": swept, "n_components": len(labels), "points": rows, "distances": distances}


def _check_common(points: Sequence[SweepPoint]) -> None:
    for first, second in itertools.combinations(points, 2):
        if set(first.labels).isdisjoint(second.labels):
            raise InputError(
                "no component in common",
                field="labels",
                found=f"{first.labels[0]}, … in {first.name}, {second.labels[0]}, … in {second.name}",
                allowed="ensembles of one model, with the same labels",
            )


def _point_row(point: SweepPoint, *, n_distinct: int, within: Mapping[str, float]) -> dict[str, Any]:
    """Return the numbers of one point, at its cut; and of the groups that hold, which need no cut."""
    at = point.stability["cuts"][point.cut.name]
    n_groups = point.cut.n_groups.tolist()
    return {
        "name": point.name,
        "values": dict(point.values),
        "n_runs": len(point.groups),
        "n_components": len(point.labels),
        "cut": point.cut.name,
        "iteration": at["iteration"],
        "mdl": point.cut.mdl if point.cut.name == "least_mdl" else None,
        "n_groups_mean": float(np.mean(n_groups)),
        "n_groups_min": min(n_groups),
        "n_groups_max": max(n_groups),
        "n_distinct": n_distinct,
        "n_consensus_groups": at["n_consensus_groups"],
        "mean_support": at["mean_support"],
        "null_mean_support": at["null"]["mean_support"],
        "n_contested_components": at["n_contested_components"],
        "last_agreement": point.stability["last_agreement"],
        **{f"within.{method}": value for method, value in within.items()},
        **_evidence(point.found),
    }


BITS = ("alone", "answer", "formed_by_most", "least_mdl")
"""Whose held-out bits per sample the points of a sweep are compared by, as in `FoundGroups.bits`."""


def _evidence(found: FoundGroups | None) -> dict[str, Any]:
    """Return the groups found at a point and the bits that describe its held-out samples."""
    bits = {} if found is None else found.bits
    known = found is not None and len(found.null_groups) > 0
    return {
        "n_groups_found": None if found is None else found.n_groups,
        "expected_false": found.expected_false if found is not None and known else None,
        "coded_above": None if found is None else found.settings.get("activation_threshold"),
        **{f"bits_{name}": bits.get(name) for name in BITS},
    }


def _over_union(groups: np.ndarray, own: np.ndarray, n_union: int) -> Int[np.ndarray, "runs union"]:
    """Extend groups of own components to the union; every other component is a singleton."""
    spread = np.tile(np.arange(n_union) + groups.shape[1], (len(groups), 1))
    spread[:, own] = groups
    return spread


def _block_means(between: np.ndarray, blocks: Sequence[slice]) -> Float[np.ndarray, "points points"]:
    means = np.array([[between[rows, columns].mean() for columns in blocks] for rows in blocks])
    for point, block in enumerate(blocks):
        n = block.stop - block.start  # a run's distance to itself is none
        means[point, point] *= n / (n - 1)
    return means


def _same_sample(between: np.ndarray, blocks: Sequence[slice]) -> list[list[float]] | None:
    if len({block.stop - block.start for block in blocks}) > 1:
        return None
    return [[float(np.diagonal(between[rows, columns]).mean()) for columns in blocks] for rows in blocks]


def point_rows(record: Mapping[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the points as a flat table, columns and rows, with one column per swept setting.

    Example:
        >>> points = [{"name": f"alpha~{alpha}", "values": {"alpha": alpha}, "n_runs": 4} for alpha in (1, 2)]
        >>> columns, rows = point_rows({"swept": ["alpha"], "points": points})
        >>> columns, rows[1]
        (['name', 'alpha', 'n_runs'], {'name': 'alpha~2', 'alpha': 2, 'n_runs': 4})
    """
    rows = [
        {"name": point["name"]}
        | {key: _plain(point["values"][key]) for key in record["swept"]}
        | {
            key: "" if value is None else value
            for key, value in point.items()
            if key not in ("name", "values")
        }
        for point in record["points"]
    ]
    return list(rows[0]), rows


def distance_rows(record: Mapping[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the distances as a flat table, columns and rows, with one row per pair of points and method.

    Example:
        >>> distances = {"jaccard_dist": {"runs": [[0.1, 0.3], [0.3, 0.2]], "same_sample": None}}
        >>> columns, rows = distance_rows({"points": [{"name": "a"}, {"name": "b"}], "distances": distances})
        >>> columns, list(rows[1].values())
        (['first', 'second', 'method', 'runs', 'same_sample'], ['a', 'b', 'jaccard_dist', 0.3, ''])
    """
    names = [point["name"] for point in record["points"]]
    rows = [
        {"first": names[i], "second": names[j], "method": method}
        | {kind: "" if matrix is None else matrix[i][j] for kind, matrix in kinds.items()}
        for method, kinds in record["distances"].items()
        for i in range(len(names))
        for j in range(i, len(names))
    ]
    return list(rows[0]), rows


def _plain(value: Any) -> str | float | int:
    """Return a swept value as one cell of a table."""
    simple = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    return value if simple else json.dumps(value)
