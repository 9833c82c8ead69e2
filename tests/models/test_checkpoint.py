"""Files of a checkpoint: found, refused with one line, never executed; old keys still read."""

import contextlib
import logging
import pickle
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from new_interpreter import imported_by

from spdclust.core.errors import InputError
from spdclust.models import load_model
from spdclust.models.checkpoint import check_components, read_shapes, read_state_dict, resolve_checkpoint
from spdclust.models.config import _modernised, read_config

DATA = Path(__file__).parents[1] / "data/models"


@pytest.fixture
def run(tmp_path):
    """A run folder of its own, to break."""
    folder = tmp_path / "run"
    shutil.copytree(DATA / "tms_5-2", folder)
    return folder


def weights(run):
    return run / "model_8000.pth"


def change_config(run, **changes):
    file = run / "final_config.yaml"
    config = yaml.safe_load(file.read_text()) | changes
    file.write_text(yaml.safe_dump({key: value for key, value in config.items() if value != "DROP"}))


def change_state(run, change):
    state = torch.load(weights(run), weights_only=True)
    torch.save(change(dict(state)), weights(run))


def refusal(path, **options):
    with pytest.raises(InputError) as error:
        load_model(path, **{"device": "cpu"} | options)
    line = str(error.value)
    assert "\n" not in line
    return line


def same_numbers(run):
    """Check that a changed run folder still gives the golden numbers."""
    model = load_model(run, device="cpu")
    with np.load(DATA / "tms_5-2/golden.npz") as golden:
        for module, importances in model.component_activations(golden["inputs"], "upper_leaky").items():
            np.testing.assert_allclose(importances.numpy(), golden[f"{module}|upper"], atol=1e-5, rtol=0)
        np.testing.assert_allclose(model.target_output(golden["inputs"]), golden["output"], atol=1e-5)
    return model


# what is found


def test_a_folder_and_its_file_mean_the_same(run):
    assert resolve_checkpoint(run) == resolve_checkpoint(str(weights(run)))


def test_of_several_steps_the_largest_number_is_taken_and_said(run, caplog):
    for step in (900, 10000):
        shutil.copy(weights(run), run / f"model_{step}.pth")
    (run / "model_best.pth").write_bytes(b"not a step")
    with caplog.at_level(logging.WARNING):
        assert resolve_checkpoint(run).weights.name == "model_10000.pth"
    assert "3 checkpoints; taking the last, model_10000.pth" in caplog.text


def test_importing_and_resolving_do_not_import_torch():
    code = (
        "import spdclust.models, spdclust.sampling\n"
        "from spdclust.models.checkpoint import read_state_dict, resolve_checkpoint\n"
        f"resolve_checkpoint({str(DATA / 'tms_5-2')!r}).config"
    )
    assert not {"torch", "scipy"} & imported_by(code)


# what is refused


def test_missing_path_is_named_with_what_is_allowed(tmp_path):
    line = refusal(tmp_path / "nowhere")
    assert line.startswith(
        f"{tmp_path / 'nowhere'}: model_path: no such file or folder (allowed: a run folder"
    )


def test_folder_without_checkpoint_is_refused(tmp_path):
    assert "no model_<step>.pth in the folder" in refusal(tmp_path)


def test_missing_configuration_is_refused(run):
    (run / "final_config.yaml").unlink()
    assert "final_config.yaml: file is missing next to the checkpoint" in refusal(run)


def test_unknown_type_of_model_file_is_refused(run):
    other = run / "model.safetensors"
    other.write_bytes(b"")
    line = refusal(other)
    assert "unknown type of model file (found: .safetensors; allowed: a run folder" in line


@pytest.mark.parametrize("kept", [0, 10, 3000, -200])
def test_truncated_weights_are_refused(run, kept):
    weights(run).write_bytes(weights(run).read_bytes()[:kept])
    assert refusal(run).startswith(f"{weights(run)}: ")


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), min_size=1, max_size=8), st.booleans())
def test_damaged_weights_are_read_or_refused_and_nothing_else(damage, legacy):
    state = torch.load(DATA / "tms_5-2/model_8000.pth", weights_only=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model_1.pth"
        torch.save(state, file, _use_new_zipfile_serialization=not legacy)
        content = bytearray(file.read_bytes())
        for where, byte in damage:
            content[where] = byte
        file.write_bytes(content)
        with contextlib.suppress(InputError):
            read_state_dict(file)


def test_code_in_a_pickle_is_never_executed(run, tmp_path):
    trace = tmp_path / "executed"

    class Malicious:
        def __reduce__(self):
            return (Path.touch, (trace,))

    for write in (
        lambda: weights(run).write_bytes(pickle.dumps(Malicious())),
        lambda: torch.save(Malicious(), weights(run)),
    ):
        write()
        assert "not a readable state dict; nothing in it was executed" in refusal(run)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([torch.zeros(2)], "not a state dict (found: list;"),
        ({"model": {"weight": torch.zeros(2)}}, "model: not a state dict (found: dict;"),
        ({3: torch.zeros(2)}, "3: not a state dict"),
        (torch.zeros(2), "not a state dict (found: Tensor;"),
        ({"weight": torch.zeros(2), "note": "text"}, "note: not a state dict (found: str;"),
        ({"weight": torch.eye(2).to_sparse()}, "weight: not a plain tensor (found: torch.sparse_coo, "),
        (
            {"weight": torch.zeros(2) + 1j},
            "weight: not a plain tensor (found: torch.strided, torch.complex64;",
        ),
    ],
)
def test_what_is_not_names_and_tensors_is_refused(run, content, says):
    torch.save(content, weights(run))
    assert says in refusal(run)
    with pytest.raises(InputError) as error:
        read_shapes(resolve_checkpoint(run))
    assert says in str(error.value)


def test_configuration_that_is_not_a_mapping_is_refused(run):
    (run / "final_config.yaml").write_text("- a\n- b\n")
    assert "final_config.yaml: " in refusal(run)


def test_configuration_of_something_else_is_refused(run):
    (run / "final_config.yaml").write_text("n_runs: 3\n")
    assert "module_info: key is missing: not the configuration of a decomposition run" in refusal(run)


def test_components_that_do_not_fit_are_named_with_both_shapes(run):
    change_config(run, module_info=[{"module_pattern": f"linear{i}", "C": 21} for i in (1, 2)])
    line = refusal(run)
    assert line == (
        f"{weights(run)}: _components.linear1.V: shape does not match the configuration "
        "(found: (5, 20); allowed: (5, 21))"
    )


@pytest.mark.parametrize(
    "name", ["target_model.linear1.weight", "_components.linear1.V", "_ci_fns.linear1.layers.0.W"]
)
@pytest.mark.parametrize("kind", [torch.int32, torch.bool])
def test_weights_that_are_no_real_numbers_are_named(run, name, kind):
    state = torch.load(weights(run), weights_only=True)
    torch.save(state | {name: state[name].to(kind)}, weights(run))
    assert refusal(run) == (
        f"{weights(run)}: {name}: not a tensor of weights (found: {kind}; allowed: a floating-point type)"
    )


def test_target_that_does_not_fit_is_named_with_both_shapes(run):
    (run / "tms_train_config.yaml").write_text("{n_features: 6, n_hidden: 2}")
    line = refusal(run)
    assert "target_model.linear1.weight: shape does not match" in line
    assert "(found: (2, 5); allowed: (2, 6))" in line


def test_causal_importance_sizes_that_do_not_fit_are_named(run):
    change_config(run, ci_fn_hidden_dims=[8])
    assert "_ci_fns.linear1.layers.0.W: shape does not match" in refusal(run)


def test_missing_tensor_is_named(run):
    change_state(run, lambda state: {k: v for k, v in state.items() if k != "_components.linear2.U"})
    assert "_components.linear2.U: tensor is missing (allowed: shape (20, 5))" in refusal(run)


def test_tensor_too_many_is_named(run):
    change_state(run, lambda state: state | {"_components.linear3.U": torch.zeros(2, 3)})
    assert (
        "_components.linear3.U: tensor that the configuration does not have (found: shape (2, 3))"
    ) in refusal(run)


def test_weights_of_another_causal_importance_function_are_refused(run):
    change_config(
        run,
        ci_fn_type="DROP",
        ci_config={"mode": "global", "fn_type": "global_shared_mlp", "hidden_dims": [4]},
    )
    line = refusal(run)
    assert "_global_ci_fn.layers.0.W: tensor is missing, and 3 more (found: instead _ci_fns.linear1." in line


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"ci_fn_type": "oracle"},
            "ci_fn_type: unknown causal-importance function (found: oracle; allowed: mlp, vector_mlp",
        ),
        ({"ci_fn_hidden_dims": []}, "ci_fn_hidden_dims: at least one hidden layer is needed (found: []"),
        ({"sigmoid_type": "soft"}, "sigmoid_type: unknown sigmoid (found: soft; allowed: leaky_hard"),
        (
            {"pretrained_model_class": "spd.experiments.ih.model.NoSuchTransformer"},
            "pretrained_model_class: unknown architecture (found: spd.experiments.ih.model.NoSuch",
        ),
        (
            {"module_info": [{"module_pattern": "linear9", "C": 20}]},
            "module_info: pattern matches no module (found: linear9; allowed: linear1, linear2)",
        ),
        (
            {"module_info": [{"module_pattern": "linear*", "C": 20}, {"module_pattern": "*1", "C": 20}]},
            "module_info: module matched twice (found: linear1 by linear* and *1",
        ),
        (
            {"module_info": [{"module_pattern": "*", "C": 20}]},
            "module_info: module cannot be decomposed (found: the whole model, a TMSModel",
        ),
        (
            {"identity_module_info": [{"module_pattern": "linear9", "C": 20}]},
            "identity_module_info: pattern matches no module (found: linear9",
        ),
        ({"module_info": [{"module_pattern": "linear1", "C": 0}]}, "module_info.0.C: "),
        ({"task_config": {"task_name": "tms", "feature_probability": 2}}, "feature_probability: "),
    ],
)
def test_configuration_that_cannot_be_built_is_refused(run, changes, says):
    change_config(run, **changes)
    line = refusal(run)
    assert line.startswith(f"{run / 'final_config.yaml'}: ")
    assert says in line


def test_missing_sizes_of_the_target_are_refused(run):
    (run / "tms_train_config.yaml").unlink()
    line = refusal(run)
    assert "pretrained_model_path: files of the target model are missing (found: ../target/tms.pth;" in line
    assert "tms_train_config.yaml" in line


def test_unknown_device_is_refused(run):
    assert refusal(run, device="abacus").startswith(
        "device: no such device here (found: abacus; allowed: auto"
    )


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        (np.zeros((3, 4)), "inputs: shape does not match the model (found: (3, 4); allowed: (samples, 5))"),
        (np.zeros(5), "inputs: shape does not match the model (found: (5,);"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(inputs, says):
    model = load_model(DATA / "tms_5-2", device="cpu")
    with pytest.raises(InputError) as error:
        model.component_activations(inputs)
    assert says in str(error.value)


def test_unknown_kind_of_causal_importance_is_refused():
    model = load_model(DATA / "tms_5-2", device="cpu")
    with pytest.raises(
        InputError, match=r"causal_importance: unknown kind \(found: lower; allowed: lower_leaky"
    ):
        next(model.activation_chunks(np.zeros((1, 5)), 1, "lower"))


def test_importance_that_is_not_a_number_is_named(run):
    def spoil(state):
        state["_ci_fns.linear2.layers.2.b"][3] = float("nan")
        return state

    change_state(run, spoil)
    with pytest.raises(InputError) as error:
        list(load_model(run, device="cpu").activation_chunks(np.zeros((4, 5)), 2))
    assert str(error.value).startswith("run/model_8000.pth: linear2:3: causal importance is NaN or infinite")


# what is still read


def test_state_dict_keys_of_old_runs_are_read(run):
    def age(state):
        old = {}
        for key, tensor in state.items():
            path, _, name = key.rpartition(".")
            if key.startswith("_ci_fns."):
                key = "_gates." + key.removeprefix("_ci_fns.")
            elif key.startswith("_components.") and name in ("U", "V"):
                key = f"patched_model.{path.removeprefix('_components.')}.components.{name}"
            elif key.startswith("target_model.") and name == "weight":
                key = f"patched_model.{path.removeprefix('target_model.')}.original.weight"
            old[key] = tensor
        assert sum(key.startswith("patched_model.") for key in old) == 6
        return old

    change_state(run, age)
    same_numbers(run)


def test_state_dict_keys_of_newer_runs_are_read(run):
    change_state(
        run, lambda state: {f"ci_fn.{k}" if k.startswith("_ci_fns.") else k: v for k, v in state.items()}
    )
    same_numbers(run)


def test_two_keys_for_one_tensor_are_refused(run):
    change_state(run, lambda state: state | {"_gates.linear1.layers.0.b": torch.zeros(20, 16)})
    assert "_gates.linear1.layers.0.b: two keys for the same tensor" in refusal(run)


def test_configuration_keys_of_old_runs_are_read(run):
    change_config(
        run,
        module_info="DROP",
        identity_module_info="DROP",
        ci_fn_type="DROP",
        ci_fn_hidden_dims="DROP",
        C=20,
        target_module_patterns=["linear1", "linear2"],
        gate_type="mlp",
        gate_hidden_dims=[16],
        pretrained_model_name="DROP",
        pretrained_model_name_hf=None,
        lr=0.001,
        lr_schedule="cosine",
        image_freq=3,
        recon_coeff=1.0,
        dist_backend=None,
    )
    assert same_numbers(run).n_components == 40


@pytest.mark.parametrize(
    ("stated", "read"),
    [
        (
            "simple_stories_train.models.llama_simple.LlamaSimple",
            "spd.pretrain.models.llama_simple.LlamaSimple",
        ),
        ("spd.pretrain.models.gpt2_simple.GPT2Simple", "spd.pretrain.models.gpt2_simple.GPT2Simple"),
        (None, None),
    ],
)
def test_model_classes_of_packages_with_an_older_name_are_read(stated, read):
    assert _modernised({"pretrained_model_class": stated})["pretrained_model_class"] == read


def test_old_identity_patterns_are_read(tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(DATA / "tms_5-2-idop", folder)
    new = read_config(folder / "final_config.yaml")
    change_config(
        folder,
        module_info="DROP",
        C=16,
        target_module_patterns=["linear1"],
        identity_module_patterns=["linear2"],
    )
    config = read_config(folder / "final_config.yaml")
    assert [(each.module_pattern, each.C) for each in config.module_info] == [("linear1", 16)]
    assert config.identity_module_info == new.identity_module_info
    change_config(folder, identity_module_info="DROP")
    identities = read_config(folder / "final_config.yaml").identity_module_info
    assert [(each.module_pattern, each.C) for each in identities] == [("linear2", 16)]


def test_flat_flag_for_a_global_function_is_read(tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(DATA / "tms_5-2-globalmlp", folder)
    expected = load_model(folder, device="cpu")
    change_config(folder, ci_config="DROP", ci_fn_type="mlp", ci_fn_hidden_dims=[32, 24], use_global_ci=True)
    found = load_model(folder, device="cpu")
    inputs = np.random.default_rng(0).random((8, 5))
    assert found.module_names == expected.module_names
    for name, importances in found.component_activations(inputs).items():
        assert torch.equal(importances, expected.component_activations(inputs)[name])


def test_labels_of_newer_runs_are_sorted(run):
    # linear1 runs first either way; an identity before it sorts after its module and runs before it
    shutil.rmtree(run)
    shutil.copytree(DATA / "tms_5-2-idop", run)
    forward = load_model(run, device="cpu")
    change_config(run, ci_fn_type="DROP", ci_config={"fn_type": "shared_mlp", "hidden_dims": [24, 16]})
    by_name = load_model(run, device="cpu")
    assert forward.module_names == ["linear1", "linear2.pre_identity", "linear2"]
    assert by_name.module_names == ["linear1", "linear2", "linear2.pre_identity"]
    inputs = np.eye(5)
    for name, importances in by_name.component_activations(inputs).items():
        assert torch.equal(importances, forward.component_activations(inputs)[name])


def test_checkpoints_without_the_target_take_its_own_weights(run):
    state = torch.load(weights(run), weights_only=True)
    target = {k.removeprefix("target_model."): v for k, v in state.items() if k.startswith("target_model.")}
    change_state(run, lambda state: {k: v for k, v in state.items() if not k.startswith("target_model.")})
    line = refusal(run)
    assert "files of the target model are missing" in line
    assert "tms.pth" in line
    torch.save(target, run / "tms.pth")
    same_numbers(run)
    torch.save(target | {"linear2.bias": torch.zeros(4)}, run / "tms.pth")
    assert f"{run / 'tms.pth'}: linear2.bias: shape does not match" in refusal(run)


@pytest.mark.parametrize(
    ("files", "found", "command"),
    [
        (
            {"final_config.yaml": "{pd: {seed: 0}, target: {}}", "model_10.pth": ""},
            "final_config.yaml with a section pd",
            "pd-cluster-harvest harvest.json",
        ),
        (
            {"launch_config.yaml": "{}", "ckpts/100/d": ""},
            "JAX checkpoints in ckpts/",
            "python -m param_decomp.clustering.scripts.run_worker --run_dir {run} ",
        ),
    ],
)
def test_a_run_of_param_decomp_names_the_command_whose_snapshot_is_read(tmp_path, files, found, command):
    run = tmp_path / "p-12345678"
    for name, text in files.items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(text)
    with pytest.raises(InputError) as caught:
        load_model(run, device="cpu")
    line = str(caught.value)
    # before anything is sampled, by `spdclust run` and the first job of a workflow
    with pytest.raises(InputError, match=re.escape(line)):
        check_components(resolve_checkpoint(run))
    assert line.startswith(f"{run}: model_path: a run of param-decomp, whose checkpoints are not read")
    assert f"found: {found};" in line
    assert (
        f"precomputed_activations_dir, with the snapshot of this run that `{command.format(run=run)}" in line
    )


def test_nothing_is_warned_of_where_nothing_attends_over_samples(caplog):
    load_model(DATA / "tms_5-2", device="cpu")
    assert caplog.messages == []
