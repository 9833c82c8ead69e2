"""The common interface of target models, and the search for their configurations and weights."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import Field
from torch import nn

from spdclust.config.base import Section
from spdclust.config.load import read_mapping, validate
from spdclust.core.errors import InputError
from spdclust.models.checkpoint import Checkpoint, read_state_dict
from spdclust.models.config import LARGEST, MOST_LAYERS, LanguageTask, Task, ToyTask
from spdclust.models.modules import check_shapes, module_shapes
from spdclust.models.wandb_files import parse_wandb_path, run_folder

MODEL_CONFIG = "model_config.yaml"


@dataclass
class Target:
    """A target model and its input requirements.

    Attributes:
        module: the model; its tensors are empty until a checkpoint is loaded.
        task: the training task.
        max_length: longest sequence it takes; None where there are no sequences, or no limit.
        own_weights: returns the model's own weights, for checkpoints that omit them.
        ignored: patterns of tensor names in checkpoints that the model does not have.
    """

    module: nn.Module
    task: Task
    own_weights: Callable[[], dict[str, torch.Tensor]]
    max_length: int | None = None
    ignored: list[str] = field(default_factory=list)

    def smallest_input(self) -> torch.Tensor:
        """Return one sample, used to determine the order of execution of the modules."""
        if isinstance(self.task, ToyTask):
            return torch.zeros(1, self.task.n_features)
        return torch.zeros(1, 1, dtype=torch.long)


def own_folders(checkpoint: Checkpoint, path: str | None) -> list[Path]:
    """Return the folders to search for a target model's files, best first.

    Relative paths of the configuration start from the run folder, or from the working folder. The run folder
    itself holds copies for the toy models.

    Example:
        >>> from spdclust.models.checkpoint import resolve_checkpoint
        >>> run = resolve_checkpoint("resources/resid_mlp1")
        >>> [folder.as_posix() for folder in own_folders(run, "../target/tms.pth")]
        ['resources/resid_mlp1', 'resources/resid_mlp1/../target', '../target']
    """
    folders = [checkpoint.folder]
    if checkpoint.target_folder is not None:
        folders.append(checkpoint.target_folder)
    if path is not None and not path.startswith("wandb:"):
        folders += [(checkpoint.folder / path).parent, Path(path).parent]
    return folders


def first_file(folders: list[Path], name: str, checkpoint: Checkpoint, field: str) -> Path:
    """Return the first `folder/name` that exists; search the target's W&B run last, if it has one.

    Example:
        >>> from spdclust.models.checkpoint import resolve_checkpoint
        >>> run = resolve_checkpoint("resources/resid_mlp1")
        >>> folders = own_folders(run, "../target/resid_mlp.pth")
        >>> first_file(folders, "resid_mlp_train_config.yaml", run, "pretrained_model_path").as_posix()
        'resources/resid_mlp1/resid_mlp_train_config.yaml'

    Raises:
        InputError: the file does not exist.
    """
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    run = parse_wandb_path(getattr(checkpoint.config, field, None) or "")
    if run is not None and (run_folder(run, of_target=True) / name).is_file():
        return run_folder(run, of_target=True) / name
    raise InputError(
        "files of the target model are missing",
        file=checkpoint.config_file,
        field=field,
        found=getattr(checkpoint.config, field, None),
        allowed=f"a path with {name} next to it, or that file in the run folder",
    )


def read_own_weights(
    folders: list[Path], name: str, module: nn.Module, checkpoint: Checkpoint, field: str
) -> dict[str, torch.Tensor]:
    """Return the target model's own weights, for checkpoints that omit them.

    Example:
        >>> from spdclust.models.checkpoint import resolve_checkpoint
        >>> run = resolve_checkpoint("resources/resid_mlp1")
        >>> module = nn.Linear(2, 1)
        >>> torch.save(module.state_dict(), f"{folder}/tiny.pth")
        >>> weights = read_own_weights([folder], "tiny.pth", module, run, "pretrained_model_path")
        >>> {name: tuple(tensor.shape) for name, tensor in weights.items()}
        {'weight': (1, 2), 'bias': (1,)}

    Raises:
        InputError: the file is missing or damaged, or does not match the model.
    """
    file = first_file(folders, name, checkpoint, field)
    state = read_state_dict(file)
    check_shapes(state, module_shapes(module, ""), file)
    return {key: tensor.float() for key, tensor in state.items()}


def toy_task(checkpoint: Checkpoint, name: str, n_features: int, synced_inputs: Any) -> ToyTask:
    """Return the task of a toy model from the decomposition's `task_config`.

    Example:
        >>> from spdclust.models.checkpoint import resolve_checkpoint
        >>> task = toy_task(resolve_checkpoint("resources/resid_mlp1"), "resid_mlp", 100, None)
        >>> task.n_features, task.feature_probability
        (100, 0.01)

    Raises:
        InputError: a value is missing or of the wrong kind.
    """
    settings = checkpoint.config.task_config | {
        "name": name,
        "n_features": n_features,
        "synced_inputs": synced_inputs,
    }
    return validate(ToyTask, settings, file=checkpoint.config_file)


def language_task(checkpoint: Checkpoint, vocab_size: int) -> LanguageTask:
    """Return the task of a language model from the decomposition's `task_config`.

    Example:
        >>> from spdclust.models.checkpoint import resolve_checkpoint
        >>> task = language_task(resolve_checkpoint("resources/lm_llama2L/run"), vocab_size=512)
        >>> task.max_seq_len, task.tokenizer_name
        (48, '../tokenizer')

    Raises:
        InputError: a value is missing or of the wrong kind.
    """
    settings = checkpoint.config.task_config | {
        "name": "lm",
        "vocab_size": vocab_size,
        "folder": checkpoint.folder,
        "tokenizer_name": checkpoint.config.tokenizer_name,
    }
    return validate(LanguageTask, settings, file=checkpoint.config_file)


class LanguageModelConfig(Section):
    """What every language model's configuration has, with the reference implementation's defaults."""

    model_type: str
    block_size: int = Field(default=1024, ge=1, le=LARGEST)
    """Longest sequence."""
    vocab_size: int = Field(default=50257, ge=1, le=LARGEST)
    n_layer: int = Field(default=12, ge=0, le=MOST_LAYERS)
    n_head: int = Field(default=12, ge=1, le=LARGEST)
    n_embd: int = Field(default=768, ge=1, le=LARGEST)


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

    Raises:
        InputError: that file is missing, or does not fit.
    """
    field = "pretrained_model_name"
    weights = checkpoint.config.pretrained_model_name or checkpoint.config.pretrained_model_path
    candidates = _places(checkpoint, weights)
    # the weights are in `checkpoints/`, the configuration is one folder up
    folders = [
        checkpoint.folder,
        *(folder for candidate in candidates for folder in (candidate.parent, candidate)),
    ]
    file = first_file(folders, MODEL_CONFIG, checkpoint, field)
    config = validate(config_class, _with_type(read_mapping(file), checkpoint, file), file=file)
    with torch.device("meta"):
        module = build(config)
    name = Path(weights or "").name
    return Target(
        module,
        language_task(checkpoint, config.vocab_size),
        partial(read_own_weights, candidates, name, module, checkpoint, field),
        max_length=config.block_size,
    )


def _places(checkpoint: Checkpoint, weights: str | None) -> list[Path]:
    candidates = [] if checkpoint.target_folder is None else [checkpoint.target_folder / "checkpoints"]
    if weights is not None and not weights.startswith("wandb:"):
        candidates += [(checkpoint.folder / weights).parent, Path(weights).parent]
    return candidates


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
