"""Names of the automatic cuts and of the files of the analysis. Imports nothing slow."""

AUTOMATIC_CUTS = ("least_mdl", "stability_drop")
"""Cuts that need no number: where the description is shortest, and before stability drops."""

STABILITY_FILES = {
    "record": "stability.json",
    "iterations": "stability_iterations.csv",
    "sizes": "stability_sizes.csv",
    "components": "stability_components.csv",
    "groups": "stability_groups.csv",
    "coclustering": "stability_coclustering.npz",
}
"""File names by what they hold."""
