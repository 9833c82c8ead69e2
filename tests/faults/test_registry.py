"""The registry under eight writers at once, some of them killed."""

import multiprocessing
import os
import random
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from faults.tally import TALLY
from test_files_registry import record

from spdclust.core.errors import InputError
from spdclust.files.registry import read_registry, register_ensembles

pytestmark = pytest.mark.faults

N_WRITERS = 8
KILLS = 24


def write(number: int, first: int, path: str, told: int) -> None:
    """Register one ensemble after another, and tell each that is done, before the next."""
    for count in range(first, first + 10_000):
        register_ensembles([record(f"{number}-{count}", 1 + count % 7)], path)
        os.write(told, f"{number}-{count}\n".encode())


def test_nothing_that_was_reported_is_lost(tmp_path: Path) -> None:
    path = str(tmp_path / "ensemble_registry.db")
    fork = multiprocessing.get_context("fork")
    moments = random.Random(11)
    reading, told = os.pipe()
    reported = bytearray()
    os.set_blocking(reading, False)

    def start(number: int, first: int) -> multiprocessing.Process:
        process = fork.Process(target=write, args=(number, first, path, told))
        process.start()
        return process

    def listen() -> None:
        try:
            while data := os.read(reading, 65536):
                reported.extend(data)
        except BlockingIOError:
            return

    writers = [start(number, 0) for number in range(N_WRITERS)]
    for kill in range(KILLS):
        end = time.monotonic() + moments.uniform(0.02, 0.25)
        while time.monotonic() < end:
            listen()
            time.sleep(0.005)
        number = moments.randrange(N_WRITERS)
        os.kill(writers[number].pid or 0, signal.SIGKILL)
        writers[number].join()
        assert writers[number].exitcode == -signal.SIGKILL, "a writer ended by itself"
        writers[number] = start(number, (kill + 1) * 10_000)
    for writer in writers:
        writer.kill()
        writer.join()
    listen()
    os.close(reading)
    os.close(told)

    names = reported.decode().split()
    found = {each["ensemble"]: each for each in read_registry(path)}
    assert [name for name in names if name not in found] == []
    for name, each in found.items():
        assert len(each["runs"]) == each["n_runs"] == 1 + int(name.partition("-")[2]) % 7
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert register_ensembles([record("after", 1)], path) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["ensemble_registry.db"]
    TALLY.add(
        "8 registry writers, kills",
        "registry",
        kills=KILLS + N_WRITERS,
        ensembles_reported=len(names),
        lost=0,
    )
    assert len(names) >= 50


def test_waiting_for_a_writer_that_hangs_ends_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "ensemble_registry.db"
    register_ensembles([record("a", 1)], path)
    with closing(sqlite3.connect(path, isolation_level=None)) as hanging:
        hanging.execute("BEGIN IMMEDIATE")
        with pytest.raises(
            InputError, match=r"registry cannot be used.*database is locked.*a process that hangs"
        ):
            register_ensembles([record("b", 1)], path, wait_seconds=0.2)
        assert [each["ensemble"] for each in read_registry(path)] == ["a"]
    assert register_ensembles([record("b", 1)], path) == 1
