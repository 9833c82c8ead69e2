"""Files of a pretrained language model: `model_config.yaml` and `checkpoints/model_step_<n>.pt`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from pydantic import Field
from torch import nn

from spdclust.config.base import Section
from spdclust.config.load import read_mapping, validate
from spdclust.core.errors import InputError
from spdclust.models.checkpoint import Checkpoint
from spdclust.models.config import LARGEST
from spdclust.models.targets.base import Target, first_file, language_task, read_own_weights

MODEL_CONFIG = "model_config.yaml"


class LanguageModelConfig(Section):
    """What every language model's configuration has."""

    model_type: str
    block_size: int = Field(le=LARGEST)
    vocab_size: int = Field(le=LARGEST)


Config = TypeVar("Config", bound=LanguageModelConfig)


def build_pretrained(
    checkpoint: Checkpoint, config_class: type[Config], build: Callable[[Config], nn.Module]
) -> Target:
    """Return an empty language model of the sizes in `model_config.yaml`.

    Example:
        >>> from spdclust.models.checkpoint import resolve_checkpoint
        >>> class Sizes(LanguageModelConfig, extra="ignore"):
        ...     n_embd: int
        >>> run = resolve_checkpoint("resources/lm_llama2L/run")
        >>> target = build_pretrained(run, Sizes, lambda sizes: nn.Embedding(sizes.vocab_size, sizes.n_embd))
        >>> target.module, target.task.vocab_size
        (Embedding(512, 64), 512)

    Args:
        checkpoint: the decomposition, which names the target's weights (`pretrained_model_name`).
        config_class: schema of the configuration file.
        build: function that creates the model.

    Raises:
        InputError: that file is missing, or does not fit.
    """
    field = "pretrained_model_name"
    weights = checkpoint.config.pretrained_model_name or checkpoint.config.pretrained_model_path
    places = _places(checkpoint, weights)
    # the weights are in `checkpoints/`, the configuration is one folder up
    folders = [checkpoint.folder, *(folder for place in places for folder in (place.parent, place))]
    file = first_file(folders, MODEL_CONFIG, checkpoint, field)
    config = validate(config_class, _with_type(read_mapping(file), checkpoint, file), file=file)
    with torch.device("meta"):
        module = build(config)
    name = Path(weights or "").name
    return Target(
        module,
        language_task(checkpoint, config.vocab_size),
        partial(read_own_weights, places, name, module, checkpoint, field),
        max_length=config.block_size,
    )


def _places(checkpoint: Checkpoint, weights: str | None) -> list[Path]:
    places = [] if checkpoint.target_folder is None else [checkpoint.target_folder / "checkpoints"]
    if weights is not None and not weights.startswith("wandb:"):
        places += [(checkpoint.folder / weights).parent, Path(weights).parent]
    return places


def _with_type(content: dict[str, object], checkpoint: Checkpoint, file: Path) -> dict[str, object]:
    """Return the configuration with `model_type`, which old runs imply by the name of the class."""
    expected = checkpoint.config.pretrained_model_class.rpartition(".")[2]
    if content.setdefault("model_type", expected) != expected:
        raise InputError(
            "architecture differs from that of the decomposition",
            file=file,
            field="model_type",
            found=content["model_type"],
            allowed=f"{expected}, as in {checkpoint.config_file}",
        )
    return content
