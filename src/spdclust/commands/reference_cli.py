"""The `spd-clustering` command: the flags of the reference implementation, run by this workflow."""

import argparse
import importlib.util
import shutil
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from spdclust.commands.projects import run_snakemake
from spdclust.config.load import load_config, read_mapping, validate
from spdclust.config.pipeline import ClusteringPipelineConfig, PipelineOverride
from spdclust.config.resolve import WorkflowConfig, resolve_workflow
from spdclust.core.errors import InputError
from spdclust.core.version import __version__
from spdclust.execution.jobs import workflow_folder

_EXAMPLES = """examples:
  spd-clustering --config config/pipelines/demo.yaml --local
  spd-clustering --config config/pipelines/demo.yaml --local --n-runs 3 --distances-methods matching_dist
  spd-clustering --config my/pipeline.yaml --wandb-project none          # on Slurm
  spd-clustering --config my/pipeline.yaml --local --dry-run             # only say what would run
"""

NO_LONGER = {
    "local_clustering_parallel": "runs share the cores anyway; --cores sets their number",
    "local_calc_distances_parallel": "one pass computes all distances, on the threads of its job",
    "track_resources_calc_distances": "time and memory of every job are in results/logs/, as .tsv",
}
"""Flags of the reference implementation that have no effect, and why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the workflow for one pipeline file; report invalid input in one line, with exit code 1.

    Example:
        >>> main(["--config", "config/pipelines/none.yaml", "--local"])  # one line on standard error
        1
    """
    options = parser().parse_args(arguments)
    try:
        command = _snakemake_command(options)
        for line in _notes(options):
            print(line, file=sys.stderr)
        run_snakemake(command)
    except InputError as error:
        if options.debug:
            traceback.print_exc()
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the argument parser.

    Example:
        >>> options = parser().parse_args(["--config", "mine.yaml", "--local", "--n-runs", "3"])
        >>> options.config.name, options.local, options.n_runs, options.wandb_project
        ('mine.yaml', True, '3', None)
    """
    arguments = argparse.ArgumentParser(
        prog="spd-clustering",
        description="Run the workflow for one pipeline file, on Slurm unless --local. Flags override "
        "the values of the file, which is not changed.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("--version", action="version", version=__version__)
    arguments.add_argument("--config", type=Path, required=True, help="pipeline file (YAML or JSON)")
    arguments.add_argument("--n-runs", help="members of the ensemble")
    arguments.add_argument("--distances-methods", help="comma-separated, such as matching_dist,jaccard_dist")
    arguments.add_argument(
        "--calc-distances",
        action=argparse.BooleanOptionalAction,
        help="whether anything beyond the merges is computed (default: yes)",
    )
    arguments.add_argument("--wandb-project", help="W&B project; `none` logs nothing")
    arguments.add_argument("--wandb-entity", help="W&B user or team")
    arguments.add_argument(
        "--dataset-streaming",
        action="store_true",
        default=None,
        help="read the dataset as it comes from the hub instead of storing it",
    )
    arguments.add_argument(
        "--create-git-snapshot",
        action=argparse.BooleanOptionalAction,
        help="record the git commit with the results; no branch is made",
    )
    arguments.add_argument(
        "--local", action=argparse.BooleanOptionalAction, default=False, help="this machine, not Slurm"
    )
    for flag in NO_LONGER:
        arguments.add_argument(
            f"--{flag.replace('_', '-')}", action="store_true", help="accepted for compatibility; ignored"
        )
    ours = arguments.add_argument_group("not in the reference implementation")
    ours.add_argument("--cores", help="with --local: cores to use (default: all)")
    ours.add_argument("--results", help="folder of the results (default: results)")
    ours.add_argument("-n", "--dry-run", action="store_true", help="show the jobs without running them")
    ours.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return arguments


def _snakemake_command(options: argparse.Namespace) -> list[str]:
    """Return the command that runs the workflow for the options, after checking them."""
    override = _override(options)
    settings: dict[str, Any] = {"pipelines": [str(options.config)]}
    if options.results is not None:
        settings["results"] = options.results
    resolve_workflow(validate(WorkflowConfig, settings | {"override": override}))
    pipeline = load_config(ClusteringPipelineConfig, options.config)
    folder = _find_workflow()
    command = [sys.executable, "-P", "-m", "snakemake"]
    if folder != Path():
        command += ["--snakefile", str(folder / "Snakefile")]
        command += ["--configfile", str(folder / "config" / "config.yaml")]
    command += ["--config", f"pipelines={_flow(settings['pipelines'])}"]
    if options.results is not None:
        command.append(f"results={options.results}")
    if override:
        command.append(f"override={_flow(override)}")
    command += _where(options, pipeline, folder)
    if options.dry_run:
        command += ["--dry-run", "--quiet", "rules"]
    with_distances = options.calc_distances
    if with_distances is None:
        with_distances = read_mapping(options.config).get("calc_distances")
    targets = ["histories"] if with_distances is False else []
    return [*command, "--", *targets] if targets else command


def _find_workflow() -> Path:
    """Return the folder of the workflow: the working folder, otherwise the package's copy."""
    folder = Path()
    if (folder / "Snakefile").is_file() and (folder / "profiles").is_dir():
        return folder
    return workflow_folder()


def _notes(options: argparse.Namespace) -> list[str]:
    """Return a line for each ignored flag; the workflow reports ignored configuration keys."""
    given = [flag for flag in NO_LONGER if getattr(options, flag)]
    return [f"--{flag.replace('_', '-')} changes nothing: {NO_LONGER[flag]}" for flag in given]


def _override(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that flags override, checked under the names of the flags."""
    names = ("n_runs", "wandb_project", "wandb_entity", "create_git_snapshot", "dataset_streaming")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    if options.distances_methods is not None:
        given["distances_methods"] = [each.strip() for each in options.distances_methods.split(",")]
    try:
        checked = validate(PipelineOverride, given).given()
    except InputError as error:
        flag = f"--{(error.field or '').replace('_', '-')}"
        raise InputError(error.problem, field=flag, found=error.found, allowed=error.allowed) from error
    # the workflow parses null on its command line as a string
    return {name: "none" if value is None else value for name, value in checked.items()}


def _where(options: argparse.Namespace, pipeline: ClusteringPipelineConfig, folder: Path) -> list[str]:
    """Return the Snakemake options that select where jobs run."""
    if options.local:
        return [
            "--profile",
            str(folder / "profiles" / "local"),
            *(["--cores", options.cores] if options.cores is not None else []),
        ]
    if options.cores is not None:
        raise InputError("jobs on Slurm state their own resources", field="--cores", allowed="with --local")
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        raise InputError(
            "the Slurm executor is not installed",
            field="--local",
            allowed="pip install 'spdclust[slurm]', or --local",
        )
    if not options.dry_run and shutil.which("sbatch") is None:
        raise InputError(
            "no Slurm on this machine (no command sbatch)",
            field="--local",
            allowed="--local, or a login node of a cluster",
        )
    profile = folder / "profiles" / "slurm"
    command = ["--profile", str(profile)]
    if pipeline.slurm_job_name_prefix is not None:
        command += ["--slurm-jobname-prefix", pipeline.slurm_job_name_prefix]
    if pipeline.slurm_partition is not None:
        # the command-line option replaces the profile's whole block, so the block is repeated
        block = read_mapping(profile / "config.yaml").get("default-resources") or {}
        resources = block | {"slurm_partition": pipeline.slurm_partition}
        command += ["--default-resources", *(f"{name}={value!r}" for name, value in resources.items())]
    return command


def _flow(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10_000)
    return text.strip()


if __name__ == "__main__":
    sys.exit(main())
