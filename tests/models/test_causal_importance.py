"""Causal-importance functions equal slow computations in float64 from the tensors named in checkpoints."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spdclust.core.errors import InputError
from spdclust.models.causal_importance import SIGMOIDS, build_causal_importance, find_sigmoids
from spdclust.models.config import CausalImportanceConfig
from spdclust.models.modules import DecomposedModule

# names that sort otherwise than they stand here; an embedding of 11 tokens
A = DecomposedModule("h.1.fc", "matrix", 3, 2, 4, has_bias=False)
B = DecomposedModule("h.0.fc", "matrix", 5, 3, 2, has_bias=True)
WTE = DecomposedModule("wte", "embedding", 11, 3, 6, has_bias=False)


def built(modules, seed=0, **config):
    """Return a function with random weights, and these as float64 arrays by the names in a checkpoint."""
    function = build_causal_importance(modules, CausalImportanceConfig(**config))
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, tensor in function.state_dict().items():
        state[name] = torch.randn(tensor.shape, generator=generator)
        if name.endswith("inv_freq"):
            state[name] = 10000.0 ** (-torch.arange(len(tensor)) / len(tensor))
    function.load_state_dict(state)
    return function.eval(), {name: tensor.double().numpy() for name, tensor in state.items()}


def inputs_for(modules, *shape, seed=1):
    """Return what a function gets: component activations for embeddings, else input vectors."""
    generator = np.random.default_rng(seed)
    return {
        m.name: generator.normal(size=(*shape, m.n_components if m.kind == "embedding" else m.d_in))
        for m in modules
    }


def outputs(function, inputs):
    with torch.no_grad():
        found = function({name: torch.tensor(x, dtype=torch.float32) for name, x in inputs.items()})
    return {name: x.double().numpy() for name, x in found.items()}


def gelu(v):
    return np.array([0.5 * x * (1 + math.erf(x / math.sqrt(2))) for x in v])


def dense(state, prefix, v):
    """Run one vector through layers named `<prefix>0.W`, `<prefix>2.W`, …"""
    numbers = sorted(
        int(key.removeprefix(prefix)[:-2]) for key in state if key.startswith(prefix) and key.endswith(".W")
    )
    assert numbers == list(range(0, 2 * len(numbers), 2))
    for i in numbers:
        v = v @ state[f"{prefix}{i}.W"] + state[f"{prefix}{i}.b"]
        v = gelu(v) if i != numbers[-1] else v
    return v


def unit(v):
    return v / math.sqrt(np.mean(v**2) + np.finfo(np.float32).eps)


def attention(state, prefix, rows, n_heads):
    """Return attention of every row to all, one head and one pair of rows at a time."""
    q, k, v = (rows @ state[f"{prefix}{name}_proj.weight"].T for name in "qkv")
    d = q.shape[1] // n_heads
    frequencies = state[f"{prefix}rope.inv_freq"]

    def turned(x, position):
        out = x.copy()
        for i, frequency in enumerate(frequencies):
            c, s = math.cos(position * frequency), math.sin(position * frequency)
            first, second = x[i], x[i + d // 2]
            out[i], out[i + d // 2] = c * first - s * second, c * second + s * first
        return out

    gathered = np.zeros_like(rows)
    for head in range(n_heads):
        part = slice(head * d, (head + 1) * d)
        for i in range(len(rows)):
            scores = np.array(
                [turned(q[i, part], i) @ turned(k[j, part], j) / math.sqrt(d) for j in range(len(rows))]
            )
            shares = np.exp(scores - scores.max())
            gathered[i, part] = shares / shares.sum() @ v[:, part]
    return gathered @ state[f"{prefix}out_proj.weight"].T


def split(row, modules):
    ends = np.cumsum([m.n_components for m in modules])[:-1]
    return dict(zip([m.name for m in modules], np.split(row, ends), strict=True))


def assert_rows_equal(found, expected_rows):
    """Compare `{module: (rows, components)}` with one dict per row."""
    for name, values in found.items():
        rows = values.reshape(-1, values.shape[-1])
        assert len(rows) == len(expected_rows)
        for row, expected in zip(rows, expected_rows, strict=True):
            np.testing.assert_allclose(row, expected[name], atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("hidden", [[7], [6, 3]])
def test_mlp_is_one_network_per_component_on_its_own_activation(hidden):
    function, state = built([A, B], fn_type="mlp", hidden_dims=hidden)
    assert function.reads_components
    activations = np.random.default_rng(0).normal(size=(5, 4))
    found = outputs(function, {"h.1.fc": activations, "h.0.fc": np.zeros((5, 2))})
    for c in range(4):
        own = {k.removeprefix("h-1-fc."): v[c] for k, v in state.items() if k.startswith("h-1-fc.")}
        for row, value in zip(activations, found["h.1.fc"][:, c], strict=True):
            assert dense(own, "layers.", row[[c]])[0] == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize("hidden", [[7], [6, 3]])
def test_vector_mlp_is_one_network_per_component_on_the_whole_input(hidden):
    function, state = built([A], fn_type="vector_mlp", hidden_dims=hidden)
    assert not function.reads_components
    inputs = inputs_for([A], 5)
    found = outputs(function, inputs)["h.1.fc"]
    assert found.shape == (5, 4)
    for c in range(4):
        own = {k.removeprefix("h-1-fc."): v[c] for k, v in state.items()}
        for row, value in zip(inputs["h.1.fc"], found[:, c], strict=True):
            assert dense(own, "layers.", row)[0] == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize("hidden", [[], [7], [6, 3]])
def test_shared_mlp_is_one_network_per_module(hidden):
    function, state = built([A, B], fn_type="shared_mlp", hidden_dims=hidden)
    inputs = inputs_for([A, B], 2, 3)
    found = outputs(function, inputs)
    assert list(found) == ["h.0.fc", "h.1.fc"]
    assert found["h.0.fc"].shape == (2, 3, 2)
    expected = [
        {m.name: dense(state, f"{m.key}.layers.", inputs[m.name][i, j]) for m in (A, B)}
        for i in range(2)
        for j in range(3)
    ]
    assert_rows_equal(found, expected)


@pytest.mark.parametrize("hidden", [[], [7], [6, 3]])
def test_global_shared_mlp_joins_inputs_in_the_order_of_names(hidden):
    modules = [WTE, A, B]
    function, state = built(modules, fn_type="global_shared_mlp", hidden_dims=hidden)
    inputs = inputs_for(modules, 4)
    found = outputs(function, inputs)
    assert list(found) == ["h.0.fc", "h.1.fc", "wte"]
    expected = [
        split(dense(state, "layers.", np.concatenate([inputs[m.name][i] for m in (B, A, WTE)])), [B, A, WTE])
        for i in range(4)
    ]
    assert_rows_equal(found, expected)


@pytest.mark.parametrize(("hidden", "sequences"), [([9], True), (None, True), ([5, 6], True), ([9], False)])
def test_global_shared_transformer_attends_over_positions_both_ways(hidden, sequences):
    modules = [WTE, A, B]
    function, state = built(
        modules,
        fn_type="global_shared_transformer",
        mode="global",
        simple_transformer_ci_cfg={
            "d_model": 8,
            "n_blocks": 2,
            "mlp_hidden_dim": hidden,
            "attn_config": {"n_heads": 2, "max_len": 16, "rope_base": 10000.0},
        },
    )
    assert function.max_length == 16
    if hidden is None:
        assert state["_blocks.0.mlp.0.W"].shape == (8, 32)
    inputs = inputs_for(modules, 2, 3) if sequences else inputs_for(modules, 3)
    found = outputs(function, inputs)
    assert list(found) == ["h.0.fc", "h.1.fc", "wte"]
    order = [B, A, WTE]
    expected = []
    # without sequences, every sample is a sequence of one position
    each = range(2) if sequences else [slice(i, i + 1) for i in range(3)]
    for index in each:
        rows = np.stack(
            [
                np.concatenate([unit(v) for v in vs])
                for vs in zip(*(inputs[m.name][index] for m in order), strict=True)
            ]
        )
        x = rows @ state["_input_projector.W"] + state["_input_projector.b"]
        for b in range(2):
            x = x + attention(state, f"_blocks.{b}.attn.", np.stack([unit(r) for r in x]), n_heads=2)
            x = x + np.stack([dense(state, f"_blocks.{b}.mlp.", unit(r)) for r in x])
        expected += [split(r @ state["_output_head.W"] + state["_output_head.b"], order) for r in x]
    assert_rows_equal(found, expected)


@pytest.mark.parametrize("hidden", [None, 7])
@pytest.mark.parametrize("attends", [False, True])
def test_global_reverse_residual_reads_each_block_after_its_own_transition(hidden, attends):
    modules = [WTE, A, B]
    function, state = built(
        modules,
        fn_type="global_reverse_residual",
        mode="global",
        d_resid_ci_fn=8,
        reader_hidden_dims=[5],
        transition_hidden_dim=hidden,
        transition_attn_config={"n_heads": 2, "max_len": 16, "rope_base": 10000.0} if attends else None,
        block_groups=[
            {"name": "last.fc", "patterns": ["h.1.*"]},
            {"name": "rest", "patterns": ["wte", "h.0.*"]},
        ],
    )
    inputs = inputs_for(modules, 2, 3)
    found = outputs(function, inputs)
    assert list(found) == ["h.1.fc", "wte", "h.0.fc"]
    expected = []
    for i in range(2):
        x = np.zeros((3, 8))
        parts = [{} for _ in range(3)]
        for block, members in (("last-fc", [A]), ("rest", [WTE, B])):
            projected = np.concatenate([inputs[m.name][i] for m in members], axis=1)
            x = x + projected @ state[f"_inp_projectors.{block}.W"] + state[f"_inp_projectors.{block}.b"]

            def normed(x, which, block=block):
                return np.stack([unit(row) * state[f"{which}.{block}.weight"] for row in x])

            if block == "last-fc":
                if attends:
                    x = x + attention(
                        state, f"_attn_transitions.{block}.", normed(x, "_attn_norms"), n_heads=2
                    )
                y = normed(x, "_transition_norms")
                if hidden is None:
                    x = x + y @ state[f"_transitions.{block}.W"] + state[f"_transitions.{block}.b"]
                else:
                    x = x + np.stack([dense(state, f"_transitions.{block}.", row) for row in y])
            for part, row in zip(parts, normed(x, "_reader_norms"), strict=True):
                part |= split(dense(state, f"_readers.{block}.", row), members)
        expected += parts
    assert not any(key.startswith("_transitions.rest") for key in state)
    assert_rows_equal(found, expected)


def refusal(modules, **config):
    with pytest.raises(InputError) as error:
        build_causal_importance(modules, CausalImportanceConfig(**config))
    return str(error.value)


def test_functions_that_cannot_be_built_are_refused():
    blocks = {"fn_type": "global_reverse_residual", "d_resid_ci_fn": 8, "reader_hidden_dims": []}
    assert refusal([A, WTE], fn_type="shared_mlp", hidden_dims=[]) == (
        "ci_fn_type: this causal-importance function cannot serve an embedding (found: shared_mlp for wte; "
        "allowed: mlp, or a global function)"
    )
    assert "ci_config.hidden_dims: key is missing" in refusal([A], fn_type="global_shared_mlp")
    assert "ci_config.simple_transformer_ci_cfg: key is missing" in refusal(
        [A], fn_type="global_shared_transformer"
    )
    assert "ci_config.block_groups: key is missing" in refusal([A], **blocks)
    assert "module is in no block (found: h.1.fc)" in refusal(
        [A, B], **blocks, block_groups=[{"name": "x", "patterns": ["h.0.*"]}]
    )
    assert "module matched twice (found: h.0.fc in x and y" in refusal(
        [A, B], **blocks, block_groups=[{"name": "x", "patterns": ["*"]}, {"name": "y", "patterns": ["h.0*"]}]
    )
    assert "pattern matches no decomposed module (found: h.7; allowed: h.1.fc, h.0.fc)" in refusal(
        [A, B], **blocks, block_groups=[{"name": "x", "patterns": ["h.7"]}]
    )
    assert "ci_config.transition_attn_config.n_heads: heads do not fit the width (found: 3" in refusal(
        [A], **blocks, block_groups=[{"name": "x", "patterns": ["*"]}], transition_attn_config={"n_heads": 3}
    )


# sigmoids

finite = st.floats(-50, 50, width=32)


@settings(deadline=None)
@given(finite)
def test_leaky_hard_kinds_differ_only_above_one(x):
    lower, upper = (find_sigmoids("leaky_hard")[f"{kind}_leaky"] for kind in ("lower", "upper"))
    low, up = (float(f(torch.tensor(x, dtype=torch.float64))) for f in (lower, upper))
    assert low == min(max(x, 0), 1)
    assert up == pytest.approx(low if x <= 1 else 1 + 0.01 * (x - 1))


@settings(deadline=None)
@given(finite)
def test_swish_hard_equals_the_sum_of_four_swishes(x):
    def swish(y):
        return y / (1 + math.exp(-10 * y))

    y = x - 0.5
    expected = 0.5 + (y - 0.5 - swish(y - 0.5)) - swish(y) + swish(y + 0.5) - (y - swish(y))
    found = float(SIGMOIDS["swish_hard"][0](torch.tensor(x, dtype=torch.float64)))
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("sigmoid_type", sorted(SIGMOIDS))
def test_every_sigmoid_rises_from_nothing_to_one(sigmoid_type):
    x = torch.linspace(-20, 20, 401, dtype=torch.float64)
    for sigmoid in SIGMOIDS[sigmoid_type]:
        y = sigmoid(x)
        assert float(y[0]) == pytest.approx(0, abs=1e-8)
        assert float(sigmoid(torch.tensor(1.0))) == pytest.approx(
            0.73 if sigmoid_type == "normal" else 1, abs=0.05
        )


def test_both_kinds_are_one_function_where_the_type_has_no_leak():
    for sigmoid_type in ("normal", "hard", "swish_hard", "upper_leaky_hard"):
        lower, upper = SIGMOIDS[sigmoid_type]
        assert lower is upper
    x = torch.tensor([-3.0, 0.5, 3.0])
    assert torch.equal(SIGMOIDS["normal"][0](x), torch.sigmoid(x))
    assert SIGMOIDS["upper_leaky_hard"][0](x).tolist() == pytest.approx([0, 0.5, 1.02])
