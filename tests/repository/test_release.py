"""What a release is made of: workflow files, the conda recipe, the version and its changelog."""

import re
import subprocess
import tomllib

import jinja2
import pytest
import yaml
from packaging.version import Version
from workflow import REPOSITORY

import spdclust

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
MAKEFILE = (REPOSITORY / "Makefile").read_text()
WORKFLOWS = sorted((REPOSITORY / ".github/workflows").glob("*.yml"))
CONDA_NAMES = {"matplotlib": "matplotlib-base", "torch": "pytorch", "snakemake": "snakemake-minimal"}


def conda_recipe():
    """Return the recipe as conda-build reads it: a Jinja template with one function of conda-build's own."""

    def load_file_regex(load_file, regex_pattern, from_recipe_dir):
        assert from_recipe_dir
        return re.search(regex_pattern, (REPOSITORY / "conda" / load_file).read_text())

    text = (REPOSITORY / "conda/meta.yaml").read_text()
    return yaml.safe_load(jinja2.Template(text).render(load_file_regex=load_file_regex, PYTHON="python"))


def test_the_conda_recipe_needs_what_the_package_needs():
    needed = {
        re.sub(r"^[\w-]+", lambda name: CONDA_NAMES.get(name[0], name[0]), each)
        for each in PROJECT["dependencies"]
    }
    recipe = conda_recipe()
    found = {each.replace(" ", "", 1) for each in recipe["requirements"]["run"]}
    assert found == needed | {f"python{PROJECT['requires-python']}"}
    assert f"python {PROJECT['requires-python']}" in recipe["requirements"]["host"]


def test_the_conda_recipe_has_the_version_and_the_commands_of_the_package():
    recipe = conda_recipe()
    assert recipe["package"] == {"name": PROJECT["name"], "version": spdclust.__version__}
    commands = dict(each.split(" = ") for each in recipe["build"]["entry_points"])
    assert commands == PROJECT["scripts"]
    assert recipe["about"]["summary"] == PROJECT["description"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_files_call_what_is_there(path):
    targets = set(re.findall(r"^([\w-]+):", MAKEFILE, re.MULTILINE))
    called = set(re.findall(r"\bmake ([\w-]+)", path.read_text()))
    assert called
    assert called <= targets


def test_tests_run_on_every_python_that_the_package_supports():
    matrix = yaml.safe_load((REPOSITORY / ".github/workflows/tests.yml").read_text())["jobs"]["tests"][
        "strategy"
    ]["matrix"]
    classifiers = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["classifiers"]))
    assert matrix["python"] == classifiers
    assert PROJECT["requires-python"] == f">={classifiers[0]},<3.{int(classifiers[-1][2:]) + 1}"
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "macos"}


def test_a_release_can_publish_without_a_secret_and_nothing_else_can():
    text = {path.stem: path.read_text() for path in WORKFLOWS}
    assert [name for name, each in text.items() if "secrets." in each] == []
    assert [name for name, each in text.items() if "id-token: write" in each] == ["release"]


def release_check(version: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "release-check", f"VERSION={version}"]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("version", "message"), [("9.9.9", "src/spdclust/core/version.py has")])
def test_a_tag_of_another_version_is_no_release(version, message):
    done = release_check(version)
    assert done.returncode != 0
    assert message in done.stdout


def test_a_version_without_a_dated_heading_in_the_changelog_is_no_release():
    done = release_check(spdclust.__version__)
    released = re.search(
        rf"^## {re.escape(spdclust.__version__)} \([0-9-]+\)",
        (REPOSITORY / "CHANGELOG.md").read_text(),
        re.MULTILINE,
    )
    assert (done.returncode == 0) == bool(released)


def test_the_changelog_names_this_version_or_a_later_one_first():
    text = (REPOSITORY / "CHANGELOG.md").read_text()
    versions = [Version(each) for each in re.findall(r"^## (\d+\.\d+\.\d+)", text, re.MULTILINE)]
    assert versions == sorted(versions, reverse=True)
    assert versions[0] >= Version(spdclust.__version__)
