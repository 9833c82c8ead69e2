"""The conda environment, the extras and the project file name the same."""

import re
import subprocess
import tomllib

import yaml
from workflow import REPOSITORY

from spdclust.execution.jobs import package_requirement

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
DATA_FILES = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["data-files"]
ENVIRONMENT = yaml.safe_load((REPOSITORY / "envs" / "spdclust.yaml").read_text())


def test_the_conda_environment_has_the_projects_python_and_nothing_that_a_path_must_find():
    python = next(each for each in ENVIRONMENT["dependencies"] if each.split()[0] == "python")
    assert python == f"python {PROJECT['requires-python']}"
    assert {each.split()[0] for each in ENVIRONMENT["dependencies"]} == {"python", "pip"}


def test_what_conda_installs_has_what_the_workflows_jobs_need():
    extras = set(re.findall(r"\w+", package_requirement().rpartition("[")[2]))
    assert extras <= set(PROJECT["optional-dependencies"])
    assert "lm" in extras  # batches of language models are made inside it
    assert not {"dev", "slurm"} & extras  # tests and submission are not jobs


def test_the_container_gets_all_that_the_wheel_is_made_of():
    """No container can be built here; what it copies and installs is checked, and the wheel in test_projects."""
    lines = (REPOSITORY / "Dockerfile").read_text().splitlines()
    copied = {name for line in lines if line.startswith("COPY") for name in line.split()[1:-1]}
    assert all((REPOSITORY / name).exists() for name in copied)
    shipped = {glob.split("/")[0] for globs in DATA_FILES.values() for glob in globs}
    assert shipped | {"src", "pyproject.toml", PROJECT["readme"], *PROJECT["license-files"]} <= copied
    (install,) = (line for line in lines if line.startswith("RUN"))
    assert "/opt/spdclust[lm]" in install


def test_every_file_of_the_workflow_is_in_the_wheel():
    shipped = {path for globs in DATA_FILES.values() for glob in globs for path in REPOSITORY.glob(glob)}
    needed = {
        path
        for folder in ("rules", "workflow/scripts", "envs", "profiles", "report")
        for path in (REPOSITORY / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert needed <= shipped
    for folder, globs in DATA_FILES.items():
        for glob in globs:
            assert f"share/spdclust/workflow/{glob}".rpartition("/")[0] == folder


def test_hooks_are_the_checks_of_make_lint_and_need_no_network():
    """pre-commit downloads hooks of other repositories and of any language but `system`."""
    (repository,) = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    assert {hook["language"] for hook in repository["hooks"]} == {"system"}
    lint = (REPOSITORY / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    for hook in repository["hooks"]:
        command = hook["entry"].removesuffix(" --force-exclude").replace(".venv/bin", "$(BIN)")
        assert f"\t{command}" in lint


def test_the_fast_tests_are_there_and_need_neither_network_nor_cluster():
    database = subprocess.run(
        ["make", "-npq", "help"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    ).stdout
    files = re.search(r"^FAST_TESTS := (.*)$", database, re.MULTILINE)[1].split()
    assert len(files) > 30
    needs = re.compile(
        r"^from (wandb_server|slurm_cluster) |^from workflow import .*\bWorkflow\b", re.MULTILINE
    )
    assert [name for name in files if needs.search((REPOSITORY / name).read_text())] == []


def test_no_requirement_stands_twice():
    names = [re.match(r"[\w-]+", each)[0] for each in PROJECT["dependencies"]]
    assert len(set(names)) == len(names)
    for extra in PROJECT["optional-dependencies"].values():
        assert not {re.match(r"[\w-]+", each)[0] for each in extra} & set(names)
