"""Inputs of the decomposed models: seeded batches of toy data or of tokens.

Nothing here imports torch before inputs are made.
"""

from typing import TYPE_CHECKING

from spdclust.datasets import toy
from spdclust.errors import InputError
from spdclust.models.task import Task, ToyTask

if TYPE_CHECKING:
    import torch

__all__ = ["generate_inputs"]


def generate_inputs(task: Task, n_samples: int, seed: int) -> "torch.Tensor":
    """Make inputs of the kind that a model was trained on.

    Example:
        >>> task = ToyTask(name="tms", n_features=5, feature_probability=0.2)
        >>> generate_inputs(task, n_samples=3, seed=0).shape
        torch.Size([3, 5])

    Args:
        task: `model.task`.
        n_samples: number of samples, 0 or more.
        seed: what the samples are drawn with; the same seed gives the same bytes.

    Returns:
        `(samples, features)` float32 for toy models.

    Raises:
        InputError: inputs of this kind cannot be made.
    """
    if isinstance(task, ToyTask):
        import torch

        return torch.from_numpy(toy.generate(task, n_samples, seed))
    raise InputError(
        "inputs of language models are not supported yet",
        field="task_name",
        found=task.name,
        allowed="resid_mlp, tms",
    )
