"""Histories of the reference implementation, read; and what is written for its readers, by their schemas."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError

from spdclust.commands.cli import main
from spdclust.config.merge import MergeConfig
from spdclust.config.reference_keys import MERGE_KEYS_OF_READERS
from spdclust.core.errors import InputError
from spdclust.files.histories import load_merge_history, save_merge_history
from spdclust.files.reference import VIEWERS, settings_for_reader
from spdclust.merge.history import MergeHistory

SCHEMAS = yaml.safe_load((Path(__file__).parents[1] / "data/reference/schemas.yaml").read_text())
LABELS = ["h.0.mlp:0", "h.0.mlp:1", "h.1.mlp:0", "h.1.mlp:3"]
PAIRS = np.array([[0, 2], [1, 2]])

SETTINGS = {
    "defaults": {},
    "range": {"merge_pair_sampling_kwargs": {"threshold": 0.0}, "iters": None},
    "mcmc": {"merge_pair_sampling_method": "mcmc"},
    "exp_rank": {"merge_pair_sampling_method": "exp_rank"},
    "scalar": {"activation_threshold": None, "filter_dead_stat": "mean"},
    "modules": {"module_name_filter": ["h.0.mlp", "h.1.mlp"]},
    "batches": {"recompute_costs_every": 5, "between_batches": "mask"},
    "above 1": {"activation_threshold": 2.5},
}
NOT_READ_BY_SPD = {
    "exp_rank": "merge_pair_sampling_method: a history that spd does not read (found: exp_rank; "
    "allowed: range, mcmc; or the reader param-decomp)",
    "above 1": "activation_threshold: a history that spd does not read (found: 2.5; "
    "allowed: 0 to 1, or null; or the reader param-decomp)",
}


def history(labels=LABELS, **settings):
    return MergeHistory(labels, PAIRS, np.array([2.0, 1.0]), np.array([-1.0, -1.0]), MergeConfig(**settings))


def as_their_reader_opens(path: Path, reader: str) -> dict:
    """Validate an archive as the reader does, and return what it reads."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in SCHEMAS["history_members"]}
        with archive.open("merge.group_idxs.npy") as stream:
            group_idxs = np.load(stream)
    metadata = json.loads(contents["metadata.json"])
    Draft202012Validator(SCHEMAS["histories"][reader]).validate(metadata)
    merge = metadata["merge_config"]
    arguments = SCHEMAS["sampler_arguments"][merge["merge_pair_sampling_method"]]
    assert list(merge["merge_pair_sampling_kwargs"]) == arguments
    return {
        "labels": contents["labels.txt"].decode().splitlines(),
        "group_idxs": group_idxs[: metadata["n_iters_current"]],
        "merge_config": merge,
    }


def write_theirs(path: Path, merge_config: dict) -> Path:
    """Write a history as the reference implementation does: rows are allocated and not all filled."""
    group_idxs = np.array([[0, 1, 0, 2], [0, 1, 0, 1], [-1] * 4], dtype=np.int16)
    arrays = {
        "merge.group_idxs": group_idxs,
        "merge.k_groups": np.array([3, 2, 0], dtype=np.int16),
        "selected_pairs": np.array([[2, 0], [1, 2], [-1, -1]], dtype=np.int16),
    }
    metadata = {"merge_config": merge_config, "c_components": 4, "n_iters_current": 2, "labels": LABELS}
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as stream:
                np.save(stream, array)
        archive.writestr("labels.txt", "\n".join(LABELS))
        archive.writestr("metadata.json", json.dumps(metadata))
    return path


OF_2025 = {
    "activation_threshold": 0.1,
    "alpha": 1.0,
    "iters": 3,
    "merge_pair_sampling_method": "range",
    "merge_pair_sampling_kwargs": {"threshold": 0.05},
    "pop_component_prob": 0,
    "filter_dead_threshold": 0.01,
    "module_name_filter": None,
    "rank_cost_fn_name": "const_1",
}


@pytest.mark.parametrize(
    "merge_config",
    [
        OF_2025,
        {key: value for key, value in OF_2025.items() if key != "pop_component_prob"},
        {"activation_threshold": 0.1, "check_threshold": 0.05, "pop_component_prob": 0.0},
        {"activation_threshold": 0.1, "recompute_costs_every": 4, "batch_size": 64},
        {"alpha": 10.0, "iters": 3, "merge_pair_sampling_kwargs": {"threshold": 0.05}},
    ],
)
def test_histories_of_every_version_are_read(tmp_path, merge_config):
    read = load_merge_history(write_theirs(tmp_path / "history.zip", merge_config))
    np.testing.assert_array_equal(read.group_idxs(0), [0, 1, 0, 2])
    np.testing.assert_array_equal(read.group_idxs(1), [0, 1, 0, 1])
    assert read.n_iterations == 2
    assert read.config.sampler_kwargs == {"threshold": 0.05}
    assert read.config.alpha == merge_config.get("alpha")  # None: not stated


@pytest.mark.parametrize("key", ["pop_component_prob", "rank_cost_fn_name"])
def test_a_history_of_another_merge_is_one_line(tmp_path, capsys, key):
    value = {"pop_component_prob": 0.1, "rank_cost_fn_name": "log"}[key]
    path = write_theirs(tmp_path / "history.zip", OF_2025 | {key: value})
    assert main(["inspect", str(path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"Error: {path}: metadata.json: merge_config: {key}: found {value!r} (allowed: ")


@pytest.mark.parametrize("reader", MERGE_KEYS_OF_READERS)
@pytest.mark.parametrize("kind", SETTINGS)
def test_an_exported_history_has_the_settings_that_its_reader_accepts(tmp_path, capsys, reader, kind):
    ours = history(**SETTINGS[kind])
    save_merge_history(ours, tmp_path / "history.zip", group_idxs=False)
    exported = tmp_path / "theirs.zip"
    done = main(["export", str(tmp_path / "history.zip"), "--for", reader, "--output", str(exported)])
    if reader == "spd" and kind in NOT_READ_BY_SPD:
        assert done == 1
        assert capsys.readouterr().err == f"Error: {tmp_path / 'history.zip'}: {NOT_READ_BY_SPD[kind]}\n"
        assert not exported.exists()
        return
    assert done == 0
    read = as_their_reader_opens(exported, reader)
    assert read["labels"] == LABELS
    np.testing.assert_array_equal(read["group_idxs"], [[0, 1, 0, 2], [0, 1, 0, 1]])
    assert (read["merge_config"]["alpha"], read["merge_config"]["iters"]) == (
        ours.config.alpha,
        ours.config.iters,
    )
    # nothing is lost for ourselves
    again = load_merge_history(exported)
    assert again.config.resolved() == ours.config.resolved()
    np.testing.assert_array_equal(again.mdl_loss, ours.mdl_loss)


def test_the_schemas_tell_the_readers_apart(tmp_path):
    """The newest reader rejects the histories that `spd` reads: as tried with their own code."""
    save_merge_history(history(), tmp_path / "history.zip", group_idxs=True)
    as_their_reader_opens(tmp_path / "history.zip", "spd")
    with pytest.raises(ValidationError, match="activation_threshold"):
        as_their_reader_opens(tmp_path / "history.zip", "param-decomp")


@pytest.mark.parametrize("separator", ["\u2028", "\x85", "\x0b", "\x0c"])
def test_labels_that_their_readers_would_split_are_one_line(tmp_path, capsys, separator):
    labels = [f"a{separator}b:0", *LABELS[1:]]
    save_merge_history(history(labels), tmp_path / "history.zip")
    arguments = ["export", str(tmp_path / "history.zip"), "--output", str(tmp_path / "out.zip")]
    for reader in MERGE_KEYS_OF_READERS:
        assert main([*arguments, "--for", reader]) == 1
        assert f"labels: a history that {reader} does not read" in capsys.readouterr().err
    assert main(arguments) == 0


@pytest.mark.parametrize("viewer", VIEWERS)
@pytest.mark.parametrize("options", [["--run", "1"], [], ["--cut", "groups_3"]])
def test_a_mapping_has_the_keys_of_its_viewer(tmp_path, viewer, options):
    folder = tmp_path / "model" / "demo"
    for run in range(2):
        save_merge_history(history(iters=None), folder / f"runs/run_{run}/history.zip")
    settings = {"model_path": "wandb:e/p/runs/s-12345678", "n_tokens": 8}
    (folder / "clustering_run_config.json").write_text(json.dumps(settings))
    output = tmp_path / "mapping.json"
    arguments = ["mapping", str(folder), "--viewer", viewer, "--output", str(output), *options]
    assert main(arguments) == 0
    content = json.loads(output.read_text())
    Draft202012Validator(SCHEMAS["mappings"][viewer]).validate(content)
    assert content.get("pd_run", content.get("spd_run")) == "e/p/s-12345678"
    row = content.get("n_iterations", content.get("iteration"))
    assert row == (0 if "groups_3" in options else 1)
    others = [schema for name, schema in SCHEMAS["mappings"].items() if name != viewer]
    assert not any(Draft202012Validator(schema).is_valid(content) for schema in others)


@pytest.mark.parametrize(
    "reader",
    [each for each in MERGE_KEYS_OF_READERS if "activation_threshold" in MERGE_KEYS_OF_READERS[each]],
)
def test_a_threshold_above_1_is_one_line(reader):
    for threshold in (0.0, 1.0, None):
        read = settings_for_reader({"activation_threshold": threshold}, ["a:0"], reader)
        assert read["activation_threshold"] == threshold
    with pytest.raises(InputError, match=r"^activation_threshold: a history that .* does not read"):
        settings_for_reader({"activation_threshold": 1.01}, ["a:0"], reader)
