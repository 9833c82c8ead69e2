"""The formula for the memory of a merge, against what a process takes."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from spdclust.files.batches import ActivationBatch
from spdclust.merge.memory import LIBRARIES, merging_bytes

MERGE = """
import json, sys, torch
from spdclust import BatchedActivations, MergeConfig, merge_iteration
from spdclust.merge.stepping import warm_up

def peak():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])

threshold = json.loads(sys.argv[2])
config = MergeConfig(activation_threshold=threshold, filter_dead_threshold=0.0, iters=5)
warm_up(config, 2500)
before = peak()
merge_iteration(BatchedActivations(sys.argv[1]), config, seed=0)
print(before, peak())
"""


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    active = sparse.random(10_000, 2500, density=0.1, format="csr", dtype=np.float32, random_state=rng)
    return ActivationBatch.from_sparse(active, [f"m:{i}" for i in range(2500)], seed=0)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads the peak from /proc")
@pytest.mark.parametrize("threshold", [0.01, None])
def test_a_merge_takes_no_more_than_predicted_and_no_third_of_it(tmp_path, batch, threshold):
    batch.save(tmp_path / "batch_0.pt")
    done = subprocess.run(
        [sys.executable, "-c", MERGE, str(tmp_path), json.dumps(threshold)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    before, peak = map(int, done.stdout.split())
    predicted = merging_bytes(2500, batch.activations.matrix.nnz, scalar=threshold is None)
    assert 1 < predicted / peak < 3
    # without the libraries: most of what is left is the formula itself
    assert 1 < (predicted - LIBRARIES) / (peak - before) < 3


def test_a_merge_of_sets_takes_no_more_than_predicted(tmp_path, batch):
    replace(batch, activations=batch.activations.as_sets(0.01)).save(tmp_path / "batch_0.pt")
    done = subprocess.run(
        [sys.executable, "-c", MERGE, str(tmp_path), "0.01"], capture_output=True, text=True, check=True
    )
    before, peak = map(int, done.stdout.split())
    predicted = merging_bytes(2500, batch.activations.matrix.nnz, scalar=False)
    assert 1 < predicted / peak < 3
    assert 1 < (predicted - LIBRARIES) / (peak - before) < 3
