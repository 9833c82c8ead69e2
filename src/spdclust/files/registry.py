"""Which ensemble holds which runs: all `registered.json` below the results, and a copy of them in SQLite."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from spdclust.core.atomic import atomic_path
from spdclust.core.errors import InputError
from spdclust.files.records import RegisteredEnsemble, RegisteredRun, read_record

REGISTRY = "ensemble_registry.db"
FORMAT_VERSION = 1

ENSEMBLE_COLUMNS = tuple(name for name in RegisteredEnsemble.model_fields if name != "runs")
"""Columns of the table `ensembles`; `ensemble` is its folder below the results, `configuration` a digest."""

RUN_COLUMNS = ("ensemble", *RegisteredRun.model_fields)
"""Columns of the table `runs`; `history` is its path below the results, `digest` the SHA-256 of its bytes."""

_TABLES = f"""
CREATE TABLE ensembles ({", ".join(ENSEMBLE_COLUMNS)}, PRIMARY KEY (ensemble)) WITHOUT ROWID;
CREATE TABLE runs ({", ".join(RUN_COLUMNS)}, PRIMARY KEY (ensemble, run)) WITHOUT ROWID;
PRAGMA user_version = {FORMAT_VERSION};
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
