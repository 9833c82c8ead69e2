"""What a history says of itself, and what is none."""

from dataclasses import replace

import groups_plain as plain
import numpy as np
import pytest
import torch
from scipy import sparse

from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError
from spdclust.merge.activations import ProcessedActivations
from spdclust.merge.history import MergeHistory, _group_idxs_at, merge_tree
from spdclust.merge.inspection import describe_history
from spdclust.stability.agreement import groups_formed_by_all


def history(pairs: list[list[int]], mdl: list[float]) -> MergeHistory:
    rows = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return MergeHistory(["a:0", "a:1", "b:0"], rows, np.array(mdl), np.zeros(len(mdl)), MergeConfig())


def test_the_best_iteration_is_the_first_of_the_least_known_ones() -> None:
    assert history([[0, 1], [0, 1]], [2.0, 2.0]).best_iteration() == 0
    assert history([[0, 1], [0, 1]], [np.nan, 2.0]).best_iteration() == 1


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (
            lambda: replace(history([[0, 1]], [1.0]), records={"pair_rank": np.zeros(2)}),
            "pair_rank: history arrays differ in length (found: 2; allowed: 1 iterations, as in selected_pairs)",
        ),
        (
            lambda: history([], []).best_iteration(),
            "selected_pairs: the history has no merges (allowed: at least one merge)",
        ),
        (
            lambda: history([[0, 1]], [np.nan]).best_iteration(),
            "mdl_loss: the history holds no description length (allowed: an iteration or a number of groups "
            "instead)",
        ),
        (
            lambda: _group_idxs_at(np.empty((0, 2), dtype=np.int64), 3, 0),
            "iteration: no such iteration (found: 0; allowed: none, the history has no merges)",
        ),
        (
            lambda: merge_tree(np.array([[0, 1], [0, 2]]), 3),
            "selected_pairs[1]: pair names a group that does not exist (found: [0, 2]; allowed: two different groups of 0 to 1)",
        ),
    ],
)
def test_what_is_no_history_is_refused_in_one_line(call, line) -> None:
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value) == line


def test_a_history_without_merges_or_description_lengths_is_described_as_such() -> None:
    assert describe_history(history([], [])) == "3 components (2 in a, 1 in b), 0 merges, 3 groups at the end"
    lines = describe_history(history([[0, 1]], [np.nan])).splitlines()
    assert lines[1] == "no description lengths: files of the reference implementation have none"


def test_no_runs_form_no_groups() -> None:
    assert groups_formed_by_all([]) == []


@pytest.mark.parametrize("seed", range(20))
def test_groups_formed_by_all_runs_are_the_largest_that_each_of_them_had_at_some_time(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, n_merges = 9, int(rng.integers(3, 8))
    pairs = [np.sort([rng.choice(n - t, 2, replace=False) for t in range(n_merges)], axis=1)]
    pairs += [pairs[0].copy() for _ in range(rng.integers(0, 3))]
    for own in pairs[1:]:  # another end
        same = int(rng.integers(2, n_merges + 1))
        own[same:] = np.sort(
            [rng.choice(n - t, 2, replace=False) for t in range(same, n_merges)] or own[:0], axis=1
        )
    labels = plain.names(n)
    ever = [plain.clusters_ever(own, np.arange(n)) for own in pairs]
    common = set.intersection(*ever)
    largest = [group for group in common if not any(group < other for other in common)]
    found = groups_formed_by_all([plain.history(labels, own) for own in pairs])
    assert found == sorted([labels[i] for i in sorted(group)] for group in largest)
    assert len(largest) >= 1


@pytest.mark.parametrize(
    ("array", "labels", "line"),
    [
        (
            np.zeros(3),
            ["a"],
            "array: wrong number of axes (found: float64 (3,); allowed: (…, components) of numbers, with at least one "
            "axis of samples; from_sparse takes sparse ones)",
        ),
        (
            np.array([[0.0, np.inf]]),
            ["a", "b"],
            "b: activation is not a finite number (found: inf; allowed: finite values)",
        ),
        (
            np.zeros((1, 2)),
            ["a"],
            "labels: one label per component is needed (found: 1 labels for 2 components; allowed: 2 labels)",
        ),
        (np.zeros((1, 1)), ["a\nb"], "labels: unusable label (found: a b; allowed: non-empty, one line)"),
    ],
)
def test_what_are_no_activations_is_refused_in_one_line(array, labels, line) -> None:
    with pytest.raises(InputError) as caught:
        ProcessedActivations.from_dense(array, labels)
    assert str(caught.value) == line


def test_activations_are_taken_from_torch_and_from_whole_numbers() -> None:
    counts = sparse.csr_array(np.array([[0, 2], [3, 0]]))
    for activations in (
        ProcessedActivations.from_dense(
            torch.tensor([[0.0, 2.0], [3.0, 0.0]], requires_grad=True), ["a", "b"]
        ),
        ProcessedActivations.from_sparse(counts, ["a", "b"]),
    ):
        assert activations.matrix.dtype == np.float32
        assert activations.matrix.toarray().tolist() == [[0, 2], [3, 0]]
