"""The subcommand that shows the provenance of a result, reproduces it and compares."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from spdclust.commands.subcommands import AddCommand

if TYPE_CHECKING:
    from spdclust.reproduction.comparing import Compared


def add_commands(command: AddCommand) -> None:
    """Add `reproduce`.

    Example:
        >>> import tempfile
        >>> from spdclust.commands.subcommands import subcommand_adder
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> parser = argparse.ArgumentParser(prog="spdclust")
        >>> add_commands(subcommand_adder(parser))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     history = write_example_ensemble(folder).history(0)
        ...     options = parser.parse_args(["reproduce", str(history), "--check"])
        ...     options.act(options)
        /.../runs/run_0/history.zip: run 0 with base seed 0
        ...
        commands:
          spdclust run --config run.yaml --run 0 --base-seed 0 --output again
        <BLANKLINE>
        equal         batch_0.pt
        equal         history.zip
        equal         metrics.csv
        reproduced byte for byte
    """
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


def _reproduce(options: argparse.Namespace) -> None:
    if options.source.is_dir():
        _ensemble(options)
    else:
        _history(options)


def _history(options: argparse.Namespace) -> None:
    from tempfile import TemporaryDirectory

    from spdclust.files.ensemble_folder import save_pipeline_config
    from spdclust.reproduction.recipe import read_recipe

    recipe = read_recipe(options.source)
    print("\n".join(recipe.lines()))
    if options.write is not None:
        save_pipeline_config(recipe.settings(), options.write)
        print(f"wrote {options.write}")
    if not options.check:
        return
    from spdclust.reproduction.making import check_history

    with TemporaryDirectory(prefix="spdclust_") as folder:
        compared = check_history(recipe, folder, model=options.model, batches=options.batches)
    print()
    _report(options.source, compared)


def _ensemble(options: argparse.Namespace) -> None:
    from tempfile import TemporaryDirectory

    from spdclust.core.errors import InputError
    from spdclust.files.ensemble_folder import find_histories
    from spdclust.reproduction.recipe import read_recipe

    for field in ("model", "batches", "write"):
        if getattr(options, field) is not None:
            raise InputError("only for a single history", field=f"--{field}", allowed="a history.zip")
    if not options.check:
        for path in find_histories(options.source):
            print("\n".join(read_recipe(path).lines()) + "\n")
        return
    from spdclust.reproduction.making import check_ensemble

    with TemporaryDirectory(prefix="spdclust_") as folder:
        compared, left = check_ensemble(options.source, folder)
    if left:
        print(f"not reproduced: {', '.join(left)}")
    _report(options.source, compared)


def _report(source: Path, compared: "list[Compared]") -> None:
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
