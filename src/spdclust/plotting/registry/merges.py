"""Figures of the merges of an ensemble, of all runs and of one; and of the activations of one run."""

from spdclust.plotting.registry.entries import FigureEntry, FigureRule

_BATCH = "of the first batch of the run, components module by module, lines where a module ends. "

_COACTIVATION = (
    "Share of the samples on which two components are both active (above the merge's threshold, in the "
    "title), "
    + _BATCH
    + "The diagonal is how often each is active by itself. Blocks are components that act together; "
    "components that are never active are left out, and where there are many a cell is the mean over a "
    "block of pairs. "
)

RULES = (
    FigureRule(
        "plot_curves",
        of="ensemble",
        category="Merges",
        inputs=("histories",),
        memory=(1000, 2),
        figures=(
            FigureEntry(
                "mdl",
                "spdclust.plotting.merges:plot_mdl",
                "Description length",
                caption=(
                    "Description length of the activations after each merge, in bits per sample, one line a "
                    "run: Σ s (log2 k + α r) over groups with activity s and rank r, k groups in all. It "
                    "falls while merges join components that act together. The marked least value is one cut "
                    "through the merge, and how flat the curve is around it shows how little that number of "
                    "groups means; which groups hold is judged group by group on held-out samples instead "
                    "(figure groups). A curve that still falls at its last merge is not finished: raise "
                    "iters."
                ),
            ),
            FigureEntry(
                "cluster_sizes",
                "spdclust.plotting.merges:plot_cluster_sizes",
                "Numbers and sizes of groups",
                caption=(
                    "Top: number of groups, of groups with one component and of larger ones after each "
                    "merge, one line a run. Bottom: sizes of the three largest groups, in components. Many "
                    "groups alike are structure, one that swallows all is not."
                ),
            ),
        ),
    ),
    FigureRule(
        "plot_merge_tree",
        of="ensemble",
        category="Merges",
        inputs=("history",),
        arguments={"title": "Merge tree of run {run}"},
        by_default={"run": "0"},
        figures=(
            FigureEntry(
                "merge_tree_run_{run}",
                "spdclust.plotting.merges:plot_merge_tree",
                "Merge tree",
                caption=(
                    "Which groups one run joined and when: each bracket is a merge, at the height of its "
                    "number. Brackets have the colour of a module when all components below are of it; the "
                    "strip shows the modules of each leaf. The dashed line is where the description is "
                    "shortest, one cut through the tree; groups that hold need not hang below one line. Of "
                    "more than 300 components the merges of the last 80 groups are drawn once more, large. "
                    "Long staircases are one group that takes in components one by one."
                ),
                label="merge tree, run {run}",
            ),
        ),
    ),
    FigureRule(
        "plot_merge_state",
        of="ensemble",
        category="Merges",
        inputs=("history", "batches"),
        arguments={"moment": "{moment}", "title": "Run {run}"},
        by_default={"run": "0", "moment": "least_mdl"},
        repeats_merge=True,
        minutes=(10, 0.1),
        figures=(
            FigureEntry(
                "merge_state_run_{run}_{moment}",
                "spdclust.plotting.merge_state:plot_merge_state",
                "One moment of a merge",
                caption=(
                    "One run just after one merge. Left: which component is in which group (groups are "
                    "numbered by their smallest component). Middle: on how many samples of the current batch "
                    "two groups are both active, the diagonal being each group's own activity; a group is "
                    "active when one of its components is. Right: by how much merging two groups would "
                    "change the description length, Σ s (log2 k + α r) over groups with activity s per "
                    "sample and rank r (their number of components), k groups in all: blue pairs are worth "
                    "merging, and at the shortest description hardly any blue is left. Grey has no value "
                    "(the diagonal, masked groups). Above 400 groups a cell is the mean (coactivations) or "
                    "the least (costs) of a block of pairs."
                ),
                label="run {run}, {moment}",
            ),
        ),
    ),
    FigureRule(
        "plot_merge_candidates",
        of="ensemble",
        category="Merges",
        inputs=("history", "batches"),
        arguments={"title": "Run {run}"},
        by_default=None,
        repeats_merge=True,
        minutes=(60, 0),
        figures=(
            FigureEntry(
                "merge_candidates_run_{run}",
                "spdclust.plotting.merge_state:plot_merge_candidates",
                "Candidates of a merge",
                caption=(
                    "All pairs of groups that one run could merge next, at the start, halfway, and at the "
                    "shortest description (or after the last merge, where there is none): what merging them "
                    "would change in the description length, against the Jaccard similarity of their "
                    "activity (samples on which both are active over those on which either is); the first "
                    "column are pairs that are never active together. Colour counts pairs; the ring is the "
                    "pair that was merged next. Below the line a merge shortens the description. The least "
                    "cost is not the highest similarity: the description length prefers groups that are "
                    "active often, and small ones, and near the end it joins groups that hardly ever meet."
                ),
                label="merge candidates, run {run}",
            ),
        ),
    ),
    FigureRule(
        "plot_activations",
        of="model",
        category="Activations",
        inputs=("batch",),
        settings=("activation_threshold",),
        by_default={"run": "0"},
        memory=(1500, 4),
        minutes=(30, 0),
        figures=(
            FigureEntry(
                "activations_run_{run}_raw",
                "spdclust.plotting.activations:activation_figures",
                "Activations",
                caption=(
                    "Activation (causal importance where a model was sampled) of every component that is "
                    "ever active, on every sample, "
                    + _BATCH
                    + "White is none at all. Large batches are averaged over blocks of samples and "
                    "components, as the title says. Columns that are filled from top to bottom are "
                    "components that are active on most samples: on how many, the histograms show."
                ),
                part="raw",
            ),
            FigureEntry(
                "activations_run_{run}_sorted",
                "spdclust.plotting.activations:activation_figures",
                "Activations, sorted",
                caption=(
                    "The same activations with the components of each module ordered by how often "
                    "they are active, and the samples by the component that exceeds its own mean most there. "
                    "Samples that one component distinguishes lie together, so that what else is active with "
                    "it shows as a block to its right."
                ),
                part="sorted",
            ),
            FigureEntry(
                "activations_run_{run}_coactivation",
                "spdclust.plotting.activations:activation_figures",
                "Coactivation",
                caption=(
                    _COACTIVATION
                    + "The colour scale is linear and ends where all but 0.2 % of the cells lie below."
                ),
                part="coactivation",
            ),
            FigureEntry(
                "activations_run_{run}_log_coactivation",
                "spdclust.plotting.activations:activation_figures",
                "Coactivation, logarithmic",
                caption=(
                    _COACTIVATION
                    + "The colour scale is logarithmic, so that rare coactivations are visible; white "
                    "pairs are never active together."
                ),
                part="log_coactivation",
            ),
            FigureEntry(
                "activations_run_{run}_histograms",
                "spdclust.plotting.activations:activation_figures",
                "Distribution of the activations",
                caption=(
                    "Of the first batch of the run. Left: activations above the merge's threshold; mass near "
                    "0 or 1 only means that the threshold hardly matters. Middle: on which share of the "
                    "samples each component is active. Right: how many components are active on a sample, "
                    "which is what a description has to list before any merging."
                ),
                part="histograms",
            ),
        ),
    ),
)
