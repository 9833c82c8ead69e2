"""Jobs of a local workflow as copies of one process that has imported what they need.

A job spends about one second of CPU time on imports, which for a small job is most of its time. Here a server
imports the libraries and the stages once, and forks for each job. The copy runs the job's script as a new
interpreter would, with its own environment, log and exit code.

The libraries are imported with one thread each, as they read the number then; stages take theirs as an
argument.
"""

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from spdclust.execution.jobs import FIGURE_VARIABLES, THREAD_VARIABLES

FEWEST_JOBS = 4
"""Fewer jobs would import less than the server does."""

_ONE_THREAD = dict.fromkeys(THREAD_VARIABLES, "1")
_READY = b"ready"
_ANSWER = 4  # bytes
_LONGEST_REQUEST = 1 << 20  # more than the system lets anyone send
_STAGES = ("merge", "track", "ensemble_records", "stability", "explorer", "results")


class JobServer:
    """A process that has imported what jobs need, and runs a script in a copy of itself for each of them."""

    def __init__(self, preload: list[str]) -> None:
        # messages keep their borders, and each is one call
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        self._imported = False
        with theirs:
            self._process = subprocess.Popen(
                # -P: like a script, the server imports nothing from the user's working folder
                [sys.executable, "-P", "-m", __name__, str(theirs.fileno()), *preload],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=os.environ | FIGURE_VARIABLES | _ONE_THREAD,
            )

    def ready(self) -> bool:
        """Return whether the server has imported everything and starts jobs without delay."""
        with self._lock:
            if not self._imported and select.select([self._requests], [], [], 0)[0]:
                self._imported = self._requests.recv(len(_READY)) == _READY
            return self._imported

    def start(self, script: str | Path, environment: Mapping[str, str]) -> "ForkedJob":
        """Run a script in this process' working folder.

        Raises:
            OSError: the server has ended.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            request = json.dumps([str(script), os.getcwd(), dict(environment)]).encode()
            with self._lock:
                socket.send_fds(self._requests, [request], [theirs.fileno()])
        return ForkedJob(ours)

    def close(self) -> None:
        """End the server; jobs that are running go on."""
        self._requests.close()
        self._process.wait()

    def __enter__(self) -> "JobServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ForkedJob:
    """A process for a job, which begins with `wait`: until then it can be found by its number.

    Args:
        answers: on which its server sends its process number, and its exit code once it has ended.

    Raises:
        OSError: the server has ended.
    """

    def __init__(self, answers: socket.socket) -> None:
        self._answers = answers
        self.pid = self._answer()
        self._process = os.pidfd_open(self.pid)

    def wait(self) -> int:
        """Let the job begin, wait for its end, and return its exit code; for a signal, its negative number.

        Raises:
            OSError: the server has ended. The job is killed, since nobody would learn how it ends.
        """
        try:
            with self._answers:
                self._answers.sendall(b".")
                return self._answer()
        except OSError:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, signal.SIGKILL)
            select.select([self._process], [], [])  # until it has ended
            raise
        finally:
            os.close(self._process)

    def _answer(self) -> int:
        answer = self._answers.recv(_ANSWER)
        if not answer:
            raise OSError("the process that starts jobs has ended")
        return int.from_bytes(answer, signed=True)


def fork_local_jobs(n_jobs: int) -> JobServer | None:
    """Let the jobs that Snakemake runs on this machine be copies of a server; return the server.

    Jobs in an environment of their own (conda, containers, modules) are started as before, and so are those
    that come before the server has imported everything. Changes Snakemake inside the process of a workflow.

    Example:
        >>> fork_local_jobs(n_jobs=1) is None
        True

    Returns:
        The server, which ends with this process; None if none was started.
    """
    if n_jobs < FEWEST_JOBS or not _can_wait_for_copies():
        return None
    from snakemake.benchmark import benchmarked
    from snakemake.script import PythonScript

    server = JobServer(modules_of_jobs())
    atexit.register(server.close)  # the time that jobs took counts for the workflow
    start_new = PythonScript.execute_script

    def execute_script(self: Any, file: str, edit: bool = False) -> None:
        alone = (self.conda_env, self.container_img, self.env_modules, self.shadow_dir)
        job = None
        if server.ready() and not any(alone):
            folder = self.resources.get("tmpdir")
            temporary = {} if folder is None else dict.fromkeys(("TMPDIR", "TMP", "TEMPDIR", "TEMP"), folder)
            with contextlib.suppress(OSError):
                job = server.start(file, temporary)
        if job is None:
            start_new(self, file, edit)
            return
        measured = self.bench_record is not None
        with benchmarked(job.pid, self.bench_record) if measured else contextlib.nullcontext():
            code = job.wait()
        if code:
            raise subprocess.CalledProcessError(code, f"{sys.executable} {file}")

    PythonScript.execute_script = execute_script
    return server


def _can_wait_for_copies() -> bool:
    """Whether this is a Linux of 2019 or later; elsewhere, libraries do not survive a fork."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def modules_of_jobs() -> list[str]:
    """Return the modules that the server of a workflow imports: all that jobs need but torch and wandb.

    Example:
        >>> "spdclust.stages.merge" in modules_of_jobs()
        True
    """
    from spdclust.plotting.registry import FIGURE_RULES, figure_code

    drawing = {
        function.partition(":")[0]
        for rule in FIGURE_RULES.values()
        for function in figure_code(rule).values()
    }
    return [*(f"spdclust.stages.{stage}" for stage in _STAGES), *sorted(drawing)]


def _serve(requests: socket.socket) -> tuple[str, dict[str, str]]:
    """Answer requests until the workflow ends; in the process of a job, return its script and variables."""
    running: dict[int, tuple[int, socket.socket]] = {}
    while True:
        for ready in select.select([requests.fileno(), *running], [], [])[0]:
            if ready in running:
                process, answers = running.pop(ready)
                os.close(ready)
                with answers, contextlib.suppress(OSError):  # the workflow may have been killed
                    answers.sendall(_as_bytes(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])))
                continue
            request = b""
            with contextlib.suppress(ConnectionResetError):  # it has ended before our message
                request, descriptors, _, _ = socket.recv_fds(requests, _LONGEST_REQUEST, 1)
            if not request:
                sys.exit()
            if not descriptors:  # too many files are open: the workflow notices that its socket is closed
                continue
            answers = socket.socket(fileno=descriptors[0])
            try:
                process = os.fork()
            except OSError:  # as many processes as allowed, or no memory: the same
                answers.close()
                continue
            if process == 0:
                requests.close()
                for descriptor, (_, other) in running.items():
                    os.close(descriptor)
                    other.close()
                with answers:
                    if not answers.recv(1):
                        os._exit(1)
                script, folder, environment = json.loads(request)
                os.chdir(folder)
                return script, environment
            try:
                descriptor = os.pidfd_open(process)
            except OSError:
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
                answers.close()
                continue
            running[descriptor] = process, answers
            with contextlib.suppress(OSError):
                answers.sendall(_as_bytes(process))


def _as_bytes(number: int) -> bytes:
    return number.to_bytes(_ANSWER, signed=True)


def _run_and_exit(run: Callable[[], object]) -> NoReturn:
    """Call a function and end this process as Python would, but leave its memory to the system.

    Python frees all objects one by one, which copies the memory that is shared with the server: a tenth of a
    second.
    """
    code = 0
    try:
        run()
    except SystemExit as error:
        if not isinstance(error.code, int | None):
            raise  # Python prints it
        code = error.code or 0
    finish_threads: Any = threading._shutdown  # type: ignore[attr-defined]
    finish_threads()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        print(end="", file=stream, flush=True)
    os._exit(code & 0xFF)


def _show_command(words: list[str]) -> None:
    """Let `ps` and `pkill -f` find this process by what it runs: write over the command of the server."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # where the system reads the command; 0 if it does not say
    text = "\0".join(words).encode()[: end - start - 1]
    ctypes.memmove(start, text.ljust(end - start, b"\0"), end - start)


def _main() -> None:
    # Ctrl-C ends the jobs, and the workflow ends the server
    on_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    # a process that ignores this signal never learns how its children ended
    on_end_of_child = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for name in sys.argv[2:]:
        # a job that needs what cannot be imported reports it
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # memory that no copy changes exists once
    requests = socket.socket(fileno=int(sys.argv[1]))
    with contextlib.suppress(OSError):  # the workflow may have ended
        requests.sendall(_READY)
    script, environment = _serve(requests)
    signal.signal(signal.SIGINT, on_interrupt)
    signal.signal(signal.SIGCHLD, on_end_of_child)
    os.environ |= environment
    tempfile.tempdir = None  # found in the environment when it is first needed
    sys.argv[:] = [script]
    _show_command([sys.executable, script])
    sys.path.insert(0, str(Path(script).parent))
    _run_and_exit(lambda: runpy.run_path(script, run_name="__main__"))


if __name__ == "__main__":
    _main()
