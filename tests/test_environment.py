"""The conda environment, the extras and the project file name the same."""

import re
import tomllib

import yaml
from workflow import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
ENVIRONMENT = yaml.safe_load((REPOSITORY / "envs" / "spdclust.yaml").read_text())


def test_the_conda_environment_has_the_projects_python_and_the_project_itself():
    *conda, pip = ENVIRONMENT["dependencies"]
    python = next(each for each in conda if each.split()[0] == "python")
    assert python == f"python {PROJECT['requires-python']}"
    assert {each.split()[0] for each in conda} == {"python", "pip"}  # all else comes with the project
    (installed,) = pip["pip"]
    assert re.fullmatch(r"-e \.\.(\[\w+(,\w+)*\])?", installed)


def test_the_conda_environment_has_what_the_workflows_jobs_need():
    (installed,) = ENVIRONMENT["dependencies"][-1]["pip"]
    extras = set(re.findall(r"\w+", installed.partition("[")[2]))
    assert extras <= set(PROJECT["optional-dependencies"])
    assert "lm" in extras  # batches of language models are made inside it
    assert not {"dev", "slurm"} & extras  # tests and submission are not jobs


def test_no_requirement_stands_twice():
    names = [re.match(r"[\w-]+", each)[0] for each in PROJECT["dependencies"]]
    assert len(set(names)) == len(names)
    for extra in PROJECT["optional-dependencies"].values():
        assert not {re.match(r"[\w-]+", each)[0] for each in extra} & set(names)
