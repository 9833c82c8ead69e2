"""The files of a decomposition run: from a user-supplied path to a validated configuration and tensors.

Names and shapes of the tensors, and from them the number of components, are read without torch.
"""

import hashlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import exists, regular_file
from spdclust.models.config import DecompositionConfig, read_config, run_of_param_decomp
from spdclust.models.wandb_files import parse_wandb_path, run_folder

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

CONFIG_NAME = "final_config.yaml"
_ALLOWED = (
    f"a run folder with {CONFIG_NAME} and model_<step>.pth, such a .pth file, or wandb:entity/project/run_id"
)
_STEP = re.compile(r"model_(?:.*_)?(\d+)\.pth")


@dataclass(frozen=True)
class Checkpoint:
    """Local files of one decomposition run.

    Attributes:
        weights: the `model_<step>.pth` file.
        config_file: its `final_config.yaml`.
        source: a name for logs and provenance, without absolute paths.
        target_folder: folder of the target model's files, if different from the configuration.
    """

    weights: Path
    config_file: Path
    source: str
    target_folder: Path | None = None

    @property
    def folder(self) -> Path:
        """The run folder; relative paths in the configuration start here."""
        return self.config_file.parent

    @cached_property
    def config(self) -> DecompositionConfig:
        """The validated configuration, with deprecated keys translated."""
        return read_config(self.config_file)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights file followed by the configuration file, in hexadecimal."""
        digest = hashlib.sha256()
        for file in (self.weights, self.config_file):
            with regular_file(file, _ALLOWED).open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()


def resolve_checkpoint(path: str | Path) -> Checkpoint:
    """Resolve a `model_path` to local files.

    Example:
        >>> resolve_checkpoint("resources/resid_mlp1").weights.name
        'model_6000.pth'

    Args:
        path: a run folder (its last step is used), a `model_<step>.pth` file, or a W&B run, whose files are
            downloaded unless they are in the cache.

    Raises:
        InputError: there is no such file, folder or run, no checkpoint or configuration in it, or the file is
            of a type that is not known.
    """
    run = parse_wandb_path(path)
    location = Path(path).expanduser() if run is None else run_folder(run)
    if exists(location) and location.is_dir():
        weights = _last_step(location)
    elif not exists(location):
        raise InputError("no such file or folder", file=location, field="model_path", allowed=_ALLOWED)
    elif location.suffix not in (".pth", ".pt"):
        raise InputError(
            "unknown type of model file",
            file=location,
            field="model_path",
            found=location.suffix or "no suffix",
            allowed=_ALLOWED,
        )
    else:
        weights = location
    config_file = weights.parent / CONFIG_NAME
    if not config_file.is_file():
        raise InputError("file is missing next to the checkpoint", file=config_file, allowed=_ALLOWED)
    return Checkpoint(weights, config_file, source=f"{weights.resolve().parent.name}/{weights.name}")


def _last_step(folder: Path) -> Path:
    steps = {
        int(match[1]): file for file in folder.glob("model_*.pth") if (match := _STEP.fullmatch(file.name))
    }
    if not steps and (folder / "ckpts").is_dir():
        worker = "python -m param_decomp.clustering.scripts.run_worker"
        options = "--n_tokens 50000 --batch_size 16 --n_tokens_per_seq 8"
        raise run_of_param_decomp(
            folder, "JAX checkpoints in ckpts/", f"{worker} --run_dir {folder} {options}"
        )
    if not steps:
        raise InputError(
            "no model_<step>.pth in the folder", file=folder, field="model_path", allowed=_ALLOWED
        )
    last = steps[max(steps)]
    if len(steps) > 1:
        logger.warning("%s holds %d checkpoints; taking the last, %s", folder, len(steps), last.name)
    return last


def read_state_dict(file: Path, *, shapes_only: bool = False) -> "dict[str, torch.Tensor]":
    """Return the tensors in a `torch.save`d state dict, on the CPU; nothing in the file is executed.

    With `shapes_only` the values are not read or verified.

    Example:
        >>> len(read_state_dict(Path("resources/resid_mlp1/model_6000.pth")))
        16

    Raises:
        InputError: the file is missing, truncated or damaged, contains code, or is not a state dict.
    """
    import torch

    from spdclust.files.torch_files import load_tensors

    allowed = "a state dict as torch.save writes it: parameter names and tensors, nothing else"
    state = load_tensors(file, "state dict", allowed, verify=not shapes_only, mapped=shapes_only)
    if not isinstance(state, dict):
        raise InputError("not a state dict", file=file, found=type(state).__name__, allowed=allowed)
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise InputError(
                "not a state dict", file=file, field=str(key), found=type(value).__name__, allowed=allowed
            )
        if value.layout is not torch.strided or value.is_complex():
            found = f"{value.layout}, {value.dtype}"
            raise InputError("not a plain tensor", file=file, field=key, found=found, allowed=allowed)
    return {key: value.detach() for key, value in state.items()}


TARGET = "target_model."
COMPONENTS = "_components."
LAYERWISE = "_ci_fns."
GLOBAL = "_global_ci_fn."


def current_name(key: str) -> str:
    """Return the current name of a tensor in a checkpoint.

    Example:
        >>> current_name("patched_model.h.0.mlp.original.weight")
        'target_model.h.0.mlp.weight'
        >>> current_name("patched_model.h.0.mlp.components.V")
        '_components.h-0-mlp.V'
        >>> current_name("_gates.h-0-mlp.layers.0.W"), current_name("ci_fn._ci_fns.h-0-mlp.layers.0.W")
        ('_ci_fns.h-0-mlp.layers.0.W', '_ci_fns.h-0-mlp.layers.0.W')
        >>> current_name("ci_fn._global_ci_fn.layers.0.b")
        '_global_ci_fn.layers.0.b'
    """
    if key.startswith("_gates."):
        key = LAYERWISE + key.removeprefix("_gates.")
    if key.startswith(("ci_fn._ci_fns.", "ci_fn._global_ci_fn.")):
        key = key.removeprefix("ci_fn.")
    if key.startswith("patched_model."):
        key = TARGET + key.removeprefix("patched_model.")
    if key.startswith(TARGET):
        for name in ("weight", "bias"):
            if key.endswith(f".original.{name}"):
                key = key.removesuffix(f".original.{name}") + f".{name}"
        for name in ("U", "V"):
            if key.endswith(f".components.{name}"):
                path = key.removeprefix(TARGET).removesuffix(f".components.{name}")
                key = f"{COMPONENTS}{path.replace('.', '-')}.{name}"
    return key


def read_shapes(checkpoint: Checkpoint, *, plain_only: bool = False) -> dict[str, tuple[int, ...]] | None:
    """Return the shape of every tensor of the weights by its current name; no values are read.

    Example:
        >>> read_shapes(resolve_checkpoint("resources/resid_mlp1"))["_components.layers-0-mlp_in.V"]
        (400, 100)

    Args:
        checkpoint: the files.
        plain_only: return None for a file that only torch can read, instead of importing torch.

    Raises:
        InputError: the weights are missing, damaged, or not a state dict.
    """
    # numpy takes long to import, and the workflow's rules need only the files of a checkpoint
    from spdclust.files.torch_files import read_plain_tensors

    state: Mapping[str, Any] | None = read_plain_tensors(checkpoint.weights, "state dict")
    if state is None or any(isinstance(value, str) for value in state.values()):
        if plain_only:
            return None
        state = read_state_dict(checkpoint.weights, shapes_only=True)
    return {current_name(key): tuple(tensor.shape) for key, tensor in state.items()}
