"""Figures of an ensemble: groups that hold, distances, what its runs agree on; and of a sweep's points."""

from spdclust.plotting.registry.entries import FigureEntry, FigureRule

_CUTS = (
    "The cuts are the state with the shortest description (averaged over runs; not of scalar "
    "activations, where its length means nothing) and the last one before the runs part (before the "
    "largest rise of the mean adjusted Rand distance between runs). A cut at an edge has a note: the "
    "description still falling at the last merge, no drop found. Cuts show where runs agree; which "
    "groups hold is in the figure groups."
)

RULES = (
    FigureRule(
        "plot_found_groups",
        of="ensemble",
        category="Groups",
        inputs=("groups", "kept_batch"),
        memory=(1500, 8),
        minutes=(10, 0),
        figures=(
            FigureEntry(
                "groups",
                "spdclust.plotting.found_groups:plot_found_groups",
                "Groups that hold",
                caption=(
                    "Each group with its evidence, the strongest first (at most 40; the curve at the lower "
                    "right shows all). Left: bits per sample that the group's code saves on held-out "
                    "samples, mean and standard error over runs, on a logarithmic axis; the error covers "
                    "which samples were drawn, not the decomposition itself. Middle: components of the group "
                    "by module; mean over runs of the best Jaccard similarity with a node of the run's merge "
                    "tree (points), and the share of runs that form exactly this group (ticks). Upper right: "
                    "groups found in the activations, and by the same analysis in null runs, in which "
                    "components keep their activations but are independent (grey), or every sample keeps its "
                    "number of active components too (orange: groups that are there because some samples are "
                    "busier than others)."
                ),
            ),
            FigureEntry(
                "groups_tree",
                "spdclust.plotting.found_groups:plot_found_tree",
                "Tree of the groups",
                caption=(
                    "Left: average-linkage tree of the components, by the Jaccard similarity of their "
                    "activity weighted by the activations, over the samples of all runs. A point is the "
                    "evidence at a node: bits per sample that its code saves on held-out samples (white: "
                    "none). Blue brackets are the chosen nodes and what is below them; their numbers are "
                    "those of the groups. Components that are in no node are left out, and of large trees "
                    "the chosen and the largest nodes are drawn. Right: how often two components are active "
                    "together, in the same order, over the geometric mean of how often each of them is "
                    "(Ochiai's coefficient), on the first batch of run 0; where there are many, a cell is "
                    "the mean over a block of pairs. Blocks on the diagonal are groups; bright cells away "
                    "from it are components that act with two groups."
                ),
            ),
        ),
    ),
    FigureRule(
        "plot_distances",
        of="ensemble",
        category="Distances",
        inputs=("distances",),
        arguments={"method": "{method}"},
        by_default={"method": "every"},
        figures=(
            FigureEntry(
                "distances_{method}",
                "spdclust.plotting.runs:plot_distances",
                "Distances between runs",
                caption=(
                    "Distance between every two runs ({method}) after each merge: median, quartiles and "
                    "range over the pairs of runs, and each pair as a point where there are few. The axis is "
                    "linear near zero, where the runs have found the same groups, and logarithmic above."
                ),
                label="{method}",
            ),
        ),
    ),
    FigureRule(
        "plot_runs",
        of="ensemble",
        category="Stability",
        inputs=("distances", "stability"),
        arguments={"method": "{method}"},
        by_default={"method": "first"},
        figures=(
            FigureEntry(
                "runs_{method}",
                "spdclust.plotting.runs:plot_runs",
                "Runs at the cuts",
                caption=(
                    "Distances between the runs ({method}) where the merges are cut, each as a table, "
                    "similar runs side by side (average linkage), and as points in the plane whose distances "
                    "resemble them (classical scaling, Torgerson 1952). The axes name the share of the "
                    "squared distances that they show: when it is small the runs differ each in its own way, "
                    "and the picture of points means little. " + _CUTS
                ),
                label="runs, {method}",
            ),
        ),
    ),
    FigureRule(
        "plot_stability",
        of="ensemble",
        category="Stability",
        inputs=("stability", "stability_iterations"),
        figures=(
            FigureEntry(
                "stability",
                "spdclust.plotting.stability:plot_agreement",
                "Stability",
                caption=(
                    "Distance between the runs after each merge (median and range over pairs of runs), "
                    "next to runs whose components were shuffled (mean of the median over shuffles, range "
                    "over all pairs and shuffles), and the number of distinct groupings: where the runs are "
                    "far below the shuffled ones they found the same groups. Vertical lines mark the cuts. "
                    + _CUTS
                ),
            ),
            FigureEntry(
                "contested",
                "spdclust.plotting.stability:plot_contested",
                "Contested components",
                caption=(
                    "At each cut: in how many runs a pair of components is together (left; pairs in all runs "
                    "or in none are settled), next to the mean of shuffled runs, and the components whose "
                    "groups differ most between two runs (right; dashed: mean of shuffled runs, band: "
                    "range over shuffles). Contestedness is the mean over pairs of runs of the number of "
                    "components that are with it in one run and not in the other. " + _CUTS
                ),
            ),
        ),
    ),
    FigureRule(
        "plot_groups",
        of="ensemble",
        category="Stability",
        inputs=("stability", "stability_components", "stability_groups", "stability_coclustering"),
        memory=(1000, 8),
        figures=(
            FigureEntry(
                "coclustering",
                "spdclust.plotting.stability:plot_coclustering",
                "Co-clustering of contested components",
                caption=(
                    "Share of the runs that put two components into one group, at each cut, for the "
                    "components whose groups differ between runs (at most 150, the most contested), in the "
                    "order of their average-linkage tree. Bright blocks are groups that most runs form; pale "
                    "crosses between blocks are components that change sides. " + _CUTS
                ),
            ),
            FigureEntry(
                "consensus",
                "spdclust.plotting.stability:plot_consensus",
                "Consensus groups",
                caption=(
                    "Groups of components that more than half of the runs put together, directly or through "
                    "others, at each cut. Left: the 20 largest, their components by module, and their "
                    "support: the mean share of runs in which two of its components are together. Right: "
                    "support of all groups by size (of a single component: the share of runs in which it is "
                    "alone), larger points for more groups, next to shuffled runs (dashed: mean, band: range "
                    "over shuffles). High support means that a group does not depend on the sample; that it "
                    "describes the activations is a question for held-out samples (figure groups). " + _CUTS
                ),
            ),
        ),
    ),
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
                "spdclust.plotting.sweeps:plot_sweep_bits",
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
