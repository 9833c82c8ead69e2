"""What is changed in Snakemake, without running a workflow."""

import signal
import threading
from types import SimpleNamespace

from snakemake.scheduling.job_scheduler import JobScheduler

from spdclust.execution.snakemake_hooks import _refusal, end_at_any_moment


def test_a_workflow_that_is_ended_while_it_records_finished_jobs_ends(monkeypatch):
    monkeypatch.setattr(JobScheduler, "exit_gracefully", JobScheduler.exit_gracefully)
    end_at_any_moment()
    scheduler = SimpleNamespace(_lock=threading.Lock(), _open_jobs=threading.Semaphore(0), _user_kill=None)
    handler = threading.Thread(
        target=JobScheduler.exit_gracefully, args=(scheduler, signal.SIGTERM, None), daemon=True
    )
    with scheduler._lock:  # the thread that holds it runs the handler, and goes on only after that
        handler.start()
        handler.join(60)
        assert not handler.is_alive()
    assert scheduler._open_jobs.acquire(timeout=60)
    assert scheduler._user_kill == "graceful"


def test_a_refusal_is_what_sbatch_reported_and_nothing_else_is_one():
    text = "SLURM sbatch failed. The error message was 'sbatch: error: invalid partition'.\n sbatch"
    assert _refusal(text) == "invalid partition"
    assert _refusal("Job 7 failed.\n") is None
