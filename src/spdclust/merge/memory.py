"""How much memory a merge takes: one formula for jobs, for `spdclust validate` and for errors.

Plans of a workflow read it, so it imports no numba; kernels take their sizes from here.
"""

import contextlib
from collections.abc import Iterator

from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError, memory_error

NARROW = 2**16 - 1
"""Largest count of a narrow row."""

BLOCK = 64
"""Slots per block: each block stores its least bound and its total weight."""

LIBRARIES = 1_000_000_000
"""Bytes of a process before it loads a batch: 400 MB measured, up to twice that where torch has CUDA."""


def capacity_for(n_groups: int) -> int:
    """Return how many slots are made for so many groups; `move_together` keeps within them.

    Example:
        >>> capacity_for(13_000) - 13_000
        1753
    """
    return n_groups + n_groups // 8 + 2 * BLOCK


def wide_capacity(n_entries: int, capacity: int, limit: int = NARROW) -> int:
    """Return for how many counts of 4 bytes there is room, besides half a matrix of 2 bytes.

    Those of groups that are active on more samples than 2 bytes count. A union is active on no more samples
    than its parts together, so there are never more such groups than the entries allow.

    Example:
        >>> wide_capacity(4_000_000, 10_000), wide_capacity(60_000, 10_000)
        (920000, 0)
    """
    n_wide = n_entries // (limit + 1)
    # two parts are closed after their union is written, and removing closed rows is slow
    room = (n_wide + n_wide // 4 + 16) * capacity if n_wide else 0
    return min(room, capacity * (capacity - 1) // 2)


def _coactivation_bytes(
    n_groups: int, n_entries: int = 0, *, scalar: bool, capacity: int | None = None
) -> int:
    """Return the bytes of the coactivations: half a matrix of 2 bytes and wide rows; of 8 for scalar ones.

    `capacity` is how many slots the matrix has room for, None for as many as a merge needs.
    """
    slots = capacity or capacity_for(n_groups)
    if scalar:
        return 8 * slots * (slots + 1) // 2
    return slots * (slots + 1) + 4 * wide_capacity(n_entries, slots)


def merging_bytes(n_components: int, n_entries: int, *, scalar: bool) -> int:
    """Return the bytes that a merge takes at most, within the bounds of `tests/merge/test_memory.py`.

    Example:
        >>> merging_bytes(13_000, 10_000_000, scalar=False) // 1_000_000
        1339
    """
    if scalar:  # several copies of the entries in 8 bytes
        each, read_at_once = 96, 100_000_000
    else:  # by component in 4 bytes, by sample in 2 or 4, and room for unions
        each, read_at_once = 9 if n_components <= 2**16 else 13, 20_000_000
    return (
        LIBRARIES
        + _coactivation_bytes(n_components, n_entries, scalar=scalar)
        + each * n_entries
        + read_at_once
    )


@contextlib.contextmanager
def enough_memory(n_groups: int, config: MergeConfig, capacity: int | None = None) -> Iterator[None]:
    """Turn a `MemoryError` in the block into an `InputError` with the memory needed and what to reduce.

    Example:
        >>> with enough_memory(13_000, MergeConfig()):
        ...     raise MemoryError
        Traceback (most recent call last):
        ...
        spdclust.InputError: memory: not enough memory to merge (found: 13000 groups, 0.2 GB of
        coactivations besides the activations; allowed: more memory, or fewer components: a higher
        filter_dead_threshold, a module_name_filter)

    Raises:
        InputError: there was not enough memory.
    """
    try:
        yield
    except Exception as error:
        if memory_error(error) is None:
            raise
        scalar = config.activation_threshold is None
        needed = _coactivation_bytes(n_groups, scalar=scalar, capacity=capacity) / 1e9
        raise InputError(
            "not enough memory to merge",
            field="memory",
            found=f"{n_groups} groups, {needed:.1f} GB of coactivations besides the activations",
            allowed="more memory, or fewer components: a higher filter_dead_threshold, a module_name_filter",
        ) from None
