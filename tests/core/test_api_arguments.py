"""Wrong arguments of public functions are one line that names the argument; nothing raw, nothing absurd accepted."""

import inspect
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import torch
from api_calls import DENSE, LABELS, NOT_CALLED, calls
from forked_python import python
from scipy import sparse

import spdclust
from spdclust import InputError
from spdclust.example_ensemble import example_activations, example_history


@pytest.fixture(scope="module")
def functions(tmp_path_factory):
    return calls(tmp_path_factory.mktemp("api"))


def test_every_public_name_is_tried(functions):
    tried = {name.partition(":")[0].partition(".")[0] for name in functions}
    assert tried | NOT_CALLED.keys() >= set(spdclust.__all__)
    for name in tried & set(spdclust.__all__):
        if inspect.isclass(cls := getattr(spdclust, name)) and not hasattr(cls, "model_fields"):
            methods = {key for key, value in vars(cls).items() if key[0] != "_" and not isinstance(value, property | cached_property) and inspect.isroutine(getattr(cls, key))}  # fmt: skip
            assert {f"{name}.{method}" for method in methods} - functions.keys() == set()


def test_right_arguments_are_right(functions):
    without_result = ("save_merge_history", "ActivationBatch.save", "BatchedActivations.rewind")
    for name, (function, arguments) in functions.items():
        assert function(**arguments) is not None or name in without_result


def test_wrong_arguments_are_one_line():
    """In a process of its own, without the checks of shapes and types that tests add to the package."""
    done = python(Path(__file__).parents[1] / "helpers/api_calls.py", timeout=900)
    assert done.stdout == ""
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(" arguments\n") > 40


HISTORY, ACTIVATIONS = example_history(), example_activations()
CONFIG = spdclust.MergeConfig(iters=2)


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda: spdclust.merge_iteration(ACTIVATIONS, CONFIG, seed=-1), "seed: not a seed (found: -1; allowed: 0 or more, or a tuple of such numbers)"),
        (lambda: spdclust.merge_iteration(ACTIVATIONS, CONFIG, seed="a"), "seed: not a seed (found: a; allowed: 0 or more, or a tuple of such numbers)"),
        (lambda: spdclust.merge_iteration(ACTIVATIONS, CONFIG, callback=print, callback_at=0), "callback_at: out of range (found: 0; allowed: 1 or more)"),
        (lambda: spdclust.merge_iteration(ACTIVATIONS, {"iters": 2}), "config: not of the right type (found: {'iters': 2}; allowed: a MergeConfig)"),
        (lambda: spdclust.ProcessedActivations.from_dense(DENSE, None), "labels: not of the right type (found: None; allowed: a list of texts)"),
        (lambda: spdclust.ProcessedActivations.from_dense(DENSE, "abc"), "labels: not of the right type (found: abc; allowed: a list of texts)"),
        (lambda: spdclust.ProcessedActivations.from_dense(DENSE, ["a", "b", "\udc80"]), "labels[2]: cannot be written as UTF-8 (found: '\\udc80'; allowed: whole characters)"),
        (lambda: spdclust.ProcessedActivations.from_dense(sparse.csr_array(DENSE), LABELS), "array: a sparse matrix (found: float64 (2, 3); allowed: (…, components) of numbers, with at least one axis of samples; from_sparse takes sparse ones)"),
        (lambda: spdclust.ProcessedActivations.from_dense(DENSE * 1j, LABELS), "array: not an array of numbers (found: complex128 (2, 3); allowed: (…, components) of numbers, with at least one axis of samples; from_sparse takes sparse ones)"),
        (lambda: spdclust.ProcessedActivations.from_dense([["a"]], ["m:0"]), "array: not an array of numbers (found: <U1 (1, 1); allowed: (…, components) of numbers, with at least one axis of samples; from_sparse takes sparse ones)"),
        (lambda: spdclust.ProcessedActivations.from_sparse(torch.tensor(DENSE), LABELS), "matrix: not a sparse matrix (found: float64 (2, 3); allowed: a scipy.sparse matrix or sparse tensor (…, components) of numbers; from_dense takes dense ones)"),
        (lambda: spdclust.ProcessedActivations.from_sparse(sparse.csr_array(DENSE * 1j), LABELS), "matrix: not a sparse matrix of numbers (found: complex128 (2, 3); allowed: a scipy.sparse matrix or sparse tensor (…, components) of numbers; from_dense takes dense ones)"),
        (lambda: HISTORY.at(-1).members(99), "group: no such group (found: 99; allowed: 0 to 0)"),
        (lambda: HISTORY.at(-1).members("attn:0"), "group: not a whole number (found: attn:0; allowed: a whole number)"),
        (lambda: spdclust.compute_distances([1, 2], "matching_dist"), "normalized: not of the right type (found: [1, 2]; allowed: the result of normalize_ensemble)"),
        (lambda: spdclust.cluster_analysis_pipeline("p.yaml", n_workers="a"), "n_workers: not a whole number (found: a; allowed: 1 or more)"),
        (lambda: spdclust.cluster_analysis_pipeline("p.yaml", devices="cpu"), "devices: not of the right type (found: cpu; allowed: a list of devices)"),
        (lambda: spdclust.find_groups([HISTORY], [ACTIVATIONS], n_null=2**31), "n_null: out of range (found: 2147483648; allowed: 0 to 1000)"),
        (lambda: spdclust.MergeConfig(iter=3), "iter: unknown key (allowed: iters)"),
        (lambda: spdclust.ClusteringRunConfig(model_path="m", merge_config={"alpah": 1}), "merge_config.alpah: unknown key (allowed: alpha)"),
        (lambda: spdclust.MergeConfig.model_validate({"alpha": "a"}), "alpha: not allowed (found: a; allowed: a number)"),
        (lambda: spdclust.MergeConfig.model_validate_json('{"alpha": -1}'), "alpha: not allowed (found: -1; allowed: greater than or equal to 0)"),
    ],
)  # fmt: skip
def test_the_line_says_what_is_allowed(call, line):
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value) == line


def test_numbers_of_numpy_and_their_sequences_are_numbers():
    history = spdclust.merge_iteration(ACTIVATIONS, CONFIG, seed=3)
    for seed in (np.int64(3), np.uint8(3)):
        again = spdclust.merge_iteration(ACTIVATIONS, CONFIG, seed=seed, threads=np.int64(1))
        assert again.selected_pairs.tolist() == history.selected_pairs.tolist()
        assert again.provenance == history.provenance
    assert spdclust.merge_iteration(ACTIVATIONS, CONFIG, seed=np.array([3, 1])).provenance["seed"] == [3, 1]


def test_an_unsorted_read_only_matrix_is_read_and_left_alone():
    matrix = sparse.csr_array(
        (np.array([1.0, 2.0, 0.0]), np.array([2, 0, 1]), np.array([0, 3])), shape=(1, 3)
    )
    for part in (matrix.data, matrix.indices, matrix.indptr):
        part.flags.writeable = False
    for copy in (True, False):
        activations = spdclust.ProcessedActivations.from_sparse(matrix, LABELS, copy=copy)
        assert activations.matrix.toarray().tolist() == [[2.0, 0.0, 1.0]]
    assert matrix.indices.tolist() == [2, 0, 1]


def test_activations_share_no_memory_with_the_matrix_of_the_caller():
    matrix = sparse.csr_array(DENSE)
    activations = spdclust.ProcessedActivations.from_sparse(matrix, LABELS)
    matrix.data[:] = 9
    assert activations.matrix.toarray().tolist() == DENSE.tolist()
    assert np.shares_memory(
        spdclust.ProcessedActivations.from_sparse(matrix, LABELS, copy=False).matrix.data, matrix.data
    )


def test_tensors_of_half_precision_are_read():
    activations = spdclust.ProcessedActivations.from_dense(torch.tensor(DENSE, dtype=torch.bfloat16), LABELS)
    assert activations.matrix.toarray().tolist() == DENSE.tolist()
