"""The whole workflow on synthetic batches of any size: memory, CPU time, wall time and disk of every rule.

    python benchmarks/rehearsal.py --components 2000 --samples 50000 --runs 2

Batches with planted groups are written in the workflow's own format and enter it through
`precomputed_activations_dir`; the last line says how many of the planted groups were found again.
Peak memory and CPU time are read from /proc while the jobs run, since Snakemake's own benchmark looks only
every 30 seconds; wall times and, where they are higher, peaks are those of its benchmark files.
"""

import argparse
import csv
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import yaml
from generate import SAMPLES_PER_CHUNK, Model, labels
from jobs import stages_of_rules
from planning import copy_workflow
from scipy import sparse

from spdclust.files.batches import ActivationBatch
from spdclust.plotting.registry import FIGURE_RULES

MAPPING = "results/own/rehearsal/cluster_mapping_consensus_least_mdl.json"
METHODS = ["perm_invariant_hamming", "matching_dist"]
TICK = 1 / os.sysconf("SC_CLK_TCK")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--components", type=int, default=2000)
    options.add_argument("--samples", type=int, default=50_000)
    options.add_argument("--runs", type=int, default=2)
    options.add_argument("--cores", type=int, default=2)
    options.add_argument("--nice", type=int, default=10)
    options.add_argument("--folder", type=Path, default=Path("results/rehearsal"), help="written anew")
    options.add_argument("--keep-going", action="store_true", help="go on in the folder as it is")
    options.add_argument("targets", nargs="*", help="passed to snakemake; everything where none is given")
    given = options.parse_args()
    folder = given.folder.resolve()
    if not given.keep_going:
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        copy_workflow(folder)
        write_settings(folder, given.runs)
        start = time.perf_counter()
        for run in range(given.runs):
            write_batch(folder / f"own/run_{run}/batch_0.pt", given.components, given.samples, run)
        print(f"batches written in {time.perf_counter() - start:.0f} s", flush=True)
    watched = run_workflow(folder, given.cores, given.nice, given.targets)
    print(table(folder, watched))
    if (folder / MAPPING).exists():
        print(found_again(folder, planted(given.components)[0]))


def planted(n_components: int) -> tuple[np.ndarray, Model]:
    """Return the group of every component, and a model of activations whose latents are those groups."""
    model = Model(n_components)
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(len(model.member_start) - 1), np.diff(model.member_start))[:n_components]
    rest = np.arange(n_components - len(group)) // 6 + group[-1] + 1
    group = np.concatenate([group, rest])
    model.members = rng.permutation(n_components).astype(np.int32)
    model.member_start = np.searchsorted(group, np.arange(group[-1] + 2))
    rates = 1 / np.arange(1, group[-1] + 2) ** 0.9
    model.cumulative = np.cumsum(rng.permutation(rates)) / rates.sum()
    of_component = np.empty(n_components, dtype=np.int64)
    of_component[model.members] = group
    return of_component, model


def write_batch(path: Path, n_components: int, n_samples: int, run: int) -> None:
    """Write the activations of one run: the same groups in every run, other samples."""
    _, model = planted(n_components)
    chunks = []
    for number, first in enumerate(range(0, n_samples, SAMPLES_PER_CHUNK)):
        chunk = model.chunk(1000 * run + number, min(SAMPLES_PER_CHUNK, n_samples - first))
        chunk.data = np.random.default_rng([run, number]).uniform(0.1, 1, chunk.nnz).astype(np.float32)
        chunks.append(chunk)
    path.parent.mkdir(parents=True)
    ActivationBatch.from_sparse(sparse.csr_array(sparse.vstack(chunks)), labels(n_components), run).save(path)


def write_settings(folder: Path, n_runs: int) -> None:
    """Write the run and the pipeline: greedy, down to three groups, two distances."""
    run = {
        "precomputed_activations_dir": "own",
        "merge_config": {
            "activation_threshold": 0.01,
            "iters": None,
            "merge_pair_sampling_method": "range",
            "merge_pair_sampling_kwargs": {"threshold": 0.0},
        },
    }
    pipeline = {
        "clustering_run_config_path": "../runs/own.yaml",
        "n_runs": n_runs,
        "distances_methods": METHODS,
    }
    (folder / "config/runs/own.yaml").write_text(yaml.safe_dump(run))
    (folder / "config/pipelines/rehearsal.yaml").write_text(yaml.safe_dump(pipeline))
    (folder / "config/config.yaml").write_text(
        yaml.safe_dump({"pipelines": ["config/pipelines/rehearsal.yaml"]})
    )


def run_workflow(folder: Path, cores: int, nice: int, targets: list[str]) -> dict[str, list[float]]:
    """Run the workflow at low priority; return the peak (MB) and CPU seconds of each script's processes."""
    command = ["nice", "-n", str(nice), sys.executable, "-m", "snakemake", "--cores", str(cores), *targets]
    peak: dict[str, float] = defaultdict(float)
    seconds: dict[tuple[str, str], float] = {}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            for script, process, megabytes, cpu in _jobs(folder):
                peak[script] = max(peak[script], megabytes)
                seconds[script, process] = cpu

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    with (folder / "snakemake.log").open("w") as said:
        done = subprocess.run(command, cwd=folder, stdout=said, stderr=subprocess.STDOUT, check=False)
    over.set()
    watcher.join()
    print(f"workflow: {time.perf_counter() - start:.0f} s, exit {done.returncode}", flush=True)
    if done.returncode:
        print((folder / "snakemake.log").read_text()[-3000:])
    record = folder / "watched.json"
    watched = json.loads(record.read_text()) if record.exists() else {}
    watched |= {
        script: [peak[script], *(cpu for (name, _), cpu in seconds.items() if name == script)]
        for script in sorted(peak)
    }
    record.write_text(json.dumps(watched))
    return watched


def _jobs(folder: Path) -> list[tuple[str, str, float, float]]:
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            said = (place / "cmdline").read_bytes().decode(errors="replace")
            script = re.search(r"\0(\S*\.snakemake/scripts/tmp\w+?\.(\w+)\.py)", said)
            if script is None or "python" not in said.split("\0")[0] or (place / "cwd").resolve() != folder:
                continue
            rule = _rule(script[1]) if script[2] in ("figures", "stage") else script[2]
            megabytes = int((place / "status").read_text().split("VmHWM:")[1].split()[0]) / 1000
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            # its own and that of children it waited for
            cpu = sum(int(fields[n]) for n in (11, 12, 13, 14)) * TICK
        except (OSError, IndexError):
            continue
        found.append((rule, place.name, megabytes, cpu))
    return found


@functools.cache
def _rule(script: str) -> str:
    """Return the rule that a process works for, from the parameters: one script runs many rules."""
    parameters = Path(script).read_text()
    known = {rule: stage for rule, stage in stages_of_rules().items() if ":" in stage}
    known |= {rule: rule for rule in FIGURE_RULES}
    return next(rule for rule, name in known.items() if f"{name}\\x94" in parameters)


def table(folder: Path, watched: dict[str, list[float]]) -> str:
    """Return one line a script: jobs, peak memory, CPU and wall time of the longest job, bytes written."""
    rules = _benchmarks(folder)
    sizes = _sizes(folder)
    rows = [
        "| rule | jobs | peak GB | CPU s a job | wall s a job | MB written, all jobs |",
        "|---|---|---|---|---|---|",
    ]
    for rule in sizes:
        walls, peaks = rules.get(rule, ([], []))
        script = re.sub(r"(_temporary)?_\d+$", "", rule)
        peak, *cpu = watched.get(script, watched.get(rule, [float("nan"), float("nan")]))
        rows.append(
            f"| {rule} | {len(walls)} | {max([peak, *peaks]) / 1000:.2f} | {max(cpu):.1f} "
            f"| {max(walls, default=float('nan')):.1f} | {sizes[rule] / 1e6:.1f} |"
        )
    return "\n".join(rows)


def _benchmarks(folder: Path) -> dict[str, tuple[list[float], list[float]]]:
    """Wall seconds and peak memory (MB) of each rule's jobs, from Snakemake's benchmark files."""
    rules: dict[str, tuple[list[float], list[float]]] = {}
    for file, rule in _records(folder, "benchmark"):
        if not (folder / file).exists():
            continue
        with (folder / file).open() as stream:
            (row,) = csv.DictReader(stream, delimiter="\t")
        walls, peaks = rules.setdefault(rule, ([], []))
        walls.append(float(row["s"]))
        if row["max_rss"] not in ("NA", "-"):
            peaks.append(float(row["max_rss"]) * 2**20 / 1e6)
    return rules


def _sizes(folder: Path) -> dict[str, int]:
    sizes: dict[str, int] = defaultdict(int)
    for file, rule in _records(folder, "output"):
        if (folder / file).exists():
            sizes[rule] += (folder / file).stat().st_size
    return dict(sizes)


def _records(folder: Path, kind: str) -> list[tuple[str, str]]:
    """Return every output or benchmark file of the workflow with its rule."""
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--forceall", "-n", "--cores", "1"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    found = {}
    rule = ""
    for line in map(str.strip, done.stdout.splitlines()):
        if match := re.fullmatch(r"(?:local)?rule (\w+):", line):
            rule = match[1]
        elif match := re.fullmatch(rf"{kind}: (.+)", line):
            found |= {re.sub(r" \(.*\)$", "", file): rule for file in match[1].split(", ")}
    return list(found.items())


def found_again(folder: Path, group: np.ndarray) -> str:
    """Say how many of the planted groups the consensus of the runs holds, member for member."""
    mapping = json.loads((folder / MAPPING).read_text())
    members = defaultdict(set)
    for label, number in mapping["clusters"].items():
        members[number].add(label)
    names = labels(len(group))
    wanted: dict[int, set[str]] = defaultdict(set)
    for component, number in enumerate(group):
        wanted[number].add(names[component])
    made = {frozenset(each) for each in members.values()}
    found = sum(frozenset(each) in made for each in wanted.values())
    return f"{found} of {len(wanted)} planted groups found again, member for member, among {len(made)}"


if __name__ == "__main__":
    main()
