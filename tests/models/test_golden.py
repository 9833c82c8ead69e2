"""Loaded checkpoints give the numbers of the reference implementation."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from spdclust.models import load_model

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests/data/models"
ORACLE = ROOT / "../shared/oracle"

GOLDEN = {
    "tms_5-2": DATA / "tms_5-2",
    "tms_5-2-idop": DATA / "tms_5-2-idop",
    "tms_5-2-globalmlp": DATA / "tms_5-2-globalmlp",
    "resid_mlp1": ROOT / "resources/resid_mlp1",
}
CHECKPOINTS = [
    "tms_5-2-shared",
    "tms_5-2-idop-shared",
    "tms_40-10-shared",
    "tms_5-2-globalmlp-shared",
    "resid_mlp1-shared",
    "resid_mlp2-shared",
    "lm_llama2L-shared",
    "lm_llama2L-globaltf-shared",
]

needs_oracle = pytest.mark.skipif(not ORACLE.is_dir(), reason="the oracle folder is not there")


@pytest.fixture(params=GOLDEN)
def golden(request):
    with np.load(DATA / request.param / "golden.npz") as arrays:
        return load_model(GOLDEN[request.param], device="cpu"), dict(arrays)


@pytest.mark.parametrize("kind", ["lower", "upper"])
def test_causal_importances_equal_the_stored_ones(golden, kind):
    model, expected = golden
    found = model.component_activations(expected["inputs"], f"{kind}_leaky")
    assert {f"{name}|{kind}" for name in found} == {key for key in expected if key.endswith(f"|{kind}")}
    for name, importances in found.items():
        np.testing.assert_allclose(importances.numpy(), expected[f"{name}|{kind}"], atol=1e-5, rtol=0)
        assert not importances.requires_grad


def test_golden_importances_are_not_all_zero_and_leak_above_one(golden):
    _, expected = golden
    upper = np.concatenate([expected[key].ravel() for key in expected if key.endswith("|upper")])
    assert (upper > 0.1).mean() > 0.01
    assert upper.max() > 1


def test_target_output_equals_the_stored_one(golden):
    model, expected = golden
    np.testing.assert_allclose(
        model.target_output(expected["inputs"]).numpy(), expected["output"], atol=1e-5, rtol=0
    )


def test_labels_follow_the_forward_pass_where_an_identity_runs_before_its_module():
    model = load_model(GOLDEN["tms_5-2-idop"], device="cpu")
    assert model.module_names == ["linear1", "linear2.pre_identity", "linear2"]
    assert model.components_per_module == {"linear1": 16, "linear2.pre_identity": 12, "linear2": 16}
    assert model.labels[15:18] == ["linear1:15", "linear2.pre_identity:0", "linear2.pre_identity:1"]
    assert len(set(model.labels)) == model.n_components == 44


def test_chunks_put_together_are_the_whole_whatever_their_size(golden):
    model, expected = golden
    whole = np.concatenate(
        [each.numpy() for each in model.component_activations(expected["inputs"]).values()], axis=1
    )
    for batch_size in (1, 5, 16, 100):
        chunks = list(model.activation_chunks(expected["inputs"], batch_size))
        assert [len(chunk) for chunk in chunks[:-1]] == [batch_size] * (len(chunks) - 1)
        together = np.concatenate(chunks)
        assert together.dtype == np.float32
        assert together.shape == (16, model.n_components)
        np.testing.assert_allclose(together, whole, atol=2e-6, rtol=0)


def test_loading_draws_no_random_numbers(golden):
    before = torch.get_rng_state()
    load_model(GOLDEN["tms_5-2-idop"], device="cpu")
    assert torch.equal(before, torch.get_rng_state())


def test_digest_is_of_the_weights_followed_by_the_configuration():
    folder = GOLDEN["tms_5-2"]
    both = (folder / "model_8000.pth").read_bytes() + (folder / "final_config.yaml").read_bytes()
    model = load_model(folder, device="cpu")
    assert model.digest == hashlib.sha256(both).hexdigest()
    assert model.source == "tms_5-2/model_8000.pth"
    assert load_model(folder / "model_8000.pth", device="cpu").digest == model.digest


def test_task_says_how_inputs_are_made():
    tms, resid = (load_model(GOLDEN[name], device="cpu").task for name in ("tms_5-2", "resid_mlp1"))
    assert (tms.name, tms.n_features, tms.feature_probability) == ("tms", 5, 0.05)
    assert (resid.name, resid.n_features, resid.feature_probability) == ("resid_mlp", 100, 0.01)
    assert tms.data_generation_type == "at_least_zero_active"
    assert tms.synced_inputs is None


@needs_oracle
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_every_checkpoint_of_the_oracle_is_reproduced(name):
    folder = ORACLE / name
    model = load_model(folder / "run", device="cpu")
    summary = json.loads((folder / "summary.json").read_text())
    assert model.module_names == summary["module_order"]
    assert model.components_per_module == summary["C"]
    inputs = np.load(folder / "inputs.npz")["inputs"]
    with np.load(folder / "activations.npz") as expected:
        for kind in ("lower", "upper"):
            for module, importances in model.component_activations(inputs, f"{kind}_leaky").items():
                np.testing.assert_allclose(
                    importances.numpy(), expected[f"{module}|{kind}"], atol=1e-5, rtol=0
                )
    output = np.load(folder / "target_output.npz")["output"]
    # logits of the language models are up to 20 large: float32 leaves 2e-5
    scale = max(1.0, float(np.abs(output).max()))
    found = model.target_output(inputs[: len(output)]).numpy()
    np.testing.assert_allclose(found, output, atol=1e-5 * scale, rtol=0)


@needs_oracle
def test_positions_of_sequences_become_samples_in_row_major_order():
    folder = ORACLE / "lm_llama2L-shared"
    model = load_model(folder / "run", device="cpu")
    inputs = np.load(folder / "inputs.npz")["inputs"][:3]
    rows = np.concatenate(list(model.activation_chunks(inputs, batch_size=2)))
    assert rows.shape == (3 * 48, model.n_components)
    module = model.module_names[1]
    first = model.labels.index(f"{module}:0")
    with np.load(folder / "activations.npz") as expected:
        np.testing.assert_allclose(
            rows[48 + 7, first : first + 80], expected[f"{module}|lower"][1, 7], atol=1e-5, rtol=0
        )
