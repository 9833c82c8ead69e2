"""Checks of model inputs."""

from typing import Any

import torch

from spdclust.core.errors import InputError
from spdclust.models.task import InductionTask, LanguageTask, Task, ToyTask


def checked_inputs(inputs: Any, task: Task, max_length: int | None = None) -> torch.Tensor:
    """Return inputs as a tensor of the type required by the model.

    Example:
        >>> task = ToyTask(name="tms", n_features=5, feature_probability=0.1)
        >>> checked_inputs([[0, 0, 0, 0, 1]], task).dtype
        torch.float32
        >>> checked_inputs([[0, 1]], task)
        Traceback (most recent call last):
        ...
        spdclust.InputError: inputs: shape does not match the model (found: (1, 2);
        allowed: (samples, 5))

    Args:
        inputs: array or tensor.
        task: the model's training task.
        max_length: maximum sequence length of the model.

    Raises:
        InputError: wrong shape or type, a token outside the vocabulary, or a sequence that is too long.
    """
    tensor = torch.as_tensor(inputs)
    if isinstance(task, ToyTask):
        return _vectors(tensor, task)
    return _tokens(tensor, task, max_length)


def _vectors(tensor: torch.Tensor, task: ToyTask) -> torch.Tensor:
    if tensor.ndim != 2 or tensor.shape[1] != task.n_features:
        raise InputError(
            "shape does not match the model",
            field="inputs",
            found=str(tuple(tensor.shape)),
            allowed=f"(samples, {task.n_features})",
        )
    return tensor.to(torch.float32)


def _tokens(tensor: torch.Tensor, task: LanguageTask | InductionTask, max_length: int | None) -> torch.Tensor:
    if tensor.ndim != 2 or tensor.shape[1] == 0:
        raise InputError(
            "shape does not match the model",
            field="inputs",
            found=str(tuple(tensor.shape)),
            allowed="(sequences, positions)",
        )
    if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
        raise InputError(
            "a language model takes token numbers",
            field="inputs",
            found=str(tensor.dtype),
            allowed="integers",
        )
    if max_length is not None and tensor.shape[1] > max_length:
        raise InputError(
            "sequences are too long for the model",
            field="inputs",
            found=f"{tensor.shape[1]} positions",
            allowed=f"at most {max_length}",
        )
    tensor = tensor.long()
    if tensor.numel():
        low, high = int(tensor.min()), int(tensor.max())
        if low < 0 or high >= task.vocab_size:
            raise InputError(
                "token that the model does not know: the tokenizer is another model's",
                field="inputs",
                found=low if low < 0 else high,
                allowed=f"0 to {task.vocab_size - 1}",
            )
    return tensor
