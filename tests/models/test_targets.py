"""Target models equal slow computations in float64; whole run folders of every family load and run."""

import math

import numpy as np
import pytest
import torch
import yaml
from target_runs import arrays, assert_close, causal, gelu_tanh, importances, random_state, write_run

from spdclust.core.errors import InputError
from spdclust.models import load_model
from spdclust.models.targets.language_models import Attention, LlamaSimpleMLPConfig

# toy models


@pytest.mark.parametrize("act", ["gelu", "relu"])
@pytest.mark.parametrize("bias", [False, True])
def test_resid_mlp_adds_each_layer_to_the_stream(tmp_path, act, bias):
    shapes = {"W_E": (6, 4), "W_U": (4, 6)}
    for i in range(2):
        shapes |= {f"layers.{i}.mlp_in.weight": (5, 4), f"layers.{i}.mlp_out.weight": (4, 5)}
        if bias:
            shapes |= {f"layers.{i}.mlp_in.bias": (5,), f"layers.{i}.mlp_out.bias": (4,)}
    weights = random_state(**shapes)
    modules = [f"layers.{i}.mlp_{side}" for i in range(2) for side in ("out", "in")]
    run = write_run(
        tmp_path / "run", weights, modules, "spd.experiments.resid_mlp.models.ResidMLP", "resid_mlp"
    )
    sizes = {"n_features": 6, "d_embed": 4, "d_mlp": 5, "n_layers": 2, "act_fn_name": act}
    (run / "resid_mlp_train_config.yaml").write_text(
        yaml.safe_dump(
            {
                "resid_mlp_model_config": sizes | {"in_bias": bias, "out_bias": bias},
                "synced_inputs": [[0, 1]],
                "steps": 3,
            }
        )
    )
    model = load_model(run, device="cpu")
    assert model.module_names == [
        "layers.0.mlp_in",
        "layers.0.mlp_out",
        "layers.1.mlp_in",
        "layers.1.mlp_out",
    ]
    assert model.task.synced_inputs == [[0, 1]]
    x = np.random.default_rng(0).normal(size=(7, 6))
    w = arrays(weights)
    stream = x @ w["W_E"]
    found = model.component_activations(x)
    for i in range(2):
        assert_close(found[f"layers.{i}.mlp_in"], importances(run, f"layers.{i}.mlp_in", stream))
        hidden = stream @ w[f"layers.{i}.mlp_in.weight"].T + w.get(f"layers.{i}.mlp_in.bias", 0)
        hidden = (
            np.maximum(hidden, 0)
            if act == "relu"
            else hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
        )
        assert_close(found[f"layers.{i}.mlp_out"], importances(run, f"layers.{i}.mlp_out", hidden))
        stream = stream + hidden @ w[f"layers.{i}.mlp_out.weight"].T + w.get(f"layers.{i}.mlp_out.bias", 0)
    assert_close(model.target_output(x), stream @ w["W_U"])


@pytest.mark.parametrize("tied", [False, True])
def test_tms_weights_are_taken_as_stored_tied_or_not(tmp_path, tied):
    weights = random_state(
        **{
            "linear1.weight": (2, 5),
            "hidden_layers.0.weight": (2, 2),
            "linear2.weight": (5, 2),
            "linear2.bias": (5,),
        }
    )
    if tied:
        weights["linear2.weight"] = weights["linear1.weight"].T
    modules = ["linear1", "hidden_layers.0", "linear2"]
    run = write_run(tmp_path / "run", weights, modules, "spd.experiments.tms.models.TMSModel", "tms")
    (run / "tms_train_config.yaml").write_text(
        yaml.safe_dump(
            {"n_features": 5, "n_hidden": 2, "n_hidden_layers": 1, "tied_weights": tied, "device": "cpu"}
        )
    )
    model = load_model(run, device="cpu")
    x = np.random.default_rng(0).random((7, 5))
    w = arrays(weights)
    first = x @ w["linear1.weight"].T
    second = first @ w["hidden_layers.0.weight"].T
    assert_close(model.target_output(x), np.maximum(second @ w["linear2.weight"].T + w["linear2.bias"], 0))
    found = model.component_activations(x)
    for name, taken_in in zip(modules, (x, first, second), strict=True):
        assert_close(found[name], importances(run, name, taken_in))


def test_features_that_are_active_together_stand_in_the_targets_own_file(tmp_path):
    weights = random_state(**{"linear1.weight": (2, 5), "linear2.weight": (5, 2), "linear2.bias": (5,)})
    run = write_run(
        tmp_path / "run",
        weights,
        ["linear1"],
        "spd.experiments.tms.models.TMSModel",
        "tms",
        pretrained_model_path="../target/tms.pth",
    )
    sizes = {"n_features": 5, "n_hidden": 2}
    (tmp_path / "target").mkdir()
    own = tmp_path / "target/tms_train_config.yaml"
    own.write_text(yaml.safe_dump({"tms_model_config": sizes, "synced_inputs": [[1, 2]], "lr": 0.1}))
    assert load_model(run, device="cpu").task.synced_inputs == [[1, 2]]
    (run / "tms_train_config.yaml").write_text(yaml.safe_dump(sizes))
    assert load_model(run, device="cpu").task.synced_inputs == [[1, 2]]


# language models


def llama_weights(config, attention):
    d, hidden = config["n_embd"], config["n_intermediate"]
    shapes = {"wte.weight": (config["vocab_size"], d), "ln_f.weight": (d,)}
    for i in range(config["n_layer"]):
        shapes |= {f"h.{i}.attn.{name}": shape for name, shape in attention.items()}
        shapes |= {f"h.{i}.rms_1.weight": (d,), f"h.{i}.rms_2.weight": (d,)}
        inner = ("gate_proj", "up_proj") if config.get("model_type") == "LlamaSimple" else ("c_fc",)
        shapes |= {f"h.{i}.mlp.{name}.weight": (hidden, d) for name in inner}
        shapes |= {f"h.{i}.mlp.down_proj.weight": (d, hidden)}
    weights = random_state(**shapes)
    return weights | {"lm_head.weight": weights["wte.weight"]}


@pytest.mark.parametrize("adjacent", [False, True])
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("family", ["LlamaSimpleMLP", "LlamaSimple"])
def test_llama_style_models_equal_a_slow_computation(tmp_path, adjacent, grouped, family):
    n_head, d, d_head, n_kv = 4, 16, 4, 2
    config = {
        "model_type": family,
        "n_layer": 2,
        "n_head": n_head,
        "n_embd": d,
        "n_intermediate": 10,
        "n_key_value_heads": n_kv,
        "vocab_size": 13,
        "block_size": 8,
        "n_ctx": 8,
        "rotary_adjacent_pairs": adjacent,
        "rotary_base": 100,
        "use_grouped_query_attention": grouped,
    }
    attention = {"o_proj.weight": (d, d)}
    attention |= (
        {"q_proj.weight": (d, d), "k_proj.weight": (n_kv * d_head, d), "v_proj.weight": (n_kv * d_head, d)}
        if grouped
        else {"c_attn.weight": (3 * d, d)}
    )
    weights = llama_weights(config, attention)
    read = "q_proj" if grouped else "c_attn"
    names = ("c_fc",) if family == "LlamaSimpleMLP" else ("gate_proj", "up_proj")
    inner = [f"h.1.mlp.{name}" for name in names]
    modules = ["wte", "h.1.mlp.down_proj", *inner, f"h.1.attn.{read}"]
    run = write_run(
        tmp_path / "run",
        weights,
        modules,
        f"simple_stories_train.models.any.{family}",
        "lm",
        pretrained_model_name="../target/checkpoints/model_step_5.pt",
        pretrained_model_output_attr="idx_0",
        tokenizer_name="../tokenizer",
    )
    (tmp_path / "target").mkdir()
    (tmp_path / "target/model_config.yaml").write_text(yaml.safe_dump(config))
    model = load_model(run, device="cpu")
    assert model.module_names == ["wte", f"h.1.attn.{read}", *inner, "h.1.mlp.down_proj"]
    assert (model.task.vocab_size, model.task.max_seq_len, model.task.tokenizer_name) == (
        13,
        6,
        "../tokenizer",
    )

    w = arrays(weights)
    tokens = np.random.default_rng(0).integers(0, 13, size=(3, 6))

    def norm(rows, name):
        return np.stack([r / math.sqrt(np.mean(r**2) + 1e-6) * w[name] for r in rows])

    def turned(rows):
        out = rows.copy()
        for position in range(len(rows)):
            for pair in range(d_head // 2):
                angle = position / 100 ** (pair / (d_head / 2))
                i, j = (2 * pair, 2 * pair + 1) if adjacent else (pair, pair + d_head // 2)
                a, b = rows[position, i], rows[position, j]
                out[position, i] = a * math.cos(angle) - b * math.sin(angle)
                out[position, j] = b * math.cos(angle) + a * math.sin(angle)
        return out

    taken_in = {name: [] for name in modules}
    logits = []
    for row in tokens:
        x = w["wte.weight"][row]
        taken_in["wte"].append(np.eye(13)[row])
        for i in range(2):
            y = norm(x, f"h.{i}.rms_1.weight")
            if i == 1:
                taken_in[f"h.1.attn.{read}"].append(y)
            if grouped:
                q, k, v = (y @ w[f"h.{i}.attn.{name}_proj.weight"].T for name in "qkv")
            else:
                q, k, v = np.split(y @ w[f"h.{i}.attn.c_attn.weight"].T, 3, axis=1)
            heads = []
            for head in range(n_head):
                own = slice(head * d_head, (head + 1) * d_head)
                shared = head // (n_head // n_kv) if grouped else head
                theirs = slice(shared * d_head, (shared + 1) * d_head)
                heads.append(causal(turned(q[:, own]), turned(k[:, theirs]), v[:, theirs]))
            x = x + np.concatenate(heads, axis=1) @ w[f"h.{i}.attn.o_proj.weight"].T
            y = norm(x, f"h.{i}.rms_2.weight")
            if family == "LlamaSimpleMLP":
                hidden = gelu_tanh(y @ w[f"h.{i}.mlp.c_fc.weight"].T)
            else:
                gate = y @ w[f"h.{i}.mlp.gate_proj.weight"].T
                hidden = gate / (1 + np.exp(-gate)) * (y @ w[f"h.{i}.mlp.up_proj.weight"].T)
            if i == 1:
                for name in inner:
                    taken_in[name].append(y)
                taken_in["h.1.mlp.down_proj"].append(hidden)
            x = x + hidden @ w[f"h.{i}.mlp.down_proj.weight"].T
        logits.append(norm(x, "ln_f.weight") @ w["lm_head.weight"].T)
    assert_close(model.target_output(tokens), logits)
    found = model.component_activations(tokens)
    for name in modules:
        assert found[name].shape == (3, 6, 3)
        assert_close(found[name], importances(run, name, np.stack(taken_in[name])))
    rows = np.concatenate(list(model.activation_chunks(tokens, batch_size=2)))
    assert_close(rows[6 + 4], np.concatenate([found[name][1, 4] for name in model.module_names]))


def test_positions_past_the_context_share_the_last_rotation():
    config = LlamaSimpleMLPConfig(n_embd=8, n_head=2, n_ctx=3, n_key_value_heads=1)
    sin, _ = Attention(config)._angles(torch.zeros(1, 5, 8))
    assert torch.equal(sin[2], sin[4])
    assert not torch.equal(sin[1], sin[2])


def test_gpt2_simple_equals_a_slow_computation(tmp_path):
    d, n_head, vocab = 8, 2, 13
    shapes = {"wte.weight": (vocab, d), "wpe.weight": (7, d), "ln_f.weight": (d,), "ln_f.bias": (d,)}
    for i in range(2):
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            shapes |= {f"h.{i}.attn.{name}.weight": (d, d), f"h.{i}.attn.{name}.bias": (d,)}
        for name in ("ln_1", "ln_2"):
            shapes |= {f"h.{i}.{name}.weight": (d,), f"h.{i}.{name}.bias": (d,)}
        shapes |= {f"h.{i}.mlp.c_fc.weight": (4 * d, d), f"h.{i}.mlp.c_fc.bias": (4 * d,)}
        shapes |= {f"h.{i}.mlp.down_proj.weight": (d, 4 * d), f"h.{i}.mlp.down_proj.bias": (d,)}
    weights = random_state(**shapes)
    weights["lm_head.weight"] = weights["wte.weight"]
    modules = ["wte", "h.0.attn.o_proj", "h.1.mlp.c_fc"]
    run = write_run(
        tmp_path / "run",
        weights,
        modules,
        "spd.pretrain.models.gpt2_simple.GPT2Simple",
        "lm",
        pretrained_model_name="wandb:someone/train/runs/abcd1234",
        pretrained_model_output_attr="idx_0",
    )
    # an old run: the architecture stands in the name of the class only
    (run / "model_config.yaml").write_text(
        yaml.safe_dump({"n_layer": 2, "n_head": n_head, "n_embd": d, "vocab_size": vocab, "block_size": 7})
    )
    model = load_model(run, device="cpu")
    assert model.module_names == modules

    w = arrays(weights)
    tokens = np.random.default_rng(1).integers(0, vocab, size=(2, 5))

    def affine(x, name):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(rows, name):
        return np.stack(
            [
                (r - r.mean()) / math.sqrt(r.var() + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]
                for r in rows
            ]
        )

    for row, output, which in zip(tokens, model.target_output(tokens), range(2), strict=True):
        x = w["wte.weight"][row] + w["wpe.weight"][: len(row)]
        for i in range(2):
            y = norm(x, f"h.{i}.ln_1")
            q, k, v = (affine(y, f"h.{i}.attn.{name}_proj") for name in "qkv")
            halves = [causal(q[:, h], k[:, h], v[:, h]) for h in (slice(0, 4), slice(4, 8))]
            gathered = np.concatenate(halves, axis=1)
            x = x + affine(gathered, f"h.{i}.attn.o_proj")
            y = norm(x, f"h.{i}.ln_2")
            if i == 0:
                found = model.component_activations(tokens)["h.0.attn.o_proj"][which]
                assert_close(found, importances(run, "h.0.attn.o_proj", gathered))
            else:
                found = model.component_activations(tokens)["h.1.mlp.c_fc"][which]
                assert_close(found, importances(run, "h.1.mlp.c_fc", y))
            x = x + affine(gelu_tanh(affine(y, f"h.{i}.mlp.c_fc")), f"h.{i}.mlp.down_proj")
        assert_close(output, norm(x, "ln_f") @ w["lm_head.weight"].T)


@pytest.fixture
def language_run(tmp_path):
    config = {"n_layer": 1, "n_head": 2, "n_embd": 8, "n_intermediate": 10, "n_key_value_heads": 1}
    config |= {"vocab_size": 13, "block_size": 5}
    d_head = 4
    attention = {"q_proj.weight": (8, 8), "k_proj.weight": (d_head, 8), "v_proj.weight": (d_head, 8)}
    weights = llama_weights(config, attention | {"o_proj.weight": (8, 8)})
    run = write_run(
        tmp_path / "run",
        weights,
        ["h.0.mlp.c_fc"],
        "spd.pretrain.models.llama_simple_mlp.LlamaSimpleMLP",
        "lm",
        pretrained_model_name="../target/checkpoints/model_step_5.pt",
        pretrained_model_output_attr="idx_0",
    )
    (run / "model_config.yaml").write_text(yaml.safe_dump(config))
    return run


def use(run, inputs):
    model = load_model(run, device="cpu")
    model.component_activations(inputs)
    model.target_output(inputs)


def refusal(run, inputs=None):
    with pytest.raises(InputError) as error:
        use(run, inputs)
    return str(error.value)


def test_tokens_that_do_not_fit_are_refused(language_run):
    assert (
        "token that the model does not know: the tokenizer is another model's (found: 13; allowed: 0 to 12)"
        in (refusal(language_run, [[0, 13]]))
    )
    assert "(found: -1;" in refusal(language_run, [[0, -1]])
    assert "sequences are too long for the model (found: 6 positions; allowed: at most 5)" in refusal(
        language_run, [[0] * 6]
    )
    assert "a language model takes token numbers (found: torch.float32" in refusal(language_run, [[0.5]])
    assert "shape does not match the model (found: (2,); allowed: (sequences, positions))" in refusal(
        language_run, [0, 1]
    )


def edit(file, **changes):
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | changes))


def test_language_models_that_cannot_be_built_are_refused(language_run):
    sizes = language_run / "model_config.yaml"
    edit(sizes, n_head=3)
    assert f"{sizes}: n_head: found 3 (allowed: an even part of n_embd, 8)" in refusal(language_run)
    edit(sizes, n_head=2, rope_scaling=2)
    assert "rope_scaling: unknown key" in refusal(language_run)
    sizes.write_text("{model_type: GPT2Simple}")
    assert (
        "model_type: architecture differs from that of the decomposition (found: GPT2Simple; allowed: Llama"
        in refusal(language_run)
    )
    sizes.unlink()
    line = refusal(language_run)
    assert (
        "pretrained_model_name: files of the target model are missing (found: ../target/checkpoints/" in line
    )


def test_output_that_is_not_there_is_refused(language_run):
    edit(language_run / "final_config.yaml", pretrained_model_output_attr="logits")
    assert "pretrained_model_output_attr: the model's output is not there (found: logits;" in refusal(
        language_run, [[0]]
    )
    edit(language_run / "final_config.yaml", pretrained_model_output_attr="idx_1")
    assert "(found: idx_1;" in refusal(language_run, [[0]])


def test_own_weights_of_a_language_model_are_found_beside_its_configuration(language_run):
    file = language_run / "model_10.pth"
    state = torch.load(file, weights_only=True)
    expected = load_model(language_run, device="cpu").target_output([[1, 2]])
    torch.save({k: v for k, v in state.items() if not k.startswith("target_model.")}, file)
    places = language_run.parent / "target/checkpoints"
    places.mkdir(parents=True)
    own = {k.removeprefix("target_model."): v for k, v in state.items() if k.startswith("target_model.")}
    torch.save(own, places / "model_step_5.pt")
    assert torch.equal(load_model(language_run, device="cpu").target_output([[1, 2]]), expected)
