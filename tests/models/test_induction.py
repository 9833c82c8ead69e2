"""Induction transformers: equal to a slow computation in float64; their inputs; a run on them."""

import itertools
import math

import numpy as np
import pytest
import torch
import yaml
from target_runs import arrays, assert_close, causal, importances, random_state, write_run

from spdclust.commands.cli import main
from spdclust.config.run import ClusteringRunConfig
from spdclust.core.errors import InputError
from spdclust.files.batches import ActivationBatch
from spdclust.models import load_model
from spdclust.models.checkpoint import resolve_checkpoint
from spdclust.models.config import InductionTask
from spdclust.models.targets import build_target
from spdclust.sampling.estimate import estimate
from spdclust.sampling.inputs import _induction_sequences, generate_inputs

VOCAB, LENGTH, WIDTH = 9, 8, 6


def positions():
    """Return sines and cosines of each position, as the reference implementation fills its buffer."""
    out = np.zeros((LENGTH, WIDTH))
    for position, pair in itertools.product(range(LENGTH), range(WIDTH // 2)):
        angle = position * math.exp(-2 * pair * math.log(10000) / WIDTH)
        out[position, 2 * pair : 2 * pair + 2] = math.sin(angle), math.cos(angle)
    return out


def write_induction_run(folder, *, n_heads=1, mlp=False, encoded=True, normalised=False, **config):
    sizes = {"vocab_size": VOCAB, "seq_len": LENGTH, "d_model": WIDTH, "n_heads": n_heads, "n_layers": 2}
    sizes |= {"ff_fanout": 2, "use_ff": mlp, "use_pos_encoding": encoded, "use_layer_norm": normalised}
    shapes = {"token_embed.weight": (VOCAB + 2, WIDTH), "unembed.weight": (VOCAB + 2, WIDTH)}
    norms = ["ln_f"] if normalised else []
    for i in range(2):
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes[f"blocks.{i}.attn.{name}.weight"] = (WIDTH, WIDTH)
        if mlp:
            shapes |= {
                f"blocks.{i}.ff.fc1.weight": (2 * WIDTH, WIDTH),
                f"blocks.{i}.ff.fc1.bias": (2 * WIDTH,),
            }
            shapes |= {f"blocks.{i}.ff.fc2.weight": (WIDTH, 2 * WIDTH), f"blocks.{i}.ff.fc2.bias": (WIDTH,)}
        norms += [f"blocks.{i}.ln1", f"blocks.{i}.ln2"] if normalised else []
    shapes |= {f"{name}.{kind}": (WIDTH,) for name in norms for kind in ("weight", "bias")}
    weights = random_state(**shapes)
    stored = torch.tensor(positions(), dtype=torch.float32)[None]
    weights["pos.pe"] = stored
    if encoded:
        weights |= {f"blocks.{i}.attn.pos_enc.pe": stored for i in range(2)}
    modules = ["blocks.0.attn.q_proj", "blocks.1.attn.out_proj"] + (["blocks.1.ff.fc2"] if mlp else [])
    run = write_run(
        folder,
        weights,
        modules,
        "spd.experiments.ih.model.InductionTransformer",
        "induction_head",
        pretrained_model_path="../target/ih.pth",
        **config,
    )
    (run / "induction_head_train_config.yaml").write_text(
        yaml.safe_dump({"ih_model_config": sizes, "steps": 3})
    )
    return run, weights, modules


@pytest.mark.parametrize("n_heads", [1, 2])
@pytest.mark.parametrize("mlp", [False, True])
@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize("normalised", [False, True])
def test_an_induction_transformer_equals_a_slow_computation(tmp_path, n_heads, mlp, encoded, normalised):
    run, weights, modules = write_induction_run(
        tmp_path / "run", n_heads=n_heads, mlp=mlp, encoded=encoded, normalised=normalised
    )
    model = load_model(run, device="cpu")
    assert model.module_names == modules
    w = arrays(weights)
    tokens = np.random.default_rng(0).integers(0, VOCAB + 2, size=(3, LENGTH - 1))

    def norm(rows, name):
        out = (rows - rows.mean(1, keepdims=True)) / np.sqrt(rows.var(1, keepdims=True) + 1e-5)
        return out * w[f"{name}.weight"] + w[f"{name}.bias"]

    found, logits = model.component_activations(tokens), model.target_output(tokens)
    d_head = WIDTH // n_heads
    for which, row in enumerate(tokens):
        x = w["token_embed.weight"][row]
        taken_in = {}
        for i in range(2):
            at = f"blocks.{i}.attn"
            taken_in[f"{at}.q_proj"] = x
            q, k, v = (x @ w[f"{at}.{name}_proj.weight"].T for name in "qkv")
            if encoded:
                q, k = q + positions()[: len(row)], k + positions()[: len(row)]
            parts = [slice(h * d_head, (h + 1) * d_head) for h in range(n_heads)]
            gathered = np.concatenate([causal(q[:, p], k[:, p], v[:, p]) for p in parts], axis=1)
            taken_in[f"{at}.out_proj"] = gathered
            x = x + gathered @ w[f"{at}.out_proj.weight"].T
            x = norm(x, f"blocks.{i}.ln1") if normalised else x
            if mlp:
                hidden = x @ w[f"blocks.{i}.ff.fc1.weight"].T + w[f"blocks.{i}.ff.fc1.bias"]
                hidden = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
                taken_in[f"blocks.{i}.ff.fc2"] = hidden
                x = x + hidden @ w[f"blocks.{i}.ff.fc2.weight"].T + w[f"blocks.{i}.ff.fc2.bias"]
                x = norm(x, f"blocks.{i}.ln2") if normalised else x
        x = norm(x, "ln_f") if normalised else x
        assert_close(logits[which], x @ w["unembed.weight"].T)
        for name in modules:
            assert_close(found[name][which], importances(run, name, taken_in[name]))


def test_the_targets_own_folder_is_searched_too(tmp_path):
    run, _, _ = write_induction_run(tmp_path / "run")
    expected = load_model(run, device="cpu").target_output([[0, 3, 10]])
    target = tmp_path / "target"
    target.mkdir()
    (run / "induction_head_train_config.yaml").rename(target / "ih_train_config.yaml")
    state = torch.load(run / "model_10.pth", weights_only=True)
    own = {k.removeprefix("target_model."): v for k, v in state.items() if k.startswith("target_model.")}
    torch.save({k: v for k, v in state.items() if not k.startswith("target_model.")}, run / "model_10.pth")
    torch.save(own, target / "ih.pth")
    assert torch.equal(load_model(run, device="cpu").target_output([[0, 3, 10]]), expected)
    (target / "ih_train_config.yaml").unlink()
    with pytest.raises(InputError, match=r"files of the target model are missing .*ih_train_config\.yaml"):
        load_model(run, device="cpu")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"task_config": {"task_name": "induction_head", "prefix_window": 6}}, r"prefix_window: found 6 \(allowed: 2 to 5\)"),
        ({"task_config": {"task_name": "induction_head", "prefix_window": 1}}, r"prefix_window: found 1 \(allowed: 2 to 5\)"),
    ],
)  # fmt: skip
def test_a_window_that_does_not_fit_is_one_line(tmp_path, config, message):
    run, _, _ = write_induction_run(tmp_path / "run", **config)
    with pytest.raises(InputError, match=message):
        build_target(resolve_checkpoint(run))


def test_heads_and_inputs_that_do_not_fit_are_one_line(tmp_path):
    run, _, _ = write_induction_run(tmp_path / "run")
    model = load_model(run, device="cpu")
    with pytest.raises(InputError, match=r"found: 9 positions; allowed: at most 8"):
        model.target_output([[0] * 9])
    with pytest.raises(InputError, match=r"found: 11; allowed: 0 to 10"):
        model.target_output([[11]])
    file = run / "induction_head_train_config.yaml"
    file.write_text(file.read_text().replace("n_heads: 1", "n_heads: 4"))
    with pytest.raises(InputError, match=r"n_heads: found 4 \(allowed: a divisor of d_model, 6\)"):
        load_model(run, device="cpu")


def test_sequences_have_the_token_to_repeat_after_the_first_induction_token():
    task = InductionTask(name="induction_head", vocab_size=VOCAB + 2, seq_len=LENGTH, prefix_window=4)
    tokens = _induction_sequences(task, 4000, seed=3)
    assert tokens.shape == (4000, LENGTH)
    assert (tokens[:, 0] == 0).all()
    assert (tokens[:, -1] == VOCAB + 1).all()
    inside = tokens[:, 1:-1]
    assert ((inside == VOCAB + 1).sum(axis=1) == 1).all()
    where = (inside == VOCAB + 1).argmax(axis=1) + 1
    # uniform over positions 2 to 4, and over the ordinary tokens: five standard deviations
    counts = np.bincount(where, minlength=LENGTH)
    assert counts.nonzero()[0].tolist() == [2, 3, 4]
    assert abs(counts[[2, 3, 4]] - 4000 / 3).max() < 5 * math.sqrt(4000 * 2 / 9)
    repeated = np.bincount(tokens[np.arange(4000), where + 1], minlength=VOCAB + 2)
    assert repeated[[0, VOCAB + 1]].tolist() == [0, 0]
    assert abs(repeated[1:-1] - 4000 / VOCAB).max() < 5 * math.sqrt(4000 * (VOCAB - 1)) / VOCAB
    np.testing.assert_array_equal(tokens, _induction_sequences(task, 4000, seed=3))
    assert (tokens != _induction_sequences(task, 4000, seed=4)).any()


def test_a_run_samples_positions_and_keeps_tokens(tmp_path, capsys):
    run, _, _ = write_induction_run(tmp_path / "run", mlp=True)
    model = load_model(run, device="cpu")
    assert generate_inputs(model.task, 3, seed=0).shape == (3, LENGTH)
    settings = {
        "model_path": "run",
        "batch_size": 4,
        "n_tokens_per_seq": 3,
        "n_tokens": 20,
        "keep_examples": 2,
    }
    merge = {"iters": 4, "activation_threshold": 0.3}
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(settings | {"dataset": {"split": "train"}, "merge_config": merge}))
    assert main(["validate", str(config)]) == 0
    said = capsys.readouterr().out
    assert "components: 9" in said
    assert "samples: 1 run × 1 batch × 20" in said
    assert "note: dataset: no effect on an induction transformer, whose inputs are generated" in said
    assert "n_tokens_per_seq" not in said
    folders = ["--batches", str(tmp_path / "batches"), "--output", str(tmp_path / "out")]
    assert main(["run", "--config", str(config), *folders]) == 0
    batch = ActivationBatch.load(tmp_path / "batches/run_0/batch_0.pt")
    assert (batch.n_samples, batch.provenance["task"], batch.provenance["n_ctx"]) == (
        20,
        "induction_head",
        "8",
    )
    assert batch.examples.tokens.shape == (2, LENGTH)
    assert {"[start]", "[induction]"} <= set(batch.examples.vocabulary.values())
    # each sample is the position that it says, computed by itself
    dense = batch.matrix.toarray()
    for sample, (sequence, position) in enumerate(batch.examples.samples):
        whole = model.component_activations(batch.examples.tokens[[sequence]])
        expected = np.concatenate([np.asarray(whole[name])[0, position] for name in model.module_names])
        np.testing.assert_allclose(dense[sample], expected, atol=1e-6)


def test_samples_follow_from_the_length_of_a_sequence(tmp_path):
    run, _, _ = write_induction_run(tmp_path / "run")
    assert estimate(ClusteringRunConfig(model_path=str(run), batch_size=4)).n_samples == 4 * LENGTH
    assert (
        estimate(ClusteringRunConfig(model_path=str(run), batch_size=4, n_tokens_per_seq=3)).n_samples == 12
    )
    with pytest.raises(InputError, match=r"n_tokens_per_seq: .*\(found: 9; allowed: at most 8"):
        estimate(ClusteringRunConfig(model_path=str(run), n_tokens_per_seq=9))


def test_every_ordinary_token_is_drawn_and_no_other():
    """0 starts a sequence, the last token is the induction token."""
    task = InductionTask(name="induction_head", vocab_size=6, seq_len=7)
    tokens = _induction_sequences(task, 2000, seed=0)
    inner = tokens[:, 1:-1]
    assert (inner == 5).sum(axis=1).tolist() == [1] * 2000
    rows, where = np.nonzero(inner == 5)
    assert sorted(set(inner[rows, where + 1].tolist())) == [1, 2, 3, 4]
    inner[rows, where + 1] = 5
    assert sorted(set(inner.ravel().tolist())) == [1, 2, 3, 4, 5]
    assert sorted(set((where + 1).tolist())) == [2, 3, 4]
