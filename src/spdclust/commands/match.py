"""Subcommand that finds the groups of one ensemble among those of another."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spdclust.commands.subcommands import AddCommand

if TYPE_CHECKING:
    import numpy as np

    from spdclust.core.types import Labels
    from spdclust.groups.match import GroupMatch, Weights


def add_commands(command: AddCommand) -> None:
    """Add `match`.

    Example:
        >>> from spdclust.commands.subcommands import subcommand_adder
        >>> parser = argparse.ArgumentParser(prog="spdclust")
        >>> add_commands(subcommand_adder(parser))
        >>> parser.parse_args(["match", "results/a/demo", "results/b/demo"]).second.as_posix()
        'results/b/demo'
    """
    match = command(
        "match",
        _match,
        "Match the groups of two ensembles, by the members they share or by the weights of their components.",
        "spdclust match results/resid_mlp1/demo results/resid_mlp1/demo-alpha~0.5",
        "spdclust match results/model_a/demo results/model_b/demo --by weights",
    )
    match.add_argument("first", type=Path, help="folder with runs/run_<r>/history.zip")
    match.add_argument("second", type=Path, help="another one")
    match.add_argument(
        "--by",
        choices=["members", "weights"],
        help="what is compared (default: members where both are of one model, else weights)",
    )


def _match(options: argparse.Namespace) -> None:
    from spdclust.core.errors import InputError
    from spdclust.groups.match import group_cosines, group_overlaps, match_groups
    from spdclust.stages.groups import groups_of

    folders = [options.first, options.second]
    found = [groups_of(folder)[0] for folder in folders]
    members = [[each.members(group) for group in range(each.n_groups)] for each in found]
    digests = [_checkpoint_digest(folder) for folder in folders]
    other_model = None not in digests and digests[0] != digests[1]
    by = options.by or ("weights" if other_model else "members")
    cosines, why_not = None, ""
    try:
        cosines = group_cosines(members[0], members[1], _weights(folders[0]), _weights(folders[1]))
    except InputError as error:
        if options.by == "weights":
            raise
        by, why_not = "members", f"weights are not compared: {error}"
    overlaps = group_overlaps(*members)
    matches = match_groups(overlaps if by == "members" or cosines is None else cosines)
    counts = [f"{folder}: {len(groups)} groups" for folder, groups in zip(folders, members, strict=True)]
    print(f"{'; '.join(counts)}; matched by {by}")
    if other_model and by == "members":
        print("warning: the two models differ, so equal labels are different components")
    if why_not:
        print(why_not)
    print("\n".join(match_table(matches, members, overlaps, cosines)))


def _checkpoint_digest(folder: Path) -> str | None:
    from spdclust.files.ensemble_folder import find_histories
    from spdclust.files.histories import load_merge_history

    digest = load_merge_history(find_histories(folder)[0]).provenance.get("checkpoint_digest")
    return None if digest is None else str(digest)


def _weights(folder: Path) -> "Weights":
    from spdclust.commands.ensembles import model_of
    from spdclust.models.state import component_weights

    return component_weights(model_of(folder))


def match_table(
    matches: Sequence["GroupMatch"],
    members: Sequence[Sequence["Labels"]],
    overlaps: "np.ndarray",
    cosines: "np.ndarray | None" = None,
) -> list[str]:
    """Return matched groups as the lines of a table.

    Example:
        >>> from spdclust.groups.match import group_overlaps, match_groups
        >>> members = [[["a:0", "a:1"], ["b:0", "b:1"]], [["a:0", "a:1", "a:2"]]]
        >>> overlaps = group_overlaps(*members)
        >>> print("\\n".join(match_table(match_groups(overlaps), members, overlaps)))
        first  second  sizes  shared  Jaccard  cosine
            0       0    2 3       2    0.667       –
            1       –    2 –       –        –       –

    Args:
        matches: the result of `match_groups`.
        members: the groups of the first and of the second ensemble.
        overlaps: Jaccard similarity of the members of each pair of groups.
        cosines: cosine similarity of the weights of each pair of groups, if both models are available.
    """
    rows = [["first", "second", "sizes", "shared", "Jaccard", "cosine"]]
    for match in matches:
        pair = [match.first, match.second]
        numbers = ["–" if group is None else str(group) for group in pair]
        sizes = [
            "–" if group is None else str(len(groups[group]))
            for group, groups in zip(pair, members, strict=True)
        ]
        shared = jaccard = cosine = "–"
        if match.first is not None and match.second is not None:
            at = match.first, match.second
            shared = str(len(set(members[0][match.first]) & set(members[1][match.second])))
            jaccard = f"{overlaps[at]:.3f}"
            cosine = "–" if cosines is None else f"{cosines[at]:.3f}"
        rows.append([*numbers, " ".join(sizes), shared, jaccard, cosine])
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
