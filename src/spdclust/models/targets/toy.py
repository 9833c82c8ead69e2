"""Toy models: a residual MLP and a model of superposition on sparse features, an induction transformer."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import AliasChoices, Field, model_validator
from torch import nn

from spdclust.config.base import Section
from spdclust.config.load import read_mapping, validate
from spdclust.core.errors import InputError
from spdclust.core.types import Float, Int
from spdclust.models.checkpoint import Checkpoint
from spdclust.models.config import LARGEST, MOST_LAYERS, CheckpointSection, InductionTask
from spdclust.models.targets.base import Target, first_file, own_folders, read_own_weights, toy_task

RESID_MLP_TRAIN_CONFIG = "resid_mlp_train_config.yaml"


class ResidMLPConfig(Section):
    """Sizes of a residual MLP."""

    n_features: int = Field(ge=1)
    d_embed: int = Field(ge=1)
    d_mlp: int = Field(ge=1)
    n_layers: int = Field(ge=1, le=MOST_LAYERS)
    act_fn_name: Literal["gelu", "relu"]
    in_bias: bool
    out_bias: bool


class ResidMLPTrainConfig(CheckpointSection):
    """The part of the target's training configuration that is read."""

    model: ResidMLPConfig = Field(validation_alias=AliasChoices("resid_mlp_model_config", "resid_mlp_config"))
    synced_inputs: list[list[int]] | None = None


class _ResidMLPLayer(nn.Module):
    """One MLP that reads the residual stream."""

    def __init__(self, config: ResidMLPConfig) -> None:
        super().__init__()
        self.mlp_in = nn.Linear(config.d_embed, config.d_mlp, bias=config.in_bias)
        self.mlp_out = nn.Linear(config.d_mlp, config.d_embed, bias=config.out_bias)
        self.act: Callable[[torch.Tensor], torch.Tensor] = F.gelu if config.act_fn_name == "gelu" else F.relu

    def forward(self, x: Float[torch.Tensor, "... d_embed"]) -> Float[torch.Tensor, "... d_embed"]:
        """Return what this layer adds."""
        out: torch.Tensor = self.mlp_out(self.act(self.mlp_in(x)))
        return out


class ResidMLP(nn.Module):
    """Residual MLP with the parameter names of the reference implementation."""

    def __init__(self, config: ResidMLPConfig) -> None:
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(config.n_features, config.d_embed))
        self.W_U = nn.Parameter(torch.empty(config.d_embed, config.n_features))
        self.layers = nn.ModuleList(_ResidMLPLayer(config) for _ in range(config.n_layers))

    def forward(self, x: Float[torch.Tensor, "... n_features"]) -> Float[torch.Tensor, "... n_features"]:
        """Map features to features."""
        residual = x @ self.W_E
        for layer in self.layers:
            residual = residual + layer(residual)
        return residual @ self.W_U


def build_resid_mlp(checkpoint: Checkpoint) -> Target:
    """Return an empty residual MLP of the sizes in `resid_mlp_train_config.yaml`.

    Example:
        >>> from spdclust.models.checkpoint import resolve_checkpoint
        >>> target = build_resid_mlp(resolve_checkpoint("resources/resid_mlp1"))
        >>> tuple(target.module.W_E.shape), target.module.W_E.device.type  # sizes are known, weights not yet
        ((100, 400), 'meta')

    Raises:
        InputError: that file is missing, or does not fit.
    """
    folders = own_folders(checkpoint, checkpoint.config.pretrained_model_path)
    file = first_file(folders, RESID_MLP_TRAIN_CONFIG, checkpoint, "pretrained_model_path")
    config = validate(ResidMLPTrainConfig, read_mapping(file), file=file)
    with torch.device("meta"):
        module = ResidMLP(config.model)
    return Target(
        module,
        toy_task(checkpoint, "resid_mlp", config.model.n_features, config.synced_inputs),
        partial(read_own_weights, folders, "resid_mlp.pth", module, checkpoint, "pretrained_model_path"),
    )


TMS_TRAIN_CONFIG = "tms_train_config.yaml"


class TMSConfig(Section):
    """Sizes of a toy model of superposition.

    `tied_weights` means that training kept `linear2.weight` the transpose of `linear1.weight`. Checkpoints
    store both, so both are taken as stored and never tied again.
    """

    n_features: int = Field(ge=1)
    n_hidden: int = Field(ge=1)
    n_hidden_layers: int = Field(default=0, ge=0, le=MOST_LAYERS)
    tied_weights: bool = False
    init_bias_to_zero: bool = True
    device: str = "cpu"


class TMSTrainConfig(CheckpointSection):
    """The part of the target's training configuration that is read."""

    tms_model_config: TMSConfig
    synced_inputs: list[list[int]] | None = None


class TMSModel(nn.Module):
    """Toy model of superposition with the parameter names of the reference implementation."""

    def __init__(self, config: TMSConfig) -> None:
        super().__init__()
        self.linear1 = nn.Linear(config.n_features, config.n_hidden, bias=False)
        self.linear2 = nn.Linear(config.n_hidden, config.n_features)
        if config.n_hidden_layers > 0:
            self.hidden_layers = nn.ModuleList(
                nn.Linear(config.n_hidden, config.n_hidden, bias=False) for _ in range(config.n_hidden_layers)
            )

    def forward(self, x: Float[torch.Tensor, "... n_features"]) -> Float[torch.Tensor, "... n_features"]:
        """Map features to features, all but the last step linear."""
        hidden = self.linear1(x)
        for layer in getattr(self, "hidden_layers", []):
            hidden = layer(hidden)
        return F.relu(self.linear2(hidden))


def build_tms(checkpoint: Checkpoint) -> Target:
    """Return an empty model of the sizes in `tms_train_config.yaml`.

    The run folder's copy of that file holds the sizes only; the target's own holds the training settings too.

    Example:
        >>> run = folder / "final_config.yaml"
        >>> _ = run.write_text(
        ...     "{pretrained_model_class: TMSModel, module_info: [{module_pattern: linear1, C: 20}],"
        ...     " ci_config: {fn_type: mlp}, task_config: {feature_probability: 0.05}}"
        ... )
        >>> _ = run.with_name("tms_train_config.yaml").write_text("{n_features: 5, n_hidden: 2}")
        >>> target = build_tms(Checkpoint(run.with_name("model_1.pth"), run, "tiny"))
        >>> tuple(target.module.linear1.weight.shape), target.task.feature_probability
        ((2, 5), 0.05)

    Raises:
        InputError: that file is missing, or does not fit.
    """
    folders = own_folders(checkpoint, checkpoint.config.pretrained_model_path)
    config = _read_tms(folders, checkpoint)
    with torch.device("meta"):
        module = TMSModel(config.tms_model_config)
    return Target(
        module,
        toy_task(checkpoint, "tms", config.tms_model_config.n_features, config.synced_inputs),
        partial(read_own_weights, folders, "tms.pth", module, checkpoint, "pretrained_model_path"),
    )


def _read_tms(folders: list[Path], checkpoint: Checkpoint) -> TMSTrainConfig:
    file = first_file(folders, TMS_TRAIN_CONFIG, checkpoint, "pretrained_model_path")
    content = read_mapping(file)
    if "tms_model_config" in content:
        return validate(TMSTrainConfig, content, file=file)
    sizes = validate(TMSConfig, content, file=file)
    # only the target's own file records which features are active together
    try:
        other = first_file(folders[1:], TMS_TRAIN_CONFIG, checkpoint, "pretrained_model_path")
        synced_inputs = read_mapping(other).get("synced_inputs")
    except InputError:
        synced_inputs = None
    return TMSTrainConfig(tms_model_config=sizes, synced_inputs=synced_inputs)


_INDUCTION_FIELD = "pretrained_model_path"
_INDUCTION_NAMES = ("induction_head", "ih")
"""Start of the names of the target's files: in the run folder, and in the target's own."""


class InductionConfig(Section):
    """Sizes of an induction transformer."""

    vocab_size: int = Field(ge=1, le=LARGEST)
    """Ordinary tokens; the model also knows the first token of a sequence and the induction token."""
    seq_len: int = Field(ge=1, le=LARGEST)
    d_model: int = Field(ge=1, le=LARGEST)
    n_heads: int = Field(ge=1, le=LARGEST)
    n_layers: int = Field(ge=0, le=MOST_LAYERS)
    ff_fanout: int = Field(ge=1, le=LARGEST)
    """Hidden units of an MLP, as a multiple of `d_model`."""
    use_ff: bool
    use_pos_encoding: bool
    use_layer_norm: bool
    device: str = "cpu"

    @model_validator(mode="after")
    def _check_heads(self) -> "InductionConfig":
        if self.d_model % self.n_heads:
            raise ValueError(f"n_heads: found {self.n_heads} (allowed: a divisor of d_model, {self.d_model})")
        return self


class InductionTrainConfig(CheckpointSection):
    """The part of the target's training configuration that is read."""

    ih_model_config: InductionConfig


class _PositionalEncoding(nn.Module):
    """A vector for each position, as stored in the checkpoint."""

    pe: torch.Tensor

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.register_buffer("pe", torch.empty(1, length, width))


class _Attention(nn.Module):
    """Causal self-attention; queries and keys may have the positions added."""

    def __init__(self, config: InductionConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.q_proj = nn.Linear(config.d_model, config.d_model, bias=False)
        self.k_proj = nn.Linear(config.d_model, config.d_model, bias=False)
        self.v_proj = nn.Linear(config.d_model, config.d_model, bias=False)
        self.out_proj = nn.Linear(config.d_model, config.d_model, bias=False)
        if config.use_pos_encoding:
            self.pos_enc = _PositionalEncoding(config.seq_len, config.d_model)

    def forward(self, x: Float[torch.Tensor, "batch seq d"]) -> Float[torch.Tensor, "batch seq d"]:
        """Return what each position gathers from itself and those before it."""
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        if hasattr(self, "pos_enc"):
            positions = self.pos_enc.pe[:, : x.shape[1]]
            q, k = q + positions, k + positions
        q, k, v = (each.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for each in (q, k, v))
        gathered = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: torch.Tensor = self.out_proj(gathered.transpose(1, 2).flatten(2))
        return out


class _MLP(nn.Module):
    """Two linear maps with GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Float[torch.Tensor, "... d"]) -> Float[torch.Tensor, "... d"]:
        """Return what the MLP adds."""
        out: torch.Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class _Block(nn.Module):
    """Attention, then maybe an MLP, each adding to the stream, which may be normalised afterwards."""

    def __init__(self, config: InductionConfig) -> None:
        super().__init__()
        self.attn = _Attention(config)
        if config.use_ff:
            self.ff = _MLP(config.d_model, config.d_model * config.ff_fanout)
        if config.use_layer_norm:  # both are stored, even without an MLP
            self.ln1 = nn.LayerNorm(config.d_model)
            self.ln2 = nn.LayerNorm(config.d_model)

    def forward(self, x: Float[torch.Tensor, "batch seq d"]) -> Float[torch.Tensor, "batch seq d"]:
        """Return the stream after this block."""
        normalised = hasattr(self, "ln1")
        x = x + self.attn(x)
        x = self.ln1(x) if normalised else x
        if hasattr(self, "ff"):
            x = x + self.ff(x)
            x = self.ln2(x) if normalised else x
        return x


class InductionTransformer(nn.Module):
    """Induction transformer with the parameter names of the reference implementation."""

    def __init__(self, config: InductionConfig) -> None:
        super().__init__()
        self.token_embed = nn.Embedding(config.vocab_size + 2, config.d_model)
        self.pos = _PositionalEncoding(config.seq_len, config.d_model)  # stored, but not used
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.n_layers))
        if config.use_layer_norm:
            self.ln_f = nn.LayerNorm(config.d_model)
        self.unembed = nn.Linear(config.d_model, config.vocab_size + 2, bias=False)

    def forward(self, tokens: Int[torch.Tensor, "batch seq"]) -> Float[torch.Tensor, "batch seq tokens"]:
        """Return logits."""
        x = self.token_embed(tokens)
        for block in self.blocks:
            x = block(x)
        logits: torch.Tensor = self.unembed(self.ln_f(x) if hasattr(self, "ln_f") else x)
        return logits


def build_induction(checkpoint: Checkpoint) -> Target:
    """Return an empty model of the sizes in `induction_head_train_config.yaml` or `ih_train_config.yaml`.

    Example:
        >>> run = folder / "final_config.yaml"
        >>> _ = run.write_text(
        ...     "{pretrained_model_class: InductionTransformer, ci_config: {fn_type: mlp},"
        ...     " module_info: [{module_pattern: blocks.*.attn.*, C: 2}], task_config: {}}"
        ... )
        >>> _ = run.with_name("ih_train_config.yaml").write_text(
        ...     "ih_model_config: {vocab_size: 9, seq_len: 8, d_model: 4, n_heads: 1, n_layers: 2,"
        ...     " ff_fanout: 4, use_ff: false, use_pos_encoding: true, use_layer_norm: false}"
        ... )
        >>> target = build_induction(Checkpoint(run.with_name("model_1.pth"), run, "tiny"))
        >>> target.task.vocab_size, target.task.prefix_window, target.max_length
        (11, 5, 8)

    Raises:
        InputError: that file is missing, or does not fit.
    """
    folders = own_folders(checkpoint, checkpoint.config.pretrained_model_path)
    file = _first_induction_file(folders, "{}_train_config.yaml", checkpoint)
    config = validate(InductionTrainConfig, read_mapping(file), file=file).ih_model_config
    with torch.device("meta"):
        module = InductionTransformer(config)
    settings = checkpoint.config.task_config | {
        "name": "induction_head",
        "vocab_size": config.vocab_size + 2,
        "seq_len": config.seq_len,
    }
    return Target(
        module,
        validate(InductionTask, settings, file=checkpoint.config_file),
        partial(_induction_weights, folders, module, checkpoint),
        max_length=config.seq_len,
    )


def _first_induction_file(folders: list[Path], name: str, checkpoint: Checkpoint) -> Path:
    for folder in folders:
        for start in _INDUCTION_NAMES:
            if (folder / name.format(start)).is_file():
                return folder / name.format(start)
    return first_file(folders, name.format(_INDUCTION_NAMES[-1]), checkpoint, _INDUCTION_FIELD)


def _induction_weights(
    folders: list[Path], module: nn.Module, checkpoint: Checkpoint
) -> dict[str, torch.Tensor]:
    name = _first_induction_file(folders, "{}.pth", checkpoint).name
    return read_own_weights(folders, name, module, checkpoint, _INDUCTION_FIELD)
