"""`spd-clustering`: the reference's flags, and what they make of the workflow."""

import importlib.util
import os
import sys
import tomllib

import pytest
import yaml
from workflow import PIPELINE, REPOSITORY, RUN, Workflow, snakemake_by

from spdclust.commands.reference_cli import (
    NO_LONGER,
    _find_workflow,
    _notes,
    _snakemake_command,
    main,
    parser,
)
from spdclust.config.resolve import WorkflowConfig, resolve_workflow
from spdclust.core.errors import InputError

INLINE = {
    "clustering_run_config": RUN | {"model_path": str(REPOSITORY / "resources/resid_mlp1")},
    "n_runs": 2,
}


@pytest.fixture
def pipeline(tmp_path):
    def write(**settings):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(INLINE | settings))
        return str(path)

    return write


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A machine that could submit: the executor is installed, and there is a command sbatch."""
    found = importlib.util.find_spec
    slurm = "snakemake_executor_plugin_slurm"
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: found("json") if name == slurm else found(name)
    )
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text("#!/bin/sh\n")
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", str(sbatch.parent), prepend=os.pathsep)


def command(*arguments):
    return _snakemake_command(parser().parse_args(arguments))


def value_after(words, option):
    return words[words.index(option) + 1]


def test_the_command_is_installed_under_its_name():
    scripts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts["spd-clustering"] == "spdclust.commands.reference_cli:main"


def test_locally_it_runs_the_workflow_on_all_cores_for_that_file_alone(pipeline):
    path = pipeline()
    assert command("--config", path, "--local") == [
        sys.executable, "-P", "-m", "snakemake", "--config", f"pipelines=[{path}]", "--profile", "profiles/local",
    ]  # fmt: skip
    assert value_after(command("--config", path, "--local", "--cores", "3"), "--cores") == "3"


def test_flags_become_settings_that_take_the_place_of_the_files(pipeline):
    path = pipeline(wandb_project="theirs")
    words = command(
        "--config", path, "--local", "--n-runs", "3", "--distances-methods", "matching_dist, jaccard_dist",
        "--wandb-project", "none", "--wandb-entity", "me", "--dataset-streaming", "--no-create-git-snapshot",
        "--results", "elsewhere",
    )  # fmt: skip
    given = dict(word.split("=", 1) for word in words if "=" in word)
    override = yaml.safe_load(given["override"])
    assert override["wandb_project"] == "none"  # a null of Snakemake's command line arrives as a word
    settings = {"pipelines": yaml.safe_load(given["pipelines"]), "results": given["results"]}
    (ensemble,) = resolve_workflow(WorkflowConfig(**settings, override=override))
    assert settings["results"] == "elsewhere"
    assert ensemble.n_runs == 3
    assert ensemble.methods == ["matching_dist", "jaccard_dist"]
    assert (ensemble.pipeline.wandb_project, ensemble.pipeline.wandb_entity) == (None, "me")
    assert ensemble.run.dataset_streaming
    assert not ensemble.pipeline.create_git_snapshot
    (as_written,) = resolve_workflow(WorkflowConfig(pipelines=[path]))
    assert (as_written.n_runs, as_written.pipeline.wandb_project) == (2, "theirs")


@pytest.mark.usefixtures("cluster")
def test_on_slurm_the_partition_and_prefix_of_the_file_count_beside_the_profiles_resources(pipeline):
    path = pipeline(slurm_partition="h200-reserved", slurm_job_name_prefix="spd")
    words = command("--config", path)
    assert value_after(words, "--profile") == "profiles/slurm"
    assert value_after(words, "--slurm-jobname-prefix") == "spd"
    resources = words[words.index("--default-resources") + 1 :]
    profile = yaml.safe_load((REPOSITORY / "profiles/slurm/config.yaml").read_text())
    assert profile["default-resources"]
    expected = [f"{name}={value!r}" for name, value in profile["default-resources"].items()]
    assert resources == [*expected, "slurm_partition='h200-reserved'"]
    plain = command("--config", pipeline())
    assert not {"--default-resources", "--slurm-jobname-prefix"} & set(plain)


def test_without_distances_only_the_merges_are_asked_for(pipeline):
    assert command("--config", pipeline(), "--local", "--no-calc-distances")[-2:] == ["--", "histories"]
    assert "--" not in command("--config", pipeline(), "--local", "--calc-distances")


def test_a_file_without_distances_asks_for_the_merges_unless_a_flag_wants_them(pipeline):
    path = pipeline(calc_distances=False)
    assert command("--config", path, "--local")[-2:] == ["--", "histories"]
    assert "--" not in command("--config", path, "--local", "--calc-distances")


def test_flags_that_mean_nothing_here_say_so_in_one_line_each(pipeline):
    flags = [f"--{name.replace('_', '-')}" for name in NO_LONGER]
    lines = _notes(parser().parse_args(["--config", pipeline(), "--local", *flags]))
    assert [line.split(" changes nothing: ")[0] for line in lines] == flags
    assert _notes(parser().parse_args(["--config", pipeline(), "--local"])) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--n-runs", "0"], "--n-runs: not allowed (found: 0; allowed: greater than or equal to 1)"),
        (["--n-runs", "many"], "--n-runs: not allowed (found: many; allowed: an integer"),
        (["--n-runs", "1"], "mine.yaml: n_runs: distances need several runs (found: 1; allowed: 2 or more)"),
        (["--distances-methods", "matchin"], "--distances-methods: found 'matchin' (allowed: perm_invariant"),
        (
            ["--no-local", "--cores", "2"],
            "--cores: jobs on Slurm state their own resources (allowed: with --local)",
        ),
    ],
)
def test_a_wrong_flag_is_one_line(pipeline, capsys, arguments, said):
    assert main(["--config", pipeline(), "--local", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert said in error
    assert error.count("\n") == 1


def test_a_machine_without_slurm_is_told_of_local(pipeline, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--config", pipeline()]) == 1
    assert "--local" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    assert main(["--config", "nowhere.yaml", "--local"]) == 1
    assert capsys.readouterr().err.startswith("Error: nowhere.yaml: no such file")


def test_without_a_workflow_it_says_where_one_would_be(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "spdclust.execution.jobs.__file__",
        str(tmp_path / "site/spdclust/execution/jobs.py"),
    )
    monkeypatch.setattr("importlib.metadata.files", lambda name: [])
    with pytest.raises(InputError, match=r"no workflow here \(allowed: the package installed by pip"):
        _find_workflow()


def test_the_workflow_of_the_working_folder_follows_the_flags(tmp_path):
    workflow = Workflow.create(tmp_path / "w")
    file = workflow.folder / "config/pipelines/tiny.yaml"
    before = file.read_bytes()
    outcome = snakemake_by(
        main, "--config", "config/pipelines/tiny.yaml", "--local", "--dry-run", "--n-runs", "5",
        "--distances-methods", "matching_dist", "--wandb-project", "none", folder=workflow.folder,
    )  # fmt: skip
    assert outcome.code == 0, outcome.output
    assert outcome.jobs["merge"] == 5
    assert outcome.jobs["plot_distances"] == 1 == len(PIPELINE["distances_methods"]) - 1
    assert file.read_bytes() == before
    assert not (workflow.folder / "results").exists()


def test_from_another_folder_it_runs_the_workflow_of_the_checkout(tmp_path, pipeline):
    outcome = snakemake_by(
        main, "--config", pipeline(), "--local", "--no-calc-distances", "--dry-run", folder=tmp_path,
        environment=os.environ | {"PYTHONPATH": str(REPOSITORY / "src")},
    )  # fmt: skip
    assert outcome.code == 0, outcome.output
    assert outcome.jobs == {"precompute_batches": 2, "merge": 2, "histories": 1}
