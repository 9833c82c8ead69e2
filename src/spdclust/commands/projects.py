"""Subcommands on projects: create a folder, run the workflow in it, watch its jobs, list its ensembles."""

import argparse
import os
import re
import shlex
import sys
import time
from pathlib import Path

import yaml

from spdclust.commands.subcommands import AddCommand
from spdclust.core.atomic import check_writable, write_text
from spdclust.core.errors import InputError
from spdclust.core.safe_reading import exists
from spdclust.execution.jobs import workflow_folder

_PROFILES = ("local", "slurm", "generic")
_FILES = {
    "config/config.yaml": """\
# Which pipelines to run, and where everything is written.
pipelines:
  - config/pipelines/first.yaml
results: results
""",
    "config/pipelines/first.yaml": """\
# An ensemble: several runs, each on another sample of one model, compared. Results: results/{name}/first/
# Every setting: config/defaults/pipeline.yaml of the repository.
clustering_run_config_path: ../runs/{name}.yaml
n_runs: {n_runs}
distances_methods: [perm_invariant_hamming]
# sweep: {merge_config.alpha: [0.5, 1, 2]}
""",
}
_OF_MODEL = """\
# One sampling of activations from one model, and how its components are merged.
# A run directory, a model_<step>.pth, or wandb:entity/project/run_id. Relative paths start at the folder
# of this file, else at the folder in which the workflow runs. Instead of a model:
# precomputed_activations_dir, a folder of activations. Every setting with its default:
# config/defaults/run.yaml of the repository.
model_path: {model}
batch_size: 128
n_tokens: 4096
merge_config:
  activation_threshold: 0.01
  alpha: 1.0
  iters: null
"""

_OF_ACTIVATIONS = """\
# User-supplied activations, and how their components are merged: a folder with the files of each run in
# run_<r>/. Relative paths start at the folder of this file, else at the folder in which the workflow
# runs. Every setting with its default: config/defaults/run.yaml of the repository.
precomputed_activations_dir: {activations}
merge_config:
  activation_threshold: 0.01   # a component is active above this value
  alpha: 1.0
  iters: null
"""


def add_commands(command: AddCommand) -> None:
    """Add `init`, `workflow`, `watch`, `list` and `register`.

    Example:
        >>> from spdclust.commands.subcommands import subcommand_adder
        >>> parser = argparse.ArgumentParser(prog="spdclust")
        >>> add_commands(subcommand_adder(parser))
        >>> options = parser.parse_args(["init", f"{folder}/mine", "--model", "runs/mlp"])
        >>> options.act(options)
        wrote ...
        >>> sorted(path.name for path in (folder / "mine/config").rglob("*.yaml"))
        ['config.yaml', 'first.yaml', 'model.yaml']
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> place = write_example_ensemble(folder)
        >>> options = parser.parse_args(["list", f"{folder}/results", "--runs"])
        >>> options.act(options)
        ensemble         run  components  merges  seed  digest  history
        example/example  0    12          11      0/0   ...     example/example/runs/run_0/history.zip
        example/example  1    12          11      0/1   ...     example/example/runs/run_1/history.zip
    """
    init = command(
        "init",
        _init,
        "Write a project folder: a pipeline and a run file to edit, and profiles.",
        "spdclust init my_project --model path/to/run",
        "spdclust init my_project --activations my_latents",
        "cd my_project && spdclust workflow run --cores 4",
    )
    init.add_argument(
        "folder", type=Path, help="folder of the project; files that are there are not replaced"
    )
    source = init.add_mutually_exclusive_group()
    source.add_argument("--model", default="path/to/your/model", help="model_path of the run file")
    source.add_argument(
        "--activations",
        metavar="FOLDER",
        help="instead of a model: user-supplied activations",
    )

    workflow = command(
        "workflow",
        _workflow,
        "Print where the workflow is, or run it in the working folder.",
        "snakemake -s $(spdclust workflow) --cores 4",
        "spdclust workflow run --cores 4",
        "spdclust workflow run --profile profiles/slurm",
    )
    workflow.add_argument("action", nargs="?", choices=["run"], help="run it (default: print its Snakefile)")
    workflow.add_argument("arguments", nargs=argparse.REMAINDER, help="options and targets of Snakemake")

    watch = command(
        "watch",
        _watch,
        "Show the jobs of a running workflow, again and again: merges done, merges per second, time left.",
        "spdclust watch",
        "spdclust watch my_results --once",
    )
    watch.add_argument(
        "results", type=Path, nargs="?", default=Path("results"), help="folder (default: results)"
    )
    watch.add_argument("--every", type=float, default=5.0, metavar="SECONDS", help="default 5")
    watch.add_argument("--once", action="store_true", help="show them once and end")

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


def _init(options: argparse.Namespace) -> None:
    folder: Path = options.folder
    profiles = workflow_folder() / "profiles"
    run = "model" if options.activations is None else "activations"
    values = {
        "name": run,
        "n_runs": 4 if options.activations is None else _n_runs(Path(options.activations)),
        "model": _written(options.model),
        "activations": _written(options.activations or ""),
    }
    texts = {**_FILES, f"config/runs/{run}.yaml": _OF_MODEL if run == "model" else _OF_ACTIVATIONS}
    files = {
        name: re.sub(r"\{(\w+)\}", lambda match: str(values.get(match[1], match[0])), text)
        for name, text in texts.items()
    }
    for name in _PROFILES:
        profile = profiles / name / "config.yaml"
        if profile.is_file():
            files[f"profiles/{name}/config.yaml"] = profile.read_text(encoding="utf-8")
    existing = [name for name in files if (folder / name).exists()]
    if existing:
        raise InputError("would be replaced", file=folder / existing[0], allowed="a new or empty folder")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_text(folder / name, text)
    print(
        f"wrote {folder}/config and {folder}/profiles; edit {folder}/config/runs/{run}.yaml, then: "
        f"cd {shlex.quote(str(folder))} && spdclust workflow run --cores 2"
    )


def _written(path: str) -> str:
    """Return a path as YAML: that of a file or folder is absolute, because the project is another folder."""
    value = os.path.abspath(path) if path and exists(path) else path
    return yaml.safe_dump(value, allow_unicode=True, width=10**6).split("\n")[0]


def _n_runs(folder: Path) -> int:
    from spdclust.user_files.folders import run_numbers

    numbers = run_numbers(folder) if folder.is_dir() else []
    return max(2, len(numbers)) if numbers else 4  # distances need two


def _workflow(options: argparse.Namespace) -> None:
    snakefile = workflow_folder() / "Snakefile"
    if options.action is None:
        print(snakefile)
        return
    config = "config/config.yaml"
    moved = ("-d", "--directory", "--configfile", "-h", "--help")
    if not os.path.isfile(config) and not any(argument.startswith(moved) for argument in options.arguments):
        raise InputError("no such file", file=config, allowed="a project folder: spdclust init my_project")
    run_snakemake(
        [sys.executable, "-P", "-m", "snakemake", "--snakefile", str(snakefile), *options.arguments]
    )


def run_snakemake(command: list[str]) -> None:
    """Print a command `python -P -m snakemake …` as one would type it, and become its process.

    Example:
        >>> from unittest import mock
        >>> with mock.patch("os.execv") as execute:
        ...     run_snakemake(["python", "-P", "-m", "snakemake", "--cores", "2"])
        >>> execute.call_args.args[1][3:]
        ['snakemake', '--cores', '2']

    Raises:
        InputError: Snakemake could not write its cache.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    try:
        check_writable(os.path.join(cache, "snakemake"))
    except InputError as error:
        allowed = "XDG_CACHE_HOME: a folder in which Snakemake can write its cache"
        raise InputError(error.problem, file=error.file, found=error.found, allowed=allowed) from error
    print("+ " + shlex.join(command[3:]), file=sys.stderr, flush=True)
    # exec instead of a child process, so that signals reach the workflow
    os.execv(command[0], command)


def _watch(options: argparse.Namespace) -> None:
    from spdclust.execution.running_jobs import format_jobs, queued_jobs, running_jobs
    from spdclust.execution.snakemake_hooks import running_since

    if not options.results.is_dir():
        raise InputError("no such folder", file=options.results, allowed="the folder of a workflow's results")
    is_of_this_folder = options.results.resolve().is_relative_to(Path.cwd())
    while True:
        since = running_since() if is_of_this_folder else None
        table = format_jobs(running_jobs(options.results, queued_jobs(), since))
        if options.once:
            print(table)
            return
        clear = "\033[2J\033[H" if sys.stdout.isatty() else ""
        print(f"{clear}{time.strftime('%H:%M:%S')}\n{table}\n", flush=True)
        try:
            time.sleep(max(0.2, options.every))
        except KeyboardInterrupt:
            return


def _list(options: argparse.Namespace) -> None:
    from spdclust.files.summaries import format_registry, read_registered

    print(format_registry(read_registered(options.results), runs=options.runs))


def _register(options: argparse.Namespace) -> None:
    from spdclust.config.load import load_config, read_mapping
    from spdclust.config.pipeline import ensemble_identity
    from spdclust.config.run import ClusteringRunConfig
    from spdclust.files.ensemble_folder import PIPELINE_CONFIG, RUN_CONFIG, find_histories
    from spdclust.files.summaries import REGISTRY, write_registry
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
