"""Kernels of the group analysis: they take arrays and scalars and do not validate them."""
