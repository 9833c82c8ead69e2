"""Sizes that kernels share with the formula of their memory; the plan of a workflow needs them, not numba."""

NARROW = 2**16 - 1
"""Largest count of a narrow row."""

BLOCK = 64
"""Slots per block: each block stores its least bound and its total weight."""
