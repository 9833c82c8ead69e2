"""Tokens stored with activations, to show the contexts that activate a group."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from spdclust.core.errors import InputError
from spdclust.core.types import Int

_NAMES = ("example_tokens", "example_samples", "example_vocabulary")
_ALLOWED = "tokens as spdclust writes them"


@dataclass(frozen=True, eq=False)
class TokenExamples:
    """The tokens of some sequences of a batch, and the samples that they belong to.

    Example:
        >>> examples = TokenExamples(np.array([[7, 8, 7]]), np.array([[0, 0], [0, 2]]), {7: "a", 8: " b"})
        >>> examples.n_samples, examples.context(1)
        (2, (['a', ' b', 'a'], 2))

    Attributes:
        tokens: `(sequences, positions)` token ids.
        samples: `(samples, 2)` the sequence and the position of the batch's first samples, in their order.
        vocabulary: text of each token that occurs.
    """

    tokens: Int[np.ndarray, "sequences positions"]
    samples: Int[np.ndarray, "samples 2"]
    vocabulary: Mapping[int, str]

    @property
    def n_samples(self) -> int:
        """Number of samples, from the start of the batch, whose tokens are known."""
        return len(self.samples)

    def context(self, sample: int) -> tuple[list[str], int]:
        """Return the token texts of a sample's sequence and the position of the sample in it."""
        sequence, position = (int(n) for n in self.samples[sample])
        return [self.vocabulary[int(token)] for token in self.tokens[sequence]], position

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the parts that are stored as tensors."""
        largest = int(self.tokens.max(initial=0))
        return {
            "example_tokens": self.tokens.astype(np.uint16 if largest < 2**16 else np.int32),
            "example_samples": self.samples.astype(np.int32),
            "example_vocabulary": np.array(sorted(self.vocabulary), dtype=np.int32),
        }

    def texts(self) -> dict[str, str]:
        """Return the parts that are stored as text."""
        written = [self.vocabulary[number] for number in sorted(self.vocabulary)]
        return {"example_texts": json.dumps(written, ensure_ascii=False)}

    @classmethod
    def stored(cls, arrays: Mapping[str, np.ndarray], texts: Mapping[str, str]) -> "TokenExamples | None":
        """Return the examples among the members of a batch file, or None if it has none.

        Raises:
            InputError: the members are inconsistent.
        """
        if "example_tokens" not in arrays:
            return None
        tokens, samples, numbers = (arrays[name].astype(np.int64) for name in _NAMES)
        written = json.loads(texts["example_texts"])
        fits = (
            tokens.ndim == samples.ndim == 2
            and samples.shape[1] == 2
            and numbers.ndim == 1
            and isinstance(written, list)
            and all(isinstance(text, str) for text in written)
            and len(written) == len(numbers) == len(np.unique(numbers))
            and np.isin(tokens, numbers).all()
            and (samples >= 0).all()
            and (samples < np.array(tokens.shape)).all()
        )
        if not fits:
            raise InputError("tokens are inconsistent", field="example_tokens", allowed=_ALLOWED)
        return cls(tokens, samples, dict(zip(numbers.tolist(), written, strict=True)))


def samples_of(
    n_sequences: int, n_ctx: int, positions: Int[np.ndarray, "rows chosen"] | None
) -> Int[np.ndarray, "samples 2"]:
    """Return the sequence and the position of every sample, in row-major order.

    Example:
        >>> samples_of(2, 3, np.array([[0, 2], [1, 2]])).tolist()
        [[0, 0], [0, 2], [1, 1], [1, 2]]
        >>> samples_of(1, 2, None).tolist()
        [[0, 0], [0, 1]]
    """
    chosen = np.tile(np.arange(n_ctx), (n_sequences, 1)) if positions is None else positions
    sequences = np.repeat(np.arange(n_sequences), chosen.shape[1])
    return np.column_stack([sequences, chosen.ravel()])
