"""A project folder of a user: from `spdclust init`, with the workflow of the checkout or of an installed wheel."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import yaml
from workflow import HANGS, REPOSITORY, Outcome, snakemake, snakemake_by

from spdclust.commands.cli import main

MODEL = REPOSITORY / "resources/resid_mlp1"
SMALL = {"batch_size": 64, "n_tokens": 64, "merge_config": {"filter_dead_threshold": 0.1, "iters": 4}}
HISTORY = "results/model/first/runs/run_0/history.zip"


def run(*command: str, folder: Path, environment: dict[str, str] | None = None) -> Outcome:
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=HANGS, check=False,
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout)


def made_small(project: Path) -> None:
    file = project / "config/runs/model.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | SMALL))


def test_a_project_runs_with_the_workflow_of_the_checkout(tmp_path, capsys):
    project = tmp_path / "mine"
    assert main(["init", str(project), "--model", str(MODEL)]) == 0
    assert "spdclust workflow run" in capsys.readouterr().out
    assert main(["workflow"]) == 0
    snakefile = capsys.readouterr().out.strip()
    assert snakefile == str(REPOSITORY / "Snakefile")
    assert not (project / "Snakefile").exists()
    made_small(project)
    plan = ["--cores", "1", "-n", "-q", "rules"]
    for outcome in (
        snakemake(project, dict(os.environ), ["-s", snakefile, *plan]),
        snakemake_by(main, "workflow", "run", *plan, folder=project),
    ):
        assert outcome.code == 0, outcome.output
        assert outcome.jobs["merge"] == 4
    (project / "random.py").write_text("raise ImportError('a file of the user')")
    outcome = run(
        sys.executable,
        "-P",
        "-m",
        "spdclust.commands.cli",
        "workflow",
        "run",
        "--cores",
        "1",
        "--",
        HISTORY,
        folder=project,
    )
    assert outcome.code == 0, outcome.output
    assert (project / HISTORY).is_file()


def test_the_hint_of_a_plan_holds_for_the_command_that_printed_it(tmp_path):
    project = tmp_path / "mine"
    assert main(["init", str(project), "--model", str(MODEL)]) == 0
    (project / "config/pipelines/first.yaml").rename(project / "other.yaml")
    (project / "other.yaml").write_text((project / "other.yaml").read_text().replace("../", "config/"))
    command = ["workflow", "run", "--cores", "1", "--config", "pipelines=[other.yaml]", "-n", "-q"]
    outcome = snakemake_by(main, *command, folder=project)
    assert outcome.code == 0, outcome.output
    assert "`snakemake" not in outcome.output  # which has no Snakefile here
    assert "The same command with `-q rules` instead of `-q` counts the jobs to run" in outcome.output
    assert snakemake_by(main, *command, "rules", folder=project).jobs["merge"] == 4


@pytest.mark.parametrize("folder", ["my latents: é", "latents"])
def test_a_project_of_activations_names_their_folder_from_anywhere(tmp_path, monkeypatch, capsys, folder):
    for number in range(3):
        (tmp_path / folder / f"run_{number}").mkdir(parents=True)
        np.save(tmp_path / folder / f"run_{number}/x.npy", np.eye(6))
    monkeypatch.chdir(tmp_path)
    assert main(["init", "mine", "--activations", folder]) == 0
    assert "edit mine/config/runs/activations.yaml" in capsys.readouterr().out
    monkeypatch.chdir("mine")
    assert main(["validate", "config/pipelines/first.yaml"]) == 0
    shown = capsys.readouterr().out
    assert "activations/first: 3 runs" in shown
    assert "run 2 reads run_2/x.npy" in shown
    assert main(["validate", "config/config.yaml"]) == 0
    assert capsys.readouterr().out == shown


def test_the_path_of_a_model_is_that_of_the_folder_in_which_it_was_given(tmp_path, monkeypatch, capsys):
    (tmp_path / "models").mkdir()
    (tmp_path / "models/mlp").symlink_to(MODEL)
    monkeypatch.chdir(tmp_path)
    assert main(["init", "mine", "--model", "models/mlp"]) == 0
    monkeypatch.chdir("mine")
    assert main(["validate", "config/pipelines/first.yaml"]) == 0
    assert "components: 200" in capsys.readouterr().out


def test_a_project_without_a_model_says_so_in_one_line(tmp_path, capsys):
    assert main(["init", str(tmp_path / "mine")]) == 0
    outcome = snakemake_by(main, "workflow", "run", "-n", "--cores", "1", folder=tmp_path / "mine")
    assert outcome.code != 0
    assert (
        "Error: config/runs/model.yaml: model_path: path/to/your/model: no such file or folder"
        in outcome.output
    )


def test_the_command_of_the_workflow_is_printed_as_one_would_type_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["init", ".", "--model", str(MODEL)]) == 0
    commands = []
    monkeypatch.setattr(os, "execv", lambda path, command: commands.append(command))
    main(["workflow", "run", "--cores", "2"])
    assert capsys.readouterr().err == f"+ snakemake --snakefile {REPOSITORY}/Snakefile --cores 2\n"
    assert commands[0][:4] == [sys.executable, "-P", "-m", "snakemake"]


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert main(["init", ".", "--model", str(MODEL)]) == 0
    assert main(["workflow", "run", "--cores", "2"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: /proc/nowhere/snakemake: cannot write (found: ")
    assert error.endswith("; allowed: XDG_CACHE_HOME: a folder in which Snakemake can write its cache)\n")


def test_the_workflow_outside_a_project_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["workflow", "run", "-n"]) == 1
    assert (
        "config/config.yaml: no such file (allowed: a project folder: spdclust init"
        in capsys.readouterr().err
    )


def test_a_project_that_is_there_is_not_replaced(tmp_path, capsys):
    project = tmp_path / "mine"
    assert main(["init", str(project)]) == 0
    (project / "config/config.yaml").write_text("mine")
    assert main(["init", str(project)]) == 1
    assert "config/config.yaml: would be replaced" in capsys.readouterr().err
    assert (project / "config/config.yaml").read_text() == "mine"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The commands of a fresh environment with the wheel, and everything it needs from this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    kept = shutil.ignore_patterns(".*", "results", "tests", "build", "*.egg-info", "__pycache__")
    shutil.copytree(REPOSITORY, source, ignore=kept)
    wheel = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*wheel, "-w", folder, source], check=True)
    shutil.rmtree(source)
    subprocess.run([sys.executable, "-m", "venv", folder / "env"], check=True)
    commands = folder / "env/bin"
    (built,) = folder.glob("*.whl")
    subprocess.run([commands / "pip", "install", "-q", "--no-deps", "--no-index", built], check=True)
    (site,) = (folder / "env").glob("lib/python3*/site-packages")
    # only the folder: this environment's link to the checkout is a .pth file of its own, which is not read
    (site / "needed.pth").write_text(sysconfig.get_path("purelib"))
    return commands


@pytest.mark.slow
def test_a_project_runs_from_an_installed_wheel(installed, tmp_path):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment["PATH"] = f"{installed}:{environment['PATH']}"
    project = tmp_path / "mine"
    outcome = run(
        "spdclust", "init", str(project), "--model", str(MODEL), folder=tmp_path, environment=environment
    )
    assert outcome.code == 0, outcome.output
    made_small(project)
    where = run("spdclust", "workflow", folder=project, environment=environment)
    assert where.output.startswith(str(installed.parent))
    outcome = run(
        "spdclust", "workflow", "run", "--cores", "1", "--", HISTORY, folder=project, environment=environment
    )
    assert outcome.code == 0, outcome.output
    assert (project / HISTORY).is_file()
    outcome = run(
        "spd-clustering", "--config", "config/pipelines/first.yaml", "--local", "-n", folder=project,
        environment=environment,
    )  # fmt: skip
    assert outcome.code == 0, outcome.output
    assert outcome.jobs["merge"] == 3  # one is there
