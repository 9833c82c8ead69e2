"""Every job of a small workflow, recorded as it ran, so that one job can be run again alone, in a fork, and killed."""

import contextlib
import ctypes
import io
import os
import pickle
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow import HANGS, PIPELINE, REPOSITORY, STAGES, Workflow

_PR_SET_PDEATHSIG = 1
SWEEP = PIPELINE | {"sweep": {"merge_config.alpha": [0.5, 1.0]}}
MORE_TARGETS = [
    "results/small/tiny-alpha~0.5/cluster_mapping_run_0_least_mdl.json",
    "results/small/tiny-alpha~0.5/cluster_mapping_consensus_groups_150.json",
]
"""Rules that nothing else asks for."""
SHARED = PIPELINE | {"n_runs": 3, "distances_jobs": 2}
SHARED_TARGET = "results/small/shared/distances_matching_dist.npz"
"""Several jobs make this file, in rules that other ensembles do not have."""

LEFT_OUT = {
    "report": "starts Snakemake itself: killed with the whole workflow",
    "track": "sends to W&B what is there, writes a mark that it did",
    "docstring_corpus": "parses the installed Python, ten seconds a time; one text through the same `atomic_path`",
}
SCRIPTS = sorted(
    {
        *(path.stem for path in (REPOSITORY / "workflow/scripts").glob("*.py")),
        *(stage.split(":")[1] for stage in STAGES),
    }
    - {"stage", *LEFT_OUT}
)
"""The scripts whose jobs are run again alone, with the functions that one script calls instead of that one."""

_RECORD = """
import os, pickle
from pathlib import Path
os.makedirs("recorded", exist_ok=True)
with open(f"recorded/{os.getpid()}.pickle", "wb") as stream:
    pickle.dump((SCRIPT, snakemake), stream)
for output in snakemake.output:
    Path(output).write_text("")
"""


@dataclass
class RecordedJob:
    """One job: its script, and the `snakemake` object it was given."""

    rule: str
    script: str
    snakemake: Any

    @property
    def outputs(self) -> list[str]:
        return [str(path) for path in self.snakemake.output]

    @property
    def inputs(self) -> list[str]:
        return [str(path) for path in self.snakemake.input]

    def __call__(self) -> None:
        """Run the script as Snakemake does."""
        # another job under other settings must not see what this one changes
        exec(
            compile(self.script, f"{self.rule}.py", "exec"),
            {"snakemake": self.snakemake, "__name__": "__main__"},
        )


@dataclass
class Recorded:
    """The first job of each script or stage, in the order in which they ran, and the results of the undisturbed workflow."""

    workflow: Workflow
    jobs: dict[str, RecordedJob]
    results: dict[str, bytes]

    def place(self, job: RecordedJob, folder: Path, results: Path | None = None) -> Path:
        """Make a working folder with what a job reads; `results` in it may be a link elsewhere."""
        folder.mkdir(parents=True, exist_ok=True)
        for part in ("resources", "config"):
            (folder / part).symlink_to(self.workflow.folder / part)
        if results is not None:
            (folder / "results").symlink_to(results)
        for name in job.inputs:
            if name.startswith("results/"):
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(self.workflow.folder / name, target)
        return folder

    def expected(self, job: RecordedJob) -> dict[str, bytes]:
        return {name: self.results[name.removeprefix("results/")] for name in job.outputs}


def record(folder: Path, pipeline: dict = SWEEP, targets: Sequence[str] = MORE_TARGETS) -> Recorded:
    """Have Snakemake say what every job of a small workflow is given, then run the jobs one by one, undisturbed."""
    preload()
    workflow = Workflow.create(folder, forked=False)
    workflow.write("config/pipelines/tiny.yaml", pipeline)
    for script in (folder / "workflow/scripts").glob("*.py"):
        script.write_text(_RECORD.replace("SCRIPT", repr(script.stem)))
    workflow.write("config/pipelines/shared.yaml", SHARED)
    shared = ("--config", "pipelines=[config/pipelines/shared.yaml]", "--", SHARED_TARGET)
    for last, arguments in (("all", ("--", "all", *targets)), ("distances", shared)):
        outcome = workflow.run(*arguments)
        # the summary at the end cannot be read, since every file is empty
        assert re.search(rf"^\[(\d+)/\1\] {last}", outcome.output, re.MULTILINE), outcome.output[-3000:]
    shutil.rmtree(folder / "results")
    jobs: dict[str, RecordedJob] = {}
    for kept in sorted((folder / "recorded").iterdir(), key=lambda path: path.stat().st_mtime_ns):
        stem, snakemake = pickle.loads(kept.read_bytes())  # written a moment ago by this very test
        name = snakemake.params.stage.split(":")[1] if stem == "stage" else stem
        script = (REPOSITORY / f"workflow/scripts/{stem}.py").read_text()
        job = RecordedJob(snakemake.rule, script, snakemake)
        ended = in_fork(job, folder)
        assert ended.code == 0, ended.said
        jobs.setdefault(name, job)
    return Recorded(workflow, jobs, workflow.results())


# --- running one job in a process of its own


def preload() -> None:
    """Import what the jobs import, so that a fork is at work from its first moment."""
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    import importlib
    import pkgutil

    import spdclust.stages

    for module in pkgutil.iter_modules(spdclust.stages.__path__):
        importlib.import_module(f"spdclust.stages.{module.name}")
    import matplotlib.backends.backend_agg
    import matplotlib.backends.backend_pdf
    import numba
    import torch

    torch.set_num_threads(1)
    del matplotlib, numba


@dataclass
class Ended:
    """How a process ended: its exit code or the signal that killed it, what it said, and the CPU time it took."""

    code: int | None
    signal: int | None
    said: str
    cpu_seconds: float


def in_fork(act: Callable[[], Any], folder: Path, *, kill_after: float | None = None) -> Ended:
    """Run a function in a forked process group with `folder` as working folder.

    `kill_after` is a CPU time, which other processes do not change: the kernel then ends it with SIGPROF, for
    which there is no handler, as abruptly as SIGKILL would.
    """
    ready, begin = os.pipe()
    said = folder / ".said"
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.setsid()
            ctypes.CDLL(None).prctl(
                _PR_SET_PDEATHSIG, signal.SIGKILL
            )  # it ends with the test, however that ends
            os.close(ready)
            os.chdir(folder)
            stream = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(stream, 1)
            os.dup2(stream, 2)
            sys.stdout, sys.stderr = (
                io.TextIOWrapper(os.fdopen(fd, "wb", 0), write_through=True, errors="replace")
                for fd in (1, 2)
            )
            os.write(begin, b"x")
            os.close(begin)
            if kill_after is not None:
                signal.signal(signal.SIGPROF, signal.SIG_DFL)
                signal.setitimer(signal.ITIMER_PROF, max(kill_after, 0.001))
            code = _call(act)
        except BaseException:
            import traceback

            with contextlib.suppress(BaseException):
                traceback.print_exc()
        finally:
            with contextlib.suppress(BaseException):
                sys.stdout.flush()
            os._exit(code)
    os.close(begin)
    os.read(ready, 1)
    os.close(ready)
    limit = time.monotonic() + HANGS
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid or time.monotonic() > limit:
            break
        time.sleep(0.002)
    with contextlib.suppress(ProcessLookupError):  # and what it started
        os.killpg(child, signal.SIGKILL)
    if not pid:
        os.waitpid(child, 0)
    text = said.read_text(errors="replace") if said.exists() else ""
    said.unlink(missing_ok=True)
    assert pid, f"no end after {HANGS} s, having said: {text[-3000:]}"
    killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    return Ended(None if killed else os.WEXITSTATUS(status), killed, text, usage.ru_utime + usage.ru_stime)


def _call(act: Callable[[], Any]) -> int:
    try:
        act()
    except SystemExit as exit:
        return exit.code if isinstance(exit.code, int) else int(exit.code is not None)
    return 0


# --- what is in a folder


def files_in(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder's results by path, hidden ones too, logs left out."""
    results = (folder / "results").resolve()
    return {
        f"results/{path.relative_to(results).as_posix()}": path.read_bytes()
        for path in sorted(results.rglob("*"))
        if path.is_file() and path.relative_to(results).parts[0] != "logs"
    }


def hidden(name: str) -> bool:
    return Path(name).name.startswith(".")
