"""Runs on W&B: their paths, and one download through the real client from a server on this machine."""

import socket
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from language import CHECKPOINT
from wandb_server import WandbServer
from workflow import RUN, Workflow

from spdclust.config.run import ClusteringRunConfig
from spdclust.core.errors import InputError
from spdclust.models import load_model
from spdclust.models.checkpoint import resolve_checkpoint
from spdclust.models.wandb_files import WandbRun, parse_wandb_path
from spdclust.sampling.estimate import estimate

ID = "s-62fce8c4"


@pytest.mark.parametrize("run_id", ["s-38e1a3e2", "zxbu57pt", "5cr21lbs", "t-0123abcd"])
@pytest.mark.parametrize(
    "form",
    ["wandb:goodfire/spd/runs/{}", "wandb:goodfire/spd/{}", "goodfire/spd/runs/{}", "goodfire/spd/{}",
     "https://wandb.ai/goodfire/spd/runs/{}", "https://wandb.ai/goodfire/spd/runs/{}/overview?x=1", " wandb:goodfire/spd/{}/ "],
)  # fmt: skip
def test_every_form_of_a_path_means_the_same_run(form, run_id):
    assert parse_wandb_path(form.format(run_id)) == WandbRun("goodfire", "spd", run_id)


@pytest.mark.parametrize(
    "path", ["resources/resid_mlp1", "/a/b/12345678", "../target/x", "a/b/model_100.pth", "a/b/short", "12345678", "a/b/c/d/12345678"]
)  # fmt: skip
def test_local_paths_are_no_runs(path):
    assert parse_wandb_path(path) is None


def test_a_folder_that_is_there_is_no_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_wandb_path("a/b/abcd1234") is not None
    (tmp_path / "a" / "b" / "abcd1234").mkdir(parents=True)
    assert parse_wandb_path("a/b/abcd1234") is None


@pytest.mark.parametrize(
    "path", ["wandb:", "wandb:a", "wandb:a/b", "wandb:a/b/c/d", "wandb:a/../c", "wandb:../../x"]
)
def test_malformed_paths_are_one_line(path):
    with pytest.raises(
        InputError, match=r"model_path: not a W&B run \(found: wandb:.*allowed: wandb:entity/project/run_id"
    ):
        parse_wandb_path(path)


@pytest.fixture(scope="module")
def wandb_server():
    server = WandbServer()
    patch = pytest.MonkeyPatch()
    patch.setenv("WANDB_BASE_URL", server.url)
    patch.setenv("WANDB_API_KEY", "0" * 40)
    patch.setenv("WANDB_SILENT", "true")
    yield server
    patch.undo()
    server.close()


@pytest.fixture
def server(wandb_server, monkeypatch, tmp_path):
    monkeypatch.setenv("SPDCLUST_CACHE", str(tmp_path / "cache"))
    wandb_server.runs, wandb_server.asked, wandb_server.served = {}, [], []
    wandb_server.announced = {}
    folder = Path("resources/resid_mlp1")
    names = ("final_config.yaml", "resid_mlp_train_config.yaml", "model_6000.pth")
    files = {name: (folder / name).read_bytes() for name in names}
    extra = {
        "model_10.pth": b"old",
        "config.yaml": b"{}",
        "output.log": b"log",
        "label_coeffs.json": b"[]",
        "a/b.txt": b"",
    }
    wandb_server.runs[f"goodfire/spd/{ID}"] = extra | files
    return wandb_server


def cached(tmp_path):
    folder = WandbRun("goodfire", "spd", ID).cache_folder
    assert folder.is_relative_to(tmp_path / "cache")
    return sorted(path.name for path in folder.iterdir())


def test_a_run_is_downloaded_once_and_loads(server, tmp_path, monkeypatch):
    config = ClusteringRunConfig(experiment_key="resid_mlp1")
    assert estimate(config).n_components is None
    model = load_model(config.model_source, device="cpu")
    assert model.n_components == 200
    assert cached(tmp_path) == [
        "final_config.yaml",
        "label_coeffs.json",
        "model_6000.pth",
        "resid_mlp_train_config.yaml",
    ]
    local = load_model("resources/resid_mlp1", device="cpu").component_activations(np.eye(100))
    for name, activations in model.component_activations(np.eye(100)).items():
        np.testing.assert_array_equal(activations, local[name])
    assert sorted(name.split("/")[-1] for name in server.served) == cached(tmp_path)
    # from now on nothing is asked of anyone: no server, no credentials, not even the library
    server.asked.clear()
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setitem(sys.modules, "wandb", None)
    for form in (f"wandb:goodfire/spd/{ID}", f"goodfire/spd/runs/{ID}"):
        assert resolve_checkpoint(form).weights.name == "model_6000.pth"
    assert estimate(config).n_components == 200
    assert server.asked == []


def test_the_target_model_of_a_run_is_found_in_its_own_run(server, tmp_path):
    files = {path.name: path.read_bytes() for path in Path(CHECKPOINT).iterdir()}
    settings = yaml.safe_load(files["final_config.yaml"])
    settings["pretrained_model_name"] = "wandb:goodfire/pretrain/runs/t-0123abcd"
    server.runs["goodfire/spd/s-0000aaaa"] = files | {"final_config.yaml": yaml.safe_dump(settings).encode()}
    target = Path(CHECKPOINT).parent / "target" / "model_config.yaml"
    server.runs["goodfire/pretrain/t-0123abcd"] = {
        "model_config.yaml": target.read_bytes(),
        "old/model_config.yaml": b"not this one",
        "checkpoints/model_step_2499.pt": b"large",
    }
    model = load_model("wandb:goodfire/spd/s-0000aaaa", device="cpu")
    assert model.n_components == 1240
    assert "goodfire/pretrain/t-0123abcd/model_config.yaml" in server.served
    assert not [name for name in server.served if name.endswith(".pt")]


def half_sent(server):
    server.announced["model_6000.pth"] = 10**7


def gone(server):
    server.runs.clear()


def no_weights(server):
    del server.runs[f"goodfire/spd/{ID}"]["model_6000.pth"], server.runs[f"goodfire/spd/{ID}"]["model_10.pth"]


def no_configuration(server):
    del server.runs[f"goodfire/spd/{ID}"]["final_config.yaml"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (gone, r"model_path: cannot be downloaded \(found: .*; allowed: wandb:entity/project/run_id"),
        (no_weights, r"model_<step>\.pth: not a decomposition run: files are missing"),
        (no_configuration, r"final_config\.yaml: not a decomposition run: files are missing"),
        (half_sent, r"cannot be downloaded \(found: .*model_6000\.pth"),
    ],
)
def test_what_goes_wrong_is_one_line_and_leaves_nothing(server, tmp_path, spoil, message):
    spoil(server)
    with pytest.raises(InputError, match=message) as caught:
        resolve_checkpoint(f"wandb:goodfire/spd/{ID}")
    assert str(caught.value).startswith(f"wandb:goodfire/spd/{ID}: ")
    assert "\n" not in str(caught.value)
    assert [path.name for path in WandbRun("goodfire", "spd", ID).cache_folder.parent.iterdir()] == [
        f".{ID}.lock"
    ]


def test_a_download_that_was_killed_is_taken_up_anew(server, tmp_path):
    parent = WandbRun("goodfire", "spd", ID).cache_folder.parent
    dead = parent / f".{ID}.tmp-{socket.gethostname()}-999999999-0"
    dead.mkdir(parents=True)
    (dead / "model_6000.pth").write_bytes(b"half")
    resolve_checkpoint(f"wandb:goodfire/spd/{ID}")
    assert not dead.exists()
    assert "model_6000.pth" in cached(tmp_path)


def test_without_credentials_it_is_one_line(server, monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))

    def refuse(*_, **__):
        raise RuntimeError("No API key configured. Use `wandb login` to log in.")

    import wandb

    monkeypatch.setattr(wandb.Api, "_load_auth", refuse)
    with pytest.raises(
        InputError, match=r"found: RuntimeError: No API key configured.*`wandb login` gives access to"
    ):
        resolve_checkpoint(f"wandb:goodfire/spd/{ID}")


def test_a_cache_that_cannot_be_written_is_one_line(server, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPDCLUST_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"cannot write .*SPDCLUST_CACHE"):
        resolve_checkpoint(f"wandb:goodfire/spd/{ID}")


def test_planning_a_workflow_downloads_nothing(server, tmp_path):
    workflow = Workflow.create(tmp_path / "w")
    workflow.write(
        "config/runs/small.yaml",
        {key: value for key, value in RUN.items() if key != "model_path"} | {"experiment_key": "resid_mlp1"},
    )
    assert workflow.due("batches") == {"precompute_batches": 2, "batches": 1}
    assert server.asked == []
    assert list((tmp_path / "cache").glob("wandb*")) == []
