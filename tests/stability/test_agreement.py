"""Agreement along the trajectory, group sizes, cuts and the null baseline, against plain counting."""

import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError
from spdclust.merge.history import MergeHistory
from spdclust.partitions.distances import compute_all_distances, compute_distances
from spdclust.partitions.ensemble import NormalizedHistories, normalize_ensemble
from spdclust.stability.agreement import QUANTILES, component_stability, summarize_agreement
from spdclust.stability.analysis import _group_sizes, analyze_stability, find_cut
from spdclust.stability.coclustering import coclustering
from spdclust.stability.cut import (
    _stability_drop,
    cut_at_iteration,
    cut_at_least_mdl,
    cut_at_n_groups,
    cut_before_stability_drop,
    groups_at,
)
from spdclust.stability.null import FEWEST_SHUFFLES, MOST_SHUFFLES, _permute_labels, n_shuffles
from spdclust.stability.summary import iteration_table


def history(labels: list[str], pairs: list[list[int]], mdl: list[float] | None = None) -> MergeHistory:
    losses = np.zeros(len(pairs)) if mdl is None else np.array(mdl)
    return MergeHistory(labels, np.array(pairs), losses, np.zeros(len(pairs)), MergeConfig())


def random_ensemble(seed: int, sizes: list[int], n_merges: int) -> NormalizedHistories:
    rng = np.random.default_rng(seed)
    runs = []
    for n in sizes:
        pairs = [rng.choice(n - t, 2, replace=False).tolist() for t in range(n_merges)]
        runs.append(history([f"m:{i}" for i in range(n)], pairs, rng.random(n_merges).tolist()))
    return normalize_ensemble(runs)


def same(first: np.ndarray, second: np.ndarray) -> bool:
    return len({*zip(first, second, strict=True)}) == len({*first}) == len({*second})


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**32),
    n_runs=st.integers(2, 5),
    method=st.sampled_from(["matching_dist", "jaccard_dist"]),
)
def test_agreement_counts_what_comparing_the_groupings_shows(seed: int, n_runs: int, method: str) -> None:
    normalized = random_ensemble(seed, [4] * n_runs, 3)
    agreement = summarize_agreement(compute_all_distances(normalized, [method]))
    groupings = [normalized.merge_array_rows(t) for t in range(3)]
    for t, rows in enumerate(groupings):
        pairs = [same(a, b) for a, b in combinations(rows, 2)]
        assert agreement.n_equal_pairs[t] == sum(pairs)
        distinct: list[np.ndarray] = []
        for row in rows:
            if not any(same(row, other) for other in distinct):
                distinct.append(row)
        assert agreement.n_distinct[t] == len(distinct)
    together = [t for t in range(3) if agreement.n_distinct[t] == 1]
    assert agreement.last_agreement == (together[-1] if together else None)
    for i in range(n_runs):
        for j in range(n_runs):
            apart = [t for t in range(3) if not same(groupings[t][i], groupings[t][j])]
            assert agreement.first_divergence[i, j] == (apart[0] if apart else -1)
            again = [t for t in range(3) if apart and t > apart[0] and t not in apart]
            assert agreement.first_reconvergence[i, j] == (again[0] if again else -1)


def test_quantiles_and_means_are_over_run_pairs_not_over_the_diagonal() -> None:
    normalized = random_ensemble(1, [9] * 4, 6)
    distances = compute_all_distances(normalized, ["matching_dist"])
    agreement = summarize_agreement(distances)
    for t in range(6):
        values = [distances["matching_dist"][t, i, j] for i, j in combinations(range(4), 2)]
        np.testing.assert_allclose(agreement.quantiles["matching_dist"][t], np.quantile(values, QUANTILES))
        assert agreement.means["matching_dist"][t] == pytest.approx(np.mean(values))


def test_iterations_of_a_stride_are_reported_as_such() -> None:
    apart = np.array([[0.0, 2.0], [2.0, 0.0]])
    agreement = summarize_agreement({"matching_dist": np.stack([0 * apart, apart])}, np.array([0, 10]))
    assert agreement.first_divergence[0, 1] == 10
    assert agreement.last_agreement == 0


def test_sizes_count_own_groups_only() -> None:
    runs = [history(["a", "b", "c", "d"], [[0, 1]]), history(["a", "b"], [[0, 1]])]
    sizes = _group_sizes(normalize_ensemble(runs), [0])
    assert sizes.table.tolist() == [[[3, 2, 1, 1, 2], [1, 2, 0, 0, 0]]]
    rows = sizes.to_rows()
    assert [row["run"] for row in rows] == ["run_0", "run_1", "mean"]
    assert rows[-1] == {
        "iteration": 0, "merges": 1, "run": "mean", "n_groups": 2, "largest": 2, "second": 0.5, "third": 0.5, "singletons": 1,
    }  # fmt: skip


@pytest.mark.parametrize(("sizes", "before"), [([4, 3], 0.5), ([5, 3], 1), ([3, 3], 0)])
def test_merges_of_aligned_runs_count_those_before_the_first_row(sizes: list[int], before: float) -> None:
    runs = [history([f"m:{c}" for c in range(n)], [[0, 1]] * (n - 1)) for n in sizes]
    aligned = normalize_ensemble(runs, align="n_groups")
    table = iteration_table(aligned, analyze_stability(aligned))
    assert table["merges"].tolist() == [1 + before, 2 + before]
    assert table["n_groups"].tolist() == [2, 1]
    assert table["merges"].dtype.kind == ("f" if before == 0.5 else "i")


def test_cuts_name_the_merge_of_every_run() -> None:
    runs = [
        history(["a", "b", "c", "d"], [[0, 1], [0, 1], [0, 1]], [5.0, 1.0, 2.0]),
        history(["a", "b", "c"], [[0, 1], [0, 1]], [3.0, 1.0]),
    ]
    normalized = normalize_ensemble(runs)
    cut = cut_at_n_groups(normalized, 2)
    assert cut.merges.tolist() == [1, 0]
    assert groups_at(normalized, cut).tolist() == [[0, 0, 0, 1], [0, 0, 1, 2]]
    least = cut_at_least_mdl(normalized)
    assert (least.merges.tolist(), least.n_groups.tolist(), least.mdl) == ([1, 1], [2, 1], 1.0)
    assert cut_at_iteration(normalized, -1).merges.tolist() == [1, 1]
    aligned = normalize_ensemble(runs, align="n_groups")
    assert cut_at_iteration(aligned, 0).merges.tolist() == [1, 0]
    assert cut_at_least_mdl(aligned).merges.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("distance", "row"),
    [
        ([1.0, 0.2, 0.1, 0.1, 0.1, 0.9, 0.8, 0.9], 4),
        ([0.3, 0.5, 0.1, 0.7, 0.2, 0.6], 2),  # the largest rise, not the last
        ([0.0, 0.0, 0.0], None),
        ([0.9, 0.5, 0.1], None),
        ([0.4], None),
        ([0.5, 0.509, 0.505], None),  # a hundredth of what chance is apart
        ([0.0, 1.0], 0),
    ],
)
def test_the_drop_is_the_foot_of_the_largest_rise(distance: list[float], row: int | None) -> None:
    assert _stability_drop(np.array(distance)) == row


def test_the_drop_finds_the_bottom_of_a_valley_and_ignores_a_lucky_start() -> None:
    falling, rising = np.linspace(0.95, 0.05, 70), np.linspace(0.05, 0.8, 50)
    curve = np.concatenate([falling, np.full(30, 0.05), rising])
    curve[0] = 0.0  # all runs happen to merge the same pair first
    assert _stability_drop(curve) == 100  # the last row at 0.05
    assert _stability_drop(np.concatenate([falling, np.full(30, 0.05)])) is None


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 40).map(lambda n: n / 40), min_size=1, max_size=12))
def test_short_curves_are_searched_pair_by_pair(distance: list[float]) -> None:
    row = _stability_drop(np.array(distance))
    rises = [late - early for early, late in combinations(distance, 2)]
    if max(rises, default=0.0) <= 1e-9:
        assert row is None
    else:
        assert row is not None
        assert max(distance[row:]) - distance[row] == pytest.approx(max(rises), abs=1e-9)


@pytest.mark.parametrize("n", [39, 40, 75, 100, 200, 333])
def test_the_drop_in_long_curves_is_the_one_found_row_by_row(n: int) -> None:
    """As documented: a running mean over a twentieth of the rows, the foot of its largest rise, and the row of
    least distance in the window around that foot.
    """
    half_below, half_above = (n // 20 - 1) // 2 if n >= 20 else 0, n // 20 // 2
    n_cut = 0
    for seed in range(30):
        distance = np.random.default_rng((n, seed)).random(n).round(3)
        windows = [range(max(0, i - half_below), min(n, i + half_above + 1)) for i in range(n)]
        smooth = [sum(distance[i] for i in window) / len(window) for window in windows]
        rises = [
            (late - early, j, i) for i, early in enumerate(smooth) for j, late in enumerate(smooth) if j >= i
        ]
        largest = max(rise for rise, _, _ in rises)
        if largest <= 0.01:
            continue
        top, foot = next(
            (j, i) for rise, j, i in sorted(rises, key=lambda r: (r[1], -r[2])) if rise >= largest - 1e-9
        )
        inside = [i for i in windows[foot] if i <= top]
        least = min(distance[i] for i in inside)
        assert _stability_drop(distance) == max(i for i in inside if distance[i] <= least + 1e-9)
        n_cut += 1
    assert n_cut >= 25


def test_shuffling_keeps_sizes_and_missing_components_and_repeats_with_its_seed() -> None:
    normalized = random_ensemble(3, [9, 7, 8], 5)
    null, again, other = (_permute_labels(normalized, seed) for seed in (1, 1, 2))
    for t in range(5):
        rows, shuffled = normalized.merge_array_rows(t), null.merge_array_rows(t)
        assert np.array_equal(shuffled, again.merge_array_rows(t))
        for run in range(3):
            assert sorted(np.bincount(rows[run])) == sorted(np.bincount(shuffled[run]))
            missing = np.setdiff1d(np.arange(9), normalized.own_components[run])
            assert np.array_equal(rows[run, missing], shuffled[run, missing])
    assert any(not np.array_equal(null.merges(run), other.merges(run)) for run in range(3))


def test_equal_runs_are_stable_throughout_and_their_null_is_not() -> None:
    run = history([f"m:{i}" for i in range(30)], [[0, 1]] * 20)
    stability = analyze_stability(normalize_ensemble([run] * 3), n_groups=15, iteration=4, stride=3)
    assert stability.agreement.last_agreement == 18
    assert (stability.agreement.n_distinct == 1).all()
    assert (stability.agreement.first_divergence == -1).all()
    assert list(stability.cuts) == ["iteration", "n_groups", "least_mdl", "stability_drop"]
    # sizes at tenths of the way from the first of 20 merges to the last, and at the requested cut
    assert set(np.linspace(0, 19, 11).round()) | {4} <= set(stability.sizes.iterations.tolist())
    at = stability.cuts["n_groups"]
    assert at.cut.n_groups.tolist() == [15, 15, 15]
    assert (at.coclustering.always, at.coclustering.contested) == (120, 0)
    assert (at.components.consistency == 1).all()
    assert at.coclustering.consensus.mean_support == 1
    assert at.null.mean("contested") > 0
    assert at.null.mean("mean_consistency") < 1
    assert stability.null_agreement.means["adjusted_rand_dist"].mean() > 0.5
    text = json.dumps(stability.to_dict(), allow_nan=False)
    assert json.loads(text)["cuts"]["n_groups"]["null"]["contested"] == at.null.mean("contested")


def test_histories_without_description_length_have_no_such_cut() -> None:
    pairs = [[0, 1], [0, 1]]
    normalized = normalize_ensemble([history(["a", "b", "c"], pairs, [np.nan, np.nan])] * 2)
    stability = analyze_stability(normalized)
    assert list(stability.cuts) == ["stability_drop"]
    assert json.dumps(stability.to_dict(), allow_nan=False)


def test_the_baseline_is_the_mean_and_range_over_many_shuffles() -> None:
    normalized = random_ensemble(3, [12, 12, 11], 8)
    stability = analyze_stability(normalized, iteration=4, seed=7)
    n = stability.null_agreement.n_shuffles
    assert n == MOST_SHUFFLES
    cut, support, contested, apart, equal = stability.cuts["iteration"], [], [], [], []
    for shuffle in range(n):
        null = _permute_labels(normalized, (7, shuffle))
        groups = groups_at(null, cut.cut)
        support.append(coclustering(groups).consensus.mean_support)
        contested.append(component_stability(groups, normalized.labels).contestedness.mean())
        agreement = summarize_agreement({"adjusted_rand_dist": compute_distances(null, "adjusted_rand_dist")})
        apart.append(agreement.quantiles["adjusted_rand_dist"])
        equal.append(agreement.n_equal_pairs)
    assert len(set(support)) > n / 2  # not one shuffle again and again
    record = cut.to_dict()["null"]
    assert record["mean_support"] == pytest.approx(np.mean(support))
    assert record["range"]["mean_support"] == pytest.approx([min(support), max(support)])
    assert record["mean_contestedness"] == pytest.approx(np.mean(contested))
    assert sum(record["histogram"]) == pytest.approx(12 * 11 / 2)
    quantiles = stability.null_agreement.quantiles["adjusted_rand_dist"]
    np.testing.assert_allclose(quantiles[:, 3], np.mean(apart, axis=0)[:, 3])
    np.testing.assert_allclose(quantiles[:, 0], np.min(apart, axis=0)[:, 0])
    np.testing.assert_allclose(quantiles[:, -1], np.max(apart, axis=0)[:, -1])
    np.testing.assert_allclose(stability.null_agreement.n_equal_pairs, np.mean(equal, axis=0))
    table = iteration_table(normalized, stability)
    low, mean, high = (
        table[f"null.adjusted_rand_dist.{name}"] for name in ("mean_least", "mean", "mean_largest")
    )
    assert (low < mean).any()
    assert (low <= mean).all()
    assert (mean <= high).all()


def test_large_ensembles_are_shuffled_less_often() -> None:
    small = random_ensemble(0, [5, 7], 3)
    large = replace(small, labels=[f"m:{i}" for i in range(1_000_000)])
    some = replace(small, labels=[f"m:{i}" for i in range(50_000)])
    assert [n_shuffles(each) for each in (small, some, large)] == [MOST_SHUFFLES, 8, FEWEST_SHUFFLES]


def notes(curves, *, n_merges=(3, 3), iters=3, distance=None):
    labels = ["a", "b", "c", "d", "e"]
    runs = [
        replace(history(labels, [[0, 1]] * n, curve[:n]), config=MergeConfig(iters=iters))
        for curve, n in zip(curves, n_merges, strict=True)
    ]
    normalized = normalize_ensemble(runs)
    if distance is not None:
        return cut_before_stability_drop(normalized, np.array(distance)).notes
    return cut_at_least_mdl(normalized).notes


def test_cuts_at_an_edge_say_so() -> None:
    falling, rising, valley = [3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [3.0, 1.0, 2.0]
    assert notes([valley] * 2) == ()
    assert notes([falling] * 2) == (
        "The description is still getting shorter at the last merge: raise iters.",
    )
    assert notes([falling] * 2, iters=None) == (
        "The description is still getting shorter at the last merge: lower min_groups.",
    )
    assert notes([rising] * 2) == ("No merge after the first shortens the description.",)
    assert notes([valley] * 2, distance=[0.3, 0.1, 0.9]) == ()
    assert notes([valley] * 2, distance=[0.3, 0.2, 0.1]) == (
        "No drop found: the runs do not part. The cut is at the last merge.",
    )
    assert notes([valley] * 2, distance=[0.0, 0.5, 0.9]) == ("The runs part from the first merge on.",)
    unlike = "Runs have 2 to 4 merges; they are compared up to the end of the shortest."
    assert notes([[1.0, 0.5], [3.0, 2.0, 1.5, 1.0]], n_merges=(2, 4))[1:] == (unlike,)
    assert notes([[1.0, 0.5], [3.0, 2.0, 1.5, 1.0]], n_merges=(2, 4), distance=[0.1, 0.9])[1:] == (unlike,)


def test_scalar_activations_have_no_shortest_description() -> None:
    scalar = MergeConfig(activation_threshold=None)
    run = replace(history(["a", "b", "c", "d"], [[0, 1]] * 2, [2.0, 1.0]), config=scalar)
    normalized = normalize_ensemble([run, run])
    assert list(analyze_stability(normalized).cuts) == ["stability_drop"]
    for call in (lambda: find_cut(normalized, "least_mdl"), run.best_iteration):
        with pytest.raises(
            InputError, match="description lengths of scalar activations are not meaningful"
        ) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert not run.has_description_length
    assert history(["a", "b", "c", "d"], [[0, 1]] * 2, [2.0, 1.0]).has_description_length


@pytest.mark.parametrize("stride", [1, 3])
def test_a_cut_found_by_its_name_is_the_one_of_the_analysis(stride) -> None:
    normalized = random_ensemble(5, [30, 30, 30], 25)
    whole = analyze_stability(normalized, iteration=4, n_groups=20, stride=stride)
    named = {name: name for name in ("least_mdl", "stability_drop")}
    for name, cut in (named | {"iteration": "merges_5", "n_groups": "groups_20"}).items():
        assert find_cut(normalized, cut, stride=stride).to_dict() == whole.cuts[name].cut.to_dict()
    counted_from_0 = find_cut(normalized, "iteration_4", stride=stride)
    assert counted_from_0.to_dict() == whole.cuts["iteration"].cut.to_dict()


def test_bad_input_is_one_line() -> None:
    single = random_ensemble(0, [5], 3)
    double = random_ensemble(0, [5, 7], 3)
    unlike = random_ensemble(0, [5, 20], 3)
    unknown = normalize_ensemble([history(["a", "b"], [[0, 1]], [np.nan])] * 2)
    for call, line in [
        (
            lambda: analyze_stability(single),
            "n_runs: distances need several runs (found: 1; allowed: 2 or more)",
        ),
        (
            lambda: analyze_stability(double, iteration=3),
            "iteration: no such iteration (found: 3; allowed: -3 to 2, the states after 1 to 3 merges)",
        ),
        (
            lambda: cut_at_n_groups(double, 5),
            "n_groups: not every run has this number of groups after a merge (found: 5; allowed: 4 to 4)",
        ),
        (
            lambda: cut_at_n_groups(unlike, 5),
            "n_groups: not every run has this number of groups after a merge "
            "(found: 5; allowed: none is common to all runs)",
        ),
        (
            lambda: cut_at_least_mdl(unknown),
            "mdl_loss: the histories have no description lengths (allowed: a cut by iteration or n_groups)",
        ),
        (
            lambda: cut_before_stability_drop(double, np.zeros(2)),
            "mean_distance: one distance per iteration is needed (found: 2; allowed: 3 values)",
        ),
        (
            lambda: groups_at(double, cut_at_iteration(single, 0)),
            "cut.merges: the cut is of another ensemble (found: 1 runs; allowed: 2 runs)",
        ),
        (
            lambda: find_cut(double, "groups_many"),
            "cut: unknown cut (found: groups_many; allowed: least_mdl, stability_drop, merges_<n>, groups_<k>)",
        ),
        (lambda: double.groups_after(1, 3), "run_1: no such merge (found: 3; allowed: 0 to 2)"),
        (lambda: summarize_agreement({}), "distances: no distances given (allowed: at least one method)"),
        (
            lambda: summarize_agreement({"matching_dist": np.zeros((1, 1, 1))}),
            "n_runs: agreement needs several runs (found: 1; allowed: 2 or more)",
        ),
    ]:
        with pytest.raises(InputError) as caught:
            call()
        assert str(caught.value) == line
