"""Histories and batches of different checkpoints: rejected everywhere, accepted by one name everywhere."""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spdclust import (
    ActivationBatch,
    BatchedActivations,
    InputError,
    MergeConfig,
    MergeHistory,
    MergeHistoryEnsemble,
    find_groups,
    load_merge_histories,
    merge_iteration,
    normalize_ensemble,
    save_merge_history,
)
from spdclust.commands.cli import main
from spdclust.commands.comparing import read_recipe
from spdclust.commands.reproducing import check_history
from spdclust.config.pipeline import ClusteringPipelineConfig
from spdclust.config.run import ClusteringRunConfig
from spdclust.core.provenance import git_state
from spdclust.example_ensemble import example_activations, example_history
from spdclust.files.histories import load_merge_history
from spdclust.pipeline import cluster_analysis_pipeline

MODELS = ("a" * 64, "b" * 64)
ONE_LINE = r"checkpoint_digest: (runs|batches) are of different models \(found: a{12} in .*, b{12} in .*; allowed: one checkpoint, or allow_different_models: true\)"
FOUND = "are of different models (found: aaaaaaaaaaaa in "


def histories(models: tuple[str, ...] = MODELS) -> list[MergeHistory]:
    return [
        replace(example_history(run), provenance={"checkpoint_digest": model})
        for run, model in enumerate(models)
    ]


def write_batch(path: Path, run: int, model: str) -> Path:
    acts = example_activations(run)
    ActivationBatch(acts, provenance={"checkpoint_digest": model}).save(path)
    return path


def two_batches(folder: Path) -> Path:
    for number, model in enumerate(MODELS):
        write_batch(folder / f"batch_{number}.pt", number, model)
    return folder


def write_ensemble(folder: Path, runs: list[MergeHistory]) -> Path:
    for run, history in enumerate(runs):
        save_merge_history(history, folder / f"runs/run_{run}/history.zip")
    return folder


ACCEPTED_ONLY_WITH_THE_ARGUMENT: dict[str, Callable[..., object]] = {
    "normalize_ensemble": lambda folder, **given: normalize_ensemble(histories(), **given),
    "MergeHistoryEnsemble": lambda folder, **given: MergeHistoryEnsemble(histories(), **given),
    "find_groups": lambda folder, **given: find_groups(histories(), **given),
    "find_groups, batches of the other model": lambda folder, **given: find_groups(
        histories((MODELS[0],) * 2),
        [write_batch(folder / f"{r}/batch_0.pt", r, model) for r, model in enumerate(MODELS)],
        n_null=0,
        **given,
    ),
    "load_merge_histories": lambda folder, **given: load_merge_histories(
        write_ensemble(folder, histories()), **given
    ),
    "a merge of several batches": lambda folder, **given: merge_iteration(
        BatchedActivations(two_batches(folder), **given), MergeConfig(iters=4, recompute_costs_every=2)
    ),
    "batches one after the other": lambda folder, **given: [
        source.get_next_batch() for source in [BatchedActivations(two_batches(folder), **given)] for _ in "ab"
    ],
}  # fmt: skip


@pytest.mark.parametrize("case", ACCEPTED_ONLY_WITH_THE_ARGUMENT)
def test_different_models_are_one_line_unless_the_caller_insists(case: str, tmp_path: Path) -> None:
    call = ACCEPTED_ONLY_WITH_THE_ARGUMENT[case]
    with pytest.raises(InputError, match=ONE_LINE) as raised:
        call(tmp_path)
    assert "\n" not in str(raised.value)
    call(tmp_path, allow_different_models=True)


def test_batches_in_different_folders_are_told_apart(tmp_path: Path) -> None:
    files = [write_batch(tmp_path / model[0] / "batch_0.pt", 0, model) for model in MODELS]
    with pytest.raises(InputError, match=ONE_LINE):
        BatchedActivations(files).component_stats()


def test_runs_of_one_name_are_still_compared() -> None:
    with pytest.raises(InputError, match=ONE_LINE):
        MergeHistoryEnsemble(histories(), run_names=["same", "same"])


def test_one_model_and_unknown_models_are_accepted(tmp_path: Path) -> None:
    unknown = replace(example_history(1), provenance={"checkpoint_digest": ""})
    assert normalize_ensemble([histories()[0], unknown, histories((MODELS[0],))[0]]).n_runs == 3


@pytest.mark.parametrize(
    "command", ["distances", "stability", "groups", "mapping", "explorer", "merge-array"]
)
def test_every_command_on_an_ensemble_names_its_folder(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_ensemble(tmp_path / "of/two_models", histories())
    more = {"distances": ["--method", "jaccard_dist"], "mapping": ["--model", "m"]}.get(command, [])
    assert main([command, str(folder), *more]) == 1
    assert capsys.readouterr().err.startswith(f"Error: {folder}: checkpoint_digest: runs {FOUND}")


def test_imported_histories_keep_the_consent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(tmp_path / f"{run}.zip") for run in range(2)]
    for file, history in zip(files, histories(), strict=True):
        save_merge_history(history, file)
    taken = ["import", *files, "--output", str(tmp_path / "imported/two")]
    assert main(taken) == 1
    assert f"checkpoint_digest: runs {FOUND}" in capsys.readouterr().err
    assert main([*taken, "--allow-different-models"]) == 0
    assert main(["distances", str(tmp_path / "imported/two"), "--method", "jaccard_dist"]) == 0
    # a further run without consent is rejected again
    third = tmp_path / "imported/two/runs/run_2/history.zip"
    save_merge_history(histories()[1], third)
    assert main(["distances", str(tmp_path / "imported/two"), "--method", "jaccard_dist"]) == 1


def pipeline_over(folder: Path, *, per_run: bool, **settings: object) -> ClusteringPipelineConfig:
    """Batches of two models: one in each run, or both in every run."""
    for number, model in enumerate(MODELS):
        if per_run:
            write_batch(folder / f"run_{number}/batch_0.pt", number, model)
        else:
            for run in range(2):
                write_batch(folder / f"run_{run}/batch_{number}.pt", number + 2 * run, model)
    merge = MergeConfig(iters=4, recompute_costs_every=1 if per_run else 2, activation_threshold=0.1)
    run = ClusteringRunConfig(precomputed_activations_dir=str(folder), merge_config=merge, **settings)
    return ClusteringPipelineConfig(clustering_run_config=run, n_runs=2)


@pytest.mark.parametrize("per_run", [True, False])
def test_the_setting_of_the_run_file_reaches_every_stage(per_run: bool, tmp_path: Path) -> None:
    own = tmp_path / "own"
    with pytest.raises(InputError, match=ONE_LINE):
        cluster_analysis_pipeline(pipeline_over(own, per_run=per_run), results=tmp_path / "without")
    insisted = pipeline_over(own, per_run=per_run, allow_different_models=True)
    made = cluster_analysis_pipeline(insisted, results=tmp_path / "with")
    provenance = made.histories[0].provenance
    assert provenance["allow_different_models"] is True
    if per_run:
        assert provenance["checkpoint_digest"] == MODELS[0]
    else:
        assert "checkpoint_digest" not in provenance
        assert provenance["checkpoint_digests"] == list(MODELS)
    # the commands need no further consent, and what is reproduced is the same
    for command in (["groups", "--again"], ["stability"], ["explorer"]):
        assert main([command[0], str(made.folder), *command[1:]]) == 0
    compared = check_history(read_recipe(made.folder / "runs/run_1/history.zip"), tmp_path / "again")
    assert [each.line() for each in compared if not each.same_bytes] == []
    shutil.rmtree(own)
    assert json.loads((made.folder / "clustering_run_config.json").read_text())["allow_different_models"]


def test_ordinary_histories_record_nothing_new(tmp_path: Path) -> None:
    one = write_batch(tmp_path / "run_0/batch_0.pt", 0, MODELS[0])
    config = tmp_path / "run.yaml"
    config.write_text("{precomputed_activations_dir: x, merge_config: {iters: 3}}")
    assert main(["merge", str(one.parent), "--config", str(config), "--output", str(tmp_path)]) == 0
    provenance = load_merge_history(tmp_path / "history.zip").provenance
    assert not {"allow_different_models", "checkpoint_digests"} & set(provenance)


@pytest.mark.parametrize("strange", [3, ["a"], {"a": 1}, None])
def test_digests_of_strange_types_are_unknown(strange: object) -> None:
    runs = [
        replace(example_history(r), provenance={"checkpoint_digest": strange, "checkpoint_digests": strange})
        for r in range(2)
    ]
    assert len(MergeHistoryEnsemble(runs)) == 2
    np.testing.assert_array_equal(runs[0].selected_pairs, example_history(0).selected_pairs)


def test_git_state_tells_changed_files_and_passes_over_new_ones(tmp_path):
    assert git_state(tmp_path) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.email=a@b", "-c", "user.name=a"]
    (tmp_path / "known").write_text("")
    for command in (["init", "-q"], ["add", "known"], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *command], check=True)
    (tmp_path / "new").write_text("results of a workflow that has begun")
    assert git_state(tmp_path)["dirty"] is False
    (tmp_path / "known").write_text("changed")
    state = git_state(tmp_path)
    assert state["dirty"] is True
    assert len(state["commit"]) == 40
