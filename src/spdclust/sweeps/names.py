"""Names of the files of a sweep's comparison. Imports nothing slow."""

SWEEP_FILES = {
    "record": "sweep.json",
    "points": "sweep_points.csv",
    "distances": "sweep_distances.csv",
}
"""File names by what they hold."""
