"""Stage: results -> figures. `plotting.registry` defines which there are, from what and by which function."""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from matplotlib.figure import Figure

from spdclust.core.errors import InputError
from spdclust.plotting.registry import FIGURE_RULES, INPUTS, FigureInput
from spdclust.plotting.style import save_figure

Files = str | Path | Sequence[str | Path]
"""One file, or several that are read together; an empty sequence where there is none."""


def draw_figures(
    rule: str,
    inputs: Mapping[str, Files],
    paths: Mapping[str, Sequence[str | Path]],
    *,
    arguments: Mapping[str, Any] | None = None,
    threads: int | None = None,
    dpi: int = 150,
    scale: float = 1.0,
) -> None:
    """Draw figures of one rule of the registry.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> place = write_example_ensemble(folder)
        >>> inputs = {"histories": [place.history(0), place.history(1)]}
        >>> draw_figures("plot_curves", inputs, {"mdl": [f"{folder}/mdl.png", f"{folder}/mdl.pdf"]})
        >>> sorted(path.name for path in folder.glob("mdl.*"))
        ['mdl.pdf', 'mdl.png']

    Args:
        rule: name in `FIGURE_RULES`.
        inputs: the files of each input of the rule.
        paths: for each figure wanted, by its key, the files to write.
        arguments: the rule's further arguments of the drawing functions.
        threads: number of threads for figures that repeat a merge; None for all cores.
        dpi: pixels per inch.
        scale: factor on the size.

    Raises:
        InputError: an input cannot be read or lacks what the figure shows, or a figure cannot
            be written.
    """
    entry = FIGURE_RULES[rule]
    figures = {figure.key: figure for figure in entry.figures}
    functions = {figures[key].draw: resolve_name(figures[key].draw) for key in paths}
    parameters = {draw: set(inspect.signature(call).parameters) for draw, call in functions.items()}
    known: dict[str, Any] = {"threads": threads, **(arguments or {})}
    for name in entry.inputs:
        if not set().union(*parameters.values()).isdisjoint(INPUTS[name].gives):
            known |= _load(INPUTS[name], _paths(inputs[name]))
    drawn: dict[str, Any] = {}
    try:
        for draw, call in functions.items():
            drawn[draw] = call(**{name: value for name, value in known.items() if name in parameters[draw]})
    except InputError as error:
        raise error.located(file=_paths(inputs[entry.inputs[0]])[0]) from error
    for key, files in paths.items():
        figure: Figure = drawn[figures[key].draw]
        if part := figures[key].part:
            figure = drawn[figures[key].draw][part]
        save_figure(figure, *files, dpi=dpi, scale=scale)


def draw_all_figures(rule: str, inputs: Mapping[str, Files], folder: str | Path) -> None:
    """Draw every figure of a rule without wildcards into a folder, as `<figure>.png`.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> inputs = {"histories": [write_example_ensemble(folder).history(0)]}
        >>> draw_all_figures("plot_curves", inputs, folder)
        >>> sorted(path.name for path in folder.glob("*.png"))
        ['cluster_sizes.png', 'mdl.png']

    Raises:
        InputError: an input cannot be read, or a figure cannot be written.
    """
    keys = [figure.key for figure in FIGURE_RULES[rule].figures]
    draw_figures(rule, inputs, {key: [Path(folder) / f"{key}.png"] for key in keys})


def _paths(files: Files) -> list[Path]:
    return [Path(file) for file in ([files] if isinstance(files, str | Path) else files)]


def _load(source: FigureInput, files: list[Path]) -> dict[str, Any]:
    """Read files, and return the result under the names of the parameters that it is for."""
    if not files:
        return dict.fromkeys(source.gives)
    read = resolve_name(source.load)(files if source.several else files[0])
    return dict(zip(source.gives, read if len(source.gives) > 1 else [read], strict=True))
