"""Subcommands on the registry: which ensembles there are, and adding one by hand."""

import argparse
from pathlib import Path

from spdclust.commands.subcommands import AddCommand


def add_commands(command: AddCommand) -> None:
    """Add `list` and `register`.

    Example:
        >>> import tempfile
        >>> from spdclust.commands.subcommands import subcommand_adder
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> parser = argparse.ArgumentParser(prog="spdclust")
        >>> add_commands(subcommand_adder(parser))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     place = write_example_ensemble(folder)
        ...     options = parser.parse_args(["list", f"{folder}/results", "--runs"])
        ...     options.act(options)
        ensemble         run  components  merges  seed  digest  history
        example/example  0    12          11      0/0   ...     example/example/runs/run_0/history.zip
        example/example  1    12          11      0/1   ...     example/example/runs/run_1/history.zip
    """
    listed = command(
        "list",
        _list,
        "List the registered ensembles of a folder of results, or their runs.",
        "spdclust list",
        "spdclust list my_results --runs",
    )
    listed.add_argument(
        "results", type=Path, nargs="?", default=Path("results"), help="folder (default: results)"
    )
    listed.add_argument("--runs", action="store_true", help="a line for each run")

    register = command(
        "register",
        _register,
        "Put an ensemble and its runs into the registry; the workflow does so by itself.",
        "spdclust register results/resid_mlp1/demo",
    )
    register.add_argument(
        "ensemble", type=Path, help="results/<run>/<ensemble>, with its two configuration files"
    )


def _list(options: argparse.Namespace) -> None:
    from spdclust.files.registry import format_registry, read_registered

    print(format_registry(read_registered(options.results), runs=options.runs))


def _register(options: argparse.Namespace) -> None:
    from spdclust.config.load import load_config, read_mapping
    from spdclust.config.pipeline import ensemble_identity
    from spdclust.config.run import ClusteringRunConfig
    from spdclust.files.ensemble_folder import PIPELINE_CONFIG, RUN_CONFIG, find_histories
    from spdclust.files.registry import REGISTRY, write_registry
    from spdclust.stages.ensemble_records import register

    folder: Path = options.ensemble
    results = folder.resolve().parent.parent
    run = load_config(ClusteringRunConfig, folder / RUN_CONFIG)
    pipeline = read_mapping(folder / PIPELINE_CONFIG)
    name = folder.resolve().relative_to(results).as_posix()
    settings = ensemble_identity(name, run, int(pipeline.get("base_seed", 0)))
    register(find_histories(folder), settings, path=folder / "registered.json")
    write_registry(results)
    print(f"{name} is in {options.ensemble.parent.parent / REGISTRY}")
