"""Groups from runs and samples, end to end: planted and independent data, what it may not depend on, and errors."""

import dataclasses

import groups_plain as plain
import numpy as np
import pytest
from planted import planted

from spdclust import find_groups
from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError
from spdclust.example_ensemble import CONCEPTS, example_activations, example_history
from spdclust.files.batches import ActivationBatch, BatchedActivations
from spdclust.groups import find, samples
from spdclust.groups.evidence import _choose_nodes, evidence_of_groups
from spdclust.groups.find import _check_runs
from spdclust.groups.find import find_groups as find_groups_in_memory
from spdclust.groups.found import COLUMNS
from spdclust.groups.members import find_memberships
from spdclust.groups.samples import fold_samples
from spdclust.groups.similarity import average_tree, pair_sums
from spdclust.merge.activations import ProcessedActivations
from spdclust.merge.merging import merge_iteration
from spdclust.merge.sources import BatchesInMemory
from spdclust.partitions.ensemble import MergeHistoryEnsemble, runs_by_samples

MERGE = MergeConfig(activation_threshold=plain.THRESHOLD, iters=None, min_groups=1)


def answer(found) -> list[list[str]]:
    return [found.members(group) for group in range(found.n_groups)]


def everything(found) -> list[bytes]:
    """All numbers of an answer, to the bit."""
    arrays = [found.group_idxs, *found.columns.values(), found.null_groups, found.null_groups_busy]
    arrays += [found.bits_saved_runs, *dataclasses.astuple(found.shared)]
    if found.tree is not None:
        arrays += dataclasses.astuple(found.tree)
    return [np.asarray(each).tobytes() for each in arrays] + [
        repr(found.bits).encode(),
        repr(found.cohesion).encode(),
    ]


def find_in(runs, **settings):
    """Groups of runs that merged nothing."""
    return find_groups([plain.history(run.labels) for run in runs], list(runs), **({"n_null": 0} | settings))


def known(law: str, seed: int = 0):
    return planted(law, seed, n_components=100, n_samples=4000, n_runs=3)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("law", ["drop-out .1", "drop-out .3", "false firing .1", "contexts"])
def test_planted_groups_are_found_member_for_member(law, seed):
    data = known(law, seed)
    labels = data.runs[0].labels
    expected = sorted(sorted(labels[i] for i in group) for group in data.groups)
    assert len(expected) >= 4
    assert sorted(answer(find_in(data.runs))) == expected


def test_equal_activations_in_memory_are_the_same_samples():
    independent = (np.random.default_rng(1).random((300, 40)) < 0.05).astype(np.float32)
    labels = [f"m:{index}" for index in range(40)]
    runs = [ProcessedActivations.from_dense(independent.copy(), labels) for _ in range(4)]
    histories = [merge_iteration(run, MergeConfig(iters=None), seed) for seed, run in enumerate(runs)]
    found = find_groups(histories, runs)
    assert found.settings["same_samples"] == [[0, 1, 2, 3]]
    assert found.warnings[0].startswith("Runs 0, 1, 2 and 3 were merged on the same samples")
    assert found.n_groups == 0
    others = [
        ProcessedActivations.from_dense(np.roll(independent, 1, axis=0), labels),
        ProcessedActivations.from_dense(independent * np.float32(2), labels),
        ProcessedActivations.from_dense(independent, labels[::-1]),
    ]
    assert "same_samples" not in find_groups(histories, [runs[0], *others]).settings
    batches = [[run, run] for run in runs]
    assert find_groups(histories, batches).settings["same_samples"] == [[0, 1, 2, 3]]


def test_equal_batches_in_files_are_the_same_samples(tmp_path):
    independent = (np.random.default_rng(1).random((300, 40)) < 0.05).astype(np.float32)
    labels = [f"m:{index}" for index in range(40)]
    arrays = [independent, independent, np.roll(independent, 1, axis=0), independent]
    for run, array in enumerate(arrays):
        for batch in range(2):
            stored = ActivationBatch.from_dense(array + np.float32(batch * 0.1), labels, seed=run)
            stored.save(tmp_path / f"run_{run}/batch_{batch}.pt")
    sources = [BatchedActivations(tmp_path / f"run_{run}") for run in range(4)]
    histories = [
        merge_iteration(source, MergeConfig(iters=None), seed) for seed, source in enumerate(sources)
    ]
    found = find_groups(histories, sources)
    assert found.settings["same_samples"] == [[0, 1, 3], [2]]
    assert found.warnings[0].startswith("Runs 0, 1 and 3 were merged on the same samples")


def test_activations_that_are_too_large_to_be_multiplied_are_an_error():
    values = np.kron(np.random.default_rng(0).random((300, 3)) < 0.1, np.ones(2)).astype(np.float32)

    def found(scale):
        labels = [f"m:{index}" for index in range(6)]
        runs = [
            ProcessedActivations.from_dense(part * np.float32(scale), labels)
            for part in (values, values[::-1])
        ]
        return find_groups([merge_iteration(run, MergeConfig(iters=2), 0) for run in runs], runs)

    assert found(1e17).group_idxs.tolist() == found(1).group_idxs.tolist()
    with pytest.raises(
        InputError, match=r"^m:\d: activations are too large .*sum of squares .*at most 1\.7e\+38"
    ):
        found(1e19)


def test_samples_without_active_components_do_not_preserve_groups_in_the_busy_null():
    labels = [f"m:{index}" for index in range(60)]
    runs = []
    for seed in range(2):
        concepts = np.random.default_rng(seed).random((4000, 15)) < 0.02
        assert (~concepts.any(axis=1)).mean() > 0.7
        runs.append(ProcessedActivations.from_dense(concepts.repeat(4, axis=1).astype(np.float32), labels))
    found = find_in(runs, n_null=2)
    assert found.n_groups == 15
    assert found.null_groups_busy.tolist() == [0, 0]


def test_members_of_two_planted_groups_are_shared():
    data = known("overlap", 1)
    found = find_in(data.runs)
    labels = data.runs[0].labels
    truth = [{labels[i] for i in group} for group in data.groups]
    assert len(found.shared.component)
    for component, group in zip(found.shared.component.tolist(), found.shared.group.tolist(), strict=True):
        members = set(found.members(group))
        (second,) = [each for each in truth if len(members & each) > len(members) / 2]
        assert found.labels[component] in second
        assert found.labels[component] in found.shared_with(group)
    both = {label for label in labels if sum(label in each for each in truth) > 1}
    often = {
        labels[i] for i in np.flatnonzero(np.sum([run.matrix.sum(0) for run in data.runs], axis=0) >= 300)
    }
    named = {found.labels[component] for component in found.shared.component}
    assert len(both & often) >= 3
    assert len(named & both & often) >= 0.6 * len(both & often)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("law", ["independent", "independent, 30 of rate .97", "independent, 50 of rate .25"])
def test_independent_components_form_no_group(law, seed):
    data = known(law, seed)
    found = find_in(data.runs, n_null=1)
    assert found.n_groups == 0
    assert found.null_groups.tolist() == found.null_groups_busy.tolist() == [0]
    one = find_in(data.runs[:1])
    assert one.n_groups == 0


def test_where_coactivation_is_destroyed_nothing_is_found():
    found = find_in(known("drop-out .1").runs, n_null=2)
    assert found.n_groups > 5
    assert found.null_groups.tolist() == [0, 0]
    assert found.expected_false == 0


def test_groups_that_are_there_because_samples_are_busy_are_found_in_busy_null_runs():
    rng = np.random.default_rng(0)
    runs = []
    for _ in range(3):
        busy = rng.random((3000, 1)) < 0.1
        dense = rng.random((3000, 20)) < np.where(busy, 0.5, 0.01)
        runs.append(ProcessedActivations.from_dense(dense.astype(np.float32), plain.names(20)))
    found = find_in(runs, n_null=2)
    assert found.n_groups >= 1
    assert found.null_groups.tolist() == [0, 0]
    assert (found.null_groups_busy >= 1).all()


@pytest.fixture(scope="module")
def example():
    """Runs of the example with their merges, cut into batches."""
    runs = [example_activations(seed) for seed in range(3)]
    batches = [[_rows(run, 0, 90), _rows(run, 90, 200)] for run in runs]
    return [example_history(seed) for seed in range(3)], batches


def _rows(run, first, last):
    return ProcessedActivations.from_sparse(run.matrix[first:last], run.labels)


def test_the_answer_is_the_same_to_the_bit_for_any_number_of_threads_and_whenever_asked(example):
    histories, batches = example
    found = find_groups(histories, batches, threads=1)
    assert sorted(map(tuple, answer(found))) == sorted(CONCEPTS)
    for threads in (2, None, 1):
        assert everything(find_groups(histories, batches, threads=threads)) == everything(found)
    ensemble = MergeHistoryEnsemble(histories)
    assert everything(find_groups(ensemble, batches)) == everything(found)


def test_the_answer_is_the_same_to_the_bit_however_many_samples_are_kept(example, monkeypatch):
    monkeypatch.setattr(samples, "BLOCK", 64)
    expected = everything(find_groups(*example))
    for room in (10**9, 10_000, 0):
        monkeypatch.setattr(samples, "_KEEP_SETS_BYTES", room)
        assert everything(find_groups(*example)) == expected


@pytest.mark.parametrize("block", [1, 64, 1000])
def test_blocks_of_samples_only_change_how_sums_over_them_are_rounded(example, monkeypatch, block):
    expected = find_groups(*example)
    monkeypatch.setattr(samples, "BLOCK", block)
    found = find_groups(*example)
    # of sums in single precision, to which the sums of every block are added
    rounded = []
    for each in (found, expected):
        similar = [list(summary.values()) for summary in each.cohesion.values()]
        rounded.append(
            [each.columns.pop("cohesion"), each.columns.pop("lift"), each.tree.height.copy(), similar]
        )
        each.tree.height[:] = 0
        each.cohesion.clear()
    for one, other in zip(*rounded, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    assert everything(found) == everything(expected)


def test_the_order_of_components_does_not_matter(example):
    histories, batches = example
    rng = np.random.default_rng(0)

    def shuffled(run):
        order = rng.permutation(len(run[0].labels))
        labels = [run[0].labels[i] for i in order]
        return [ProcessedActivations.from_sparse(batch.matrix[:, order], labels) for batch in run]

    expected = find_groups(histories, batches, n_null=1)
    found = find_groups(histories, [shuffled(run) for run in batches], n_null=1)
    assert everything(found) == everything(expected)
    # the histories' order neither, where their merges hold the same groups
    none = [plain.history(history.labels) for history in histories]
    reverse = [plain.history(history.labels[::-1]) for history in histories]
    assert everything(find_groups(none, batches, n_null=0)) == everything(
        find_groups(reverse, batches, n_null=0)
    )


@pytest.mark.parametrize("n_runs", [1, 3])
@pytest.mark.parametrize("stored", [True, False])
def test_what_was_read_of_a_source_before_changes_nothing(tmp_path, n_runs, stored):
    rng = np.random.default_rng(2)
    sources, labels, in_run_0 = [], plain.names(9), []
    for run in range(n_runs):
        on = (rng.random((900, 3)) < 0.1)[:, np.arange(9) // 3] & (rng.random((900, 9)) < 0.9)
        acts = [ProcessedActivations.from_dense(each, labels) for each in np.split(on, [200, 500])]
        for number, each in enumerate(acts):
            ActivationBatch(each, seed=run).save(tmp_path / f"run_{run}/batch_{number}.pt")
        in_run_0 = acts if run == 0 else in_run_0
        sources.append(BatchedActivations(tmp_path / f"run_{run}") if stored else BatchesInMemory(acts))
    histories = [plain.history(labels) for _ in sources]
    expected = everything(find_groups(histories, sources, n_null=1))
    for turns in (1, 2):
        for source in sources[:turns]:
            source.get_next_batch()
        assert everything(find_groups(histories, sources, n_null=1)) == expected
        # runs with the same samples are recognised
        again = BatchedActivations(tmp_path / "run_0") if stored else BatchesInMemory(in_run_0)
        again.get_next_batch()
        assert runs_by_samples(histories[:1] * 2, [sources[0], again]) == [[0, 1]]


def test_a_source_without_rewind_is_read_to_its_last_batch_when_it_is_compared():
    labels, rng = plain.names(4), np.random.default_rng(0)

    class Turns:
        def __init__(self, samples):
            self._inner = BatchesInMemory([ProcessedActivations.from_dense(x, labels) for x in samples])
            self.labels, self.n_batches = labels, len(samples)
            self.get_next_batch = self._inner.get_next_batch
            self.component_stats = self._inner.component_stats

    one, other = ([(rng.random((40, 4)) < 0.4).astype(np.float32) for _ in range(3)] for _ in range(2))
    runs = [plain.history(labels) for _ in range(3)]
    assert runs_by_samples(runs, [Turns(one), Turns(other), Turns(one)]) == [[0, 2], [1]]


def test_the_order_of_runs_does_not_change_the_groups(example):
    histories, batches = example
    found, turned = (
        find_groups(histories, batches, n_null=0),
        find_groups(histories[::-1], batches[::-1], n_null=0),
    )
    assert answer(found) == answer(turned)
    np.testing.assert_allclose(found.bits_saved_runs, turned.bits_saved_runs[:, ::-1])
    assert found.columns["runs_exact"].tolist() == turned.columns["runs_exact"].tolist()


def test_the_seed_is_that_of_null_runs_only(example):
    histories, batches = example
    a, b = (find_groups(histories, batches, n_null=1, seed=seed) for seed in (0, 1))
    assert (a.settings["seed"], b.settings["seed"]) == (0, 1)
    np.testing.assert_array_equal(a.bits_saved_runs, b.bits_saved_runs)


@pytest.mark.parametrize("seed", range(10))
def test_columns_are_what_they_say(seed):
    """Of degenerate ensembles too: missing, silent, always active and duplicate components, tiny batches."""
    ensemble = plain.random_ensemble(seed, n_components=13)
    found = find_groups(ensemble.histories, ensemble.batches, n_null=1)
    pooled = np.concatenate(ensemble.dense)
    n_samples = [len(each) for each in ensemble.dense]
    similar = plain.similarity(pooled)
    assert list(found.columns) == list(COLUMNS)
    assert found.labels == ensemble.labels
    assert found.settings["n_samples"] == n_samples
    everyone = sorted(label for group in answer(found) for label in group)
    assert len(everyone) == len(set(everyone)) == len(found.labels) - found.n_alone
    assert sorted(set(found.group_idxs.tolist())) == list(range(found.n_groups + found.n_alone))
    alone = plain.bits_alone(ensemble.dense)
    assert found.bits["alone"] == pytest.approx(alone.sum() / sum(n_samples))
    saved_in_all = 0.0
    for g in range(found.n_groups):
        members = found.member_idxs(g).tolist()
        by_gate = plain.evidence(ensemble.dense, members)
        gate = int(found.columns["active_members"][g])
        per_sample = np.array(by_gate[gate]) / n_samples
        saved_in_all += sum(by_gate[gate])
        assert sum(by_gate[gate]) >= max(map(sum, by_gate.values())) - 1e-6
        np.testing.assert_allclose(found.bits_saved_runs[g], per_sample, atol=1e-9)
        expected = plain.described(ensemble.dense, members, gate)
        expected |= {"runs_exact": 0, "support": 1 / len(members)}  # nothing was merged
        for name, value in expected.items():
            assert found.columns[name][g] == pytest.approx(value, rel=1e-5, abs=1e-9), name
    assert found.bits["answer"] == pytest.approx((alone.sum() - saved_in_all) / sum(n_samples))
    assert (np.diff(found.bits_saved_runs @ n_samples) <= 1e-9).all()  # the best supported first
    inside = [
        similar[i, j]
        for g in range(found.n_groups)
        for i in found.member_idxs(g)
        for j in found.member_idxs(g)
        if i < j
    ]
    between = [
        similar[i, j]
        for i in range(13)
        for j in range(i)
        if max(found.group_idxs[[i, j]]) < found.n_groups and found.group_idxs[i] != found.group_idxs[j]
    ]
    for name, values in (("inside", inside), ("between", between)):
        if values:
            assert found.cohesion[name]["mean"] == pytest.approx(np.mean(values), abs=1e-6)
            assert found.cohesion[name]["median"] == pytest.approx(np.median(values), abs=1e-6)
            assert found.cohesion[name]["never"] == pytest.approx(np.mean(np.array(values) == 0))
        else:
            assert np.isnan(list(found.cohesion[name].values())).all()


def test_enough_of_the_degenerate_ensembles_have_groups():
    n_groups = 0
    for seed in range(10):
        ensemble = plain.random_ensemble(seed, n_components=13)
        n_groups += find_groups(ensemble.histories, ensemble.batches, n_null=0).n_groups
    assert n_groups >= 8


@pytest.mark.parametrize("seed", range(8))
def test_every_node_of_the_tree_has_its_bits_and_the_groups_are_among_them(seed):
    ensemble = plain.random_ensemble(seed, n_components=13)
    found = find_groups(ensemble.histories, ensemble.batches, n_null=0)
    n_samples = [len(each) for each in ensemble.dense]
    holds = [[i] for i in range(13)]
    chosen = []
    for children, bits, bits_se, is_chosen in zip(
        found.tree.children.tolist(), found.tree.bits, found.tree.bits_se, found.tree.chosen, strict=True
    ):
        holds.append(holds[children[0]] + holds[children[1]])
        assert not (is_chosen and np.isnan(bits))
        if is_chosen:
            chosen.append(set(holds[-1]))
        if not np.isnan(bits):
            best = max(plain.evidence(ensemble.dense, holds[-1]).values(), key=sum)
            assert bits == pytest.approx(np.mean(np.array(best) / n_samples), abs=1e-9)
            error = np.std(np.array(best) / n_samples, ddof=1) / np.sqrt(len(best))
            assert bits_se == pytest.approx(error, abs=1e-9)
    groups = [set(found.member_idxs(g).tolist()) for g in range(found.n_groups)]
    assert len(groups) == len(chosen)
    for node in chosen:
        assert sum(node <= group for group in groups) == 1


@pytest.mark.parametrize("seed", range(8))
def test_a_node_is_judged_in_the_runs_without_which_the_tree_has_it_too(seed, monkeypatch):
    ensemble = plain.random_ensemble(seed, n_components=13)
    judged = {}

    def spy(tree, evidence, nodes, chosen_without, **rest):
        judged.update(
            {
                frozenset(tree.members(n).tolist()): w
                for n, w in zip(nodes.tolist(), chosen_without, strict=True)
            }
        )
        return _choose_nodes(tree, evidence, nodes, chosen_without, **rest)

    monkeypatch.setattr("spdclust.groups.evidence._choose_nodes", spy)
    found = find_groups(ensemble.histories, ensemble.batches, n_null=0)
    folds, n_folds = ensemble.folds, len(ensemble.dense)
    without = []
    for fold in range(n_folds):
        tree = average_tree(pair_sums(folds, [each for each in range(n_folds) if each != fold], threads=1))
        without.append({frozenset(tree.members(13 + t).tolist()) for t in range(len(tree.children))})
    holds = [frozenset([i]) for i in range(13)]
    for a, b in found.tree.children.tolist():
        holds.append(holds[a] | holds[b])
        expected = [holds[-1] in nodes for nodes in without]
        assert judged.get(holds[-1], np.zeros(n_folds)).tolist() == expected
    assert np.isnan(found.tree.bits).tolist() == [node not in judged for node in holds[13:]]


def test_components_that_act_as_the_members_do_join_and_are_shared_only_where_their_group_is_inactive():
    """The last component acts with the first group alone; most events of the second group are the first's too."""
    rng = np.random.default_rng(0)
    runs = []
    for _ in range(3):
        first = rng.random(20_000) < 0.02
        second = (first & (rng.random(20_000) < 0.3)) | (rng.random(20_000) < 0.001)
        last = first & (rng.random(20_000) < 0.7)
        dense = np.stack([first] * 3 + [second] * 3 + [last], axis=1).astype(np.float32)
        runs.append(ProcessedActivations.from_dense(dense, plain.names(7)))
    folds = fold_samples(runs, runs[0].labels, [runs[0].labels] * 3, plain.THRESHOLD)
    nodes = [np.array([0, 1, 2]), np.array([3, 4, 5])]
    gates = evidence_of_groups(folds, nodes, threads=1).at_least
    both = find_memberships(folds, nodes, gates, 1)
    assert list(zip(both.component.tolist(), both.group.tolist(), strict=True)) == [(6, 0), (6, 1)]
    groups, shared = find._with_joined(folds, nodes, gates, 1)
    assert [group.tolist() for group in groups] == [[0, 1, 2, 6], [3, 4, 5]]
    assert len(shared.component) == 0


def test_a_member_of_two_groups_is_listed_where_it_makes_the_larger_one_complete():
    """The second group is less often active, so its node of the tree lacks the member of both."""
    rng = np.random.default_rng(0)
    runs = []
    for _ in range(3):
        first, second = rng.random(20_000) < 0.02, rng.random(20_000) < 0.01
        dense = np.stack([first] * 3 + [first | second] + [second] * 4, axis=1).astype(np.float32)
        runs.append(ProcessedActivations.from_dense(dense, plain.names(8)))
    folds = fold_samples(runs, runs[0].labels, [runs[0].labels] * 3, plain.THRESHOLD)
    nodes = [np.array([0, 1, 2, 3]), np.array([4, 5, 6, 7])]
    gates = evidence_of_groups(folds, nodes, threads=1).at_least
    groups, shared = find._with_joined(folds, nodes, gates, 1)
    assert [group.tolist() for group in groups] == [[0, 1, 2], [3, 4, 5, 6, 7]]
    # and it is a shared member of the other one, by what it does while its group is inactive
    assert list(zip(shared.component.tolist(), shared.group.tolist(), strict=True)) == [(3, 0)]
    found = find_in(runs)
    assert sorted(found.members(g) for g in range(found.n_groups)) == [plain.names(8)[:3], plain.names(8)[3:]]


def test_a_node_that_only_one_run_supports_is_no_candidate():
    """Two components go together in one run of three; without that run no tree has them."""
    rng = np.random.default_rng(0)
    runs = []
    for run in range(3):
        on = rng.random((3000, 2)) < 0.1
        if run == 0:
            on[:, 1] = on[:, 0]
        runs.append(ProcessedActivations.from_dense(on.astype(np.float32), plain.names(2)))
    assert find_in(runs[:1]).n_groups == 1  # it would save much in that run
    found = find_in(runs)
    assert found.n_groups == 0
    assert np.isnan(found.tree.bits).all() or not found.tree.chosen.any()


def test_other_answers_are_compared_in_the_same_bits(example):
    histories, batches = example
    found = find_groups(histories, batches, n_null=0)
    folds = [np.concatenate([batch.matrix.toarray() for batch in run]) for run in batches]
    active = [np.where(each > plain.THRESHOLD, each, 0) for each in folds]
    cut = histories[0].at(histories[0].best_iteration())
    number = {label: i for i, label in enumerate(batches[0][0].labels)}
    groups = [[number[label] for label in cut.members(g)] for g in range(cut.k_groups)]
    saved = sum(max(map(sum, plain.evidence(active, group).values())) for group in groups if len(group) > 1)
    assert found.bits["least_mdl"] == pytest.approx(found.bits["alone"] - saved / 600)
    assert set(found.bits) == {"alone", "answer", "least_mdl", "formed_by_most", "formed_by_all"}


def test_without_batches_there_is_support_and_no_evidence(example):
    histories, _ = example
    found = find_groups(histories)
    assert found.n_groups > 0
    assert (found.bits, found.tree, found.null_groups.tolist()) == ({}, None, [])
    assert np.isnan(found.expected_false)
    assert (found.columns["runs_exact"] > len(histories) / 2).all()
    for name in ("bits_saved", "bits_saved_se", "activity", "active_members", "cohesion", "lift"):
        assert np.isnan(found.columns[name]).all()
    (warning,) = found.warnings
    assert "no evidence" in warning


def test_scalar_activations_are_counted_at_the_default_threshold_and_the_answer_says_so():
    runs = [example_activations(seed) for seed in range(2)]
    config = MergeConfig(activation_threshold=None, iters=3)
    found = find_groups([merge_iteration(run, config, seed=0) for run in runs], runs, n_null=0)
    assert found.n_groups == len(CONCEPTS)
    assert "least_mdl" not in found.bits
    (warning,) = found.warnings
    level = MergeConfig().activation_threshold
    assert "scalar" in warning
    assert f"above {level:g}" in warning
    assert found.settings["activation_threshold"] == level


def test_where_nothing_is_active_the_answer_says_so():
    runs = [
        ProcessedActivations.from_dense(np.full((20, 3), level), plain.names(3)) for level in (0.05, 0.06)
    ]
    found = find_in(runs, n_null=1)
    assert (found.n_groups, found.n_alone) == (0, 3)
    assert found.null_groups.tolist() == [0]
    (warning,) = found.warnings
    assert "so there are no groups" in warning


def test_a_single_component_and_a_single_sample_a_run_are_no_error():
    ones = [ProcessedActivations.from_dense([[1.0], [0.0]], ["m:0"]) for _ in range(2)]
    assert find_in(ones, n_null=1).n_groups == 0
    singles = [ProcessedActivations.from_dense(np.ones((1, 4)), plain.names(4)) for _ in range(2)]
    assert find_in(singles, n_null=1).n_alone + 0 <= 4
    five = ProcessedActivations.from_dense(np.eye(5), plain.names(5))
    assert find_in([five], n_null=1).n_groups == 0


def acts(n_samples: int = 20, labels=("m:0", "m:1")) -> ProcessedActivations:
    return ProcessedActivations.from_dense(np.ones((n_samples, len(labels))), list(labels))


TWO = [plain.history(["m:0", "m:1"])] * 2
OTHER_THRESHOLD = dataclasses.replace(TWO[0], config=MergeConfig(activation_threshold=0.3))
ERRORS = {
    "no histories": ([], None, "histories", "no histories given"),
    "thresholds": ([TWO[0], OTHER_THRESHOLD], None, "histories[1].config.activation_threshold", "0.3"),
    "models": (
        [plain.history(["m:0"], checkpoint_digest="a" * 64), plain.history(["m:0"], checkpoint_digest="b" * 64)],
        None,
        "checkpoint_digest",
        "aaaaaaaaaaaa in run 0, bbbbbbbbbbbb in run 1",
    ),
    "fewer batches than runs": (TWO, [acts()], "batches", "1 for 2 runs"),
    "no batches": (TWO, [], "batches", "0 for 2 runs"),
    "labels": (TWO, [acts(), acts(labels=("m:0", "m:2"))], "batches[1].labels", "1 missing, such as m:1"),
    "nothing of a run": (TWO, [acts(), []], "activations", "no batches given"),
    "batches of different labels": (TWO, [acts(), [acts(), acts(labels=("m:1", "m:0"))]], "activations[1].labels", "differ"),
    "no batches at all": (TWO, [acts(), None], "activations", "NoneType"),
    "a run without samples": (TWO, [acts(), acts(0)], "batches[1]", "found: 0 samples"),
    "too few samples of one run": (TWO[:1], [acts(4)], "batches[0]", "found: 4 samples"),
    "too few in small batches": (TWO[:1], [[acts(1)] * 4], "batches[0]", "at least 5 samples"),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_what_cannot_be_analysed_is_an_error_in_one_line(case):
    histories, batches, field, said = ERRORS[case]
    with pytest.raises(InputError) as error:
        find_groups(histories, batches)
    assert error.value.field == field
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("histories", "field", "found"),
    [
        (TWO[0], "histories", "MergeHistory"),
        (None, "histories", "NoneType"),
        ([TWO[0], "history.zip"], "histories[1]", "str"),
    ],
)
def test_what_is_no_history_is_an_error(histories, field, found):
    with pytest.raises(InputError, match="not a") as error:  # find_groups itself checks types in tests
        _check_runs(histories)
    assert (error.value.field, error.value.found) == (field, found)


def test_batches_that_are_not_in_a_list_are_an_error():
    for batches in ("a folder", acts()):
        with pytest.raises(InputError, match="not a sequence with the batches of each run"):
            find_groups_in_memory.__wrapped__(TWO[:1], batches)


def test_runs_of_one_model_and_runs_that_do_not_say_are_no_error():
    digest = {"checkpoint_digest": "a" * 64}
    histories = [
        plain.history(["m:0", "m:1"], **each) for each in (digest, digest, {}, {"checkpoint_digest": ""})
    ]
    assert find_groups(histories).settings["n_runs"] == 4


def test_no_such_group_is_an_error(example):
    found = find_groups(example[0])
    for group in (-1, found.n_groups):
        for ask in (found.members, found.member_idxs, found.shared_with):
            with pytest.raises(InputError, match=f"found: {group}; allowed: 0 to {found.n_groups - 1}"):
                ask(group)


@pytest.mark.parametrize("rates", [[0.25] * 4 + [0.9], [0.25] * 4 + [0.5], "drift"])
def test_rates_that_change_from_run_to_run_or_within_one_are_no_evidence(rates):
    rng = np.random.default_rng(0)
    labels = [f"m:{i}" for i in range(20)]
    of_runs = (
        [np.linspace(0.2, 0.8, 20_000)] if rates == "drift" else [np.full(5_000, rate) for rate in rates]
    )
    runs = [
        ProcessedActivations.from_dense(rng.random((len(rate), 20)) < rate[:, None], labels)
        for rate in of_runs
    ]
    assert find_in(runs).n_groups == 0
