"""Load a decomposed model: check its files and assign its tensors."""

import logging
from pathlib import Path

import torch
from torch import nn

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import as_input_error
from spdclust.models.causal_importance import build_causal_importance, find_sigmoids
from spdclust.models.checkpoint import COMPONENTS, TARGET, resolve_checkpoint
from spdclust.models.component_model import ComponentModel
from spdclust.models.config import ToyTask
from spdclust.models.modules import find_modules
from spdclust.models.state import State, check_shapes, component_shapes, modernised, module_shapes, part
from spdclust.models.targets import build_target

logger = logging.getLogger(__name__)


def load_model(path: str | Path, device: str = "auto") -> ComponentModel:
    """Load a decomposed model from the files written by its training.

    Example:
        >>> model = load_model("resources/resid_mlp1", device="cpu")
        >>> model.components_per_module
        {'layers.0.mlp_in': 100, 'layers.0.mlp_out': 100}

    Args:
        path: a run folder (its last checkpoint is used) or a `model_<step>.pth` file in one.
        device: `auto` (a GPU if available), `cpu`, `cuda`, `cuda:<n>` or `mps`.

    Raises:
        InputError: a file is missing or damaged, an architecture or function is unknown, or the weights do
            not match the configuration.
    """
    target_device = find_device(device)
    checkpoint = resolve_checkpoint(path)
    config, file = checkpoint.config, checkpoint.config_file
    sigmoids = find_sigmoids(config.sigmoid_type, file)
    with as_input_error("invalid model configuration", file, "sizes that a model can have"):
        target = build_target(checkpoint)
        modules = find_modules(target.module, config, file)
        # empty tensors: they are replaced by the checkpoint's, and no random numbers are drawn
        with torch.device("meta"):
            function = build_causal_importance(modules, config.ci_config, file)
    prefix = str(function.prefix)
    if isinstance(target.task, ToyTask) and getattr(function, "attends", False):
        logger.warning(
            "%s: ci_config.transition_attn_config: inputs have no sequence, so attention goes over the "
            "samples of a batch and results depend on the batch size",
            file,
        )

    state = modernised(checkpoint.read_state(), checkpoint.weights)
    if not part(state, TARGET):
        state |= {TARGET + name: tensor for name, tensor in target.own_weights().items()}
    expected = (
        module_shapes(target.module, TARGET) | component_shapes(modules) | module_shapes(function, prefix)
    )
    check_shapes(state, expected, checkpoint.weights, [TARGET + pattern for pattern in target.ignored])
    weights = [prefix + name for name, _ in function.named_parameters()]
    weights += [TARGET + name for name, _ in target.module.named_parameters()]
    for name in [*weights, *component_shapes(modules)]:
        if not state[name].is_floating_point():
            raise InputError(
                "not a tensor of weights",
                file=checkpoint.weights,
                field=name,
                found=str(state[name].dtype),
                allowed="a floating-point type",
            )
    target.module = _filled(target.module, part(state, TARGET), target_device)
    function = _filled(function, part(state, prefix), target_device)
    readers = {
        module.name: state[f"{COMPONENTS}{module.key}.V"].to(target_device)
        for module in modules
        if function.reads_components or module.kind == "embedding"
    }
    return ComponentModel(checkpoint, target, modules, function, sigmoids, readers, target_device)


def find_device(device: str) -> torch.device:
    """Return the device for a setting.

    Example:
        >>> find_device("cpu")
        device(type='cpu')

    Raises:
        InputError: the device is not available.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError):
        raise InputError(
            "no such device here", field="device", found=device, allowed="auto, cpu, cuda, cuda:<n>, mps"
        ) from None
    return found


def _filled(module: nn.Module, state: State, device: torch.device) -> nn.Module:
    known = module.state_dict().keys()
    module.load_state_dict({name: state[name] for name in known}, assign=True)
    return module.eval().requires_grad_(False).to(device)
