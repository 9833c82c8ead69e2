"""What each figure shows, how to read it, and what its quantity is: the one place for these texts.

`python -m spdclust.plotting.captions` writes them to `report/captions/`, for `snakemake --report`.
"""

import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

from spdclust.plotting.names import ACTIVATION_FIGURES


@dataclass(frozen=True)
class Caption:
    """The words that go with a figure.

    Attributes:
        title: its name, in a few words.
        text: what it shows, how to read it, the definition of the quantity.
    """

    title: str
    text: str


_BATCH = "of the first batch of the run, components module by module, lines where a module ends. "
_COACTIVATION = (
    "Share of the samples on which two components are both active (causal importance above the threshold in "
    "the title), "
    + _BATCH
    + "The diagonal is how often each is active by itself. Blocks are components that act together; "
    "components that are never active are left out, and where there are many a cell is the mean over a "
    "block of pairs. "
)
_CUTS = (
    "The cuts are the iteration with the shortest description (averaged over runs; not of scalar "
    "activations, where its length means nothing) and the last one before the runs part (before the "
    "largest rise of the mean adjusted Rand distance between runs). A cut at an edge has a note: the "
    "description still falling at the last merge, no drop found. Cuts show where runs agree; which "
    "groups hold is in the figure groups. "
)

CAPTIONS: dict[str, Caption] = {
    "activations_raw": Caption(
        "Activations",
        "Causal importance of every component that is ever active on every sample, "
        + _BATCH
        + "White is none at all. Large batches are averaged over blocks of samples and components, as the "
        "title says. Columns that are filled from top to bottom are components that are active on most "
        "samples: on how many, the histograms show.",
    ),
    "activations_sorted": Caption(
        "Activations, sorted",
        "The same causal importances with the components of each module ordered by how often they are "
        "active, and the samples by the component that exceeds its own mean most there. Samples that one "
        "component distinguishes lie together, so that what else is active with it shows as a block to its "
        "right.",
    ),
    "activations_coactivation": Caption(
        "Coactivation",
        _COACTIVATION + "The colour scale is linear and ends where all but 0.2 % of the cells lie below.",
    ),
    "activations_log_coactivation": Caption(
        "Coactivation, logarithmic",
        _COACTIVATION
        + "The colour scale is logarithmic, so that rare company shows too; white pairs never meet.",
    ),
    "activations_histograms": Caption(
        "Distribution of the activations",
        "Of the first batch of the run. Left: causal importances above the threshold; mass near 0 or 1 "
        "only means that the threshold hardly matters. Middle: on which share of the samples each "
        "component is active. Right: how many components are active on a sample, which is what a "
        "description has to list before any merging.",
    ),
    "groups": Caption(
        "Groups that hold",
        "Each group with its evidence, the strongest first (at most 40; the curve at the lower right shows "
        "all). Left: bits per sample that the group's code saves on held-out samples, mean and standard "
        "error over runs, on a logarithmic axis; the error covers which samples were drawn, not the "
        "decomposition itself. Middle: components of the group by module; mean over runs of the best "
        "Jaccard similarity with a node of the run's merge tree (points), and the share of runs that form "
        "exactly this group (ticks). Upper right: groups found in the activations, and by the same analysis "
        "in null runs, in which components keep their activations but are independent (grey), or every "
        "sample keeps its number of active components too (orange: groups that are there because some "
        "samples are busier than others).",
    ),
    "groups_tree": Caption(
        "Tree of the groups",
        "Left: average-linkage tree of the components, by the Jaccard similarity of their activity weighted "
        "by the activations, over the samples of all runs. A point is the evidence at a node: bits per "
        "sample that its code saves on held-out samples (white: none). Blue brackets are the chosen nodes "
        "and what is below them; their numbers are those of the groups. Components that are in no node are "
        "left out, and of large trees the chosen and the largest nodes are drawn. Right: how often two "
        "components are active together, in the same order, over the geometric mean of how often each of "
        "them is (Ochiai's coefficient), on the first batch of run 0; where there are many, a cell is the "
        "mean over a block of pairs. Blocks on the diagonal are groups; bright cells away from it are "
        "components that act with two groups.",
    ),
    "merge_state": Caption(
        "One moment of a merge",
        "One run just after one merge. Left: which component is in which group (groups are numbered by "
        "their smallest component). Middle: on how many samples of the batch in hand two groups are both "
        "active, the diagonal being each group's own activity; a group is active when one of its "
        "components is. Right: by how much merging two groups would change the description length, Σ s "
        "(log2 k + α r) over groups with activity s per sample and rank r (their number of components), k "
        "groups in all: blue pairs are worth merging, and at the shortest description hardly any blue is "
        "left. Grey has no value (the diagonal, masked groups). Above 400 groups a cell is the mean "
        "(coactivations) or the least (costs) of a block of pairs.",
    ),
    "merge_candidates": Caption(
        "Candidates of a merge",
        "All pairs of groups that one run could merge next, at the start, halfway, and at the shortest "
        "description (or after the last merge, where there is none): what merging them would change in the "
        "description length, against the Jaccard similarity of their activity (samples on which both are "
        "active over those on which either is); the first column are pairs that are never active together. "
        "Colour counts pairs; the ring is the pair that was merged next. Below the line a merge shortens "
        "the description. The least cost is not the highest similarity: the description length prefers "
        "groups that are active often, and small ones, and near the end it joins groups that hardly ever "
        "meet.",
    ),
    "merge_tree": Caption(
        "Merge tree",
        "Which groups one run joined and when: each bracket is a merge, at the height of its number. "
        "Brackets have the colour of a module when all components below are of it; the strip shows the "
        "modules of each leaf. The dashed line is where the description is shortest, one cut through the "
        "tree; groups that hold need not hang below one line. Of more than 300 components only the merges "
        "of the last 80 groups are drawn. Long staircases are one group that takes in components one by "
        "one.",
    ),
    "mdl": Caption(
        "Description length",
        "Description length of the activations after each merge, in bits per sample, one line a run: Σ s "
        "(log2 k + α r) over groups with activity s and rank r, k groups in all. It falls while merges join "
        "components that act together. The marked least value is one cut through the merge, and how flat "
        "the curve is around it shows how little that number of groups means; which groups hold is judged "
        "group by group on held-out samples instead (figure groups). A curve that still falls at its last "
        "merge is not finished: raise iters.",
    ),
    "cluster_sizes": Caption(
        "Numbers and sizes of groups",
        "Top: number of groups, of groups with one component and of larger ones after each merge, one line "
        "a run. Bottom: sizes of the three largest groups, in components. Many groups alike are "
        "structure, one that swallows all is not.",
    ),
    "distances": Caption(
        "Distances between runs",
        "Distance between every two runs ({method}) after each iteration: median, quartiles and range over "
        "the pairs of runs, and each pair as a point where there are few. The axis is linear near zero, "
        "where the runs have found the same groups, and logarithmic above.",
    ),
    "runs": Caption(
        "Runs at the cuts",
        "Distances between the runs ({method}) where the merges are cut, each as a table, similar runs "
        "side by side (average linkage), and as points in the plane whose distances resemble them "
        "(classical scaling, Torgerson 1952). The axes name the share of the squared distances that they "
        "show: when it is small the runs differ "
        "each in its own way, and the picture of points means little. " + _CUTS.strip(),
    ),
    "stability": Caption(
        "Stability",
        "Distance between the runs after each iteration (median and range over pairs of runs), next to runs "
        "whose components were shuffled (mean of the median over shuffles, range over all pairs and "
        "shuffles), and the number of distinct groupings: where the runs are far below the shuffled ones "
        "they found the "
        "same groups. Vertical lines mark the cuts. " + _CUTS.strip(),
    ),
    "contested": Caption(
        "Contested components",
        "At each cut: in how many runs a pair of components is together (left; pairs in all runs or in none "
        "are settled), next to the mean of shuffled runs, and the components whose company differs most "
        "between two runs (right; dashed: mean of shuffled runs, band: range over shuffles). Contestedness "
        "is the mean over pairs of runs of the number of components that are with it in one run and not in "
        "the other. " + _CUTS.strip(),
    ),
    "coclustering": Caption(
        "Co-clustering of contested components",
        "Share of the runs that put two components into one group, at each cut, for the components whose "
        "company differs between runs (at most 150, the most contested), in the order of their "
        "average-linkage tree. Bright blocks are groups that most runs form; pale crosses between blocks "
        "are components that change sides. " + _CUTS.strip(),
    ),
    "consensus": Caption(
        "Consensus groups",
        "Groups of components that more than half of the runs put together, directly or through others, at "
        "each cut. Left: the 20 largest, their components by module, and their support: the mean share of "
        "runs in which two of its components are together. Right: support of all groups by size (of a "
        "single component: the share of runs in which it is alone), larger points for more groups, next to "
        "shuffled runs (dashed: mean, band: range over shuffles). High support means that a group does not "
        "depend on the sample; that it describes the activations is a question for held-out samples (figure "
        "groups). " + _CUTS.strip(),
    ),
    "sweep": Caption(
        "Points of a sweep",
        "What each point of the sweep found where its description is shortest (scalar activations have no "
        "shortest description; there before stability drops): the number of groups, how many runs back the "
        "consensus groups, next to runs whose components were shuffled, and how far its runs are apart. "
        "Descriptions of different settings weigh things differently, so their lengths are not compared; "
        "held-out bits are, in the next figures.",
    ),
    "sweep_distances": Caption(
        "Distances between the points of a sweep",
        "Distance between every two points of the sweep, where the description of each is shortest: the "
        "mean over a run of one and a run of the other (left; on the diagonal two runs of the point), and "
        "between their consensus groupings (right). Two points differ where their distance is clearly above "
        "those on the diagonal.",
    ),
    "sweep_bits": Caption(
        "What the points of a sweep describe best",
        "Top: bits per sample that describe held-out samples at each point of the sweep, by all components "
        "alone, by the groups that hold, by the groups that more than half of the merges form, and by the "
        "first run cut at its shortest description; less is better, and a ring marks the least of each "
        "curve. Middle: how many more bits the last two take than the groups that hold. The groups that "
        "hold depend on samples and activation threshold, not on how components were merged; the other two "
        "show which setting of the merge describes the activations best. Only points at which all "
        "components alone take equally many bits code the same activations and are joined by a line; others "
        "must not be compared. Bottom: groups that hold, and how many of them chance would give.",
    ),
}
"""Captions by kind of figure; `{method}` stands for the name of a distance."""

_STEMS = (
    (r"distances_(?P<method>.+)", "distances"),
    (r"runs_(?P<method>.+)", "runs"),
    (r"merge_tree_run_\d+", "merge_tree"),
    (r"merge_candidates_run_\d+", "merge_candidates"),
    (r"merge_state_run_\d+_.+", "merge_state"),
    (rf"activations_run_\d+_(?P<kind>{'|'.join(ACTIVATION_FIGURES)})", "activations_{kind}"),
)


def figure_caption(stem: str) -> Caption | None:
    """Return the caption of a figure from the name of its file without suffix; None for unknown figures.

    Example:
        >>> figure_caption("runs_matching_dist").text.split(" where")[0]
        'Distances between the runs (matching_dist)'
        >>> figure_caption("activations_run_0_raw").title
        'Activations'

    Args:
        stem: as in `plots/<stem>.png`.
    """
    if stem in CAPTIONS:
        return CAPTIONS[stem]
    for pattern, kind in _STEMS:
        if match := re.fullmatch(pattern, stem):
            caption = CAPTIONS[kind.format(**match.groupdict())]
            return Caption(
                caption.title, caption.text.replace("{method}", match.groupdict().get("method", ""))
            )
    return None


def caption_files() -> dict[str, str]:
    """Return the text of every file in `report/captions/` that comes from here, by file name.

    Example:
        >>> print(caption_files()["mdl.rst"].splitlines()[0][:18])
        Description length
    """
    return {f"{kind}.rst": _wrapped(caption.text) for kind, caption in CAPTIONS.items()}


def _wrapped(text: str) -> str:
    text = text.replace("{method}", "{{ snakemake.wildcards.method }}")
    return textwrap.fill(text, 115, break_long_words=False, break_on_hyphens=False) + "\n"


def main(folder: Path = Path("report/captions")) -> None:
    """Write all files.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     main(Path(folder))
        ...     (Path(folder) / "mdl.rst").exists()
        True
    """
    for name, text in caption_files().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
