"""The configuration of a checkpoint is compared with its tensors, without torch and without their values."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from language import CHECKPOINT
from new_interpreter import imported_by

from spdclust.core.errors import InputError
from spdclust.models import load_model
from spdclust.models.checkpoint import check_components, resolve_checkpoint

DEMO = Path("resources/resid_mlp1")
DATA = Path("tests/data/models")


@pytest.fixture
def run(tmp_path):
    """A copy of the demonstration's checkpoint, to break."""
    return Path(shutil.copytree(DEMO, tmp_path / "run"))


def change_config(run, **changes):
    file = run / "final_config.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | changes))


def change_state(run, change):
    file = run / "model_6000.pth"
    state = torch.load(file, weights_only=True)
    change(state)
    torch.save(state, file)


def problem(run):
    """The error; loading the model does not accept these files either."""
    with pytest.raises(InputError):
        load_model(run, device="cpu")
    with pytest.raises(InputError) as error:
        check_components(resolve_checkpoint(run))
    return str(error.value)


@pytest.mark.parametrize(
    "folder",
    [DEMO, CHECKPOINT, *(DATA / name for name in ("tms_5-2", "tms_5-2-idop", "tms_5-2-globalmlp"))],
    ids=str,
)
def test_modules_are_those_of_the_loaded_model(folder):
    model = load_model(folder, device="cpu")
    assert check_components(resolve_checkpoint(folder)) == dict(sorted(model.components_per_module.items()))


def _without(*beginnings):
    def change(state):
        for name in [name for name in state if name.startswith(beginnings)]:
            del state[name]

    return change


def _other_width(state):
    name = "_ci_fns.layers-0-mlp_in.layers.0.W"
    state[name] = state[name][:, :, :7].clone()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"module_info": [{"module_pattern": "layers.*.mlp_*", "C": 99}]},
            "final_config.yaml: module_info: layers.*.mlp_*: C: number of components differs from the checkpoint "
            "(found: 99; allowed: 100, as layers-0-mlp_in has in ",
        ),
        (
            {"module_info": [{"module_pattern": "layers.*.mlp_in", "C": 100}]},
            "model_6000.pth: _components.layers-0-mlp_out: components of a module that the configuration does "
            "not decompose (allowed: module_info in ",
        ),
        (
            {
                "module_info": [
                    {"module_pattern": "layers.*.mlp_*", "C": 100},
                    {"module_pattern": "layers.1.*", "C": 100},
                ]
            },
            "final_config.yaml: module_info: the checkpoint has no components of these modules (found: "
            "layers.1.*; allowed: modules of ",
        ),
        (
            {"identity_module_info": [{"module_pattern": "layers.0.mlp_in", "C": 5}]},
            "final_config.yaml: identity_module_info: the checkpoint has no components of these modules (found: "
            "layers.0.mlp_in;",
        ),
        (
            {"ci_fn_hidden_dims": [8]},
            "model_6000.pth: _ci_fns.layers-0-mlp_in.layers.0.W: shape does not match the configuration (found: "
            "(100, 1, 16); allowed: (100, 1, 8), as in ",
        ),
        (
            {"ci_fn_hidden_dims": [16, 16, 16]},
            "model_6000.pth: _ci_fns.layers-0-mlp_in.layers.2.W: shape does not match the configuration",
        ),
        (
            {"ci_fn_type": "vector_mlp"},
            "model_6000.pth: _ci_fns.layers-0-mlp_in.layers.0.W: shape does not match the configuration (found: "
            "(100, 1, 16); allowed: (100, 400, 16), as in ",
        ),
        (
            {"ci_fn_type": "shared_mlp"},
            "model_6000.pth: _ci_fns.layers-0-mlp_in.layers.0.W: shape does not match the configuration (found: "
            "(100, 1, 16); allowed: (400, 16), as in ",
        ),
        (
            {"ci_config": {"mode": "global", "fn_type": "global_shared_mlp", "hidden_dims": [4]}},
            "model_6000.pth: _global_ci_fn.*: no causal-importance function of this kind (allowed: "
            "global_shared_mlp, as in ",
        ),
    ],
)
def test_a_configuration_of_another_model_is_found(run, changes, says):
    change_config(run, **changes)
    assert says in problem(run)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            _without("_components."),
            "model_6000.pth: checkpoint has no components (allowed: a decomposed model)",
        ),
        (_other_width, "(found: (100, 1, 7); allowed: (100, 1, 16), as in "),
        (
            _without("_ci_fns.layers-0-mlp_out"),
            "model_6000.pth: _ci_fns.layers-0-mlp_out.layers.0.W: tensor is missing (allowed: (100, 1, 16), as",
        ),
    ],
)
def test_tensors_of_another_model_are_found(run, change, says):
    change_state(run, change)
    assert says in problem(run)


def test_the_demonstration_is_checked_without_torch():
    code = (
        "from spdclust.commands.cli import main\nassert main(['validate', 'config/pipelines/demo.yaml']) == 0"
    )
    assert "torch" not in imported_by(code)
