"""Subcommands on the groups: their table, how one was formed, and the same groups in another ensemble."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spdclust.commands.subcommands import AddCommand, add_threads, count
from spdclust.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from spdclust.core.types import Labels
    from spdclust.groups.explain import Formation
    from spdclust.groups.found import FoundGroups, GroupPair, Weights

_ENSEMBLE = "folder with runs/run_<r>/history.zip"


def add_commands(command: AddCommand) -> None:
    """Add `groups` and `match`.

    Example:
        >>> from spdclust.commands.subcommands import subcommand_adder
        >>> parser = argparse.ArgumentParser(prog="spdclust")
        >>> add_commands(subcommand_adder(parser))
        >>> options = parser.parse_args(["groups", "results/resid_mlp1/demo", "--explain", "3"])
        >>> options.explain, options.run, options.limit
        (3, None, 30)
        >>> parser.parse_args(["match", "results/a/demo", "results/b/demo"]).second.as_posix()
        'results/b/demo'
    """
    groups = command(
        "groups",
        _groups,
        "List the groups that hold, with the evidence for each; write them where they are missing.",
        "spdclust groups results/resid_mlp1/demo",
        "spdclust groups results/resid_mlp1/demo --limit 0           # all of them",
        "spdclust groups results/resid_mlp1/demo --explain 0         # how group 0 came together",
    )
    groups.add_argument("ensemble", type=Path, help=_ENSEMBLE)
    groups.add_argument("--explain", type=count, metavar="GROUP", help="replay how one group came together")
    groups.add_argument(
        "--run", type=count, help="with --explain: in this run (default: the one closest to it)"
    )
    groups.add_argument("--limit", type=count, default=30, help="how many groups (default 30; 0 for all)")
    groups.add_argument("--again", action="store_true", help="recompute and overwrite existing groups")
    add_threads(groups)

    match = command(
        "match",
        _match,
        "Match the groups of two ensembles, by the members they share or by the weights of their components.",
        "spdclust match results/resid_mlp1/demo results/resid_mlp1/demo-alpha~0.5",
        "spdclust match results/model_a/demo results/model_b/demo --by weights",
    )
    match.add_argument("first", type=Path, help=_ENSEMBLE)
    match.add_argument("second", type=Path, help="another one")
    match.add_argument(
        "--by",
        choices=["members", "weights"],
        help="what is compared (default: members where both are of one model, else weights)",
    )


def _groups(options: argparse.Namespace) -> None:
    from spdclust.commands.ensembles import recorded_model
    from spdclust.files.ensemble_folder import GROUPS
    from spdclust.files.summaries import group_lines
    from spdclust.stability.summary import summarize_groups
    from spdclust.stages.groups import groups_of

    folder: Path = options.ensemble
    if options.run is not None and options.explain is None:
        raise InputError(
            "has no effect without --explain",
            field="--run",
            found=options.run,
            allowed="--explain GROUP --run R",
        )
    found, computed = groups_of(
        folder, model=recorded_model(folder) or "", again=options.again, threads=options.threads or None
    )
    if computed:
        print(f"wrote {', '.join(str(folder / name) for name in GROUPS.values())}")
    if options.explain is not None:
        print("\n".join(_explained(found, folder, options.explain, options.run)))
        return
    print(f"{folder}: {found.settings['n_runs']} runs, {len(found.labels)} components")
    print("\n".join(group_lines(summarize_groups(found))))
    if found.n_groups:
        print("\n".join(["", *_group_table(found, options.limit)]))
    print("\n".join(_cohesion_lines(found)))


def _group_table(found: "FoundGroups", limit: int = 0, width: int = 60) -> list[str]:
    """Return the groups as the lines of a table, best supported by evidence first.

    `limit` is the largest number of groups, 0 for all, and `width` that of characters of the members.

    Example:
        >>> from spdclust.example_ensemble import example_found
        >>> print("\\n".join(_group_table(example_found(), limit=1, width=9)))
        group  size   bits ± se  support      exact in     active  cohesion  lift  members
            0     3  0.5 ± 0.02     1.00  2 (16–100 %)  20 % (≥1)      0.90   4.8  attn:0,1… (+1)
        … 2 more: --limit 0 lists all
        (+n): n members of other groups are active with this one too
    """
    n_shown = found.n_groups if limit == 0 else min(limit, found.n_groups)
    rows = [_cells(found, group, width) for group in range(n_shown)]
    head = ["group", "size", "bits ± se", "support", "exact in", "active", "cohesion", "lift", "members"]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(size) if column in _LEFT else cell.rjust(size)
            for column, (cell, size) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [head, *rows]
    ]
    n_left = found.n_groups - n_shown
    lines += [f"… {n_left} more: --limit 0 lists all"] if n_left else []
    marked = any(found.shared_with(group) for group in range(n_shown))
    return lines + (["(+n): n members of other groups are active with this one too"] if marked else [])


_LEFT = (8,)


def _cells(found: "FoundGroups", group: int, width: int) -> list[str]:
    at = {name: values[group] for name, values in found.columns.items()}
    low, high = at["runs_exact_low"], at["runs_exact_high"]
    unknown = at["bits_saved"] != at["bits_saved"]
    members, shared = _short_labels(found.members(group)), found.shared_with(group)
    members = members if len(members) <= width else members[: width - 1] + "…"
    return [
        str(group),
        str(at["size"]),
        "–" if unknown else f"{at['bits_saved']:.3g} ± {at['bits_saved_se']:.1g}",
        f"{at['support']:.2f}",
        f"{at['runs_exact']} ({100 * low:.0f}–{100 * high:.0f} %)",
        "–" if unknown else f"{100 * at['activity']:.3g} % (≥{at['active_members']})",
        "–" if unknown else f"{at['cohesion']:.2f}",
        "–" if unknown else f"{at['lift']:.3g}",
        members + (f" (+{len(shared)})" if shared else ""),
    ]


def _short_labels(labels: "Labels") -> str:
    """Return labels with each module named once, before the indices of its components.

    Example:
        >>> _short_labels(["mlp.in:10", "mlp.in:9", "mlp.out:3"])
        'mlp.in:9,10 mlp.out:3'
        >>> _short_labels(["cat", "mlp.in:10"])  # a label without a module is shown as it is
        'cat mlp.in:10'
    """
    by_module: dict[str, list[str]] = {}
    for label in labels:
        module, colon, number = label.rpartition(":")
        by_module.setdefault(module + colon, []).append(number)
    return " ".join(
        f"{module}{','.join(sorted(numbers, key=lambda number: (len(number), number)))}"
        for module, numbers in by_module.items()
    )


def _cohesion_lines(found: "FoundGroups") -> list[str]:
    """Return the similarity of components within groups and between groups, as lines for the terminal."""
    names = {"inside": "inside a group", "between": "of two groups"}
    rows = [(name, found.cohesion[key]) for key, name in names.items() if key in found.cohesion]
    if not rows:
        return []
    head = "Jaccard similarity of two components: mean, median, share of pairs that are never active together"
    return [
        "",
        head,
        *(
            f"  {name:<16}  {at['mean']:.3f}  {at['median']:.3f}  {100 * at['never']:4.1f} %"
            for name, at in rows
        ),
    ]


def _explained(found: "FoundGroups", folder: Path, group: int, run: int | None) -> list[str]:
    from spdclust.files.batches import kept_batches, merged_batches
    from spdclust.files.ensemble_folder import EnsembleFolder, find_histories
    from spdclust.files.histories import load_merge_histories
    from spdclust.groups.explain import closest_run, explain_group
    from spdclust.merge.sources import check_source

    members = found.members(group)
    paths = find_histories(folder)
    ensemble = load_merge_histories(paths)
    chosen = closest_run(list(ensemble), members) if run is None else run
    folders = kept_batches(EnsembleFolder(folder), paths)
    if folders is None:
        raise InputError(
            "the batches were deleted, so coactivations cannot be counted",
            file=folder,
            field="--explain",
            allowed="a run with keep_batches: true",
        )
    if chosen >= len(ensemble):
        raise InputError("no such run", field="--run", found=run, allowed=f"0 to {len(ensemble) - 1}")
    source = merged_batches(ensemble[chosen], folders[chosen])
    batches = (source.get_next_batch() for _ in range(source.n_batches))
    threshold = found.settings.get("activation_threshold")
    check_source(source, threshold)
    formation = explain_group(list(ensemble), members, chosen, batches, threshold=threshold)
    name, n_runs = ensemble.run_names[chosen], len(ensemble)
    return [_header(found, group), *_formation_lines(formation, name, n_runs)]


def _header(found: "FoundGroups", group: int) -> str:
    at = {name: values[group] for name, values in found.columns.items()}
    head = f"group {group}: {at['size']} components"
    if at["bits_saved"] == at["bits_saved"]:
        head += f", {at['bits_saved']:.3g} ± {at['bits_saved_se']:.1g} bits per sample saved"
    return f"{head}, formed exactly by {at['runs_exact']} of {found.settings['n_runs']} runs"


def _formation_lines(formation: "Formation", name: str, n_runs: int) -> list[str]:
    """Return the formation of a group as lines for the terminal."""
    head = ["merge", "sizes", "both", "either", "Jaccard", "runs", "parts"]
    rows = [
        [
            str(each.iteration + 1),
            f"{len(each.first)} + {len(each.second)}",
            str(each.n_both),
            str(each.n_first + each.n_second - each.n_both),
            f"{each.jaccard:.3f}",
            f"{each.n_runs}/{n_runs}",
            f"{_some(each.first)} | {_some(each.second)}"
            + (f"  (+{each.n_others} of other groups)" if each.n_others else "")
            + ("  ← never active together" if each.never_together else ""),
        ]
        for each in formation.joinings
    ]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    what = "both: samples on which both parts are active, either: any of them"
    lines = [f"{name}, {formation.n_samples} samples; {what}"]
    for row in [head, *rows]:
        cells = [cell.rjust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        lines.append("  ".join([*cells, row[-1]]))
    if formation.absent:
        lines.append(f"not alive in this run: {_some(formation.absent)}")
    if len(formation.apart) > 1:
        lines.append(f"never merged in this run: {' | '.join(_some(part) for part in formation.apart)}")
    return lines


def _some(labels: "Labels", most: int = 12) -> str:
    first = _short_labels(labels[:most])
    return first if len(labels) <= most else f"{first} … ({len(labels)})"


def _match(options: argparse.Namespace) -> None:
    from spdclust.groups.found import group_cosines, group_overlaps, match_groups
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
    pairs = match_groups(overlaps if by == "members" or cosines is None else cosines)
    counts = [f"{folder}: {len(groups)} groups" for folder, groups in zip(folders, members, strict=True)]
    print(f"{'; '.join(counts)}; matched by {by}")
    if other_model and by == "members":
        print("warning: the two models differ, so equal labels are different components")
    if why_not:
        print(why_not)
    print("\n".join(_match_table(pairs, members, overlaps, cosines)))


def _checkpoint_digest(folder: Path) -> str | None:
    from spdclust.files.ensemble_folder import find_histories
    from spdclust.files.histories import load_merge_history

    digest = load_merge_history(find_histories(folder)[0]).provenance.get("checkpoint_digest")
    return None if digest is None else str(digest)


def _weights(folder: Path) -> "Weights":
    from spdclust.commands.ensembles import model_of
    from spdclust.models.modules import component_weights

    return component_weights(model_of(folder))


def _match_table(
    pairs: Sequence["GroupPair"],
    members: Sequence[Sequence["Labels"]],
    overlaps: "np.ndarray",
    cosines: "np.ndarray | None" = None,
) -> list[str]:
    """Return matched groups as the lines of a table."""
    rows = [["first", "second", "sizes", "shared", "Jaccard", "cosine"]]
    for pair in pairs:
        first, second = pair
        numbers = ["–" if group is None else str(group) for group in pair]
        sizes = [
            "–" if group is None else str(len(groups[group]))
            for group, groups in zip(pair, members, strict=True)
        ]
        shared = jaccard = cosine = "–"
        if first is not None and second is not None:
            at = first, second
            shared = str(len(set(members[0][first]) & set(members[1][second])))
            jaccard = f"{overlaps[at]:.3f}"
            cosine = "–" if cosines is None else f"{cosines[at]:.3f}"
        rows.append([*numbers, " ".join(sizes), shared, jaccard, cosine])
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
