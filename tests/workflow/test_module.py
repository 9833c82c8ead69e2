"""The workflow as a module of another one, as docs/workflow.md shows it."""

import os
import re

import pytest
from workflow import PIPELINE, REPOSITORY, RUN, Outcome, Workflow, snakemake


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
    return snakemake(folder, dict(os.environ), ["--cores", "2", *arguments])


def test_its_rules_carry_the_prefix_and_nothing_is_warned_of(other):
    outcome = run(other, "-n", "-q", "rules")
    assert outcome.code == 0, outcome.output
    assert outcome.jobs["spd_merge"] == 2
    assert outcome.jobs["count_groups"] == 1
    assert not re.search("warn|localrule", outcome.output, re.IGNORECASE), outcome.output


def write_several(folder, use: str) -> None:
    """Write a workflow that uses two ensembles, which differ in the number of batches and in their distances."""
    several = RUN | {"merge_config": RUN["merge_config"] | {"iters": 4, "recompute_costs_every": 2}}
    project = Workflow(folder)
    project.write(
        "config/runs/several.yaml", several | {"model_path": str(REPOSITORY / "resources/resid_mlp1")}
    )
    more = {"clustering_run_config_path": "../runs/several.yaml", "distances_methods": ["matching_dist"]}
    project.write("config/pipelines/other.yaml", PIPELINE | more)
    pipelines = ["config/pipelines/tiny.yaml", "config/pipelines/other.yaml"]
    module = f'module spd:\n    snakefile: "{REPOSITORY}/Snakefile"\n    config: {{"pipelines": {pipelines}}}\n\n{use}\n'
    (folder / "several.smk").write_text(module)


@pytest.mark.parametrize(
    ("use", "found", "left_out"),
    [
        (
            "use rule * from spd as x_*",
            ["x_precompute_batches", "x_distances_form_2", "x_distances_part"],
            [],
        ),
        pytest.param(
            "use rule precompute_batches, merge from spd as x_*",
            ["x_precompute_batches_form_2"],
            ["x_distances"],
            marks=pytest.mark.slow,
        ),
        ("use rule precompute_batches from spd as x", ["x", "x_form_2"], ["precompute_batches"]),
        pytest.param(
            "use rule precompute_batches from spd",
            ["precompute_batches", "precompute_batches_form_2"],
            ["merge"],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "use rule * from spd exclude distances as x_*",
            ["x_merge"],
            ["x_distances", "x_distances_form_2"],
            marks=pytest.mark.slow,
        ),
        (
            "use rule * from spd\nuse rule precompute_batches from spd with:\n    threads: 3",
            ["precompute_batches", "precompute_batches_form_2"],
            [],
        ),
    ],
)
def test_a_rule_is_used_in_all_of_its_forms(other, use, found, left_out):
    write_several(other, use)
    outcome = run(other, "-s", "several.smk", "--list-rules")
    assert outcome.code == 0, outcome.output
    names = outcome.output.split()
    assert [name for name in found if name not in names] == []
    assert [name for name in left_out if name in names] == []


def test_options_reach_all_forms_of_a_renamed_rule(other):
    write_several(other, "use rule * from spd as x_*")
    outcome = run(
        other, "-s", "several.smk", "-n", "--set-resources", "x_precompute_batches:mem_mb=4321",
        "--until", "x_precompute_batches", "--", "x_batches",
    )  # fmt: skip
    assert outcome.code == 0, outcome.output
    jobs = re.split(r"\n(?=rule )", outcome.output)[1:]
    assert len(jobs) == 4, outcome.output
    assert all("mem_mb=4321" in job for job in jobs), outcome.output


@pytest.mark.slow  # test_workflow.py makes a report, too
def test_results_and_the_report_are_made_for_the_other_workflow(other):
    outcome = run(other, "--", "groups.txt", "results/report.html")
    assert outcome.code == 0, outcome.output
    assert int((other / "groups.txt").read_text()) > 0
    assert "marked least value" in (other / "results/report.html").read_text()
