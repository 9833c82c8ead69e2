"""Compiled walks over merge trajectories; they take arrays and scalars and fill preallocated arrays."""
