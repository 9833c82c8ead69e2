"""Inputs of a decomposed model for its task: features of toy models, sequences to repeat, or text.

Those of the first two are drawn here, seeded. Nothing here imports torch or the libraries of the extra `lm`
before inputs are made.
"""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from spdclust.config.run import ClusteringRunConfig
from spdclust.core.errors import InputError
from spdclust.core.types import Bool, Float, Int, make_generator
from spdclust.models.config import InductionTask, Task, ToyTask
from spdclust.sampling.chunks import DrawnSource, InputChunk, InputSource, random_positions

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
        return DrawnSource(partial(generate_inputs, task), config.samples_per_batch, config.batch_size)
    if isinstance(task, InductionTask):
        return _InductionSource(task, config)
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

        return torch.from_numpy(_toy_features(task, n_samples, seed))
    if isinstance(task, InductionTask):
        import torch

        return torch.from_numpy(_induction_sequences(task, n_samples, seed))
    raise InputError(
        "tokens come from a dataset; open_inputs(model.task, config) reads it",
        field="task_name",
        found=task.name,
        allowed="resid_mlp, tms, induction_head",
    )


VALUE_RANGES: dict[str, tuple[float, float]] = {"resid_mlp": (-1.0, 1.0), "tms": (0.0, 1.0)}
"""Range of the uniform distribution of an active feature, by task."""

N_ACTIVE: dict[str, int] = {
    "exactly_one_active": 1,
    "exactly_two_active": 2,
    "exactly_three_active": 3,
    "exactly_four_active": 4,
    "exactly_five_active": 5,
}
"""Number of active features per sample, for the kinds of data with a fixed number."""

Features = Float[np.ndarray, "samples features"]
Active = Bool[np.ndarray, "samples features"]


def _toy_features(task: ToyTask, n_samples: int, seed: int) -> Features:
    """Draw sparse feature vectors."""
    if n_samples < 0:
        raise InputError("too small", field="n_samples", found=n_samples, allowed="0 or more")
    generator = make_generator(seed)
    values = _values(task, n_samples, generator)
    if task.data_generation_type in N_ACTIVE:
        active = _exactly(N_ACTIVE[task.data_generation_type], task, n_samples, generator)
    else:
        active = _each_for_itself(task, n_samples, generator)
        for together in task.synced_inputs or []:
            active[:, together] = active[:, together].any(axis=1, keepdims=True)
    return np.where(active, values, np.float32(0))


def _values(task: ToyTask, n_samples: int, generator: np.random.Generator) -> Features:
    low, high = VALUE_RANGES[task.name]
    uniform = generator.random((n_samples, task.n_features), dtype=np.float32)
    return uniform * np.float32(high - low) + np.float32(low)


def _each_for_itself(task: ToyTask, n_samples: int, generator: np.random.Generator) -> Active:
    uniform = generator.random((n_samples, task.n_features), dtype=np.float32)
    active: np.ndarray = np.less(uniform, np.float32(task.feature_probability))
    return active


def _exactly(n_active: int, task: ToyTask, n_samples: int, generator: np.random.Generator) -> Active:
    if n_active > task.n_features:
        raise InputError(
            "asked for more active features than the model has",
            field="data_generation_type",
            found=task.data_generation_type,
            allowed=f"at most {task.n_features}",
        )
    drawn = generator.random((n_samples, task.n_features)).argsort(axis=1, kind="stable")[:, :n_active]
    active = np.zeros((n_samples, task.n_features), dtype=bool)
    np.put_along_axis(active, drawn, True, axis=1)
    return active


START = 0
"""Token at the start of every sequence."""


def _induction_sequences(
    task: InductionTask, n_sequences: int, seed: int
) -> Int[np.ndarray, "sequences positions"]:
    """Draw sequences: start, ordinary tokens, induction token, the token to repeat, …, induction token."""
    generator = make_generator(seed)
    induction = task.vocab_size - 1
    tokens = generator.integers(1, induction, size=(n_sequences, task.seq_len))
    repeated = generator.integers(1, induction, size=n_sequences)
    where = generator.integers(2, task.prefix_window + 1, size=n_sequences)
    rows = np.arange(n_sequences)
    tokens[rows, where] = induction
    tokens[rows, where + 1] = repeated
    tokens[:, 0] = START
    tokens[:, -1] = induction
    return tokens


class _InductionSource:
    """Sequences of an induction transformer; each position, or some random ones, are samples."""

    def __init__(self, task: InductionTask, config: ClusteringRunConfig) -> None:
        self.task = task
        self.batch_size = config.batch_size
        self.per_sequence = config.n_tokens_per_seq
        if self.per_sequence is not None and self.per_sequence > task.seq_len:
            raise InputError(
                "more positions than tokens in a sequence",
                field="n_tokens_per_seq",
                found=self.per_sequence,
                allowed=f"at most {task.seq_len}, the tokens of a sequence",
            )
        self.n_samples = config.n_tokens or config.batch_size * (self.per_sequence or task.seq_len)
        self.provenance = {"n_ctx": str(task.seq_len)}

    def draw(self, seed: int) -> Iterator[InputChunk]:
        """Yield sequences, `batch_size` at a time, until they contain `n_samples` samples."""
        generator = make_generator((seed, 2))
        tokens = _induction_sequences(
            self.task, -(-self.n_samples // (self.per_sequence or self.task.seq_len)), seed
        )
        for start in range(0, len(tokens), self.batch_size):
            rows = tokens[start : start + self.batch_size]
            positions = random_positions(len(rows), self.task.seq_len, self.per_sequence, generator)
            yield InputChunk(rows, positions)

    def token_texts(self, tokens: Int[np.ndarray, " tokens"]) -> list[str]:
        """Return the number of each token; the two special ones have names."""
        names = {START: "[start]", self.task.vocab_size - 1: "[induction]"}
        return [names.get(token, str(token)) for token in tokens.tolist()]
