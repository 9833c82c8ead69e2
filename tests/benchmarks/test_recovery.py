"""The recovery benchmark: its scores, the generator of planted groups, the alternatives, and the command."""

import itertools
import json
import sys
from types import SimpleNamespace
from typing import ClassVar

import alternatives
import answers
import numpy as np
import planted
import pytest
import recovery
import recovery_models
import recovery_tables
from ground_truth import Mechanism
from hypothesis import given
from hypothesis import strategies as st
from partition_scores import score, without_singletons
from scipy import sparse
from scipy.spatial.distance import pdist, squareform
from sklearn.cluster import FeatureAgglomeration
from sklearn.metrics import adjusted_rand_score

import spdclust
from spdclust import MergeConfig, ProcessedActivations, merge_iteration

LABELS = [f"m:{i}" for i in range(12)]


def test_scores_by_hand_with_a_component_in_two_known_groups():
    known = [np.array([0, 1, 2]), np.array([2, 3, 4]), np.array([5, 6])]  # 3 + 3 + 1 true pairs
    primary = np.array([0, 0, 0, 1, 1, 2, 2, -1])
    found = score(
        np.array([7, 7, 7, 3, 3, -1, 0, 0]), known, primary
    )  # {0,1,2}, {3,4}, and {6,7}, which is wrong
    assert found.precision == pytest.approx(4 / 5)
    assert found.recall == pytest.approx(4 / 7)
    assert found.f1 == pytest.approx(2 * 4 / (5 + 7))
    assert found.exact == pytest.approx(1 / 3)
    assert found.close == pytest.approx(1 / 3)  # {3,4} has a Jaccard similarity of 2/3 with {2,3,4}
    assert (found.false, found.n_groups) == (1, 3)
    # 5 pairs in each partition, 4 in both, 25/28 expected
    assert found.ari == pytest.approx((4 - 25 / 28) / (5 - 25 / 28))


def test_a_pair_across_known_groups_is_right_if_a_shared_member_makes_it_one():
    known = [np.array([0, 1]), np.array([1, 2])]
    found = score(np.array([0, 0, 0]), known, np.array([0, 0, 1]))
    assert found.precision == pytest.approx(2 / 3)  # 0 and 2 share no known group
    assert (found.recall, found.false) == (1, 0)


def test_shared_members_complete_a_group_and_spoil_another():
    known = [np.array([0, 1, 2]), np.array([2, 3, 4])]
    groups = np.array([5, 5, 5, 8, 8, -1])
    primary = np.array([0, 0, 0, 1, 1, -1])
    assert (score(groups, known, primary).exact, score(groups, known, primary).exact_shared) == (0.5, 0.5)
    found = score(groups, known, primary, {8: np.array([2])})
    assert (found.exact, found.exact_shared) == (0.5, 1.0)
    assert score(groups, known, primary, {5: np.array([3]), 8: np.array([2])}).exact_shared == 0.5


@pytest.mark.parametrize(
    ("known", "groups", "false", "close"),
    [
        ([[0, 1, 2]], [0, 0, 0, 0], 0, 1.0),  # 3 of 6 pairs are wrong: not most; Jaccard 3/4
        ([[0, 1], [2, 3]], [0, 0, 0, 0], 1, 0.0),  # 4 of 6
        ([[0, 1, 2, 3]], [0, 0, 0, -1], 0, 1.0),
        ([[0, 1, 2, 3]], [0, 0, -1, -1], 0, 0.0),
    ],
)
def test_a_group_is_false_from_more_than_half_wrong_pairs_and_close_from_three_quarters(
    known, groups, false, close
):
    known = [np.array(each) for each in known]
    found = score(np.array(groups), known, np.zeros(4, dtype=int))
    assert (found.false, found.close) == (false, close)


def test_nothing_reported_is_precise_and_finds_nothing():
    found = score(np.full(4, -1), [np.array([0, 1])], np.array([0, 0, -1, -1]))
    assert (found.precision, found.recall, found.f1, found.exact, found.n_groups) == (1, 0, 0, 0, 0)
    nothing_there = score(np.array([0, 0, 1, 2]), [], np.full(4, -1))
    assert (nothing_there.precision, nothing_there.false, nothing_there.n_groups) == (0, 1, 1)
    assert score(np.full(4, -1), [], np.full(4, -1)).ari == 1


def test_groups_of_one_are_no_groups():
    assert without_singletons(np.array([5, 2, 5, -1, 9, -1])).tolist() == [0, -1, 0, -1, -1, -1]


@given(
    st.lists(st.integers(-1, 3), min_size=7, max_size=7),
    st.lists(st.sets(st.integers(0, 6), min_size=1), max_size=4),
)
def test_pairs_are_those_counted_one_by_one(groups, known):
    pairs = list(itertools.combinations(range(7), 2))
    true = {pair for pair in pairs if any(set(pair) <= each for each in known)}
    reported = {(i, j) for i, j in pairs if groups[i] == groups[j] >= 0}
    known = [np.array(sorted(each)) for each in known]
    found = score(np.array(groups), known, np.full(7, -1))
    assert found.precision == pytest.approx(len(true & reported) / len(reported) if reported else 1)
    assert found.recall == pytest.approx(len(true & reported) / len(true) if true else 1)


# the generator


def _model(seed=0, n_components=600, **law):
    rng = np.random.default_rng(seed)
    return planted._Model(planted.Law(**law), n_components, rng), rng


def _counts(model, rng, n_samples=40_000):
    return alternatives.coactivation(model.draw(n_samples, rng)), n_samples


def test_the_same_seed_gives_the_same_activations_and_another_does_not():
    one, same, other = (planted.planted("all", seed, 60, 500, 2) for seed in (1, 1, 2))
    for run, again in zip(one.runs, same.runs, strict=True):
        assert (run.matrix != again.matrix).nnz == 0
    assert (one.runs[0].matrix != one.runs[1].matrix).nnz > 0
    assert (one.runs[0].matrix != other.runs[0].matrix).nnz > 0
    assert all(np.array_equal(a, b) for a, b in zip(one.groups, same.groups, strict=True))
    assert set(np.unique(one.runs[0].matrix.data)) == {1.0}


@pytest.mark.parametrize("law", planted.LAWS)
def test_groups_partition_the_members_but_for_the_overlap(law):
    data = planted.planted(law, 0, 600, 10, 1)
    assert all(len(np.unique(group)) == len(group) >= 2 for group in data.groups)
    n_first = sum(int((data.primary == number).sum()) for number in range(len(data.groups)))
    n_members = sum(len(group) for group in data.groups)
    assert np.count_nonzero(data.primary < 0) in (
        150,
        151,
        152,
    )  # a quarter; two are too few for another group
    assert n_members - n_first == int(planted.LAWS[law].overlap * n_first)
    for number, group in enumerate(data.groups):
        assert set(np.flatnonzero(data.primary == number)) <= set(group)


@pytest.mark.parametrize("drop_out", [0.1, 0.3, 0.5])
def test_members_are_silent_on_as_many_events_as_the_law_says(drop_out):
    counts, _ = _counts(*(made := _model(drop_out=drop_out)))
    together = given_other = 0.0
    for group in made[0].groups:
        inside = counts[np.ix_(group, group)]
        together += inside.sum() - np.trace(inside)
        given_other += np.trace(inside) * (len(group) - 1)
    assert together / given_other == pytest.approx(1 - drop_out, abs=0.01)


@pytest.mark.parametrize(("drop_out", "false_firing"), [(0.1, 0.0), (0.1, 0.5), (0.3, 0.1)])
def test_components_and_pairs_are_active_as_often_as_the_law_says(drop_out, false_firing):
    model, rng = _model(drop_out=drop_out, false_firing=false_firing)
    counts, n_samples = _counts(model, rng)
    expected, found = np.zeros((2, 2)), np.zeros((2, 2))
    for rate, group in zip(model.rates, model.groups, strict=True):
        often = int(rate > 0.01)  # the sums of rare and of frequent groups
        alone = false_firing * rate
        fires = 1 - (1 - alone) * drop_out  # on an event of the group
        expected[often] += rate * np.array([fires, fires**2]) + (1 - rate) * np.array([alone, alone**2])
        i, j = group[:2]
        found[often] += counts[i, i], counts[i, j]
    assert found / n_samples == pytest.approx(expected, rel=0.05)
    assert ((model.rates >= 1e-3) & (model.rates <= 0.1)).all()


@pytest.mark.parametrize("law", [{"contexts": True}, {}])
def test_contexts_make_groups_that_share_one_active_together_and_keep_their_rates(law):
    model, rng = _model(drop_out=0.0, **law)
    counts, n_samples = _counts(model, rng)
    first = np.array([group[0] for group in model.groups])
    active, together = np.diag(counts)[first], counts[np.ix_(first, first)]
    assert active.sum() == pytest.approx(n_samples * model.rates.sum(), rel=0.03)
    shared = model.contexts.astype(int) @ model.contexts.T
    for n_shared in (0, 2):
        pairs = np.triu(shared == n_shared, 1)
        # the mean over ten contexts of the product of 3 where a group has the context, 1/2 where not
        lift = (n_shared * 9 + 2 * (2 - n_shared) * 1.5 + (6 + n_shared) * 0.25) / 10 if law else 1.0
        by_chance = (active[:, None] * active[None, :] / n_samples)[pairs].sum()
        assert together[pairs].sum() == pytest.approx(lift * by_chance, rel=0.1)


def test_siblings_of_a_hierarchy_share_events_and_others_do_not():
    model, rng = _model(drop_out=0.0, hierarchy=True)
    counts, n_samples = _counts(model, rng)
    first = np.array([group[0] for group in model.groups])
    active, together = np.diag(counts)[first], counts[np.ix_(first, first)]
    chance = active[:, None] * active[None, :] / n_samples
    siblings = np.triu(model.parents[:, None] == model.parents, 1)
    others = np.triu(model.parents[:, None] != model.parents, 1)
    assert together[siblings].sum() > 3 * chance[siblings].sum()
    assert together[others].sum() == pytest.approx(chance[others].sum(), rel=0.05)


def test_rare_groups_polysemantic_members_and_always_active_components():
    model, rng = _model(rare=0.4, polysemantic=0.2, always_on=30)
    assert (model.rates == 1e-4).sum() == int(0.4 * len(model.groups))
    grouped = model.primary >= 0
    assert (model.alone[grouped] > 0).sum() == int(0.2 * grouped.sum())
    counts, n_samples = _counts(model, rng)
    always = np.flatnonzero(np.diag(counts) > 0.9 * n_samples)
    assert len(always) == 30
    assert (model.primary[always] == -1).all()
    inside = counts[np.ix_(always, always)] / n_samples
    assert inside[~np.eye(30, dtype=bool)].mean() == pytest.approx(
        0.97**2, abs=0.002
    )  # independent of each other


@pytest.mark.parametrize(
    ("law", "busy", "rate"), [(name, *busy) for name, busy in planted.INDEPENDENT.items()]
)
def test_independent_components_meet_as_often_as_chance_says(law, busy, rate):
    data = planted.planted(law, 0, 300, 20_000, 1)
    assert data.groups == []
    assert (data.primary == -1).all()
    counts = alternatives.coactivation(data.runs[0].matrix)
    share = np.diag(counts) / 20_000
    assert share[:busy] == pytest.approx(np.full(busy, rate), abs=0.02)
    i, j = np.triu_indices(300, 1)
    expected = 20_000 * share[i] * share[j]
    sd = np.sqrt(expected * (1 - share[i]) * (1 - share[j]))
    enough = expected > 5
    z = (counts[i, j] - expected)[enough] / sd[enough]
    assert z.mean() == pytest.approx(0, abs=0.05)
    assert z.std() == pytest.approx(1, abs=0.05)


# the alternatives


def test_counts_and_jaccard_distances_are_those_of_scipy():
    rng = np.random.default_rng(0)
    dense = rng.random((200, 12)) * (rng.random((200, 12)) < 0.4)
    counts = alternatives.coactivation(sparse.csr_array(dense), 0.3)
    active = dense > 0.3
    assert counts.tolist() == (active.T.astype(int) @ active.astype(int)).tolist()
    assert alternatives.jaccard_distance(counts) == pytest.approx(squareform(pdist(active.T, "jaccard")))


def test_feature_agglomeration_from_counts_is_that_of_the_activations():
    matrix = planted.planted("all", 0, 100, 3_000, 1).runs[0].matrix
    matrix = matrix[:, np.flatnonzero(matrix.sum(axis=0) > 0)]
    found = alternatives.feature_agglomeration(alternatives.coactivation(matrix))
    model = FeatureAgglomeration(len(np.unique(found)), metric="cosine", linkage="average")
    assert 1 < len(np.unique(found)) < matrix.shape[1]
    assert adjusted_rand_score(model.fit(matrix.toarray()).labels_, found) == 1


@pytest.mark.parametrize("name", alternatives.METHODS)
def test_every_alternative_finds_clear_groups_and_leaves_the_never_active_alone(name):
    if name == "Leiden":
        pytest.importorskip("leidenalg")
    rng = np.random.default_rng(0)
    events = rng.random((5_000, 4)) < 0.1
    dense = np.repeat(events, 3, axis=1) & (rng.random((5_000, 12)) < 0.95)
    dense = np.hstack([dense, rng.random((5_000, 8)) < 0.05, np.zeros((5_000, 2), dtype=bool)])
    results = alternatives.alternatives(
        [sparse.csr_array(half) for half in np.split(dense, 2)], only=name.__eq__
    )
    assert list(results) == [(name, "one run"), (name, "consensus"), (name, "pooled")]
    for groups, seconds in results.values():
        assert len({*groups[:12]}) == 4
        assert (groups[:12].reshape(4, 3) == groups[:12:3, None]).all()
        assert (groups[-2:] == -1).all()
        assert seconds >= 0


def test_components_are_connected_by_both_conditional_probabilities():
    counts = np.array([[10, 6, 0], [6, 11, 5.5], [0, 5.5, 8]])  # 6/11 > .5; 5.5/11 is not
    groups = alternatives.conditional_components(counts)
    assert groups[0] == groups[1] != groups[2]


def test_a_consensus_joins_what_more_than_half_of_the_runs_join():
    runs = [[0, 0, 1, 1, -1, -1], [0, 0, 1, 1, -1, -1], [0, 0, -1, 1, 2, 2], [-1, 0, -1, 1, 2, 2]]
    assert alternatives.consensus([np.array(run) for run in runs]).tolist() == [0, 0, -1, -1, -1, -1]
    three = alternatives.consensus([np.array(run) for run in runs[:3]])
    assert three.tolist() == [0, 0, 1, 1, -1, -1]


# this package's answers


def _ensemble():
    data = planted.planted("drop-out .1", 0, 60, 2_000, 3)
    return data, MergeConfig(iters=None, min_groups=1)


def test_our_answer_is_matched_with_components_by_label(monkeypatch):
    seen = []

    class Found:
        labels = LABELS[::-1][:11]  # m:11 … m:1; m:0 is missing
        group_idxs = np.array([0, 0, 1, 1, 1, 2, 3, 4, 5, 6, 7])
        shared = SimpleNamespace(group=np.array([1, 1]))
        columns: ClassVar = {"bits_saved": np.array([3.0, 3.0]), "bits_saved_se": np.array([1.5, 1.4])}

        def members(group):
            return [["m:11", "m:10"], ["m:9", "m:8", "m:7"]][group]

        def shared_with(group):
            return [[], ["m:11", "m:10"]][group]

    def find_groups(histories, batches, n_null):
        seen.append((len(histories), len(batches)))
        return Found

    monkeypatch.setattr(spdclust, "find_groups", find_groups, raising=False)
    dense = np.random.default_rng(0).random((100, 12)) < 0.3
    runs = [ProcessedActivations.from_dense(dense, LABELS)] * 2
    found = answers.answer_all(runs, MergeConfig(iters=None), only="find_groups".__eq__)
    assert seen == [(1, 1), (2, 2)]
    assert list(found) == [("find_groups", "one run"), ("find_groups", "all runs")]
    for answer in found.values():
        assert answer.groups.tolist() == [-1] * 7 + [1, 1, 1, 0, 0]
        assert {group: shared.tolist() for group, shared in answer.shared.items()} == {1: [11, 10]}
        assert answer.sure == (1,)  # twice its error is not more than it


def test_cuts_are_made_from_the_merges_asked_for_and_from_greedy_ones():
    data, config = _ensemble()
    found = answers.answer_all(data.runs, config, only="shortest description".__eq__)
    greedy = config.model_copy(update={"merge_pair_sampling_kwargs": {"threshold": 0.0}})
    for source, settings in [("one run", config), ("one run, greedy", greedy)]:
        history = merge_iteration(data.runs[0], settings, 0)
        expected = dict(zip(history.labels, history.group_idxs(history.best_iteration()), strict=True))
        at_best = np.array([expected.get(label, -1) for label in data.runs[0].labels])
        assert found["shortest description", source].groups.tolist() == without_singletons(at_best).tolist()


def test_what_all_runs_form_is_not_everything():
    data, config = _ensemble()
    found = answers.answer_all(data.runs, config, only="formed by all runs".__eq__)
    for answer in found.values():
        assert (answer.groups >= 0).any()
        assert np.bincount(answer.groups + 1)[1:].max() < 60


# models


def test_models_are_scored_over_the_components_of_one_feature():
    labels = [*(f"layers.0.mlp_in:{i}" for i in range(5)), *(f"layers.0.mlp_out:{i}" for i in range(4))]
    rng = np.random.default_rng(0)
    dense = (rng.random((500, 9)) < [0.05, 0.05, 0.05, 0.05, 0, 0.5, 0.5, 0.5, 0.01]).astype(float)
    runs = [ProcessedActivations.from_dense(dense, labels)]
    of = {f"layers.0.mlp_in:{i}": feature for i, feature in enumerate([7, 7, 3, 7, 7])}
    known = recovery_models.known_components(runs, Mechanism(of, {}, {}), 0.1)
    assert known.readers.tolist() == [0, 1, 2, 3]  # 4 is never active
    assert [each.tolist() for each in known.features] == [[0, 1, 3]]
    assert known.always.tolist() == [5, 6, 7]
    found = recovery_models.describe(np.array([0, 0, 0, -1, -1, 0, 1, 1, 1]), known, labels)
    assert found["precision"] == pytest.approx(1 / 3)
    assert found["recall"] == pytest.approx(1 / 3)
    assert (found["wrong_pairs"], found["n_groups"]) == (2, 2)
    assert (found["always"], found["n_always"], found["beside_always"]) == (2, 3, 1)
    assert found["groups"] == [[*labels[:3], labels[5]], labels[6:]]


def test_without_a_true_pair_only_wrong_ones_are_counted():
    labels = ["mlp_in:0", "mlp_in:1", "mlp_out:0"]
    runs = [ProcessedActivations.from_dense(np.ones((3, 3)), labels)]
    known = recovery_models.known_components(runs, Mechanism({"mlp_in:0": 0, "mlp_in:1": 1}, {}, {}), 0.1)
    found = recovery_models.describe(np.zeros(3, dtype=int), known, labels)
    assert "f1" not in found
    assert (found["wrong_pairs"], found["always"], found["beside_always"]) == (1, 1, 2)
    assert recovery_models.describe(np.full(3, -1), known, labels)["wrong_pairs"] == 0


# tables and the command


def test_the_spread_is_that_of_the_seeds_means_over_laws():
    records = [
        {"law": law, "seed": seed, "answer": "a", "mode": "one run"}
        | dict.fromkeys(recovery_tables.SCORES, value)
        for law, seed, value in [("rare", 0, 0.1), ("rare", 1, 0.2), ("all", 0, 0.3), ("all", 1, 0.8)]
    ]
    lines = recovery_tables.planted_tables(records).splitlines()
    mean = next(line for line in lines if line.startswith("| a |"))
    assert mean.split(" | ")[2] == "0.350 ± 0.212"  # .2 and .5
    assert "| a | one run | 0.150 ± 0.071 | 0.550 ± 0.354 |" in lines  # rare before all


def test_the_command_writes_what_it_prints_and_draws_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(recovery, "SMALL", (60, 2_000, 2))
    path = tmp_path / "results.json"
    command = ["recovery.py", "--json", str(path)]
    chosen = ["--seeds", "2", "--laws", "rare", "independent", "--answers", "conditional", "shortest"]
    monkeypatch.setattr(sys, "argv", [*command, *chosen])
    recovery.main()
    printed = capsys.readouterr().out
    saved = json.loads(path.read_text())
    assert saved["size"] == {"components": 60, "samples": 2_000, "runs": 2}
    assert len(saved["results"]) == 2 * 2 * (3 + 2 + 1)  # the last is the true partition
    assert printed.strip() == recovery_tables.planted_tables(saved["results"])
    figure = tmp_path / "figure.png"
    monkeypatch.setattr(sys, "argv", [*command, "--figure", str(figure)])
    recovery.main()
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_an_unknown_answer_is_named(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["recovery.py", "--answers", "k-means"])
    with pytest.raises(SystemExit):
        recovery.main()
    assert "unknown answer 'k-means'" in capsys.readouterr().err


def test_sure_groups_are_counted_apart():
    known = [np.array([0, 1]), np.array([2, 3])]
    primary = np.array([0, 0, 1, 1, -1, -1])
    groups = np.array([7, 7, 2, -1, 2, 5])  # true, false, one alone
    found = score(groups, known, primary, sure=[7, 2, 5])
    assert (found.sure, found.sure_true, found.false) == (2, 1, 1)
    assert (score(groups, known, primary, sure=[2]).sure_true, score(groups, known, primary).sure) == (0, 0)
