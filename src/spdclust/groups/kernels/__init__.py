"""Kernels of the group analysis: they take arrays and scalars, and check nothing."""
