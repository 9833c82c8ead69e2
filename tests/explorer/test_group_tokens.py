"""Which tokens activate a group, from hand-made activations whose answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError
from spdclust.example_ensemble import example_found
from spdclust.explorer.group_tokens import (
    describe_by_tokens,
    group_activity,
    marked,
    rank_tokens,
    strongest_samples,
)
from spdclust.files.batches import ActivationBatch
from spdclust.files.ensembles import ensemble_record
from spdclust.files.groups import save_groups
from spdclust.files.histories import save_merge_history
from spdclust.files.stored_batch import TokenExamples, samples_of
from spdclust.groups.found import FoundGroups, SharedMembers
from spdclust.merge.activations import ProcessedActivations
from spdclust.merge.merging import merge_iteration
from spdclust.stability.agreement import groups_formed_by_all
from spdclust.stages.groups import examples

LABELS = ["a:0", "a:1", "b:0", "b:1"]


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32), st.sampled_from([None, 0.0, 0.3]))
def test_a_group_is_active_where_any_member_is(seed, threshold):
    rng = np.random.default_rng(seed)
    dense = rng.random((7, 4)) * (rng.random((7, 4)) < 0.5)
    members = np.flatnonzero(rng.random(4) < 0.6)
    expected = [any(dense[n, m] > (threshold or 0) for m in members) for n in range(7)]
    assert group_activity(sparse.csr_array(dense), members, threshold).tolist() == expected
    two = [sum(dense[n, m] > (threshold or 0) for m in members) >= 2 for n in range(7)]
    assert group_activity(sparse.csr_array(dense), members, threshold, active_members=2).tolist() == two
    sums = dense[:, members].sum(axis=1)
    strongest = strongest_samples(sparse.csr_array(dense), members, 3)
    np.testing.assert_allclose(np.sort(sums)[::-1][: len(strongest)], sums[strongest])


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32), st.integers(1, 60))
def test_bits_add_up_to_the_relative_entropy(seed, n):
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, 5, n)
    active = rng.random(n) < 0.5
    ranked = rank_tokens(tokens, active, {i: str(i) for i in range(5)})
    assert [each.lift for each in ranked] == sorted((each.lift for each in ranked), reverse=True)
    for each in ranked:  # five samples more, active as often as all are
        mean = active.mean()
        assert each.lift * mean == pytest.approx((each.n_active + 5 * mean) / (each.n_samples + 5))
    expected = 0.0
    for token in set(tokens[active].tolist()):
        p, q = np.mean(tokens[active] == token), np.mean(tokens == token)
        expected += p * np.log2(p / q)
    assert sum(each.bits for each in ranked) == pytest.approx(expected)
    assert sum(each.n_active for each in ranked) == active.sum()
    for each in ranked:
        assert each.n_samples == (tokens == int(each.text)).sum()


def test_a_frequent_token_is_not_first_because_it_is_frequent():
    texts = {0: " ", 1: ",", 2: "(", 3: "once"}
    tokens = np.repeat([0, 1, 2, 3], [1000, 1000, 50, 1])
    active = np.concatenate([np.arange(1000) < 500, np.zeros(1000, bool), np.ones(51, bool)])
    ranked = rank_tokens(tokens, active, texts)
    assert [each.text for each in ranked] == [
        "(",
        " ",
        "once",
    ]  # by share of activity " " has ten times as much
    assert max(ranked, key=lambda each: each.bits).text == " "


@pytest.fixture
def ensemble(tmp_path):
    """Components 0 and 1 are active on token 7, components 2 and 3 on token 9, nothing on token 8."""
    tokens = np.array([[7, 8, 9, 7, 8, 8], [9, 9, 7, 8, 8, 7]])
    dense = np.zeros((12, 4), dtype=np.float32)
    dense[:, :2] = (tokens.ravel() == 7)[:, None]
    dense[:, 2:] = (tokens.ravel() == 9)[:, None]
    dense[3, 0] = 0.5
    texts = {7: " seven", 8: "eight", 9: "nine\n"}
    kept = TokenExamples(tokens, samples_of(2, 6, None), texts)
    batch = ActivationBatch(ProcessedActivations.from_dense(dense, LABELS), examples=kept)
    batch.save(tmp_path / "precomputed_batches" / "run_0" / "batch_0.pt")
    config = MergeConfig(min_groups=2, iters=None, merge_pair_sampling_kwargs={"threshold": 0})
    history = merge_iteration(batch.activations, config, 0)
    save_merge_history(history, tmp_path / "demo" / "runs" / "run_0" / "history.zip")
    return tmp_path / "demo"


def test_groups_are_described_by_their_tokens(ensemble):
    text = examples(ensemble, run=0, iteration=-1)
    assert "run 0: 2 groups" in text
    assert "group 0: a ×2; active on 33.33%; ' seven' 4/4" in text
    assert "group 1: b ×2; active on 25.00%; 'nine\\n' 3/3" in text


def save_found(folder):
    """Write groups in the order of their evidence, b before a, which is active where two members exceed 0.6."""
    example = example_found()
    columns = {name: values[:2] for name, values in example.columns.items()}
    found = FoundGroups(
        LABELS, np.array([1, 1, 0, 0]), columns, 2, {"alone": 1.0, "answer": 0.5}, np.array([0]), np.array([0]), np.ones((2, 1)),
        SharedMembers(*[np.empty(0, np.int64)] * 2, *[np.empty(0)] * 2),
        settings={"n_runs": 1, "activation_threshold": 0.6},
    )  # fmt: skip
    assert columns["active_members"].tolist() == [1, 2]
    save_groups(found, folder, ensemble="a/demo", provenance=ensemble_record(folder))


def test_by_default_groups_are_those_that_hold_with_their_numbers(ensemble):
    save_found(ensemble)
    lines = examples(ensemble).split("\n")
    assert lines[0].endswith("2 groups that hold, most evidence first")
    # on one sample only one member of the second group exceeds the threshold
    assert lines[1] == "group 0: b ×2; active on 25.00%; 'nine\\n' 3/3"
    assert lines[2] == "group 1: a ×2; active on 25.00%; ' seven' 3/4"
    assert examples(ensemble, group=1).split("\n")[1] == "group 1: a:0, a:1"
    with pytest.raises(InputError, match=r"group: no such group \(found: 2; allowed: 0 to 1\)"):
        examples(ensemble, group=2)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_groups_of_all_runs_are_the_largest_sets_that_each_holds_at_some_iteration(seed, n_runs):
    rng = np.random.default_rng(seed)
    dense = (rng.random((40, 7)) < 0.3).astype(np.float32)
    dense[:, 1] = dense[:, 0]
    dense[0] = 1
    labels = [f"m:{i}" for i in range(7)]
    config = MergeConfig(iters=None, min_groups=2, merge_pair_sampling_kwargs={"threshold": 0.3})
    acts = ProcessedActivations.from_dense(dense, labels)
    histories = [merge_iteration(acts, config, run) for run in range(n_runs)]
    held = []
    for history in histories:
        groups = [history.group_idxs(t) for t in range(history.n_iterations)]
        held.append({frozenset(np.flatnonzero(g == k).tolist()) for g in groups for k in set(g.tolist())})
    common = {each for each in set.intersection(*held) if len(each) > 1}
    largest = {each for each in common if not any(each < other for other in common)}
    found = groups_formed_by_all(histories)
    assert {frozenset(labels.index(label) for label in group) for group in found} == largest
    assert found == sorted(sorted(group) for group in found)


def test_one_group_shows_its_places_the_strongest_first(ensemble):
    lines = examples(ensemble, run=0, iteration=-1, group=0, limit=4).split("\n")
    assert lines[1] == "group 0: a:0, a:1"
    assert lines[2] == "active on 33.33% of 12 tokens"
    assert lines[4:] == [
        "[ seven]eightnine⏎ seveneighteight",
        "nine⏎nine⏎[ seven]eighteight seven",
        "nine⏎nine⏎ seveneighteight[ seven]",
        " seveneightnine⏎[ seven]eighteight",
    ]


def test_token_ids_do_not_run_together():
    texts = ["31", "7", "250"]
    assert marked(texts, 1) == " 31[ 7] 250"
    assert marked(["31", " cats", ","], 1) == "31[ cats],"  # with a tokenizer, the spaces are in the texts
    kept = TokenExamples(np.arange(3)[None], np.array([[0, 0], [0, 1], [0, 2]]), dict(enumerate(texts)))
    matrix = sparse.csr_array(np.array([[0.0], [0.9], [0.0]]))
    (group,) = describe_by_tokens(matrix, kept, np.arange(1), [np.array([0])], 0.1)
    assert [place["texts"] for place in group["places"]] == [[" 31", " 7", " 250"]]


def test_what_is_missing_is_one_line(ensemble):
    with pytest.raises(InputError, match=r"group: no such group \(found: 5; allowed: 0 to 1\)"):
        examples(ensemble, run=0, iteration=-1, group=5)
    with pytest.raises(InputError, match=r"run: no such run \(found: 3; allowed: 0 to 0\)"):
        examples(ensemble, run=3)
    path = ensemble.parent / "precomputed_batches" / "run_0" / "batch_0.pt"
    ActivationBatch(ActivationBatch.load(path).activations).save(path)
    with pytest.raises(
        InputError,
        match=r"batch_0\.pt: batch has no tokens \(allowed: .*keep_examples: n, or tokens\.npy next to",
    ):
        examples(ensemble, run=0)


def test_an_iteration_without_its_run_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"iteration: has no effect without a run .*\(--run\)"):
        examples(tmp_path, iteration=3)
