"""Agreement between the merges of an ensemble. Pure computation, no files."""
