"""What sampling batches costs on a GPU, beside the bare forward pass: time, memory, bytes copied to the host.

    PYTHONPATH=src python benchmarks/gpu.py                      a table, and gpu.json
    PYTHONPATH=src python benchmarks/gpu.py --output out/gpu.json

Needs torch with CUDA, numpy, scipy, pyyaml and what `import spdclust.models` needs; no network. Models are
made for the purpose, with random weights. Every part runs on the same tokens, after one warm-up:

    forward     the model and its causal-importance functions, whose results stay on the device
    collect     forward + threshold and compaction on the device + copy of what is active to the host
    write       collect + the batch written to disk, checksums included
"""

import argparse
import contextlib
import json
import platform
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

try:
    import torch

    from spdclust.files.stored_batch import batch_to_store
    from spdclust.models import load_model
    from spdclust.models.sparse_rows import RowCollector
    from spdclust.sampling.batch_sampling import arrays_of_rows
except ModuleNotFoundError as missing:
    sys.exit(f"this benchmark needs {missing.name}: PYTHONPATH=src, and the packages that spdclust imports")

from batches import LENGTH, make_checkpoint
from host_copies import HostCopies

SIZES = {
    # components, width, hidden units of a causal-importance function, tokens, components above 0 on a token
    "small": (2_000, 128, 64, 262_144, 40),
    "13,000 narrow": (13_000, 128, 64, 131_072, 100),
    "13,000 wide": (13_000, 768, 1_024, 131_072, 100),
    "40,000 wide": (40_000, 768, 1_024, 65_536, 150),
}
THRESHOLD = 0.01
BATCH_SIZE = 256
REPEATS = 3


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    options.add_argument("--tokens", type=int, help="instead of the number of tokens of each size")
    options.add_argument("--output", type=Path, default=Path("gpu.json"))
    options.add_argument("--device", default="cuda", help="cpu to try the script; its numbers mean nothing")
    given = options.parse_args()
    if given.device != "cpu" and not torch.cuda.is_available():
        sys.exit("there is no CUDA device here: nothing was measured (--device cpu only tries the script)")
    record = {
        "device": torch.cuda.get_device_name() if given.device != "cpu" else platform.processor() or "cpu",
        "torch": torch.__version__,
        "threshold": THRESHOLD,
        "sizes": {},
    }
    print(f"{record['device']}, torch {record['torch']}")
    print(HEAD)
    for name in given.sizes:
        began = time.perf_counter()
        rows = one_size(name, given)
        record["sizes"][name] = rows
        for row in rows:
            print(line(name, row), flush=True)
        print(f"{name}: {time.perf_counter() - began:.0f} s in all", file=sys.stderr)
        given.output.parent.mkdir(parents=True, exist_ok=True)
        given.output.write_text(json.dumps(record, indent=1))


HEAD = (
    f"{'model':15} {'batches':7} {'part':8} {'seconds':>8} {'ratio':>6} {'Mtok/s':>7} {'GPU GB':>7} "
    f"{'host GB':>8} {'copied MB':>10} {'B/entry':>8} {'file MB':>8} {'active':>7}"
)


def line(name: str, row: dict) -> str:
    return (
        f"{name:15} {row['batches']:7} {row['part']:8} {row['seconds']:8.3f} {row['ratio']:6.2f} "
        f"{row['tokens'] / row['seconds'] / 1e6:7.2f} {row['gpu_gb']:7.2f} {row['host_gb']:8.2f} "
        f"{row['copied'] / 1e6:10.2f} {row['copied'] / max(1, row['entries']):8.2f} {row['file'] / 1e6:8.1f} "
        f"{row['entries'] / row['tokens']:7.1f}"
    )


def one_size(name: str, given: argparse.Namespace) -> list[dict]:
    components, width, hidden, n_tokens, active = SIZES[name]
    n_tokens = given.tokens or n_tokens
    with tempfile.TemporaryDirectory() as folder:
        sizes = {"components": components, "active": active, "width": width, "hidden": hidden}
        make_checkpoint(argparse.Namespace(folder=Path(folder), tokens=0, per_sequence=None, **sizes))
        model = load_model(Path(folder) / "run", device=given.device)
        torch.manual_seed(1)
        tokens = torch.randint(0, 512, (max(1, n_tokens // LENGTH), LENGTH))
        n_tokens = tokens.numel()
        results = []
        for batches, threshold in (("values", None), ("sets", THRESHOLD)):
            parts = {
                "forward": lambda: forward(model, tokens),
                "collect": lambda threshold=threshold: collect(model, tokens, threshold),
                "write": lambda threshold=threshold: write(
                    model, tokens, threshold, Path(folder) / "batch.pt"
                ),
            }
            bare = 0.0
            for part, run in parts.items():
                row = measured(run, given.device)
                bare = bare or row["seconds"]
                row |= {"batches": batches, "part": part, "tokens": n_tokens, "ratio": row["seconds"] / bare}
                results.append(row)
        return results


def forward(model, tokens) -> dict:
    for some in blocks(tokens):
        for _ in model.importance_pieces(some):
            pass
    return {}


def blocks(tokens):
    """Yield the tokens as they come in a run: a few sequences at a time."""
    return tokens.split(BATCH_SIZE)


def collect(model, tokens, threshold: float | None) -> dict:
    return {"entries": len(collected(model, tokens, threshold).columns)}


def collected(model, tokens, threshold: float | None) -> RowCollector:
    rows = RowCollector(model.n_components, threshold=threshold)
    for some in blocks(tokens):
        model.collect_rows(rows, some)
    return rows


def write(model, tokens, threshold: float | None, path: Path) -> dict:
    rows = collected(model, tokens, threshold)
    batch_to_store(arrays_of_rows(rows), model.labels, 0, {}, threshold=threshold).save(path)
    return {"entries": len(rows.columns), "file": path.stat().st_size}


def measured(run, device: str) -> dict:
    """Return the median time of a part after a warm-up, its peaks of memory, and the bytes it copies."""
    gpu = device != "cpu"
    run()
    with HostCopies() as copies:
        facts = run()
    if gpu:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    reset_host_peak()
    seconds, cpu = [], []
    for _ in range(REPEATS):
        began, cpu_began = time.perf_counter(), time.process_time()
        run()
        if gpu:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
        cpu.append(time.process_time() - cpu_began)
    return {"entries": 0, "file": 0} | facts | {
        "seconds": statistics.median(seconds),
        "all_seconds": seconds,
        "cpu_seconds": statistics.median(cpu),
        "gpu_gb": torch.cuda.max_memory_allocated() / 1e9 if gpu else 0.0,
        "host_gb": host_peak(),
        "copied": copies.n_bytes,
        "copies": copies.n_copies,
    }  # fmt: skip


def reset_host_peak() -> None:
    with contextlib.suppress(OSError):  # then the peak is that of the process so far
        Path("/proc/self/clear_refs").write_text("5")


def host_peak() -> float:
    """Return the peak of the memory of this process in GB."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1e6
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
