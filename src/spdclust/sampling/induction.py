"""Sequences of induction transformers, seeded: a token follows the induction token, and is to be repeated."""

from collections.abc import Iterator

import numpy as np

from spdclust.config.run import ClusteringRunConfig
from spdclust.core.errors import InputError
from spdclust.core.types import Int, make_generator
from spdclust.models.task import InductionTask
from spdclust.sampling.chunks import InputChunk, random_positions

START = 0
"""Token at the start of every sequence."""


def generate(task: InductionTask, n_sequences: int, seed: int) -> Int[np.ndarray, "sequences positions"]:
    """Draw sequences: start, ordinary tokens, induction token, the token to repeat, …, induction token.

    Example:
        >>> task = InductionTask(name="induction_head", vocab_size=11, seq_len=8, prefix_window=2)
        >>> tokens = generate(task, 3, seed=0)
        >>> tokens[:, [0, 2, 7]].tolist()  # the induction token is 10
        [[0, 10, 10], [0, 10, 10], [0, 10, 10]]

    Args:
        task: number of tokens, length, and where the first induction token may be.
        n_sequences: number of sequences, 0 or more.
        seed: seed of the sequences.
    """
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


class InductionSource:
    """Sequences of an induction transformer; each position, or some random ones, are samples.

    Example:
        >>> task = InductionTask(name="induction_head", vocab_size=11, seq_len=8)
        >>> run = ClusteringRunConfig(model_path="m", n_tokens=6, n_tokens_per_seq=2, batch_size=2)
        >>> [chunk.positions.shape for chunk in InductionSource(task, run).draw(seed=0)]
        [(2, 2), (1, 2)]

    Args:
        task: the model's task.
        config: the run's settings.

    Raises:
        InputError: more positions are asked for than a sequence has.
    """

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
        tokens = generate(self.task, -(-self.n_samples // (self.per_sequence or self.task.seq_len)), seed)
        for start in range(0, len(tokens), self.batch_size):
            rows = tokens[start : start + self.batch_size]
            positions = random_positions(len(rows), self.task.seq_len, self.per_sequence, generator)
            yield InputChunk(rows, positions)

    def token_texts(self, tokens: Int[np.ndarray, " tokens"]) -> list[str]:
        """Return the number of each token; the two special ones have names."""
        names = {START: "[start]", self.task.vocab_size - 1: "[induction]"}
        return [names.get(token, str(token)) for token in tokens.tolist()]
