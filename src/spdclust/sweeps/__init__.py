"""Comparison of the points of a sweep. Pure computation, no files."""
