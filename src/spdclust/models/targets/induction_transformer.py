"""Small transformer trained to complete repeated tokens: attention, optional MLPs and layer norms."""

from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import nn

from spdclust.config.base import Section
from spdclust.config.load import read_mapping, validate
from spdclust.core.types import Float, Int
from spdclust.models.checkpoint import Checkpoint
from spdclust.models.config import LARGEST, MOST_LAYERS, CheckpointSection, InductionTask
from spdclust.models.targets.base import Target, first_file, own_folders, read_own_weights

_FIELD = "pretrained_model_path"
_NAMES = ("induction_head", "ih")
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


class TrainConfig(CheckpointSection):
    """The part of the target's training configuration that is read."""

    ih_model_config: InductionConfig


class _PositionalEncoding(nn.Module):
    """A vector for each position, as stored in the checkpoint."""

    pe: torch.Tensor

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.register_buffer("pe", torch.empty(1, length, width))


class Attention(nn.Module):
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


class MLP(nn.Module):
    """Two linear maps with GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Float[torch.Tensor, "... d"]) -> Float[torch.Tensor, "... d"]:
        """Return what the MLP adds."""
        out: torch.Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class Block(nn.Module):
    """Attention, then maybe an MLP, each adding to the stream, which may be normalised afterwards."""

    def __init__(self, config: InductionConfig) -> None:
        super().__init__()
        self.attn = Attention(config)
        if config.use_ff:
            self.ff = MLP(config.d_model, config.d_model * config.ff_fanout)
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
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
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


def build(checkpoint: Checkpoint) -> Target:
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
        >>> target = build(Checkpoint(run.with_name("model_1.pth"), run, "tiny"))
        >>> target.task.vocab_size, target.task.prefix_window, target.max_length
        (11, 5, 8)

    Raises:
        InputError: that file is missing, or does not fit.
    """
    folders = own_folders(checkpoint, checkpoint.config.pretrained_model_path)
    file = _first_of(folders, "{}_train_config.yaml", checkpoint)
    config = validate(TrainConfig, read_mapping(file), file=file).ih_model_config
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
        partial(_own_weights, folders, module, checkpoint),
        max_length=config.seq_len,
    )


def _first_of(folders: list[Path], name: str, checkpoint: Checkpoint) -> Path:
    for folder in folders:
        for start in _NAMES:
            if (folder / name.format(start)).is_file():
                return folder / name.format(start)
    return first_file(folders, name.format(_NAMES[-1]), checkpoint, _FIELD)


def _own_weights(folders: list[Path], module: nn.Module, checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    name = _first_of(folders, "{}.pth", checkpoint).name
    return read_own_weights(folders, name, module, checkpoint, _FIELD)
