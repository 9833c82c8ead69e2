"""What a configuration will need, before anything runs."""

from pathlib import Path

import numpy as np
import pytest
from language import CHECKPOINT
from scipy import sparse

from spdclust.commands.cli import main
from spdclust.config.merge import MergeConfig
from spdclust.config.run import ClusteringRunConfig
from spdclust.core.errors import InputError
from spdclust.files.batches import ActivationBatch
from spdclust.merge.activations import ProcessedActivations
from spdclust.merge.loading import load_batch
from spdclust.models import load_model
from spdclust.sampling.estimate import Estimate, check_model, estimate

CHECKPOINTS = [
    "resources/resid_mlp1",
    CHECKPOINT,
    "tests/data/models/tms_5-2-idop",
    "tests/data/models/tms_5-2-globalmlp",
]


@pytest.mark.parametrize("folder", CHECKPOINTS)
def test_components_are_those_of_the_loaded_model(folder):
    model = load_model(folder, device="cpu")
    assert check_model(ClusteringRunConfig(model_path=folder)) == dict(
        sorted(model.components_per_module.items())
    )
    assert estimate(ClusteringRunConfig(model_path=folder)).n_components == model.n_components


@pytest.mark.parametrize(
    ("asked", "samples"),
    [({}, 8 * 48), ({"n_tokens": 99}, 99), ({"n_tokens_per_seq": 3}, 24), ({"dataset": {"n_ctx": 5}}, 40)],
)
def test_samples_of_language_models_are_tokens(asked, samples):
    config = ClusteringRunConfig.model_validate({"model_path": CHECKPOINT, "batch_size": 8} | asked)
    assert estimate(config).n_samples == samples


@pytest.mark.parametrize(
    ("n_samples", "n_components", "active"), [(2000, 300, 20), (500, 70_000, 40), (50, 30, 30)]
)
def test_the_size_of_a_batch_is_what_it_is_on_disk(tmp_path, n_samples, n_components, active):
    rng = np.random.default_rng(0)
    columns = np.concatenate([rng.choice(n_components, active, replace=False) for _ in range(n_samples)])
    values = rng.random(len(columns)).astype(np.float32)
    matrix = sparse.csr_array(
        (values, columns, np.arange(n_samples + 1) * active), shape=(n_samples, n_components)
    )
    ActivationBatch.from_sparse(matrix, [f"module.name:{i}" for i in range(n_components)]).save(
        tmp_path / "b.pt"
    )
    measured = (tmp_path / "b.pt").stat().st_size
    assert Estimate(n_components, n_samples, 1, 1).batch_bytes(active) == pytest.approx(
        measured, rel=0.1, abs=5000
    )


def test_what_is_not_known_is_said():
    text = "\n".join(estimate(ClusteringRunConfig(model_path="wandb:a/b/s-12345678"), 3).lines())
    assert "components: not known before the model is here" in text
    assert "3 runs × 1 batch × not known" in text


def test_components_of_a_loader_are_not_known_before_it_runs():
    config = ClusteringRunConfig(loader="my_models:load", model_path="weights.npy", n_tokens=500)
    assert estimate(config).lines() == [
        "components: not known before my_models:load has run",
        "samples: 1 run × 1 batch × 500",
    ]


def test_a_checkpoint_without_components_is_one_line(tmp_path):
    for name in ("final_config.yaml", "resid_mlp_train_config.yaml"):
        (tmp_path / name).write_bytes(Path("resources/resid_mlp1", name).read_bytes())
    (tmp_path / "model_1.pth").write_bytes(b"not torch")
    with pytest.raises(InputError, match=r"model_1\.pth: .*"):
        estimate(ClusteringRunConfig(model_path=str(tmp_path)))


def test_validate_prints_it_before_anything_runs(capsys):
    assert main(["validate", "config/pipelines/demo.yaml"]) == 0
    said = capsys.readouterr().out
    assert "resid_mlp1/demo: 8 runs" in said
    assert "components: 200" in said
    assert "samples: 8 runs × 1 batch × 4,096" in said
    assert "disk: 19.8 MB" in said
    assert "GB to sample a run" in said


@pytest.mark.parametrize("threshold", [0.01, None])
def test_the_memory_of_a_merge_has_the_whole_matrix_of_coactivations_in_it(threshold):
    n, config = 2000, MergeConfig(activation_threshold=threshold)
    acts = ProcessedActivations.from_sparse(sparse.eye_array(n), [f"m:{i}" for i in range(n)])
    measured = load_batch(acts, np.arange(n), None, config, 1).coact.narrow.nbytes
    one, many = (Estimate(k, 1, 1, 1, scalar=threshold is None) for k in (1, n))
    assert many.merging_bytes(0) - one.merging_bytes(0) == pytest.approx(measured, rel=0.02)
    run = ClusteringRunConfig(model_path="resources/resid_mlp1", merge_config=config)
    assert estimate(run).scalar == (threshold is None)


def test_validate_names_settings_that_change_nothing(tmp_path, capsys):
    file = tmp_path / "run.yaml"
    file.write_text(
        "model_path: resources/resid_mlp1\nn_tokens_per_seq: 3\nmerge_config: {between_batches: mask}\n"
    )
    assert main(["validate", str(file)]) == 0
    said = capsys.readouterr().out
    assert "note: n_tokens_per_seq: no effect on a toy model" in said
    assert "note: merge_config.between_batches: no effect" in said


@pytest.mark.parametrize("module_filter", ["layers.0.mlp", "*.mlp_in", ["layers.0.mlp_in", "*out"]])
def test_a_filter_that_matches_modules_of_the_model_is_accepted(module_filter):
    merge = MergeConfig(module_name_filter=module_filter)
    assert estimate(ClusteringRunConfig(model_path="resources/resid_mlp1", merge_config=merge))


def test_validate_compares_the_filter_with_the_modules_of_the_model(tmp_path, capsys):
    run, pipeline = tmp_path / "run.yaml", tmp_path / "first.yaml"
    run.write_text("model_path: resources/resid_mlp1\nmerge_config: {module_name_filter: [mlp_in]}\n")
    pipeline.write_text("clustering_run_config_path: run.yaml\nn_runs: 2\n")
    says = (
        f"Error: {run}: merge_config.module_name_filter: no module matches (found: mlp_in; allowed: null, or "
        "names of these modules: layers.0.mlp_in, layers.0.mlp_out)\n"
    )
    for file in (run, pipeline):
        assert main(["validate", str(file)]) == 1
        assert capsys.readouterr().err == says


def test_validate_compares_the_filter_with_the_modules_of_files(tmp_path, capsys):
    np.savez(tmp_path / "acts.npz", **{"mlp.in": np.ones((9, 3)), "attn": np.ones((9, 2))})
    run = tmp_path / "run.yaml"
    run.write_text("precomputed_activations_dir: .\nmerge_config: {module_name_filter: 'mlp.*'}\n")
    assert main(["validate", str(run)]) == 0
    run.write_text("precomputed_activations_dir: .\nmerge_config: {module_name_filter: 'mlp.out'}\n")
    assert main(["validate", str(run)]) == 1
    assert (
        f"{run}: merge_config.module_name_filter: no module matches (found: mlp.out; allowed: null, or "
        in (capsys.readouterr().err)
    )


def test_errors_of_a_model_name_the_run_file_first(tmp_path, capsys):
    run = tmp_path / "run.yaml"
    run.write_text("model_path: nowhere\n")
    for command in (["validate", str(run)], ["run", "--config", str(run), "--output", str(tmp_path / "out")]):
        assert main(command) == 1
        line = capsys.readouterr().err
        assert line.startswith(f"Error: {run}: model_path: ")
        assert "nowhere: no such file or folder (allowed: " in line


def test_no_component_alive_names_the_file_of_its_settings(tmp_path, capsys):
    run, output = tmp_path / "run.yaml", tmp_path / "out"
    run.write_text(
        "model_path: resources/resid_mlp1\nbatch_size: 8\ndevice: cpu\n"
        "merge_config: {filter_dead_threshold: 2}\n"
    )
    assert main(["run", "--config", str(run), "--output", str(output)]) == 1
    assert f"Error: {run}: filter_dead_threshold: no component is alive (found: " in capsys.readouterr().err
