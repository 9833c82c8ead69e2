"""`distances_jobs`: several jobs share the distances of an ensemble, and give the bytes of one job."""

import re

import numpy as np
import pytest
from workflow import PIPELINE, Workflow

from spdclust.config.merge import MergeConfig
from spdclust.files.histories import save_merge_history
from spdclust.merge.history import MergeHistory
from spdclust.stages.distances import distances

TINY = "results/small/tiny"
TARGET = f"{TINY}/distances_matching_dist.npz"
SHARED = {"align_runs": 1, "distances_part": 3, "distances": 1}


def configure(workflow: Workflow, n_jobs: int, n_runs: int = 4, **settings: object) -> None:
    more = {"n_runs": n_runs, "distances_jobs": n_jobs}
    workflow.write("config/pipelines/tiny.yaml", PIPELINE | more | settings)


def write_history(workflow: Workflow, run: int) -> None:
    """Write a history as if it were merged; runs differ in their components."""
    rng = np.random.default_rng(run)
    pairs = np.array([rng.choice(30 - t, 2, replace=False) for t in range(20)])
    labels = [f"m:{i}" for i in rng.choice(33, 30, replace=False)]
    history = MergeHistory(labels, pairs, np.zeros(20), np.zeros(20), MergeConfig())
    save_merge_history(history, workflow.folder / f"{TINY}/runs/run_{run}/history.zip")


@pytest.fixture
def merged(tmp_path):
    workflow = Workflow.create(tmp_path / "w")
    for run in range(4):
        write_history(workflow, run)
    return workflow


def test_by_default_one_job_computes_all(merged):
    configure(merged, 1)
    assert merged.due(TARGET) == {"distances": 1}
    rules = merged.run("--list-rules").output.split()
    assert {"align_runs", "distances_part"} <= set(rules)  # names that a profile may set resources for


def test_the_plan_of_several_jobs(merged):
    configure(merged, 3)
    set_part = ["--set-resources", "distances_part:mem_mb=4321", "--set-threads", "distances_part=1"]
    outcome = merged.run("-n", "--until", "distances", *set_part, "--", TARGET)
    assert outcome.jobs == SHARED
    jobs = re.split(r"\n(?=\s*(?:local)?rule )", outcome.output)[1:]
    parts = [job for job in jobs if job.startswith("rule distances_part:")]
    assert len(parts) == 3
    assert all("mem_mb=4321" in job for job in parts)
    assert all(f"input: {TINY}/distances_merges.tmp\n" in job for job in parts), parts
    # what follows is in the group of the ensemble, the parts are not: they run side by side
    groups = outcome.output.split("Group job")[1:]
    assert [re.findall(r"rule (\w+):", group) for group in groups] == [["distances"]]


@pytest.mark.slow
def test_several_jobs_give_the_bytes_of_one(merged):
    configure(merged, 3)
    left = merged.folder / TINY / "distances_part_1_of_5.tmp"  # by a workflow that was interrupted
    left.touch()
    outcome = merged.run("--", TARGET)
    assert outcome.code == 0, outcome.output
    assert "distances_part small/tiny, part 2 of 3" in outcome.output
    assert list((merged.folder / TINY).glob("*.tmp")) == []
    whole = {method: merged.folder / f"whole_{method}.npz" for method in PIPELINE["distances_methods"]}
    distances([merged.folder / TINY / f"runs/run_{run}/history.zip" for run in range(4)], whole)
    for method, path in whole.items():
        assert (merged.folder / TINY / f"distances_{method}.npz").read_bytes() == path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("first", [1, 3])
def test_the_number_of_jobs_makes_nothing_due(merged, first):
    configure(merged, first)
    outcome = merged.run("--", TARGET)
    assert outcome.code == 0, outcome.output
    for n_jobs in (1, 3, 6):
        configure(merged, n_jobs)
        assert merged.due(TARGET) == {}
    configure(merged, 3, distances_stride=2)
    assert merged.due(TARGET) == SHARED
    configure(merged, 3, n_runs=5)
    write_history(merged, 4)
    assert merged.due(TARGET) == SHARED


@pytest.mark.slow
def test_after_a_failure_only_the_failed_part_is_computed(merged):
    configure(merged, 3)
    script = merged.folder / "workflow/scripts/stage.py"
    failing = 'if snakemake.params.get("part") == 2 and open("fails").read():\n        raise MemoryError("too big")\n    '
    script.write_text(script.read_text().replace("call_stage(snakemake)", f"{failing}call_stage(snakemake)"))
    (merged.folder / "fails").write_text("yes")
    outcome = merged.run("--keep-going", "--", TARGET)
    assert outcome.code != 0
    assert "Error in distances_part: " in outcome.output
    assert "distances_part/part_2_of_3.log" in outcome.output
    left = ["distances_merges.tmp", "distances_part_1_of_3.tmp", "distances_part_3_of_3.tmp"]
    assert sorted(path.name for path in (merged.folder / TINY).glob("*.tmp")) == left
    (merged.folder / "fails").write_text("")
    assert merged.due(TARGET) == {"distances_part": 1, "distances": 1}
    outcome = merged.run("--", TARGET)
    assert outcome.code == 0, outcome.output
    assert list((merged.folder / TINY).glob("*.tmp")) == []


@pytest.mark.slow
def test_a_damaged_part_is_named(merged):
    configure(merged, 3)
    assert merged.run("--until", "distances_part", "--", TARGET).code == 0
    part = merged.folder / TINY / "distances_part_2_of_3.tmp"
    part.write_bytes(part.read_bytes()[:-40])
    outcome = merged.run("--", TARGET)
    assert outcome.code != 0
    assert f"Error in distances: {TINY}/distances_part_2_of_3.tmp: not a readable part" in outcome.output
    assert not (merged.folder / TARGET).exists()
