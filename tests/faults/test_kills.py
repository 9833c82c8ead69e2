"""Abrupt ends at random moments of every stage, and SIGKILL at every change that a stage makes to a file."""

import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.recorded import SCRIPTS, Recorded, RecordedJob, files_in, hidden, in_fork
from faults.tally import TALLY

pytestmark = pytest.mark.faults

KILLS = 6
"""At random moments, for each script."""
IN_ONE_FOLDER = 3
"""Kills before the job is left to end."""
CHANGES = 6
"""Changes to files at most, evenly over all that a job makes, at which it is killed."""

_EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.truncate", "sqlite3.connect", "os.utime"}


@pytest.fixture(params=SCRIPTS)
def script(request) -> str:
    return request.param


def check_nothing_looks_finished(folder: Path, expected: dict[str, bytes]) -> None:
    """Every file under its final name is whole; only hidden files may be anything else."""
    for name, content in files_in(folder).items():
        if not hidden(name) and name in expected:
            assert content == expected[name], f"{name} looks finished and is not"


def check_whole(folder: Path, expected: dict[str, bytes]) -> None:
    found = files_in(folder)
    assert [name for name in expected if found.get(name) != expected[name]] == []
    assert [name for name in found if hidden(name)] == []


def run_whole(job: Callable[[], None], folder: Path, expected: dict[str, bytes]) -> float:
    ended = in_fork(job, folder)
    assert ended.code == 0, ended.said
    check_whole(folder, expected)
    return ended.cpu_seconds


def test_a_job_killed_at_random_moments_ends_with_the_same_files(
    script: str, recorded: Recorded, tmp_path: Path
) -> None:
    job = recorded.jobs[script]
    expected = recorded.expected(job)
    seconds = run_whole(job, recorded.place(job, tmp_path / "whole"), expected)
    moments = random.Random(script)
    hits = tries = 0
    while hits < KILLS and tries < 10 * KILLS:  # short jobs are often over before the kill
        folder = recorded.place(job, tmp_path / f"after_{tries}")
        for _ in range(IN_ONE_FOLDER):
            # the end, where files are written, more often than the rest
            part = moments.uniform(0, 1) if moments.random() < 0.5 else moments.uniform(0.7, 1)
            ended = in_fork(job, folder, kill_after=part * seconds)
            tries += 1
            assert ended.signal == signal.SIGPROF or ended.code == 0, ended
            if ended.signal == signal.SIGPROF:
                hits += 1
            else:  # the first run took more than those after it
                seconds = min(seconds, ended.cpu_seconds)
            check_nothing_looks_finished(folder, expected)
        seconds = min(seconds, run_whole(job, folder, expected))
    TALLY.add("kill at a random moment", script, hit=hits, came_too_late=tries - hits)
    assert hits >= KILLS, f"{hits} of {tries} kills came in time, within {seconds:.3f} s of CPU time"


def at_change(job: RecordedJob, number: int) -> Callable[[], None]:
    """Return the job with SIGKILL just before its `number`-th change to a file; the changes are counted on
    standard output.
    """

    def act() -> None:
        results, changes = str(Path("results").resolve()), 0

        def hook(event: str, arguments: tuple) -> None:
            nonlocal changes
            if event == "open":
                if not isinstance(arguments[2], int) or not arguments[2] & (os.O_WRONLY | os.O_RDWR):
                    return
            elif event not in _EVENTS:
                return
            place = arguments[0]
            if not isinstance(place, str | os.PathLike) or not _below(os.fspath(place), results):
                return
            if changes == number:
                os.kill(os.getpid(), signal.SIGKILL)
            changes += 1

        sys.addaudithook(hook)
        output = os.dup(1)  # the job sends its own to its log
        try:
            job()
        finally:
            os.write(output, f"changes: {changes}\n".encode())

    return act


def _below(place: str, results: str) -> bool:
    full = os.path.abspath(place.removeprefix("file://").partition("?")[0])
    return full.startswith((os.path.abspath("results"), results)) and "/logs/" not in full


def test_a_job_killed_before_a_change_to_a_file_ends_with_the_same_files(
    script: str, recorded: Recorded, tmp_path: Path
) -> None:
    job = recorded.jobs[script]
    expected = recorded.expected(job)
    ended = in_fork(at_change(job, -1), recorded.place(job, tmp_path / "whole"))
    assert ended.code == 0, ended.said
    changes = int(ended.said.rpartition("changes: ")[2])
    assert changes >= len(job.outputs)
    chosen = sorted({round(n * (changes - 1) / (CHANGES - 1)) for n in range(CHANGES)})
    folder = recorded.place(job, tmp_path / "killed")
    hits = 0
    for number in chosen:
        ended = in_fork(at_change(job, number), folder)
        if ended.code == 0:  # what an earlier one left makes fewer changes necessary
            break
        assert ended.signal == signal.SIGKILL, ended
        hits += 1
        check_nothing_looks_finished(folder, expected)
    run_whole(job, folder, expected)
    TALLY.add("kill just before a change to a file", script, hit=hits)
    assert hits >= 2, f"{hits} of the changes {chosen} of {changes} were reached"
