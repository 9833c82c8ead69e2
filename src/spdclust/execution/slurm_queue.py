"""Jobs of a workflow in Slurm's queue: those left by a killed workflow, and those that can never start."""

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_FIELDS = ("%i", "%T", "%r", "%C", "%m", "%l", "%k", "%Z")

_NEVER = re.compile(
    r"PartitionConfig|Partition(Node|Time)Limit|BadConstraints|Invalid(Account|QOS)|(Account|QOS)NotAllowed"
    r"|(Assoc|QOS)\w*Per(Job|Node)\w*|(Assoc|QOS)MaxWallDuration\w*|DependencyNeverSatisfied"
)


@dataclass(frozen=True)
class QueuedJob:
    """A waiting or running job of Snakemake's Slurm executor.

    Attributes:
        number: the job's number in Slurm.
        state: such as PENDING or RUNNING.
        reason: reason for waiting, as reported by Slurm; `None` while running.
        cpus: requested CPUs.
        memory: requested memory, as Slurm writes it.
        time_limit: requested time, as Slurm writes it.
        rules: name of the rule, or of the group and its rules.
        wildcards: values of the rule's wildcards, joined by `_`; empty for a group.
        folder: working folder of the workflow.
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


def parse_queue(text: str) -> list[QueuedJob]:
    """Return the jobs in the output of `squeue` that Snakemake's executor submitted.

    Example:
        >>> text = "7|PENDING|PartitionConfig|13|8G|1:30:00|rule_merge_wildcards_mlp_demo_0|/work"
        >>> (job,) = parse_queue(text)
        >>> job.rules, job.wildcards, job.can_never_start
        ('merge', 'mlp_demo_0', True)
    """
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
    here = os.path.realpath(folder)
    return [job for job in parse_queue(done.stdout) if os.path.realpath(job.folder) == here]


def left_behind(jobs: Sequence[QueuedJob]) -> str | None:
    """Return an instruction if jobs of an earlier start are still in the queue, else None.

    Example:
        >>> jobs = parse_queue("7|RUNNING|None|1|1G|1:00:00|rule_merge_wildcards_mlp_demo_0|/work")
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
