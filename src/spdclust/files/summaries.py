"""`summary.json` of an ensemble, the registry of all ensembles, and their short forms. No slow imports."""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from spdclust.core.atomic import atomic_path, write_text
from spdclust.core.errors import InputError
from spdclust.core.names import merges_done
from spdclust.files.ensemble_folder import SUMMARY, SWEEP_FILES
from spdclust.files.records import (
    Record,
    RegisteredEnsemble,
    RegisteredRun,
    SummaryRecord,
    SweepRecord,
    read_record,
)


def save_summary(summary: Mapping[str, Any], path: str | Path) -> None:
    """Write `summary.json`.

    Example:
        >>> save_summary({"n_runs": 3}, f"{folder}/summary.json")
        >>> json.loads((folder / "summary.json").read_text())
        {'n_runs': 3}

    Raises:
        InputError: the file cannot be written.
    """
    write_text(path, json.dumps(summary, indent=2) + "\n")


def format_summaries(folders: Iterable[str | Path]) -> str:
    """Return a short summary of every ensemble that has a `summary.json`, and the file to open next.

    Example:
        >>> format_summaries(["no/such/folder"])
        ''

    Raises:
        InputError: such a file cannot be read.
    """
    return "\n\n".join(
        _format(folder, summary) for folder, summary in _records(folders, SUMMARY, SummaryRecord)
    )


def _records(
    folders: Iterable[str | Path], name: str, kind: type[Record]
) -> Iterator[tuple[Path, dict[str, Any]]]:
    for folder in map(Path, folders):
        if os.path.lexists(folder / name):
            yield folder, read_record(kind, folder / name, name)


def _format(folder: Path, summary: Mapping[str, Any]) -> str:
    lines = [f"{folder}: {summary['n_runs']} runs of {_span(summary['n_components'])} live components"]
    groups = summary.get("groups")
    if groups is not None:
        lines += group_lines(groups)
    if summary.get("least_mdl"):
        lines.append(
            f"  least description length {_span(summary['least_mdl'])} bits per sample, "
            f"at {_span(summary['n_groups_at_least_mdl'])} groups "
            f"(largest group: {_span(summary['largest_group_at_least_mdl'])} components)"
        )
    for method, at_cut in summary["distances"].items():
        lines.append(
            f"  {method} between runs after {merges_done(at_cut['iteration'])}: mean {at_cut['mean']:.4g} "
            f"(from {at_cut['min']:.4g} to {at_cut['max']:.4g})"
        )
    stability = summary.get("stability")
    if stability is not None:
        lines += stability_lines(stability)
    page = folder / "explorer.html"
    figure = folder / "plots" / ("mdl.png" if stability is None else "stability.png")
    lines.append(f"  open next: {page if page.is_file() else figure}")
    return "\n".join(lines)


def group_lines(groups: Mapping[str, Any]) -> list[str]:
    """Return the summary of the groups as lines for the terminal.

    Example:
        >>> groups = {"n_groups": 3, "n_alone": 112, "n_shared_members": 1, "expected_false": 0.1}
        >>> groups |= {"expected_busy": 1.5, "bits_alone": 3.5, "bits_answer": 2.3, "warnings": ["Made up."]}
        >>> print("\\n".join(group_lines(groups)))
          3 groups hold (0.1 expected by chance), 112 components belong to none; they save 1.2 of 3.5 bits per
          sample (held out)
          1.5 groups are expected where components only share that some samples are busier than others
          1 component is also active with a second group
          warning: Made up.
    """
    expected, alone, answer = (groups[name] for name in ("expected_false", "bits_alone", "bits_answer"))
    n, chance = groups["n_groups"], "" if expected is None else f" ({expected:.2g} expected by chance)"
    none = groups["n_alone"]
    line = f"  {n} group{' holds' if n == 1 else 's hold'}{chance}, "
    line += f"{none} component{' belongs' if none == 1 else 's belong'} to none"
    if n and alone is not None and answer is not None:
        saver = "it saves" if n == 1 else "they save"
        line += f"; {saver} {alone - answer:.3g} of {alone:.4g} bits per sample (held out)"
    lines = [line]
    shared, busy = groups["n_shared_members"], groups["expected_busy"]
    if busy:
        lines.append(
            f"  {busy:.2g} group{' is' if busy == 1 else 's are'} expected where components only share that "
            "some samples are busier than others"
        )
    if shared:
        lines.append(
            f"  {shared} component{' is' if shared == 1 else 's are'} also active with a second group"
        )
    return lines + [f"  warning: {warning}" for warning in groups["warnings"]]


def stability_lines(stability: Mapping[str, Any]) -> list[str]:
    """Return the summary of the stability analysis as lines for the terminal.

    Example:
        >>> cut = {"n_groups": [4, 5], "n_contested_components": 2}
        >>> cut |= {"mean_support": 0.9, "null_mean_support": 0.5}
        >>> print("\\n".join(stability_lines({"last_agreement": 3, "cuts": {"least_mdl": cut}})))
          all runs agree last after 4 merges
          at the least mean description length, 4 to 5 groups: 2 contested components, support of the
          consensus 0.90 (shuffled runs: 0.50)
    """
    last = stability["last_agreement"]
    where = "after no merge" if last is None else f"last after {merges_done(last)}"
    lines = [f"  all runs agree {where}"]
    names = {"least_mdl": "at the least mean description length", "stability_drop": "before stability drops"}
    for cut, at in stability["cuts"].items():
        lines.append(
            f"  {names.get(cut, 'at the chosen cut')}, {_span(at['n_groups'])} groups: "
            f"{at['n_contested_components']} contested components, support of the consensus "
            f"{at['mean_support']:.2f} (shuffled runs: {at['null_mean_support']:.2f})"
        )
        lines += [f"    {note}" for note in at.get("notes", [])]
    return lines


def format_sweeps(folders: Iterable[str | Path]) -> str:
    """Return a short summary of every sweep that has a `sweep.json`, and the file to open next.

    Example:
        >>> format_sweeps(["no/such/folder"])
        ''

    Raises:
        InputError: such a file cannot be read.
    """
    blocks = []
    for folder, record in _records(folders, SWEEP_FILES["record"], SweepRecord):
        head = f"{folder}: {len(record['points'])} points of the sweep over {', '.join(record['swept'])}"
        open_next = f"  open next: {folder / 'plots' / 'sweep.png'}"
        blocks.append("\n".join([head, *sweep_lines(record), open_next]))
    return "\n\n".join(blocks)


def sweep_lines(record: Mapping[str, Any]) -> list[str]:
    """Return one line per point of a sweep, for the terminal.

    Example:
        >>> point = {"name": "alpha~1", "n_groups_min": 4, "n_groups_max": 4, "n_distinct": 1, "n_runs": 3}
        >>> print(*sweep_lines({"points": [{**point, "mean_support": 1, "null_mean_support": 0.5}]}))
          alpha~1  4 groups, 1 distinct groupings of 3 runs, support of the consensus 1.00
          (shuffled runs: 0.50)
    """
    width = max(len(point["name"]) for point in record["points"])
    return [
        f"  {point['name']:<{width}}  {_span([point['n_groups_min'], point['n_groups_max']])} groups, "
        f"{point['n_distinct']} distinct groupings of {point['n_runs']} runs, support of the consensus "
        f"{point['mean_support']:.2f} (shuffled runs: {point['null_mean_support']:.2f})"
        for point in record["points"]
    ]


def _span(values: Sequence[float | int]) -> str:
    low, high = min(values), max(values)
    return f"{low:.4g}" if f"{low:.4g}" == f"{high:.4g}" else f"{low:.4g} to {high:.4g}"


REGISTRY = "ensemble_registry.db"
_REGISTRY_VERSION = 1

ENSEMBLE_COLUMNS = tuple(name for name in RegisteredEnsemble.model_fields if name != "runs")
"""Columns of the table `ensembles`; `ensemble` is its folder below the results, `configuration` a digest."""

RUN_COLUMNS = ("ensemble", *RegisteredRun.model_fields)
"""Columns of the table `runs`; `history` is its path below the results, `digest` the SHA-256 of its bytes."""

_TABLES = f"""
CREATE TABLE ensembles ({", ".join(ENSEMBLE_COLUMNS)}, PRIMARY KEY (ensemble)) WITHOUT ROWID;
CREATE TABLE runs ({", ".join(RUN_COLUMNS)}, PRIMARY KEY (ensemble, run)) WITHOUT ROWID;
PRAGMA user_version = {_REGISTRY_VERSION};
"""


def read_registered(results: str | Path) -> list[dict[str, Any]]:
    """Return the `registered.json` of every ensemble below the results, in the order of their names.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> _ = write_example_ensemble(folder)
        >>> [(each["ensemble"], len(each["runs"])) for each in read_registered(f"{folder}/results")]
        [('example/example', 2)]

    Raises:
        InputError: no such folder, or one of the files is damaged.
    """
    if not Path(results).is_dir():
        raise InputError("no such folder", file=results, allowed="a folder of results")
    files = Path(results).glob("*/*/registered.json")
    records = [read_record(RegisteredEnsemble, file, "a registered.json") for file in sorted(files)]
    return sorted(records, key=lambda record: str(record["ensemble"]))


def write_registry(results: str | Path) -> int:
    """Write `ensemble_registry.db`: the rows of every `registered.json` below the results, and nothing else.

    The file is replaced as a whole. Processes that write at once need no lock: each looks again after
    writing, so that the last one has seen every record. The same records give the same bytes.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> _ = write_example_ensemble(folder)
        >>> n_ensembles = write_registry(f"{folder}/results")
        >>> with closing(sqlite3.connect(f"{folder}/results/ensemble_registry.db")) as database:
        ...     n_ensembles, database.execute("SELECT ensemble, run, n_merges FROM runs").fetchall()
        (1, [('example/example', 0, 11), ('example/example', 1, 11)])

    Returns:
        Number of ensembles.

    Raises:
        InputError: a record is damaged, or the file cannot be written.
    """
    written, records = None, read_registered(results)
    while records != written:
        content = _database(records)
        with atomic_path(Path(results) / REGISTRY) as temporary:
            temporary.write_bytes(content)
        written, records = records, read_registered(results)
    return len(records)


def _database(records: Sequence[Mapping[str, Any]]) -> bytes:
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(_TABLES)
        for record in records:
            rows = [{"ensemble": record["ensemble"], **run} for run in record["runs"]]
            for table, columns, values in (
                ("ensembles", ENSEMBLE_COLUMNS, [record]),
                ("runs", RUN_COLUMNS, rows),
            ):
                # a copied folder has the record of the original
                statement = f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * len(columns))})"
                database.executemany(statement, [[row[column] for column in columns] for row in values])
        database.commit()
        return database.serialize()


def format_registry(ensembles: Sequence[Mapping[str, Any]], *, runs: bool = False) -> str:
    """Return ensembles as a table for the terminal: a line for each ensemble, or for each run.

    Example:
        >>> print(format_registry([]))
        no ensembles
    """
    if not ensembles:
        return "no ensembles"
    if runs:
        head: tuple[str, ...] = ("ensemble", "run", "components", "merges", "seed", "digest", "history")
        lines: list[tuple[Any, ...]] = [
            (
                ensemble["ensemble"], run["run"], run["n_components"], run["n_merges"],
                run["merge_seed"].strip("[]").replace(", ", "/"), run["digest"][:12], run["history"],
            )
            for ensemble in ensembles
            for run in ensemble["runs"]
        ]  # fmt: skip
    else:
        head = ("ensemble", "runs", "configuration", "model", "version", "commit")
        lines = [
            (
                each["ensemble"], each["n_runs"], each["configuration"], each["model"] or "-",
                each["package_version"] or "-",
                (each["git_commit"] or "-")[:12] + (" (changed)" if each["git_dirty"] else ""),
            )
            for each in ensembles
        ]  # fmt: skip
    table = [tuple(map(str, line)) for line in (head, *lines)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in table
    )
