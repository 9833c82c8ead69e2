"""What the page of an ensemble holds: its merges, groups and curves, thinned where they are long."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spdclust.core.names import METHODS
from spdclust.core.types import Float, Int, evenly_spaced
from spdclust.explorer.cofiring import CoFiring
from spdclust.explorer.page import narrow
from spdclust.merge.history import MergeHistory
from spdclust.partitions.ensemble import MergeHistoryEnsemble

FORMAT = 1
MAX_CURVE_ROWS = 2000  # iterations at which curves are kept; every one up to this many
MAX_DISTANCE_BYTES = 1 << 20  # distances between runs, all methods together, before compression
STEPS = 10  # groupings that are shown in addition to the cuts


@dataclass
class PageData:
    """A header of plain JSON types, and arrays that it names.

    Attributes:
        header: texts and single numbers.
        arrays: everything long.
        notes: what was left out, and why.
    """

    header: dict[str, Any]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def collect(
    ensemble: MergeHistoryEnsemble,
    *,
    name: str,
    model: str = "",
    spd_run: str = "",
    distances: Mapping[
        str, tuple[Int[np.ndarray, " iterations"], Float[np.ndarray, "iterations runs runs"]]
    ] = {},
    stability: tuple[Mapping[str, Any], Mapping[str, np.ndarray]] | None = None,
) -> PageData:
    """Return what the page holds of the merges, the distances and the stability analysis.

    Works where the analysis does not: a single run, runs without a merge.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> data = collect(MergeHistoryEnsemble([example_history()]), name="demo")
        >>> data.header["n_iterations"], data.arrays["run0.mdl"].shape
        (11, (11,))
    """
    labels = sorted({label for history in ensemble for label in history.labels})
    number = {label: component for component, label in enumerate(labels)}
    n_iterations = min(history.n_iterations for history in ensemble)
    record, table = stability if stability is not None else ({}, {})
    cuts = {
        cut: _cut(at) for cut, at in record.get("cuts", {}).items() if at.get("iteration") is not None
    }  # a cut by number of groups is another iteration in every run
    best = [_best(history) for history in ensemble]
    needed = [at["iteration"] for at in cuts.values()] + [t for t in best if t is not None]
    rows = _spread(np.arange(n_iterations), MAX_CURVE_ROWS, needed)
    data = PageData(
        {
            "format": FORMAT,
            "name": name,
            "model": model,
            "spd_run": spd_run,
            "labels": labels,
            "n_iterations": n_iterations,
            "runs": [
                _run(run_name, history, least)
                for run_name, history, least in zip(ensemble.run_names, ensemble, best, strict=True)
            ],
            "merge_config": ensemble[0].settings(),
            **({"not_stated": list(ensemble[0].not_stated)} if ensemble[0].not_stated else {}),
            "cuts": cuts,
            "last_agreement": record.get("last_agreement"),
            "stride": record.get("stride", 1),
            "methods": [],
        },
        {"curve_rows": narrow(rows)},
    )
    for run, history in enumerate(ensemble):
        own = np.array([number[label] for label in history.labels], dtype=np.int64)
        data.arrays |= _run_arrays(f"run{run}", history, own, rows)
    _add_stability(data, table, needed)
    _add_distances(data, distances, len(ensemble), needed)
    return data


def _spread(rows: Int[np.ndarray, " rows"], limit: int, needed: Sequence[int]) -> Int[np.ndarray, " kept"]:
    """Return about `limit` of some rows, evenly spaced, with the first, the last and those needed."""
    if len(rows) <= limit:
        return rows
    chosen = rows[evenly_spaced(len(rows), max(2, limit))]
    return np.union1d(chosen, np.intersect1d(rows, np.array(needed, dtype=np.int64)))


def add_cofiring(
    data: PageData, counts: CoFiring, *, run: int, n_samples: int, threshold: float | None
) -> None:
    """Add how components fire together within groups, counted on a batch of one run, `n_samples` in all.

    Example:
        >>> from scipy import sparse
        >>> from spdclust.explorer.cofiring import count_cofiring
        >>> active = sparse.csr_array(np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 1.0]]))
        >>> data = PageData({})
        >>> counts = count_cofiring(active, np.arange(2), [np.arange(2)], 0.1)
        >>> add_cofiring(data, counts, run=0, n_samples=3, threshold=0.1)
        >>> data.arrays["cofiring.singles"].tolist(), data.arrays["cofiring.together"].tolist()
        ([2, 3], [2])
    """
    data.header["cofiring"] = {
        "run": run,
        "n_samples": counts.n_samples,
        "n_samples_in_all": n_samples,
        "threshold": threshold or 0.0,
    }
    data.arrays["cofiring.singles"] = narrow(counts.singles)
    data.arrays["cofiring.first"] = narrow(counts.pairs[:, 0])
    data.arrays["cofiring.second"] = narrow(counts.pairs[:, 1])
    data.arrays["cofiring.together"] = narrow(counts.together)


def _best(history: MergeHistory) -> int | None:
    return history.best_iteration() if history.has_description_length else None


def _cut(at: Mapping[str, Any]) -> dict[str, Any]:
    null = at.get("null", {})
    return {
        "iteration": at["iteration"],
        "n_groups": at["cut"]["n_groups"],
        "n_consensus_groups": at["n_consensus_groups"],
        "mean_support": at["mean_support"],
        "null_mean_support": null.get("mean_support"),
        "n_contested_components": at["n_contested_components"],
    }


def _run(name: str, history: MergeHistory, best: int | None) -> dict[str, Any]:
    return {
        "name": name,
        "n_components": history.n_components,
        "n_merges": history.n_iterations,
        "best_iteration": best,
        "least_mdl": None if best is None else float(history.mdl_loss[best]),
        "n_samples": history.provenance.get("n_samples"),
        "provenance": history.provenance,
    }


def _run_arrays(run: str, history: MergeHistory, own: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    names = history.group_names
    arrays = {
        f"{run}.own": narrow(own),
        f"{run}.first": narrow(names[:, 0]),
        f"{run}.second": narrow(names[:, 1]),
        f"{run}.mdl": np.asarray(history.mdl_loss, dtype=np.float64)[rows],
    }
    for side in ("first", "second"):
        activity = history.records.get(f"activity_{side}")
        if activity is not None:
            counts = _counts(activity, history.provenance.get("n_samples"))
            arrays[f"{run}.activity_{side}"] = activity.astype(np.float64) if counts is None else counts
    return arrays


def _counts(shares: np.ndarray, n_samples: int | None) -> np.ndarray | None:
    """Return shares as counts of samples, where that is exact: a third of the size."""
    if not n_samples or not np.isfinite(shares).all() or (shares < 0).any():
        return None
    counts = np.rint(shares * n_samples)
    return narrow(counts.astype(np.int64)) if np.array_equal(counts / n_samples, shares) else None


def _add_stability(data: PageData, table: Mapping[str, np.ndarray], needed: Sequence[int]) -> None:
    if not table:
        return
    rows = _spread(table["iteration"].astype(np.int64), MAX_CURVE_ROWS // 2, needed)
    mask = np.isin(table["iteration"], rows)
    data.arrays["stability.rows"] = narrow(rows)
    for column, values in table.items():
        if column.rpartition(".")[2] in ("mdl", "n_distinct", "mean", "q0", "q50", "q100"):
            data.arrays[f"stability.{column}"] = values[mask].astype(np.float64)


def _add_distances(data: PageData, distances: Mapping[str, Any], n_runs: int, needed: Sequence[int]) -> None:
    first, second = np.triu_indices(n_runs, 1)
    for method, (iterations, between) in distances.items():
        room = MAX_DISTANCE_BYTES // (8 * max(1, len(first)) * len(distances))
        rows = _spread(iterations, max(2, room), needed)
        data.arrays[f"distances.{method}.rows"] = narrow(rows)
        data.arrays[f"distances.{method}"] = between[np.isin(iterations, rows)][:, first, second]
    compared = {
        name.split(".")[1] for name in data.arrays if name.startswith("stability.") and ".mean" in name
    }
    for method in METHODS:
        if method in distances or method in compared:
            entry = METHODS[method]
            data.header["methods"].append(
                {"name": method, "description": entry.description, "unit": entry.unit}
            )


def rows_of_interest(cuts: Sequence[int], n_iterations: int) -> list[int]:
    """Return the iterations whose groups are described: the cuts first, then steps to the last one.

    Example:
        >>> rows_of_interest([60, 20], 100)
        [60, 20, 6, 12, 18, 24, 30, 36, 42, 48, 54]
        >>> rows_of_interest([], 0)
        []
    """
    if n_iterations == 0:
        return []
    last = max(cuts, default=n_iterations - 1)
    steps = [round(last * step / STEPS) for step in range(1, STEPS)]
    return list(dict.fromkeys([*cuts, *steps]))


def groups_over_union(
    own: Int[np.ndarray, " own"], names: Int[np.ndarray, "iterations 2"], row: int, n_components: int
) -> Int[np.ndarray, " components"]:
    """Return the group of every component of an ensemble after a merge of one run.

    `own` has the numbers of the run's components, `names` the first components of the two groups of each
    merge, in the run's own numbering. A component that the run lacks is alone.

    Example:
        >>> groups_over_union(np.array([3, 0, 1]), np.array([[0, 2], [0, 1]]), 0, 4).tolist()
        [1, 0, 2, 0]
    """
    roots = np.arange(len(own))
    roots[names[: row + 1, 1]] = names[: row + 1, 0]
    while not np.array_equal(further := roots[roots], roots):
        roots = further
    groups = len(own) + np.arange(n_components)
    groups[own] = roots
    return np.unique(groups, return_inverse=True)[1]


def distinct_groups(groupings: Iterable[Int[np.ndarray, " components"]]) -> list[Int[np.ndarray, " members"]]:
    """Return the groups of two and more components of several groupings, each set once.

    Those of the first grouping come first, the largest first within each.

    Example:
        >>> groups = distinct_groups([np.array([0, 0, 1, 1, 1]), np.array([0, 1, 2, 2, 2])])
        >>> [group.tolist() for group in groups]
        [[2, 3, 4], [0, 1]]
    """
    seen: set[bytes] = set()
    found = []
    for group_idxs in groupings:
        order = np.argsort(group_idxs, kind="stable")
        sizes = np.bincount(group_idxs)
        starts = np.cumsum(sizes) - sizes
        for number in np.argsort(-sizes, kind="stable")[: int((sizes > 1).sum())]:
            members = order[starts[number] : starts[number] + sizes[number]]
            if members.tobytes() not in seen:
                seen.add(members.tobytes())
                found.append(members)
    return found
