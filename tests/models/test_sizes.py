"""The smallest sizes of models that a checkpoint may state are accepted, smaller ones are one line with the field."""

import math

import pytest

from spdclust.core.errors import InputError
from spdclust.models.config import AttentionConfig, InductionTask, LanguageTask, ToyTask, TransformerConfig
from spdclust.models.targets.language_models import GPT2SimpleConfig, LlamaSimpleConfig, LlamaSimpleMLPConfig
from spdclust.models.targets.toy import InductionConfig, ResidMLPConfig, TMSConfig

LLAMA = {
    "block_size": 1, "vocab_size": 1, "n_layer": 0, "n_head": 1, "n_embd": 2, "n_intermediate": 1, "n_ctx": 1,
    "n_key_value_heads": 1,
}  # fmt: skip
SMALLEST = {
    AttentionConfig: ({"n_heads": 1, "max_len": 1}, {}),
    TransformerConfig: ({"d_model": 1, "n_blocks": 0}, {"attn_config": {"n_heads": 1}}),
    TMSConfig: ({"n_features": 1, "n_hidden": 1, "n_hidden_layers": 0}, {}),
    ResidMLPConfig: (
        {"n_features": 1, "d_embed": 1, "d_mlp": 1, "n_layers": 1},
        {"act_fn_name": "relu", "in_bias": True, "out_bias": True},
    ),
    InductionConfig: (
        {"vocab_size": 1, "seq_len": 1, "d_model": 1, "n_heads": 1, "n_layers": 0, "ff_fanout": 1},
        {"use_ff": True, "use_pos_encoding": True, "use_layer_norm": True},
    ),
    GPT2SimpleConfig: ({"block_size": 1, "vocab_size": 1, "n_layer": 0, "n_head": 1, "n_embd": 1}, {}),
    LlamaSimpleConfig: (LLAMA, {}),
    LlamaSimpleMLPConfig: (LLAMA, {}),
    ToyTask: ({"n_features": 1, "feature_probability": 0}, {"name": "tms"}),
    LanguageTask: ({"vocab_size": 1, "max_seq_len": 1}, {"name": "lm", "folder": "."}),
    InductionTask: ({"vocab_size": 3, "seq_len": 5}, {"name": "induction_head"}),
}
"""The smallest value of each size, and what else has to be given."""


@pytest.mark.parametrize("kind", SMALLEST)
def test_the_smallest_sizes_are_accepted(kind):
    sizes, rest = SMALLEST[kind]
    made = kind.model_validate(sizes | rest)
    assert {name: getattr(made, name) for name in sizes} == sizes


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, (sizes, _) in SMALLEST.items() for name in sizes]
)
def test_smaller_sizes_are_not(kind, name):
    sizes, rest = SMALLEST[kind]
    smaller = sizes[name] - 1 if name != "n_embd" else 0
    with pytest.raises(InputError, match=name):
        kind.model_validate(sizes | rest | {name: smaller})


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_numbers_have_to_be_finite(value):
    with pytest.raises(
        InputError, match=r"rope_base: not allowed \(found: (inf|nan); allowed: a finite number"
    ):
        AttentionConfig(n_heads=1, rope_base=value)
