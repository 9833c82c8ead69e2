"""Tensors of a checkpoint: current names, expected names and shapes; the weights of its components."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import torch

from spdclust.core.errors import InputError
from spdclust.models.checkpoint import COMPONENTS, current_name, resolve_checkpoint
from spdclust.models.modules import DecomposedModule

State = dict[str, torch.Tensor]
Shape = tuple[int, ...]


def modernised(state: Mapping[str, torch.Tensor], file: Path | None = None) -> State:
    """Return the state dict with current names and floating-point tensors as float32.

    Example:
        >>> list(modernised({"_gates.a.layers.0.b": torch.zeros(2)}))
        ['_ci_fns.a.layers.0.b']

    Raises:
        InputError: two keys refer to the same tensor.
    """
    new: State = {}
    for key, tensor in state.items():
        name = current_name(key)
        if name in new:
            raise InputError("two keys for the same tensor", file=file, field=key, found=name)
        new[name] = tensor.float() if tensor.is_floating_point() else tensor
    return new


def component_shapes(modules: Sequence[DecomposedModule]) -> dict[str, Shape]:
    """Return the name and shape of every tensor of the components of given modules.

    Example:
        >>> component_shapes([DecomposedModule("a.b", "matrix", 3, 2, 7, has_bias=False)])
        {'_components.a-b.V': (3, 7), '_components.a-b.U': (7, 2)}
    """
    shapes: dict[str, Shape] = {}
    for module in modules:
        prefix = f"{COMPONENTS}{module.key}."
        shapes[prefix + "V"] = (module.d_in, module.n_components)
        shapes[prefix + "U"] = (module.n_components, module.d_out)
        if module.has_bias and module.kind == "matrix":
            shapes[prefix + "bias"] = (module.d_out,)
    return shapes


def module_shapes(module: torch.nn.Module, prefix: str) -> dict[str, Shape]:
    """Return prefixed name and shape of every tensor in a module's state dict.

    Example:
        >>> module_shapes(torch.nn.Linear(3, 2), "target_model.")
        {'target_model.weight': (2, 3), 'target_model.bias': (2,)}
    """
    return {prefix + name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def check_shapes(
    state: Mapping[str, torch.Tensor],
    expected: Mapping[str, Shape],
    file: Path | None = None,
    ignored: Sequence[str] = (),
) -> None:
    """Check that a state dict has exactly the expected tensors and shapes.

    Example:
        >>> check_shapes({"a": torch.zeros(2, 3)}, {"a": (2, 4)}, Path("model_1.pth"))
        Traceback (most recent call last):
        ...
        spdclust.InputError: model_1.pth: a: shape does not match the configuration (found: (2, 3);
        allowed: (2, 4))

    Raises:
        InputError: a shape differs, a tensor is missing, or there is an unexpected tensor.
    """
    for name, shape in expected.items():
        if name in state and tuple(state[name].shape) != shape:
            raise InputError(
                "shape does not match the configuration",
                file=file,
                field=name,
                found=str(tuple(state[name].shape)),
                allowed=str(shape),
            )
    missing = [name for name in expected if name not in state]
    unexpected = [
        name
        for name in state
        if name not in expected and not any(fnmatchcase(name, pattern) for pattern in ignored)
    ]
    if missing:
        raise InputError(
            f"tensor is missing{_and_more(missing)}",
            file=file,
            field=missing[0],
            found=f"instead {unexpected[0]}" if unexpected else None,
            allowed=f"shape {expected[missing[0]]}",
        )
    if unexpected:
        raise InputError(
            f"tensor that the configuration does not have{_and_more(unexpected)}",
            file=file,
            field=unexpected[0],
            found=f"shape {tuple(state[unexpected[0]].shape)}",
        )


def part(state: Mapping[str, torch.Tensor], prefix: str) -> State:
    """Return the tensors under a prefix, without it.

    Example:
        >>> list(part({"a.b": torch.zeros(1), "c.d": torch.zeros(1)}, "a."))
        ['b']
    """
    return {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}


def _and_more(names: list[str]) -> str:
    return f", and {len(names) - 1} more" if len(names) > 1 else ""


def component_weights(path: str | Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return `V` and `U` of every decomposed module.

    Example:
        >>> weights = component_weights("resources/resid_mlp1")
        >>> {module: (v.shape, u.shape) for module, (v, u) in weights.items()}
        {'layers.0.mlp_in': ((400, 100), (100, 50)), 'layers.0.mlp_out': ((50, 100), (100, 400))}

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
