"""The workflow through a real Slurm: `make test-slurm` starts one on this machine."""

import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from slurm_cluster import SLURM
from workflow import HANGS, PIPELINE, RUN, Workflow

from spdclust.execution.running_jobs import queued_jobs

TINY = "results/small/tiny"
MERGED = f"{TINY}/runs/run_0/history.zip"
WANTED = [f"{TINY}/summary.json", f"{TINY}/plots/distances_matching_dist.png"]

pytestmark = pytest.mark.slurm


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A workflow of its own on the cluster that `conftest.py` started."""
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    workflow = Workflow.create(tmp_path / "w", forked=False)
    workflow.write("config/runs/small.yaml", RUN | {"device": "auto"})
    yield workflow
    for process in STARTED:
        process.kill()
        process.wait()
    STARTED.clear()
    # the node has two CPUs: a job left behind keeps the jobs of all other tests waiting
    left = [job.number for job in queued_jobs(workflow.folder)]
    if left:
        subprocess.run(["scancel", *left], check=False, timeout=HANGS)


ON_SLURM = [
    "--profile",
    "profiles/slurm",
    "--slurm-init-seconds-before-status-checks",
    "1",
    "--latency-wait",
    "5",
]


def accounted(workflow: Workflow) -> list[dict[str, str]]:
    """Return the jobs (not their steps) of a workflow that the accounting knows."""
    fields = [
        "JobID",
        "JobName",
        "State",
        "ReqMem",
        "Timelimit",
        "ReqTRES",
        "Partition",
        "Comment",
        "WorkDir",
    ]
    done = subprocess.run(
        ["sacct", "-X", "-n", "-P", "-S", "now-1hour", "-o", ",".join(fields)],
        check=True, capture_output=True, text=True, timeout=HANGS,
    )  # fmt: skip
    jobs = [dict(zip(fields, line.split("|"), strict=True)) for line in done.stdout.splitlines()]
    return [job for job in jobs if job["WorkDir"] == str(workflow.folder)]


def rule_of(job: dict[str, str]) -> str:
    return re.sub(r"^rule_|_wildcards_.*$", "", job["Comment"])


STARTED: list[subprocess.Popen] = []


def start(workflow: Workflow, *arguments: str) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-m", "snakemake", *ON_SLURM, *arguments],
        cwd=workflow.folder,
        env=workflow.environment,
        stdout=(workflow.folder / "output").open("w"),
        stderr=subprocess.STDOUT,
        # a shell starts what it runs in the background with interrupts ignored, and processes inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    STARTED.append(process)
    return process


def running_merge(workflow: Workflow) -> str | None:
    """Return the number of a merge that runs; the accounting knows what a job is only once it has ended."""
    jobs = queued_jobs(workflow.folder)
    return next((job.number for job in jobs if job.rules == "merge" and job.state == "RUNNING"), None)


def wait_for(condition) -> None:
    deadline = time.monotonic() + HANGS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.3)


def edit_merge(workflow: Workflow, code: str) -> None:
    script = workflow.folder / "workflow/scripts/merge.py"
    script.write_text(code + script.read_text())


def test_an_ensemble_runs_on_the_cluster_with_the_resources_of_its_rules(cluster):
    outcome = cluster.run(*ON_SLURM, "--", *WANTED)
    assert outcome.code == 0, outcome.output
    assert f"{TINY}: 2 runs of" in outcome.output
    jobs = accounted(cluster)
    assert {job["State"] for job in jobs} == {"COMPLETED"}, jobs
    batches = [job for job in jobs if "precompute_batches" in job["Comment"]]
    merges = [job for job in jobs if rule_of(job).startswith("merge")]
    rest = [job for job in jobs if job not in batches + merges]
    assert (len(batches), len(merges)) == (1, 2), jobs
    assert len(rest) == 1, rest  # distances, figures and summary in one submission
    assert "small-tiny" in rest[0]["Comment"]  # which names the ensemble
    for job in batches:
        assert "gres/gpu=1" in job["ReqTRES"], job
        assert job["ReqMem"] in ("4000M", "4000Mn"), job
        assert job["Timelimit"] == "01:30:00", job
    for job in merges + rest:
        assert "gpu" not in job["ReqTRES"], job
        assert re.search(r"cpu=[12],", job["ReqTRES"]), job  # the node has no more
    assert "account" not in outcome.output.lower()
    # a line for each submission and one for each finished job, nothing else of the executor
    submitted = re.findall(r"^Slurm job (\d+): (.*)$", outcome.output, re.MULTILINE)
    assert sorted(number for number, _ in submitted) == sorted(job["JobID"] for job in jobs)
    assert {name.replace("small-tiny", "").strip("_") for _, name in submitted} >= {
        "merge small/tiny, run 0", "merge small/tiny, run 1", "precompute_batches small, runs 0 to 1",
    }, submitted  # fmt: skip
    assert not re.search("SLURM|sacct|sbatch", outcome.output), outcome.output
    assert cluster.due(*WANTED) == {}


@pytest.mark.slow
def test_one_job_samples_the_new_runs_of_an_ensemble(cluster):
    script = cluster.folder / "workflow/scripts/stage.py"
    script.write_text(KILL_AFTER_ONE_RUN + script.read_text())
    outcome = cluster.run(*ON_SLURM, "--", "histories")
    assert outcome.code == 0, outcome.output
    cluster.write("config/pipelines/tiny.yaml", PIPELINE | {"n_runs": 4})
    # killed when it has sampled a run: tried again, in a process that finds other files than the workflow did
    (cluster.folder / "kill").touch()
    outcome = cluster.run(*ON_SLURM, "--", "histories")
    assert outcome.code == 0, outcome.output
    jobs = sorted((rule_of(job), job["State"]) for job in accounted(cluster))
    old, new = "precompute_batches_runs_0_to_1", "precompute_batches_runs_2_to_3"
    assert jobs == [
        *[("merge", "COMPLETED")] * 4, (old, "COMPLETED"), (new, "COMPLETED"), (new, "FAILED"),
    ]  # fmt: skip
    log = (cluster.folder / f"results/logs/small/{new}.log").read_text()
    assert re.findall(r"run_(\d)/batch_0.pt already exists", log) == ["2"]
    assert cluster.due("histories") == {}


KILL_AFTER_ONE_RUN = """
import os, pathlib, signal, threading, time

def kill_once():
    while not pathlib.Path("results/small/precomputed_batches/run_2/batch_0.pt").exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)

if pathlib.Path("kill").exists():
    pathlib.Path("kill").unlink()
    threading.Thread(target=kill_once, daemon=True).start()
"""


def test_a_failing_point_of_a_sweep_stops_no_other_and_is_not_tried_again(cluster):
    # the batches are there: activations from elsewhere, which need no GPU
    rng = np.random.default_rng(0)
    for run in (0, 1):
        (cluster.folder / f"own/run_{run}").mkdir(parents=True)
        np.save(cluster.folder / f"own/run_{run}/batch.npy", rng.random((60, 12), dtype=np.float32))
    run = {"precomputed_activations_dir": "own", "merge_config": {"activation_threshold": 0.5, "iters": 8}}
    cluster.write("config/runs/small.yaml", run)
    swept = {"merge_config.filter_dead_threshold": [0.1, 50.0], "merge_config.alpha": [1, 2]}
    cluster.write("config/pipelines/tiny.yaml", PIPELINE | {"sweep": swept})
    healthy, failing = (
        [f"results/small/tiny-filter_dead_threshold~{dead}-alpha~{alpha}" for alpha in (1, 2)]
        for dead in (0.1, 50.0)
    )
    targets = [f"{point}/summary.json" for point in healthy + failing]
    outcome = cluster.run(*ON_SLURM, "--", *targets)
    assert outcome.code != 0
    assert "no component is alive" in outcome.output
    for point in healthy:
        assert (cluster.folder / point / "summary.json").exists(), outcome.output
    jobs = accounted(cluster)
    assert not [job for job in jobs if "gpu" in job["ReqTRES"]], jobs
    failed = [job for job in jobs if job["State"] != "COMPLETED"]
    assert len(failed) == 4, failed  # two runs of two points, once each
    assert "Trying to restart" not in outcome.output


def test_a_job_that_can_never_start_is_reported(cluster):
    process = start(cluster, "--cores", "13", "--set-threads", "merge=13", "--", MERGED)
    output = cluster.folder / "output"
    wait_for(lambda: "can never start here" in output.read_text())
    assert "PartitionConfig. It asks for 13 CPU(s)" in output.read_text()
    process.send_signal(signal.SIGINT)
    process.wait(timeout=HANGS)


def test_a_job_that_someone_cancels_is_noticed_and_not_tried_again(cluster):
    edit_merge(cluster, f"import time\ntime.sleep({HANGS})\n")
    process = start(cluster, "--", MERGED)
    wait_for(lambda: running_merge(cluster))
    subprocess.run(["scancel", running_merge(cluster)], check=True, timeout=HANGS)
    assert process.wait(timeout=HANGS) != 0
    output = (cluster.folder / "output").read_text()
    assert "CANCELLED" in output
    assert "Cancelled jobs are not retried" in output
    assert "Trying to restart" not in output
    assert [job["State"] for job in accounted(cluster) if rule_of(job) == "merge"] == ["CANCELLED by 0"]


def test_jobs_of_a_killed_workflow_are_not_submitted_again(cluster):
    edit_merge(cluster, "import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.2)\n")
    process = start(cluster, "--", MERGED)
    wait_for(lambda: running_merge(cluster))
    process.kill()
    process.wait()
    merge = running_merge(cluster)
    outcome = cluster.run(*ON_SLURM, "--", MERGED)
    assert outcome.code != 0
    assert f"scancel {merge}\n" in outcome.output
    assert [job.number for job in queued_jobs(cluster.folder)] == [merge]
    (cluster.folder / "go").touch()
    wait_for(lambda: not queued_jobs(cluster.folder))
    outcome = cluster.run(*ON_SLURM, "--", MERGED)
    assert outcome.code == 0, outcome.output
    assert len([job for job in accounted(cluster) if rule_of(job) == "merge"]) <= 2
    assert {job["State"] for job in accounted(cluster)} == {"COMPLETED"}


@pytest.mark.slow
def test_a_job_killed_as_for_memory_is_tried_again_with_more_of_it(cluster):
    killer = (
        "import os, pathlib, signal\n"
        "seen = pathlib.Path('killed')\n"
        "if not seen.exists():\n"
        "    seen.touch()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory runs out\n"
    )
    script = cluster.folder / "workflow/scripts/merge.py"
    script.write_text(killer + script.read_text())
    outcome = cluster.run(*ON_SLURM, "--", MERGED)
    assert outcome.code == 0, outcome.output
    assert (cluster.folder / "killed").exists()
    merges = [job for job in accounted(cluster) if rule_of(job).startswith("merge")]
    assert len(merges) == 2, merges
    memory = [int(re.sub(r"\D", "", job["ReqMem"])) for job in merges]
    assert memory[1] >= 2 * memory[0] > 0


@pytest.mark.slow
def test_a_failed_job_names_its_log(cluster):
    changed = RUN["merge_config"] | {"filter_dead_threshold": 50.0}
    cluster.write("config/runs/small.yaml", RUN | {"merge_config": changed})
    outcome = cluster.run(*ON_SLURM, "--retries", "0", "--", MERGED)
    assert outcome.code != 0
    assert "results/logs/small/tiny/merge/run_0.log" in outcome.output
    assert "no component is alive" in outcome.output
    assert not (cluster.folder / MERGED).exists()


@pytest.mark.slow
def test_a_submission_that_slurm_refuses_is_reported(cluster):
    merges = [f"{TINY}/runs/run_{run}/history.zip" for run in (0, 1)]
    outcome = cluster.run(*ON_SLURM, "--default-resources", "slurm_partition='nowhere'", "--", *merges)
    assert outcome.code != 0
    assert outcome.output.count("invalid partition specified: nowhere") == 1, outcome.output
    rejected = outcome.output[outcome.output.index("Slurm rejected") :]
    assert len(rejected.splitlines()) < 10, rejected


@pytest.mark.slow
def test_a_cancelled_workflow_goes_on_where_it_stopped(cluster):
    process = start(cluster, "--", *WANTED)
    batch = cluster.folder / "results/small/precomputed_batches/run_0/batch_0.pt"
    submitted = cluster.folder / ".snakemake/slurm_logs/rule_merge"  # so the batches are known to be done
    wait_for(submitted.exists)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=HANGS)
    assert batch.exists()
    assert not (cluster.folder / TINY / "summary.json").exists()
    wait_for(lambda: not queued_jobs(cluster.folder))  # its jobs were cancelled with it
    outcome = cluster.run(*ON_SLURM, "--", *WANTED)
    assert outcome.code == 0, outcome.output
    assert (cluster.folder / TINY / "summary.json").exists()
    assert PIPELINE["n_runs"] == len(list((cluster.folder / TINY / "runs").iterdir()))


@pytest.mark.slow
def test_the_references_command_submits_with_the_partition_and_the_names_of_its_file(cluster):
    asked = {"slurm_partition": "other", "slurm_job_name_prefix": "mine", "calc_distances": False}
    cluster.write("config/pipelines/tiny.yaml", PIPELINE | asked)
    with (cluster.folder / "profiles/slurm/config.yaml").open("a") as profile:
        profile.write("\nslurm-init-seconds-before-status-checks: 1\n")
    arguments = ["--config", "config/pipelines/tiny.yaml", "--n-runs", "3"]
    done = subprocess.run(
        [sys.executable, "-m", "spdclust.commands.reference_cli", *arguments],
        cwd=cluster.folder, env=cluster.environment, capture_output=True, text=True, timeout=HANGS,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((cluster.folder / TINY / "runs").iterdir())) == 3
    assert not list((cluster.folder / TINY).glob("distances_*"))
    jobs = accounted(cluster)
    assert len(jobs) == 4, jobs  # all batches, and a merge of each run
    assert {job["State"] for job in jobs} == {"COMPLETED"}, jobs
    assert all(job["JobName"].startswith("mine") for job in jobs), jobs
    assert {job["Partition"] for job in jobs} == {"other"}, jobs


@pytest.mark.slow
def test_another_batch_system_gets_the_same_jobs_by_its_own_command(cluster):
    submit = cluster.folder / "submit"  # a batch system in two lines: the script runs, its number is printed
    submit.write_text(
        '#!/bin/sh\nprintf "%s\\n" "$*" >> submitted\nfor script; do :; done\nsh "$script" > /dev/null 2>&1 &\necho $!\n'
    )
    submit.chmod(0o755)
    asked = f"{submit} -n {{threads}} -m {{resources.mem_mb}} -t {{resources.runtime}} -g {{resources.gpu}}"
    outcome = cluster.run(
        "--profile", "profiles/generic", "--cluster-generic-submit-cmd", asked, "--cluster-generic-cancel-cmd", "kill",
        "--latency-wait", "5", "--", *WANTED,
    )  # fmt: skip
    assert outcome.code == 0, outcome.output
    submitted = (cluster.folder / "submitted").read_text().splitlines()
    assert len(submitted) == 4, submitted  # all batches, two merges, one group
    assert sum("-g 1" in line for line in submitted) == 1
    assert sum("-t 120" in line for line in submitted) == 2


@pytest.mark.slow
def test_the_efficiency_report_is_among_the_logs(cluster):
    batch = "results/small/precomputed_batches/run_0/batch_0.pt"
    outcome = cluster.run(*ON_SLURM, "--slurm-efficiency-report", "--", batch)
    assert outcome.code == 0, outcome.output
    assert len(list((cluster.folder / "results/logs").glob("efficiency_report_spdclust_*.csv"))) == 1
    assert not list(cluster.folder.glob("*.csv"))
