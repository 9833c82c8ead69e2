"""A merge that is killed goes on from its checkpoint and ends with the same bytes."""

import signal

import numpy as np
from forked_python import python
from scipy import sparse

from spdclust.files.batches import ActivationBatch
from spdclust.files.merge_progress import MergeCheckpointFile
from spdclust.stages.merge import merge

SETTINGS = {"iters": None, "merge_pair_sampling_kwargs": {"threshold": 0.001}, "filter_dead_threshold": 0}
CODE = """
import os, signal, sys
from spdclust.files.merge_progress import MergeCheckpointFile
from spdclust.stages.merge import merge
save, left = MergeCheckpointFile.save, int(sys.argv[3])
def save_and_die(*arguments):
    global left
    save(*arguments)
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
MergeCheckpointFile.save = save_and_die
merge([sys.argv[1]], {settings!r}, (0, 1), history=sys.argv[2] + "/history.zip", metrics=sys.argv[2] + "/metrics.csv",
      checkpoint_seconds=0.0)
"""


def test_a_killed_merge_goes_on_and_ends_with_the_same_bytes(tmp_path):
    rng = np.random.default_rng(3)
    matrix = sparse.random_array((3000, 900), density=0.03, rng=rng, dtype=np.float32, format="csr")
    batch = tmp_path / "batch_0.pt"
    ActivationBatch.from_sparse(matrix, [f"m:{i}" for i in range(900)]).save(batch)
    undisturbed = tmp_path / "undisturbed"
    merge([batch], SETTINGS, (0, 1), history=undisturbed / "history.zip", metrics=undisturbed / "metrics.csv")

    killed = tmp_path / "killed"
    checkpoint = killed / ".history.checkpoint.zip"
    command = ["-c", CODE.format(settings=SETTINGS), batch, killed]
    assert python(*command, "2").returncode == -signal.SIGKILL
    assert checkpoint.exists()
    assert not (killed / "history.zip").exists()
    with np.load(checkpoint) as kept:
        assert 0 < int(kept["n_done"]) < 897

    python(*command, "0").check_returncode()
    for name in ("history.zip", "metrics.csv"):
        assert (killed / name).read_bytes() == (undisturbed / name).read_bytes()
    assert not checkpoint.exists()


def test_a_damaged_checkpoint_is_left_aside(tmp_path, caplog):
    store = MergeCheckpointFile(tmp_path / "c.zip", "key")
    assert store.load() is None
    store.save({"a": np.arange(3)})
    content = store.path.read_bytes()
    for keep in (0, 50, len(content) - 30):
        store.path.write_bytes(content[:keep])
        assert store.load() is None
        assert "starts from the beginning" in caplog.text
        caplog.clear()
