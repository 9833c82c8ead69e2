"""Time and memory of planning a workflow of many ensembles, beside an empty workflow of the same graph.

    python benchmarks/planning.py --sizes 10x10 30x20 100x20

A size is ensembles × runs: a sweep of as many points over one run file. Measured are CPU seconds and peak
memory of `snakemake -n -q rules`. The peer has as many jobs of as many rules in the same places of the
graph, each with one file and nothing else: no settings, no functions, no package. That is Snakemake's own
share.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from spdclust.execution.batch_jobs import rule_and_runs

REPOSITORY = Path(__file__).resolve().parents[1]
PARTS = ["Snakefile", "rules", "workflow", "config", "envs", "profiles", "report", "resources"]
PLAN = [sys.executable, "-m", "snakemake", "-n", "-q", "rules", "--cores", "1"]


@dataclass
class Planned:
    """What one plan took."""

    jobs: int
    cpu_seconds: float
    peak_gb: float
    output: str


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--sizes", nargs="+", default=["10x10", "30x20", "100x20"])
    options.add_argument("--repeats", type=int, default=1, help="the least CPU time of these is told")
    given = options.parse_args()
    print("| ensembles × runs | jobs | plan, CPU s | peak GB | empty workflow, CPU s | peak GB | ratio |")
    print("|---|---|---|---|---|---|---|")
    for size in given.sizes:
        n_ensembles, n_runs = (int(number) for number in size.split("x"))
        with tempfile.TemporaryDirectory() as folder:
            ours, peer = Path(folder, "ours"), Path(folder, "peer")
            write_workflow(ours, n_ensembles, n_runs)
            first = plan(ours)
            write_peer(peer, first.output, n_ensembles, n_runs)
            plans = [first, *(plan(ours) for _ in range(given.repeats - 1))]
            peers = [plan(peer) for _ in range(given.repeats)]
        mine = min(plans, key=lambda each: each.cpu_seconds)
        empty = min(peers, key=lambda each: each.cpu_seconds)
        assert mine.jobs == empty.jobs, (mine.output, empty.output)
        print(
            f"| {n_ensembles} × {n_runs} | {mine.jobs} | {mine.cpu_seconds:.1f} | {mine.peak_gb:.2f} "
            f"| {empty.cpu_seconds:.1f} | {empty.peak_gb:.2f} | {mine.cpu_seconds / empty.cpu_seconds:.2f} |",
            flush=True,
        )


def copy_workflow(folder: Path) -> None:
    """Copy what a workflow needs, the package left out, into a folder of its own."""
    folder.mkdir()
    for part in PARTS:
        source = REPOSITORY / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / part)


def write_workflow(folder: Path, n_ensembles: int, n_runs: int) -> None:
    """Write a copy of the workflow whose only pipeline is a sweep of so many points."""
    copy_workflow(folder)
    pipeline = {
        "clustering_run_config_path": "../runs/resid_mlp1.yaml",
        "n_runs": n_runs,
        "distances_methods": ["perm_invariant_hamming", "matching_dist"],
        "sweep": {"merge_config.alpha": [round(0.1 * (point + 1), 1) for point in range(n_ensembles)]},
    }
    (folder / "config/pipelines/many.yaml").write_text(yaml.safe_dump(pipeline))
    (folder / "config/config.yaml").write_text(yaml.safe_dump({"pipelines": ["config/pipelines/many.yaml"]}))


def write_peer(folder: Path, planned: str, n_ensembles: int, n_runs: int) -> None:
    """Write an empty workflow with a job for each planned one, in the same places of the graph."""
    folder.mkdir()
    jobs = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", planned, re.MULTILINE)}
    n_jobs = jobs.pop("total")
    jobs.pop("all", None)
    batches = [name for name in jobs if name.startswith("precompute_")]
    per_ensemble = {name: n // n_ensembles for name, n in jobs.items() if n >= n_ensembles > 0}
    for name in (*batches, "merge"):
        per_ensemble.pop(name, None)
    others = n_jobs - 1 - len(batches) - n_runs * n_ensembles - n_ensembles * sum(per_ensemble.values())
    text = f"ENSEMBLES, RUNS = range({n_ensembles}), range({n_runs})\n"
    wanted = [f'"e{{e}}/{name}_{n}" for e in ENSEMBLES' for name, n in _numbered(per_ensemble)]
    finals = ", ".join(f"*[f{each}]" for each in wanted)
    alone = ", ".join(f'"other_{n}"' for n in range(others))
    text += f"rule all:\n    input: {finals}, {alone}\n"
    for name in batches:
        text += f"rule {name}:\n    output: [f'batch_{{run}}' for run in {rule_and_runs(name)[1]}]\n"
        text += '    shell: "touch {output}"\n'
    text += 'rule merge:\n    input: "batch_{run}"\n    output: "e{e}/history_{run}"\n'
    text += '    shell: "touch {output}"\n'
    histories = 'expand("e{{e}}/history_{run}", run=RUNS)'
    for name, n in _numbered(per_ensemble):
        text += f"rule {name}_{n}:\n    input: {histories}\n    output: 'e{{e}}/{name}_{n}'\n"
        text += '    shell: "touch {output}"\n'
    for n in range(others):
        text += f"rule other_{n}:\n    output: 'other_{n}'\n    shell: 'touch {{output}}'\n"
    (folder / "Snakefile").write_text(text)


def _numbered(counts: dict[str, int]) -> list[tuple[str, int]]:
    return [(name, n) for name, count in counts.items() for n in range(count)]


def plan(folder: Path) -> Planned:
    """Plan the workflow of a folder in a process of its own."""
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            PLAN, cwd=folder, stdout=said, stderr=subprocess.STDOUT, env=os.environ | {"COLUMNS": "200"}
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        output = said.read()
    if status:
        sys.exit(output)
    jobs = int(re.search(r"^total +(\d+)$", output, re.MULTILINE)[1])
    return Planned(jobs, used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6, output)


if __name__ == "__main__":
    main()
