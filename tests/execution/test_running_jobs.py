"""`spdclust watch`: jobs by their logs, the progress of merges and the queue."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from spdclust.commands.cli import main
from spdclust.execution.jobs import _FOR_GOOD
from spdclust.execution.running_jobs import _parse_queue, format_jobs, running_jobs
from spdclust.files.merge_progress import ProgressRecorder

MERGE = "mlp/demo/merge/run_1"


@pytest.fixture
def logs(tmp_path):
    def write(name: str, text: str = "2026-01-02 03:04:05,678 INFO began\n", ended: bool = False):
        log = tmp_path / "results/logs" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(text)
        if ended:
            log.with_suffix(".tsv").write_text("s\n1\n")
            os.utime(log.with_suffix(".tsv"), (log.stat().st_atime, log.stat().st_mtime + 1))
        return log

    return write


def of(tmp_path, queue=""):
    jobs = running_jobs(tmp_path / "results", _parse_queue(queue))
    return [(job.rule, job.ensemble, job.run, job.state) for job in jobs]


def test_jobs_are_named_by_their_logs_and_ended_ones_left_out(tmp_path, logs):
    logs(MERGE)
    logs("mlp/demo/merge/run_0", ended=True)
    logs("mlp/precompute_batches/run_2")
    logs("mlp/demo/distances")
    logs("mlp/demo/plot_merge_tree_run_0")
    assert of(tmp_path) == [
        ("distances", "mlp/demo", "", "running"),
        ("merge", "mlp/demo", "1", "running"),
        ("plot_merge_tree", "mlp/demo", "0", "running"),
        ("precompute_batches", "mlp", "2", "running"),
    ]


def test_a_job_that_is_made_again_runs_although_its_benchmark_is_there(tmp_path, logs):
    log = logs(MERGE, ended=True)
    assert of(tmp_path) == []
    os.utime(log, (log.stat().st_atime, log.stat().st_mtime + 5))
    assert of(tmp_path) == [("merge", "mlp/demo", "1", "running")]


def test_a_failed_job_is_shown(tmp_path, logs):
    logs(MERGE, f"2026-01-02 03:04:05,678 INFO began\nError: no component is alive\n{_FOR_GOOD}\n")
    assert of(tmp_path) == [("merge", "mlp/demo", "1", "failed")]


def test_a_job_that_ctrl_c_ended_does_not_run(tmp_path, logs):
    log = logs(MERGE)
    code = (
        f"from spdclust.execution.jobs import job\nwith job({str(log)!r}, 'merge'): raise KeyboardInterrupt"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert of(tmp_path) == [("merge", "mlp/demo", "1", "interrupted")]
    assert format_jobs(running_jobs(tmp_path / "results")).endswith("interrupted")  # no time that goes on
    logs(MERGE)  # a new start writes its log anew
    assert of(tmp_path) == [("merge", "mlp/demo", "1", "running")]


def test_jobs_of_a_workflow_that_was_killed_do_not_run(tmp_path, logs):
    log = logs(MERGE)
    now = log.stat().st_mtime

    def state(since, queue=""):
        return running_jobs(tmp_path / "results", _parse_queue(queue), since)[0].state

    assert state(None) == "running"  # of another folder, or by a version that did not record it
    assert state([now - 5]) == state([now + 5, now - 5]) == "running"
    assert state([]) == state([now + 5]) == "interrupted"  # killed, and started again
    assert state([], "7|RUNNING|None|1|1G|1:00:00|group_mlp-demo|/w") == "running"
    job = running_jobs(tmp_path / "results", since=[])[0]
    assert job.seconds is None  # no time that goes on


def test_merges_done_their_rate_and_the_time_left(tmp_path, logs, monkeypatch):
    log = logs(MERGE)
    labels = [f"m:{each}" for each in range(11)]
    clock = iter([10.0, 10.0, 12.0])  # the merges took two seconds
    monkeypatch.setattr("spdclust.files.merge_progress.time", SimpleNamespace(monotonic=lambda: next(clock)))
    recorder = ProgressRecorder(log.with_suffix(".progress.jsonl"))
    recorder.begin(labels, {"iters": None, "min_groups": 3}, (0, 1), [], [])
    recorder.watch(0, {"names": np.array([[0, 1], [0, 2], [0, 3], [0, 4]])})
    (job,) = running_jobs(tmp_path / "results")
    assert (job.merges, job.of_merges) == (4, 8)
    assert (job.per_second, job.seconds_left) == (2, 2)
    assert "4 / 8" in format_jobs([job])


def test_what_waits_in_the_queue_is_shown_and_what_runs_only_once(tmp_path, logs):
    logs(MERGE)
    queue = (
        "7|RUNNING|None|1|1G|1:00:00|rule_merge_wildcards_mlp_demo_1|/w\n"
        "8|PENDING|Resources|1|1G|1:00:00|rule_merge_wildcards_mlp_demo_2|/w\n"
        "9|PENDING|PartitionConfig|13|1G|1:00:00|rule_mlp-demo_distances_stability|/w\n"
    )
    assert of(tmp_path, queue) == [
        ("merge", "mlp/demo", "1", "running"),
        ("merge", "mlp_demo", "2", "waiting"),
        ("mlp-demo_distances_stability", "", "", "can never start: PartitionConfig"),
    ]


def test_jobs_of_several_runs_show_them_and_forms_have_the_name_of_their_rule(tmp_path, logs):
    logs("mlp/precompute_batches_runs_0_to_3")
    logs("mlp/precompute_batches_run_4")
    logs("other/precompute_batches/run_2")
    of_rule = "|1|1G|1:00:00|rule_precompute_batches"
    queue = (
        f"7|RUNNING|None{of_rule}_runs_0_to_3_of_2_batches_wildcards_mlp|/w\n"
        f"8|RUNNING|None{of_rule}_run_4_of_2_batches_wildcards_mlp|/w\n"
        f"9|PENDING|Resources{of_rule}_runs_5_to_12_of_2_batches_wildcards_mlp|/w\n"
        f"10|COMPLETING|None{of_rule}_form_2_wildcards_other_2|/w\n"
    )
    assert of(tmp_path, queue) == [
        ("precompute_batches", "mlp", "4", "running"),
        ("precompute_batches", "mlp", "0 to 3", "running"),
        ("precompute_batches", "other", "2", "completing"),
        ("precompute_batches", "mlp", "5 to 12", "waiting"),
    ]


def test_parts_of_the_distances_are_shown_and_those_that_run_only_once(tmp_path, logs):
    logs("mlp/demo/distances_part/part_2_of_12")
    of_rule = "|4|1G|1:00:00|rule_distances_part_wildcards"
    queue = f"7|RUNNING|None{of_rule}_mlp_demo_2_12|/w\n8|PENDING|Resources{of_rule}_mlp_demo_11_12|/w\n"
    assert of(tmp_path, queue) == [
        ("distances_part", "mlp/demo", "part 2 of 12", "running"),
        ("distances_part", "mlp_demo", "part 11 of 12", "waiting"),
    ]


def test_the_command_shows_the_table(tmp_path, logs, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    logs(MERGE)
    assert main(["watch", "--once"]) == 0
    assert "merge  mlp/demo  1    running" in capsys.readouterr().out
    (tmp_path / ".snakemake/owners").mkdir(parents=True)  # workflows ran in this folder, none does now
    assert main(["watch", "--once"]) == 0
    assert "merge  mlp/demo  1    interrupted" in capsys.readouterr().out
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / ".snakemake/owners").mkdir(parents=True)
    monkeypatch.chdir(elsewhere)  # whose workflows say nothing about these jobs
    assert main(["watch", "../results", "--once"]) == 0
    assert "merge  mlp/demo  1    running" in capsys.readouterr().out
    assert main(["watch", "nowhere"]) == 1
    assert capsys.readouterr().err.startswith("Error: nowhere: no such folder")
