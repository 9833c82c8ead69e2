"""The jobs of a running workflow, from their logs, the progress of merges, and the queue of Slurm.

Workflows read the queue while they plan, so nothing slow is imported here.
"""

import contextlib
import math
import os
import re
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from spdclust.execution.batch_jobs import rule_and_runs, text_of_runs
from spdclust.execution.jobs import failed_for_good, was_interrupted

_RUN = re.compile(r"(.*?)_?run_(\d+)(.*)")
_PART = re.compile(r"part_(\d+)_of_(\d+)")
_COLUMNS = ("rule", "ensemble", "run", "state", "since", "merges", "per s", "left")


@dataclass(frozen=True)
class RunningJob:
    """A job that is waiting or running, failed, or was interrupted.

    Attributes:
        ensemble: `<run_config>/<ensemble>`, or the run file alone for batches.
        run: number of the run, or first and last of several (`0 to 7`); `part 1 of 4` for the distances that
            several jobs share, empty for other jobs of the ensemble.
        state: `waiting`, `running`, `failed`, `interrupted`, or the state in Slurm.
        seconds: time since the start, None while waiting or after an interruption.
        merges: merges done so far, None for other jobs.
        per_second: recent merges per second.
    """

    rule: str
    ensemble: str
    run: str
    state: str
    seconds: float | None = None
    merges: int | None = None
    of_merges: int | None = None
    per_second: float | None = None

    @property
    def seconds_left(self) -> float | None:
        """Remaining time of the merges at the current rate."""
        if self.merges is None or self.of_merges is None or not self.per_second:
            return None
        return (self.of_merges - self.merges) / self.per_second


_FIELDS = ("%i", "%T", "%r", "%C", "%m", "%l", "%k", "%Z")

_NEVER = re.compile(
    r"PartitionConfig|Partition(Node|Time)Limit|BadConstraints|Invalid(Account|QOS)|(Account|QOS)NotAllowed"
    r"|(Assoc|QOS)\w*Per(Job|Node)\w*|(Assoc|QOS)MaxWallDuration\w*|DependencyNeverSatisfied"
)


@dataclass(frozen=True)
class QueuedJob:
    """A waiting or running job of Snakemake's Slurm executor.

    Attributes:
        state: such as PENDING or RUNNING.
        reason: reason for waiting, as reported by Slurm; `None` while running.
        memory: requested memory, as Slurm writes it.
        time_limit: requested time, as Slurm writes it.
        rules: name of the rule, or of the group and its rules.
        wildcards: values of the rule's wildcards, joined by `_`; empty for a group.
    """

    number: str
    state: str
    reason: str | None
    cpus: str
    memory: str
    time_limit: str
    rules: str
    wildcards: str
    folder: str

    @property
    def can_never_start(self) -> bool:
        """Whether the limits of the cluster exclude the job, regardless of its load."""
        return self.state == "PENDING" and self.reason is not None and bool(_NEVER.search(self.reason))

    @property
    def advice(self) -> str:
        """Return what a job that can never start requests, and where to change it."""
        name = f"{self.rules} ({self.wildcards})" if self.wildcards else self.rules
        return (
            f"Slurm job {self.number}, {name}, can never start here: {self.reason}. It asks for {self.cpus} "
            f"CPU(s), {self.memory} of memory and {self.time_limit}. Stop the workflow, change `cores`, "
            "`slurm_partition` or `set-resources` in the profile, and start it again"
        )


def running_jobs(
    results: str | Path, queued: Sequence[QueuedJob] = (), since: Sequence[float] | None = None
) -> list[RunningJob]:
    """Return the jobs of a workflow that are waiting or running, failed, or were interrupted.

    A job is running from the first line of its log until Snakemake writes its benchmark. `since` are the
    starts of workflows that run now, if known: with no job in the queue of Slurm, a log that was last written
    before them is of a job that was killed.

    Example:
        >>> log = folder / "logs/mlp/demo/merge/run_3.log"
        >>> log.parent.mkdir(parents=True)
        >>> _ = log.write_text("INFO spdclust")
        >>> [(job.rule, job.ensemble, job.run, job.state) for job in running_jobs(folder)]
        [('merge', 'mlp/demo', '3', 'running')]
    """
    states = {_key_of(job): job.state.lower() for job in queued}
    logs = Path(results) / "logs"
    jobs = []
    for log in sorted(logs.rglob("*.log")):
        began = _began(log)
        if began is None:
            continue
        rule, ensemble, run = _named(log.relative_to(logs))
        key = (rule, "_".join([*ensemble.split("/"), *filter(None, [run])]))
        killed = since is not None and not queued and _is_older(log, since)
        interrupted = killed or was_interrupted(log)
        by_its_log = "interrupted" if interrupted else "running"
        state = "failed" if failed_for_good(log) else states.get(key, by_its_log)
        # what remains in the queue has not begun
        states.pop(key, None)
        merged = _merges(log) if rule == "merge" else (None, None, None)
        seconds = None if interrupted else time.time() - began
        jobs.append(RunningJob(rule, ensemble, run, state, seconds, *merged))
    return [*jobs, *_not_begun(queued, states)]


def _is_older(log: Path, starts: Sequence[float]) -> bool:
    """Return whether a log was last written before any of these times."""
    with contextlib.suppress(OSError):  # removed meanwhile
        return log.stat().st_mtime < min(starts, default=math.inf)
    return False


def format_jobs(jobs: Iterable[RunningJob]) -> str:
    """Return a table of jobs as text.

    Example:
        >>> job = RunningJob("merge", "mlp/demo", "3", "running", 75.0, 200, 1000, 4.0)
        >>> print(format_jobs([job]))
        rule   ensemble  run  state    since    merges      per s  left
        merge  mlp/demo  3    running  0:01:15  200 / 1000  4      0:03:20
    """
    rows = [_COLUMNS, *(_row(job) for job in jobs)]
    if len(rows) == 1:
        return "no job waits or runs"
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _began(log: Path) -> float | None:
    """Return the start time of a log's job; None if it ended successfully."""
    try:
        last, began = log.stat().st_mtime, _first_line_time(log)
    except OSError:
        return None
    # Snakemake writes the benchmark after a job has succeeded, and the log is complete by then
    benchmark = log.with_suffix(".tsv")
    ended = benchmark.exists() and benchmark.stat().st_mtime >= last
    return None if ended else began


def _first_line_time(log: Path) -> float:
    with log.open("rb") as file:
        stamp = file.readline()[:19].decode(errors="replace")
    try:
        return time.mktime(time.strptime(stamp, "%Y-%m-%d %H:%M:%S"))
    except ValueError:
        return log.stat().st_mtime


def _named(log: Path) -> tuple[str, str, str]:
    """Return the rule, ensemble and run of a log, from its path."""
    folders, found = list(log.parent.parts), _RUN.fullmatch(log.stem)
    if part := _PART.fullmatch(log.stem):  # <run_config>/<ensemble>/<rule>/part_<p>_of_<n>.log
        return folders[-1], "/".join(folders[:-1]), _part(*part.groups())
    if found is not None and not found[1]:  # <run_config>/[<ensemble>/]<rule>/run_<r>.log
        return folders[-1], "/".join(folders[:-1]), found[2]
    if found is not None:
        return found[1] + found[3], "/".join(folders), found[2]
    rule, runs = rule_and_runs(log.stem)
    return rule, "/".join(folders), "" if runs is None else text_of_runs(runs)


def _part(number: str, of: str) -> str:
    return f"part {number} of {of}"


def _key_of(job: QueuedJob) -> tuple[str, str]:
    """Return the rule of a queued job, without its form, and its wildcards with the runs of the form."""
    rule, runs = rule_and_runs(job.rules)
    if rule.endswith("distances_part"):
        ensemble, *part = job.wildcards.rsplit("_", 2)
        return rule, f"{ensemble}_{_part(*part)}"
    return rule, "_".join(filter(None, [job.wildcards, "" if runs is None else text_of_runs(runs)]))


def _merges(log: Path) -> tuple[int | None, int | None, float | None]:
    from spdclust.files.merge_progress import load_progress

    progress = load_progress(log.with_suffix(".progress.jsonl"))
    if not progress.stretches:
        return None, None, None
    return progress.n_done, progress.n_merges, progress.per_second


def _not_begun(queued: Sequence[QueuedJob], states: dict[tuple[str, str], str]) -> list[RunningJob]:
    waiting = []
    for job in queued:
        rule, wildcards = _key_of(job)
        if (rule, wildcards) not in states:
            continue
        state = "waiting" if job.state == "PENDING" else job.state.lower()
        if job.can_never_start:
            state = f"can never start: {job.reason}"
        name, _, last = wildcards.rpartition("_")
        has_run = re.fullmatch(r"\d+( to \d+)?|part \d+ of \d+", last)
        run, ensemble = (last, name) if has_run else ("", wildcards)
        waiting.append(RunningJob(rule, ensemble, run, state))
    return waiting


def _row(job: RunningJob) -> tuple[str, ...]:
    return (
        job.rule,
        job.ensemble,
        job.run,
        job.state,
        _clock(job.seconds),
        "" if job.merges is None else f"{job.merges} / {job.of_merges}",
        "" if job.per_second is None else f"{job.per_second:.3g}",
        _clock(job.seconds_left),
    )


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _parse_queue(text: str) -> list[QueuedJob]:
    """Return the jobs in the output of `squeue` that Snakemake's executor submitted."""
    jobs = []
    for line in text.splitlines():
        fields = line.split("|", len(_FIELDS) - 1)
        if len(fields) < len(_FIELDS):
            continue
        number, state, reason, cpus, memory, time_limit, comment, folder = fields
        # the executor writes `rule_<name>_wildcards_<values>` or `group_<name>` into the comment
        kind, _, name = comment.partition("_")
        if kind not in ("rule", "group"):
            continue
        rules, _, wildcards = name.partition("_wildcards_")
        if kind == "group":
            rules, wildcards = name, ""
        why = None if reason in ("", "None") else reason
        jobs.append(QueuedJob(number, state, why, cpus, memory, time_limit, rules, wildcards, folder))
    return jobs


def queued_jobs(folder: str | Path = ".") -> list[QueuedJob]:
    """Return this user's jobs of workflows in a working folder that wait or run; none without Slurm.

    Example:
        >>> queued_jobs("/nowhere")
        []
    """
    command = ["squeue", "--noheader", "--user", str(os.getuid()), "--format", "|".join(_FIELDS)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    # no Slurm, or a controller that is restarting: the next look finds the jobs
    except (OSError, subprocess.SubprocessError):
        return []
    project = os.path.realpath(folder)
    return [job for job in _parse_queue(done.stdout) if os.path.realpath(job.folder) == project]


def left_behind(jobs: Sequence[QueuedJob]) -> str | None:
    """Return an instruction if jobs of an earlier start are still in the queue, else None.

    Example:
        >>> jobs = _parse_queue("7|RUNNING|None|1|1G|1:00:00|rule_merge_wildcards_mlp_demo_0|/work")
        >>> left_behind(jobs)
        'jobs of an earlier start of this workflow are still in the queue and would be submitted
        again: 7 (merge mlp_demo_0). Wait until they have ended (squeue --jobs 7), or cancel them: scancel 7'
    """
    if not jobs:
        return None
    numbers = [job.number for job in jobs]
    named = ", ".join(f"{job.number} ({f'{job.rules} {job.wildcards}'.strip()})" for job in jobs[:10])
    more = f" and {len(jobs) - 10} more" if len(jobs) > 10 else ""
    return (
        "jobs of an earlier start of this workflow are still in the queue and would be submitted again: "
        f"{named}{more}. Wait until they have ended (squeue --jobs {','.join(numbers)}), or cancel them: "
        f"scancel {' '.join(numbers)}"
    )
