"""Batches in another order than the histories are an error, where merges record what shows it."""

import dataclasses

import numpy as np
import pytest

from spdclust import ActivationBatch, BatchedActivations, find_groups, merge_iteration
from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError
from spdclust.merge.activations import ProcessedActivations

LABELS = [f"m:{index}" for index in range(12)]
CONFIG = MergeConfig(iters=None, filter_dead_threshold=0)


def activations(seed: int, n_samples: int = 200) -> ProcessedActivations:
    dense = np.kron(np.random.default_rng(seed).random((n_samples, 6)) < 0.1, np.ones(2))
    return ProcessedActivations.from_dense(dense.astype(np.float32), LABELS)


@pytest.fixture(scope="module")
def runs():
    return [activations(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def histories(runs):
    return [merge_iteration(run, CONFIG, seed) for seed, run in enumerate(runs)]


def test_activations_of_another_run_are_an_error(runs, histories):
    assert find_groups(histories, runs, n_null=0).n_groups == 6
    with pytest.raises(InputError) as error:
        find_groups(histories, [runs[0], runs[2], runs[1]], n_null=0)
    assert str(error.value) == (
        "batches[1]: these are the batches of another run (found: those of histories[2], by the samples on "
        "which its components are active; allowed: one batch or source of batches per run, in the order of the "
        "histories)"
    )


def test_numbers_of_samples_count(runs):
    longer = ProcessedActivations.from_dense(np.vstack([runs[0].matrix.toarray(), np.zeros((9, 12))]), LABELS)
    batches = [runs[0], longer]
    histories = [merge_iteration(batch, CONFIG, 0) for batch in batches]
    find_groups(histories, batches, n_null=0)
    with pytest.raises(InputError, match=r"^batches\[0\]: these are the batches of another run"):
        find_groups(histories, batches[::-1], n_null=0)


def test_other_samples_and_histories_without_records_are_accepted(runs, histories):
    others = [activations(seed, 150) for seed in (7, 8, 9)]
    assert find_groups(histories, others, n_null=0).n_groups == 6
    bare = [dataclasses.replace(history, records={}) for history in histories]
    assert find_groups(bare, runs[::-1], n_null=0).n_groups == 6


def test_files_of_another_run_are_an_error_by_their_digests(tmp_path, runs, histories):
    sources = []
    for number, run in enumerate(runs):
        path = tmp_path / f"batch_{number}.pt"
        ActivationBatch(run, seed=number).save(path)
        sources.append(BatchedActivations([path]))
    recorded = [
        dataclasses.replace(history, records={}, provenance={"batches": source.digests})
        for history, source in zip(histories, sources, strict=True)
    ]
    assert find_groups(recorded, sources, n_null=0).n_groups == 6
    with pytest.raises(
        InputError, match=r"^batches\[0\]: .*found: those of histories\[1\], by its recorded dig"
    ):
        find_groups(recorded, [sources[1], sources[0], sources[2]], n_null=0)
