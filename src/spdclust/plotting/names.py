"""Names of the figures, which are also those of their files. Imports nothing slow."""

ACTIVATION_FIGURES = ("raw", "sorted", "coactivation", "log_coactivation", "histograms")
"""Of one batch of activations."""

CURVE_FIGURES = ("mdl", "cluster_sizes")
"""Over the iterations of the merges of an ensemble."""

STABILITY_FIGURES = ("stability", "contested")
"""Of the stability analysis: along the merges, and at the cuts."""

GROUP_FIGURES = ("coclustering", "consensus")
"""Of who is with whom at the cuts."""
