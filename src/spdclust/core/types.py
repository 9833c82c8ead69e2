"""Array types of the package and the shared vocabulary of axis names.

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

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Integer, Num

__all__ = ["Bool", "Float", "Int", "Integer", "Labels", "Num", "Seed", "make_generator"]

Labels = list[str]
"""One name per component, ``"<module>:<index>"``."""

Seed = int | tuple[int, ...]
"""Seed of a random generator; a run of an ensemble uses ``(base_seed, run)``."""


def make_generator(seed: Seed | Sequence[int]) -> np.random.Generator:
    """Return the generator for all random choices of one computation.

    Example:
        >>> int(make_generator((0, 3)).integers(100))
        50

    Args:
        seed: one integer, or several that together identify the stream.
    """
    entropy: Any = seed if isinstance(seed, int) else list(seed)
    return np.random.default_rng(entropy)
