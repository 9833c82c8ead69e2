"""Which runs one job samples, and the names that jobs find their rule by."""

from collections import Counter
from itertools import chain, product

import numpy as np
import pytest

from spdclust.execution.batch_jobs import (
    BatchesForm,
    divide_runs,
    forms_of_job,
    merged_runs,
    rule_and_runs,
    runs_asked_for,
    sampled_runs,
)


@pytest.mark.parametrize(("kept", "at_most"), list(product([True, False], [None, 1, 3])))
def test_each_run_is_in_one_job_and_no_job_touches_old_runs_for_new_ones(kept, at_most):
    rng = np.random.default_rng(0)
    for _ in range(300):
        n_runs = int(rng.integers(1, 12))
        sampled, merged, asked = ({r for r in range(n_runs) if rng.random() < rng.random()} for _ in range(3))
        jobs = divide_runs(
            n_runs, at_most, keep_batches=kept, sampled=sampled, merged=merged, requested=asked
        )
        assert Counter(chain(*jobs)) == Counter(range(n_runs))
        assert max(map(len, jobs)) <= (at_most or n_runs)
        for runs in map(set, jobs):
            assert runs <= asked or not runs & asked
            if not runs <= sampled:  # the job runs, so that its merges do
                assert not runs & sampled & merged
                assert not kept or runs <= merged or not runs & merged


@pytest.mark.parametrize(
    ("files", "jobs"),
    [
        ({}, [range(8)]),
        # grown, and grown again while nothing was merged yet
        ({"sampled": range(4), "merged": range(4)}, [range(4), range(4, 8)]),
        ({"sampled": range(4)}, [range(8)]),
        # killed while sampling, and while merging
        ({"sampled": range(6), "merged": range(4)}, [range(4), range(4, 8)]),
        ({"sampled": range(8), "merged": [0, 1, 5]}, [range(8)]),
        # temporary batches are gone: the groups need those of the old runs as well
        ({"merged": range(8), "keep_batches": False}, [range(8)]),
        ({"merged": range(4), "keep_batches": False}, [range(8)]),
        ({"merged": range(4), "keep_batches": False, "requested": range(4, 8)}, [range(4), range(4, 8)]),
        # someone has deleted them
        ({"merged": range(4)}, [range(4), range(4, 8)]),
        ({"sampled": {0, 1, 3}, "merged": range(4)}, [range(2), range(2, 3), range(3, 4), range(4, 8)]),
        # a single file
        ({"requested": [3]}, [range(3), range(3, 4), range(4, 8)]),
    ],
)
def test_runs_are_divided_by_the_files_that_exist(files, jobs):
    assert divide_runs(8, None, **files) == jobs


def test_a_job_finds_its_form_by_the_name_in_its_arguments():
    forms = [
        BatchesForm(runs, n_batches, kept)
        for runs, n_batches, kept in product([range(3, 4), range(10), range(9, 12)], [1, 7], [True, False])
    ]
    names = [f"x_precompute_batches_{form.suffix}" for form in forms]
    assert len(set(names)) == len(forms)
    for form, name in zip(forms, names, strict=True):
        assert rule_and_runs(name) == ("x_precompute_batches", form.runs)
        words = ["--target-jobs", f"{name}:run_config=a", f"{name}:run_config=b", "--allowed-rules", name]
        assert forms_of_job(words) == {form: ["a", "b"]}
    # of a module statement that renames the rule
    assert list(forms_of_job(["x_runs_0_to_9:run_config=a"])) == [BatchesForm(range(10), 1, True)]
    others = [
        "precompute_batches:run_config=a,run=3",
        "precompute_batches_form_2:run_config=a,run=3",
        "merge:run=1",
    ]
    assert forms_of_job(others) == {}


def test_files_tell_which_runs_exist(tmp_path):
    for run, batch in [(0, 0), (0, 1), (1, 0), (2, 1)]:
        path = tmp_path / f"precomputed_batches/run_{run}/batch_{batch}.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert (sampled_runs(tmp_path, 4, 1), sampled_runs(tmp_path, 4, 2)) == ({0, 1}, {0})
    for ensemble, run in [("demo", 1), ("sweep-alpha~1", 3), ("sweep-alpha~1", 7)]:
        (tmp_path / ensemble / f"runs/run_{run}").mkdir(parents=True)
        (tmp_path / ensemble / f"runs/run_{run}/history.zip").touch()
    (tmp_path / "demo/runs/run_0").mkdir()
    (tmp_path / "a_file").touch()
    assert merged_runs(tmp_path, 4) == {1, 3}


@pytest.mark.parametrize(
    ("word", "runs"),
    [
        ("results/mlp/demo/explorer.html", {0, 1, 2}),
        ("./results/mlp/demo/plots/merge_tree_run_1.png", {1}),
        ("results/mlp/demo/cluster_mapping_run_12_least_mdl.json", {12}),
        ("results/mlp/demo/runs/run_2/history.zip", {2}),
        ("results/mlp/sweep/sweep.json", set()),
        ("results/mlp2/demo/explorer.html", set()),
        ("results/mlp", set()),
        ("batches", set()),
        ("", set()),
    ],
)
def test_files_on_the_command_line_name_runs(word, runs):
    assert runs_asked_for(["-n", word], "results/mlp", {"demo": 3}) == runs
