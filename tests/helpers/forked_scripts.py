"""Python as a copy of a process that has imported what jobs import: four fifths of the CPU time of a job.

With a socket as its only argument this program is the server, which forks for each request. With a socket and the
arguments of `python` it is that command: it hands its environment and its files over and ends as the copy does. Where a
copy would be another process than that, as with more threads, it becomes the command.

All processes of a test run share the server (`forked_python`), which ends with the last of them.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import sys

THREADS = [f"{name}_NUM_THREADS" for name in ("OMP", "OPENBLAS", "MKL", "GOTO", "NUMEXPR", "NUMBA")] + [
    "VECLIB_MAXIMUM_THREADS"
]
"""Read when a library is imported; the server has one thread."""
FOLDERS = ("TMPDIR", "TMP", "TEMPDIR", "TEMP")
PRELOADED = [
    *("snakemake.script", "numpy", "scipy.sparse", "pydantic", "yaml", "torch", "numba"),
    *("matplotlib.figure", "matplotlib.backends.backend_agg", "fontTools.subset"),
]
SIZE = struct.Struct("<Q")
IN_USE = "in_use"
"""Next to the socket: open for writing in all processes that use the server."""


def ask(address: str, *arguments: str) -> None:
    """Let the server run Python, and end as it does."""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        socket.send_fds(server, [b"."], [0, 1, 2])
        request = json.dumps([os.getcwd(), dict(os.environ), arguments]).encode()
        server.sendall(SIZE.pack(len(request)) + request)
        said = server.makefile().readline()
    if said == "no\n":
        os.execv(sys.executable, [sys.executable, *arguments])
    code = int(said)
    if code < 0:  # the signal that ended the copy
        os.kill(os.getpid(), -code)
    sys.exit(code)


def serve(address: str) -> tuple[list[int], list]:
    """Answer requests until nobody uses the server; return, in a copy of it only, what that is to be."""
    folder = os.path.dirname(address)
    in_use = os.open(f"{folder}/{IN_USE}", os.O_RDONLY | os.O_NONBLOCK)
    listener = socket.socket(socket.AF_UNIX)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(address)
    listener.bind(address)
    listener.listen(64)
    print("ready", flush=True)
    preloaded = False
    running: dict[int, tuple[int, socket.socket]] = {}
    while True:
        clients = {client: process for process, client in running.values()}
        ready = select.select([listener, in_use, *running, *clients], [], [])[0]
        if in_use in ready:
            for name in os.listdir(folder):
                os.unlink(f"{folder}/{name}")
            os.rmdir(folder)
            sys.exit()
        for client in [each for each in ready if each in clients]:  # it says no more, so it has ended
            os.kill(clients[client], signal.SIGKILL)
        for ended in [each for each in ready if each in running]:
            process, client = running.pop(ended)
            os.close(ended)
            answer(client, os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
        if listener not in ready:
            continue
        client = listener.accept()[0]
        asked, files = socket.recv_fds(client, 1, 3)[:2]
        if not asked:
            answer(client, "alive")
            continue
        (size,) = SIZE.unpack(client.recv(SIZE.size, socket.MSG_WAITALL))
        request = json.loads(client.recv(size, socket.MSG_WAITALL))
        if fits(request[1]):
            if not preloaded:
                preload()
                preloaded = True
            process = os.fork()
            if process == 0:
                for open_file in (listener, client, *(each for _, each in running.values())):
                    open_file.close()
                for number in (in_use, *running):
                    os.close(number)
                return files, request
            running[os.pidfd_open(process)] = process, client
        else:
            answer(client, "no")
        for file in files:
            os.close(file)


def answer(client: socket.socket, said: object) -> None:
    with client, contextlib.suppress(OSError):  # it may have been killed
        client.sendall(f"{said}\n".encode())


def fits(environment: dict[str, str]) -> bool:
    """Return whether a process with this environment could be a copy of this one."""
    from forked_snakemake import matters

    different = {*THREADS, *FOLDERS}
    one, other = (
        {name: value for name, value in matters(each).items() if name not in different}
        for each in (environment, dict(os.environ))
    )
    return one == other and {environment.get(name, "1") for name in THREADS} == {"1"}


def preload() -> None:
    for name in PRELOADED:
        importlib.import_module(name)
    from spdclust.execution.forked_jobs import modules_of_jobs

    for name in ["spdclust.stages.precompute_batches", *modules_of_jobs()]:
        importlib.import_module(name)
    gc.freeze()  # memory that a copy does not touch costs it nothing


def main() -> None:
    if len(sys.argv) > 2:
        ask(*sys.argv[1:])
    files, (folder, environment, arguments) = serve(sys.argv[1])
    from forked_snakemake import become

    from spdclust.execution.forked_jobs import _run_and_exit

    first, *others = arguments
    what = others.pop(0) if first in ("-c", "-m") else first
    become(folder, environment, files, "" if first in ("-c", "-m") else os.path.dirname(what))
    sys.argv[:] = [first if first == "-c" else what, *others]
    if first == "-c":
        _run_and_exit(lambda: exec(compile(what, "<string>", "exec"), vars(sys.modules["__main__"])))
    elif first == "-m":
        _run_and_exit(lambda: runpy.run_module(what, run_name="__main__", alter_sys=True))
    else:
        _run_and_exit(lambda: runpy.run_path(what, run_name="__main__"))


if __name__ == "__main__":
    main()
