"""Names of the files and figures of a sweep's comparison. Free of slow imports."""

SWEEP_FILES = {
    "record": "sweep.json",
    "points": "sweep_points.csv",
    "distances": "sweep_distances.csv",
}
"""File names by their contents."""

SWEEP_FIGURES = ("sweep", "sweep_distances", "sweep_bits")
"""Figures drawn from them, by file name."""
