"""Kill the workflow, run the same command again: the same files."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from workflow import Workflow, jobs_at_work, wait_for_work

from spdclust.execution.snakemake_hooks import running_since


def start(workflow: Workflow) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "2"],
        cwd=workflow.folder,
        env=workflow.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    workflow = Workflow.create(tmp_path_factory.mktemp("undisturbed") / "w")
    outcome = workflow.run()
    assert outcome.code == 0, outcome.output
    return workflow.results()


@pytest.mark.slow
@pytest.mark.parametrize(
    "whole_group",
    # `make test-faults` kills far more; orphaned jobs are the harder case
    [pytest.param(True, id="with its jobs"), pytest.param(False, id="alone")],
)
def test_the_same_command_after_kills_gives_the_same_files(undisturbed, tmp_path, whole_group):
    workflow = Workflow.create(tmp_path / "w")
    moments = random.Random(7)
    for _ in range(3):
        orphans = jobs_at_work(workflow.folder)
        process = start(workflow)
        # less CPU time than any job takes, so that each kill comes in time
        assert wait_for_work(process, workflow.folder, moments.uniform(0, 1), orphans)
        if whole_group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()  # its jobs go on as orphans
        process.wait()
    outcome = workflow.run()
    assert outcome.code == 0, outcome.output
    found = workflow.results()
    assert set(found) == set(undisturbed)
    assert [name for name in undisturbed if found[name] != undisturbed[name]] == []


def test_a_second_workflow_on_the_same_results_is_refused_while_the_first_runs(tmp_path):
    workflow = Workflow.create(tmp_path / "w")
    process = start(workflow)
    while process.poll() is None and not list((workflow.folder / ".snakemake").glob("owners/*.json")):
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGSTOP)  # it cannot end before the second has looked
    outcome = workflow.run()
    assert outcome.code != 0
    assert "cannot be locked" in outcome.output
    assert len(running_since(workflow.folder / ".snakemake")) == 1
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert running_since(workflow.folder / ".snakemake") == []
    outcome = workflow.run("--", "results/small/tiny/pipeline_config.yaml")
    assert outcome.code == 0, outcome.output
    assert "its locks are released" in outcome.output


@pytest.mark.slow
def test_keep_going_finishes_what_does_not_depend_on_the_failure(tmp_path):
    workflow = Workflow.create(tmp_path / "w")
    histories = [f"results/small/tiny/runs/run_{run}/history.zip" for run in (0, 1)]
    assert workflow.run("--", "results/small/precomputed_batches/run_0/batch_0.pt").code == 0
    damaged = workflow.folder / "results/small/precomputed_batches/run_0/batch_0.pt"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:1000])
    outcome = workflow.run("--keep-going", "--", *histories)
    assert outcome.code != 0
    assert [(workflow.folder / path).exists() for path in histories] == [False, True]
    damaged.write_bytes(whole)
    assert workflow.run("--", *histories).code == 0
