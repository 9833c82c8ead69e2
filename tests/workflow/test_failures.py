"""Which failures are tried again, on one machine; on Slurm see tests/slurm."""

import pytest
from workflow import RUN, Workflow

from spdclust.execution.jobs import failed_for_good

MERGED = "results/small/tiny/runs/run_0/history.zip"
LOG = "results/logs/small/tiny/merge/run_0.log"
ONCE = """
import os, pathlib, signal
seen = pathlib.Path("attempts")
attempts = seen.read_text() if seen.exists() else ""
seen.write_text(attempts + "x")
if not attempts:
    {failure}
"""


@pytest.fixture
def workflow(copied):
    """A workflow that has one history to make, from batches that are there."""
    (copied.folder / MERGED).unlink()
    return copied


def fail_once(workflow: Workflow, failure: str, *, inside: bool) -> None:
    script = workflow.folder / "workflow/scripts/merge.py"
    code, text = ONCE.format(failure=failure), script.read_text()
    if inside:
        code = code.replace("\n", "\n    ")
        line = "with job(snakemake.log[0], snakemake.rule, snakemake.threads):\n"
        script.write_text(text.replace(line, line + code + "\n"))
    else:
        script.write_text(code + text)


def test_a_setting_that_cannot_work_is_not_tried_again(workflow):
    changed = RUN["merge_config"] | {"filter_dead_threshold": 50.0}
    workflow.write("config/runs/small.yaml", RUN | {"merge_config": changed})
    outcome = workflow.run("--retries", "2", "--", MERGED)
    assert outcome.code != 0
    assert outcome.output.count("Error in merge: filter_dead_threshold: no component is alive") == 1
    assert "Trying to restart" not in outcome.output
    assert failed_for_good(workflow.folder / LOG)
    # in full: what Snakemake knows of the job, its log, and where the complete log is
    assert "Error in rule merge:" in outcome.output
    assert f"log: {LOG} (check log file(s) for error details)" in outcome.output
    assert f"Logfile {LOG}:" in outcome.output
    assert "Complete log(s): " in outcome.output


@pytest.mark.parametrize(
    ("failure", "inside"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", False),
        ("os.kill(os.getpid(), signal.SIGTERM)", True),
        ("raise MemoryError('Unable to allocate 3 GiB')", True),
    ],
)
def test_a_job_that_is_killed_or_lacks_memory_is_tried_again(workflow, failure, inside):
    fail_once(workflow, failure, inside=inside)
    outcome = workflow.run("--retries", "2", "--", MERGED)
    assert outcome.code == 0, outcome.output
    assert (workflow.folder / "attempts").read_text() == "xx"
    assert (workflow.folder / MERGED).exists()


def test_any_other_error_of_a_job_is_not_tried_again(workflow):
    fail_once(workflow, "raise KeyError('a mistake in the program')", inside=True)
    outcome = workflow.run("--retries", "2", "--", MERGED)
    assert outcome.code != 0
    assert (workflow.folder / "attempts").read_text() == "x"


def test_what_a_log_said_before_the_workflow_began_does_not_count(tmp_path):
    log = tmp_path / "run_0.log"
    log.write_text("Error: no\nThe job is not tried again: more memory or time would not help.\n")
    assert failed_for_good(log)
    assert not failed_for_good(log, since=log.stat().st_mtime + 1)
