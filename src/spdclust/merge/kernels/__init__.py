"""Compiled inner loops of the merge, one idea per file; see `docs/merge-math.md` and `layout`."""
