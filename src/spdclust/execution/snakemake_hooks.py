"""What no setting of Snakemake and its Slurm executor offers: retries, messages, forms of rules, stale locks.

These functions change Snakemake inside the process of a workflow; `rules/messages.smk` and `rules/common.smk`
call them. Snakemake locks the files of a running workflow below `.snakemake/locks` without recording the
owner. Each running workflow therefore records its process below `.snakemake/owners` while it holds its locks,
and the next one releases the locks of a workflow that was killed.
"""

import json
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from spdclust.execution.jobs import failed_for_good
from spdclust.execution.running_jobs import queued_jobs

_ACCOUNT_GUESSES = (
    "No SLURM account given, trying to guess.",
    "No account was given, not able to get a SLURM account via sacct:",
    "Unable to guess SLURM account. Trying to proceed without.",
)
_BUSY = re.compile("unable to contact|connect failure|timed out|temporarily|try again", re.IGNORECASE)
_final: set[Any] = set()
"""Failed jobs that are not submitted again: Slurm would reject them again, or someone cancelled them."""

_CANCELLED = "SLURM status is: 'CANCELLED'"
_NAMES_OF_RULES = {
    "dag_settings": ("until", "omit_from", "forcerun"),
    "scheduling_settings": ("prioritytargets",),
}
"""Settings of a workflow that hold names of rules."""

_FOLDER = Path(".snakemake")


def retry_killed_jobs_only() -> None:
    """Let `--retries` apply to jobs that were killed or ran out of memory, and to no other failure.

    Snakemake asks a failed job for its number of retries; the job's log shows how it failed.
    """
    from snakemake.jobs import GroupJob, Job

    started = time.time()

    def of_job(job: Any) -> int:
        if job in _final or any(failed_for_good(log, since=started) for log in job.log):
            return 0
        return int(job.rule.restart_times)

    def of_group(group: Any) -> int:
        return min(of_job(job) for job in group.jobs)

    Job.restart_times = property(of_job)
    GroupJob.restart_times = property(of_group)


def keep_files_of_failed_updates() -> None:
    """Let files marked `update` stay where they are when their job fails, as incomplete files.

    Snakemake copies them before the job, restores the copies if it fails, and then records them as what the
    failed job has made: after a change of settings, old files are up to date. It also deletes what the job
    has written so far. The jobs of this workflow write whole files only and check those that exist.
    """
    from snakemake.io import is_flagged
    from snakemake.jobs import Job
    from snakemake.persistence import FileBackupMixin

    if getattr(Job.cleanup, "keeps_updates", False):  # another workflow uses this one as a module
        return
    cleanup, postprocess = Job.cleanup, Job.postprocess

    def updated(job: Any) -> list[Any]:
        return [file for file in job.output if is_flagged(file, "update")]

    async def keep_updates(self: Any, skip_outputs: Any) -> None:
        await cleanup(self, {*skip_outputs, *updated(self)})

    async def leave_incomplete(self: Any, *arguments: Any, error: bool = False, **options: Any) -> None:
        try:
            await postprocess(self, *arguments, error=error, **options)
        finally:
            if error and updated(self):
                self.dag.workflow.persistence.started(self)

    keep_updates.keeps_updates = True  # type: ignore[attr-defined]
    Job.cleanup, Job.postprocess = keep_updates, leave_incomplete
    FileBackupMixin.backup_output = lambda self, path: None
    FileBackupMixin.restore_output = lambda self, path: False


def leave_out_of_records(name: str) -> None:
    """Let Snakemake leave an input out of the list of inputs that it records and compares.

    A job whose list of inputs has changed runs again. Temporary files among them that exist only because
    several jobs share its work change no result, so their number must not matter.
    """
    from snakemake.persistence import PersistenceBase

    listed = PersistenceBase._input
    if getattr(listed, "leaves_out", None) == name:  # another workflow uses this one as a module
        return

    def without(self: Any, job: Any) -> list[str]:
        left_out = set(job.input.get(name, []))
        return [file for file in listed(self, job) if file not in left_out]

    without.leaves_out = name  # type: ignore[attr-defined]
    PersistenceBase._input = without


def report_each_refusal_once() -> None:
    """Report jobs that `sbatch` rejects in one line per cause; retry neither these nor cancelled ones.

    The executor prints the whole command instead, and every job of a group with all its files. Slurm has
    separate states for jobs that it ends itself (time, memory, a failed node, preemption): `CANCELLED` means
    `scancel`.
    """
    from snakemake.logging import logger
    from snakemake_interface_executor_plugins.executors.base import AbstractExecutor

    original = AbstractExecutor.print_job_error
    reported: set[str] = set()

    def print_job_error(self: Any, job_info: Any, msg: str | None = None, **arguments: Any) -> None:
        cause, cancelled = _refusal(msg), _CANCELLED in (msg or "")
        if cancelled or (cause is not None and not _BUSY.search(cause)):
            _final.update(job_info.job.jobs if job_info.job.is_group() else [job_info.job])
        if cause is None:
            note = (
                " Cancelled jobs are not retried; start the workflow again to run them." if cancelled else ""
            )
            original(self, job_info, f"{msg}{note}" if msg else msg, **arguments)
            return
        if cause not in reported:
            reported.add(cause)
            logger.error(
                f"Error: Slurm rejected the job {job_info.job.name}: {cause} (allowed: another "
                "`slurm_partition`, `slurm_account`, `cores` or `set-resources` in the profile; other jobs "
                "rejected for the same cause are not listed)"
            )

    AbstractExecutor.print_job_error = print_job_error


def _refusal(message: str | None) -> str | None:
    """Return why `sbatch` rejected a job, from the message of the executor; None for any other message."""
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
    """Check the queue at intervals in the background, and report each job that can never start once."""

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


def end_at_any_moment() -> None:
    """Let a workflow that gets SIGTERM end after the running jobs, whatever it does at this moment.

    Snakemake's handler waits for a lock, in the thread that holds this lock while it records finished jobs:
    the workflow would never end.
    """
    from snakemake.scheduling.job_scheduler import JobScheduler

    handle = JobScheduler.exit_gracefully

    def in_a_thread(self: Any, *arguments: Any) -> None:
        threading.Thread(target=handle, args=(self, *arguments), daemon=True).start()

    JobScheduler.exit_gracefully = in_a_thread


def add_form(workflow: Any, rule: str, form: str) -> None:
    """Let everything that names a rule apply to another form of it, which is about to be defined.

    The outputs of a rule are fixed in number, so a rule whose jobs write different numbers of files has
    several forms, and Snakemake has no common name for them. Covered are `set-resources` and `set-threads`,
    `--until`, `--omit-from`, `--forcerun`, `--prioritize`, and `use rule <rule> from <module>`, with `as` and
    `exclude`.
    """
    modifier, original = workflow.modifier, workflow._prepare_dag
    while modifier is not None:
        for rule_list in ("rule_whitelist", "rule_exclude_list"):
            names = getattr(modifier, rule_list)
            if names is not None and rule in names:
                setattr(modifier, rule_list, [*names, form])
        named = modifier._modify_rulename(rule)
        if named == modifier._modify_rulename(form):  # use rule a from b as c
            modifier.resolved_rulename_modifier = _with_suffix(modifier.resolved_rulename_modifier, rule)
            modifier.local_rulename_modifier = modifier.resolved_rulename_modifier
        rule, form, modifier = named, modifier._modify_rulename(form), modifier.parent_modifier
    resources = workflow.resource_settings
    for given in (resources._parsed_overwrite_resources, resources._parsed_overwrite_threads):
        if rule in given:
            given.setdefault(form, given[rule])

    def prepare_dag(*arguments: Any, **options: Any) -> Any:
        # known only when all rules have been read
        for attribute, fields in _NAMES_OF_RULES.items():
            settings = getattr(workflow, attribute)
            for field in fields if settings is not None else ():
                names = getattr(settings, field)
                if rule in names:
                    settings = replace(settings, **{field: frozenset(names) | {form}})
            setattr(workflow, attribute, settings)
        return original(*arguments, **options)

    workflow._prepare_dag = prepare_dag


def note_owner(folder: Path = _FOLDER) -> None:
    """Record that this process runs a workflow in the working folder; call it after acquiring the locks.

    Example:
        >>> note_owner(folder)
        >>> [note.stem == str(os.getpid()) for note in folder.glob("owners/*.json")]
        [True]
    """
    owners = folder / "owners"
    owners.mkdir(parents=True, exist_ok=True)
    note = {
        "host": socket.gethostname(),
        "boot": _boot(),
        "process": os.getpid(),
        "started": _started(os.getpid()),
    }
    (owners / f"{os.getpid()}.json").write_text(json.dumps(note))


def forget_owner(folder: Path = _FOLDER) -> None:
    """Remove the record of this process; call it when the workflow has ended.

    Example:
        >>> note_owner(folder)
        >>> forget_owner(folder)
        >>> list(folder.glob("owners/*.json"))
        []
    """
    (folder / "owners" / f"{os.getpid()}.json").unlink(missing_ok=True)


def running_since(folder: Path = _FOLDER) -> list[float] | None:
    """Return when each workflow that runs in the working folder started; None if that is not recorded.

    A workflow on another machine is taken to run.

    Example:
        >>> running_since(folder)
        >>> note_owner(folder)
        >>> len(running_since(folder))
        1
        >>> forget_owner(folder)
        >>> running_since(folder)
        []
    """
    if not (folder / "owners").is_dir():
        return None
    return [note.stat().st_mtime for note in (folder / "owners").glob("*.json") if not _is_dead(note)]


def release_dead_locks(folder: Path = _FOLDER) -> bool:
    """Remove the locks of the working folder if every recorded owner is a dead process on this host.

    Example:
        >>> import tempfile
        >>> release_dead_locks(Path(tempfile.mkdtemp()))
        False

    Returns:
        Whether locks were removed. They are kept if an owner is alive, on another machine, or unknown.
    """
    locks = list((folder / "locks").glob("*.lock"))
    notes = list((folder / "owners").glob("*.json"))
    if not locks or not notes or not all(_is_dead(note) for note in notes):
        return False
    for file in [*locks, *notes]:
        file.unlink(missing_ok=True)
    return True


def _with_suffix(rename: Callable[[str], str], rule: str) -> Callable[[str], str]:
    return lambda name: f"{rename(name)}{name.removeprefix(rule)}"


def _is_dead(note: Path) -> bool:
    try:
        owner = json.loads(note.read_text())
        if owner["host"] != socket.gethostname():
            return False
        # process ids are reused; the start time identifies the process
        return bool(owner["boot"] != _boot() or _started(owner["process"]) != owner["started"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _boot() -> str:
    file = Path("/proc/sys/kernel/random/boot_id")
    return file.read_text().strip() if file.exists() else ""


def _started(process: int) -> str | None:
    """Return the start time of a process in clock ticks since boot; None if there is no such process."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
