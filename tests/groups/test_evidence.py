"""Held-out evidence against coding every sample one by one, and against what it promises where there are no groups."""

import itertools

import groups_plain as plain
import numpy as np
import pytest

from spdclust.groups.evidence import (
    Evidence,
    _choose_nodes,
    _gates_for,
    _gather_evidence,
    bits_alone,
    evidence_of_groups,
    log_evidence,
)
from spdclust.groups.samples import fold_samples
from spdclust.groups.trees import Tree
from spdclust.merge.activations import ProcessedActivations


def random_sets(rng: np.random.Generator, n: int) -> list[np.ndarray]:
    """Sets of two or more, overlapping, in no order."""
    return [rng.permutation(n)[: rng.integers(2, n + 1)] for _ in range(4)] + [np.arange(n)]


def test_a_gate_asks_for_at_most_half_of_the_members_and_one():
    for size in range(2, 200):
        assert _gates_for(size).tolist() == plain.gates(size)


@pytest.mark.parametrize("seed", range(40))
def test_evidence_of_sets_is_what_coding_them_sample_by_sample_gives(seed):
    ensemble = plain.random_ensemble(seed)
    groups = random_sets(np.random.default_rng(seed), len(ensemble.labels))
    evidence = evidence_of_groups(ensemble.folds, groups, threads=1)
    n_codes = 0
    for group, bits, at_least, opened in zip(
        groups, evidence.bits, evidence.at_least.tolist(), evidence.opened, strict=True
    ):
        by_gate = plain.evidence(ensemble.dense, group.tolist())
        n_codes += len(by_gate)
        np.testing.assert_allclose(bits, by_gate[at_least], rtol=1e-9, atol=1e-9)
        assert sum(by_gate[at_least]) >= max(sum(each) for each in by_gate.values()) - 1e-8
        assert opened.tolist() == [((each[:, group] > 0).sum(1) >= at_least).sum() for each in ensemble.dense]
    assert evidence.n_codes == n_codes


@pytest.mark.parametrize("seed", range(10))
def test_bits_alone_are_those_of_coding_every_component_by_itself(seed):
    ensemble = plain.random_ensemble(seed)
    active = [each > 0 for each in ensemble.dense]
    for fold, bits in enumerate(bits_alone(ensemble.folds)):
        others = np.concatenate([each for i, each in enumerate(active) if i != fold])
        expected = [plain.coded(a, b) for a, b in zip(active[fold].T, others.T, strict=True)]
        np.testing.assert_allclose(bits, expected, rtol=1e-9, atol=1e-9)


def test_no_sets_have_no_evidence_and_single_components_are_no_sets():
    folds = plain.random_ensemble(3).folds
    none = evidence_of_groups(folds, [], threads=2)
    assert none.bits.shape == (0, folds.n_folds)
    assert none.n_codes == 0
    with pytest.raises(ValueError, match="two or more"):
        evidence_of_groups(folds, [np.array([0])], threads=1)


@pytest.mark.parametrize("seed", range(4))
def test_evidence_is_the_same_to_the_bit_for_any_number_of_threads(seed):
    ensemble = plain.random_ensemble(seed, n_components=13)
    sets = random_sets(np.random.default_rng(seed), 13)
    order, sizes = np.concatenate(sets), np.array([len(each) for each in sets])
    first = np.cumsum(sizes) - sizes
    once, again = (_gather_evidence(ensemble.folds, order, first, sizes, threads) for threads in (1, 2))
    assert once.bits.tobytes() == again.bits.tobytes()
    assert once.opened.tobytes() == again.opened.tobytes()


def test_the_logarithm_of_evidence_is_that_of_the_mean_over_folds_found_without_them():
    rng = np.random.default_rng(0)
    saved = rng.normal(0, 20, (50, 4))
    without = rng.random((50, 4)) < 0.6
    e_values = 2.0**saved
    np.testing.assert_allclose(log_evidence(saved), np.log2(e_values.mean(1)))
    some = without.any(1)
    np.testing.assert_allclose(
        log_evidence(saved, without)[some], np.log2((e_values * without).sum(1)[some] / 4)
    )
    assert (log_evidence(saved, without)[~some] == -np.inf).all()
    # savings whose powers no float can hold
    assert log_evidence(np.array([5000.0, -5000.0])) == 4999.0


@pytest.mark.parametrize(
    ("rate", "n_samples", "n_runs"), [(0.02, 200, 2), (0.05, 50, 3), (0.3, 50, 2), (0.5, 8, 2), (0.1, 40, 5)]
)
def test_independent_components_give_no_evidence(rate, n_samples, n_runs):
    """Under independence `2^bits` is at most one in the mean for every gate, so at most their number for the best."""
    n_sets = 2000
    rng = np.random.default_rng([n_samples, n_runs])
    labels = plain.names(2 * n_sets)
    runs = [
        ProcessedActivations.from_dense(
            (rng.random((n_samples, 2 * n_sets)) < rate).astype(np.float32), labels
        )
        for _ in range(n_runs)
    ]
    folds = fold_samples(runs, labels, [labels] * n_runs, plain.THRESHOLD)
    evidence = evidence_of_groups(folds, list(np.arange(2 * n_sets).reshape(-1, 2)), threads=1)
    e_values = 2 ** log_evidence(evidence.bits)
    n_gates = 2
    assert e_values.mean() < n_gates
    for high in (20, 100):  # Markov's inequality, with three standard errors of the count
        expected = n_sets * n_gates / high
        assert (e_values >= high).sum() <= expected + 3 * np.sqrt(expected)


def random_tree(rng: np.random.Generator, n_leaves: int) -> Tree:
    """A forest: now and then two roots are left apart."""
    roots, children = list(range(n_leaves)), []
    while len(roots) > rng.integers(1, 3):
        a, b = rng.choice(len(roots), 2, replace=False)
        pair = roots[a], roots[b]
        roots = [root for root in roots if root not in pair] + [n_leaves + len(children)]
        children.append(pair)
    return Tree(n_leaves, np.array(children, dtype=np.int64).reshape(-1, 2), np.zeros(len(children)))


@pytest.mark.parametrize("seed", range(60))
def test_nodes_are_chosen_from_the_leaves_up(seed):
    rng = np.random.default_rng(seed)
    tree = random_tree(rng, int(rng.integers(2, 9)))
    nodes = tree.n_leaves + np.flatnonzero(rng.random(len(tree.children)) < 0.8)
    n_folds = int(rng.integers(2, 5))
    saved = rng.normal(8, 8, (len(nodes), n_folds)) * tree.sizes[nodes][:, None] ** rng.choice([0.5, 1.5])
    without = rng.random((len(nodes), n_folds)) < 0.7
    ones = np.ones_like(nodes)
    evidence = Evidence(saved, ones, np.ones_like(saved, dtype=np.int64), 2 * len(nodes))
    chosen = _choose_nodes(tree, evidence, nodes, without, 0.3)
    expected = plain.chosen(
        tree,
        dict(zip(nodes.tolist(), saved, strict=True)),
        max(2 * len(nodes), 1),
        dict(zip(nodes.tolist(), without, strict=True)),
        0.3,
    )
    assert chosen == expected
    members = [set(tree.members(node).tolist()) for node in chosen]
    assert all(not a & b for a, b in itertools.combinations(members, 2))


def additive(seed: int):
    """Nodes far from every limit, of a full tree, all found without every fold."""
    rng = np.random.default_rng(seed)
    tree = random_tree(rng, 6)
    nodes = tree.n_leaves + np.arange(len(tree.children))
    bits = np.repeat(rng.choice([-900.0, 100, 400, 1000, 2500], len(nodes))[:, None], 2, axis=1)
    bits += rng.integers(50, size=(len(nodes), 1))  # no ties
    return tree, nodes, bits


@pytest.mark.parametrize("seed", range(60))
def test_where_every_difference_is_clear_no_other_disjoint_nodes_save_more(seed):
    tree, nodes, bits = additive(seed)
    rows = range(len(nodes))
    members = [frozenset(tree.members(node).tolist()) for node in nodes.tolist()]
    best = max(
        (
            which
            for size in range(len(nodes) + 1)
            for which in itertools.combinations(rows, size)
            if all(not members[a] & members[b] for a, b in itertools.combinations(which, 2))
        ),
        key=lambda which: (sum(bits[row, 0] for row in which), -len(which)),
    )
    evidence = Evidence(bits, np.ones_like(nodes), np.ones_like(bits, dtype=np.int64), 1)
    chosen = _choose_nodes(tree, evidence, nodes, np.ones_like(bits, dtype=bool), 0.99)
    assert chosen == sorted(nodes[list(best)].tolist())
