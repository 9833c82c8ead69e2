"""The workflow as a module of another one, as docs/workflow.md shows it."""

import re
import subprocess
import sys

import pytest
from workflow import PIPELINE, REPOSITORY, RUN, Outcome, Workflow


def example() -> str:
    page = (REPOSITORY / "docs/workflow.md").read_text()
    (code,) = re.findall(r"```snakemake\n(.*?)```", page, re.DOTALL)
    return code


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Another workflow in its own folder, which uses this one and makes a file of its results."""
    folder = tmp_path_factory.mktemp("other")
    project = Workflow(folder)
    project.write("config/runs/small.yaml", RUN | {"model_path": str(REPOSITORY / "resources/resid_mlp1")})
    project.write("config/pipelines/tiny.yaml", PIPELINE)
    code = example().replace("path/to/spdclust", str(REPOSITORY))
    code = code.replace("config/pipelines/demo.yaml", "config/pipelines/tiny.yaml")
    code = code.replace("resid_mlp1/demo", "small/tiny")
    (folder / "Snakefile").write_text(code)
    return folder


def run(folder, *arguments: str) -> Outcome:
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", *arguments],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, check=False,
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout)


def test_its_rules_carry_the_prefix_and_nothing_is_warned_of(other):
    outcome = run(other, "-n", "-q", "rules")
    assert outcome.code == 0, outcome.output
    assert outcome.jobs["spd_merge"] == 2
    assert outcome.jobs["count_groups"] == 1
    assert not re.search("warn|localrule", outcome.output, re.IGNORECASE), outcome.output


@pytest.mark.slow  # test_workflow.py makes a report, too
def test_results_and_the_report_are_made_for_the_other_workflow(other):
    outcome = run(other, "--", "groups.txt", "results/report.html")
    assert outcome.code == 0, outcome.output
    assert int((other / "groups.txt").read_text()) > 0
    assert "marked least value" in (other / "results/report.html").read_text()
