"""A copy of the workflow in a folder of its own, run as its users run it."""

import atexit
import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import yaml
from forked_snakemake import Server

REPOSITORY = Path(__file__).resolve().parents[2]
PARTS = ["Snakefile", "rules", "workflow", "config", "envs", "profiles", "report", "resources"]
RUN = {
    "model_path": "resources/resid_mlp1",
    "batch_size": 256,
    "device": "cpu",  # one job a run
    "n_tokens": 512,
    "merge_config": {"activation_threshold": 0.1, "iters": 20, "filter_dead_threshold": 0.1},
}
PIPELINE = {
    "clustering_run_config_path": "../runs/small.yaml",
    "n_runs": 2,
    "distances_methods": ["perm_invariant_hamming", "matching_dist"],
}


STAGES = re.findall(
    r'stage_params\(\s*"(\w+:\w+)"',
    "".join(path.read_text() for path in sorted((REPOSITORY / "rules").glob("*.smk"))),
)
"""The functions that `workflow/scripts/stage.py` calls, as rules name them."""

HANGS = 3600
"""Seconds after which a test gives up: no machine is so slow."""


@dataclass
class Outcome:
    code: int
    output: str

    @property
    def jobs(self) -> dict[str, int]:
        """Due jobs by rule, from a dry run; `all` left out."""
        table = re.search(r"Job stats:\njob +count\n[- ]+\n(.*?)\ntotal", self.output, re.DOTALL)
        rows = [line.split() for line in table[1].splitlines()] if table else []
        return {rule: int(count) for rule, count in rows if rule != "all"}


@cache
def server() -> Server:
    started = Server()
    atexit.register(started.close)
    return started


def snakemake(
    folder: Path,
    environment: dict[str, str],
    arguments: list[str],
    *,
    timeout: float = HANGS,
    forked: bool = True,
) -> Outcome:
    """Run Snakemake in a folder; forked only if the environment lets a copy be what a new process would be."""
    if forked and server().fits(environment):
        with tempfile.NamedTemporaryFile("r") as output:
            code = server().run(arguments, folder, environment, Path(output.name), timeout)
            return Outcome(code, output.read())
    done = subprocess.run(
        # -P: like the command `snakemake`, it imports nothing from the working folder
        [sys.executable, "-P", "-m", "snakemake", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Outcome(done.returncode, done.stdout)


class _Replaced(BaseException):
    """What a process would have become."""


def snakemake_by(
    main: Callable[[list[str]], int],
    *arguments: str,
    folder: Path,
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Call a command line that becomes Snakemake in a folder, and run what it becomes there."""

    def become(path: str, command: list[str]) -> None:
        assert command[:4] == [path, "-P", "-m", "snakemake"] == [sys.executable, *command[1:4]]
        raise _Replaced(command[4:])

    printed = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
    ):
        patch.chdir(folder)
        patch.setattr("os.execv", become)
        try:
            code = main(list(arguments))
        except _Replaced as replaced:
            outcome = snakemake(folder, dict(environment or os.environ), replaced.args[0])
            return Outcome(outcome.code, printed.getvalue() + outcome.output)
    return Outcome(code, printed.getvalue())


@dataclass
class Workflow:
    """One copy of the workflow's files and results."""

    folder: Path
    forked: bool = True
    """Whether Snakemake starts as a copy of a process that has imported it, not from the command line as for users."""

    @classmethod
    def create(cls, folder: Path, *, forked: bool = True) -> "Workflow":
        folder.mkdir(parents=True)
        for part in PARTS:
            source = REPOSITORY / part
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, folder / part)
        workflow = cls(folder, forked)
        workflow.write("config/runs/small.yaml", RUN)
        workflow.write("config/pipelines/tiny.yaml", PIPELINE)
        workflow.write("config/config.yaml", {"pipelines": ["config/pipelines/tiny.yaml"]})
        return workflow

    def copy(self, folder: Path) -> "Workflow":
        """Copy everything, times included, so that nothing becomes due."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Workflow(folder, self.forked)

    def own_package(self) -> None:
        """Give the workflow a copy of the package that a test may edit."""
        shutil.copytree(REPOSITORY / "src", self.folder / "src", ignore=shutil.ignore_patterns("__pycache__"))

    @property
    def environment(self) -> dict[str, str]:
        package = self.folder / "src"
        return os.environ | ({"PYTHONPATH": str(package)} if package.exists() else {})

    def write(self, name: str, content: dict) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    def run(self, *arguments: str, cores: int = 2, timeout: float = HANGS) -> Outcome:
        command = ["--cores", str(cores), *arguments]
        return snakemake(self.folder, self.environment, command, timeout=timeout, forked=self.forked)

    def due(self, *targets: str) -> dict[str, int]:
        """Return how many jobs of each rule would run."""
        outcome = self.run("-n", "-q", "rules", "--", *targets)
        assert outcome.code == 0, outcome.output
        return outcome.jobs

    def results(self) -> dict[str, bytes]:
        """Return every result by path; logs, which hold times, left out."""
        folder = self.folder / "results"
        files = [path for path in folder.rglob("*") if path.is_file()]
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in files
            if path.relative_to(folder).parts[0] != "logs"
        }


def jobs_at_work(folder: Path) -> dict[int, str]:
    """Return the processes that run a job of the workflow in this folder, and its script or stage."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        script = next((word for word in words[1:3] if word.startswith(f"{folder}/.snakemake/scripts/")), None)
        if script is not None:
            found[int(process.name)] = _stage_of(script)
    return found


def _stage_of(script: str) -> str:
    """Return what a job runs: the name of its script, or of the function that the script of all other stages calls."""
    name = script.split(".")[-2]
    if name != "stage":
        return name
    try:
        parameters = Path(script).read_text(errors="replace")
    except OSError:  # the job has just ended
        return name
    return next((each.split(":")[1] for each in STAGES if f"{each}\\x94" in parameters), name)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has taken, 0 for one that has ended."""
    try:
        values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")


def wait_for_work(
    process: subprocess.Popen, folder: Path, cpu: float, orphans: Container[int] = ()
) -> dict[int, str]:
    """Wait until a job of a running workflow has taken so much CPU time, wherever a busy machine puts that in time.

    Returns:
        The jobs at work then, without `orphans` of an earlier start; none if the workflow has ended.
    """
    while process.poll() is None:
        at_work = {pid: script for pid, script in jobs_at_work(folder).items() if pid not in orphans}
        if any(cpu_seconds(pid) >= cpu for pid in at_work):
            return at_work
        time.sleep(0.02)
    return {}
