"""Names of the figures, which are also those of their files. Imports nothing slow."""

from collections.abc import Sequence

ACTIVATION_FIGURES = ("raw", "sorted", "coactivation", "log_coactivation", "histograms")
"""Of one batch of activations."""

CURVE_FIGURES = ("mdl", "cluster_sizes")
"""Over the iterations of the merges of an ensemble."""

STABILITY_FIGURES = ("stability", "contested")
"""Of the stability analysis: along the merges, and at the cuts."""

GROUP_FIGURES = ("coclustering", "consensus")
"""Of who is with whom at the cuts."""

FOUND_FIGURES = ("groups", "groups_tree")
"""Of the groups that hold: their evidence, and the tree they were chosen from."""


def by_figure(files: Sequence[str], figures: Sequence[str]) -> dict[str, Sequence[str]]:
    """Return the files of each figure, from those of all figures, one figure after the other.

    Example:
        >>> by_figure(["a.png", "a.pdf", "b.png", "b.pdf"], ["a", "b"])
        {'a': ['a.png', 'a.pdf'], 'b': ['b.png', 'b.pdf']}

    Args:
        files: as many of each figure.
        figures: names of the figures, in order.

    Raises:
        ValueError: the figures cannot have as many files each.
    """
    each, left = divmod(len(files), len(figures))
    if left:
        raise ValueError(f"{len(files)} files of {len(figures)} figures")
    return {name: files[place * each :][:each] for place, name in enumerate(figures)}
