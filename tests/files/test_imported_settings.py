"""Settings that an imported history does not state are unknown everywhere; they can be given on import."""

import json
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from formats import make_reference_history, npy_bytes, zip_bytes

from spdclust import (
    InputError,
    MergeHistoryEnsemble,
    ProcessedActivations,
    find_groups,
    load_merge_histories,
)
from spdclust.commands.cli import main
from spdclust.example_ensemble import example_history
from spdclust.explorer.collecting import collect
from spdclust.files.histories import load_merge_history, save_merge_history
from spdclust.files.reference import give_settings
from spdclust.merge.inspection import describe_history
from spdclust.partitions.ensemble import normalize_ensemble
from spdclust.stability.analysis import find_cut

UNKNOWN = ("activation_threshold", "filter_dead_threshold", "module_name_filter")
"""What the newest reference sets when it harvests activations, not when it merges: its histories lack it."""


def write_newest(folder: Path, **stated: object) -> Path:
    """Rewrite a history of the reference with the keys of its newest version."""
    folder.mkdir(exist_ok=True)
    older = make_reference_history(folder)
    with zipfile.ZipFile(older) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    metadata = json.loads(dict(members)["metadata.json"])
    settings = {"alpha": 10.0, "iters": 100, "merge_pair_sampling_method": "range"}
    settings |= {"merge_pair_sampling_kwargs": {"threshold": 0.001}}
    metadata["merge_config"] = settings | stated
    replaced = json.dumps(metadata).encode()
    parts = [(name, replaced if name == "metadata.json" else content) for name, content in members]
    older.write_bytes(zip_bytes(parts))
    return older


@pytest.fixture
def theirs(tmp_path: Path) -> list[str]:
    return [str(write_newest(tmp_path / f"theirs_{run}").rename(tmp_path / f"{run}.zip")) for run in range(2)]


@pytest.fixture(autouse=True)
def no_warnings() -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # pydantic's, of values that are not of the declared type
        yield


def test_what_is_not_stated_is_none_and_what_is_stated_is_kept(tmp_path: Path) -> None:
    history = load_merge_history(write_newest(tmp_path))
    assert history.not_stated == UNKNOWN
    assert [getattr(history.config, name) for name in UNKNOWN] == [None] * 3
    assert (history.config.alpha, history.config.iters) == (10.0, 100)
    assert {name: history.settings()[name] for name in UNKNOWN} == dict.fromkeys(UNKNOWN)
    assert not history.is_scalar


def test_an_older_history_states_all(tmp_path: Path) -> None:
    history = load_merge_history(make_reference_history(tmp_path))
    assert history.not_stated == ()
    assert history.provenance == {"source": "reference implementation"}
    assert history.config.activation_threshold == 0.01


def test_scalar_activations_that_are_stated_stay_scalar(tmp_path: Path) -> None:
    history = load_merge_history(write_newest(tmp_path, activation_threshold=None))
    assert history.not_stated == UNKNOWN[1:]
    assert history.is_scalar


def test_unknown_settings_survive_saving_and_stay_out_of_what_the_reference_reads(tmp_path: Path) -> None:
    history = load_merge_history(write_newest(tmp_path))
    save_merge_history(history, tmp_path / "ours.zip")
    again = load_merge_history(tmp_path / "ours.zip")
    assert again.not_stated == UNKNOWN
    assert again.settings() == history.settings()
    with zipfile.ZipFile(tmp_path / "ours.zip") as archive:
        metadata = json.loads(archive.read("metadata.json"))
    assert set(metadata["merge_config"]).isdisjoint(UNKNOWN)
    assert metadata["spdclust"]["merge_config"]["activation_threshold"] is None


def test_missing_samplers_are_unknown_too(tmp_path: Path) -> None:
    path = write_newest(tmp_path)
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist() if name != "metadata.json"]
    metadata = {"merge_config": {}, "n_iters_current": 4}
    path.write_bytes(zip_bytes([*members, ("metadata.json", json.dumps(metadata).encode())]))
    history = load_merge_history(path)
    assert history.settings()["merge_pair_sampling_method"] is None
    assert history.settings()["alpha"] is None
    assert npy_bytes(history.selected_pairs)


def test_import_records_unknown_settings_and_says_so(
    theirs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "imported/theirs"
    assert main(["import", *theirs, "--output", str(folder)]) == 0
    assert (
        "not stated by the histories, recorded as unknown: activation_threshold, filter"
        in capsys.readouterr().out
    )
    history = load_merge_histories(folder)[0]
    assert history.not_stated == UNKNOWN
    assert "settings that the source does not state: activation_threshold, fil" in describe_history(history)
    # every later step works, and the page says what is not stated
    for command in ("stability", "groups", "explorer", "merge-array"):
        assert main([command, str(folder)]) == 0
    assert json.loads((folder / "groups.json").read_text())["warnings"]


def test_settings_can_be_given_on_import(theirs: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "imported/theirs"
    given = ["--setting", "activation_threshold=1e-1", "--setting", "module_name_filter=null"]
    assert main(["import", *theirs, "--output", str(folder), *given]) == 0
    for history in load_merge_histories(folder):
        assert history.config.activation_threshold == 0.1
        assert history.not_stated == ("filter_dead_threshold",)
        assert history.provenance["given_on_import"] == ["activation_threshold", "module_name_filter"]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("alpha=1", "0.zip: merge_config.alpha: the history states another value (found: 1.0; allowed: 10.0; not stated: activation_threshold, "),
        ("alpah=1", "0.zip: alpah: unknown key (allowed: alpha)"),
        ("activation_threshold=-1", "0.zip: activation_threshold: not allowed (found: -1; allowed: "),
        ("activation_threshold", "--setting: no value (found: activation_threshold; allowed: KEY=VALUE)"),
        ("activation_threshold=[", "--setting: activation_threshold: not a value (found: "),
    ],
)  # fmt: skip
def test_wrong_settings_are_one_line_and_nothing_is_written(
    theirs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], setting: str, said: str
) -> None:
    assert main(["import", *theirs, "--output", str(tmp_path / "out"), "--setting", setting]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error
    assert not (tmp_path / "out").exists()


def test_an_import_does_not_join_runs_that_are_there(
    theirs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    for _ in range(2):  # the same number of runs replaces them
        assert main(["import", *theirs, "--output", str(folder)]) == 0
    assert main(["import", theirs[0], "--output", str(folder)]) == 1
    assert (
        "out/runs/run_1: would become part of the ensemble (allowed: a new --output)"
        in capsys.readouterr().err
    )
    assert main(["import", *theirs, theirs[0], "--output", str(folder)]) == 1
    assert "0.zip: given twice (allowed: each history once)" in capsys.readouterr().err


def test_a_setting_that_is_stated_with_this_value_changes_nothing(tmp_path: Path) -> None:
    history = load_merge_history(write_newest(tmp_path))
    same = give_settings(history, {"alpha": 10})
    assert (same.not_stated, same.provenance) == (history.not_stated, history.provenance)


def test_messages_tell_unknown_thresholds_from_scalar_activations(tmp_path: Path) -> None:
    unknown = load_merge_history(write_newest(tmp_path / "a"))
    scalar = load_merge_history(write_newest(tmp_path / "b", activation_threshold=None))
    with pytest.raises(InputError, match="the history holds no description length"):
        unknown.best_iteration()
    with pytest.raises(InputError, match="scalar activations"):
        scalar.best_iteration()
    normalized = normalize_ensemble([unknown, unknown])
    assert collect(MergeHistoryEnsemble([unknown]), name="a").header["not_stated"] == list(UNKNOWN)
    assert "not_stated" not in collect(MergeHistoryEnsemble([example_history()]), name="a").header
    with pytest.raises(InputError, match="the histories have no description lengths"):
        find_cut(normalized, "least_mdl")
    assert normalized.metadata()["config"]["activation_threshold"] is None
    with pytest.raises(
        InputError, match=r"activation_threshold: .* \(found: null; allowed: not stated, as in the f"
    ):
        find_groups([unknown, scalar])
    acts = [ProcessedActivations.from_dense(np.ones((20, 6)), unknown.labels)] * 2
    warned = find_groups([unknown, unknown], acts, n_null=0).warnings
    assert any("do not state the activation threshold of the merge" in line for line in warned)
    assert not any("scalar" in line for line in warned)
