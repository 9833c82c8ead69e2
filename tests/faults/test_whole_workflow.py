"""The whole workflow killed, run twice at once, and under clocks that jump."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from faults.recorded import SWEEP, Recorded, files_in, hidden
from faults.tally import TALLY
from workflow import HANGS, Workflow, jobs_at_work, wait_for_work

pytestmark = pytest.mark.faults

KILLS = 16
ENSEMBLE = "small/tiny-alpha~0.5"
TARGETS = [
    "ensemble_registry.db",
    *(
        f"{ENSEMBLE}/{name}"
        for name in ("summary.json", "explorer.html", "ensemble_meta.json", "plots/mdl.png")
    ),
]
MERGED = [f"{ENSEMBLE}/ensemble_meta.json"]
FAKETIME = [
    *Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"),
    *map(Path, filter(None, [os.environ.get("LIBFAKETIME")])),
]


def create(folder: Path, results: str = "results") -> Workflow:
    workflow = Workflow.create(folder, forked=False)
    workflow.write("config/pipelines/tiny.yaml", SWEEP)
    settings = {"pipelines": ["config/pipelines/tiny.yaml"]}
    workflow.write("config/config.yaml", settings | ({} if results == "results" else {"results": results}))
    return workflow


def start(
    workflow: Workflow, targets: list[str], environment: Mapping[str, str] = {}
) -> subprocess.Popen[str]:
    log = (workflow.folder / "said.txt").open("a")
    command = ["--cores", "2", "--set-resources", "merge:checkpoint_seconds=1", "--", *targets]
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", *command],
        cwd=workflow.folder,
        env=workflow.environment | environment,
        stdout=log,
        stderr=log,
        text=True,
        start_new_session=True,
    )


def in_results(names: list[str]) -> list[str]:
    return [f"results/{name}" for name in names]


def run(workflow: Workflow, targets: list[str], environment: Mapping[str, str] = {}) -> int:
    return end_of(start(workflow, targets, environment), workflow)


def end_of(process: subprocess.Popen[str], workflow: Workflow) -> int:
    """Wait for a workflow, and show what it said if it never ends."""
    try:
        return process.wait(timeout=HANGS)
    except subprocess.TimeoutExpired:
        at_work = jobs_at_work(workflow.folder)
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail(f"no end after {HANGS} s, with jobs {at_work}: {said(workflow)[-3000:]}")


def said(workflow: Workflow) -> str:
    return (workflow.folder / "said.txt").read_text(errors="replace")


def check_nothing_looks_finished(folder: Path, expected: dict[str, bytes]) -> None:
    for name, content in files_in(folder).items():
        # a workflow that has not registered all its ensembles yet has a registry of those it has
        if not hidden(name) and name != "results/ensemble_registry.db":
            assert content == expected[name.removeprefix("results/")], f"{name} looks finished and is not"


def check_whole(folder: Path, expected: dict[str, bytes], targets: list[str]) -> None:
    found = files_in(folder)
    assert set(in_results(targets)) <= set(found)
    assert [
        name for name, content in found.items() if content != expected.get(name.removeprefix("results/"))
    ] == []


@pytest.fixture(scope="module")
def killed(recorded: Recorded, tmp_path_factory) -> Workflow:
    """A workflow that was killed again and again, and then left to end."""
    workflow = create(tmp_path_factory.mktemp("killed") / "w")
    folder, targets = workflow.folder, in_results(TARGETS)
    moments, latest = random.Random(3), 2.5
    hits: Counter[str] = Counter()
    stages: Counter[str] = Counter()
    tries = 0
    while sum(hits.values()) < KILLS and tries < 3 * KILLS:
        how = ["all processes", "snakemake alone", "job alone"][tries % 3]
        tries += 1
        orphans = jobs_at_work(folder)
        process = start(workflow, targets)
        at_work = wait_for_work(process, folder, moments.uniform(0, latest), orphans)
        if at_work:
            hits[how] += 1
            stages.update(at_work.values())
        else:
            latest /= 2  # no job took so long
        if how == "snakemake alone":
            process.kill()
        else:
            for kill, pid in (
                [(os.killpg, process.pid)] if how == "all processes" else [(os.kill, p) for p in at_work]
            ):
                with contextlib.suppress(ProcessLookupError):  # it has just ended
                    kill(pid, signal.SIGKILL)
        end_of(process, workflow)
        check_nothing_looks_finished(folder, recorded.results)
        if process.returncode == 0:  # all was done: begin anew
            check_whole(folder, recorded.results, TARGETS)
            shutil.rmtree(folder / "results")
    assert run(workflow, targets) == 0, said(workflow)[-3000:]
    limit = time.monotonic() + HANGS
    while at_work := jobs_at_work(folder):
        assert time.monotonic() < limit, f"jobs that never end: {at_work}"
        time.sleep(0.1)
    for how, count in hits.items():
        TALLY.add("kill of the whole workflow", how, hit=count)
    TALLY.add("kill of the whole workflow", "at work then", **stages)
    TALLY.add(
        "kill of the whole workflow",
        "locks released by the next command",
        times=said(workflow).count("its locks are released"),
    )
    assert sum(hits.values()) >= KILLS, (hits, tries)
    return workflow


def test_killed_workflows_end_with_the_same_files(killed: Workflow, recorded: Recorded) -> None:
    check_whole(killed.folder, recorded.results, TARGETS)
    assert "Traceback" not in said(killed)
    assert "--unlock" not in said(killed)
    assert killed.due(*in_results(TARGETS)) == {}


def test_two_workflows_at_once_end_with_the_same_files(recorded: Recorded, tmp_path: Path) -> None:
    shared = tmp_path / "shared" / "results"
    targets = [f"{shared}/{name}" for name in (*MERGED, "ensemble_registry.db")]
    both = [create(tmp_path / name, results=str(shared)) for name in ("a", "b")]
    processes = [start(workflow, targets) for workflow in both]
    codes = [end_of(process, workflow) for process, workflow in zip(processes, both, strict=True)]
    check_nothing_looks_finished(shared.parent, recorded.results)
    again = [run(workflow, targets) for workflow in both]
    assert again == [0, 0], [said(workflow)[-2000:] for workflow in both]
    check_whole(shared.parent, recorded.results, [*MERGED, "ensemble_registry.db"])
    TALLY.add("two workflows at once", "two working folders, one results folder", tried=1,
              ended_well_at_once=codes.count(0), ended_well_when_repeated=again.count(0))  # fmt: skip


# --- clocks


def shift(paths: list[Path], seconds: float) -> None:
    for path in paths:
        if path.is_file():
            old = path.stat()
            os.utime(path, (old.st_atime + seconds, old.st_mtime + seconds))


YEAR = 365 * 86400.0


@pytest.mark.parametrize("years", [-30, 30], ids=["past", "future"])
@pytest.mark.parametrize("which", ["all results", "batches", "histories", "the model"])
def test_file_times_that_are_wrong_change_no_result(
    killed: Workflow, recorded: Recorded, tmp_path: Path, years: int, which: str
) -> None:
    workflow = killed.copy(tmp_path / "w")
    folder = {"the model": "resources"}.get(which, "results")
    pattern = {"batches": "**/batch_*.pt", "histories": "**/history.zip"}.get(which, "**/*")
    shift(list((workflow.folder / folder).glob(pattern)), years * YEAR)
    targets = in_results(MERGED)
    due = workflow.due(*targets)
    if due:
        assert run(workflow, targets) == 0, said(workflow)[-3000:]
    again = workflow.due(*targets)
    check_whole(workflow.folder, recorded.results, TARGETS)
    TALLY.add("file times that are wrong", f"{which}, 30 years in the {'past' if years < 0 else 'future'}",
              made_again=sum(due.values()), still_due=sum(again.values()))  # fmt: skip


@pytest.mark.parametrize("jump", ["-400d", "+400d"])
def test_a_clock_that_jumps_changes_no_result(
    killed: Workflow, recorded: Recorded, tmp_path: Path, jump: str
) -> None:
    if not FAKETIME:
        pytest.skip(
            "libfaketime is not there: apt-get install libfaketime, or LIBFAKETIME=<its libfaketimeMT.so.1>"
        )
    workflow = killed.copy(tmp_path / "w")
    shutil.rmtree(workflow.folder / "results" / ENSEMBLE)
    clock = tmp_path / "clock"
    clock.write_text("+0d\n")
    faked = {"LD_PRELOAD": str(FAKETIME[0]), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
             "FAKETIME_DONT_FAKE_MONOTONIC": "1"}  # fmt: skip
    process = start(workflow, in_results(MERGED), faked)
    while process.poll() is None and "merge" not in jobs_at_work(workflow.folder).values():
        time.sleep(0.05)
    clock.write_text(jump + "\n")
    assert process.poll() is None, f"the workflow ended before the clock jumped: {said(workflow)[-3000:]}"
    code = end_of(process, workflow)
    check_nothing_looks_finished(workflow.folder, recorded.results)
    due = workflow.due(*in_results(MERGED))
    again = run(workflow, in_results(MERGED)) if code or due else 0
    assert again == 0, said(workflow)[-3000:]
    check_whole(workflow.folder, recorded.results, MERGED)
    TALLY.add("clock jumps during a merge", jump, ended_well=int(code == 0), due_afterwards=sum(due.values()))
