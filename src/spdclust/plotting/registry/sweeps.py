"""Figures of the points of a sweep, side by side."""

from spdclust.plotting.registry.entries import FigureEntry, FigureRule

RULES = (
    FigureRule(
        "plot_sweep",
        of="sweep",
        category="Sweeps",
        inputs=("sweep",),
        minutes=(10, 0),
        figures=(
            FigureEntry(
                "sweep",
                "spdclust.plotting.sweeps:plot_sweep",
                "Points of a sweep",
                caption=(
                    "What each point of the sweep found where its description is shortest (scalar "
                    "activations have no shortest description; there before stability drops): the number of "
                    "groups, how many runs back the consensus groups, next to runs whose components were "
                    "shuffled (two swept settings: in brackets, and subtracted in the colours), and how "
                    "far its runs are apart. Descriptions of different settings weigh "
                    "things differently, so their lengths are not compared; held-out bits are, in the next "
                    "figures."
                ),
            ),
            FigureEntry(
                "sweep_distances",
                "spdclust.plotting.sweeps:plot_sweep_distances",
                "Distances between the points of a sweep",
                caption=(
                    "Distance between every two points of the sweep, where the description of each is "
                    "shortest: the mean over a run of one and a run of the other (left; on the diagonal two "
                    "runs of the point), and between their consensus groupings (right). Two points differ "
                    "where their distance is clearly above those on the diagonal."
                ),
            ),
            FigureEntry(
                "sweep_bits",
                "spdclust.plotting.sweep_bits:plot_sweep_bits",
                "What the points of a sweep describe best",
                caption=(
                    "Top: bits per sample that describe held-out samples at each point of the sweep, by all "
                    "components alone, by the groups that hold, by the groups that more than half of the "
                    "merges form, and by the first run cut at its shortest description; less is better, and "
                    "a ring marks the least of each curve. Middle: how many more bits the last two take than "
                    "the groups that hold. The groups that hold depend on samples and activation threshold, "
                    "not on how components were merged; the other two show which setting of the merge "
                    "describes the activations best. Only points at which all components alone take equally "
                    "many bits code the same activations and are joined by a line; others must not be "
                    "compared. Bottom: groups that hold, and how many of them chance would give."
                ),
            ),
        ),
    ),
)
