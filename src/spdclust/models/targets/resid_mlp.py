"""Residual MLP on sparse features: embed, add layers of `out(act(in(x)))`, read out."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import AliasChoices, Field
from torch import nn

from spdclust.config.base import Section
from spdclust.config.load import read_mapping, validate
from spdclust.core.types import Float
from spdclust.models.checkpoint import Checkpoint
from spdclust.models.config import MOST_LAYERS, CheckpointSection
from spdclust.models.targets.base import Target, first_file, own_folders, read_own_weights, toy_task

TRAIN_CONFIG = "resid_mlp_train_config.yaml"


class ResidMLPConfig(Section):
    """Sizes of a residual MLP."""

    n_features: int = Field(ge=1)
    d_embed: int = Field(ge=1)
    d_mlp: int = Field(ge=1)
    n_layers: int = Field(ge=1, le=MOST_LAYERS)
    act_fn_name: Literal["gelu", "relu"]
    in_bias: bool
    out_bias: bool


class TrainConfig(CheckpointSection):
    """The part of the target's training configuration that is read."""

    model: ResidMLPConfig = Field(validation_alias=AliasChoices("resid_mlp_model_config", "resid_mlp_config"))
    synced_inputs: list[list[int]] | None = None


class Layer(nn.Module):
    """One MLP that reads the residual stream.

    Example:
        >>> config = ResidMLPConfig(
        ...     n_features=3, d_embed=4, d_mlp=2, n_layers=1,
        ...     act_fn_name="relu", in_bias=False, out_bias=False,
        ... )
        >>> Layer(config)(torch.zeros(5, 4)).shape
        torch.Size([5, 4])
    """

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
    """Residual MLP with the parameter names of the reference implementation.

    Example:
        >>> config = ResidMLPConfig(
        ...     n_features=3, d_embed=4, d_mlp=2, n_layers=1,
        ...     act_fn_name="relu", in_bias=False, out_bias=False,
        ... )
        >>> ResidMLP(config)(torch.zeros(5, 3)).shape
        torch.Size([5, 3])
    """

    def __init__(self, config: ResidMLPConfig) -> None:
        super().__init__()
        self.W_E = nn.Parameter(torch.empty(config.n_features, config.d_embed))
        self.W_U = nn.Parameter(torch.empty(config.d_embed, config.n_features))
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.n_layers))

    def forward(self, x: Float[torch.Tensor, "... n_features"]) -> Float[torch.Tensor, "... n_features"]:
        """Map features to features."""
        residual = x @ self.W_E
        for layer in self.layers:
            residual = residual + layer(residual)
        return residual @ self.W_U


def build(checkpoint: Checkpoint) -> Target:
    """Return an empty residual MLP of the sizes in `resid_mlp_train_config.yaml`.

    Example:
        >>> from spdclust.models.checkpoint import resolve_checkpoint
        >>> target = build(resolve_checkpoint("resources/resid_mlp1"))
        >>> tuple(target.module.W_E.shape), target.module.W_E.device.type  # sizes are known, weights not yet
        ((100, 400), 'meta')

    Raises:
        InputError: that file is missing, or does not fit.
    """
    folders = own_folders(checkpoint, checkpoint.config.pretrained_model_path)
    file = first_file(folders, TRAIN_CONFIG, checkpoint, "pretrained_model_path")
    config = validate(TrainConfig, read_mapping(file), file=file)
    with torch.device("meta"):
        module = ResidMLP(config.model)
    return Target(
        module,
        toy_task(checkpoint, "resid_mlp", config.model.n_features, config.synced_inputs),
        partial(read_own_weights, folders, "resid_mlp.pth", module, checkpoint, "pretrained_model_path"),
    )
