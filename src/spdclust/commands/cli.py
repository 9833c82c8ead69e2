"""The `spdclust` command: one subcommand per stage, using the same functions as the workflow rules."""

import argparse
import contextlib
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spdclust.commands import (
    ensembles,
    groups,
    histories,
    projects,
)
from spdclust.commands.subcommands import add_moment, count, iteration_given, subcommand_adder
from spdclust.core.errors import InputError, in_file, memory_error, missing_package, printable
from spdclust.core.version import __version__

if TYPE_CHECKING:
    from spdclust.config.run import ClusteringRunConfig

logger = logging.getLogger(__name__)

_SHORT = 2.0  # seconds for which the search for groups prints nothing

_EXAMPLES = """examples:
  spdclust init my_project
  spdclust validate config/pipelines/demo.yaml
  spdclust run --config config/runs/resid_mlp1.yaml --run 0 --output results/by_hand
  spdclust merge results/resid_mlp1/precomputed_batches/run_0 --config config/runs/resid_mlp1.yaml
  spdclust inspect results/resid_mlp1/demo/runs/run_0/history.zip
  spdclust groups results/resid_mlp1/demo
  spdclust distances results/resid_mlp1/demo --method matching_dist
  spdclust stability results/resid_mlp1/demo
  spdclust mapping results/resid_mlp1/demo --cut stability_drop
  spdclust list
  spdclust reproduce results/resid_mlp1/demo/runs/run_0/history.zip --check
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; report invalid input in one line on standard error, with exit code 1.


    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> from spdclust.files.histories import save_merge_history
        >>> history = f"{folder}/history.zip"
        >>> save_merge_history(example_history(), history)
        >>> main(["mapping", history, "--model", "made up", "--output", f"{folder}/mapping.json"])
        wrote /.../mapping.json
        0
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO if options.verbose else logging.WARNING, format="%(message)s")
    act: Callable[[argparse.Namespace], None] = options.act
    try:
        with contextlib.nullcontext() if options.verbose else _slow_steps_shown():
            act(options)
    except BrokenPipeError:
        return 1
    except Exception as error:
        input_error = (
            error if isinstance(error, InputError) else memory_error(error) or missing_package(error)
        )
        if input_error is None:
            raise
        if options.debug:
            traceback.print_exc()
        print(f"Error: {input_error}", file=sys.stderr)
        return 1
    return 0


@contextlib.contextmanager
def _slow_steps_shown() -> Iterator[None]:
    """Print that kernels are compiled, and the steps of a search for groups once it takes long."""
    # by name, since these modules are slow to import
    compiling, steps = map(logging.getLogger, ("spdclust.core.compiling", "spdclust.stages.groups.steps"))
    is_long = threading.Event()
    last: list[logging.LogRecord] = []

    def is_shown(record: logging.LogRecord) -> bool:
        last[:] = [record]
        return is_long.is_set()

    def begin() -> None:
        is_long.set()
        for record in last:  # the step that takes long
            steps.handle(record)

    timer = threading.Timer(_SHORT, begin)
    timer.daemon = True
    compiling.setLevel(logging.INFO)
    steps.setLevel(logging.INFO)
    steps.addFilter(is_shown)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        steps.removeFilter(is_shown)
        compiling.setLevel(logging.NOTSET)
        steps.setLevel(logging.NOTSET)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="spdclust",
        description="Groups of components inside decomposed neural networks, and how far to trust them.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("-v", "--verbose", action="store_true", help="print more on standard error")
    command = subcommand_adder(parser)

    run = command(
        "run",
        _run,
        "Sample activations for one run and merge them.",
        "spdclust run --config config/runs/resid_mlp1.yaml --output results/by_hand",
        "spdclust run --config config/runs/resid_mlp1.yaml --run 3 --batches results/by_hand/batches",
    )
    run.add_argument("--config", type=Path, required=True, help="run file (JSON or YAML)")
    _add_seeds(run)
    run.add_argument(
        "--precomputed-activations-dir",
        type=Path,
        help="folder of user-supplied activations, instead of a model",
    )
    run.add_argument("--batches", type=Path, help="folder to keep batches in (default: a temporary one)")
    run.add_argument("--output", type=Path, default=Path("."), help="folder for history.zip (default: here)")
    run.add_argument("--git-snapshot", action="store_true", help="record the commit of the working folder")

    merge = command(
        "merge",
        _merge,
        "Merge the components of a folder of activation batches.",
        "spdclust merge results/resid_mlp1/precomputed_batches/run_0 --config config/runs/resid_mlp1.yaml",
    )
    merge.add_argument(
        "batches",
        type=Path,
        help="folder of batch_<b>.pt; the first ones are used, as many as the workflow would",
    )
    merge.add_argument("--config", type=Path, required=True, help="run file whose merge_config is used")
    _add_seeds(merge)
    merge.add_argument(
        "--output", type=Path, default=Path("."), help="folder for history.zip (default: here)"
    )
    merge.add_argument("--git-snapshot", action="store_true", help="record the commit of the working folder")

    groups.add_commands(command)
    ensembles.add_commands(command)
    histories.add_commands(command)
    projects.add_commands(command)

    examples = command(
        "examples",
        _examples,
        "Show the tokens that activate groups of a language model.",
        "spdclust examples results/lm_llama2L/demo_lm",
        "spdclust examples results/lm_llama2L/demo_lm --group 5          # where in the texts it is active",
        "spdclust examples results/lm_llama2L/demo_lm --run 0 --merges 900",
    )
    examples.add_argument("ensemble", type=Path, help="folder with runs/run_<r>/history.zip")
    examples.add_argument("--run", type=count, help="groups of this run (default: the groups that hold)")
    add_moment(examples, "with --run: its groups")
    examples.add_argument("--group", type=count, help="one group, with places in the texts")
    examples.add_argument(
        "--limit", type=count, default=10, help="how many groups or places (default 10; 0 for all)"
    )

    validate = command(
        "validate",
        _validate,
        "Check a pipeline or run file, without network or model.",
        "spdclust validate config/pipelines/demo.yaml",
        "spdclust validate config/runs/resid_mlp1.yaml",
        "spdclust validate config/config.yaml                      # all pipelines that it lists",
    )
    validate.add_argument("file", type=Path, help="pipeline or run file, or config.yaml")

    completion = command(
        "completion",
        _completion,
        "Print the script with which a shell completes subcommands, options and paths.",
        'spdclust completion bash     # in ~/.bashrc: eval "$(spdclust completion bash)"',
        'spdclust completion zsh      # in ~/.zshrc: eval "$(spdclust completion zsh)"',
    )
    completion.add_argument("shell", choices=["bash", "zsh", "tcsh"])
    return parser


def _add_seeds(parser: argparse.ArgumentParser) -> None:
    """Add the two numbers that seed a run: its own in the ensemble, and that of the ensemble."""
    parser.add_argument(
        "--run", "--seed", type=count, default=0, help="number of the run in its ensemble (default 0)"
    )
    parser.add_argument("--base-seed", type=int, default=0, help="base seed of the ensemble (default 0)")


def _run(options: argparse.Namespace) -> None:
    from tempfile import TemporaryDirectory

    from spdclust.config.load import read_mapping, resolve_paths
    from spdclust.config.load import validate as check
    from spdclust.config.run import ClusteringRunConfig

    settings = read_mapping(options.config)
    _warn_of_unused_keys(options.config)
    if options.precomputed_activations_dir is not None:
        settings["precomputed_activations_dir"] = str(options.precomputed_activations_dir)
    config = check(ClusteringRunConfig, settings, file=options.config)
    if options.precomputed_activations_dir is None:
        config = resolve_paths(config, options.config)
    from spdclust.sampling.estimate import check_model
    from spdclust.sampling.precompute import precompute_batches_for_ensemble

    with TemporaryDirectory(prefix="spdclust_") as temporary, in_file(options.config):
        folder = options.batches or Path(temporary)
        _check_output(config, options, {"sampling": config.sampling()})
        check_model(config)
        precompute_batches_for_ensemble(config, options.run + 1, folder, runs=[options.run])
        _merge_folder(folder / f"run_{options.run}", config, options)


def _merge(options: argparse.Namespace) -> None:
    from spdclust.config.load import load_config
    from spdclust.config.run import ClusteringRunConfig

    config = load_config(ClusteringRunConfig, options.config)
    _warn_of_unused_keys(options.config)
    with in_file(options.config):
        _merge_folder(options.batches, config, options)


def _warn_of_unused_keys(path: Path) -> None:
    from spdclust.config.resolve import unused_keys

    for line in unused_keys(path):
        logger.warning(line)


def _check_output(
    config: "ClusteringRunConfig", options: argparse.Namespace, provenance: Mapping[str, Any]
) -> None:
    """Raise an error if the history of another merge would be replaced."""
    numbers = {"run": options.run, "base_seed": options.base_seed}
    settings = {"merge_config": config.merge_config.resolved()}
    histories.check_replaced(options.output / "history.zip", numbers | settings | dict(provenance))


def _merge_folder(folder: Path, config: "ClusteringRunConfig", options: argparse.Namespace) -> None:
    from spdclust.core.provenance import history_provenance
    from spdclust.files.batches import BatchedActivations, find_batches
    from spdclust.stages.merge import merge

    found = find_batches(folder)
    needed = config.batches_needed()
    used = found[: config.batches_used(available=len(found))]
    if len(found) != needed:
        logging.warning(
            "%s: %d batches, the configuration uses %d: merging %s",
            folder, len(found), needed, f"the first {needed}" if needed < len(found) else "them in turn",
        )  # fmt: skip
    source = BatchedActivations(used, allow_different_models=config.allow_different_models)
    origin = history_provenance(source.digests, source.made_from, code="")
    # batches of another version of the package have other digests
    names = ("sampling", "checkpoint_digest", "inputs") if "inputs" in origin else ("batches",)
    _check_output(config, options, {name: origin[name] for name in names if name in origin})
    history = options.output / "history.zip"
    merge(
        used,
        config.merge_config.resolved(),
        (options.base_seed, options.run),
        history=history,
        metrics=options.output / "metrics.csv",
        git_snapshot=options.git_snapshot,
        allow_different_models=config.allow_different_models,
    )
    print(f"wrote {history}; look at it with: spdclust inspect {history}")


def _examples(options: argparse.Namespace) -> None:
    from spdclust.stages.groups import examples

    print(
        examples(
            options.ensemble,
            run=options.run,
            iteration=iteration_given(options),
            group=options.group,
            limit=options.limit or sys.maxsize,
        )
    )


def _validate(options: argparse.Namespace) -> None:
    from spdclust.config.load import load_config, read_mapping
    from spdclust.config.pipeline import ClusteringPipelineConfig
    from spdclust.config.reference_keys import PIPELINE_ONLY
    from spdclust.config.resolve import WorkflowConfig, resolve_workflow
    from spdclust.config.run import ClusteringRunConfig
    from spdclust.sampling.estimate import estimate

    of_pipelines = ClusteringPipelineConfig.model_fields.keys() - ClusteringRunConfig.model_fields.keys()
    keys = read_mapping(options.file).keys()
    if "pipelines" in keys:
        workflow = load_config(WorkflowConfig, options.file)
    elif keys & (of_pipelines | PIPELINE_ONLY):
        workflow = WorkflowConfig(pipelines=[str(options.file)])
    else:
        _validate_run(options.file)
        return
    for pipeline in workflow.pipelines:
        _warn_of_unused_keys(Path(pipeline))
    for ensemble in resolve_workflow(workflow):
        print(f"{ensemble.folder}: {ensemble.n_runs} runs, {', '.join(ensemble.methods)}")
        with in_file(ensemble.run_file):
            needs = estimate(ensemble.run, ensemble.n_runs)
        print(_indented(needs.lines()))


def _validate_run(file: Path) -> None:
    from spdclust.config.load import load_config, resolve_paths
    from spdclust.config.run import ClusteringRunConfig
    from spdclust.sampling.estimate import estimate
    from spdclust.user_files.folders import run_numbers

    _warn_of_unused_keys(file)
    config = resolve_paths(load_config(ClusteringRunConfig, file), file)
    folder = config.precomputed_activations_dir
    # without the pipeline the number of runs is unknown: check every folder run_<r>/
    n_runs = max(1, len(run_numbers(folder))) if folder and Path(folder).is_dir() else 1
    with in_file(file):
        needs = estimate(config, n_runs)
    print(f"{file}: {needs.n_batches} batch{'es' if needs.n_batches > 1 else ''} a run")
    print(_indented(needs.lines()))


def _completion(options: argparse.Namespace) -> None:
    import shtab

    def complete_paths(parser: argparse.ArgumentParser) -> None:
        for action in parser._actions:
            if action.type is Path:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
            for subparser in action.choices.values() if isinstance(action.choices, dict) else ():
                complete_paths(subparser)

    parser = _parser()
    complete_paths(parser)
    print(shtab.complete(parser, shell=options.shell))


def _indented(lines: list[str]) -> str:
    return "\n".join(f"  {printable(line)}" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
