"""Subcommand on Weights & Biases: log results after the fact."""

import argparse
from pathlib import Path

from spdclust.commands.subcommands import AddCommand, count


def add_commands(command: AddCommand) -> None:
    """Add `wandb-sync`.

    Example:
        >>> from spdclust.commands.subcommands import subcommand_adder
        >>> parser = argparse.ArgumentParser(prog="spdclust")
        >>> add_commands(subcommand_adder(parser))
        >>> options = parser.parse_args(["wandb-sync", "results/resid_mlp1/demo", "--run", "3"])
        >>> options.ensemble.name, options.run, options.again
        ('demo', 3, False)
    """
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
