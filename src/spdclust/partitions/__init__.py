"""Distances between groupings of the same components. Pure computation, no files."""
