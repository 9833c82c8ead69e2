"""Models through a function of the user's: the documented example, the reference's package, and what is wrong."""

import importlib.metadata
import re
import sys
import types
from typing import ClassVar

import numpy as np
import pytest
import torch
from forked_python import python
from language import CHECKPOINT, TOKENIZER, write_jsonl
from workflow import REPOSITORY

from spdclust.config.run import ClusteringRunConfig
from spdclust.core.errors import InputError
from spdclust.files.histories import load_merge_history
from spdclust.models import load_model
from spdclust.models.loader_names import function_of, loader_digest, model_files
from spdclust.models.plugin import PluginModel, load_plugin
from spdclust.models.reference import load as load_reference
from spdclust.models.sparse_rows import RowCollector
from spdclust.sampling.batch_sampling import load_run_model, process_data_batch, request_digest

BLOCK = re.compile(r"```(\w+)\n# ([\w.]+)\n(.*?)```|```bash\n(.*?)```", re.DOTALL)


class Model:
    """Three components in two modules, active by simple rules that the tests repeat by hand."""

    labels = ("a:0", "a:1", "b:0")

    def draw_inputs(self, n_samples, seed):
        return np.random.default_rng(seed).standard_normal((n_samples, 2)).astype(np.float32)

    def component_activations(self, inputs):
        return {"a": inputs.clamp(min=0), "b": (inputs.sum(dim=-1, keepdim=True) > 0).float()}


class TokenModel:
    labels = tuple(f"token:{i}" for i in range(512))
    task: ClassVar = {
        "name": "lm",
        "vocab_size": 512,
        "max_seq_len": 16,
        "tokenizer_name": TOKENIZER,
        "column_name": "story",
    }

    def component_activations(self, inputs, causal_importance):
        scale = {"lower_leaky": 1.0, "upper_leaky": 2.0}[causal_importance]
        return scale * torch.nn.functional.one_hot(inputs, 512)


@pytest.fixture
def loaders(monkeypatch):
    """A module of loaders that can be imported."""
    module = types.ModuleType("loaders_for_tests")
    module.load = lambda path, device: Model()
    module.tokens = lambda path, device: TokenModel()
    module.breaks = lambda path, device: 1 / 0
    module.number = 3
    monkeypatch.setitem(sys.modules, "loaders_for_tests", module)
    return module


def test_a_models_own_inputs_and_activations_become_batches(loaders):
    config = ClusteringRunConfig(loader="loaders_for_tests:load", n_tokens=20, batch_size=6)
    model = load_run_model(config)
    batch = process_data_batch(config, model, run=0, batch=3)
    inputs = Model().draw_inputs(20, 3)
    expected = np.column_stack([np.maximum(inputs, 0), inputs.sum(axis=1) > 0])
    np.testing.assert_array_equal(batch.matrix.toarray(), expected.astype(np.float32))
    assert batch.labels == list(Model.labels)
    assert batch.seed == 3


def test_a_task_reads_language_data(loaders, tmp_path):
    config = ClusteringRunConfig.model_validate(
        {
            "loader": "loaders_for_tests:tokens",
            "n_tokens": 30,
            "n_tokens_per_seq": 3,
            "causal_importance": "upper_leaky",
            "keep_examples": 100,
            "dataset": {"name": str(write_jsonl(tmp_path / "a.jsonl"))},
        }
    )
    batch = process_data_batch(config, load_run_model(config), run=0, batch=0)
    tokens = batch.examples.tokens[batch.examples.samples[:, 0], batch.examples.samples[:, 1]]
    np.testing.assert_array_equal(batch.matrix.toarray(), 2.0 * (tokens[:, None] == np.arange(512)))


def test_a_task_draws_sequences_of_an_induction_transformer(monkeypatch, loaders):
    task = {"name": "induction_head", "vocab_size": 512, "seq_len": 8, "prefix_window": 3}
    monkeypatch.setattr(TokenModel, "task", task)
    settings = {"loader": "loaders_for_tests:tokens", "batch_size": 5, "keep_examples": 5}
    config = ClusteringRunConfig.model_validate(settings)
    batch = process_data_batch(config, load_run_model(config), run=0, batch=0)
    tokens = batch.examples.tokens
    assert tokens.shape == (5, 8)
    assert (tokens[:, 0] == 0).all()
    assert (tokens[:, 7] == 511).all()
    np.testing.assert_array_equal(batch.matrix.toarray(), tokens.reshape(-1, 1) == np.arange(512))


def broken(**changed):
    return type("Broken", (Model,), changed)()


BAD = {
    "no labels": (type("No", (), {"component_activations": None})(), "labels: model lacks an attribute"),
    "no activations": (type("No", (), {"labels": []})(), "component_activations: model lacks an attribute"),
    "no inputs": (broken(draw_inputs=None), r"task: model does not define its inputs"),
    "task": (broken(task=3), r"task: not a task \(found: int"),
    "task key": (broken(task={"name": "tms", "n_features": 0, "feature_probability": 1}), "n_features"),
    "labels too few": (broken(labels=["a:0"]), r"does not match the labels \(found: 3 columns; allowed: 1 columns"),
    "labels differ": (broken(labels=["a:0", "b:0", "a:1"]), r"does not match the labels \(found: a:1; allowed: b:0\)"),
    "nan": (broken(component_activations=lambda self, inputs: {"a": inputs * float("nan"), "b": inputs[:, :1]}), "a:0: causal importance is NaN"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_models_are_one_line(case):
    model, message = BAD[case]
    with pytest.raises(InputError, match=message) as caught:
        plugin = PluginModel(model, "mine", "")
        plugin.collect_rows(RowCollector(len(plugin.labels)), np.ones((2, 2), dtype=np.float32))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("mine")


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        ("nowhere", r"loader: no such loader \(found: nowhere; allowed: package.module:function, spd"),
        ("no_such_module:load", r"loader: cannot be imported \(found: no_such_module:load: No module"),
        ("loaders_for_tests:missing", "loader: no such function"),
        ("loaders_for_tests:number", "loader: no such function"),
        ("loaders_for_tests:breaks", r"loader: loader failed \(found: ZeroDivisionError: division by zero"),
        ("spd", "the reference implementation's package is not installed"),
    ],
)
def test_bad_loaders_are_one_line(loaders, loader, message):
    with pytest.raises(InputError, match=message):
        load_plugin(loader, "x", "cpu")


def test_too_few_inputs_are_one_line(loaders):
    loaders.load = lambda path, device: broken(
        draw_inputs=lambda self, n, seed: np.ones((n - 1, 2), np.float32)
    )
    config = ClusteringRunConfig(loader="loaders_for_tests:load", n_tokens=20)
    with pytest.raises(
        InputError, match=r"n_tokens: too few inputs for a batch \(found: 19 samples; allowed: 20"
    ):
        process_data_batch(config, load_run_model(config), run=0, batch=0)


def test_registered_names_are_found(loaders, monkeypatch):
    point = importlib.metadata.EntryPoint("mine", "loaders_for_tests:load", "spdclust.models")
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group: [point] if group == "spdclust.models" else []
    )
    assert function_of("mine") == "loaders_for_tests:load"
    assert load_plugin("mine", None, "cpu").labels == list(Model.labels)


def test_batches_are_asked_for_anew_when_the_loaders_code_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("def load(path, device): ...\n")
    config = ClusteringRunConfig(loader="mine:load")
    before = loader_digest("mine:load"), request_digest(config, 0, "")
    assert (loader_digest("mine:load"), request_digest(config, 0, "")) == before
    (tmp_path / "mine.py").write_text("def load(path, device): return None\n")
    assert loader_digest("mine:load") != before[0]
    assert request_digest(config, 0, "") != before[1]


def test_weights_that_change_change_the_digest(loaders, tmp_path):
    (tmp_path / "w").write_bytes(b"1")
    assert model_files("loaders_for_tests:load", str(tmp_path)) == [str(tmp_path / "w")]
    before = load_plugin("loaders_for_tests:load", str(tmp_path), "cpu").digest
    assert load_plugin("loaders_for_tests:load", str(tmp_path), "cpu").digest == before
    (tmp_path / "w").write_bytes(b"2")
    assert load_plugin("loaders_for_tests:load", str(tmp_path), "cpu").digest != before


def test_the_documented_example_works_when_copied(tmp_path):
    page = (REPOSITORY / "docs" / "loaders.md").read_text()
    for _, name, text, commands in BLOCK.findall(page):
        if name:
            (tmp_path / name).write_text(text)
        if name == "make_weights.py":
            assert python(name, cwd=tmp_path).returncode == 0
        for command in commands.splitlines():
            done = python("-m", "spdclust.commands.cli", *command.split()[1:], cwd=tmp_path)
            assert done.returncode == 0, done.stderr
    history = load_merge_history(tmp_path / "by_hand" / "history.zip")
    assert history.labels == [f"weights:{i}" for i in range(8)]
    assert history.n_iterations == 4


@pytest.fixture
def spd(monkeypatch):
    """A stand-in for the reference's package, with its interface, that computes with ours."""

    class ComponentModel(torch.nn.Module):
        def __init__(self, path):
            super().__init__()
            self.ours = load_model(path, device="cpu")
            self.target_model = torch.nn.Embedding(512, 2)
            if "resid" in str(path):
                self.target_model.config = types.SimpleNamespace(n_features=100)

        @classmethod
        def from_pretrained(cls, path):
            return cls(path)

        def forward(self, batch, cache_type):
            assert cache_type == "input"
            return types.SimpleNamespace(cache=batch)

        def calc_causal_importances(self, pre_weight_acts, sampling, detach_inputs):
            assert sampling == "continuous"
            kinds = ("lower_leaky", "upper_leaky")
            return types.SimpleNamespace(
                **{kind: self.ours.component_activations(pre_weight_acts, kind) for kind in kinds}
            )

    for name in ("spd", "spd.models", "spd.models.component_model"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules["spd.models.component_model"].ComponentModel = ComponentModel


@pytest.mark.parametrize("folder", ["resources/resid_mlp1", CHECKPOINT])
def test_the_references_package_is_used_when_it_is_installed(spd, folder, tmp_path):
    dataset = {"name": str(write_jsonl(tmp_path / "a.jsonl"))}
    settings = {
        "model_path": folder,
        "n_tokens": 50,
        "device": "cpu",
        "dataset": dataset,
        "causal_importance": "upper_leaky",
    }
    own, theirs = (ClusteringRunConfig.model_validate(settings | extra) for extra in ({}, {"loader": "spd"}))
    expected = process_data_batch(own, load_run_model(own), run=0, batch=0)
    found = process_data_batch(theirs, load_run_model(theirs), run=0, batch=0)
    np.testing.assert_array_equal(found.matrix.toarray(), expected.matrix.toarray())
    assert found.labels == expected.labels
    with pytest.raises(InputError, match="model_path: no model"):
        load_reference(None, "cpu")
