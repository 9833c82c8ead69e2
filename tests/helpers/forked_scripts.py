"""A job's Python as a copy of a process that has imported what jobs import: four fifths of its CPU time.

With a socket as its only argument this program is the server, which forks for each request. With a socket and a script
it is `python script`: it hands its environment and its files over and ends as the copy does. Where a copy would be
another process than that, as with more threads, it becomes `python script`.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
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


def ask(address: str, script: str) -> None:
    """Let the server run a script, and end as it does."""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        socket.send_fds(server, [b"."], [0, 1, 2])
        request = json.dumps([os.getcwd(), dict(os.environ), script]).encode()
        server.sendall(SIZE.pack(len(request)) + request)
        said = server.makefile().readline()
    if said == "no\n":
        os.execv(sys.executable, [sys.executable, script])
    code = int(said)
    if code < 0:  # the signal that ended the copy
        os.kill(os.getpid(), -code)
    sys.exit(code)


def serve(address: str) -> tuple[list[int], list]:
    """Answer requests until standard input ends; return, in a copy of this process only, what it is to be."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    print("ready", flush=True)
    preloaded = False
    running: dict[int, tuple[int, socket.socket]] = {}
    while True:
        ready = select.select([listener, sys.stdin, *running], [], [])[0]
        if sys.stdin in ready:
            sys.exit()
        for ended in [each for each in ready if each in running]:
            process, client = running.pop(ended)
            os.close(ended)
            answer(client, os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
        if listener not in ready:
            continue
        client = listener.accept()[0]
        files = socket.recv_fds(client, 1, 3)[1]
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
                for number in running:
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
    if len(sys.argv) == 3:
        ask(*sys.argv[1:])
    files, (folder, environment, script) = serve(sys.argv[1])
    from forked_snakemake import become

    from spdclust.execution.forked_jobs import _run_and_exit

    become(folder, environment, files, os.path.dirname(script))
    sys.argv[:] = [script]
    _run_and_exit(lambda: runpy.run_path(script, run_name="__main__"))


if __name__ == "__main__":
    main()
