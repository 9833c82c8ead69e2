"""How much memory a merge takes: one formula for jobs, for `spdclust validate` and for errors."""

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


def coactivation_bytes(n_groups: int, *, scalar: bool, capacity: int | None = None) -> int:
    """Return the bytes of the coactivations: half a matrix of 4 bytes, 8 for scalar activations.

    Example:
        >>> coactivation_bytes(13_000, scalar=False) // 1_000_000
        435

    Args:
        n_groups: groups that are merged.
        scalar: whether activations are not thresholded.
        capacity: slots that the matrix has room for; None for as many as a merge needs.
    """
    slots = capacity or capacity_for(n_groups)
    return (8 if scalar else 4) * slots * (slots + 1) // 2


def merging_bytes(n_components: int, batch_bytes: int, *, scalar: bool) -> int:
    """Return the bytes that a merge takes at most, within the bounds of `tests/merge/test_memory.py`.

    Example:
        >>> merging_bytes(13_000, 60_000_000, scalar=False) // 1_000_000
        1735

    Args:
        n_components: components of the batch, alive or not.
        batch_bytes: size of the largest batch file.
        scalar: whether activations are not thresholded.
    """
    # scalar: several copies of the entries in 8 bytes, and blocks of the product of all pairs
    entries = 16 * batch_bytes + 100_000_000 if scalar else 5 * batch_bytes
    return LIBRARIES + coactivation_bytes(n_components, scalar=scalar) + entries
