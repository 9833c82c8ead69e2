"""Inputs of a decomposed model for its task, from toy data or from tokens.

Nothing here imports torch or the libraries of the extra `lm` before inputs are made.
"""

from typing import TYPE_CHECKING

from spdclust.config.run import ClusteringRunConfig
from spdclust.core.errors import InputError
from spdclust.models.task import InductionTask, Task, ToyTask
from spdclust.sampling import induction, toy
from spdclust.sampling.chunks import InputSource, ToySource

if TYPE_CHECKING:
    import torch


def open_inputs(task: Task, config: ClusteringRunConfig) -> InputSource:
    """Return the source of a run's inputs, opened once for all of its batches.

    Example:
        >>> task = ToyTask(name="tms", n_features=5, feature_probability=0.2)
        >>> open_inputs(task, ClusteringRunConfig(model_path="m", n_tokens=100)).n_samples
        100

    Raises:
        InputError: the data or the tokenizer cannot be opened, or settings do not match the model.
    """
    if isinstance(task, ToyTask):
        return ToySource(task, config.samples_per_batch, config.batch_size)
    if isinstance(task, InductionTask):
        return induction.InductionSource(task, config)
    from spdclust.sampling.language import LanguageSource

    return LanguageSource(task, config)


def generate_inputs(task: Task, n_samples: int, seed: int) -> "torch.Tensor":
    """Generate inputs of the kind that a toy model was trained on.

    Example:
        >>> task = ToyTask(name="tms", n_features=5, feature_probability=0.2)
        >>> generate_inputs(task, n_samples=3, seed=0).shape
        torch.Size([3, 5])

    Args:
        task: `model.task`.
        n_samples: number of samples (sequences, for an induction transformer), 0 or more.
        seed: seed of the samples; results are reproducible byte for byte.

    Returns:
        `(samples, features)` float32, or `(sequences, positions)` int64.

    Raises:
        InputError: inputs of this kind cannot be generated.
    """
    if isinstance(task, ToyTask):
        import torch

        return torch.from_numpy(toy.generate(task, n_samples, seed))
    if isinstance(task, InductionTask):
        import torch

        return torch.from_numpy(induction.generate(task, n_samples, seed))
    raise InputError(
        "tokens come from a dataset; open_inputs(model.task, config) reads it",
        field="task_name",
        found=task.name,
        allowed="resid_mlp, tms, induction_head",
    )
