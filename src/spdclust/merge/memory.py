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


def merging_bytes(n_components: int, n_entries: int, *, scalar: bool) -> int:
    """Return the bytes that a merge takes at most, within the bounds of `tests/merge/test_memory.py`.

    Example:
        >>> merging_bytes(13_000, 10_000_000, scalar=False) // 1_000_000
        1585

    Args:
        n_components: components of the batch, alive or not.
        n_entries: entries of the largest batch, each a component that is active on a sample.
        scalar: whether activations are not thresholded.
    """
    if scalar:  # several copies of the entries in 8 bytes
        each, read_at_once = 96, 100_000_000
    else:  # by component in 4 bytes, by sample in 2 or 4, and room for unions
        each, read_at_once = 9 if n_components <= 2**16 else 13, 60_000_000
    return LIBRARIES + coactivation_bytes(n_components, scalar=scalar) + each * n_entries + read_at_once
