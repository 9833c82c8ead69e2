"""Snakemake as `python -m snakemake` runs it, in a copy of a process that has imported it: the start costs a third.

Two thirds of the CPU time of a dry run are imports. A server imports Snakemake and what its plugins and the
Snakefile need from other packages, nothing of this one, and forks for each start; the copy reads the Snakefile,
imports `spdclust` and starts its jobs as any other process would.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

PRELOADED = [
    "snakemake.cli",
    "snakemake_executor_plugin_slurm",
    "snakemake_executor_plugin_cluster_generic",
    "numpy",
    "pydantic",
    "yaml",
]
ENVIRONMENT = dict(os.environ)
"""The environment of tests before any of them changes it."""
# read when a test or a stage asks for them, not when Python starts or a library is imported
READ_LATER = ("PYTEST_", "SPDCLUST_", "PYTHONPATH", "PWD", "OLDPWD", "SHLVL", "_")


def matters(environment: dict[str, str]) -> dict[str, str]:
    """Return the variables that a started process may have read already when it is copied."""
    return {name: value for name, value in environment.items() if not name.startswith(READ_LATER)}


class Server:
    """A process that has imported Snakemake and runs it in copies of itself, one after another."""

    def __init__(self) -> None:
        self.environment = ENVIRONMENT
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            cwd="/",
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def fits(self, environment: dict[str, str]) -> bool:
        """Return whether a process with this environment could be a copy of the server."""
        return matters(environment) == matters(self.environment)

    def run(
        self, arguments: list[str], folder: Path, environment: dict[str, str], output: Path, timeout: float
    ) -> int:
        """Run Snakemake in `folder`, write what it prints to `output`, and return its exit code."""
        request = [arguments, str(folder), environment, str(output)]
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], timeout)[0]:
            os.killpg(self.process.pid, 9)
            raise subprocess.TimeoutExpired(arguments, timeout)
        return int(self.process.stdout.readline())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def serve() -> list[str]:
    """Answer requests until there are no more; return, in a copy of this process only, Snakemake's arguments."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        arguments, folder, environment, output = json.loads(line)
        child = os.fork()
        if child == 0:
            answers.close()
            become(Path(folder), environment, Path(output))
            return arguments
        answers.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        answers.flush()
    sys.exit()


def python_path(environment: Mapping[str, str]) -> list[str]:
    return [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]


def become(folder: Path, environment: dict[str, str], output: Path) -> None:
    """Be what `python -m snakemake > output 2>&1` is in this folder and environment before its first line."""
    own = {str(Path(__file__).parent), *python_path(os.environ)}
    sys.path[:] = [str(folder), *python_path(environment), *(path for path in sys.path if path not in own)]
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    for path, mode, numbers in ((os.devnull, os.O_RDONLY, (0,)), (output, os.O_WRONLY, (1, 2))):
        opened = os.open(path, mode)
        for number in numbers:  # one position in the file for both
            os.dup2(opened, number)
        os.close(opened)


if __name__ == "__main__":
    for name in PRELOADED:
        with contextlib.suppress(ImportError):  # plugins that only some machines have
            importlib.import_module(name)
    gc.freeze()  # memory that a copy does not touch costs it nothing
    arguments = serve()
    assert not [name for name in sys.modules if name.split(".")[0] == "spdclust"]
    sys.argv[1:] = arguments
    sys.modules["snakemake.workflow"].Workflow._rundir = os.getcwd()  # read when it is imported
    runpy.run_module("snakemake", run_name="__main__", alter_sys=True)
