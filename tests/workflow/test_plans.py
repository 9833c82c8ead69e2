"""What the plan says, without running it: names of rules, resources."""

import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from workflow import PIPELINE, RUN, Workflow

from spdclust.plotting.registry import FIGURE_RULES


@pytest.fixture
def two_pipelines(tmp_path):
    """Pipelines that differ in the number of batches and in their distances."""
    workflow = Workflow.create(tmp_path / "w")
    several = RUN | {"merge_config": RUN["merge_config"] | {"iters": 4, "recompute_costs_every": 2}}
    workflow.write("config/runs/several.yaml", several)
    other = {"clustering_run_config_path": "../runs/several.yaml", "distances_methods": ["matching_dist"]}
    workflow.write("config/pipelines/other.yaml", PIPELINE | other)
    pipelines = ["config/pipelines/tiny.yaml", "config/pipelines/other.yaml"]
    workflow.write("config/config.yaml", {"pipelines": pipelines})
    return workflow


def planned(workflow: Workflow, *arguments: str) -> list[str]:
    """Return the jobs of a plan, one text each."""
    outcome = workflow.run("-n", *arguments)
    assert outcome.code == 0, outcome.output
    return re.split(r"\n(?=\s*(?:local)?rule )", outcome.output)[1:]


def of_rule(jobs: list[str], name: str) -> list[str]:
    return [job for job in jobs if re.match(rf"\s*(?:local)?rule {name}(_form_\d+)?:", job)]


def test_what_a_profile_sets_for_a_rule_applies_to_all_of_its_forms(two_pipelines):
    resources = ("precompute_batches:mem_mb=4321", "distances:mem_mb=1234")
    jobs = planned(two_pipelines, "--set-resources", *resources, "--set-threads", "distances=1")
    batches, distances = of_rule(jobs, "precompute_batches"), of_rule(jobs, "distances")
    assert (len(batches), len(distances)) == (4, 2)
    assert all("mem_mb=4321" in job for job in batches)
    assert all("mem_mb=1234" in job and "threads" not in job for job in distances)


def counts(workflow: Workflow, *arguments: str) -> dict[str, int]:
    """Return how many jobs of each rule a plan has, over all forms of the rule."""
    outcome = workflow.run("-n", "-q", "rules", *arguments)
    assert outcome.code == 0, outcome.output
    found: Counter[str] = Counter()
    for rule, count in outcome.jobs.items():
        found[re.sub(r"_form_\d+$", "", rule)] += count
    return found


def test_options_that_name_a_rule_mean_all_of_its_forms(two_pipelines):
    assert counts(two_pipelines, "--until", "distances") == {
        "precompute_batches": 4, "merge": 4, "distances": 2,
    }  # fmt: skip
    assert counts(two_pipelines, "--until", "precompute_batches") == {"precompute_batches": 4}
    without = counts(two_pipelines, "--omit-from", "distances")
    assert (without["distances"], without["summarize"], without["stability"]) == (0, 0, 2)
    assert counts(two_pipelines, "--omit-from", "precompute_batches")["merge"] == 0
    first = of_rule(planned(two_pipelines, "--prioritize", "distances"), "distances")
    assert all("priority: highest" in job for job in first), first


def test_jobs_that_others_wait_for_have_priority_over_figures(two_pipelines):
    jobs = planned(two_pipelines)
    for rule in ("precompute_batches", "merge", "groups", "distances", "stability", "explorer"):
        first = of_rule(jobs, rule)
        assert first, rule
        assert all("priority: 1" in job for job in first), rule
    for figures in FIGURE_RULES.values():
        assert not any("priority" in job for job in of_rule(jobs, figures.name)), figures.name


def test_all_forms_of_a_forced_rule_run_again(two_pipelines):
    for name in ("small", "several"):  # batches as a former run left them
        for run in (0, 1):
            (two_pipelines.folder / f"results/{name}/precomputed_batches/run_{run}").mkdir(parents=True)
    batches = [f"results/small/precomputed_batches/run_{run}/batch_0.pt" for run in (0, 1)] + [
        f"results/several/precomputed_batches/run_{run}/batch_{b}.pt" for run in (0, 1) for b in (0, 1)
    ]
    for path in batches:
        (two_pipelines.folder / path).touch()
    assert counts(two_pipelines, "--rerun-triggers", "mtime", "--", *batches) == {}
    forced = counts(
        two_pipelines, "--rerun-triggers", "mtime", "--forcerun", "precompute_batches", "--", *batches
    )
    assert forced == {"precompute_batches": 4}


@pytest.mark.parametrize("pipeline", ["tiny", "other"])
def test_rules_have_the_same_names_whatever_the_configuration(two_pipelines, pipeline):
    two_pipelines.write("config/config.yaml", {"pipelines": [f"config/pipelines/{pipeline}.yaml"]})
    outcome = two_pipelines.run("-n", "-q", "rules", "--until", "distances")
    assert outcome.code == 0, outcome.output
    assert outcome.jobs == {"precompute_batches": 2, "merge": 2, "distances": 1}


def test_python_looks_for_no_unused_objects_when_a_workflow_has_ended(two_pipelines):
    code = (
        "import atexit, gc, sys\n"
        "atexit.register(lambda: print('frozen', gc.get_freeze_count() > 100 * len(gc.get_objects())))\n"
        "from snakemake.cli import main; main(sys.argv[1:])\n"
    )
    planned = subprocess.run(
        [sys.executable, "-P", "-c", code, "-n"],
        cwd=two_pipelines.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert planned.stdout.splitlines()[-1] == "frozen True"


def test_activations_from_elsewhere_need_no_gpu(tmp_path):
    workflow = Workflow.create(tmp_path / "w")
    workflow.write("config/runs/small.yaml", RUN | {"device": "auto"})
    assert all("gpu=1" in job for job in of_rule(planned(workflow, "batches"), "precompute_batches"))
    (workflow.folder / "own").mkdir()
    np.save(workflow.folder / "own/latents.npy", np.eye(4))
    workflow.write("config/runs/small.yaml", {"precomputed_activations_dir": "own"})
    assert all("gpu=0" in job for job in of_rule(planned(workflow, "batches"), "precompute_batches"))


@pytest.mark.parametrize(
    ("target", "allowed"),
    [
        ("results/small/tiny/plots/group.png", "results/small/tiny/plots/groups.png, "),
        ("results/small/tinny/groups.json", "results/small/tiny/groups.json"),
        ("figurs", "figures)"),
    ],
)
def test_a_target_that_no_rule_makes_is_one_line_with_the_nearest_names(two_pipelines, target, allowed):
    for options in (["-n"], ["-n", "-q"], []):
        outcome = two_pipelines.run(*options, "--", target)
        assert outcome.code == 1
        assert f"Error: {target}: no rule makes this file (allowed: {allowed}" in outcome.output
        assert "MissingRule" not in outcome.output
