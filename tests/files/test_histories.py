import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError
from spdclust.files.ensemble_folder import common_folder
from spdclust.files.histories import load_merge_histories, load_merge_history, save_merge_history
from spdclust.files.tables import load_columns, save_metrics
from spdclust.merge.history import MergeHistory


def random_history(n_components, n_merges, seed=0, **config):
    rng = np.random.default_rng(seed)
    pairs = np.array(
        [np.sort(rng.choice(n_components - t, 2, replace=False)) for t in range(n_merges)], dtype=np.int64
    ).reshape(n_merges, 2)
    return MergeHistory(
        labels=[f"m.{i % 3}:{i}" for i in range(n_components)],
        selected_pairs=pairs,
        mdl_loss=rng.normal(size=n_merges),
        merge_pair_cost=rng.normal(size=n_merges),
        config=MergeConfig(**config),
        records={"cost_gap": rng.normal(size=n_merges)},
        provenance={"seed": [0, seed]},
    )


def test_a_history_comes_back_whole(tmp_path):
    history = random_history(12, 9, module_name_filter=["m.0", "m.1"], alpha=3)
    save_merge_history(history, tmp_path / "history.zip")
    loaded = load_merge_history(tmp_path / "history.zip")
    assert loaded.labels == history.labels
    assert loaded.config.resolved() == history.config.resolved()
    assert loaded.provenance == history.provenance
    for name in ("selected_pairs", "mdl_loss", "merge_pair_cost", "k_groups"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(history, name))
    np.testing.assert_array_equal(loaded.records["cost_gap"], history.records["cost_gap"])


def test_the_same_history_gives_the_same_bytes(tmp_path):
    for name in ("a.zip", "b.zip"):
        save_merge_history(random_history(10, 5), tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


@settings(deadline=None, max_examples=25)
@given(n_components=st.integers(2, 30), seed=st.integers(0, 99), data=st.data())
def test_the_reference_members_hold_every_grouping(tmp_path_factory, n_components, seed, data):
    n_merges = data.draw(st.integers(1, n_components - 1))
    history = random_history(n_components, n_merges, seed)
    path = tmp_path_factory.mktemp("histories") / "history.zip"
    save_merge_history(history, path)
    with zipfile.ZipFile(path) as archive:
        with archive.open("merge.group_idxs.npy") as stream:
            stored = np.load(stream)
        with archive.open("merge.k_groups.npy") as stream:
            k_groups = np.load(stream)
        metadata = json.loads(archive.read("metadata.json"))
        assert archive.read("labels.txt").decode().split("\n") == history.labels
    # brute force: carry the whole grouping from merge to merge
    groups = [[component] for component in range(n_components)]
    for t, (i, j) in enumerate(history.selected_pairs):
        groups[i] += groups.pop(j)
        for number, members in enumerate(groups):
            assert (stored[t, members] == number).all()
        assert k_groups[t] == len(groups)
        np.testing.assert_array_equal(stored[t], history.group_idxs(t))
    assert metadata["c_components"] == n_components
    assert metadata["n_iters_current"] == n_merges
    assert set(metadata["merge_config"]) == {
        "activation_threshold",
        "alpha",
        "iters",
        "merge_pair_sampling_method",
        "merge_pair_sampling_kwargs",
        "filter_dead_threshold",
        "module_name_filter",
    }


def test_group_numbers_above_16_bits_are_kept(tmp_path):
    history = random_history(40_000, 3)
    save_merge_history(history, tmp_path / "history.zip")
    with zipfile.ZipFile(tmp_path / "history.zip") as archive, archive.open("merge.group_idxs.npy") as stream:
        stored = np.load(stream)
    assert stored.max(axis=1).tolist() == [39_998, 39_997, 39_996]


def test_a_large_group_array_is_left_out_and_rebuilt(tmp_path):
    history = random_history(50, 40)
    save_merge_history(history, tmp_path / "history.zip", group_idxs=False)
    with zipfile.ZipFile(tmp_path / "history.zip") as archive:
        assert "merge.group_idxs.npy" not in archive.namelist()
    loaded = load_merge_history(tmp_path / "history.zip")
    np.testing.assert_array_equal(loaded.group_idxs(-1), history.group_idxs(-1))


def test_histories_of_the_reference_are_read_without_unfilled_rows(oracle):
    folder = oracle / "ensemble_resid_mlp1-shared_iters_none"
    history = load_merge_history(folder / "history_0.zip")
    told = json.loads((folder / "history_0.json").read_text())
    assert history.n_iterations == told["n_iters_run"]
    assert history.k_groups[-1] == 3
    with zipfile.ZipFile(folder / "history_0.zip") as archive, archive.open("merge.group_idxs.npy") as stream:
        stored = np.load(stream)
    for t in (0, 10, history.n_iterations - 1):
        np.testing.assert_array_equal(history.group_idxs(t), stored[t])


def test_an_ensemble_is_read_in_numeric_order(tmp_path):
    for run in (0, 2, 10):
        save_merge_history(random_history(6, 2, seed=run), tmp_path / f"runs/run_{run}/history.zip")
    seeds = [history.provenance["seed"][1] for history in load_merge_histories(tmp_path)]
    assert seeds == [0, 2, 10]


def test_histories_may_be_named_from_here_and_from_the_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for run in range(2):
        save_merge_history(random_history(20, 5, seed=run), tmp_path / f"a/runs/run_{run}/history.zip")
    paths = [tmp_path / "a/runs/run_0/history.zip", Path("a/runs/run_1/history.zip")]
    assert common_folder(paths) == tmp_path / "a"
    assert len(load_merge_histories(paths)) == 2


@pytest.mark.parametrize("keep", [0, 20, 300, 1000, -10])
def test_a_truncated_history_is_refused_in_one_line(tmp_path, keep):
    path = tmp_path / "history.zip"
    save_merge_history(random_history(10, 5), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"history\.zip: not a readable history\.zip") as caught:
        load_merge_history(path)
    assert "\n" not in str(caught.value)


def test_pairs_that_cannot_have_been_merged_are_refused(tmp_path):
    history = random_history(5, 2)
    history.selected_pairs[1] = [0, 4]
    with pytest.raises(InputError, match=r"selected_pairs\[1\]: pair names a group that does not exist"):
        save_merge_history(history, tmp_path / "a.zip", group_idxs=False)
        load_merge_history(tmp_path / "a.zip")


def test_changed_numbers_are_noticed(tmp_path):
    path = tmp_path / "history.zip"
    save_merge_history(random_history(10, 5), path)
    members = {}
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["mdl_loss.npy"] = members["mdl_loss.npy"][:-1] + b"\x01"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(InputError, match="checksum does not match"):
        load_merge_history(path)


@pytest.mark.parametrize("name", ["mdl_loss", "merge_pair_cost", "cost_gap"])
def test_an_infinity_is_not_a_number_of_a_merge(tmp_path, name):
    history = random_history(6, 3)
    (history.records[name] if name in history.records else getattr(history, name))[1] = np.inf
    save_merge_history(history, tmp_path / "history.zip")
    with pytest.raises(
        InputError, match=rf"{name}\.npy: not one number per merge \(found: float64 an infinity"
    ):
        load_merge_history(tmp_path / "history.zip")


def test_metrics_have_a_row_for_each_merge_and_a_column_for_each_record(tmp_path):
    history = random_history(6, 3)
    save_metrics(history, tmp_path / "metrics.csv")
    columns = load_columns(tmp_path / "metrics.csv")
    known = {"iteration": [0, 1, 2], "merges": [1, 2, 3], "k_groups": [5, 4, 3]}
    known |= dict(zip(("group_0", "group_1"), history.selected_pairs.T, strict=True))
    known |= {"mdl_loss": history.mdl_loss, "merge_pair_cost": history.merge_pair_cost}
    known |= {"cost_gap": history.records["cost_gap"]}
    assert set(columns) == set(known)
    for name, column in known.items():
        np.testing.assert_array_equal(columns[name], column)


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,0.1\nnan,-2e300\n",
        "a,b\n1,0.1\nnan,-2e300",
        "a,b\r\n1,0.1\r\nnan,-2e300\r\n",
        'a,"b"\n"1",0.1\n nan,-2e300\n',
    ],
)
def test_a_table_of_numbers_is_the_same_however_it_is_written(text, tmp_path):
    (tmp_path / "t.csv").write_text(text, newline="")
    columns = load_columns(tmp_path / "t.csv")
    np.testing.assert_array_equal(columns["a"], [1, np.nan])
    np.testing.assert_array_equal(columns["b"], [0.1, -2e300])


@pytest.mark.parametrize("text", ["a,b\n1,2\n3\n", "a,b\n1,2\n\n3,4\n", "a,b\n1,2,3\n4\n", "a\nx\n", "a\n\n"])
def test_what_is_no_table_of_numbers_is_refused(text, tmp_path):
    (tmp_path / "t.csv").write_text(text, newline="")
    with pytest.raises(InputError, match="not a table of numbers"):
        load_columns(tmp_path / "t.csv")


def test_a_missing_history_says_so(tmp_path):
    with pytest.raises(InputError, match=r"no such file \(allowed: a history\.zip\)"):
        load_merge_history(tmp_path / "history.zip")
    with pytest.raises(InputError, match="no histories"):
        load_merge_histories(tmp_path)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_a_history_of_another_format_version_is_one_line(tmp_path, version):
    path = tmp_path / "history.zip"
    save_merge_history(random_history(6, 3), path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    metadata = json.loads(members["metadata.json"])
    assert metadata["spdclust"]["format_version"] == 1
    metadata["spdclust"]["format_version"] = version
    members["metadata.json"] = json.dumps(metadata).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(InputError, match=r"spdclust\.format_version: unknown format version .*allowed: 1\)"):
        load_merge_history(path)
