"""Array types, the shared vocabulary of axis names, what an object prints, the seeded generator.

========== ==================================================================
axis       meaning
========== ==================================================================
samples    tokens, or rows of a toy data set
components components of a decomposed model, in the order of their labels
groups     groups of the current grouping, numbered by their smallest component
iterations merges, one row per merge, for the state after it
runs       members of an ensemble, one per seed
nnz        stored entries of a sparse matrix
========== ==================================================================

Shapes are checked only while the tests run.
"""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Integer, Num

__all__ = [
    "Bool",
    "Brief",
    "Float",
    "Int",
    "Integer",
    "Labels",
    "Num",
    "Seed",
    "evenly_spaced",
    "make_generator",
]

Labels = list[str]
"""One name per component, ``"<module>:<index>"``."""

Seed = int | tuple[int, ...]
"""Seed of a random generator; a run of an ensemble uses ``(base_seed, run)``."""


def make_generator(seed: Seed | Sequence[int]) -> np.random.Generator:
    """Return the generator for all random choices of one computation.

    NumPy splits larger numbers into 32-bit words and appends them, so that (2³², 0) would give the stream of
    (0, 1). Seeds with a number of 2³² or more are therefore derived by the spawn key of a `SeedSequence`.

    Example:
        >>> int(make_generator((0, 3)).integers(100))
        50
        >>> [int(make_generator(seed).integers(100)) for seed in ((0, 1), (2**32, 0), 2**32)]
        [52, 99, 98]

    Args:
        seed: one integer, or several that together identify the stream.
    """
    parts = [seed] if isinstance(seed, int) else list(seed)
    if all(part < _WORD for part in parts):
        entropy: Any = seed if isinstance(seed, int) else parts
        return np.random.default_rng(entropy)
    # the lengths tell apart one large number and two small ones; there is no spawn key without them
    key = [number for part in parts[1:] for number in (int(part).bit_length(), int(part))]
    sequence = np.random.SeedSequence(int(parts[0]), spawn_key=(len(parts), *key))
    return np.random.default_rng(sequence)


_WORD = 2**32


def evenly_spaced(n: int, limit: int) -> Int[np.ndarray, "_"]:
    """Return at most `limit` evenly spaced indices out of `n`, including the first and the last.

    Example:
        >>> evenly_spaced(3, 10).tolist(), evenly_spaced(101, 3).tolist()
        ([0, 1, 2], [0, 50, 100])
    """
    return np.unique(np.linspace(0, n - 1, min(n, limit)).round().astype(np.int64))


class Brief:
    """Mixin for objects whose representation is a short summary instead of their full contents.

    Dataclasses that derive from it need `repr=False`.
    """

    def _facts(self) -> Mapping[str, object]:
        """Return the facts to print, each of a few characters and cheap to compute."""
        raise NotImplementedError

    def __repr__(self) -> str:
        facts = "".join(f" {name}={value!r}" for name, value in self._facts().items())
        return f"<{type(self).__name__}{facts}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(str(value))}</td></tr>"
            for name, value in self._facts().items()
        )
        return f"<table><caption>{type(self).__name__}</caption>{rows}</table>"
