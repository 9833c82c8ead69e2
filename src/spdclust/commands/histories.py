"""Subcommands on merge histories: inspect, export in full, import, log to W&B, reproduce and compare."""

import argparse
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spdclust.commands.subcommands import AddCommand, add_moment, count, iteration_given
from spdclust.config.reference_keys import MERGE_KEYS_OF_READERS

if TYPE_CHECKING:
    from spdclust.commands.comparing import Compared
    from spdclust.merge.history import MergeHistory


def add_commands(command: AddCommand) -> None:
    """Add `inspect`, `export`, `import`, `wandb-sync` and `reproduce`.

    Example:
        >>> from spdclust.commands.subcommands import subcommand_adder
        >>> from spdclust.example_ensemble import example_history
        >>> from spdclust.files.histories import save_merge_history
        >>> parser = argparse.ArgumentParser(prog="spdclust")
        >>> add_commands(subcommand_adder(parser))
        >>> save_merge_history(example_history(), f"{folder}/history.zip")
        >>> options = parser.parse_args(["inspect", f"{folder}/history.zip", "--merges", "8"])
        >>> options.act(options)
        12 components (6 in attn, 6 in mlp), 11 merges, 1 group at the end
        least description length: 3.95 bits per sample after 8 merges, with 4 groups: 3, 3, 3, 3 components
        ...
        group 3, 3 components (1 in attn, 2 in mlp): attn:5 mlp:4 mlp:5
    """
    inspect = command(
        "inspect",
        _inspect,
        "Say what a history.zip holds, ours or one of the reference implementation.",
        "spdclust inspect results/resid_mlp1/demo/runs/run_0/history.zip",
        "spdclust inspect results/resid_mlp1/demo/runs/run_0/history.zip --merges 50",
    )
    inspect.add_argument("history", type=Path, help="history.zip")
    add_moment(inspect, "also list the groups")

    export = command(
        "export",
        _export,
        "Write a history with the group of every component after every merge, as the reference has it.",
        "spdclust export results/resid_mlp1/demo/runs/run_0/history.zip --output full.zip",
        "spdclust export results/resid_mlp1/demo/runs/run_0/history.zip --for spd --output theirs.zip",
    )
    export.add_argument("history", type=Path, help="history.zip")
    export.add_argument("--output", type=Path, required=True, help="the file to write")
    export.add_argument(
        "--for",
        dest="reader",
        choices=list(MERGE_KEYS_OF_READERS),
        help="write only the settings that this reader accepts",
    )

    importing = command(
        "import",
        _import,
        "Take over histories of the reference implementation as the runs of an ensemble.",
        "spdclust import theirs/history_*.zip --output results/imported/theirs",
        "spdclust import theirs/*.zip --setting activation_threshold=0.1 --output results/imported/theirs",
    )
    importing.add_argument(
        "histories", type=Path, nargs="+", help="history.zip files, in the order of the runs"
    )
    importing.add_argument("--output", type=Path, required=True, help="folder of the ensemble")
    importing.add_argument(
        "--setting",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="setting of the merges that the histories do not state, such as activation_threshold=0.1",
    )
    importing.add_argument(
        "--allow-different-models",
        action="store_true",
        help="accept histories of different models, and record that in each",
    )

    sync = command(
        "wandb-sync",
        _sync,
        "Log an ensemble to W&B: merges, activations, distances, report; what was logged before is left out.",
        "spdclust wandb-sync results/resid_mlp1/demo --project my-project",
        "spdclust wandb-sync results/resid_mlp1/demo --run 3 --again",
        "WANDB_MODE=offline spdclust wandb-sync results/resid_mlp1/demo   # on disk, for wandb sync",
    )
    sync.add_argument("ensemble", type=Path, help="folder with runs/run_<r>/history.zip")
    sync.add_argument("--project", help="W&B project (default: as the ensemble was configured)")
    sync.add_argument("--entity", help="W&B user or team (default: as configured, else the account's)")
    sync.add_argument("--run", type=count, help="sync this run only, not the ensemble-level results")
    sync.add_argument("--again", action="store_true", help="log again, as new W&B runs")

    reproduce = command(
        "reproduce",
        _reproduce,
        "Print the settings and commands that reproduce a history; --check runs them and compares the bytes.",
        "spdclust reproduce results/resid_mlp1/demo/runs/run_0/history.zip",
        "spdclust reproduce results/resid_mlp1/demo/runs/run_0/history.zip --check",
        "spdclust reproduce results/resid_mlp1/demo --check           # the ensemble, all its runs",
        "spdclust reproduce history.zip --check --batches my/batches  # only the merge",
    )
    reproduce.add_argument("source", type=Path, help="history.zip, or the folder of an ensemble")
    reproduce.add_argument(
        "--check", action="store_true", help="reproduce it in a temporary folder and compare"
    )
    reproduce.add_argument("--model", help="new path of the model or activations folder, if it has moved")
    reproduce.add_argument("--batches", type=Path, help="merge these batches instead of sampling them again")
    reproduce.add_argument(
        "--write", type=Path, metavar="RUN.YAML", help="also write the settings as a run file"
    )


def _inspect(options: argparse.Namespace) -> None:
    from spdclust.core.errors import in_file
    from spdclust.files.histories import load_merge_history
    from spdclust.merge.inspection import describe_groups, describe_history

    history = load_merge_history(options.history)
    paragraphs = [describe_history(history)]
    iteration = iteration_given(options)
    if iteration is not None:
        with in_file(options.history):
            paragraphs.append(describe_groups(history, iteration))
    print("\n".join(paragraphs))


def check_replaced(path: Path, new: "MergeHistory | Mapping[str, Any]") -> None:
    """Raise an error if a file that is to be written has the history of another merge.

    `new` is the history to write, or, of one that is still to be made, `base_seed`, `run`, `merge_config` and
    entries of its provenance. Paths of the model and the data may differ: digests tell which they are.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> path = write_example_ensemble(folder).history(1)
        >>> check_replaced(path, {"run": 1})
        >>> check_replaced(path, {"run": 2})
        Traceback (most recent call last):
        ...
        spdclust.InputError: /.../history.zip: would be replaced (found: another history, with run: 1, ...

    Raises:
        InputError: the file cannot be read, or has other components, merges, settings or entries.
    """
    from spdclust.commands.comparing import differing_merges, differing_records
    from spdclust.core.errors import InputError
    from spdclust.core.safe_reading import exists
    from spdclust.files.histories import load_merge_history
    from spdclust.merge.history import MergeHistory
    from spdclust.sampling.settings import without_paths

    if not exists(path):
        return
    elsewhere = "another --output, or remove that file first"
    try:
        before = load_merge_history(path)
    except InputError as error:
        raise InputError("would be replaced", file=path, found=error.problem, allowed=elsewhere) from error
    if isinstance(new, MergeHistory):
        # those that the file does not state may be given later
        stated = {key: value for key, value in before.settings().items() if key not in before.not_stated}
        settings = {key: new.settings()[key] for key in stated}
        differing = differing_merges(before, new)
        differing += differing_records({"merge_config": stated}, {"merge_config": settings})
    else:
        seed = before.provenance.get("seed")
        base_seed, run = seed if isinstance(seed, list) and len(seed) == 2 else (None, seed)
        numbers = {"base_seed": base_seed, "run": run, "merge_config": before.config.resolved()}
        known = numbers | before.provenance
        pair = {name: known.get(name) for name in new}, new
        differing = differing_records(
            *({**each, "sampling": without_paths(each.get("sampling") or {})} for each in pair)
        )
    if differing:
        found = f"another history, with {'; '.join(differing)}"
        raise InputError("would be replaced", file=path, found=found, allowed=elsewhere)


def _export(options: argparse.Namespace) -> None:
    from spdclust.core.errors import in_file
    from spdclust.files.histories import load_merge_history, save_merge_history

    history = load_merge_history(options.history)
    check_replaced(options.output, history)
    with in_file(options.history):
        save_merge_history(history, options.output, group_idxs=True, reader=options.reader)
    print(
        f"wrote {options.output}: {history.n_iterations} iterations of {history.n_components} components "
        "in merge.group_idxs.npy"
    )


def _given(settings: list[str]) -> dict[str, Any]:
    from spdclust.config.load import parse_yaml
    from spdclust.core.errors import InputError
    from spdclust.core.safe_reading import as_input_error

    given = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise InputError("no value", field="--setting", found=setting, allowed="KEY=VALUE")
        with as_input_error("not a value", "--setting", "KEY=VALUE, with a value in YAML", key):
            given[key] = parse_yaml(value)
    return given


def _check_import(options: argparse.Namespace) -> None:
    """Raise an error for a history that is given twice, or if runs that are there would join the ensemble."""
    from spdclust.core.errors import InputError
    from spdclust.user_files.folders import run_numbers

    for path, n in Counter(path.resolve() for path in options.histories).items():
        if n > 1:
            raise InputError("given twice", file=path, allowed="each history once")
    runs = options.output / "runs"
    for number in run_numbers(runs) if runs.is_dir() else []:
        if number >= len(options.histories):
            raise InputError(
                "would become part of the ensemble", file=runs / f"run_{number}", allowed="a new --output"
            )


def _import(options: argparse.Namespace) -> None:
    from dataclasses import replace

    from spdclust.core.errors import in_file
    from spdclust.core.provenance import INSIST
    from spdclust.files.histories import load_merge_histories, save_merge_history
    from spdclust.files.reference import give_settings

    insist = options.allow_different_models
    _check_import(options)
    # read all before writing anything
    given = _given(options.setting)
    histories = []
    for path, history in zip(
        options.histories, load_merge_histories(options.histories, allow_different_models=insist), strict=True
    ):
        with in_file(path):
            histories.append(give_settings(history, given))
    paths = [options.output / "runs" / f"run_{run}" / "history.zip" for run in range(len(histories))]
    for path, history in zip(paths, histories, strict=True):
        check_replaced(path, history)
    unknown = sorted({name for history in histories for name in history.not_stated})
    if unknown:
        print(
            f"not stated by the histories, recorded as unknown: {', '.join(unknown)}; "
            "values that you know can be given with --setting KEY=VALUE"
        )
    for path, history in zip(paths, histories, strict=True):
        if insist:
            history = replace(history, provenance=history.provenance | {INSIST: True})
        save_merge_history(history, path)
    if len(histories) > 1:
        print(f"wrote {len(histories)} runs; next: spdclust stability {options.output}")
    else:
        print(f"wrote 1 run; next: spdclust explorer {options.output}")


def _sync(options: argparse.Namespace) -> None:
    from spdclust.stages.track import sync_ensemble

    notes = sync_ensemble(
        options.ensemble,
        project=options.project,
        entity=options.entity,
        run=options.run,
        again=options.again,
    )
    waiting = [note.folder for note in notes if note.waiting and note.complete]
    print(f"{sum(note.complete for note in notes)} of {len(notes)} W&B runs are recorded")
    if waiting:
        print("still to be sent:\n  wandb sync " + " ".join(sorted(set(waiting))))


def _reproduce(options: argparse.Namespace) -> None:
    if options.source.is_dir():
        _reproduce_ensemble(options)
    else:
        _reproduce_history(options)


def _reproduce_history(options: argparse.Namespace) -> None:
    from tempfile import TemporaryDirectory

    from spdclust.commands.comparing import read_recipe
    from spdclust.files.ensemble_folder import save_pipeline_config

    recipe = read_recipe(options.source)
    print("\n".join(recipe.lines()))
    if options.write is not None:
        save_pipeline_config(recipe.settings(), options.write)
        print(f"wrote {options.write}")
    if not options.check:
        return
    from spdclust.commands.reproducing import check_history

    with TemporaryDirectory(prefix="spdclust_") as folder:
        compared = check_history(recipe, folder, model=options.model, batches=options.batches)
    print()
    _report_compared(options.source, compared)


def _reproduce_ensemble(options: argparse.Namespace) -> None:
    from tempfile import TemporaryDirectory

    from spdclust.commands.comparing import read_recipe
    from spdclust.core.errors import InputError
    from spdclust.files.ensemble_folder import find_histories

    for field in ("model", "batches", "write"):
        if getattr(options, field) is not None:
            raise InputError("only for a single history", field=f"--{field}", allowed="a history.zip")
    if not options.check:
        for path in find_histories(options.source):
            print("\n".join(read_recipe(path).lines()) + "\n")
        return
    from spdclust.commands.reproducing import check_ensemble

    with TemporaryDirectory(prefix="spdclust_") as folder:
        compared, left = check_ensemble(options.source, folder)
    if left:
        print(f"not reproduced: {', '.join(left)}")
    _report_compared(options.source, compared)


def _report_compared(source: Path, compared: "list[Compared]") -> None:
    """Print one line per file.

    Raises:
        InputError: the numbers in a file differ.
    """
    from spdclust.core.errors import InputError

    print("\n".join(each.line() for each in compared))
    unequal = [each.name for each in compared if not each.same_numbers]
    if unequal:
        raise InputError(
            "the reproduction differs",
            file=source,
            found=", ".join(unequal),
            allowed="equal numbers in every file",
        )
    same = all(each.same_bytes for each in compared)
    print(
        "reproduced byte for byte" if same else "reproduced: the same numbers, other records of their origin"
    )
