"""The stage of distances: the file that the arrays in memory give, in half their memory."""

import tracemalloc

import numpy as np
import pytest

from spdclust.config.merge import MergeConfig
from spdclust.files.ensembles import save_distances
from spdclust.merge.history import MergeHistory
from spdclust.partitions.distances import compute_all_distances
from spdclust.partitions.ensemble import NormalizedHistories, normalize_ensemble
from spdclust.partitions.trajectory import kept_iterations
from spdclust.stages import distances as stage

METHODS = ["perm_invariant_hamming", "adjusted_rand_dist"]


def ensemble(n_runs: int, n: int) -> NormalizedHistories:
    rng = np.random.default_rng(0)
    zeros = np.zeros(n - 2)
    runs = []
    for _ in range(n_runs):
        pairs = np.array([rng.choice(n - t, 2, replace=False) for t in range(n - 2)])
        runs.append(MergeHistory([f"m:{i}" for i in range(n)], pairs, zeros, zeros, MergeConfig()))
    return normalize_ensemble(runs)


@pytest.mark.parametrize("stride", [1, 7])
def test_rows_are_written_as_they_are_made(tmp_path, monkeypatch, stride):
    normalized = ensemble(40, 402)
    monkeypatch.setattr(stage, "load_normalized", lambda histories: normalized)
    monkeypatch.setattr(stage, "ensemble_record", lambda histories: {"spdclust": "test"})
    paths = {method: tmp_path / f"distances_{method}.npz" for method in METHODS}
    stage.distances(
        [], {METHODS[0]: tmp_path / "first.npz"}, stride=400
    )  # compiled before memory is measured
    tracemalloc.start()
    stage.distances([], paths, stride=stride)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    kept = kept_iterations(normalized.n_iterations, stride)
    expected = compute_all_distances(normalized, METHODS, stride=stride)
    for method, path in paths.items():
        save_distances(expected[method], tmp_path / "whole.npz", kept, {"spdclust": "test"})
        assert path.read_bytes() == (tmp_path / "whole.npz").read_bytes()
    if stride == 1:
        assert peak < 0.75 * sum(each.nbytes for each in expected.values())
