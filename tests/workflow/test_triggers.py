"""What makes Snakemake run a finished job again: contents, not modification times of the program."""

import os
import re

import pytest
from workflow import REPOSITORY

SUMMARY = "results/small/tiny/summary.json"
FIGURE = "results/small/tiny/plots/distances_matching_dist.png"


def scripts(workflow):
    return sorted((workflow.folder / "workflow/scripts").glob("*.py"))


@pytest.mark.parametrize("profile", [[], ["--profile", "profiles/local"]])
def test_a_fresh_clone_over_old_results_runs_nothing_again(copied, profile):
    for script in scripts(copied):
        os.utime(script)
    for script in scripts(copied)[::2]:
        script.write_text("# A remark that changes nothing.\n" + script.read_text())
    outcome = copied.run("-n", "-q", "rules", *profile, "--", SUMMARY, FIGURE)
    assert outcome.code == 0, outcome.output
    assert outcome.jobs == {}


def test_the_number_of_cores_makes_nothing_due(copied):
    outcome = copied.run("-n", "-q", "rules", "--", SUMMARY, FIGURE, cores=1)
    assert (outcome.code, outcome.jobs) == (0, {}), outcome.output


@pytest.mark.parametrize(
    ("script", "rerun"),
    [
        ("figures", {"plot_distances": 1}),
        # the one of all stages that need nothing special, sampling among them
        (
            "stage",
            {
                "precompute_batches": 2,
                "merge": 2,
                "distances": 1,
                "groups": 1,
                "stability": 1,
                "summarize": 1,
                "plot_distances": 1,
            },
        ),
        # the summary reports the groups, whose support comes from the merges
        (
            "merge",
            {"merge": 2, "distances": 1, "groups": 1, "stability": 1, "summarize": 1, "plot_distances": 1},
        ),
    ],
)
def test_an_edited_script_runs_its_rule_again(copied, script, rerun):
    path = copied.folder / f"workflow/scripts/{script}.py"
    path.write_text(path.read_text() + "\nprint('edited')\n")
    assert copied.due(SUMMARY, FIGURE) == rerun


def test_every_rule_has_the_fingerprint_of_its_own_script():
    for rules in (REPOSITORY / "rules").glob("*.smk"):
        for rule in re.split(r"\n *rule\b", rules.read_text())[1:]:
            if "script:" not in rule:
                continue
            script = rule.split("workflow/scripts/")[1].split(".py")[0]
            if script == "stage":
                assert rule.count("**stage_params(") == 1, rules.name
                assert "code=" not in rule, rules.name
                continue
            stage, named = re.search(r'stage_fingerprint\(\s*"([\w:]+)"(?:,\s*"(\w+)")?', rule).groups()
            assert (named or stage) == script, rules.name
