"""Subcommands on projects: create a folder, run the workflow in it, and watch its jobs."""

import argparse
import os
import shlex
import sys
import time
from pathlib import Path

from spdclust.commands.subcommands import AddCommand
from spdclust.core.atomic import write_text
from spdclust.core.errors import InputError
from spdclust.execution.workflow_files import workflow_folder

_PROFILES = ("local", "slurm", "generic")

_FILES = {
    "config/config.yaml": """\
# Which pipelines to run, and where everything is written.
pipelines:
  - config/pipelines/first.yaml
results: results
""",
    "config/pipelines/first.yaml": """\
# An ensemble: several samplings of one model, each merged, all compared. Results: results/model/first/
# Every setting: config/defaults/pipeline.yaml of the repository.
clustering_run_config_path: ../runs/model.yaml
n_runs: 4
distances_methods: [perm_invariant_hamming]
# sweep: {merge_config.alpha: [0.5, 1, 2]}
""",
    "config/runs/model.yaml": """\
# One sampling of activations from one model, and how its components are merged.
# A run directory, a model_<step>.pth, or wandb:entity/project/run_id. Relative paths lead from this file,
# else from the folder in which the workflow runs. Instead of a model: precomputed_activations_dir, a folder
# of activations. Every setting with its default: config/defaults/run.yaml of the repository.
model_path: {model}
batch_size: 128
n_tokens: 4096
merge_config:
  activation_threshold: 0.01
  alpha: 1.0
  iters: null
""",
}


def add_commands(command: AddCommand) -> None:
    """Add `init`, `workflow` and `watch`.

    Example:
        >>> import tempfile
        >>> from spdclust.commands.subcommands import subcommand_adder
        >>> parser = argparse.ArgumentParser(prog="spdclust")
        >>> add_commands(subcommand_adder(parser))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     options = parser.parse_args(["init", f"{folder}/mine", "--model", "runs/mlp"])
        ...     options.act(options)
        ...     sorted(path.name for path in Path(folder, "mine/config").rglob("*.yaml"))
        wrote ...
        ['config.yaml', 'first.yaml', 'model.yaml']
    """
    init = command(
        "init",
        _init,
        "Write a project folder: a pipeline and a run file to edit, and profiles.",
        "spdclust init my_project --model path/to/run",
        "cd my_project && spdclust workflow run --cores 4",
    )
    init.add_argument(
        "folder", type=Path, help="folder of the project; files that are there are not replaced"
    )
    init.add_argument("--model", default="path/to/your/model", help="model_path of the run file")

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


def _init(options: argparse.Namespace) -> None:
    folder: Path = options.folder
    profiles = workflow_folder() / "profiles"
    files = {name: text.replace("{model}", options.model) for name, text in _FILES.items()}
    for name in _PROFILES:
        profile = profiles / name / "config.yaml"
        if profile.is_file():
            files[f"profiles/{name}/config.yaml"] = profile.read_text(encoding="utf-8")
    there = [name for name in files if (folder / name).exists()]
    if there:
        raise InputError("would be replaced", file=folder / there[0], allowed="a new or empty folder")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_text(folder / name, text)
    print(
        f"wrote {folder}/config and {folder}/profiles; edit {folder}/config/runs/model.yaml, then: "
        f"cd {shlex.quote(str(folder))} && spdclust workflow run --cores 2"
    )


def _workflow(options: argparse.Namespace) -> None:
    snakefile = workflow_folder() / "Snakefile"
    if options.action is None:
        print(snakefile)
        return
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), *options.arguments]
    print("+ " + shlex.join(["snakemake", *command[3:]]), file=sys.stderr, flush=True)
    # exec instead of a child process, so that signals reach the workflow
    os.execv(command[0], command)


def _watch(options: argparse.Namespace) -> None:
    from spdclust.execution.running_jobs import format_jobs, running_jobs
    from spdclust.execution.slurm_queue import queued_jobs

    if not options.results.is_dir():
        raise InputError("no such folder", file=options.results, allowed="the folder of a workflow's results")
    while True:
        table = format_jobs(running_jobs(options.results, queued_jobs()))
        if options.once:
            print(table)
            return
        clear = "\033[2J\033[H" if sys.stdout.isatty() else ""
        print(f"{clear}{time.strftime('%H:%M:%S')}\n{table}\n", flush=True)
        try:
            time.sleep(max(0.2, options.every))
        except KeyboardInterrupt:
            return
