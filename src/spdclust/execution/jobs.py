"""What a job does around its stage: log, one-line errors, arguments, compiling; the workflow's files."""

import atexit
import contextlib
import gc
import importlib
import inspect
import json
import logging
import os
import platform
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from spdclust.core.errors import InputError, memory_error
from spdclust.core.version import __version__

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""What libraries read for their number of threads, when they are imported."""
FIGURE_VARIABLES = {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}
"""What matplotlib reads when it is imported. Figures are files, and have the same bytes for every user: no
window, and no settings of the user's own, such as `text.usetex`."""


@contextlib.contextmanager
def job(log_path: str | Path, name: str, threads: int = 1) -> Iterator[None]:
    """Redirect all output of the block to its log file, and exit with 1 if the block fails.

    Bad input becomes one line, in the log and on the real standard error; any other failure leaves its
    traceback in the log and one line that names the log.

    The number of threads of the rule also limits the libraries imported inside the block.

    Example:
        >>> import subprocess
        >>> code = "from spdclust.execution.jobs import job\\nwith job('merge.log', 'merge'): print('merged')"
        >>> _ = subprocess.run([sys.executable, "-c", code], cwd=folder)
        >>> print((folder / "merge.log").read_text(), end="")
        2... INFO spdclust ..., Python 3...
        merged
    """
    # at its end, Python would look for unused objects among all that was imported: 0.2 s
    atexit.register(gc.freeze)
    # otherwise each library would use every core in every concurrent job
    os.environ |= FIGURE_VARIABLES | dict.fromkeys(THREAD_VARIABLES, str(threads))
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
            # no traceback: the workflow's log has the logs of all jobs that end with it
            logging.info(_INTERRUPTED)
            raise SystemExit(128 + signal.SIGINT) from None
        except Exception as error:
            input_error = error if isinstance(error, InputError) else memory_error(error)
            where = (
                f"{type(error).__name__}: {error} [traceback in"
                if input_error is None
                else f"{input_error} [log:"
            )
            of_run = _run_file(log_path)
            settings = "" if of_run is None else f"; settings: {of_run}"
            _tell(terminal, f"Error in {name}: {where} {log_path}{settings}]")
            with contextlib.suppress(OSError):  # the log may be on the full disk
                if input_error is None:
                    traceback.print_exc()
                else:
                    print(f"Error: {input_error}", file=sys.stderr)
                if memory_error(error) is None:
                    print(_FOR_GOOD, file=sys.stderr)
            raise SystemExit(1) from None


_RUN_FILES = "SPDCLUST_RUN_FILES"
_MOST_RUN_FILES = 100


def note_run_files(results: str, ensembles: Iterable[Any]) -> None:
    """Let the jobs that this process starts know which files their settings are from, for messages.

    Example:
        >>> from types import SimpleNamespace
        >>> note_run_files("results", [SimpleNamespace(run_name="mlp", run_file="config/runs/mlp.yaml")])
        >>> _run_file(Path("results/logs/mlp/demo/merge/run_0.log"))
        'config/runs/mlp.yaml'
        >>> del os.environ["SPDCLUST_RUN_FILES"]

    Args:
        results: the folder of all results.
        ensembles: the ensembles of the workflow.
    """
    files = {f"{results}/logs/{each.run_name}": each.run_file for each in ensembles}
    # the size of an environment is limited
    os.environ[_RUN_FILES] = json.dumps(dict(list(files.items())[:_MOST_RUN_FILES]))


def _run_file(log_path: Path) -> str | None:
    files = json.loads(os.environ.get(_RUN_FILES, "{}"))
    return next((files[str(folder)] for folder in log_path.parents if str(folder) in files), None)


_INTERRUPTED = "interrupted"
_FOR_GOOD = "The job is not tried again: more memory or time would not help."


def failed_for_good(log_path: str | Path, *, since: float = 0.0) -> bool:
    """Return whether a job failed by its own error, not because it was killed or ran out of memory.

    Logs older than `since`, in seconds since 1970, do not count.

    Example:
        >>> failed_for_good("no_such.log")
        False
    """
    return _end_of(log_path, since).endswith(_FOR_GOOD)


def was_interrupted(log_path: str | Path) -> bool:
    """Return whether a job ended because of Ctrl-C.

    Example:
        >>> was_interrupted("no_such.log")
        False
    """
    return _end_of(log_path).endswith(f" INFO {_INTERRUPTED}")


def _end_of(log_path: str | Path, since: float = 0.0) -> str:
    try:
        with open(log_path, "rb") as log:
            if os.fstat(log.fileno()).st_mtime < since:
                return ""
            log.seek(max(0, os.fstat(log.fileno()).st_size - 1000))
            return log.read().decode(errors="replace").rstrip()
    except OSError:
        return ""


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


ONLY_TRIGGERS = ("stage", "code", "digest")
"""Params that are not arguments: the function, its fingerprint, and what else triggers a re-run."""


def call_stage(described: Any) -> None:
    """Call the function that a rule's `params.stage` names.

    Its arguments are the named inputs, outputs and params of the rule, and `threads` if it has that
    parameter. A param with the name of an input replaces it: the same files, in the form that the function
    takes. Unnamed inputs and outputs are dependencies only.

    Example:
        >>> from types import SimpleNamespace
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> place = write_example_ensemble(folder)
        >>> outputs = {"meta": place.folder / "meta.json", "merge_array": place.folder / "array.npz"}
        >>> call_stage(
        ...     SimpleNamespace(
        ...         rule="normalize",
        ...         input={"histories": [place.history(0), place.history(1)]},
        ...         output=outputs,
        ...         params={"stage": "ensemble_records:normalize", "code": "0123456789abcdef"},
        ...         threads=1,
        ...     )
        ... )
        >>> outputs["meta"].is_file()
        True

    Args:
        described: the `snakemake` object of a script.

    Raises:
        InputError: there is no such function, or its parameters are not those that the rule names; or the
            function raises one.
    """
    # not `job`: fingerprints take that for the function, each change of which would then re-run every rule
    inputs, outputs, params = (
        dict(each.items()) for each in (described.input, described.output, described.params)
    )
    function = _find_stage(described.rule, params.get("stage"))
    _check_names(described.rule, function, input=inputs, output=outputs, params=params)
    given = inputs | outputs | {name: value for name, value in params.items() if name not in ONLY_TRIGGERS}
    if "threads" in inspect.signature(function).parameters:
        given.setdefault("threads", described.threads)
    function(**{name: _plain(value) for name, value in given.items()})


def _find_stage(rule: str, stage: str | None) -> Callable[..., Any]:
    """Return the function `module:function` of `spdclust.stages`."""
    module, _, name = (stage or "").partition(":")
    full = f"spdclust.stages.{module}"
    try:
        function = getattr(importlib.import_module(full), name, None) if module else None
    except ModuleNotFoundError as error:
        if error.name != full:
            raise
        function = None
    if not inspect.isfunction(function):
        raise InputError(
            "no such stage",
            file=f"rule {rule}",
            field="params.stage",
            found=stage,
            allowed="<module>:<function> of spdclust.stages",
        )
    return function


def _check_names(
    rule: str,
    function: Callable[..., Any],
    *,
    input: Iterable[str] = (),
    output: Iterable[str] = (),
    params: Iterable[str] = (),
) -> None:
    """Check that what a rule names are the parameters of a function."""
    parameters = inspect.signature(function).parameters
    stage = f"{function.__module__}:{function.__qualname__}"
    named: Mapping[str, list[str]] = {
        "input": list(input),
        "output": list(output),
        "params": [name for name in params if name not in ONLY_TRIGGERS],
    }
    for kind, names in named.items():
        for name in names:
            if name not in parameters:
                raise InputError(
                    f"no parameter of {stage}",
                    file=f"rule {rule}",
                    field=f"{kind}.{name}",
                    allowed=", ".join(parameters),
                )
            if kind == "output" and name in (*named["input"], *named["params"]):
                raise InputError(
                    f"this parameter of {stage} has another value too",
                    file=f"rule {rule}",
                    field=f"{kind}.{name}",
                    allowed="names of outputs that no input or param has",
                )
    given = {"threads", *named["input"], *named["output"], *named["params"]}
    for name, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and name not in given:
            raise InputError(
                f"this parameter of {stage} is missing",
                file=f"rule {rule}",
                field=name,
                allowed="an input, output or param of this name",
            )


def _plain(value: Any) -> Any:
    """Return files as a plain list; Snakemake has its own type for them."""
    return list(value) if isinstance(value, list) else value


def workflow_folder() -> Path:
    """Return the folder of the `Snakefile`, `rules/` and `profiles/` that belong to this package.

    Example:
        >>> (workflow_folder() / "rules/merges.smk").is_file()
        True

    Raises:
        InputError: the package was installed without them.
    """
    checkout = _checkout()
    if checkout is not None:
        return checkout
    from importlib import metadata  # slow to import, and not for every job

    for file in metadata.files("spdclust") or []:
        snakefile = Path(str(file.locate()))
        if file.parts[-2:] == ("workflow", "Snakefile") and snakefile.is_file():
            return snakefile.resolve().parent
    raise InputError(
        "no workflow here",
        file=Path(__file__).resolve().parents[3],
        allowed="the package installed by pip from a wheel or a checkout of the repository",
    )


def package_requirement() -> str:
    """Return the argument of `pip install` that installs this package, with all job dependencies, elsewhere.

    Example:
        >>> package_requirement() == f"{workflow_folder()}[lm]"
        True

    Returns:
        The checkout, the file or address that it was installed from, or its version.
    """
    checkout = _checkout()
    if checkout is not None:
        return f"{checkout}[lm]"
    from importlib import metadata

    package = metadata.distribution("spdclust")
    # pip records its argument here, unless it was a package name
    origin = package.read_text("direct_url.json")
    return f"spdclust[lm] @ {json.loads(origin)['url']}" if origin else f"spdclust[lm]=={package.version}"


def _checkout() -> Path | None:
    folder = Path(__file__).resolve().parents[3]
    return folder if (folder / "Snakefile").is_file() and (folder / "rules").is_dir() else None
