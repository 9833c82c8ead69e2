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
from spdclust.models.checkpoint import count_components, resolve_checkpoint
from spdclust.sampling.estimate import Estimate, estimate

CHECKPOINTS = [
    "resources/resid_mlp1",
    CHECKPOINT,
    "tests/data/models/tms_5-2-idop",
    "tests/data/models/tms_5-2-globalmlp",
]


@pytest.mark.parametrize("folder", CHECKPOINTS)
def test_components_are_those_of_the_loaded_model(folder):
    model = load_model(folder, device="cpu")
    counts = count_components(resolve_checkpoint(folder))
    assert counts == {name.replace(".", "-"): n for name, n in sorted(model.components_per_module.items())}
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
