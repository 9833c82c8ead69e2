"""Compiled inner loops of the merge, one topic per file; see `docs/merge-math.md` and `layout`."""
