"""Figures as the workflow plans them: what the registry holds, and one more figure and rule, as docs/architecture.md adds them."""

import re
import subprocess
import sys

import pytest
from workflow import REPOSITORY, Workflow

PLOTS = "results/small/tiny/plots"


@pytest.fixture
def workflow(tmp_path):
    return Workflow.create(tmp_path / "w")


def apply_patch_of(heading: str, workflow: Workflow) -> None:
    section = (REPOSITORY / "docs/architecture.md").read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    (patch,) = re.findall(r"```diff\n(.*?)```", section, re.DOTALL)
    done = subprocess.run(
        ["git", "apply", "-"], cwd=workflow.folder, input=patch, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_figure_that_the_page_on_the_architecture_adds_is_a_target(workflow):
    workflow.own_package()
    apply_patch_of("Adding a figure", workflow)
    captions = [sys.executable, "-m", "spdclust.plotting.captions"]
    subprocess.run(captions, cwd=workflow.folder, env=workflow.environment, check=True)
    assert (
        "changed the description length" in (workflow.folder / "report/captions/merge_costs.rst").read_text()
    )
    target = f"{PLOTS}/merge_costs.png"
    assert target in workflow.run("-n", "figures").output
    outcome = workflow.run("--", target)
    assert outcome.code == 0, outcome.output
    assert (workflow.folder / target).stat().st_size > 10_000


@pytest.mark.slow
def test_the_rule_that_the_page_on_the_architecture_adds_runs(workflow):
    workflow.own_package()
    apply_patch_of("Adding a rule", workflow)
    target = "results/small/tiny/group_sizes.csv"
    outcome = workflow.run("--", target)
    assert outcome.code == 0, outcome.output
    for line in (workflow.folder / target).read_text().splitlines():
        sizes = [int(size) for size in line.split(",")]
        assert sizes == sorted(sizes, reverse=True)
        assert min(sizes) >= 2
    doctests = [sys.executable, "-m", "doctest", "-o", "ELLIPSIS", "src/spdclust/stages/group_sizes.py"]
    subprocess.run(doctests, cwd=workflow.folder, env=workflow.environment, check=True)


def test_rules_say_what_memory_time_and_log_a_figure_has(workflow):
    targets = [f"{PLOTS}/distances_matching_dist.pdf", f"{PLOTS}/merge_candidates_run_1.pdf"]
    plan = workflow.run("-n", "--", *targets).output
    distances, candidates = (
        re.split(r"\n\n|\[", plan.split(f"rule {name}:")[1])[0]
        for name in ("plot_distances", "plot_merge_candidates")
    )
    assert "log: results/logs/small/tiny/plot_distances_matching_dist.log" in distances
    assert re.search(r"runtime=5\b.*mem_mb=1000\b|mem_mb=1000\b.*runtime=5\b", distances)
    assert "log: results/logs/small/tiny/plot_merge_candidates_run_1.log" in candidates
    assert re.search(r"runtime=60\b", candidates)
    # of the batches, which are not there yet
    assert "mem_mb=<TBD>" in candidates
