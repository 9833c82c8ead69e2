"""What the registry of figures holds: rules, their figures, the files that they are drawn from.

The workflow reads it for every plan, so this imports nothing slow: functions are named as `module:function`.
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

from spdclust.files.ensemble_folder import GROUPS, STABILITY_FILES, SWEEP_FILES

FOLDERS = {"model": "{run_config}", "ensemble": "{run_config}/{ensemble}", "sweep": "{run_config}/{sweep}"}
"""Folder below the results, by what figures are of."""

_NONE: Mapping[str, str] = MappingProxyType({})
_WILDCARD = r"(?:_run)?_\{\w+\}"


class FigureInput(NamedTuple):
    """Files that figures are drawn from.

    Attributes:
        load: `module:function` that reads the file.
        gives: parameter of the drawing functions that gets what `load` returns; one for each part of a tuple.
        file: its path below the results; None where a function in `rules/figures.smk` finds the files.
        several: whether `load` takes a list of files.
    """

    load: str
    gives: tuple[str, ...]
    file: str | None = None
    several: bool = False


class FigureEntry(NamedTuple):
    """One figure.

    Attributes:
        file: name of its files without suffix, with wildcards.
        draw: `module:function` that returns it. Each of the function's parameters gets the result of the
            input, or the argument of the rule, that has its name.
        title: the figure's name, in a few words.
        caption: what it shows, how to read it, the definition of the quantity.
        label: what the report calls it, with wildcards; its part or key when empty.
        part: key of the figure, for a function that returns several at once.

    Example:
        >>> draw = "spdclust.plotting.merges:plot_merge_tree"
        >>> FigureEntry("merge_tree_run_{run}", draw, "Merge tree", "Which groups …").key
        'merge_tree'
    """

    file: str
    draw: str
    title: str
    caption: str
    label: str = ""
    part: str = ""

    @property
    def key(self) -> str:
        """Name of the figure for all values of its wildcards: that of its caption."""
        return re.sub(_WILDCARD, "", self.file)


class FigureRule(NamedTuple):
    """Figures that one job draws from the same files: a rule of the workflow.

    Attributes:
        of: what the figures are of, which decides their folder.
        category: section of the report.
        inputs: names of `INPUTS`.
        figures: what it draws; all have the same wildcards.
        arguments: further arguments of the drawing functions, with wildcards.
        settings: merge settings of the run that the drawing functions take as arguments.
        by_default: wildcards of the figures in the default set, `every` or `first` for the pipeline's
            methods; None when figures are drawn only by name.
        memory: megabytes, and megabytes for each megabyte of input.
        minutes: run time, and minutes for each megabyte of input.
        repeats_merge: whether it needs the memory of a merge instead.

    Example:
        >>> figure = FigureEntry("runs_{method}", "spdclust.plotting.runs:plot_runs", "Runs", "…")
        >>> rule = FigureRule("plot_runs", "ensemble", "Stability", ("distances",), (figure,))
        >>> rule.stem(figure), rule.log
        ('{run_config}/{ensemble}/plots/runs_{method}', '{run_config}/{ensemble}/plot_runs_{method}')
    """

    name: str
    of: Literal["model", "ensemble", "sweep"]
    category: str
    inputs: tuple[str, ...]
    figures: tuple[FigureEntry, ...]
    arguments: Mapping[str, str] = _NONE
    settings: tuple[str, ...] = ()
    by_default: Mapping[str, str] | None = _NONE
    memory: tuple[float, float] = (1000, 0)
    minutes: tuple[float, float] = (5, 0)
    repeats_merge: bool = False

    @property
    def log(self) -> str:
        """Path of its log below the folder of logs, without suffix."""
        wildcards = "".join(re.findall(_WILDCARD, self.figures[0].file))
        return f"{FOLDERS[self.of]}/{self.name}{wildcards}"

    @property
    def labels(self) -> dict[str, str]:
        """Columns of the report next to that of the figure."""
        if self.of == "model":
            return {"model": "{run_config}", "run": "{run}"}
        return {self.of: f"{{{self.of}}}"}

    @property
    def needs_batches(self) -> bool:
        """Whether it cannot do without batches, which are sampled again where they are temporary."""
        return not {"batch", "batches"}.isdisjoint(self.inputs)

    def stem(self, figure: FigureEntry) -> str:
        """Return the path of a figure below the results, without suffix."""
        return f"{FOLDERS[self.of]}/plots/{figure.file}"

    def default_stems(self, wildcards: Mapping[str, str], methods: Sequence[str] = ()) -> list[str]:
        """Return the paths of the figures in the default set, below the results, without suffix.

        Example:
            >>> figure = FigureEntry("runs_{method}", "spdclust.plotting.runs:plot_runs", "Runs", "…")
            >>> rule = FigureRule("plot_runs", "ensemble", "S", (), (figure,), by_default={"method": "first"})
            >>> folder = {"run_config": "mlp", "ensemble": "demo"}
            >>> rule.default_stems(folder, ["jaccard_dist", "matching_dist"])
            ['mlp/demo/plots/runs_jaccard_dist']
        """
        if self.by_default is None:
            return []
        values = {**wildcards, **self.by_default}
        chosen = {"every": methods, "first": methods[:1], "": [""]}[values.get("method", "")]
        return [
            self.stem(figure).format(**values | {"method": method})
            for figure in self.figures
            for method in chosen
        ]


_ENSEMBLE, _SWEEP = FOLDERS["ensemble"], FOLDERS["sweep"]

_STABILITY = {what: f"{_ENSEMBLE}/{name}" for what, name in STABILITY_FILES.items()}

_READ_BATCH = "spdclust.files.batches:ActivationBatch.load"

INPUTS: dict[str, FigureInput] = {
    "batch": FigureInput(
        _READ_BATCH, ("activations",), "{run_config}/precomputed_batches/run_{run}/batch_0.pt"
    ),
    # without one, where batches are temporary, figures do without
    "kept_batch": FigureInput(_READ_BATCH, ("activations",)),
    "batches": FigureInput("spdclust.files.batches:BatchedActivations", ("batches",), several=True),
    "history": FigureInput(
        "spdclust.files.histories:load_merge_history",
        ("history",),
        f"{_ENSEMBLE}/runs/run_{{run}}/history.zip",
    ),
    "histories": FigureInput("spdclust.files.histories:load_merge_histories", ("histories",), several=True),
    "distances": FigureInput(
        "spdclust.files.ensembles:load_distance_rows",
        ("iterations", "distances"),
        f"{_ENSEMBLE}/distances_{{method}}.npz",
    ),
    "groups": FigureInput("spdclust.files.groups:load_groups", ("found",), f"{_ENSEMBLE}/{GROUPS['record']}"),
    "stability": FigureInput(
        "spdclust.files.stability:load_stability_record", ("record",), _STABILITY["record"]
    ),
    "stability_iterations": FigureInput(
        "spdclust.files.stability:load_stability_iterations", ("table",), _STABILITY["iterations"]
    ),
    "stability_components": FigureInput(
        "spdclust.files.stability:load_components", ("components",), _STABILITY["components"]
    ),
    "stability_groups": FigureInput(
        "spdclust.files.stability:load_groups", ("groups",), _STABILITY["groups"]
    ),
    "stability_coclustering": FigureInput(
        "spdclust.files.stability:load_coclusterings", ("labels", "frequencies"), _STABILITY["coclustering"]
    ),
    "sweep": FigureInput(
        "spdclust.files.stability:load_sweep", ("record",), f"{_SWEEP}/{SWEEP_FILES['record']}"
    ),
}
"""By the name of the rule's input."""
