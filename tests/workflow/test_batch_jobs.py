"""Which jobs sample the runs: the model is loaded once for many, and no old run is touched for a new one."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from workflow import HANGS, PIPELINE, RUN, Workflow

from spdclust.files.activation_batch import ActivationBatch

LOADER = """
import functools, os, time
from pathlib import Path
from spdclust.models import load_model

def load(path, device):
    with open("loads", "a") as loads:
        loads.write("x")
    model = load_model(path, device)
    compute = model.component_activations

    @functools.wraps(compute)
    def component_activations(*arguments, **options):
        first = Path("results/small/precomputed_batches/run_0/batch_0.pt").exists()
        while first and Path("hang").exists():
            time.sleep(0.1)
        if first and Path("fail").exists():
            os._exit(3)
        return compute(*arguments, **options)

    model.component_activations = component_activations
    return model
"""


@pytest.fixture
def workflow(tmp_path, monkeypatch):
    """A workflow whose loader counts how often the model is loaded, and stops after the first batch if asked to."""
    workflow = Workflow.create(tmp_path / "w")
    (tmp_path / "loader").mkdir()
    (tmp_path / "loader/counting_loader.py").write_text(LOADER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "loader"))
    write(workflow)
    return workflow


def write(workflow: Workflow, n_runs: int = 2, **settings) -> None:
    run = RUN | {"device": "auto", "loader": "counting_loader:load"} | settings
    workflow.write("config/runs/small.yaml", run)
    workflow.write("config/pipelines/tiny.yaml", PIPELINE | {"n_runs": n_runs})


def loads(workflow: Workflow) -> int:
    path = workflow.folder / "loads"
    return len(path.read_text()) if path.exists() else 0


def run(workflow: Workflow, *targets: str) -> None:
    outcome = workflow.run("--", *targets)
    assert outcome.code == 0, outcome.output


def batches(workflow: Workflow) -> dict[str, bytes]:
    return {name: content for name, content in workflow.results().items() if name.endswith(".pt")}


def kept_runs(workflow: Workflow, runs: str) -> list[str]:
    """Return the runs that a job has found sampled."""
    log = (workflow.folder / f"results/logs/small/precompute_batches_{runs}.log").read_text()
    return re.findall(r"run_(\d+)/batch_0.pt already exists", log)


def batches_jobs(workflow: Workflow, *targets: str) -> dict[str, int]:
    due = workflow.due(*targets)
    return {rule.removeprefix("precompute_batches"): due[rule] for rule in due if "precompute" in rule}


def test_one_job_samples_all_runs_of_a_model_that_may_use_a_gpu(workflow):
    write(workflow, n_runs=3)
    assert batches_jobs(workflow, "batches") == {"_runs_0_to_2": 1}
    write(workflow, n_runs=3, runs_per_batches_job=2)
    assert batches_jobs(workflow, "batches") == {"_runs_0_to_1": 1, "_run_2": 1}
    write(workflow, n_runs=3, runs_per_batches_job=1)
    assert batches_jobs(workflow, "batches") == {"": 3}
    write(workflow, n_runs=3, device="cpu")
    assert batches_jobs(workflow, "batches") == {"": 3}
    write(workflow, n_runs=3, device="cpu", runs_per_batches_job=3)
    assert batches_jobs(workflow, "batches") == {"_runs_0_to_2": 1}
    (workflow.folder / "own").mkdir()
    np.save(workflow.folder / "own/latents.npy", np.eye(4))
    workflow.write("config/runs/small.yaml", {"precomputed_activations_dir": "own"})
    assert batches_jobs(workflow, "batches") == {"": 3}


def test_a_single_file_samples_its_run_alone(workflow):
    write(workflow, n_runs=4)
    assert batches_jobs(workflow, "results/small/precomputed_batches/run_2/batch_0.pt") == {"_run_2": 1}
    assert workflow.due("results/small/tiny/runs/run_1/history.zip") == {
        "precompute_batches_run_1": 1, "merge": 1,
    }  # fmt: skip


@pytest.mark.parametrize("division", [{}, pytest.param({"runs_per_batches_job": 3}, marks=pytest.mark.slow)])
def test_more_runs_are_sampled_and_merged_alone_with_the_model_loaded_once(workflow, division):
    """Another division into jobs makes nothing due."""
    write(workflow, n_runs=2, **division)
    run(workflow, "histories")
    assert loads(workflow) == 1
    log = (workflow.folder / "results/logs/small/precompute_batches_runs_0_to_1.log").read_text()
    assert log.count("samples, ") == 2
    assert "no GPU here: `runs_per_batches_job: 1` samples these 2 runs in parallel jobs" in log
    write(workflow, n_runs=4, **division)
    assert workflow.due("histories") == {"precompute_batches_runs_2_to_3": 1, "merge": 2, "histories": 1}
    run(workflow, "histories")
    assert loads(workflow) == 2
    # now they are together
    assert workflow.due("histories") == {}
    write(workflow, n_runs=4, n_tokens=300, runs_per_batches_job=None)
    assert batches_jobs(workflow, "batches") == {"_runs_0_to_3": 1}
    write(workflow, n_runs=4, runs_per_batches_job=1)
    assert workflow.due("histories") == {}


@pytest.mark.slow
def test_any_division_into_jobs_samples_the_same_bytes(workflow, tmp_path):
    for n_runs in (2, 4):
        write(workflow, n_runs=n_runs)
        run(workflow, "batches")
    other = Workflow.create(tmp_path / "other")
    write(other, n_runs=4, runs_per_batches_job=1)
    run(other, "batches")
    assert loads(other) == 4
    assert batches(workflow) == batches(other)


@pytest.mark.slow
def test_more_runs_with_temporary_batches(workflow):
    write(workflow, keep_batches=False)
    run(workflow, "histories")
    assert batches(workflow) == {}
    write(workflow, n_runs=4, keep_batches=False)
    new = [f"results/small/tiny/runs/run_{run}/history.zip" for run in (2, 3)]
    assert workflow.due(*new) == {"precompute_batches_runs_2_to_3_temporary": 1, "merge": 2}
    # the evidence of the groups needs the batches of all runs once more
    assert workflow.due("histories") == {
        "precompute_batches_runs_0_to_3_temporary": 1, "merge": 4, "groups": 1, "histories": 1,
    }  # fmt: skip
    run(workflow, "histories")
    assert loads(workflow) == 2
    assert batches(workflow) == {}
    assert workflow.due("histories") == {}


@pytest.mark.slow
def test_a_sweep_made_before_an_ensemble_of_more_runs_stays_as_it_is(workflow):
    swept = PIPELINE | {"n_runs": 2, "sweep": {"merge_config.alpha": [1, 2]}}
    workflow.write("config/pipelines/sweep.yaml", swept)
    workflow.write("config/config.yaml", {"pipelines": ["config/pipelines/sweep.yaml"]})
    run(workflow, "histories")
    write(workflow, n_runs=4)
    both = ["config/pipelines/sweep.yaml", "config/pipelines/tiny.yaml"]
    for pipelines in (both, both[1:]):
        workflow.write("config/config.yaml", {"pipelines": pipelines})
        assert workflow.due("histories") == {"precompute_batches_runs_2_to_3": 1, "merge": 4, "histories": 1}
    run(workflow, "histories")
    workflow.write("config/config.yaml", {"pipelines": both})
    assert workflow.due("histories") == {}


def test_a_killed_job_is_continued_by_one_job(workflow):
    write(workflow, n_runs=3)
    (workflow.folder / "hang").touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "2", "--", "batches"],
        cwd=workflow.folder, env=workflow.environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    first = workflow.folder / "results/small/precomputed_batches/run_0/batch_0.pt"
    deadline = time.monotonic() + HANGS
    while not first.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (workflow.folder / "hang").unlink()
    assert batches_jobs(workflow, "batches") == {"_runs_0_to_2": 1}
    run(workflow, "batches")
    assert kept_runs(workflow, "runs_0_to_2") == ["0"]
    assert loads(workflow) == 2
    assert len(batches(workflow)) == 3
    assert workflow.due("batches") == {}


@pytest.mark.parametrize("kept", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_job_that_fails_and_is_tried_again_keeps_what_it_has_sampled(workflow, kept):
    write(workflow, n_runs=3, keep_batches=kept)
    (workflow.folder / "fail").touch()
    outcome = workflow.run("--retries", "1", "--", "batches")
    assert outcome.code != 0
    assert loads(workflow) == 2
    assert kept_runs(workflow, "runs_0_to_2") == ["0"]
    (workflow.folder / "fail").unlink()
    run(workflow, "batches")
    assert kept_runs(workflow, "runs_0_to_2") == ["0"]
    assert loads(workflow) == 3


@pytest.mark.slow
@pytest.mark.parametrize("division", [None, 1])
def test_batches_of_other_settings_are_due_after_a_failure(workflow, division):
    """Snakemake took the former batches, which it had put back, for those of the job that failed."""
    write(workflow, runs_per_batches_job=division)
    run(workflow, "batches")
    write(workflow, runs_per_batches_job=division, n_tokens=300)
    (workflow.folder / "fail").touch()
    assert workflow.run("--", "batches").code != 0
    (workflow.folder / "fail").unlink()
    run(workflow, "batches")
    for name in ("run_0", "run_1"):
        batch = ActivationBatch.load(workflow.folder / f"results/small/precomputed_batches/{name}/batch_0.pt")
        assert batch.n_samples == 300
    assert workflow.due("batches") == {}


@pytest.mark.slow
def test_the_process_of_a_job_finds_its_form_whatever_exists_by_then(workflow):
    """As an executor starts it; in the main process, the same files would give other jobs."""
    write(workflow, n_runs=4)
    run(workflow, "results/small/tiny/runs/run_1/history.zip")
    loaded = loads(workflow)
    name = "precompute_batches_runs_0_to_3"
    assert name not in batches_jobs(workflow, "batches")
    job = [
        "--mode",
        "remote",
        "--target-jobs",
        f"{name}:run_config=small",
        "--allowed-rules",
        name,
        "--force",
    ]
    outcome = workflow.run(*job, "--ignore-incomplete", "--nolock")
    assert outcome.code == 0, outcome.output
    assert loads(workflow) == loaded + 1
    assert len(batches(workflow)) == 4
    assert kept_runs(workflow, "runs_0_to_3") == ["1"]
