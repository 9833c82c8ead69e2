"""Snakemake as `python -m snakemake` runs it, in a copy of a process that has imported it: the start costs a third.

Two thirds of the CPU time of a dry run are imports. A server imports Snakemake and what its plugins and the
Snakefile need, and forks for each start; the copy reads the Snakefile, and starts its jobs as copies of another server
(`forked_scripts`). A copy that may find another `spdclust` than the server has imports its own.
"""

import contextlib
import gc
import importlib
import inspect
import json
import os
import re
import runpy
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import forked_scripts
from forked_python import ENVIRONMENT, address, started

PRELOADED = [
    *("snakemake.cli", "snakemake.notebook", "snakemake.script", "snakemake.storage"),
    *("snakemake_executor_plugin_slurm", "snakemake_executor_plugin_cluster_generic"),
    *("nbformat", "jsonschema", "requests", "smart_open", "tqdm", "packaging.version"),
    *("numpy", "pydantic", "yaml", "filelock", "platformdirs", "lazy_loader"),
]
READ_LATER = (
    # when a test or a stage asks for them, not when Python starts or a library is imported
    *("PYTEST_", "SPDCLUST_", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PWD", "OLDPWD", "SHLVL", "_"),
    # by a client that jobs import when they log
    *("WANDB_", "NETRC"),
    # scikit-learn, datasets and torch set them in the process of a test that imports or uses them
    *("KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "TOKENIZERS_PARALLELISM", "TORCHINDUCTOR_CACHE_DIR"),
)


def matters(environment: dict[str, str]) -> dict[str, str]:
    """Return the variables that a started process may have read already when it is copied."""
    return {name: value for name, value in environment.items() if not name.startswith(READ_LATER)}


class Server:
    """A process that has imported Snakemake and runs it in copies of itself, one after another."""

    def __init__(self) -> None:
        self.environment = ENVIRONMENT
        self.process = started(__file__, environment=ENVIRONMENT)

    def fits(self, environment: dict[str, str]) -> bool:
        """Return whether a process with this environment could be a copy of the server."""
        return matters(environment) == matters(self.environment)

    def run(
        self, arguments: list[str], folder: Path, environment: dict[str, str], output: Path, timeout: float
    ) -> int:
        """Run Snakemake in `folder`, write what it prints to `output`, and return its exit code."""
        request = [arguments, str(folder), environment, str(output), address()]
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


def serve() -> tuple[list[str], str]:
    """Answer requests until there are no more; return, in a copy of this process only, Snakemake's arguments.

    And the address of the server of its jobs.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        arguments, folder, environment, output, jobs = json.loads(line)
        child = os.fork()
        if child == 0:
            answers.close()
            files = [os.open(os.devnull, os.O_RDONLY), os.open(output, os.O_WRONLY)]
            become(folder, environment, [*files, files[1]], folder)  # one position in the file for both
            return arguments, jobs
        answers.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        answers.flush()
    sys.exit()


def python_path(environment: Mapping[str, str]) -> list[str]:
    return [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]


def finds_the_same(environment: Mapping[str, str]) -> bool:
    """Return whether a process with this environment finds the package and its caches where this one did."""

    def found(given: Mapping[str, str]) -> list[str | None]:
        folders = (path for path in python_path(given) if os.path.exists(f"{path}/spdclust"))
        return [next(folders, None), given.get("SPDCLUST_CACHE")]

    return found(environment) == found(os.environ)


def become(folder: str, environment: dict[str, str], files: list[int], first: str) -> None:
    """Be what Python is in this folder and environment, and with these files, before its first line.

    Args:
        folder: the working folder.
        environment: all variables.
        files: open files, for standard input, output and errors.
        first: where modules are looked for first.
    """
    if not finds_the_same(environment):
        for name in [name for name in sys.modules if name.split(".")[0] == "spdclust"]:
            del sys.modules[name]
    own = {str(Path(__file__).parent), *python_path(os.environ)}
    sys.path[:] = [first, *python_path(environment), *(path for path in sys.path if path not in own)]
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.dont_write_bytecode = bool(environment.get("PYTHONDONTWRITEBYTECODE"))
    time.tzset()
    tempfile.tempdir = None
    for number, opened in enumerate(files):
        os.dup2(opened, number)
    for opened in set(files):
        os.close(opened)


def start_jobs_as_copies(server: str) -> None:
    """Let Snakemake start Python in copies, where it would start its own."""
    from snakemake.script import PythonScript

    start = PythonScript.execute_script
    command = "{python} -IS {program:q} {server:q} {script:q}"

    def execute_script(self: PythonScript, fname: str, edit: bool = False) -> None:
        if self.container_img or self.conda_env or self.env_modules:
            start(self, fname, edit)
        else:
            names = {
                "python": sys.executable,
                "program": forked_scripts.__file__,
                "server": server,
                "script": fname,
            }
            self._execute_cmd(command, **names, is_python_script=True)

    PythonScript.execute_script = execute_script
    del (
        os.pidfd_open
    )  # without it a workflow of many jobs starts no server of its own, which imports for seconds


def preload_package() -> None:
    """Import what the rules import, and read the code of all stages, which fingerprints need."""
    from spdclust.core.code_fingerprint import stage_fingerprint

    repository = Path(__file__).resolve().parents[2]
    rules = "".join(path.read_text() for path in repository.glob("rules/*.smk"))
    for name in re.findall(r"^from (spdclust[\w.]+) import", rules, re.MULTILINE):
        importlib.import_module(name)
    for path in repository.glob("src/spdclust/stages/[!_]*.py"):
        stage_fingerprint(path.stem)


if __name__ == "__main__":
    from spdclust.execution.forked_jobs import _run_and_exit

    for name in PRELOADED:
        with contextlib.suppress(ImportError):  # plugins that only some machines have
            importlib.import_module(name)
    sys.modules["snakemake.cli"].get_argument_parser()  # imports the plugins that are installed
    preload_package()
    inspect.getmodule(sys._getframe())  # makes a table of all modules, which pydantic needs
    gc.freeze()  # memory that a copy does not touch costs it nothing
    arguments, jobs = serve()
    start_jobs_as_copies(jobs)
    sys.argv[1:] = arguments
    sys.modules["snakemake.workflow"].Workflow._rundir = os.getcwd()  # read when it is imported
    _run_and_exit(lambda: runpy.run_module("snakemake", run_name="__main__", alter_sys=True))
