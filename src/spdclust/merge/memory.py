"""How much memory a merge takes: one formula for jobs, for `spdclust validate` and for errors."""

import numpy as np

from spdclust.merge.kernels.layout import BLOCK

LIBRARIES = 1_000_000_000
"""Bytes of a process before it loads a batch: 400 MB measured, up to twice that where torch has CUDA."""


def capacity_for(n_groups: int) -> int:
    """Return how many slots are made for so many groups; `move_together` keeps within them.

    Example:
        >>> capacity_for(13_000) - 13_000
        1753
    """
    return n_groups + n_groups // 8 + 2 * BLOCK


def count_type(n_samples: int) -> type[np.generic]:
    """Return the narrowest type that holds every number of samples.

    Example:
        >>> count_type(65_535).__name__, count_type(65_536).__name__
        ('uint16', 'int32')
    """
    return np.uint16 if n_samples < 2**16 else np.int32


def coactivation_bytes(n_groups: int, n_samples: int, *, scalar: bool, capacity: int | None = None) -> int:
    """Return the bytes of the coactivations: half a matrix of 2 or 4 bytes, 8 for scalar activations.

    Example:
        >>> [coactivation_bytes(13_000, n, scalar=False) // 1_000_000 for n in (50_000, 500_000)]
        [217, 435]

    Args:
        n_groups: groups that are merged.
        n_samples: samples of the largest batch.
        scalar: whether activations are not thresholded.
        capacity: slots that the matrix has room for; None for as many as a merge needs.
    """
    slots = capacity or capacity_for(n_groups)
    each = 8 if scalar else np.dtype(count_type(n_samples)).itemsize
    return each * slots * (slots + 1) // 2


def merging_bytes(n_components: int, n_samples: int, n_entries: int, *, scalar: bool) -> int:
    """Return the bytes that a merge takes at most, within the bounds of `tests/merge/test_memory.py`.

    Example:
        >>> merging_bytes(13_000, 100_000, 10_000_000, scalar=False) // 1_000_000
        1585

    Args:
        n_components: components of the batch, alive or not.
        n_samples: samples of the largest batch.
        n_entries: entries of the largest batch, each a component that is active on a sample.
        scalar: whether activations are not thresholded.
    """
    if scalar:  # several copies of the entries in 8 bytes
        each, read_at_once = 96, 100_000_000
    else:  # by component in 4 bytes, by sample in 2 or 4, and room for unions
        each, read_at_once = 9 if n_components <= 2**16 else 13, 60_000_000
    coactivations = coactivation_bytes(n_components, n_samples, scalar=scalar)
    return LIBRARIES + coactivations + each * n_entries + read_at_once
