"""Figures of one batch of activations."""

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
                label="raw",
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
                label="sorted",
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
                label="coactivation",
            ),
            FigureEntry(
                "activations_run_{run}_log_coactivation",
                "spdclust.plotting.activations:activation_figures",
                "Coactivation, logarithmic",
                caption=(
                    _COACTIVATION
                    + "The colour scale is logarithmic, so that rare company shows too; white pairs "
                    "never meet."
                ),
                part="log_coactivation",
                label="log_coactivation",
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
                label="histograms",
            ),
        ),
    ),
)
