"""What the terminal shows of a workflow, from records as Snakemake makes them."""

import logging
import os
from types import SimpleNamespace

import pytest

from spdclust.execution.terminal import BriefTerminal, missing_target


@pytest.fixture
def show():
    brief = BriefTerminal(logging.Formatter())

    def shown(event, message="", **fields):
        fields = {"levelno": logging.INFO, "msg": message, "event": SimpleNamespace(name=event)} | fields
        record = logging.makeLogRecord(fields)
        return brief.format(record) if brief.filter(record) else None

    return shown


def test_one_line_for_the_plan_and_for_each_finished_job(show):
    assert show("RUN_INFO", stats={"merge": 2, "total": 12}) == "12 steps; complete log in .snakemake/log/"
    where = {"run_config": "mlp", "ensemble": "demo", "run": "3"}
    assert show("JOB_INFO", jobid=5, rule_name="merge", wildcards=where) is None
    submitted = "Job 5 has been submitted with SLURM jobid 71 (log: .snakemake/slurm_logs/71.log)."
    assert show(None, submitted) == "Slurm job 71: merge mlp/demo, run 3"
    assert show("JOB_FINISHED", job_id=5) is None
    assert show("PROGRESS", done=7, total=12) == "[ 7/12] merge mlp/demo, run 3 (0 s)"


def test_errors_in_full(show):
    assert show("ERROR", "disk full", levelno=logging.ERROR) == "disk full"


def test_of_a_log_of_megabytes_the_start_and_the_end_are_shown(show):
    lines = ["Error in rule merge:", *(f"line {number}" for number in range(60_000)), "the reason"]
    shown = show("ERROR", "\n".join(lines), levelno=logging.ERROR).splitlines()
    assert shown[:50] == lines[:50]
    assert shown[50] == "… 59,802 lines left out here; the log file has them …"
    assert shown[51:] == lines[-150:]
    in_full = "\n".join(lines[:200])
    assert show("ERROR", in_full, levelno=logging.ERROR) == in_full


def test_of_a_line_of_megabytes_the_start_is_shown(show):
    text = show("ERROR", "Error in rule merge:\n" + "x" * 1_000_000, levelno=logging.ERROR)
    assert text == "Error in rule merge:\n" + "x" * 5_000 + "… (1,000,000 characters)"


def test_a_killed_job_is_explained(show):
    text = show("ERROR", "Command 'x.py' died with <Signals.SIGKILL: 9>.", levelno=logging.ERROR)
    assert "because memory ran out: try fewer jobs at once (--cores)" in text
    assert "memory" not in show(
        "ERROR", "Command 'x.py' returned non-zero exit status 1.", levelno=logging.ERROR
    )


def test_an_interruption_is_one_line_and_not_a_failure_of_each_job(show):
    assert show("ERROR", "Command 'x.py' returned non-zero exit status 1.", levelno=logging.ERROR)
    line = show(None, "Terminating processes on user request, this might take some time.")
    assert line.startswith("Interrupted: ")
    assert "The same command goes on" in line
    stopped = "Command 'x.py' returned non-zero exit status 130."
    assert show("JOB_ERROR", "Error in rule merge", levelno=logging.ERROR) is None
    assert show("ERROR", stopped, levelno=logging.ERROR) is None
    assert show(None, "cannot be cancelled", levelno=logging.WARNING) == "cannot be cancelled"
    assert show(None, "Complete log: x.log") == "Complete log: x.log"


def test_names_near_a_missing_target_are_those_that_can_be_made():
    run = r"results/{run_config,a|b\-1}"
    names = ["report", f"{run}/{{sweep,(?!)}}/sweep.json"]
    names += [
        rf"{run}/{{ensemble,one|two}}/plots/{stem}.png" for stem in ("mdl", r"state_{run,\d+}", "groups")
    ]
    names += [rf"{run}/plots/raw_{{run,\d+}}.png"]
    folders = {"a/one", "b-1/two"}

    def allowed(target):
        return missing_target(target, names, folders).allowed

    # no ensemble of another run
    assert allowed("results/a/two/plots/groups.png").split(", ") == [
        "results/b-1/two/plots/groups.png", "results/a/one/plots/groups.png"
    ]  # fmt: skip
    assert allowed("./results/a/one/plots/stat_3.png") == "results/a/one/plots/state_<run>.png"
    assert allowed("results/b-1/two/plots/raw_0.png").startswith("results/b-1/plots/raw_<run>.png")
    assert allowed("results/a/one/plots/xyz.png").split(", ") == [
        f"results/a/one/plots/{name}.png" for name in ("groups", "mdl", "state_<run>")
    ]
    assert allowed("repport") == "report"
    assert allowed("nonsense/xyz") == "report"
    assert allowed("results/a/one") == allowed("results/a/one/") == "a file: plots"
    assert allowed(os.path.abspath("results/a/one/plots/mdl.png")) == "results/a/one/plots/mdl.png"
    # wildcards that occur twice, have braces in their constraint or none at all
    names += [r"results/{run_config}/{ensemble,one}/{run,\d{1,3}}/{method,[a-z]{2}}_{run,\d{1,3}}.csv"]
    assert allowed("results/a/one/<run>/<method>.csv") == "results/a/one/<run>/<method>_<run>.csv"
    assert "sweep" not in allowed("results/a/sweep/sweep.json")
