"""Count the components of a checkpoint without building its model."""

from collections.abc import Mapping
from typing import Any

from spdclust.files.plain_tensors import read_plain_tensors
from spdclust.models.checkpoint import Checkpoint, read_state_dict
from spdclust.models.state_names import COMPONENTS, current_name


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
