"""How many components a checkpoint has, without building its model."""

import pickle

from spdclust.models.checkpoint import Checkpoint, read_state_dict
from spdclust.models.state import COMPONENTS, current_name


def count_components(checkpoint: Checkpoint) -> dict[str, int]:
    """Return the number of components of each decomposed module, sorted by name, off the weights' shapes.

    Example:
        >>> from spdclust.models.checkpoint import resolve_checkpoint
        >>> count_components(resolve_checkpoint("resources/resid_mlp1"))
        {'layers-0-mlp_in': 100, 'layers-0-mlp_out': 100}

    Raises:
        InputError: the weights are missing, damaged, or not a state dict.
    """
    import torch

    try:
        # mapped, so that only the shapes are read
        state = torch.load(checkpoint.weights, map_location="cpu", weights_only=True, mmap=True)
        shapes = {str(key): tuple(tensor.shape) for key, tensor in state.items()}
    except (RuntimeError, ValueError, OSError, EOFError, KeyError, AttributeError, pickle.UnpicklingError):
        # an older file that cannot be mapped, or a bad one, which this says in a line
        shapes = {key: tuple(tensor.shape) for key, tensor in read_state_dict(checkpoint.weights).items()}
    named = {current_name(key): shape for key, shape in shapes.items()}
    return {
        key.removeprefix(COMPONENTS).removesuffix(".V"): shape[1]
        for key, shape in sorted(named.items())
        if key.startswith(COMPONENTS) and key.endswith(".V") and len(shape) == 2
    }
