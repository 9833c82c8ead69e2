"""Wrong settings, folders that cannot be written and disks that fill up, through the real command."""

import os
import shutil
import subprocess

import pytest
from workflow import PIPELINE, Workflow

TINY = "results/small/tiny"
HISTORIES = [f"{TINY}/runs/run_{run}/history.zip" for run in (0, 1)]
ALPHA = "merge_config.alpha"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def workflow(tmp_path_factory):
    return Workflow.create(tmp_path_factory.mktemp("wrong") / "w")


@pytest.fixture
def mounted(tmp_path):
    """A workflow whose results lie on a file system of their own, and how to mount that with other options."""
    made = Workflow.create(tmp_path / "w")
    results = made.folder / "results"
    results.mkdir()

    def mount(options, *how):
        command = ["mount", *how, "-t", "tmpfs", "-o", options, "tmpfs", str(results)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    if os.geteuid() != 0 or shutil.which("mount") is None or not mount("size=50m"):
        pytest.skip("a file system of its own needs root")
    yield made, lambda options: mount(f"remount,{options}")
    subprocess.run(["umount", str(results)], check=True)


def lines(outcome, part):
    assert outcome.code != 0
    assert "Traceback" not in outcome.output
    return [line for line in outcome.output.splitlines() if part in line]


def left(workflow):
    """Return what is there but for logs; nothing that is not whole may be."""
    files = set(workflow.results())
    assert not [name for name in files if ".tmp" in name]
    return files


@pytest.mark.parametrize(
    ("pipelines", "settings", "said"),
    [
        (["none"], {}, "Error: config/pipelines/none.yaml: no such file (allowed: a YAML or JSON file)"),
        (
            ["tiny", "other/tiny"],
            {},
            "Error: config/pipelines/other/tiny.yaml: small/tiny: two pipelines have the same name (found: "
            "config/pipelines/tiny.yaml; allowed: file names that differ)",
        ),
        (
            ["tiny"],
            {"sweep": {"merge_config.alpah": [1]}},
            f"Error: config/pipelines/tiny.yaml: sweep: merge_config.alpah: cannot be swept (allowed: {ALPHA})",
        ),
        (
            ["tiny"],
            {"sweep": {ALPHA: [1, "big"]}},
            f"Error: config/pipelines/tiny.yaml: sweep: {ALPHA}: value not allowed (found: big; allowed: a "
            "number)",
        ),
        (
            ["tiny"],
            {"sweep": {ALPHA: 2}},
            f"Error: config/pipelines/tiny.yaml: sweep.{ALPHA}: not allowed (found: 2; allowed: a list)",
        ),
        (
            ["tiny"],
            {"n_runs": 0},
            "Error: config/pipelines/tiny.yaml: n_runs: not allowed (found: 0; allowed: greater than or "
            "equal to 1)",
        ),
    ],
    ids=["no file", "one name twice", "unknown key", "wrong type", "no list", "no runs"],
)
def test_wrong_settings_are_one_line_and_once_right_the_same_command_works(
    workflow, pipelines, settings, said
):
    workflow.write("config/pipelines/tiny.yaml", PIPELINE | settings)
    other = PIPELINE | {"clustering_run_config_path": "../../runs/small.yaml"}
    workflow.write("config/pipelines/other/tiny.yaml", other)
    names = [f"config/pipelines/{name}.yaml" for name in pipelines]
    workflow.write("config/config.yaml", {"pipelines": names})
    assert lines(workflow.run("-n"), "Error") == [said]
    assert not (workflow.folder / "results").exists()
    workflow.write("config/pipelines/tiny.yaml", PIPELINE)
    workflow.write("config/config.yaml", {"pipelines": ["config/pipelines/tiny.yaml"]})
    assert workflow.due()["merge"] == 2


def test_results_that_cannot_be_written_are_refused_before_any_job(mounted):
    workflow, mount = mounted
    assert mount("ro")
    target = f"{TINY}/pipeline_config.yaml"
    outcome = workflow.run("--", target)
    assert lines(outcome, "Error") == [
        "Error: results: cannot write (found: Read-only file system; allowed: a writable folder with space)"
    ]
    assert "resolve_configuration small/tiny" not in outcome.output
    assert mount("rw")
    assert workflow.run("--", target).code == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_results_without_permission_are_refused_before_any_job(tmp_path):
    workflow = Workflow.create(tmp_path / "w")
    results = workflow.folder / "results"
    results.mkdir(mode=0o555)
    outcome = workflow.run("--", f"{TINY}/pipeline_config.yaml")
    said = "Error: results: cannot write (found: Permission denied; allowed: a writable folder with space)"
    assert lines(outcome, "Error") == [said]
    results.chmod(0o755)
    assert workflow.run("--", f"{TINY}/pipeline_config.yaml").code == 0


@pytest.mark.parametrize(
    ("size", "fails_in"), [("64k", "precompute_batches"), ("552k", "merge")], ids=["batches", "histories"]
)
def test_a_disk_that_fills_up_leaves_nothing_half_written_and_the_same_command_goes_on(
    mounted, size, fails_in
):
    workflow, mount = mounted
    assert mount(f"size={size}")
    outcome = workflow.run("--", *HISTORIES)
    said = lines(outcome, f"Error in {fails_in}: ")
    assert said
    assert all(
        "cannot write (found: No space left on device; allowed: a writable folder with space)" in line
        for line in said
    )
    whole = left(workflow)
    assert not [name for name in whole if name.endswith("history.zip")]
    assert mount("size=50m")
    batches = {
        name: (workflow.folder / "results" / name).stat().st_ino for name in whole if name.endswith(".pt")
    }
    assert len(batches) == (0 if fails_in == "precompute_batches" else 2)
    outcome = workflow.run("--", *HISTORIES)
    assert outcome.code == 0, outcome.output
    assert all((workflow.folder / "results" / name).stat().st_ino == node for name, node in batches.items())
    assert {name for name in left(workflow) if name.endswith("history.zip")} == {
        name.removeprefix("results/") for name in HISTORIES
    }
