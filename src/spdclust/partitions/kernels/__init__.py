"""Compiled walks over merge trajectories: arrays and scalars in, preallocated arrays out."""
