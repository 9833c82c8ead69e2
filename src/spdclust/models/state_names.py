"""Names and shapes of the tensors in a checkpoint, and its number of components. Free of torch."""

from collections.abc import Mapping
from typing import Any

from spdclust.files.plain_tensors import read_plain_tensors
from spdclust.models.checkpoint import Checkpoint, read_state_dict

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


def count_components(checkpoint: Checkpoint) -> dict[str, int]:
    """Return the number of components of each decomposed module, sorted by name, from the weights' shapes.

    Example:
        >>> from spdclust.models.checkpoint import resolve_checkpoint
        >>> count_components(resolve_checkpoint("resources/resid_mlp1"))
        {'layers-0-mlp_in': 100, 'layers-0-mlp_out': 100}

    Raises:
        InputError: the weights are missing, damaged, or not a state dict.
    """
    state: Mapping[str, Any] | None = read_plain_tensors(checkpoint.weights, "state dict")
    if state is None or any(isinstance(value, str) for value in state.values()):
        state = read_state_dict(checkpoint.weights, shapes_only=True)
    named = {current_name(key): tuple(tensor.shape) for key, tensor in state.items()}
    return {
        key.removeprefix(COMPONENTS).removesuffix(".V"): shape[1]
        for key, shape in sorted(named.items())
        if key.startswith(COMPONENTS) and key.endswith(".V") and len(shape) == 2
    }
