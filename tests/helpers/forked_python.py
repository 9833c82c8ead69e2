"""Python in copies of one process: `python`, and the server of the copies, which a test run starts once."""

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import forked_scripts

ENVIRONMENT = dict(os.environ)
"""The environment of tests before any of them changes it."""
# short: so is the longest address of a socket
FOLDER = Path(
    tempfile.gettempdir(), f"forked-{os.environ.get('PYTEST_XDIST_TESTRUNUID', '')[:12] or os.getpid()}"
)
"""Of the server's socket: that of all processes of this test run."""


@cache
def address() -> str:
    """Return the socket of the server, which the first process of a test run that needs it starts."""
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (FOLDER / forked_scripts.IN_USE).exists():
            os.mkfifo(FOLDER / forked_scripts.IN_USE)
        os.open(FOLDER / forked_scripts.IN_USE, os.O_RDWR)  # as long as this process runs
        if not _answers(f"{FOLDER}/jobs"):
            environment = ENVIRONMENT | dict.fromkeys(forked_scripts.THREADS, "1")
            server = started(forked_scripts.__file__, f"{FOLDER}/jobs", environment=environment)
            assert server.stdout.readline() == "ready\n"
    return f"{FOLDER}/jobs"


def _answers(address: str) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        server.shutdown(socket.SHUT_WR)
        return server.recv(1) != b""
    return False


_STARTED = []


def started(*program: str, environment: Mapping[str, str]) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, *program],
        cwd="/",
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    _STARTED.append(process)  # it may go on when this process has ended
    return process


def python(
    *arguments: str | Path, cwd: str | Path | None = None, env: Mapping[str, str] | None = None, **options
) -> subprocess.CompletedProcess:
    """Run `python` with these arguments, which begin with a script, `-c` or `-m`, and return what it printed."""
    command = [sys.executable, "-IS", forked_scripts.__file__, address(), *arguments]
    return subprocess.run(
        command, cwd=cwd, env=env or os.environ, text=True, check=False,  # readline sets variables that these lack
        **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options),
    )  # fmt: skip
