"""Pair counts, consensus groups and the steadiness of components, against going through all pairs."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from spdclust.core.errors import InputError
from spdclust.stability.agreement import component_stability
from spdclust.stability.coclustering import coclustering, coclustering_frequency

ensembles = st.tuples(st.integers(2, 5), st.integers(1, 9)).flatmap(
    lambda shape: st.lists(
        st.lists(st.integers(0, 3), min_size=shape[1], max_size=shape[1]),
        min_size=shape[0],
        max_size=shape[0],
    ).map(np.array)
)
SINGLETONS = np.tile(np.arange(5), (3, 1))
ONE_GROUP = np.zeros((3, 5), dtype=np.int64)


def frequencies(groups: np.ndarray) -> np.ndarray:
    return np.asarray((groups[:, :, None] == groups[:, None, :]).mean(axis=0))


def names(n: int) -> list[str]:
    return [f"m:{i}" for i in range(n)]


@settings(deadline=None)
@given(ensembles)
def test_pairs_are_counted_by_the_number_of_runs_that_join_them(groups: np.ndarray) -> None:
    n_runs, n = groups.shape
    frequency = frequencies(groups)
    pairs = [round(frequency[i, j] * n_runs) for i, j in combinations(range(n), 2)]
    counted = coclustering(groups, ambiguous=(0.3, 0.8))
    assert counted.histogram.tolist() == [pairs.count(c) for c in range(n_runs + 1)]
    assert counted.never + counted.contested + counted.always == n * (n - 1) // 2
    inside = sum(0.3 < c / n_runs < 0.8 for c in pairs)
    assert counted.ambiguous_share == pytest.approx(inside / max(1, len(pairs)))
    assert counted.ambiguous_share_of_joined == pytest.approx(inside / max(1, sum(c > 0 for c in pairs)))
    np.testing.assert_allclose(coclustering_frequency(groups).toarray(), np.triu(frequency, 1))


@settings(deadline=None)
@given(ensembles, st.sampled_from([0.0, 0.25, 0.5, 0.75, 0.99]))
def test_consensus_groups_join_what_more_than_the_threshold_joins(
    groups: np.ndarray, threshold: float
) -> None:
    frequency = frequencies(groups)
    consensus = coclustering(groups, threshold=threshold).consensus
    _, expected = connected_components(frequency > threshold, directed=False)
    assert np.array_equal(
        consensus.group_idxs[:, None] == consensus.group_idxs, expected[:, None] == expected
    )
    smallest = [int(np.flatnonzero(consensus.group_idxs == g)[0]) for g in range(len(consensus.sizes))]
    assert smallest == sorted(smallest)
    for group, size in enumerate(consensus.sizes):
        members = np.flatnonzero(consensus.group_idxs == group)
        assert len(members) == size
        pairs = [frequency[i, j] for i, j in combinations(members, 2)]
        alone = np.mean([(row == row[members[0]]).sum() == 1 for row in groups])
        assert consensus.support[group] == pytest.approx(np.mean(pairs) if pairs else alone)


@settings(deadline=None)
@given(ensembles)
def test_company_is_compared_partner_by_partner(groups: np.ndarray) -> None:
    n = groups.shape[1]
    found = component_stability(groups, names(n))
    for component in range(n):
        partners = [{*np.flatnonzero(row == row[component])} - {component} for row in groups]
        pairs = list(combinations(partners, 2))
        assert found.partners[component] == pytest.approx(np.mean([len(p) for p in partners]))
        assert found.contestedness[component] == pytest.approx(np.mean([len(a ^ b) for a, b in pairs]))
        assert found.consistency[component] == pytest.approx(
            np.mean([len(a & b) / len(a | b) if a | b else 1.0 for a, b in pairs])
        )
    scores = found.contestedness[found.ranking()]
    assert (np.diff(scores) <= 0).all()


def test_contestedness_is_what_co_clustering_frequencies_imply() -> None:
    groups = np.random.default_rng(0).integers(0, 6, (7, 40))
    frequency = frequencies(groups)
    expected = (2 * frequency * (1 - frequency)).sum(axis=1) * 7 / 6
    np.testing.assert_allclose(component_stability(groups, names(40)).contestedness, expected)


@pytest.mark.parametrize(("groups", "always", "n_groups"), [(SINGLETONS, 0, 5), (ONE_GROUP, 10, 1)])
def test_all_singletons_and_one_group_are_perfectly_stable(
    groups: np.ndarray, always: int, n_groups: int
) -> None:
    counted = coclustering(groups)
    assert (counted.always, counted.contested, counted.ambiguous_share) == (always, 0, 0.0)
    assert counted.ambiguous_share_of_joined == 0
    assert counted.consensus.support.tolist() == [1.0] * n_groups
    assert counted.consensus.mean_support == 1
    assert (component_stability(groups, names(5)).consistency == 1).all()


def test_records_name_members_and_the_most_contested_first() -> None:
    groups = np.array([[0, 0, 0, 1], [0, 0, 1, 2], [0, 0, 1, 1]])
    assert coclustering(groups).consensus.to_rows(names(4))[0] == {
        "group": 0, "size": 2, "support": 1.0, "members": ["m:0", "m:1"],
    }  # fmt: skip
    rows = component_stability(groups, names(4)).to_rows(2)
    assert [row["component"] for row in rows] == ["m:2", "m:0"]


def test_bad_input_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spdclust.stability.coclustering.MAX_STORED_PAIRS", 29)
    for call, line in [
        (
            lambda: coclustering(SINGLETONS[:1]),
            "n_runs: stability needs several runs (found: 1; allowed: 2 or more)",
        ),
        (
            lambda: component_stability(SINGLETONS[:1], names(5)),
            "n_runs: stability needs several runs (found: 1; allowed: 2 or more)",
        ),
        (
            lambda: coclustering(SINGLETONS, threshold=1.0),
            "threshold: threshold out of range (found: 1.0; allowed: 0 to below 1)",
        ),
        (
            lambda: coclustering_frequency(ONE_GROUP),
            "groups: too many co-clustered pairs to store (found: 30; allowed: at most 29; cut earlier, or use "
            "coclustering() for the counts)",
        ),
    ]:
        with pytest.raises(InputError) as caught:
            call()
        assert str(caught.value) == line


def test_the_interval_of_ambiguous_frequencies_is_open_at_both_ends() -> None:
    # two components together in 1, 2 and 3 of 4 runs: frequencies that floats hold exactly
    groups = np.array([[0, 0, 1, 1, 2, 2], [0, 1, 2, 2, 3, 3], [0, 1, 2, 3, 4, 4], [0, 1, 2, 3, 4, 5]])
    assert coclustering(groups).histogram.tolist() == [12, 1, 1, 1, 0]
    for interval, n_inside in [((0.25, 0.75), 1), ((0.2, 0.75), 2), ((0.25, 0.8), 2), ((0.2, 0.8), 3)]:
        assert coclustering(groups, ambiguous=interval).ambiguous_share == n_inside / 15
