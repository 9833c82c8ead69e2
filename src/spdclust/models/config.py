"""The model and its task in the `final_config.yaml` of a decomposition run, with the current keys.

Only the parts of the training configuration that define the model are read; the rest is ignored.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt, model_validator

from spdclust.config.base import Section
from spdclust.config.load import read_mapping, validate
from spdclust.core.errors import InputError

MOST_LAYERS = 10_000  # of a model; each is built before the weights are read
LARGEST = 2**31 - 1  # the largest valid size in a model's configuration


class CheckpointSection(Section, extra="ignore"):
    """A part of a checkpoint's configuration; keys that do not concern loading are ignored."""


class ModulePattern(CheckpointSection):
    """Which modules of the target model are decomposed, and into how many components each."""

    module_pattern: str
    C: int = Field(ge=1, le=LARGEST)


class AttentionConfig(CheckpointSection):
    """Self-attention inside a global causal-importance function."""

    n_heads: int = Field(ge=1, le=LARGEST)
    max_len: int = Field(default=2048, ge=1, le=LARGEST)
    rope_base: float = Field(default=10000.0, gt=0)


class TransformerConfig(CheckpointSection):
    """Sizes of the `global_shared_transformer` causal-importance function."""

    d_model: int = Field(ge=1, le=LARGEST)
    n_blocks: int = Field(ge=0, le=MOST_LAYERS)
    mlp_hidden_dim: list[PositiveInt] | None = None
    attn_config: AttentionConfig


class BlockGroup(CheckpointSection):
    """One block of modules of the `global_reverse_residual` causal-importance function."""

    name: str
    patterns: list[str]


class CausalImportanceConfig(CheckpointSection):
    """Kind and sizes of the causal-importance function."""

    mode: Literal["layerwise", "global"] = "layerwise"
    fn_type: str
    hidden_dims: list[PositiveInt] | None = None
    simple_transformer_ci_cfg: TransformerConfig | None = None
    reader_hidden_dims: list[PositiveInt] | None = None
    d_resid_ci_fn: PositiveInt | None = None
    block_groups: list[BlockGroup] | None = None
    transition_attn_config: AttentionConfig | None = None
    transition_hidden_dim: PositiveInt | None = None


class DecompositionConfig(CheckpointSection):
    """The part of a decomposition run's configuration that rebuilds its model.

    Example:
        >>> config = read_config(Path("resources/resid_mlp1/final_config.yaml"))
        >>> config.ci_config.fn_type, config.module_info[0].C, config.label_order
        ('mlp', 100, 'forward')
    """

    module_info: list[ModulePattern] = Field(min_length=1)
    identity_module_info: list[ModulePattern] | None = None
    ci_config: CausalImportanceConfig
    label_order: Literal["forward", "sorted"]
    """Labels follow the modules as the forward pass runs them (runs without a `ci_config` of their own),
    or as the causal-importance function returns them."""
    sigmoid_type: str = "leaky_hard"
    pretrained_model_class: str
    pretrained_model_path: str | None = None
    pretrained_model_name: str | None = None
    pretrained_model_output_attr: str | None = None
    tokenizer_name: str | None = None
    task_config: dict[str, Any]

    @model_validator(mode="before")
    @classmethod
    def _modernise(cls, data: Any) -> Any:
        return _modernised(data) if isinstance(data, dict) else data


def read_config(file: Path) -> DecompositionConfig:
    """Return the configuration in `final_config.yaml`, deprecated keys translated.

    Example:
        >>> read_config(Path("resources/resid_mlp1/final_config.yaml")).task_config["task_name"]
        'resid_mlp'

    Raises:
        InputError: the file is missing or unreadable, a key is missing or has the wrong kind of value.
    """
    data = read_mapping(file)
    if isinstance(data.get("pd"), dict):
        raise run_of_param_decomp(
            file.parent, "final_config.yaml with a section pd", "pd-cluster-harvest harvest.json"
        )
    if not ({"module_info", "target_module_patterns"} & data.keys()):
        raise InputError(
            "key is missing: not the configuration of a decomposition run", file=file, field="module_info"
        )
    return validate(DecompositionConfig, data, file=file)


def run_of_param_decomp(folder: Path, found: str, harvest: str) -> InputError:
    """Return the error for a run of the reference implementation's successor, whose models are not read.

    Example:
        >>> str(run_of_param_decomp(Path("p-1"), "ckpts/", "their harvest"))
        'p-1: model_path: a run of param-decomp, whose checkpoints are not read (found: ckpts/;
         allowed: precomputed_activations_dir, with the snapshot of this run that `their harvest` writes)'
    """
    return InputError(
        "a run of param-decomp, whose checkpoints are not read",
        file=folder,
        field="model_path",
        found=found,
        allowed=f"precomputed_activations_dir, with the snapshot of this run that `{harvest}` writes",
    )


_RENAMED = {
    "pretrained_model_name_hf": "pretrained_model_name",
    "gate_type": "ci_fn_type",
    "gate_hidden_dims": "ci_fn_hidden_dims",
}

_OLD_PACKAGES = {"simple_stories_train.models.": "spd.pretrain.models."}


def _modernised(data: dict[str, Any]) -> dict[str, Any]:
    """Translate the keys of older runs: patterns with one C for all, flat causal-importance keys, renames."""
    new = {_RENAMED.get(key, key): value for key, value in data.items()}
    for patterns, info in (
        ("target_module_patterns", "module_info"),
        ("identity_module_patterns", "identity_module_info"),
    ):
        if new.get(info) is None and new.get(patterns) is not None:
            new[info] = [{"module_pattern": pattern, "C": new.get("C")} for pattern in new[patterns]]
    new["label_order"] = "forward"
    if new.get("ci_config") is not None:
        new["label_order"] = "sorted"
    elif "ci_fn_type" in new:
        new["ci_config"] = {"fn_type": new["ci_fn_type"], "hidden_dims": new.get("ci_fn_hidden_dims")}
        if new.get("use_global_ci"):
            new["ci_config"] |= {"mode": "global", "fn_type": "global_shared_mlp"}
            new["label_order"] = "sorted"
    model_class = new.get("pretrained_model_class")
    if isinstance(model_class, str):
        for old, renamed in _OLD_PACKAGES.items():
            if model_class.startswith(old):
                new["pretrained_model_class"] = renamed + model_class.removeprefix(old)
    return new


DataGenerationType = Literal[
    "at_least_zero_active",
    "exactly_one_active",
    "exactly_two_active",
    "exactly_three_active",
    "exactly_four_active",
    "exactly_five_active",
]


class ToyTask(CheckpointSection):
    """Sparse feature vectors, the inputs of `resid_mlp` and `tms` models.

    Example:
        >>> ToyTask(name="tms", n_features=5, feature_probability=0.05).data_generation_type
        'at_least_zero_active'
    """

    name: Literal["resid_mlp", "tms"]
    n_features: int = Field(ge=1)
    """Length of an input vector."""
    feature_probability: float = Field(ge=0, le=1)
    """Probability that a feature is active, if features are drawn independently."""
    data_generation_type: DataGenerationType = "at_least_zero_active"
    """Whether features are drawn independently, or a fixed number is active in every sample."""
    synced_inputs: list[list[int]] | None = None
    """Features that are active together: if one of a list is, all are."""

    @model_validator(mode="after")
    def _check_synced(self) -> "ToyTask":
        seen: set[int] = set()
        for feature in (feature for together in self.synced_inputs or [] for feature in together):
            if not 0 <= feature < self.n_features:
                raise ValueError(f"synced_inputs: found {feature} (allowed: 0 to {self.n_features - 1})")
            if feature in seen:
                raise ValueError(f"synced_inputs: found {feature} twice (allowed: each feature once)")
            seen.add(feature)
        return self


class LanguageTask(CheckpointSection):
    """Sequences of tokens, the inputs of language models."""

    name: Literal["lm"]
    vocab_size: int = Field(ge=1)
    """Tokens that the model knows."""
    folder: Path
    """Run folder, which relative paths below start from."""
    max_seq_len: int = Field(default=512, ge=1)
    """Tokens per sequence."""
    tokenizer_name: str | None = None
    """Hub name or folder of the tokenizer."""
    dataset_name: str | None = None
    """Hub name or folder of the dataset."""
    column_name: str = "story"
    """Column that holds the text or the tokens."""
    train_data_split: str = "train"
    """Split that the decomposition was trained on."""
    eval_data_split: str = "test"
    """Split that it was evaluated on."""
    is_tokenized: bool = False
    """Whether the column holds token numbers already."""
    streaming: bool = False
    """Whether the dataset was streamed from the hub."""


class InductionTask(CheckpointSection):
    """Sequences in which a random token after the induction token is to be repeated.

    Example:
        >>> InductionTask(name="induction_head", vocab_size=11, seq_len=8).prefix_window
        5
    """

    name: Literal["induction_head"]
    vocab_size: int = Field(ge=3)
    """Tokens that the model knows: 0 starts a sequence, the last is the induction token."""
    seq_len: int = Field(ge=5)
    """Tokens per sequence."""
    prefix_window: int = Field(default=0, ge=0)
    """The first induction token is drawn from the positions 2 to this one; 0 or null: as far as it fits."""

    @model_validator(mode="before")
    @classmethod
    def _fill_window(cls, values: Any) -> Any:
        if isinstance(values, dict) and not values.get("prefix_window") and "seq_len" in values:
            return values | {"prefix_window": values["seq_len"] - 3}
        return values

    @model_validator(mode="after")
    def _check_window(self) -> "InductionTask":
        if not 2 <= self.prefix_window <= self.seq_len - 3:
            raise ValueError(f"prefix_window: found {self.prefix_window} (allowed: 2 to {self.seq_len - 3})")
        return self


Task = ToyTask | LanguageTask | InductionTask
