"""Components that join a group or are shared by a second one, against counting sample by sample."""

import groups_plain as plain
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spdclust.groups.evidence import evidence_of_groups
from spdclust.groups.members import Memberships, complete_groups, find_memberships
from spdclust.groups.samples import Folds
from spdclust.merge.activations import ProcessedActivations


def case(seed: int) -> tuple[plain.Ensemble, list[np.ndarray]]:
    """An ensemble with two or three disjoint groups and components of no group.

    The groups of every second one are real, and some components are active with two of them. In every fourth,
    the activations of every second run are all 1.
    """
    rng = np.random.default_rng(seed)
    n = int(rng.integers(6, 14))
    order = rng.permutation(n)
    cuts = np.sort(rng.choice(np.arange(2, n - 1), 2, replace=False))
    groups = [part for part in np.split(order, cuts) if len(part) >= 2][: rng.integers(1, 4)]
    if seed % 2:
        return plain.random_ensemble(1000 + seed, n_components=n), groups
    source = rng.integers(3, size=n)
    for g, group in enumerate(groups):
        source[group] = g
    second = np.where(rng.random(n) < 0.3, rng.integers(3, size=n), source)
    labels, dense = plain.names(n), []
    for run in range(rng.integers(2, 5)):
        n_samples = int(rng.choice([50, 200, 400]))
        events = rng.random((n_samples, 3)) < 0.1
        on = (events[:, source] | events[:, second]) & (rng.random((n_samples, n)) < 0.85)
        values = 0.2 + rng.random((n_samples, n)) if seed % 4 or run % 2 else 1
        dense.append(np.where(on, values, 0).astype(np.float32))
    batches = [[ProcessedActivations.from_dense(values, labels)] for values in dense]
    return plain.Ensemble(labels, [labels] * len(dense), batches, dense), groups


def gates_of(folds: Folds, groups: list[np.ndarray]) -> np.ndarray:
    return evidence_of_groups(folds, groups, threads=1).at_least


@pytest.mark.parametrize("false_alarm", [0.05, 30.0])
@pytest.mark.parametrize("seed", range(50))
def test_memberships_are_those_that_counting_sample_by_sample_gives(seed, false_alarm):
    ensemble, groups = case(seed)
    folds = ensemble.folds
    gates = np.random.default_rng(seed).integers(
        1, [min(4, len(group)) + 1 for group in groups]
    )  # any gate, up to all members
    found = find_memberships(folds, groups, gates, 2, false_alarm)
    expected = plain.memberships(ensemble.dense, groups, gates.tolist(), false_alarm)
    rows = list(zip(found.component.tolist(), found.group.tolist(), strict=True))
    assert sorted(rows) == sorted(expected)
    for row, saved, *shares in zip(rows, found.bits, found.share, found.relative, strict=True):
        np.testing.assert_allclose(saved, expected[row][0], rtol=1e-9, atol=1e-7)
        assert shares == pytest.approx(expected[row][1:])
    in_all = found.bits.sum(1)
    assert (np.diff(in_all) <= 0).all()


def test_enough_of_these_cases_have_memberships_of_both_kinds():
    joined = shared = 0
    for seed in range(50):
        ensemble, groups = case(seed)
        folds = ensemble.folds
        found = find_memberships(folds, groups, gates_of(folds, groups), threads=2)
        in_group = np.isin(found.component, np.concatenate(groups))
        joined, shared = joined + (~in_group).sum(), shared + in_group.sum()
    assert joined >= 10
    assert shared >= 10


@pytest.mark.parametrize("entries", [1, 7, 100])
def test_memberships_do_not_depend_on_how_many_samples_are_counted_at_once(monkeypatch, entries):
    for seed in range(8):
        ensemble, groups = case(seed)
        folds = ensemble.folds
        gates = gates_of(folds, groups)
        at_once = find_memberships(folds, groups, gates, threads=2)
        with monkeypatch.context() as smaller:
            smaller.setattr("spdclust.groups.members._CHUNK", entries)
            in_parts = find_memberships(folds, groups, gates, threads=2)
        for name in ("component", "group", "bits", "share", "relative"):
            np.testing.assert_array_equal(getattr(in_parts, name), getattr(at_once, name))


def test_without_groups_there_are_no_memberships():
    folds = plain.random_ensemble(7).folds
    found = find_memberships(folds, [], gates_of(folds, []), threads=1)
    assert found.bits.shape == (0, folds.n_folds)
    assert len(found.component) == len(found.group) == len(found.share) == 0


def test_a_member_is_shared_only_by_what_it_does_while_its_own_group_is_inactive():
    """Two groups that are always active together share nobody; a member that fires with the second alone is shared."""
    rng = np.random.default_rng(0)
    runs = []
    for _ in range(3):
        first, second = rng.random(3000) < 0.05, rng.random(3000) < 0.05
        both = rng.random(3000) < 0.05
        members = [first | both] * 3 + [second | both] * 3
        values = np.stack([*members, first | second | both], axis=1).astype(np.float32)
        runs.append(ProcessedActivations.from_dense(values, plain.names(7)))
    groups = [np.array([0, 1, 2, 6]), np.array([3, 4, 5])]
    ensemble = plain.Ensemble(runs[0].labels, [runs[0].labels] * 3, [[run] for run in runs], [])
    folds = ensemble.folds
    found = find_memberships(folds, groups, gates_of(folds, groups), threads=2)
    assert list(zip(found.component.tolist(), found.group.tolist(), found.share.tolist(), strict=True)) == [
        (6, 1, 1.0)
    ]


@st.composite
def groups_with_shared_members(draw) -> tuple[list[np.ndarray], Memberships]:
    """Disjoint groups of two to five, and members of them that are shared with other groups, most of them full."""
    sizes = draw(st.lists(st.integers(2, 5), min_size=2, max_size=7))
    numbers = draw(st.permutations(range(sum(sizes) + 2)))  # two components are in no group
    ends = np.cumsum(sizes)
    groups = [np.sort(numbers[end - size : end]) for size, end in zip(sizes, ends, strict=True)]
    possible = [
        (i, g) for own, group in enumerate(groups) for i in group for g in range(len(groups)) if g != own
    ]
    rows = draw(st.lists(st.sampled_from(possible), unique=True, max_size=12))
    relative = draw(
        st.lists(st.sampled_from([0.5, 0.74, 0.75, 1.0, 1.2]), min_size=len(rows), max_size=len(rows))
    )
    component, group = (np.array([row[k] for row in rows], dtype=np.int64) for k in range(2))
    n_rows = np.ones(len(rows))
    return groups, Memberships(component, group, n_rows[:, None], n_rows, np.array(relative))


@given(groups_with_shared_members())
def test_members_of_several_groups_are_listed_where_they_make_a_group_complete(case):
    groups, shared = case
    full = set(zip(shared.component.tolist(), shared.group.tolist(), strict=True))
    full -= {
        pair
        for pair, r in zip(zip(shared.component, shared.group, strict=True), shared.relative, strict=True)
        if r < 0.75
    }
    found = complete_groups(groups, shared)
    assert [group.tolist() for group in found] == plain.completed([group.tolist() for group in groups], full)
    # a partition of the same components still, in groups of two or more
    assert sorted(np.concatenate(found).tolist()) == sorted(np.concatenate(groups).tolist())
    assert min(len(group) for group in found) >= 2
    for g, group in enumerate(found):
        assert all((i, g) in full for i in set(group.tolist()) - set(groups[g].tolist()))


@given(groups_with_shared_members(), st.randoms(use_true_random=False))
def test_the_order_of_groups_and_rows_does_not_matter_for_where_members_are_listed(case, random):
    groups, shared = case
    order = random.sample(range(len(groups)), len(groups))
    rows = np.array(random.sample(range(len(shared.component)), len(shared.component)), dtype=np.int64)
    renamed = Memberships(
        shared.component, np.argsort(order)[shared.group], shared.bits, shared.share, shared.relative
    )
    found = complete_groups([groups[g] for g in order], renamed.rows(rows))
    expected = complete_groups(groups, shared)
    assert [group.tolist() for group in found] == [expected[g].tolist() for g in order]
