"""Selection of evenly spaced rows where there are too many to show."""

import numpy as np

from spdclust.core.types import Int


def evenly_spaced(n: int, limit: int) -> Int[np.ndarray, "_"]:
    """Return at most `limit` evenly spaced indices out of `n`, including the first and the last.

    Example:
        >>> evenly_spaced(3, 10).tolist(), evenly_spaced(101, 3).tolist()
        ([0, 1, 2], [0, 50, 100])
    """
    return np.unique(np.linspace(0, n - 1, min(n, limit)).round().astype(np.int64))
