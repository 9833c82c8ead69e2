"""The weights of a model's components, read from its checkpoint without building the model."""

from pathlib import Path

import numpy as np
import torch

from spdclust.core.errors import InputError
from spdclust.models.checkpoint import resolve_checkpoint
from spdclust.models.state import modernised, part
from spdclust.models.state_names import COMPONENTS


def component_weights(path: str | Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return `V` and `U` of every decomposed module.

    Example:
        >>> weights = component_weights("resources/resid_mlp1")
        >>> {module: (v.shape, u.shape) for module, (v, u) in weights.items()}
        {'layers.0.mlp_in': ((400, 100), (100, 50)), 'layers.0.mlp_out': ((50, 100), (100, 400))}

    Args:
        path: the decomposed model, as in `model_path`.

    Returns:
        By module, float64: `V`, `(inputs, components)`, and `U`, `(components, outputs)`.

    Raises:
        InputError: there is no such checkpoint, or it holds no components.
    """
    checkpoint = resolve_checkpoint(path)
    tensors = part(modernised(checkpoint.read_state(), checkpoint.weights), COMPONENTS)
    keys = sorted(name.removesuffix(".V") for name in tensors if name.endswith(".V"))
    if not keys or any(f"{key}.U" not in tensors for key in keys):
        raise InputError("no components in this checkpoint", file=checkpoint.weights, field=COMPONENTS)
    return {key.replace("-", "."): _pair(tensors[f"{key}.V"], tensors[f"{key}.U"]) for key in keys}


def _pair(v: torch.Tensor, u: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    return v.numpy().astype(np.float64), u.numpy().astype(np.float64)
