"""The points of a sweep side by side. Pure computation, no files."""
