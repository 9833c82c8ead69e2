"""The complete stability analysis of an ensemble: along the trajectory and at cuts, with null baselines."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spdclust.core.names import split_cut
from spdclust.core.types import Brief, Int
from spdclust.partitions.distances import compute_all_distances
from spdclust.partitions.ensemble import NormalizedHistories
from spdclust.partitions.trajectory import check_runs, kept_iterations
from spdclust.stability.agreement import (
    Agreement,
    ComponentStability,
    component_stability,
    summarize_agreement,
)
from spdclust.stability.coclustering import Coclustering, coclustering
from spdclust.stability.cut import (
    Cut,
    cut_at_iteration,
    cut_at_least_mdl,
    cut_at_n_groups,
    cut_before_stability_drop,
    groups_at,
    has_description_length,
)
from spdclust.stability.null import (
    NullAgreement,
    NullAtCut,
    n_shuffles,
    null_at_cut,
    shuffled,
    summarize_null_agreement,
)

DROP_METHOD = "adjusted_rand_dist"
"""The distance whose rise marks the stability drop: adjusted for chance, so it is meaningful at every k."""

SIZE_COLUMNS = ("n_groups", "largest", "second", "third", "singletons")
"""Columns of the table for one grouping, as counts of groups or components."""


@dataclass(frozen=True)
class GroupSizes:
    """Group sizes of every run at chosen iterations.

    Attributes:
        iterations: `(iterations,)` the chosen iterations.
        merges: `(iterations, runs)` the merges that each run had made by then.
        table: `(iterations, runs, columns)` counts in the order of `SIZE_COLUMNS`; a second or third group
            that does not exist has size 0.
    """

    iterations: Int[np.ndarray, " iterations"]
    merges: Int[np.ndarray, "iterations runs"]
    table: Int[np.ndarray, "iterations runs columns"]
    run_names: Sequence[str]

    def to_rows(self) -> list[dict[str, Any]]:
        """Return one flat record per iteration and run, and one per iteration averaged (run `mean`)."""
        rows: list[dict[str, Any]] = []
        counts = np.concatenate([self.merges[:, :, None], self.table], axis=2)
        for iteration, of_runs in zip(self.iterations.tolist(), counts, strict=True):
            named = [
                *zip(self.run_names, of_runs.tolist(), strict=True),
                ("mean", of_runs.mean(axis=0).tolist()),
            ]
            for name, (merges, *values) in named:
                row = {"iteration": iteration, "merges": merges, "run": name}
                rows.append(row | dict(zip(SIZE_COLUMNS, values, strict=True)))
        return rows


def _group_sizes(normalized: NormalizedHistories, iterations: Sequence[int]) -> GroupSizes:
    """Tabulate the group sizes of every run; components missing from a run are not counted."""
    numbers = [normalized.check_iteration(int(iteration)) for iteration in iterations]
    table = np.zeros((len(numbers), normalized.n_runs, len(SIZE_COLUMNS)), dtype=np.int64)
    for row, iteration in enumerate(numbers):
        groups = normalized.merge_array_rows(iteration)
        for run, own in enumerate(normalized.own_components):
            sizes = np.sort(np.bincount(groups[run, own]))[::-1]
            largest = np.zeros(3, dtype=np.int64)
            largest[: min(3, len(sizes))] = sizes[:3]
            table[row, run] = len(sizes), *largest, int((sizes == 1).sum())
    iterations_kept = np.array(numbers, dtype=np.int64)
    merges = iterations_kept[:, None] + normalized.first_merges + 1
    return GroupSizes(iterations_kept, merges, table, list(normalized.run_names))


@dataclass(frozen=True, eq=False, repr=False)
class StabilityAtCut(Brief):
    """Agreement of the runs at one cut, with the null baseline from shuffled runs.

    Attributes:
        components: stability of every component's group partners.
        coclustering: pair counts and consensus groups.
        null: the same for shuffled labels, over several shuffles.
    """

    cut: Cut
    components: ComponentStability
    coclustering: Coclustering
    null: NullAtCut

    def _facts(self) -> dict[str, object]:
        return {"cut": self.cut.name, **self.coclustering._facts()}

    def to_dict(self, n_contested: int = 20) -> dict[str, Any]:
        """Return plain lists and numbers, with the `n_contested` most contested components."""
        return {
            "cut": self.cut.to_dict(),
            **self.coclustering.to_dict(),
            "mean_consistency": _mean(self.components.consistency),
            "mean_contestedness": _mean(self.components.contestedness),
            "most_contested": self.components.to_rows(n_contested),
            "null": self.null.to_dict(),
        }


@dataclass(frozen=True, eq=False, repr=False)
class Stability(Brief):
    """The complete stability analysis of an ensemble.

    Attributes:
        null_agreement: the same for shuffled labels, over several shuffles.
        sizes: group sizes at the iterations of the cuts and at tenths of the trajectory.
        cuts: the analysis at each cut, by the cut's name.
    """

    agreement: Agreement
    null_agreement: NullAgreement
    sizes: GroupSizes
    cuts: dict[str, StabilityAtCut]

    def _facts(self) -> dict[str, object]:
        return {"last_agreement": self.agreement.last_agreement, "cuts": ", ".join(self.cuts)}

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers, ready for JSON."""
        return {
            "agreement": self.agreement.to_dict(),
            "null_agreement": self.null_agreement.to_dict(),
            "sizes": self.sizes.to_rows(),
            "cuts": {name: at.to_dict() for name, at in self.cuts.items()},
        }


def analyze_stability(
    normalized: NormalizedHistories,
    methods: Sequence[str] = ("perm_invariant_hamming", DROP_METHOD),
    *,
    iteration: int | None = None,
    n_groups: int | None = None,
    stride: int = 1,
    n_workers: int = 1,
    seed: int = 0,
) -> Stability:
    """Analyse agreement along the trajectory, at the automatic cuts and at the requested cuts.

    With `iteration` or `n_groups` all runs are also cut there. Every `stride`-th iteration is analysed.
    `seed` is that of the null baseline.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> stability = analyze_stability(example_normalized())
        >>> stability.agreement.last_agreement, sorted(stability.cuts)
        (10, ['least_mdl', 'stability_drop'])

    Raises:
        InputError: fewer than two runs, an unknown method, or a cut that does not exist.
    """
    check_runs(normalized)
    requested: list[Cut] = []
    if iteration is not None:
        requested.append(cut_at_iteration(normalized, iteration))
    if n_groups is not None:
        requested.append(cut_at_n_groups(normalized, n_groups))
    names = list(dict.fromkeys([*methods, DROP_METHOD]))
    compared = kept_iterations(normalized.n_iterations, stride)

    def agreement_of(runs: NormalizedHistories) -> Agreement:
        distances = compute_all_distances(runs, names, stride=stride, n_workers=n_workers)
        return summarize_agreement(distances, compared)

    agreement, n = agreement_of(normalized), n_shuffles(normalized)
    null_agreement = summarize_null_agreement([agreement_of(null) for null in shuffled(normalized, seed, n)])
    if has_description_length(normalized):
        requested.append(cut_at_least_mdl(normalized))
    requested.append(cut_before_stability_drop(normalized, agreement.means[DROP_METHOD], compared))

    rows = {round(share * (normalized.n_iterations - 1) / 10) for share in range(11)}
    rows |= {int(cut.merges[0] - normalized.first_merges[0]) for cut in requested if cut.name != "n_groups"}
    return Stability(
        agreement=agreement,
        null_agreement=null_agreement,
        sizes=_group_sizes(normalized, sorted(rows)),
        cuts={cut.name: _at_cut(normalized, cut, seed, n) for cut in requested},
    )


def find_cut(normalized: NormalizedHistories, name: str, *, stride: int = 1) -> Cut:
    """Return the cut of a given name: automatic, `merges_<n>`, `groups_<k>` or `iteration_<t>`.

    The stability drop is searched at every `stride`-th iteration.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> cuts = [find_cut(example_normalized(), name) for name in ("least_mdl", "groups_2")]
        >>> [cut.merges.tolist() for cut in cuts]
        [[7, 7], [9, 9]]

    Raises:
        InputError: no such cut.
    """
    if name == "least_mdl":
        return cut_at_least_mdl(normalized)
    if name == "stability_drop":
        distances = compute_all_distances(normalized, [DROP_METHOD], stride=stride)
        compared = kept_iterations(normalized.n_iterations, stride)
        means = summarize_agreement(distances, compared).means[DROP_METHOD]
        return cut_before_stability_drop(normalized, means, compared)
    kind, number = split_cut(name)
    return (
        cut_at_iteration(normalized, number) if kind == "iteration" else cut_at_n_groups(normalized, number)
    )


def _at_cut(normalized: NormalizedHistories, cut: Cut, seed: int, n: int) -> StabilityAtCut:
    groups = groups_at(normalized, cut)
    return StabilityAtCut(
        cut=cut,
        components=component_stability(groups, normalized.labels),
        coclustering=coclustering(groups),
        null=null_at_cut(normalized, cut, seed=seed, n=n),
    )


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
