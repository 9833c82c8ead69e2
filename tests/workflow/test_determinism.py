"""The same bytes in every result, whatever the threads, the folder, the time zone, the locale or the hash seed."""

import os
import shutil
import socket
import subprocess
import time

import pytest
from workflow import PIPELINE, Workflow

pytestmark = pytest.mark.slow

PLAIN = {"TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}
ONE_THREAD = ["--set-threads", *(f"{rule}=1" for rule in ("distances", "stability", "groups"))]
TWO_THREADS = [
    "--set-threads",
    *(f"{rule}=2" for rule in ("precompute_batches", "merge", "distances", "stability", "groups")),
]


def other_locale() -> str:
    """A locale with another alphabet order or decimal sign, if one is installed; else plain C."""
    try:
        listed = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        return "C"
    foreign = [name for name in listed if not name.upper().startswith(("C", "POSIX", "EN"))]
    return foreign[0] if foreign else "C"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The workflow as first run, with a package of its own that nobody edits, and its untouched files."""
    folder = tmp_path_factory.mktemp("plain")
    workflow = Workflow.create(folder / "w")
    workflow.own_package()
    shutil.copytree(workflow.folder, folder / "untouched")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in PLAIN.items():
            patch.setenv(name, value)
        outcome = workflow.run(*ONE_THREAD, cores=1)
    assert outcome.code == 0, outcome.output
    return workflow, folder / "untouched"


@pytest.mark.parametrize(
    ("folder", "arguments", "environment"),
    [
        ("w", TWO_THREADS, {}),
        ("a longer name, with spaces/and below/w", ONE_THREAD, {"TZ": "XYZ-14", "PYTHONHASHSEED": "12345"}),
        ("w", ONE_THREAD, {"LC_ALL": other_locale(), "TZ": "XYZ11", "PYTHONHASHSEED": "random"}),
    ],
    ids=["two threads", "folder, time zone, hash seed", "locale, time zone, hash seed"],
)
def test_the_same_bytes_come_out(plain, tmp_path, monkeypatch, folder, arguments, environment):
    workflow, untouched = plain
    again = Workflow(shutil.copytree(untouched, tmp_path / folder))
    for name, value in (PLAIN | environment).items():
        monkeypatch.setenv(name, value)
    outcome = again.run(*arguments)
    assert outcome.code == 0, outcome.output
    expected, found = workflow.results(), again.results()
    assert {name.rsplit(".", 1)[-1] for name in expected} >= {
        "pt",
        "zip",
        "npz",
        "json",
        "csv",
        "png",
        "pdf",
        "yaml",
        "db",
    }
    assert set(found) == set(expected)
    assert [name for name in expected if found[name] != expected[name]] == []


def test_results_hold_no_place_time_or_host(plain):
    workflow, _ = plain
    year = time.strftime("%Y-")
    for name, content in workflow.results().items():
        for said in (
            str(workflow.folder),
            str(workflow.folder.parents[1]),
            os.environ.get("HOME", "/root") + "/",
        ):
            assert said.encode() not in content, f"{said} in {name}"
        if len(socket.gethostname()) > 3:
            assert socket.gethostname().encode() not in content, name
        if not name.endswith((".pt", ".png", ".db")):
            assert year.encode() not in content, name


def test_asking_for_the_commit_later_makes_due_only_the_record_of_the_settings(plain, tmp_path):
    workflow = plain[0].copy(tmp_path / "w")
    workflow.write("config/pipelines/tiny.yaml", PIPELINE | {"create_git_snapshot": True})
    assert workflow.due() == {"resolve_configuration": 1}
