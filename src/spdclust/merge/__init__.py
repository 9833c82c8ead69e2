"""The merge: its mathematics, its engine and its record. Pure computation, no files."""
