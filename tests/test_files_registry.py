"""The registry: same rows from same results, several writers at once, a writer that is killed."""

import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from spdclust.core.errors import InputError
from spdclust.files.registry import (
    ENSEMBLE_COLUMNS,
    RUN_COLUMNS,
    format_registry,
    read_registry,
    register_ensembles,
)

N_WRITERS = 8


def record(name, n_runs=2, digest="d"):
    runs = [
        {**dict.fromkeys(RUN_COLUMNS[1:], None), "run": run, "digest": f"{digest}{run}", "merge_seed": f"[0, {run}]",
         "history": f"{name}/runs/run_{run}/history.zip"}
        for run in range(n_runs)
    ]  # fmt: skip
    filled = dict.fromkeys(ENSEMBLE_COLUMNS, None)
    return {
        **filled,
        "ensemble": name,
        "n_runs": n_runs,
        "configuration": "c",
        "git_dirty": None,
        "runs": runs,
    }


def dump(path):
    with sqlite3.connect(path) as database:
        return list(database.iterdump())


def test_registering_again_changes_nothing_not_even_a_byte(tmp_path):
    path = tmp_path / "r.db"
    assert register_ensembles([record("a"), record("b")], path) == 2
    before = path.read_bytes()
    assert register_ensembles([record("b"), record("a")], path) == 0
    assert path.read_bytes() == before


def test_rows_do_not_depend_on_the_order_of_registration(tmp_path):
    first, second = tmp_path / "1.db", tmp_path / "2.db"
    register_ensembles([record("a"), record("b")], first)
    for each in (record("b", 5, "old"), record("a"), record("b")):
        register_ensembles([each], second)
    assert dump(first) == dump(second)


def test_a_changed_ensemble_replaces_its_rows_and_no_others(tmp_path):
    path = tmp_path / "r.db"
    register_ensembles([record("a", 3), record("b", 3)], path)
    assert register_ensembles([record("a", 1, "new"), record("b", 3)], path) == 1
    found = {each["ensemble"]: [run["digest"] for run in each["runs"]] for each in read_registry(path)}
    assert found == {"a": ["new0"], "b": ["d0", "d1", "d2"]}


def test_the_list_shows_ensembles_or_runs(tmp_path):
    path = tmp_path / "r.db"
    register_ensembles([record("a/x", 2)], path)
    assert [line.split()[:3] for line in format_registry(read_registry(path)).splitlines()] == [
        ["ensemble", "runs", "configuration"],
        ["a/x", "2", "c"],
    ]
    lines = format_registry(read_registry(path), runs=True).splitlines()
    assert [line.split()[-1] for line in lines[1:]] == [f"a/x/runs/run_{r}/history.zip" for r in range(2)]


_WRITER = """
import sys
sys.path.insert(0, {tests!r})
from test_files_registry import record
from spdclust.files.registry import register_ensembles
number, path = int(sys.argv[1]), sys.argv[2]
for round in range(5):
    register_ensembles([record(f"e{{number}}", 1 + round), record("shared", 3)], path)
"""


def start(number, path):
    code = _WRITER.format(tests=os.path.dirname(__file__))
    return subprocess.Popen([sys.executable, "-c", code, str(number), str(path)], stderr=subprocess.PIPE)


def test_eight_writers_at_once_lose_nothing(tmp_path):
    path = tmp_path / "r.db"
    writers = [start(number, path) for number in range(N_WRITERS)]
    for writer in writers:
        _, error = writer.communicate(timeout=120)
        assert writer.returncode == 0, error
    alone = tmp_path / "alone.db"
    register_ensembles([*(record(f"e{n}", 5) for n in range(N_WRITERS)), record("shared", 3)], alone)
    assert dump(path) == dump(alone)


_KILLED = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN IMMEDIATE")
database.execute("DELETE FROM runs")
database.execute("PRAGMA cache_spill = 1")
database.executemany("INSERT INTO ensembles (ensemble) VALUES (?)", [(f"junk{i}" * 300,) for i in range(3000)])
print("holding", flush=True)
time.sleep(60)
"""


def test_a_writer_killed_in_the_middle_leaves_the_state_before_it_and_blocks_nobody(tmp_path):
    path = tmp_path / "r.db"
    register_ensembles([record("a")], path)
    before = dump(path)
    killed = subprocess.Popen([sys.executable, "-c", _KILLED, str(path)], stdout=subprocess.PIPE, text=True)
    assert killed.stdout.readline() == "holding\n"
    waiting = start(0, path)
    time.sleep(0.2)
    assert waiting.poll() is None  # another writer waits for its turn
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    _, error = waiting.communicate(timeout=120)
    assert waiting.returncode == 0, error
    assert set(before) <= set(dump(path))
    assert {each["ensemble"] for each in read_registry(path)} == {"a", "e0", "shared"}


def test_a_lock_that_stays_is_one_line(tmp_path):
    path = tmp_path / "r.db"
    register_ensembles([record("a")], path)
    with sqlite3.connect(path, isolation_level=None) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(InputError, match=r"r\.db: registry cannot be used \(found: database is locked; "):
            register_ensembles([record("b")], path, wait_seconds=0.05)
        holder.execute("ROLLBACK")


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"not a database at all" * 50, "file is not a database"), (None, "no such file")],
)
def test_what_is_no_registry_is_one_line(content, said, tmp_path):
    path = tmp_path / "r.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        read_registry(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_program_s_database_is_left_alone(tmp_path):
    path = tmp_path / "r.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(
        InputError, match=r"r\.db: user_version: not an ensemble registry \(found: 0; allowed: 1\)"
    ):
        register_ensembles([record("a")], path)
    assert path.read_bytes() == before
