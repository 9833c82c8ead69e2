"""Runs merged on the same samples count as one: their agreement is no evidence."""

from dataclasses import replace

import numpy as np
import pytest

from spdclust.config.merge import MergeConfig
from spdclust.groups.find import find_groups
from spdclust.merge.activations import ProcessedActivations
from spdclust.merge.merging import merge_iteration
from spdclust.partitions.ensemble import warn_of_shared_samples

LABELS = [f"m:{i}" for i in range(40)]
CONFIG = MergeConfig(activation_threshold=0.1, iters=None)


def independent(seed, samples=300):
    """Components that have nothing to do with each other."""
    active = np.random.default_rng(seed).random((samples, len(LABELS))) < 0.05
    return ProcessedActivations.from_dense(active.astype(np.float32), LABELS)


def merged(batches, inputs=None):
    histories = [merge_iteration(batch, CONFIG, seed=seed) for seed, batch in enumerate(batches)]
    if inputs is None:
        return histories
    return [
        replace(history, provenance=dict(history.provenance) | {"inputs": list(own)})
        for history, own in zip(histories, inputs, strict=True)
    ]


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("n_runs", [2, 5])
def test_the_same_samples_again_give_the_groups_of_one_run(recorded, n_runs):
    """Four runs of these independent components found a group, expected by chance 0."""
    first = independent(0)
    batches = [independent(0) for _ in range(n_runs)] if recorded else [first] * n_runs
    histories = merged(batches, [["a"]] * n_runs if recorded else None)
    found = find_groups(histories, batches, n_null=1)
    alone = find_groups(histories[:1], batches[:1], n_null=1)
    assert (found.n_groups, alone.n_groups) == (0, 0)
    assert found.bits["alone"] == alone.bits["alone"]
    assert found.bits["answer"] == found.bits["alone"]
    assert found.settings["same_samples"] == [list(range(n_runs))]
    assert found.settings["n_samples"] == [60] * 5
    assert "were merged on the same samples" in found.warnings[0]
    assert "same_samples" not in alone.settings
    assert alone.warnings == ()


def test_runs_with_the_same_samples_count_once_among_others():
    batches = [independent(0), independent(1), independent(0)]
    histories = merged(batches, [["a"], ["b"], ["a"]])
    found = find_groups(histories, batches, n_null=1)
    other = find_groups(histories[:2], batches[:2], n_null=1)
    assert found.settings["same_samples"] == [[0, 2], [1]]
    assert found.settings["n_samples"] == [300, 300]
    assert found.bits["answer"] == other.bits["answer"]
    assert found.warnings[0].startswith("Runs 0 and 2 were merged on the same samples")


def test_runs_without_shared_samples_have_no_warning():
    batches = [independent(0), independent(1)]
    for histories in (merged(batches), merged(batches, [["a"], ["b"]])):
        found = find_groups(histories, batches, n_null=1)
        assert "same_samples" not in found.settings
        assert found.warnings == ()
        assert len(find_groups(histories).warnings) == 1  # no samples given


def test_runs_that_share_some_batches_have_a_warning():
    batches = [independent(seed) for seed in range(3)]
    histories = merged(batches, [["a", "b"], ["c", "d"], ["d", "e"]])
    (warning,) = warn_of_shared_samples(histories)
    assert warning.startswith("Some batches of runs 1 and 2 hold the same samples")


def test_support_without_samples_has_the_warning_too():
    histories = merged([independent(0)] * 2, [["a"], ["a"]])
    assert "were merged on the same samples" in find_groups(histories).warnings[-1]
