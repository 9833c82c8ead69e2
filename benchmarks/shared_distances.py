"""Distances shared by several jobs: CPU time and memory of each step, against one job.

    python benchmarks/shared_distances.py              # 100 runs of 4,000 components, 4 jobs
    python benchmarks/shared_distances.py --plan --runs 1000 --components 13000 --jobs 100

With `--plan`, only one part is computed, and 100 iterations are joined: for ensembles that take hours.
Runs are those of `distances.py` (`--kind`); `--distinct` of them are made, and repeated. Each step is a
process with one thread, as a job of the workflow, and its start-up counts.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import distances as generated
import numpy as np

from spdclust.files.distance_parts import save_part
from spdclust.files.ensembles import ensemble_record
from spdclust.files.histories import save_merge_history
from spdclust.partitions.trajectory import divide_pairs

METHODS = ["perm_invariant_hamming", "matching_dist"]
JOINED = 100
"""Iterations that are joined for a plan."""


def write_histories(folder: Path, kind: str, n: int, n_runs: int, n_distinct: int) -> None:
    generated.N_RUNS = min(n_runs, n_distinct)
    for run, history in enumerate(generated.ensemble(getattr(generated, kind), n)):
        first = folder / f"runs/run_{run}/history.zip"
        save_merge_history(history, first, group_idxs=False)
        for again in range(run + n_distinct, n_runs, n_distinct):
            path = folder / f"runs/run_{again}/history.zip"
            path.parent.mkdir(parents=True)
            os.link(first, path)


def measure(name: str, call: str) -> float:
    """Run a call of the stage in a process of its own; print and return its CPU seconds."""
    process = subprocess.Popen([sys.executable, "-c", f"from spdclust.stages.distances import *\n{call}"])
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{name} failed")
    taken = used.ru_utime + used.ru_stime
    print(f"{name:28} {taken:8.1f} s CPU {used.ru_maxrss / 1024:8.0f} MB", flush=True)
    return taken


def part_call(folder: Path, part: int, n_parts: int) -> str:
    merges, path = str(folder / "merges.tmp"), str(folder / f"part_{part}.tmp")
    return f"distances_part({merges!r}, {METHODS}, {path!r}, part={part}, n_parts={n_parts})"


def joining_call(folder: Path, n_parts: int, methods: Sequence[str]) -> str:
    parts = [str(folder / f"part_{part}.tmp") for part in range(1, n_parts + 1)]
    paths = {method: str(folder / f"joined_{method}.npz") for method in methods}
    return f"join_distances({str(folder)!r}, {parts}, {paths})"


def compare(folder: Path, n_parts: int) -> None:
    whole = {method: str(folder / f"whole_{method}.npz") for method in METHODS}
    one = measure("one job", f"distances({str(folder)!r}, {whole})")
    several = measure("align_runs", f"align_runs({str(folder)!r}, {str(folder / 'merges.tmp')!r})")
    for part in range(1, n_parts + 1):
        several += measure(f"distances_part {part}", part_call(folder, part, n_parts))
    several += measure("distances (join)", joining_call(folder, n_parts, METHODS))
    equal = all(
        Path(whole[method]).read_bytes() == (folder / f"joined_{method}.npz").read_bytes()
        for method in METHODS
    )
    print(f"{n_parts + 2} jobs take {several / one:.2f} of one job; bytes equal: {'yes' if equal else 'NO'}")


def plan(folder: Path, n_runs: int, n_parts: int) -> None:
    measure("align_runs", f"align_runs({str(folder)!r}, {str(folder / 'merges.tmp')!r})")
    pairs = divide_pairs(n_runs, n_parts)
    middle = n_parts // 2
    print(f"part {middle}: {len(pairs[middle - 1])} pairs of {len(np.unique(pairs[middle - 1]))} runs")
    measure("distances_part", part_call(folder, middle, n_parts))
    made_from = ensemble_record(folder)
    for part, own in enumerate(pairs, start=1):
        record = {"part": part, "n_parts": n_parts, "stride": 1, "made_from": made_from}
        values = {METHODS[0]: np.random.default_rng(part).random((len(own), JOINED))}
        save_part(values, folder / f"part_{part}.tmp", record | {"n_iterations": JOINED})
    measure("verify histories", f"ensemble_record({str(folder)!r})")
    measure(f"join {JOINED} iterations", joining_call(folder, n_parts, METHODS[:1]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--plan", action="store_true", help="one part, and a few iterations joined")
    parser.add_argument("--kind", choices=["planted", "random", "balanced"], default="planted")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--components", type=int, default=4_000)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--distinct", type=int, default=60, help="different runs (default 60)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        where = Path(temporary)
        write_histories(where, options.kind, options.components, options.runs, options.distinct)
        if options.plan:
            plan(where, options.runs, options.jobs)
        else:
            compare(where, options.jobs)
