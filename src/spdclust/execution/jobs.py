"""What a job of a workflow does around its stage: log, one-line error reports, compiling ahead."""

import contextlib
import logging
import os
import platform
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from spdclust.core.errors import InputError, memory_error
from spdclust.core.version import __version__

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""What libraries read for their number of threads, when they are imported."""


@contextlib.contextmanager
def job(log_path: str | Path, name: str, threads: int = 1) -> Iterator[None]:
    """Redirect all output of the block to its log file, and exit with 1 if the block fails.

    Bad input becomes one line, in the log and on the real standard error; any other failure leaves its
    traceback in the log and one line that names the log.

    Example:
        >>> import subprocess, tempfile
        >>> code = "from spdclust.execution.jobs import job\\nwith job('merge.log', 'merge'): print('merged')"
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = subprocess.run([sys.executable, "-c", code], cwd=folder)
        ...     print((Path(folder) / "merge.log").read_text(), end="")
        2... INFO spdclust ..., Python 3...
        merged

    Args:
        log_path: the job's log.
        name: name of the job in messages.
        threads: number of threads of the rule; also limits the libraries imported inside the block.
    """
    # otherwise each library would use every core in every concurrent job
    os.environ |= dict.fromkeys(THREAD_VARIABLES, str(threads))
    log_path = Path(log_path)
    sys.stdout.flush()
    sys.stderr.flush()
    # what goes to the terminal after everything else goes to the log
    terminal = os.dup(2)
    try:
        log_path.parent.mkdir(parents=True, exist_ok=True)
        log_file = log_path.open("w", encoding="utf-8", buffering=1)
    except OSError as error:
        _tell(terminal, f"Error in {name}: {log_path}: cannot write (found: {error.strerror})")
        raise SystemExit(1) from None
    with log_file:
        # the file descriptors, not `sys.stdout`: compiled libraries and child processes write to them
        os.dup2(log_file.fileno(), 1)
        os.dup2(log_file.fileno(), 2)
        logging.basicConfig(
            level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr, force=True
        )
        # not in results, which every version of Python gives the same bytes
        logging.info("spdclust %s, Python %s", __version__, platform.python_version())
        # W&B failures do not stop the job, so they must be visible on the terminal
        logging.getLogger("spdclust.tracking").addHandler(_Warnings(terminal, name))
        try:
            yield
        except KeyboardInterrupt:
            # the workflow prints the logs of all jobs that end with it
            logging.info("interrupted")
            raise SystemExit(128 + signal.SIGINT) from None
        except Exception as error:
            input_error = error if isinstance(error, InputError) else memory_error(error)
            where = (
                f"{type(error).__name__}: {error} [traceback in"
                if input_error is None
                else f"{input_error} [log:"
            )
            _tell(terminal, f"Error in {name}: {where} {log_path}]")
            with contextlib.suppress(OSError):  # the log may be on the full disk
                if input_error is None:
                    traceback.print_exc()
                else:
                    print(f"Error: {input_error}", file=sys.stderr)
                if memory_error(error) is None:
                    print(_FOR_GOOD, file=sys.stderr)
            raise SystemExit(1) from None


_FOR_GOOD = "The job is not tried again: more memory or time would not help."


def failed_for_good(log_path: str | Path, *, since: float = 0.0) -> bool:
    """Return whether a job failed by its own error, not because it was killed or ran out of memory.

    Example:
        >>> failed_for_good("no_such.log")
        False

    Args:
        log_path: the job's log.
        since: ignore logs older than this time, in seconds since 1970.
    """
    try:
        with open(log_path, "rb") as log:
            if os.fstat(log.fileno()).st_mtime < since:
                return False
            log.seek(max(0, os.fstat(log.fileno()).st_size - 1000))
            last = log.read().decode(errors="replace")
    except OSError:
        return False
    return last.rstrip().endswith(_FOR_GOOD)


def compile_ahead() -> None:
    """Let this process, if it has to wait for kernels, compile those of the stages that follow the merges.

    The first merge of an ensemble compiles the kernels; the others would wait for it idly. This is not a part
    of the merge's stage, whose fingerprint would then depend on the code of those stages.

    Example:
        >>> compile_ahead()
    """
    from spdclust.core.compiling import while_waiting

    while_waiting(_compile_later_kernels)


class _Warnings(logging.Handler):
    def __init__(self, terminal: int, name: str) -> None:
        super().__init__(logging.WARNING)
        self._terminal, self._name = terminal, name

    def emit(self, record: logging.LogRecord) -> None:
        _tell(self._terminal, f"Warning in {self._name}: {record.getMessage()}")


def _tell(terminal: int, line: str) -> None:
    os.write(terminal, (" ".join(line.split()) + "\n").encode())


def _compile_later_kernels() -> None:
    from spdclust.explorer import cofiring
    from spdclust.groups import find
    from spdclust.partitions import trajectory
    from spdclust.stability import coclustering

    for stage in (trajectory, find, coclustering, cofiring):
        stage.warm_up()
