"""A full disk, and one that is read-only, under every stage's results."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.disks import PAGE, SmallDisk, small_disk
from faults.recorded import SCRIPTS, Ended, Recorded, RecordedJob, files_in, in_fork
from faults.tally import TALLY

pytestmark = pytest.mark.faults

TRIES = 4
"""Amounts of room left on the disk, for each script."""


@pytest.fixture(scope="module")
def disk(tmp_path_factory) -> Iterator[SmallDisk]:
    with small_disk(tmp_path_factory.mktemp("small") / "disk", megabytes=48) as mounted:
        yield mounted


@pytest.fixture(params=SCRIPTS)
def script(request) -> str:
    return request.param


@pytest.fixture
def folder(disk: SmallDisk, script: str, recorded: Recorded, tmp_path: Path) -> Iterator[Path]:
    disk.clear()
    yield recorded.place(recorded.jobs[script], tmp_path / "w", disk.folder)
    disk.clear()


def check_one_line(ended: Ended, job: RecordedJob) -> str:
    """The job ended in one line that names a file below the results; return that name."""
    # the merge warns of the copy of its figures that it keeps for W&B, and goes on
    lines = [line for line in ended.said.strip().splitlines() if not line.startswith("Warning in merge: ")]
    assert ended.code == 1, ended
    assert len(lines) == 1, ended.said
    found = re.match(rf"Error in {job.rule}: (\S+): ", lines[0])
    assert found, lines
    assert "Traceback" not in lines[0]
    assert "traceback" not in lines[0], lines
    return found[1]


def test_a_full_disk_is_one_line_and_leaves_nothing(
    script: str, folder: Path, disk: SmallDisk, recorded: Recorded
) -> None:
    job = recorded.jobs[script]
    expected, before = recorded.expected(job), files_in(folder)
    sizes = [-(-len(content) // PAGE) for content in expected.values()]
    # none, and in the middle of each file when they come in any order
    places = sorted({0, 1, *(sum(sizes[:n]) + sizes[n] // 2 + 1 for n in range(len(sizes)))})
    tried = sorted({places[round(n * (len(places) - 1) / (TRIES - 1))] for n in range(TRIES)})
    named: set[str] = set()
    for pages in tried:
        with disk.filled(pages):
            ended = in_fork(job, folder)
            if ended.code != 0:
                named.add(check_one_line(ended, job))
                for name, content in files_in(folder).items():
                    whole = content == (before | expected).get(name)
                    assert whole or name == "results/filler", f"{name} half-written with {pages} pages"
        if ended.code == 0:
            break
    ended = in_fork(job, folder)  # once there is room
    assert ended.code == 0, ended.said
    assert files_in(folder) == before | expected
    TALLY.add("full disk", script, amounts_of_room=tried.index(pages) + 1, files_named=len(named))
    assert named


def test_a_read_only_disk_is_one_line(script: str, folder: Path, disk: SmallDisk, recorded: Recorded) -> None:
    job = recorded.jobs[script]
    expected, before = recorded.expected(job), files_in(folder)
    for name in (*job.outputs, *map(str, job.snakemake.log)):  # as Snakemake does before the job
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    with disk.read_only():
        check_one_line(in_fork(job, folder), job)
    assert files_in(folder) == before
    ended = in_fork(job, folder)
    assert ended.code == 0, ended.said
    assert files_in(folder) == before | expected
    TALLY.add("read-only results", script, refused=1)
