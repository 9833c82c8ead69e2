"""How long a complete merge takes, beside what any other way needs before its first merge.

    python benchmarks/merge.py                      the table in docs/benchmarks-merge.md
    python benchmarks/merge.py --sizes 1000x10000   one size, seconds
    python benchmarks/merge.py --sizes 10007x10000000 --laws exp_rank=0.8 --alpha 10 --streamed --no-product

Every size runs in a process of its own, so that its peak memory is its own; compilation is not counted.
"""

import argparse
import json
import logging
import os
import platform
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

TABLE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks-merge.md"
SIZES = ["2000x20000", "4000x50000", "8000x200000"]
GROWTH_SAMPLES = 50_000
LAWS = ["range=0", "range=0.001", "mcmc=1", "exp_rank=0.2"]
KEYS = {"range": "threshold", "mcmc": "temperature", "exp_rank": "decay"}


class Clock:
    """Wall and processor seconds since it was made."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), _cpu()

    def read(self) -> dict[str, float]:
        return {"wall": time.perf_counter() - self.wall, "cpu": _cpu() - self.cpu}


def _cpu() -> float:
    times = os.times()
    return times.user + times.system


def peak_gb() -> float:
    """Most memory this process ever had, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def config_for(law: str, alpha: float):
    from spdclust.config.merge import MergeConfig

    method, argument = law.split("=")
    return MergeConfig(
        activation_threshold=0.5,
        alpha=alpha,
        iters=None,
        filter_dead_threshold=0,
        merge_pair_sampling_method=method,
        merge_pair_sampling_kwargs={KEYS[method]: float(argument)},
    )


class Loaded(logging.Handler):
    """Reads a clock when the engine's log says that the batch is loaded."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.clock = Clock()
        self.reading = {"wall": 0.0, "cpu": 0.0}

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("batch loaded"):
            self.reading = self.clock.read()


def one_size(args: argparse.Namespace) -> dict:
    """Measure everything at one size, in this process."""
    sys.path.insert(0, str(Path(__file__).parent))
    import generate

    from spdclust.merge.merging import merge_iteration
    from spdclust.merge.stepping import warm_up

    n_components, n_samples = map(int, args.sizes[0].split("x"))
    result: dict = {"components": n_components, "samples": n_samples, "laws": {}}
    clock = Clock()
    if args.streamed:
        source = generate.Streamed(n_components, n_samples)
        result["entries"] = None
    else:
        source = generate.activations(n_components, n_samples)
        result["entries"] = int(source.matrix.nnz)
    result["generate"] = clock.read()
    result["input_gb"] = peak_gb()
    handler = Loaded()
    logger = logging.getLogger("spdclust.merge")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    if args.verbose:
        logging.basicConfig(level=logging.INFO)
    for law in args.laws:
        config = config_for(law, args.alpha)
        clock = Clock()
        warm_up(config, n_components)
        result["laws"][law] = {"compile": clock.read()["wall"]}
        clock = handler.clock = Clock()
        history = merge_iteration(source, config, seed=0, threads=args.threads)
        result["laws"][law] |= clock.read() | {
            "load": handler.reading["wall"],
            "load_cpu": handler.reading["cpu"],
            "peak_gb": peak_gb(),
            "merges": history.n_iterations,
            "best_k": int(history.k_groups[history.best_iteration()]),
        }
    if not args.no_product:
        clock = Clock()
        product = source.matrix.T @ source.matrix
        result["product"] = clock.read()
        result["product_gb"] = (product.data.nbytes + product.indices.nbytes) / 1e9
    if args.brute:
        result["brute"] = brute_force(source.matrix.toarray() > 0, args.alpha)
    return result


def brute_force(active, alpha: float) -> dict[str, float]:
    """Merge greedily with the dense formula, its matrix computed anew before every merge."""
    import numpy as np

    from spdclust.merge.costs import compute_merge_costs

    clock = Clock()
    groups = active.astype(np.float32)
    coact = (groups.T @ groups).astype(np.float64)
    ranks = np.ones(len(coact))
    while len(ranks) > 3:
        costs = compute_merge_costs(coact, ranks, alpha)
        np.fill_diagonal(costs, np.inf)
        i, j = sorted(divmod(int(costs.argmin()), len(costs)))
        groups[:, i] = np.maximum(groups[:, i], groups[:, j])
        ranks[i] += ranks[j]
        groups, ranks = np.delete(groups, j, axis=1), np.delete(ranks, j)
        coact = np.delete(np.delete(coact, j, axis=0), j, axis=1)
        coact[i] = coact[:, i] = groups.T @ groups[:, i]
    return clock.read()


def in_own_process(args: argparse.Namespace, size: str, *more: str) -> dict:
    command = [sys.executable, __file__, "--one", "--sizes", size, "--laws", *args.laws]
    command += ["--alpha", str(args.alpha), *more]
    for name in ("streamed", "verbose"):
        command += [f"--{name}"] if getattr(args, name) else []
    command += ["--no-product"] if args.no_product and "--no-product" not in more else []
    command += ["--threads", str(args.threads)] if args.threads else []
    print(f"{size} …", file=sys.stderr, flush=True)
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output.splitlines()[-1])


def growth(results: list[dict], law: str) -> float:
    """Exponent with which the merge part grows with the number of components, at equal samples."""
    import numpy as np

    k = [result["components"] for result in results]
    seconds = [result["laws"][law]["cpu"] - result["laws"][law]["load_cpu"] for result in results]
    return float(np.polyfit(np.log(k), np.log(seconds), 1)[0])


HEADS = ["components × samples", "law", "load s", "merge s", "all s", "all, CPU s"]
HEADS += ["`X.T @ X` s", "its CPU s", "all / `X.T @ X`", "peak GB"]


def table(results: list[dict]) -> list[str]:
    lines = [f"| {' | '.join(HEADS)} |", "|---" * len(HEADS) + "|"]
    for result in results:
        size = f"{result['components']:,} × {result['samples']:,}"
        for law, row in result["laws"].items():
            seconds = [row["load"], row["wall"] - row["load"], row["wall"], row["cpu"]]
            cells = [size, law.replace("=", " "), *(f"{value:.2f}" for value in seconds)]
            if "product" in result:
                product = result["product"]
                ratio = row["wall"] / product["wall"]
                cells += [f"{product['wall']:.2f}", f"{product['cpu']:.2f}", f"{ratio:.2f}"]
            else:
                cells += ["–"] * 3
            lines.append(f"| {' | '.join(cells)} | {row['peak_gb']:.2f} |")
    return lines


def machine() -> str:
    cores = len(os.sched_getaffinity(0))
    described = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    found = re.search(r"model name\s*: (.*)", described)
    name = found[1] if found else platform.machine()
    load = os.getloadavg()[0]
    return f"{cores} cores ({name}), Python {platform.python_version()}, load average before {load:.1f}."


EXPLANATION = """\
# How long a merge takes

Complete merges down to three groups, boolean activations, α = {alpha:g}, about 100 components active per
sample (`benchmarks/generate.py`). *Load* is the time to count all coactivations, *merge* the time of all
merges after that, and *all* the time of `merge_iteration` from start to end. `X.T @ X` is SciPy's sparse
product alone, on the same data in the same run: any other method needs it before its first merge.

Written by `benchmarks/merge.py --write`. Also running on the machine: {note}.

{text}
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", default=SIZES, help="components x samples")
    parser.add_argument("--laws", nargs="+", default=LAWS, help="sampler=argument")
    parser.add_argument("--alpha", type=float, default=1.0)
    parser.add_argument("--threads", type=int, help="threads that may load; all cores by default")
    parser.add_argument(
        "--growth", action="store_true", help="also 2,000 to 8,000 components at equal samples"
    )
    parser.add_argument("--streamed", action="store_true", help="draw the input while it is read")
    parser.add_argument("--no-product", action="store_true", help="leave out X.T @ X")
    parser.add_argument("--brute", action="store_true", help="also the dense formula, at 1,000 × 10,000")
    parser.add_argument("--write", action="store_true", help=f"write the table to docs/{TABLE.name}")
    parser.add_argument("--note", default="nothing else", help="what else ran on the machine")
    parser.add_argument("--verbose", action="store_true", help="show the merge's own log")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one_size(args)))
        return
    lines = [machine(), ""]
    results = [in_own_process(args, size) for size in args.sizes]
    lines += table(results)
    compiled = max(row["compile"] for result in results for row in result["laws"].values())
    lines += [
        "",
        f"Getting one sampler's kernels ready took {compiled:.1f} s at most (from the cache: under 1 s).",
    ]
    if args.brute:
        result = in_own_process(args, "1000x10000", "--brute")
        ratio = result["brute"]["wall"] / result["laws"][args.laws[0]]["wall"]
        ours = result["laws"][args.laws[0]]["wall"]
        lines += ["", "Dense formula in NumPy, 1,000 × 10,000, complete greedy merge: "]
        lines[-1] += f"{result['brute']['wall']:.1f} s, {ratio:.0f} times as long as here ({ours:.2f} s)."
    if args.growth:
        same = [in_own_process(args, f"{k}x{GROWTH_SAMPLES}", "--no-product") for k in (2000, 4000, 8000)]
        exponents = ", ".join(f"{growth(same, law):.2f} ({law.replace('=', ' ')})" for law in args.laws)
        lines += [
            "",
            f"From 2,000 to 8,000 components, at {GROWTH_SAMPLES:,} samples, the CPU time of the merge part "
            f"grows with the number of components to the power of {exponents}.",
        ]
    text = "\n".join(lines)
    print(text)
    if args.write:
        TABLE.parent.mkdir(exist_ok=True)
        TABLE.write_text(EXPLANATION.format(alpha=args.alpha, note=args.note, text=text))


if __name__ == "__main__":
    main()
