"""Which batches a merge uses: the same in the workflow, in `spdclust merge` and in `spdclust reproduce`."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from spdclust import (
    ActivationBatch,
    BatchedActivations,
    ClusteringPipelineConfig,
    ClusteringRunConfig,
    InputError,
    MergeConfig,
    merge_iteration,
)
from spdclust.commands.cli import main
from spdclust.commands.comparing import read_recipe
from spdclust.commands.reproducing import check_history
from spdclust.files.batches import merged_batches
from spdclust.files.ensembles import shared_values
from spdclust.files.histories import load_merge_history
from spdclust.pipeline import cluster_analysis_pipeline

LABELS = [f"m:{i}" for i in range(8)]
LATE = "m:7"
"""Alive only in the third batch, which the configuration does not need."""

MERGE = {"iters": 4, "recompute_costs_every": 2, "activation_threshold": 0.1}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    for run in range(2):
        for number in range(3):
            dense = np.random.default_rng([run, number]).random((60, 8)) * (number == 2 or np.arange(8) < 7)
            folder = tmp_path / f"own/run_{run}"
            ActivationBatch.from_dense(dense, LABELS).save(folder / f"batch_{number}.pt")
    return tmp_path / "own"


def write_config(own: Path, **settings: object) -> Path:
    path = own.parent / "run.yaml"
    run = {"precomputed_activations_dir": str(own), "merge_config": MERGE, **settings}
    path.write_text(yaml.safe_dump(run))
    return path


def merged_by_hand(folder: Path, config: Path) -> Path:
    output = config.parent / "by_hand"
    assert main(["merge", str(folder), "--config", str(config), "--output", str(output)]) == 0
    return output / "history.zip"


def test_a_folder_with_more_batches_than_needed_is_merged_as_in_the_workflow(
    own: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = write_config(own)
    settings = yaml.safe_load(config.read_text())
    pipeline = ClusteringPipelineConfig(clustering_run_config=settings, n_runs=2)
    made = cluster_analysis_pipeline(pipeline, results=own.parent / "results")
    assert [file.name for file in sorted((made.folder.parent / "precomputed_batches/run_0").iterdir())] == [
        "batch_0.pt",
        "batch_1.pt",
    ]
    history = load_merge_history(merged_by_hand(own / "run_0", config))
    assert LATE not in history.labels
    np.testing.assert_array_equal(history.selected_pairs, made.histories[0].selected_pairs)
    np.testing.assert_array_equal(history.mdl_loss, made.histories[0].mdl_loss)
    assert "run_0: 3 batches, the configuration uses 2: merging the first 2" in caplog.text


def test_n_batches_takes_more(own: Path) -> None:
    history = load_merge_history(merged_by_hand(own / "run_0", write_config(own, n_batches=3)))
    assert LATE in history.labels


def test_fewer_batches_than_needed_are_used_in_turn_with_a_warning(
    own: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = write_config(own, n_batches=7)
    assert len(load_merge_history(merged_by_hand(own / "run_0", config)).provenance["batches"]) == 3
    assert "run_0: 3 batches, the configuration uses 7: merging them in turn" in caplog.text


def test_an_unknown_number_of_batches_is_one_line(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(own, merge_config=MERGE | {"iters": None})
    assert main(["merge", str(own / "run_0"), "--config", str(config)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"Error: {config}: n_batches: missing (allowed: 1 to 1000")
    assert said.count("\n") == 1


def test_a_history_is_reproduced_from_a_folder_that_holds_more_batches(own: Path, tmp_path: Path) -> None:
    path = merged_by_hand(own / "run_0", write_config(own))
    compared = check_history(read_recipe(path), tmp_path / "again", batches=own / "run_0")
    assert [each.line() for each in compared if not each.same_bytes] == []


def test_the_printed_recipe_of_handmade_batches_gives_the_same_history(own: Path, tmp_path: Path) -> None:
    path = merged_by_hand(own / "run_0", write_config(own))
    assert read_recipe(path).config is None
    assert main(["reproduce", str(path), "--write", str(tmp_path / "again.yaml")]) == 0
    again = tmp_path / "again"
    command = f"merge {own}/run_0 --config {again}.yaml --run 0 --base-seed 0 --output {again}"
    assert (
        command.replace(f"{own}/run_0", "BATCHES").split()[:2] == read_recipe(path).commands()[0].split()[1:3]
    )
    assert main(command.split()) == 0
    assert (again / "history.zip").read_bytes() == path.read_bytes()


def test_batches_of_several_models_are_found_again_where_their_merge_accepted_them(tmp_path: Path) -> None:
    for number, model in enumerate("ab"):
        dense = np.random.default_rng(number).random((20, 8))
        batch = ActivationBatch.from_dense(dense, LABELS, provenance={"checkpoint_digest": model * 64})
        batch.save(tmp_path / f"batch_{number}.pt")
    batches = BatchedActivations(tmp_path, allow_different_models=True)
    known = {"batches": batches.digests, "allow_different_models": True}
    history = replace(merge_iteration(batches, MergeConfig.model_validate(MERGE)), provenance=known)
    assert merged_batches(history, tmp_path).digests == batches.digests
    del known["allow_different_models"]
    with pytest.raises(InputError, match="checkpoint_digest: batches are of different models"):
        merged_batches(history, tmp_path)


def test_both_numbers_come_from_one_function() -> None:
    run = ClusteringRunConfig(precomputed_activations_dir="own", merge_config=MERGE)
    assert [run.batches_used(available=n) for n in (1, 2, 3)] == [1, 2, 2]


def test_only_what_all_records_state_is_shared():
    records = [
        {"a": 1, "b": [2], "c": 3},
        {"a": 1, "b": [2], "c": 4},
        {"a": 1, "b": [2], "c": 3},
        {"a": 1, "c": 3},
    ]
    assert shared_values(records) == {"a": 1}
    assert shared_values(records[:3]) == {"a": 1, "b": [2]}
