"""Batches of sets beside batches with values: disk, and CPU seconds and peak memory of a merge.

    python benchmarks/sets.py --components 10007 --samples 1000000

The samples are drawn as in `benchmarks/generate.py`, about 100 components on each. Every part runs in a
process of its own, so that its peak of memory is its own; kernels are compiled before the clock starts.
"""

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

THRESHOLD = 0.01


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--components", type=int, default=10_007)
    options.add_argument("--samples", type=int, default=1_000_000)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--iters", type=int, default=None, help="merges; all without it")
    options.add_argument("--in-memory", action="store_true", help="read each batch whole, as before")
    options.add_argument("--child", choices=["write", "merge"])
    options.add_argument("--folder", type=Path)
    options.add_argument("--kind", choices=["values", "sets"])
    given = options.parse_args()
    if given.child:
        print(json.dumps({"write": write, "merge": merge}[given.child](given)))
        return
    print(f"{'batches':8} {'part':6} {'wall s':>8} {'CPU s':>8} {'peak GB':>8}  ")
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for kind in ("values", "sets"):
            for part in ("write", "merge"):
                command = [sys.executable, __file__, "--child", part, "--kind", kind, "--folder", folder]
                for name in ("components", "samples", "threads", "iters"):
                    if getattr(given, name) is not None:
                        command += [f"--{name}", str(getattr(given, name))]
                command += ["--in-memory"] if given.in_memory else []
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    sys.exit(done.stderr)
                row = json.loads(done.stdout.strip().split("\n")[-1])
                numbers = f"{row['wall']:8.1f} {row['cpu']:8.1f} {row['peak_gb']:8.2f}"
                print(f"{kind:8} {part:6} {numbers}  {row['said']}", flush=True)


def write(given: argparse.Namespace) -> dict:
    """Write a batch as sampling does: in narrow arrays that grow, then checksums and the file."""
    import generate
    import torch  # noqa: F401 - not counted

    from spdclust.files.stored_batch import batch_to_store

    model = generate.Model(given.components)
    model.chunk(0, 10)
    clock = Clock()
    ends, columns, values, n_entries = [np.zeros(1, np.int64)], [], [], 0
    rng = np.random.default_rng(0)
    for number, size in generate._chunks(given.samples):
        chunk = model.chunk(number, size)
        ends.append(chunk.indptr[1:] + n_entries)
        n_entries += chunk.nnz
        columns.append(chunk.indices.astype(np.uint16))
        if given.kind == "values":
            values.append(rng.uniform(THRESHOLD * 1.01, 1, chunk.nnz).astype(np.float32))
    arrays = {
        "shape": np.array([given.samples, given.components]),
        "indptr": np.concatenate(ends).astype(np.int32 if n_entries < 2**31 else np.int64),
        "indices": np.concatenate(columns),
        "values": np.concatenate(values) if values else np.empty(0, np.float32),
        "maxima": np.ones(given.components, np.float32),
        "means": np.full(given.components, 0.5),
    }
    columns.clear()
    values.clear()
    path = given.folder / given.kind / "batch_0.pt"
    threshold = THRESHOLD if given.kind == "sets" else None
    batch_to_store(arrays, generate.labels(given.components), 0, {}, threshold=threshold).save(path)
    size = path.stat().st_size
    return clock.read() | {"said": f"{size / 1e6:.0f} MB, {n_entries / 1e6:.1f} million entries"}


def merge(given: argparse.Namespace) -> dict:
    from spdclust.config.merge import MergeConfig
    from spdclust.files.batches import BatchedActivations
    from spdclust.merge.merging import merge_iteration
    from spdclust.merge.stepping import warm_up

    config = MergeConfig(activation_threshold=THRESHOLD, iters=given.iters, filter_dead_threshold=0)
    warm_up(config, given.components)
    logger = logging.getLogger("spdclust.merge")
    logger.setLevel(logging.INFO)
    loaded = Loaded(Clock())
    logger.addHandler(loaded)
    clock = Clock()
    source = BatchedActivations(given.folder / given.kind)
    if given.in_memory:
        source = source.get_next_batch().activations
    history = merge_iteration(source, config, seed=0, threads=given.threads)
    said = f"counting {loaded.cpu:.1f} s of CPU, {history.n_iterations} merges, "
    said += f"{int(history.selected_pairs.sum())} as a checksum"
    return clock.read() | {"said": said}


class Clock:
    """Wall and CPU seconds since it was made."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def read(self) -> dict:
        # not getrusage: its peak starts from the parent's
        status = Path("/proc/self/status").read_text()
        peak = int(status.split("VmHWM:")[1].split()[0]) / 1e6
        return {
            "wall": time.perf_counter() - self.wall,
            "cpu": time.process_time() - self.cpu,
            "peak_gb": peak,
        }


class Loaded(logging.Handler):
    """Reads a clock when the engine's log says that the batch is loaded."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(logging.INFO)
        self.clock, self.cpu = clock, 0.0

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("batch loaded"):
            self.cpu = self.clock.read()["cpu"]


if __name__ == "__main__":
    main()
