"""`ensemble_registry.db`: an SQLite database of ensembles and their runs.

Every change is one transaction under the file's lock: a killed process leaves the previous state, and several
processes take turns. The rollback journal is used, because write-ahead logs do not work on network file
systems. Rows contain no times, so the same results always give the same rows.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spdclust.core.errors import InputError
from spdclust.core.opening import exists, regular_file
from spdclust.files.records import ListedEnsemble, checked_record

FORMAT_VERSION = 1
WAIT_SECONDS = 120.0
"""Time that a process waits for others to finish their changes."""

ENSEMBLE_COLUMNS = (
    "ensemble",
    "n_runs",
    "configuration",
    "model",
    "base_seed",
    "dataset_seed",
    "package_version",
    "git_commit",
    "git_dirty",
)
"""Columns of the table `ensembles`; `ensemble` is the folder below the results, `configuration` a digest."""

RUN_COLUMNS = (
    "ensemble",
    "run",
    "history",
    "digest",
    "n_components",
    "n_merges",
    "merge_seed",
    "batch_seeds",
    "package_version",
)
"""Columns of the table `runs`; `history` is the path relative to the results, `digest` the file's SHA-256."""

_TABLES = f"""
CREATE TABLE IF NOT EXISTS ensembles ({", ".join(ENSEMBLE_COLUMNS)}, PRIMARY KEY (ensemble)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs ({", ".join(RUN_COLUMNS)}, PRIMARY KEY (ensemble, run)) WITHOUT ROWID;
PRAGMA user_version = {FORMAT_VERSION};
"""


def register_ensembles(
    records: Sequence[Mapping[str, Any]], path: str | Path, *, wait_seconds: float = WAIT_SECONDS
) -> int:
    """Add or update ensembles and their runs in the registry; unchanged entries are left as they are.

    Runs that an ensemble no longer has are removed; other ensembles are not changed.

    Example:
        >>> import tempfile
        >>> run = {**dict.fromkeys(RUN_COLUMNS[1:], 0), "digest": "ab", "merge_seed": "[0, 0]"}
        >>> record = {**dict.fromkeys(ENSEMBLE_COLUMNS), "ensemble": "small/tiny", "runs": [run]}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = f"{folder}/ensemble_registry.db"
        ...     changes = register_ensembles([record], path), register_ensembles([record], path)
        ...     changes, [ensemble["ensemble"] for ensemble in read_registry(path)]
        ((1, 0), ['small/tiny'])

    Args:
        records: contents of `registered.json`, see `stages.register`.
        path: the registry; created if it does not exist.
        wait_seconds: time to wait for other processes.

    Returns:
        Number of ensembles that changed.

    Raises:
        InputError: the file is not a registry, cannot be written, or stays locked.
    """
    changed = 0
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with _opened(path, wait_seconds) as database:
        # the lock is acquired before reading, so that the compared rows cannot change in between
        database.execute("BEGIN IMMEDIATE")
        if _version(database, path) == 0:
            for statement in filter(None, map(str.strip, _TABLES.split(";"))):
                database.execute(statement)
        for record in records:
            ensemble = [tuple(record[column] for column in ENSEMBLE_COLUMNS)]
            runs = [
                tuple({"ensemble": record["ensemble"], **run}[column] for column in RUN_COLUMNS)
                for run in sorted(record["runs"], key=lambda run: int(run["run"]))
            ]
            name = (record["ensemble"],)
            if (
                database.execute("SELECT * FROM ensembles WHERE ensemble = ?", name).fetchall() == ensemble
                and database.execute("SELECT * FROM runs WHERE ensemble = ? ORDER BY run", name).fetchall()
                == runs
            ):
                continue
            changed += 1
            for table, columns, rows in (
                ("ensembles", ENSEMBLE_COLUMNS, ensemble),
                ("runs", RUN_COLUMNS, runs),
            ):
                database.execute(f"DELETE FROM {table} WHERE ensemble = ?", name)
                marks = ", ".join("?" * len(columns))
                database.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
        database.execute("COMMIT")
    return changed


def read_registry(path: str | Path) -> list[dict[str, Any]]:
    """Return the ensembles of the registry, sorted by name, each with its runs under `runs`.

    Example:
        >>> import tempfile
        >>> run = {**dict.fromkeys(RUN_COLUMNS[1:], 0), "digest": "ab", "merge_seed": "[0, 0]"}
        >>> record = {**dict.fromkeys(ENSEMBLE_COLUMNS), "ensemble": "small/tiny", "runs": [run]}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = register_ensembles([record], f"{folder}/ensemble_registry.db")
        ...     (ensemble,) = read_registry(f"{folder}/ensemble_registry.db")
        >>> ensemble["ensemble"], ensemble["runs"][0]["digest"]
        ('small/tiny', 'ab')

    Raises:
        InputError: the file does not exist or is not a registry.
    """
    regular_file(path, "an ensemble_registry.db")
    with _opened(path, WAIT_SECONDS, read_only=True) as database:
        database.execute("BEGIN")
        if _version(database, path) == 0:
            return []
        ensembles = [
            dict(zip(ENSEMBLE_COLUMNS, row, strict=True))
            for row in database.execute("SELECT * FROM ensembles ORDER BY ensemble")
        ]
        for ensemble in ensembles:
            rows = database.execute(
                "SELECT * FROM runs WHERE ensemble = ? ORDER BY run", (ensemble["ensemble"],)
            )
            ensemble["runs"] = [dict(zip(RUN_COLUMNS, row, strict=True)) for row in rows]
    return [checked_record(ListedEnsemble, ensemble, path) for ensemble in ensembles]


def format_registry(ensembles: Sequence[Mapping[str, Any]], *, runs: bool = False) -> str:
    """Return the registry as a table for the terminal, with one line per ensemble or per run.

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
                run["ensemble"], run["run"], run["n_components"], run["n_merges"],
                "/".join(map(str, json.loads(run["merge_seed"]))), run["digest"][:12], run["history"],
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


@contextlib.contextmanager
def _opened(
    path: str | Path, wait_seconds: float, *, read_only: bool = False
) -> Iterator[sqlite3.Connection]:
    mode = "ro" if read_only else "rwc"
    if exists(path):
        regular_file(path, "an ensemble_registry.db")
    try:
        with contextlib.closing(
            sqlite3.connect(
                f"{Path(path).resolve().as_uri()}?mode={mode}",
                uri=True,
                timeout=wait_seconds,
                isolation_level=None,  # transactions are controlled explicitly in this module
            )
        ) as database:
            yield database
    except InputError:
        raise
    except (sqlite3.Error, ValueError, OverflowError) as error:  # a damaged table may have any columns
        raise InputError(
            "registry cannot be used",
            file=path,
            found=str(error),
            allowed="an ensemble_registry.db, not in use by a process that hangs",
        ) from error


def _version(database: sqlite3.Connection, path: str | Path) -> int:
    version = int(database.execute("PRAGMA user_version").fetchone()[0])
    tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if version not in (0, FORMAT_VERSION) or (version == 0 and tables):
        raise InputError(
            "not an ensemble registry",
            file=path,
            field="user_version",
            found=version,
            allowed=str(FORMAT_VERSION),
        )
    return version
