"""Subcommand on several ensembles: compare the points of a sweep."""

import argparse
from pathlib import Path

from spdclust.commands.subcommands import AddCommand


def add_commands(command: AddCommand) -> None:
    """Add `compare`.

    Example:
        >>> from spdclust.commands.subcommands import subcommand_adder
        >>> parser = argparse.ArgumentParser(prog="spdclust")
        >>> add_commands(subcommand_adder(parser))
        >>> options = parser.parse_args(["compare", "mlp/alpha~1", "mlp/alpha~2", "--output", "mlp/sweep"])
        >>> [folder.name for folder in options.ensembles], options.output.name
        (['alpha~1', 'alpha~2'], 'sweep')
    """
    compare = command(
        "compare",
        _compare,
        "Compare the points of a sweep: groups, stability, distances between them.",
        "spdclust compare results/resid_mlp1/sweep-alpha~* --output results/resid_mlp1/sweep",
    )
    compare.add_argument(
        "ensembles", type=Path, nargs="+", help="folders with runs/run_<r>/history.zip and stability.json"
    )
    compare.add_argument(
        "--output", type=Path, required=True, help="folder for sweep.json, tables and figures"
    )


def _compare(options: argparse.Namespace) -> None:
    from spdclust.files.ensemble_folder import GROUPS, SWEEP_FILES
    from spdclust.files.summaries import format_sweeps
    from spdclust.stability.names import STABILITY_FILES
    from spdclust.stages.compare_points import PointFiles, compare_points
    from spdclust.stages.figures import draw_all_figures

    names = [folder.resolve().name for folder in options.ensembles]
    if len(set(names)) < len(names):
        names = [folder.as_posix() for folder in options.ensembles]
    points = []
    for name, folder in zip(names, options.ensembles, strict=True):
        groups = folder / GROUPS["record"]
        record = folder / STABILITY_FILES["record"]
        known = groups if groups.is_file() else None
        points.append(PointFiles(name, _point_of(folder, name), folder, record, known))
    compare_points(points, options.output)
    draw_all_figures(
        "plot_sweep", {"sweep": options.output / SWEEP_FILES["record"]}, options.output / "plots"
    )
    print(format_sweeps([options.output]))


def _point_of(folder: Path, name: str) -> dict[str, object]:
    """Return the swept settings of an ensemble and their values, or its name if none are recorded."""
    from spdclust.config.load import read_mapping

    file = folder / "pipeline_config.yaml"
    point = read_mapping(file).get("sweep_point") if file.is_file() else None
    return dict(point) if point else {"ensemble": name}
