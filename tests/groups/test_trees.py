"""Trees of groups against sets: similarity and average linkage, what a node holds, what several runs form."""

import itertools
from collections import Counter

import groups_plain as plain
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spdclust.groups.describe import _key_of, _median, formed_by
from spdclust.groups.find import find_groups
from spdclust.groups.kernels.pairs import similar_pairs
from spdclust.groups.samples import fold_samples
from spdclust.groups.similarity import MIN_SIMILARITY, PairSums, add_sums, average_tree, pair_sums
from spdclust.groups.trees import Tree, merge_history_tree
from spdclust.merge.activations import ProcessedActivations


def nodes_of(tree: Tree) -> dict[frozenset[int], float]:
    nodes = range(tree.n_leaves, tree.n_leaves + len(tree.children))
    return {
        frozenset(tree.members(node).tolist()): height
        for node, height in zip(nodes, tree.height, strict=True)
    }


def full(sums: PairSums) -> np.ndarray:
    n = sums.n_components
    result = np.zeros((n, n))
    for i in range(n):
        result[i, :i] = result[:i, i] = sums.row(i)
    return result


@pytest.mark.parametrize("seed", range(30))
def test_similarity_is_jaccards_weighted_by_activation(seed):
    ensemble = plain.random_ensemble(seed)
    n = len(ensemble.labels)
    sums = pair_sums(ensemble.folds, list(range(len(ensemble.dense))), threads=1)
    pooled = np.concatenate(ensemble.dense)
    expected = plain.similarity(pooled)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(full(sums), expected, atol=2e-6)
    members = np.random.default_rng(seed).permutation(n)[:5]
    pairs = itertools.combinations(sorted(members.tolist()), 2)
    np.testing.assert_allclose(sums.among(members), [expected[pair] for pair in pairs], atol=2e-6)


@pytest.mark.parametrize("values", [True, False])
@pytest.mark.parametrize("threads", [1, 2])
# one block; ranges of many, of a few, of single blocks
@pytest.mark.parametrize(("rows", "entries"), [(99, 999), (1, 999), (7, 999), (30, 999), (99, 1), (99, 80)])
def test_pair_sums_are_products_of_dense_activations(monkeypatch, values, threads, rows, entries):
    monkeypatch.setattr("spdclust.groups.samples.BLOCK", rows)
    monkeypatch.setattr("spdclust.groups.samples.BLOCK_ENTRIES", entries)
    rng = np.random.default_rng(5)
    labels, dense = plain.names(9), []
    for n in (40, 70):
        on = rng.random((n, 9)) < 0.4
        dense.append(
            np.where(on, 0.2 + rng.random((n, 9)), 0).astype(np.float32) if values else on.astype(np.float32)
        )
    runs = [ProcessedActivations.from_dense(each, labels) for each in dense]
    sums = pair_sums(fold_samples(runs, labels, [labels] * 2, 0.1), [0, 1], threads)
    products = sum(each.T.astype(np.float64) @ each for each in dense)
    np.testing.assert_allclose(sums.packed, products[np.tril_indices(9)], rtol=1e-6)


def test_of_components_that_are_on_or_off_it_is_jaccards_similarity_of_their_samples():
    active = np.random.default_rng(0).random((300, 6)) < 0.3
    acts = ProcessedActivations.from_dense(active.astype(np.float32), plain.names(6))
    ensemble = plain.Ensemble(acts.labels, [acts.labels] * 2, [[acts]] * 2, [])
    similar = full(pair_sums(ensemble.folds, [0, 1], threads=1))
    for i, j in itertools.combinations(range(6), 2):
        a, b = (set(np.flatnonzero(active[:, component])) for component in (i, j))
        assert similar[i, j] == pytest.approx(len(a & b) / len(a | b), rel=1e-6)


def test_sums_in_an_array_that_was_used_before_are_those_in_a_new_one():
    for seed in range(10):
        folds = plain.random_ensemble(seed, n_runs=3).folds
        used = [np.full_like(pair_sums(folds, [0], threads=1).packed, 7.5) for _ in range(3)]
        for which in ([0], [1, 2], []):
            again = pair_sums(folds, which, 2, used[0])
            assert again.packed is used[0]
            assert again.packed.tobytes() == pair_sums(folds, which, threads=1).packed.tobytes()
        parts = [pair_sums(folds, [0], 1, used[0]), pair_sums(folds, [1, 2], 1, used[1])]
        assert add_sums(parts, 1, used[2]).packed.tobytes() == add_sums(parts).packed.tobytes()


@pytest.mark.parametrize("sizes", [(0, 20), (0, 0, 20, 0), (4, 296), (0,), (1,)])
def test_pieces_without_samples_leave_nothing_of_what_was_in_the_array(sizes):
    """The first batch of a single run may have fewer samples than there are blocks."""
    labels, rng = plain.names(6), np.random.default_rng(1)
    dense = [(rng.random((n, 6)) < 0.5).astype(np.float32) for n in sizes]
    folds = fold_samples([[ProcessedActivations.from_dense(x, labels) for x in dense]], labels, [labels], 0.1)
    by_fold = [pair_sums(folds, [fold], 1, np.full(21, np.nan, np.float32)) for fold in range(folds.n_folds)]
    expected = sum(x.T @ x for x in dense)[np.tril_indices(6)]
    np.testing.assert_array_equal(add_sums(by_fold).packed, expected)


def test_sums_of_many_components_are_added_and_subtracted_pair_by_pair():
    rng = np.random.default_rng(0)
    n = 800  # more pairs than are added at once
    parts = [
        PairSums(rng.random(n * (n + 1) // 2).astype(np.float32), np.ones(n), np.ones(n)) for _ in range(3)
    ]
    expected = (parts[0].packed + parts[1].packed) + parts[2].packed
    for threads in (1, 2):
        sums = add_sums(parts, threads)
        assert sums.packed.tobytes() == expected.tobytes()
        other = PairSums(parts[1].packed.copy(), parts[1].counts, parts[1].squares)
        assert sums.without(other, threads).packed.tobytes() == (expected - parts[1].packed).tobytes()


@pytest.mark.parametrize("seed", range(15))
def test_sums_without_some_folds_are_those_over_the_others(seed):
    ensemble = plain.random_ensemble(seed, n_runs=4)
    folds = ensemble.folds
    parts = [pair_sums(folds, which, threads=1) for which in ([0, 2], [1], [3])]
    rest = add_sums(parts).without(parts[1])
    direct = pair_sums(folds, [0, 2, 3], threads=1)
    np.testing.assert_array_equal(rest.counts, direct.counts)
    np.testing.assert_allclose(full(rest), full(direct), atol=2e-6)
    assert nodes_of(average_tree(direct)).keys() == nodes_of(average_tree(rest)).keys()


@pytest.mark.parametrize("seed", range(40))
def test_the_forest_is_average_linkage_of_the_full_matrix_cut_at_the_least_similarity(seed):
    """With a little noise on every pair, so that no two merges are equally good."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 40))
    active = rng.random((60, n)) < rng.choice([0.02, 0.1, 0.3, 1.0], n)
    active[:, : n // 2] |= rng.random((60, 1)) < 0.2
    values = np.where(active, 0.2 + rng.random((60, n)), 0).astype(np.float32)
    if n > 5:
        values[:, 3] = 0
    acts = ProcessedActivations.from_dense(values, plain.names(n))
    ensemble = plain.Ensemble(acts.labels, [acts.labels] * 2, [[acts]] * 2, [])
    sums = pair_sums(ensemble.folds, [0, 1], threads=1)
    for least in (MIN_SIMILARITY, 0.3, 0.01):
        found, expected = nodes_of(average_tree(sums, least)), plain.forest(plain.similarity(values), least)
        assert found.keys() == expected.keys()
        np.testing.assert_allclose([found[node] for node in expected], list(expected.values()), atol=1e-5)


def test_many_more_similar_pairs_than_there_was_room_for():
    active = np.random.default_rng(1).random((200, 60)) < 0.6
    acts = ProcessedActivations.from_dense(active.astype(np.float32), plain.names(60))
    ensemble = plain.Ensemble(acts.labels, [acts.labels] * 2, [[acts]] * 2, [])
    sums = pair_sums(ensemble.folds, [0, 1], threads=2)
    assert (full(sums) >= MIN_SIMILARITY).sum() / 2 > 20 * 60
    assert len(average_tree(sums).children) == 59


def test_similar_pairs_are_all_those_and_only_those_at_least_as_similar():
    rng = np.random.default_rng(3)
    n = 300  # several times the number of pairs that are tested together
    sums = np.where(rng.random((n, n)) < 0.02, rng.integers(1, 30, (n, n)), 0).astype(np.float32)
    sums[200:, :200] = 0
    counts, scale = rng.integers(20, 60, n).astype(float), rng.random(n) + 0.5
    found = np.empty((n * n, 2), dtype=np.int32)
    n_found = similar_pairs(0, n, sums[np.tril_indices(n)], counts, scale, 0.2, found)
    shared = sums * scale[:, None] * scale
    expected = np.argwhere(np.tril((shared > 0) & (shared >= 0.2 * (counts[:, None] + counts - shared)), -1))
    assert 100 < n_found < 1000
    np.testing.assert_array_equal(found[:n_found], expected)


def test_duplicates_are_joined_first_and_silent_components_never():
    on = np.random.default_rng(2).random((100, 2)) < 0.3
    values = np.column_stack([on[:, 0], on[:, 1], on[:, 0], np.zeros(100), on[:, 0], np.zeros(100)])
    acts = ProcessedActivations.from_dense(values.astype(np.float32), plain.names(6))
    ensemble = plain.Ensemble(acts.labels, [acts.labels] * 2, [[acts]] * 2, [])
    tree = average_tree(pair_sums(ensemble.folds, [0, 1], threads=1))
    heights = nodes_of(tree)
    assert heights[frozenset([0, 2, 4])] == pytest.approx(0, abs=1e-6)
    assert not any({3, 5} & node for node in heights)


@pytest.mark.parametrize("seed", range(6))
def test_sums_are_the_same_to_the_bit_for_any_number_of_threads(seed):
    ensemble = plain.random_ensemble(seed, n_components=13)
    which = list(range(len(ensemble.dense)))
    once, again = (pair_sums(ensemble.folds, which, threads) for threads in (1, 2))
    assert once.packed.tobytes() == again.packed.tobytes()


def random_forest(rng: np.random.Generator, n_leaves: int, n_nodes: int) -> tuple[Tree, list[set[int]]]:
    """A tree, and what every leaf and node holds."""
    holds: list[set[int]] = [{leaf} for leaf in range(n_leaves)]
    roots, children = list(range(n_leaves)), []
    for _ in range(min(n_nodes, n_leaves - 1)):
        a, b = (roots.pop(int(rng.integers(len(roots)))) for _ in range(2))
        roots.append(n_leaves + len(children))
        holds.append(holds[a] | holds[b])
        children.append((a, b))
    return Tree(n_leaves, np.array(children, dtype=np.int64).reshape(-1, 2), np.zeros(len(children))), holds


@pytest.mark.parametrize("seed", range(30))
def test_nodes_hold_what_their_parts_hold(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 15))
    tree, holds = random_forest(rng, n, int(rng.integers(0, 15)))
    assert [set(tree.members(node).tolist()) for node in range(len(holds))] == holds
    assert tree.sizes.tolist() == [len(each) for each in holds]
    assert sorted(tree.order.tolist()) == list(range(n))
    other, others_hold = random_forest(rng, n, n)
    sets, keys = [*map(frozenset, holds), *map(frozenset, others_hold)], [*tree.keys, *other.keys]
    for (a, key_a), (b, key_b) in itertools.combinations(zip(sets, keys, strict=True), 2):
        assert (a == b) == (key_a == key_b)
    for each, key in zip(sets, keys, strict=True):
        assert _key_of(tree, np.array(sorted(each))) == key


@pytest.mark.parametrize("seed", range(30))
def test_the_best_overlap_is_the_best_jaccard_similarity_with_any_node_or_leaf(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 20))
    tree, holds = random_forest(rng, n, int(rng.integers(0, 20)))
    groups = [rng.permutation(n)[: rng.integers(1, n + 1)] for _ in range(6)]
    expected = [max(len(set(group) & each) / len(set(group) | each) for each in holds) for group in groups]
    np.testing.assert_allclose(tree.best_overlaps(groups), expected)
    np.testing.assert_allclose(
        tree.best_overlaps(groups), expected
    )  # nothing is left over from the first time
    assert tree.best_overlaps([]).shape == (0,)


def random_merge(rng: np.random.Generator, n: int, n_merges: int) -> np.ndarray:
    """Pairs of groups, in the numbering before each merge."""
    pairs = [np.sort(rng.choice(n - t, 2, replace=False)) for t in range(n_merges)]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


@pytest.mark.parametrize("seed", range(25))
def test_a_merge_and_its_tree_have_the_same_groups(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 14))
    own = np.sort(rng.permutation(n)[: rng.integers(2, n + 1)])
    pairs = random_merge(rng, len(own), int(rng.integers(0, len(own))))
    tree = merge_history_tree(pairs, rng.permutation(own), n)
    order = tree.sizes[n:]
    assert order.tolist() == [len(tree.members(n + t)) for t in range(len(order))]
    numbered = merge_history_tree(pairs, own, n)
    assert nodes_of(numbered).keys() == plain.clusters_ever(pairs, own)


@pytest.mark.parametrize("seed", range(40))
def test_groups_that_most_or_all_runs_form_are_counted_one_by_one(seed):
    rng = np.random.default_rng(seed)
    n, n_runs = int(rng.integers(3, 9)), int(rng.integers(1, 6))
    own, pairs = [], []
    for run in range(n_runs):
        if run and rng.random() < 0.6:  # often the same, up to some moment
            own.append(own[0])
            pairs.append(pairs[0][: rng.integers(0, len(pairs[0]) + 1)])
        else:
            own.append(np.sort(rng.permutation(n)[: n - (rng.random() < 0.4)]))
            pairs.append(random_merge(rng, len(own[-1]), len(own[-1]) - 1))
    formed = Counter(
        group
        for each, merges in zip(own, pairs, strict=True)
        for group in plain.clusters_ever(merges, each)
        if len(group) < len(each)
    )
    trees = [merge_history_tree(merges, each, n) for each, merges in zip(own, pairs, strict=True)]
    for least in (n_runs // 2 + 1, n_runs):
        enough = [group for group, count in formed.items() if count >= least]
        largest = {group for group in enough if not any(group < other for other in enough)}
        found = formed_by(own, trees, least)
        assert {frozenset(group.tolist()) for group in found} == largest
        assert len(found) == len(largest)
    histories = [
        plain.history([f"m:{i}" for i in each], merges) for each, merges in zip(own, pairs, strict=True)
    ]
    answer = find_groups(histories)
    labels = answer.labels
    enough = [group for group, count in formed.items() if count > n_runs / 2]
    largest = {group for group in enough if not any(group < other for other in enough)}
    by_label = {frozenset(f"m:{i}" for i in group) for group in largest}
    assert {frozenset(answer.members(g)) for g in range(answer.n_groups)} == by_label
    ever = [plain.clusters_ever(merges, each) for each, merges in zip(own, pairs, strict=True)]
    leaves = [frozenset([i]) for i in range(n)]
    for g in range(answer.n_groups):
        group = frozenset(int(labels[i][2:]) for i in answer.member_idxs(g))
        support = [
            max(len(group & each) / len(group | each) for each in [*groups, *leaves]) for groups in ever
        ]
        assert answer.columns["runs_exact"][g] == sum(group in groups for groups in ever)
        assert answer.columns["support"][g] == pytest.approx(np.mean(support))


def test_all_that_a_run_has_is_no_group_that_it_forms():
    """Two runs lack a component that the third has: what is left of a complete merge is no agreement."""
    histories = [
        plain.history(plain.names(5), [[0, 1], [1, 2], [0, 1], [0, 1]]),
        plain.history(plain.names(5), [[3, 4], [0, 2], [0, 1], [0, 1]]),
        plain.history(plain.names(6), [[0, 5], [0, 1], [0, 1], [0, 1], [0, 1]]),
    ]
    assert find_groups(histories).n_groups == 0


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("n_groups", [0, 1, 7])
def test_similarities_between_groups_are_those_of_the_rows_in_order(n_groups, threads):
    rng = np.random.default_rng(n_groups)
    n = 40
    packed = (rng.random(n * (n + 1) // 2) * 20 * (rng.random(n * (n + 1) // 2) < 0.6)).astype(np.float32)
    counts = rng.integers(30, 90, n).astype(float)
    sums = PairSums(packed, counts, counts * rng.random(n))
    group_of = rng.integers(-1, n_groups, n)
    expected = [
        sums.row(i)[(group_of[:i] >= 0) & (group_of[:i] != group_of[i])].astype(np.float32)
        for i in np.flatnonzero(group_of >= 0).tolist()
    ]
    between = sums.between(group_of, threads)
    np.testing.assert_array_equal(between, np.concatenate([np.empty(0, dtype=np.float32), *expected]))
    assert len(between) > 0 or n_groups < 2


@given(hnp.arrays(np.float32, st.integers(1, 60), elements=st.floats(0, 1, width=32)), st.integers(1, 3))
def test_the_median_without_sorting_is_the_median(values, threads):
    assert _median(values, threads) == float(np.median(values))
