"""Target models of the transformers library; most of this needs the extra `lm`."""

import sys

import numpy as np
import pytest
import torch
import yaml

from spdclust.core.errors import InputError
from spdclust.models import load_model


def write_run(folder, model_class, modules, **config):
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "module_info": [{"module_pattern": pattern, "C": 3} for pattern in modules],
        "ci_fn_type": "mlp",
        "ci_fn_hidden_dims": [5],
        "pretrained_model_class": f"transformers.{model_class}",
        "pretrained_model_name": "../target",
        "pretrained_model_output_attr": "logits",
        "task_config": {"task_name": "lm", "max_seq_len": 6},
    }
    (folder / "final_config.yaml").write_text(yaml.safe_dump(settings | config))
    return folder


def refusal(run):
    with pytest.raises(InputError) as error:
        load_model(run, device="cpu")
    line = str(error.value)
    assert "\n" not in line
    return line


def test_missing_library_is_said_in_one_line(tmp_path, monkeypatch):
    run = write_run(tmp_path / "run", "GPT2LMHeadModel", ["*.c_fc"])
    (run / "model_1.pth").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert refusal(run) == (
        f"{run / 'final_config.yaml'}: pretrained_model_class: this checkpoint requires the "
        "`transformers` package (found: transformers.GPT2LMHeadModel; allowed: pip install 'spdclust[lm]')"
    )


def save_weights(run, own, shapes):
    """Write a checkpoint of a target's weights and random components, by module `(d_in, d_out, bias)`."""
    generator = torch.Generator().manual_seed(0)
    state = {f"target_model.{name}": tensor for name, tensor in own.items()}
    for name, (d_in, d_out, bias) in shapes.items():
        key = name.replace(".", "-")
        sizes = {
            f"_components.{key}.V": (d_in, 3),
            f"_components.{key}.U": (3, d_out),
            f"_ci_fns.{key}.layers.0.W": (3, 1, 5),
            f"_ci_fns.{key}.layers.0.b": (3, 5),
            f"_ci_fns.{key}.layers.2.W": (3, 5, 1),
            f"_ci_fns.{key}.layers.2.b": (3, 1),
        }
        if bias is not None:
            sizes[f"_components.{key}.bias"] = (bias,)
        state |= {name: torch.randn(size, generator=generator) for name, size in sizes.items()}
    torch.save(state, run / "model_1.pth")


@pytest.fixture
def transformers():
    return pytest.importorskip("transformers")


@pytest.fixture
def gpt2(transformers, tmp_path):
    """A run on a small GPT-2 (Conv1D layers) with an identity before one of them, and the GPT-2 itself."""
    config = transformers.GPT2Config(n_layer=2, n_head=2, n_embd=8, vocab_size=13, n_positions=7)
    own = transformers.GPT2LMHeadModel(config).eval()
    own.save_pretrained(tmp_path / "target")
    run = write_run(
        tmp_path / "run",
        "GPT2LMHeadModel",
        ["transformer.h.*.mlp.c_fc", "transformer.wte"],
        identity_module_info=[{"module_pattern": "transformer.h.1.mlp.c_proj", "C": 3}],
    )
    shapes = {f"transformer.h.{i}.mlp.c_fc": (8, 32, 32) for i in range(2)}
    shapes |= {"transformer.wte": (13, 8, None), "transformer.h.1.mlp.c_proj.pre_identity": (32, 32, None)}
    save_weights(run, own.state_dict(), shapes)
    return run, own


def test_gpt2_gives_its_own_logits_and_every_modules_input(gpt2):
    run, own = gpt2
    before = torch.get_rng_state()
    model = load_model(run, device="cpu")
    assert torch.equal(before, torch.get_rng_state())
    assert model.module_names == [
        "transformer.wte",
        "transformer.h.0.mlp.c_fc",
        "transformer.h.1.mlp.c_fc",
        "transformer.h.1.mlp.c_proj.pre_identity",
    ]
    assert model.task.vocab_size == 13
    tokens = torch.randint(0, 13, (3, 6), generator=torch.Generator().manual_seed(0))
    taken_in = {}
    for name in ("c_fc", "c_proj"):
        module = own.transformer.h[1].mlp.get_submodule(name)
        module.register_forward_hook(lambda _, args, __, name=name: taken_in.update({name: args[0]}))
    with torch.no_grad():
        expected = own(tokens).logits
    np.testing.assert_allclose(model.target_output(tokens), expected, atol=1e-6)
    state = torch.load(run / "model_1.pth", weights_only=True)
    found = model.component_activations(tokens)
    for name, module in (("c_fc", "h.1.mlp.c_fc"), ("c_proj", "h.1.mlp.c_proj.pre_identity")):
        key = f"transformer.{module}".replace(".", "-")
        activations = taken_in[name] @ state[f"_components.{key}.V"]
        for c in range(3):
            get = [state[f"_ci_fns.{key}.layers.{part}"][c] for part in ("0.W", "0.b", "2.W", "2.b")]
            hidden = torch.nn.functional.gelu(activations[..., c, None] @ get[0] + get[1])
            importance = (hidden @ get[2] + get[3])[..., 0].clamp(0, 1)
            np.testing.assert_allclose(found[f"transformer.{module}"][..., c], importance, atol=1e-5)


def test_masks_that_old_versions_stored_are_ignored(gpt2):
    run, _ = gpt2
    state = torch.load(run / "model_1.pth", weights_only=True)
    torch.save(
        state | {"target_model.transformer.h.0.attn.bias": torch.ones(1, 1, 7, 7)}, run / "model_1.pth"
    )
    assert load_model(run, device="cpu").n_components == 12


def test_own_weights_are_read_where_the_checkpoint_leaves_them_out(gpt2):
    run, own = gpt2
    state = torch.load(run / "model_1.pth", weights_only=True)
    torch.save({k: v for k, v in state.items() if not k.startswith("target_model.")}, run / "model_1.pth")
    tokens = torch.arange(6)[None]
    with torch.no_grad():
        expected = own(tokens).logits
    np.testing.assert_allclose(load_model(run, device="cpu").target_output(tokens), expected, atol=1e-6)


def test_llama_gives_its_own_logits(transformers, tmp_path):
    config = transformers.LlamaConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=13,
        max_position_embeddings=9,
        tie_word_embeddings=True,
    )
    own = transformers.LlamaForCausalLM(config).eval()
    own.save_pretrained(tmp_path / "target")
    run = write_run(tmp_path / "run", "LlamaForCausalLM", ["model.layers.*.self_attn.k_proj"])
    shapes = {f"model.layers.{i}.self_attn.k_proj": (16, 8, None) for i in range(2)}
    save_weights(run, own.state_dict(), shapes)
    model = load_model(run, device="cpu")
    tokens = torch.arange(8)[None]
    with torch.no_grad():
        expected = own(tokens).logits
    np.testing.assert_allclose(model.target_output(tokens), expected, atol=1e-6)
    with pytest.raises(InputError, match=r"found: 10 positions; allowed: at most 9"):
        model.component_activations(torch.zeros(1, 10, dtype=torch.long))


def test_models_that_are_not_there_are_refused(gpt2):
    run, _ = gpt2
    write_run(run, "GPT7LMHeadModel", ["*.c_fc"])
    assert "pretrained_model_class: transformers has no such model (found: GPT7LMHeadModel;" in refusal(run)
    write_run(run, "GPT2LMHeadModel", ["*.c_fc"], pretrained_model_name=None)
    assert "pretrained_model_name: key is missing" in refusal(run)
    empty = run.parent / "empty"
    empty.mkdir()
    write_run(run, "GPT2LMHeadModel", ["*.c_fc"], pretrained_model_name="../empty")
    assert "pretrained_model_name: no such model in a folder or on the hub (found: ../empty" in refusal(run)
