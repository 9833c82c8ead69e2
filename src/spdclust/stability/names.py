"""Names of the automatic cuts and of the files of the analysis; free of slow imports."""

AUTOMATIC_CUTS = ("least_mdl", "stability_drop")
"""Cuts without a number: at the shortest description, and before stability drops."""

STABILITY_FILES = {
    "record": "stability.json",
    "iterations": "stability_iterations.csv",
    "sizes": "stability_sizes.csv",
    "components": "stability_components.csv",
    "groups": "stability_groups.csv",
    "coclustering": "stability_coclustering.npz",
}
"""File names by their contents."""
