"""What a running workflow prints on the terminal: a line per finished job; failures and warnings in full."""

import difflib
import logging
import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

from spdclust.core.errors import InputError
from spdclust.execution.batch_jobs import rule_and_runs, text_of_runs

_MISSING = re.compile(r"No rule to produce (.+) \(if you use")
_WILDCARD = re.compile(r"\{(\w+)(?:,((?:[^{}]|\{[\d,]*\})*))?\}")
_LISTED = re.compile(r"[\w|]+")
_HIDDEN_EVENTS = frozenset(
    [
        "WORKFLOW_STARTED",
        "RESOURCES_INFO",
        "JOB_INFO",
        "GROUP_INFO",
        "SHELLCMD",
        "JOB_STARTED",
        "JOB_FINISHED",
    ]
)
_HIDDEN = re.compile(
    r"host: |Building DAG|Using shell|Group jobs: inactive|Conda environments: ignored"
    r"|Singularity containers: ignored|Select jobs to execute|Removing temporary output|Elapsed time"
    r"|Assuming unrestricted shared|SLURM run ID|Falling back to 'sacct'|'sacct' unavailable"
    r"|Cleaning up SLURM log files|Auto-selected partition"
)
_START = re.compile(r"host: |Building DAG|Assuming unrestricted shared")
_SUBMITTED = re.compile(r"Job (\S+) has been submitted with SLURM jobid (\S+) \(log: (.+)\)\.")
_NOTHING_TO_DO = "Nothing to be done"
_COMPLETE_LOG = "Complete log"
_SHOWN_LINES = 50, 150
"""Of a failure with more lines than these together, how many are shown from its start and its end."""
_LONGEST_LINE = 5_000
_KILLED = "died with <Signals.SIGKILL: 9>"
_WHY_KILLED = (
    "A job was killed, most often by the system because memory ran out: try fewer jobs at once (--cores), or "
    "a machine with more memory. The same command runs the job again."
)
_STOPPING = "Terminating processes on user request"
_GOES_ON = (
    "Interrupted: running jobs are stopped. The same command goes on from there; finished files are kept."
)
_PLACE = ("folder", "run_config", "ensemble", "sweep")


def print_one_line_per_job(results: Callable[[], str]) -> None:
    """Let the terminal of this workflow show one line per finished job; its log file stays complete.

    Example:
        >>> from snakemake.logging import logger
        >>> terminal = logging.StreamHandler()
        >>> terminal.set_name("DefaultStreamHandler")
        >>> logger.addHandler(terminal)
        >>> print_one_line_per_job(lambda: "2 groups hold")
        >>> type(terminal.formatter).__name__
        'BriefTerminal'
        >>> logger.removeHandler(terminal)

    Args:
        results: returns what was found; shown if all requested files exist, without `onsuccess`.
    """
    from snakemake.logging import logger

    for handler in logger.handlers:
        if handler.name == "DefaultStreamHandler" and not isinstance(handler.formatter, BriefTerminal):
            brief = BriefTerminal(handler.formatter or logging.Formatter(), results)
            handler.addFilter(brief.filter)
            handler.setFormatter(brief)


def hide_start() -> None:
    """Hide what Snakemake prints about its version, host and folders before a plan.

    Example:
        >>> from snakemake.logging import logger
        >>> terminal = logging.StreamHandler()
        >>> terminal.set_name("DefaultStreamHandler")
        >>> logger.addHandler(terminal)
        >>> hide_start()
        >>> bool(terminal.filter(logging.makeLogRecord({"msg": "Building DAG of jobs..."})))
        False
        >>> logger.removeHandler(terminal)
    """
    from snakemake.logging import logger

    for handler in logger.handlers:
        if handler.name == "DefaultStreamHandler":
            handler.addFilter(_is_not_start)


def _is_not_start(record: logging.LogRecord) -> bool:
    return _event(record) != "WORKFLOW_STARTED" and not _START.match(str(record.msg))


def explain_missing_targets(names: Callable[[], Sequence[str]], folders: Collection[str]) -> None:
    """Let an error about a target that no rule makes show the nearest names, in one line.

    Example:
        >>> explain_missing_targets(lambda: ["results/groups.png"], ["mlp/demo"])

    Args:
        names: returns the names of rules, and their outputs with wildcards; called for such an error only.
        folders: of ensembles and sweeps below the results, as in `mlp/demo`.
    """
    from snakemake.logging import logger

    def explain(record: logging.LogRecord) -> bool:
        missing = _MISSING.search(str(record.msg))
        if missing and record.__dict__.get("exception") == "MissingRuleException":
            record.msg = f"Error: {missing_target(missing[1], names(), folders)}"
        return True

    for handler in logger.handlers:
        if handler.name == "DefaultStreamHandler":
            handler.addFilter(explain)


def missing_target(target: str, names: Sequence[str], folders: Collection[str]) -> InputError:
    """Return the error for a target that no rule makes.

    Example:
        >>> run = "results/{run_config,mlp}/{ensemble,demo}"
        >>> names = ["merge", f"{run}/plots/groups.png", f"{run}/runs/run_{{run,[0-9]+}}/history.zip"]
        >>> print(missing_target("results/mlp/demo/plots/group.png", names, ["mlp/demo"]))
        results/mlp/demo/plots/group.png: no rule makes this file (allowed: results/mlp/demo/plots/groups.png)
        >>> print(missing_target("results/mlp/other/runs/run_0/history.zip", names, ["mlp/demo"]))
        results/mlp/other/runs/run_0/history.zip: ... (allowed: results/mlp/demo/runs/run_<run>/history.zip)
    """
    known = sorted({path for name in names for path in _filled(name, folders)})
    path = os.path.normpath(target)
    if os.path.isabs(path) and not any(map(os.path.isabs, known)):
        path = os.path.relpath(path)
    below = {file.removeprefix(f"{path}/").split("/")[0] for file in known if file.startswith(f"{path}/")}
    if below:
        return InputError("this is a folder", file=target, allowed=f"a file: {', '.join(sorted(below))}")
    folder, name = os.path.split(path)
    beside = [file for file in known if os.path.dirname(file) == folder]
    allowed = (
        [file for file in known if file == path]
        or _nearest(path, beside)
        or _nearest(path, known)
        or [file for file in beside if file.endswith(os.path.splitext(name)[1])]
        or beside
        or [rule for rule in known if "/" not in rule]
        or known
    )
    return InputError("no rule makes this file", file=target, allowed=", ".join(allowed))


def _nearest(path: str, files: Sequence[str]) -> list[str]:
    """Return the files whose names are most like that of a path, the most similar paths first."""
    names = {os.path.basename(file) for file in files}
    near = difflib.get_close_matches(os.path.basename(path), names, 3, 0.7)
    return difflib.get_close_matches(path, [file for file in files if os.path.basename(file) in near], 3, 0)


def _filled(name: str, folders: Collection[str]) -> Iterator[str]:
    """Yield the names of an output with the names of folders and listed values; others are shown as <run>."""
    wildcards = dict(_WILDCARD.findall(name))  # with their constraints
    within = "sweep" if "sweep" in wildcards else "ensemble"
    known = {
        "folder": folders,
        "run_config": {folder.split("/")[0] for folder in folders},
        within: {folder.split("/")[1] for folder in folders},
    }
    values = []
    for wildcard, constraint in wildcards.items():
        if wildcard in known:
            values.append([value for value in known[wildcard] if re.fullmatch(constraint or ".+", value)])
        else:
            listed = _LISTED.fullmatch(constraint)
            values.append(constraint.split("|") if listed else [f"<{wildcard}>"])
    for chosen in product(*values):
        filled = dict(zip(wildcards, chosen, strict=True))
        if within not in filled or f"{filled.get('run_config')}/{filled[within]}" in folders:
            yield _WILDCARD.sub(partial(_value_of, filled), name)


def _value_of(values: Mapping[str, str], wildcard: re.Match[str]) -> str:
    return values[wildcard[1]]


class BriefTerminal(logging.Formatter):
    """Filter and formatter of Snakemake's records for the terminal."""

    def __init__(self, full: logging.Formatter, results: Callable[[], str] = str) -> None:
        super().__init__()
        self._full, self._results = full, results
        self._started: dict[int, tuple[str, float]] = {}
        self._finished: list[str] = []
        self._failed = False
        self._interrupted = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is shown; note which jobs start and finish."""
        event, message = _event(record), str(record.msg)
        self._interrupted |= message.startswith(_STOPPING)
        if record.levelno >= logging.ERROR:
            self._failed = True
            return not self._interrupted  # jobs that are stopped look like failures; the log file has them
        if record.levelno >= logging.WARNING:
            return True
        if event == "JOB_INFO":
            fields = record.__dict__
            self._started[fields["jobid"]] = (
                _job_name(fields["rule_name"], fields["wildcards"]),
                time.time(),
            )
        elif event == "JOB_FINISHED":
            name, began = self._started.pop(record.__dict__["job_id"], ("job", time.time()))
            self._finished.append(f"{name} ({time.time() - began:.0f} s)")
        if message.startswith(_COMPLETE_LOG):
            return self._failed
        return event not in _HIDDEN_EVENTS and not _HIDDEN.match(message)

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        event, fields = _event(record), record.__dict__
        if event == "RUN_INFO":
            n_steps = fields["stats"]["total"]
            return f"{n_steps} step{'' if n_steps == 1 else 's'}; complete log in .snakemake/log/"
        if event == "PROGRESS":
            finished, self._finished = self._finished, []
            done, total = fields["done"], fields["total"]
            first, width = done - len(finished) + 1, len(str(total))
            lines = [f"[{n:>{width}}/{total}] {text}" for n, text in enumerate(finished, start=first)]
            return "\n".join(lines)
        if str(record.msg).startswith(_STOPPING):
            return _GOES_ON
        if submitted := _SUBMITTED.match(str(record.msg)):
            return f"Slurm job {submitted[2]}: {self._submitted_name(submitted[1], submitted[3])}"
        text = _shortened(self._full.format(record))
        if _KILLED in text:
            text += f"\n{_WHY_KILLED}"
        if event is None and text.startswith(_NOTHING_TO_DO):
            text = f"{text}\n\n{self._results()}".rstrip()
        return text

    def _submitted_name(self, job: str, log: str) -> str:
        """Return the name of a submitted job; that of a group is only in the path of its log."""
        if job.isdigit() and int(job) in self._started:
            return self._started[int(job)][0]
        found = re.search(r"/group_([^/]+)/", log)
        return f"group {found[1]}" if found else f"log {log}"


def _shortened(text: str) -> str:
    """Return the text of a failure with the middle of a very long log left out; the log file has it.

    Example:
        >>> len(_shortened("\\n".join(map(str, range(100_000)))).splitlines())
        201
    """
    lines = text.splitlines()
    n_left_out = len(lines) - sum(_SHOWN_LINES)
    if n_left_out > 1:
        first, last = _SHOWN_LINES
        message = f"… {n_left_out:,} lines left out here; the log file has them …"
        lines = [*lines[:first], message, *lines[-last:]]
    elif len(text) <= _LONGEST_LINE:
        return text
    return "\n".join(
        line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}… ({len(line):,} characters)"
        for line in lines
    )


def _event(record: logging.LogRecord) -> str | None:
    return getattr(getattr(record, "event", None), "name", None)


def _job_name(rule: str, wildcards: Any) -> str:
    """Return a job's name for readers: its rule, ensemble, and the rest of its wildcards."""
    rule, runs = rule_and_runs(rule)
    values = dict(wildcards.items())
    if runs is not None:
        values["run" if len(runs) == 1 else "runs"] = text_of_runs(runs)
    if "of" in values:  # part 2 of 3
        values["part"] += f" of {values.pop('of')}"
    ensemble = "/".join(values.pop(name) for name in _PLACE if name in values)
    others = (f"{name} {value}" for name, value in values.items())
    return " ".join([rule, ", ".join(filter(None, [ensemble, *others]))]).rstrip()
