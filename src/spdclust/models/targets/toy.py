"""Toy models on sparse features: a residual MLP, and a model of superposition through a narrow layer."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import AliasChoices, Field
from torch import nn

from spdclust.config.base import Section
from spdclust.config.load import read_mapping, validate
from spdclust.core.errors import InputError
from spdclust.core.types import Float
from spdclust.models.checkpoint import Checkpoint
from spdclust.models.config import MOST_LAYERS, CheckpointSection
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
