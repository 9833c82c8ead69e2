"""How a group came together, counted by hand on a merge of six components, and against brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError
from spdclust.groups.explain import closest_run, explain_group
from spdclust.merge.activations import ProcessedActivations
from spdclust.merge.history import MergeHistory

LABELS = ["a:0", "a:1", "a:2", "b:0", "b:1", "b:2"]
ACTIVE = np.array(
    # a:0 a:1 a:2 b:0 b:1 b:2
    [[1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 1], [1, 0, 0, 0, 0, 1], [0, 0, 1, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0]],
    dtype=np.float32,
)  # fmt: skip


def run(pairs, labels=LABELS, **settings):
    nothing = np.zeros(len(pairs))
    return MergeHistory(list(labels), np.array(pairs), nothing, nothing, MergeConfig(**settings))


# a:2 with b:0; a:0 with a:1; then these two groups
FIRST = run([[2, 3], [0, 1], [0, 1]])
# a:0 with b:2; a:0, b:2 with a:1
SECOND = run([[0, 5], [0, 1]])
BATCH = ProcessedActivations.from_dense(ACTIVE, LABELS)


def test_each_merge_inside_a_group_is_counted():
    formation = explain_group([FIRST, SECOND], ["a:0", "a:1", "a:2"], 0, [BATCH])
    assert [(each.iteration, each.first, each.second) for each in formation.joinings] == [
        (1, ["a:0"], ["a:1"]),
        (2, ["a:0", "a:1"], ["a:2"]),
    ]
    first, second = formation.joinings
    assert (first.n_first, first.n_second, first.n_both, first.jaccard) == (3, 2, 2, 2 / 3)
    assert (second.n_first, second.n_second, second.n_both, second.jaccard) == (3, 2, 0, 0.0)
    assert (first.never_together, second.never_together) == (False, True)
    assert (first.n_others, second.n_others) == (0, 1)  # b:0 came with a:2
    # the second run joins a:0 and a:1 too, though with b:2, and never a:2
    assert (first.n_runs, second.n_runs) == (2, 1)
    assert (formation.n_samples, formation.apart, formation.absent) == (6, [["a:0", "a:1", "a:2"]], [])


def test_parts_that_are_never_joined_and_members_that_are_not_alive_are_named():
    alive = [label for label in LABELS if label != "a:2"]
    formation = explain_group([run([[0, 4]], alive)], ["a:0", "a:2", "b:2", "b:1"], 0, [BATCH])
    assert formation.absent == ["a:2"]
    assert formation.apart == [["a:0", "b:2"], ["b:1"]]
    assert [each.n_both for each in formation.joinings] == [2]


def test_batches_add_up_and_the_threshold_is_that_of_the_merge_unless_given():
    weak = ProcessedActivations.from_dense(ACTIVE * 0.3, LABELS)
    members = ["a:0", "a:1"]
    strong = run([[0, 1]], activation_threshold=0.5)
    assert explain_group([strong], members, 0, [BATCH, weak]).joinings[0].n_both == 2
    assert explain_group([strong], members, 0, [BATCH, weak], threshold=0.1).joinings[0].n_both == 4
    never = explain_group([strong], members, 0, [weak]).joinings[0]
    assert np.isnan(never.jaccard)


def test_the_closest_run_forms_the_group_with_the_fewest_others():
    assert closest_run([FIRST, SECOND], ["a:0", "a:1", "b:2"]) == 1
    assert closest_run([FIRST, SECOND], ["a:0", "a:1"]) == 0
    assert closest_run([SECOND, FIRST], ["a:0", "a:1"]) == 1
    assert closest_run([FIRST, SECOND], ["x:0", "x:1"]) == 0


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((["a:0", "a:1"], 2, [BATCH]), r"run: no such run \(found: 2; allowed: 0 to 1\)"),
        ((["x:0", "x:1"], 0, [BATCH]), "run: no member was part"),
        ((["a:0", "b:2"], 0, [ProcessedActivations.from_dense(ACTIVE[:, :3], LABELS[:3])]), "batch lacks a component.*b:2"),
    ],
)  # fmt: skip
def test_what_cannot_be_explained_is_one_line(arguments, problem):
    with pytest.raises(InputError, match=problem):
        explain_group([FIRST, SECOND], *arguments)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32))
def test_counts_are_those_of_the_merged_groups_restricted_to_the_members(seed):
    rng = np.random.default_rng(seed)
    n = 9
    labels = [f"m:{i}" for i in range(n)]
    histories = [
        run([np.sort(rng.choice(n - t, 2, replace=False)) for t in range(n - 1)], labels) for _ in range(3)
    ]
    dense = (rng.random((30, n)) < 0.3).astype(np.float32)
    members = sorted(rng.choice(n, int(rng.integers(2, n)), replace=False).tolist())
    batches = [ProcessedActivations.from_dense(part, labels) for part in (dense[:11], dense[11:])]
    formation = explain_group(histories, [labels[m] for m in members], 1, batches)
    expected = []
    before = np.arange(n)
    for iteration, pair in enumerate(histories[1].selected_pairs):
        parts = [[m for m in members if before[m] == group] for group in pair]
        before = histories[1].group_idxs(iteration)
        if all(parts):
            active = [dense[:, part].any(axis=1) for part in parts]
            union = sorted(parts[0] + parts[1])
            n_runs = sum(
                any(sorted(m for m in members if groups[m] == groups[union[0]]) == union for groups in each)
                for each in ([h.group_idxs(t) for t in range(n - 1)] for h in histories)
            )
            size = int((before == before[union[0]]).sum())
            expected.append(
                (iteration, {frozenset(labels[m] for m in part) for part in parts}, (active[0] & active[1]).sum(),
                 (active[0] | active[1]).sum(), n_runs, size - len(union))
            )  # fmt: skip
    assert expected == [
        (each.iteration, {frozenset(each.first), frozenset(each.second)}, each.n_both,
         each.n_first + each.n_second - each.n_both, each.n_runs, each.n_others)
        for each in formation.joinings
    ]  # fmt: skip
