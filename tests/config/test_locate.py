"""Paths in configuration files: beside the file that names them, then from the working folder."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from workflow import REPOSITORY

from spdclust.commands.cli import main
from spdclust.config.resolve import resolve_pipeline

WITHOUT_TORCH = """
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, NoTorch())
from spdclust.commands.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def project(tmp_path):
    """A folder with everything beside each other: a pipeline, a run file, a model, activations, texts."""
    (tmp_path / "mlp").symlink_to(REPOSITORY / "resources/resid_mlp1")
    (tmp_path / "own").mkdir()
    np.save(tmp_path / "own/latents.npy", np.eye(4))
    (tmp_path / "texts.jsonl").write_text("")
    (tmp_path / "run.yaml").write_text("{model_path: mlp, dataset: {name: texts.jsonl, tokenizer: gpt2}}")
    (tmp_path / "pipeline.yaml").write_text("{clustering_run_config_path: run.yaml, n_runs: 2}")
    return tmp_path


def resolved(path: Path):
    (ensemble,) = resolve_pipeline(path)
    return ensemble.run


def test_a_path_is_looked_up_beside_the_file_that_names_it(project):
    run = resolved(project / "pipeline.yaml")
    assert run.model_path == f"{project}/mlp"
    assert run.dataset.name == f"{project}/texts.jsonl"
    assert run.dataset.tokenizer == "gpt2"  # there is no such folder


def test_a_run_inside_a_pipeline_too(project):
    inline = "{clustering_run_config: {precomputed_activations_dir: own}, n_runs: 2}"
    (project / "inline.yaml").write_text(inline)
    assert resolved(project / "inline.yaml").precomputed_activations_dir == f"{project}/own"


def test_else_from_the_working_folder(project):
    (project / "run.yaml").write_text("{model_path: resources/resid_mlp1}")
    assert resolved(project / "pipeline.yaml").model_path == "resources/resid_mlp1"


@pytest.mark.parametrize("file", ["run.yaml", "pipeline.yaml"])
def test_validate_finds_the_model_from_any_working_folder(
    project, file, tmp_path_factory, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert main(["validate", str(project / file)]) == 0
    assert "components: 200" in capsys.readouterr().out


def test_validate_needs_no_torch(project):
    def validated(file: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_TORCH, "validate", str(project / file)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "components: 200" in validated("pipeline.yaml")
    assert "samples: 2 runs × 1 batch × 128" in validated("pipeline.yaml")
    (project / "mlp").unlink()
    shutil.copytree(REPOSITORY / "resources/resid_mlp1", project / "mlp")
    weights = project / "mlp/model_6000.pth"
    half = {name: tensor.bfloat16() for name, tensor in torch.load(weights, weights_only=True).items()}
    torch.save(half, weights)
    assert "components: not known, since torch is not installed here" in validated("pipeline.yaml")


def test_a_command_that_needs_torch_says_so_in_one_line(project):
    command = ["run", "--config", str(project / "run.yaml"), "--output", str(project)]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "Error: a package is not installed (found: no torch; allowed: pip install torch)\n"
