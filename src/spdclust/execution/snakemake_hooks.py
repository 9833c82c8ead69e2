"""Changes to Snakemake and its Slurm executor that no setting offers: retries of failures, messages.

These functions change Snakemake inside the main process of a workflow; `rules/messages.smk` calls them.
"""

import re
import sys
import threading
import time
from typing import Any

from spdclust.execution.jobs import failed_for_good
from spdclust.execution.slurm_queue import queued_jobs

_ACCOUNT_GUESSES = (
    "No SLURM account given, trying to guess.",
    "No account was given, not able to get a SLURM account via sacct:",
    "Unable to guess SLURM account. Trying to proceed without.",
)


_BUSY = re.compile("unable to contact|connect failure|timed out|temporarily|try again", re.IGNORECASE)

_rejected: set[Any] = set()
"""Jobs that Slurm does not take, which it would not take the next time either."""


def retry_killed_jobs_only() -> None:
    """Let `--retries` apply to jobs that were killed or ran out of memory, and to no other failure.

    Snakemake asks a failed job for its number of retries; the job's log shows how it failed.
    """
    from snakemake.jobs import GroupJob, Job

    started = time.time()

    def of_job(job: Any) -> int:
        if job in _rejected or any(failed_for_good(log, since=started) for log in job.log):
            return 0
        return int(job.rule.restart_times)

    def of_group(group: Any) -> int:
        return min(of_job(job) for job in group.jobs)

    Job.restart_times = property(of_job)
    GroupJob.restart_times = property(of_group)


def report_each_refusal_once() -> None:
    """Report jobs that `sbatch` rejects in one line per cause.

    The executor prints the whole command instead, and every job of a group with all its files.
    """
    from snakemake.logging import logger
    from snakemake_interface_executor_plugins.executors.base import AbstractExecutor

    original = AbstractExecutor.print_job_error
    reported: set[str] = set()

    def print_job_error(self: Any, job_info: Any, msg: str | None = None, **arguments: Any) -> None:
        cause = refusal(msg)
        if cause is None:
            original(self, job_info, msg, **arguments)
            return
        if not _BUSY.search(cause):
            _rejected.update(job_info.job.jobs if job_info.job.is_group() else [job_info.job])
        if cause not in reported:
            reported.add(cause)
            logger.error(
                f"Error: Slurm rejected the job {job_info.job.name}: {cause} (allowed: another "
                "`slurm_partition`, `slurm_account`, `cores` or `set-resources` in the profile; other jobs "
                "rejected for the same cause are not listed)"
            )

    AbstractExecutor.print_job_error = print_job_error


def refusal(message: str | None) -> str | None:
    """Return why `sbatch` rejected a job, from the message of the executor; None for any other message.

    Example:
        >>> said = "SLURM sbatch failed. The error message was 'sbatch: error: invalid partition'.\\n sbatch"
        >>> refusal(said)
        'invalid partition'
    """
    found = re.match(
        r"SLURM sbatch failed\. The error message was '(.*?)'\.\n", message or "", flags=re.DOTALL
    )
    if found is None:
        return None
    lines = [re.sub(r"^sbatch: (error: )?", "", line.strip()) for line in found[1].splitlines()]
    return "; ".join(line for line in lines if line)


def hide_account_guesses() -> None:
    """Hide the warnings that the executor prints when it guesses an account."""
    from snakemake.logging import logger

    logger.addFilter(lambda record: not str(record.msg).startswith(_ACCOUNT_GUESSES))


def report_jobs_that_never_start(seconds: float = 30.0) -> threading.Thread:
    """Check the queue at intervals in the background, and report each job that can never start once.

    Args:
        seconds: interval between checks.
    """

    def look() -> None:
        reported: set[str] = set()
        while True:
            time.sleep(seconds)
            for job in queued_jobs():
                if job.can_never_start and job.number not in reported:
                    reported.add(job.number)
                    print(f"Warning: {job.advice}.", file=sys.stderr, flush=True)

    watcher = threading.Thread(target=look, daemon=True, name="queue")
    watcher.start()
    return watcher
