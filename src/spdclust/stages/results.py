"""Stages around all results: an ensemble's configuration, the registry, figures, one page of all figures.

`plotting.registry` defines which figures there are, from what and by which function.
"""

import inspect
import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from spdclust.core.atomic import atomic_path
from spdclust.core.errors import InputError, in_file
from spdclust.files.ensemble_folder import save_pipeline_config, save_run_config
from spdclust.files.summaries import write_registry
from spdclust.plotting.registry import FIGURE_RULES, INPUTS, FigureInput

log = logging.getLogger(__name__)
Files = str | Path | Sequence[str | Path]
"""One file, or several that are read together; an empty sequence if there is none."""


def registry(path: str | Path) -> None:
    """Write the registry of all ensembles in its folder.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> _ = write_example_ensemble(folder)
        >>> registry(f"{folder}/results/ensemble_registry.db")

    Raises:
        InputError: a `registered.json` is damaged, or the registry cannot be written.
    """
    log.info("%d ensembles in %s", write_registry(Path(path).parent), path)


def report(snakefile: str | Path, config: Mapping[str, Any], target: str, *, path: str | Path) -> None:
    """Write Snakemake's report on the results of a workflow, which must exist.

    Raises:
        InputError: Snakemake cannot make the report, or the page cannot be written.
    """
    with atomic_path(path) as page, tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "config.json"
        settings.write_text(json.dumps(config))
        # the suffix decides the format; the folder is locked by the workflow that runs this job
        output = Path(folder) / "report.html"
        command = [sys.executable, "-P", "-m", "snakemake", "--snakefile", snakefile, "--nolock"]
        command += ["--quiet", "all", "--report", output, "--configfile", settings, "--", target]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if done.returncode or not output.is_file():
            raise InputError(
                "Snakemake could not write the report",
                file=path,
                found=(done.stdout.strip().splitlines() or ["no message"])[-1],
                allowed=f"results of {target} that are there and up to date",
            )
        page.write_bytes(output.read_bytes())


def resolve_configuration(
    pipeline: Mapping[str, Any], run: Mapping[str, Any], *, pipeline_path: str | Path, run_path: str | Path
) -> None:
    """Write `pipeline_config.yaml` and `clustering_run_config.json`.

    Example:
        >>> from spdclust.config.run import ClusteringRunConfig
        >>> run = ClusteringRunConfig(model_path="resources/resid_mlp1").model_dump(mode="json")
        >>> pipeline_file, run_file = folder / "pipeline_config.yaml", folder / "run.json"
        >>> resolve_configuration({"n_runs": 4}, run, pipeline_path=pipeline_file, run_path=run_file)
        >>> pipeline_file.read_text().strip(), '"batch_size": 128' in run_file.read_text()
        ('n_runs: 4', True)

    Raises:
        InputError: a file cannot be written.
    """
    save_pipeline_config(pipeline, pipeline_path)
    save_run_config(run, run_path)


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

    `paths` has, for the key of each figure to draw, the files to write; `arguments` are further ones of the
    drawing functions. Figures that repeat a merge use `threads`, None for all cores.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> place = write_example_ensemble(folder)
        >>> inputs = {"histories": [place.history(0), place.history(1)]}
        >>> draw_figures("plot_curves", inputs, {"mdl": [f"{folder}/mdl.png", f"{folder}/mdl.pdf"]})
        >>> sorted(path.name for path in folder.glob("mdl.*"))
        ['mdl.pdf', 'mdl.png']

    Raises:
        InputError: an input cannot be read or lacks what the figure shows, or a figure cannot
            be written.
    """
    from spdclust.plotting.style import save_figure  # slow to import, and only figures need it

    entry = FIGURE_RULES[rule]
    figures = {figure.key: figure for figure in entry.figures}
    functions = {figures[key].draw: resolve_name(figures[key].draw) for key in paths}
    parameters = {draw: set(inspect.signature(call).parameters) for draw, call in functions.items()}
    known: dict[str, Any] = {"threads": threads, **(arguments or {})}
    for name in entry.inputs:
        if not set().union(*parameters.values()).isdisjoint(INPUTS[name].gives):
            known |= _load(INPUTS[name], _paths(inputs[name]))
    drawn: dict[str, Any] = {}
    with in_file(_paths(inputs[entry.inputs[0]])[0]):
        for draw, call in functions.items():
            drawn[draw] = call(**{name: value for name, value in known.items() if name in parameters[draw]})
    for key, files in paths.items():
        figure = drawn[figures[key].draw]
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
