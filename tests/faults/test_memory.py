"""Too little memory: one line with the estimate and what to lower, or the right result; never a traceback."""

import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from faults.recorded import files_in, in_fork, preload
from faults.tally import TALLY
from scipy import sparse

from spdclust.config.merge import MergeConfig
from spdclust.execution.jobs import job
from spdclust.files.batches import ActivationBatch
from spdclust.merge.stepping import warm_up
from spdclust.stages.merge import merge

pytestmark = pytest.mark.faults

MEGABYTE = 2**20
ROOMS = [2, 5, 10, 20, 30, 40, 50, 60, 80, 100, 130, 180, 250]
"""Megabytes that a merge may take on top of what the process has."""
N_COMPONENTS = 6000
"""So many that the coactivations are larger than any memory that the C library keeps when it is freed."""


def with_room(act: Callable[[], object], megabytes: float) -> Callable[[], object]:
    """Return the same under a limit (`ulimit -v`) of so much more address space than the process has."""

    def limited() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + int(megabytes * MEGABYTE)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        act()

    return limited


@pytest.fixture(scope="module")
def batch(tmp_path_factory) -> Path:
    preload()
    rng = np.random.default_rng(5)
    matrix = sparse.random_array((4000, N_COMPONENTS), density=0.02, rng=rng, dtype=np.float32, format="csr")
    path = tmp_path_factory.mktemp("memory") / "batch_0.pt"
    ActivationBatch.from_sparse(matrix, [f"m:{i}" for i in range(N_COMPONENTS)]).save(path)
    return path


@pytest.mark.parametrize("threshold", [0.5, None], ids=["boolean", "scalar"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_merge_without_memory_says_what_it_needs_and_what_to_lower(
    batch: Path, tmp_path: Path, threshold: float | None, threads: int
) -> None:
    settings = {"iters": 60, "activation_threshold": threshold, "filter_dead_threshold": 0}
    warm_up(MergeConfig.model_validate(settings), N_COMPONENTS)

    def act() -> None:
        with job("results/log.txt", "merge", threads):
            merge(
                [batch], settings, (0, 1), history="results/history.zip", metrics="results/metrics.csv",
                threads=threads, checkpoint_seconds=0,
            )  # fmt: skip

    def results(folder: Path) -> dict[str, bytes]:
        return {name: content for name, content in files_in(folder).items() if not name.endswith("log.txt")}

    (tmp_path / "whole").mkdir()
    assert in_fork(act, tmp_path / "whole").code == 0
    whole = results(tmp_path / "whole")
    refused = done = estimated = 0
    rooms = [room * (1 if threshold else 2) for room in ROOMS]
    for room in rooms:
        folder = tmp_path / str(room)
        folder.mkdir()
        ended = in_fork(with_room(act, room), folder)
        if ended.code == 0:
            done += 1
            assert results(folder) == whole
            continue
        lines = ended.said.strip().splitlines()
        assert (ended.code, len(lines)) == (1, 1), ended
        assert "not enough memory" in lines[0], (room, lines)
        assert "traceback" not in (lines[0] + (folder / "results/log.txt").read_text()).lower()
        estimated += "GB of coactivations" in lines[0] and "a higher filter_dead_threshold" in lines[0]
        refused += 1
        assert [name for name in results(folder) if not Path(name).name.startswith(".")] == []
        ended = in_fork(act, folder)  # with room, perhaps from a checkpoint
        assert ended.code == 0, ended.said
        assert results(folder) == whole
    TALLY.add("memory limit", f"merge, {'scalar' if threshold is None else 'boolean'}, {threads} threads",
              refused=refused, refused_with_estimate=estimated, done=done)  # fmt: skip
    assert refused >= 3
    assert estimated >= 2
    assert done >= 1
