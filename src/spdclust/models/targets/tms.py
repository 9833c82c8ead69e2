"""Toy model of superposition: features through a narrow layer and back."""

from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from spdclust.config.base import Section
from spdclust.config.load import read_mapping, validate
from spdclust.core.errors import InputError
from spdclust.core.types import Float
from spdclust.models.checkpoint import Checkpoint
from spdclust.models.config import MOST_LAYERS, CheckpointSection
from spdclust.models.targets.base import Target, first_file, own_folders, read_own_weights, toy_task

TRAIN_CONFIG = "tms_train_config.yaml"


class TMSConfig(Section):
    """Sizes of a toy model of superposition.

    `tied_weights` says that training kept `linear2.weight` the transpose of `linear1.weight`. Checkpoints
    store both, so both are taken as stored and never tied again.
    """

    n_features: int = Field(ge=1)
    n_hidden: int = Field(ge=1)
    n_hidden_layers: int = Field(default=0, ge=0, le=MOST_LAYERS)
    tied_weights: bool = False
    init_bias_to_zero: bool = True
    device: str = "cpu"


class TrainConfig(CheckpointSection):
    """The part of the target's training configuration that is read."""

    tms_model_config: TMSConfig
    synced_inputs: list[list[int]] | None = None


class TMSModel(nn.Module):
    """Toy model of superposition with the parameter names of the reference implementation.

    Example:
        >>> model = TMSModel(TMSConfig(n_features=5, n_hidden=2))
        >>> features = model(torch.eye(5))
        >>> features.shape, bool((features >= 0).all())
        (torch.Size([5, 5]), True)
    """

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


def build(checkpoint: Checkpoint) -> Target:
    """Return an empty model of the sizes in `tms_train_config.yaml`.

    The run folder's copy of that file holds the sizes only; the target's own holds the training settings too.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = Path(folder) / "final_config.yaml"
        ...     _ = run.write_text(
        ...         "{pretrained_model_class: TMSModel, module_info: [{module_pattern: linear1, C: 20}],"
        ...         " ci_config: {fn_type: mlp}, task_config: {feature_probability: 0.05}}"
        ...     )
        ...     _ = run.with_name("tms_train_config.yaml").write_text("{n_features: 5, n_hidden: 2}")
        ...     target = build(Checkpoint(run.with_name("model_1.pth"), run, "tiny"))
        >>> tuple(target.module.linear1.weight.shape), target.task.feature_probability
        ((2, 5), 0.05)

    Raises:
        InputError: that file is missing, or does not fit.
    """
    folders = own_folders(checkpoint, checkpoint.config.pretrained_model_path)
    config = _read(folders, checkpoint)
    with torch.device("meta"):
        module = TMSModel(config.tms_model_config)
    return Target(
        module,
        toy_task(checkpoint, "tms", config.tms_model_config.n_features, config.synced_inputs),
        partial(read_own_weights, folders, "tms.pth", module, checkpoint, "pretrained_model_path"),
    )


def _read(folders: list[Path], checkpoint: Checkpoint) -> TrainConfig:
    file = first_file(folders, TRAIN_CONFIG, checkpoint, "pretrained_model_path")
    content = read_mapping(file)
    if "tms_model_config" in content:
        return validate(TrainConfig, content, file=file)
    sizes = validate(TMSConfig, content, file=file)
    # only the target's own file records which features are active together
    try:
        other = first_file(folders[1:], TRAIN_CONFIG, checkpoint, "pretrained_model_path")
        synced_inputs = read_mapping(other).get("synced_inputs")
    except InputError:
        synced_inputs = None
    return TrainConfig(tms_model_config=sizes, synced_inputs=synced_inputs)
