"""The registry: what is in the records of the ensembles, for every number of writers."""

import json
import multiprocessing
import sqlite3
from contextlib import closing

import pytest
from workflow import HANGS

from spdclust.core.atomic import write_text
from spdclust.core.errors import InputError
from spdclust.files import summaries
from spdclust.files.summaries import (
    ENSEMBLE_COLUMNS,
    RUN_COLUMNS,
    format_registry,
    read_registered,
    write_registry,
)

N_WRITERS = 8


def record(name, n_runs=2, digest="d"):
    runs = [
        {"run": run, "history": f"{name}/runs/run_{run}/history.zip", "digest": f"{digest}{run}", "n_components": 3,
         "n_merges": 2, "merge_seed": f"[0, {run}]", "batch_seeds": "[]", "package_version": None}
        for run in range(n_runs)
    ]  # fmt: skip
    return {
        "ensemble": name, "n_runs": n_runs, "configuration": "c", "model": None, "base_seed": 0, "dataset_seed": 0,
        "package_version": "1", "git_commit": None, "git_dirty": None, "runs": runs,
    }  # fmt: skip


def put(results, each):
    write_text(results / each["ensemble"] / "registered.json", json.dumps(each))


def rows(results):
    with closing(sqlite3.connect(results / "ensemble_registry.db")) as database:
        return [
            database.execute(f"SELECT * FROM {table} ORDER BY {order}").fetchall()
            for table, order in (("ensembles", "ensemble"), ("runs", "ensemble, run"))
        ]


def test_the_rows_are_the_records_in_any_order_of_writing_to_the_byte(tmp_path):
    records = [record("a/y"), record("a/x", 3), record("b/z", 1)]
    for each in records:
        put(tmp_path / "1", each)
    assert write_registry(tmp_path / "1") == 3
    for each in [record("a/x", 1, "old"), *reversed(records)]:
        put(tmp_path / "2", each)
        write_registry(tmp_path / "2")
    database = "ensemble_registry.db"
    assert (tmp_path / "1" / database).read_bytes() == (tmp_path / "2" / database).read_bytes()
    ordered = sorted(records, key=lambda each: each["ensemble"])
    assert rows(tmp_path / "1") == [
        [tuple(each[name] for name in ENSEMBLE_COLUMNS) for each in ordered],
        [tuple({**each, **run}[name] for name in RUN_COLUMNS) for each in ordered for run in each["runs"]],
    ]


def test_what_is_deleted_is_not_in_the_registry(tmp_path):
    put(tmp_path, record("a/x"))
    put(tmp_path, record("a/y"))
    assert write_registry(tmp_path) == 2
    (tmp_path / "a/x/registered.json").unlink()
    assert write_registry(tmp_path) == 1
    assert [row[0] for row in rows(tmp_path)[0]] == ["a/y"]


def test_a_copied_folder_is_not_another_ensemble(tmp_path):
    put(tmp_path, record("a/x"))
    (tmp_path / "a/copy").mkdir()
    (tmp_path / "a/copy/registered.json").write_text(json.dumps(record("a/x")))
    write_registry(tmp_path)
    assert [len(each) for each in rows(tmp_path)] == [1, 2]


def test_an_ensemble_that_is_registered_while_another_process_writes_is_not_lost(tmp_path, monkeypatch):
    put(tmp_path, record("a/x"))
    database = summaries._database

    def slow(records):
        if len(records) == 1:
            put(tmp_path, record("a/y"))
            write_registry(tmp_path)  # the other process, which ends first
        return database(records)

    monkeypatch.setattr(summaries, "_database", slow)
    assert write_registry(tmp_path) == 2
    assert [row[0] for row in rows(tmp_path)[0]] == ["a/x", "a/y"]


def write_some(results, number, begin):
    begin.wait(HANGS)
    for count in range(1, 6):
        put(results, record(f"e/{number}-{count}", count))
        write_registry(results)


def test_eight_writers_at_once_lose_nothing(tmp_path):
    copies = multiprocessing.get_context("fork")
    begin = copies.Barrier(N_WRITERS)
    writers = [
        copies.Process(target=write_some, args=(tmp_path, number, begin)) for number in range(N_WRITERS)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(HANGS)
        assert writer.exitcode == 0
    assert [len(each) for each in rows(tmp_path)] == [5 * N_WRITERS, 15 * N_WRITERS]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e", "ensemble_registry.db"]


def test_the_list_shows_ensembles_or_runs(tmp_path):
    put(tmp_path, record("a/x", 2))
    found = read_registered(tmp_path)
    assert [line.split()[:3] for line in format_registry(found).splitlines()] == [
        ["ensemble", "runs", "configuration"],
        ["a/x", "2", "c"],
    ]
    lines = format_registry(found, runs=True).splitlines()
    assert [line.split()[-1] for line in lines[1:]] == [f"a/x/runs/run_{r}/history.zip" for r in range(2)]


def test_what_cannot_be_read_or_written_is_one_line(tmp_path):
    with pytest.raises(InputError, match="none: no such folder"):
        read_registered(tmp_path / "none")
    put(tmp_path, record("a/x"))
    (tmp_path / "ensemble_registry.db").mkdir()
    with pytest.raises(InputError, match=r"ensemble_registry\.db: cannot write"):
        write_registry(tmp_path)
    (tmp_path / "a/x/registered.json").write_text("{}")
    with pytest.raises(InputError, match=r"registered\.json: ensemble: missing"):
        write_registry(tmp_path)
