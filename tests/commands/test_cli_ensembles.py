"""Subcommands on histories and ensembles: what they write, and what bad input says."""

import csv
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from new_interpreter import imported_by
from scipy.cluster.hierarchy import fcluster

from spdclust.commands.cli import main
from spdclust.config.merge import MergeConfig
from spdclust.config.pipeline import ClusteringPipelineConfig
from spdclust.example_ensemble import write_example_ensemble
from spdclust.files.ensembles import load_distance_rows, load_distances
from spdclust.files.histories import load_merge_histories, load_merge_history, save_merge_history
from spdclust.files.stability import load_coclustering
from spdclust.merge.history import MergeHistory
from spdclust.partitions.distances import compute_distances
from spdclust.partitions.ensemble import normalize_ensemble
from spdclust.pipeline import cluster_analysis_pipeline
from spdclust.stability.analysis import analyze_stability

LABELS = [f"m.a:{i}" for i in range(6)] + [f"m.b:{i}" for i in range(6)]


def history(seed=0, labels=LABELS, n_merges=9, mdl=True, **settings):
    rng = np.random.default_rng(seed)
    pairs = np.array([rng.choice(len(labels) - t, 2, replace=False) for t in range(n_merges)])
    return MergeHistory(
        list(labels),
        np.sort(pairs.reshape(-1, 2).astype(np.int64), axis=1),
        rng.random(n_merges) if mdl else np.full(n_merges, np.nan),
        rng.random(n_merges),
        MergeConfig(iters=None, **settings),
        provenance={"batches": ["d"], "spdclust": "0.1.0"},
    )


def save(folder, *histories):
    for run, each in enumerate(histories):
        save_merge_history(each, folder / "runs" / f"run_{run}" / "history.zip")
    return folder


@pytest.fixture
def ensemble(tmp_path):
    return save(tmp_path / "model" / "demo", *(history(seed) for seed in range(3)))


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_several_distances_are_written_in_one_go_and_equal_each_alone(ensemble, tmp_path):
    out = tmp_path / "out"
    methods = ["matching_dist", "perm_invariant_hamming"]
    assert run("distances", ensemble, "--method", *methods, "--output", out) == 0
    assert run("distances", ensemble, "--method", *methods, "--stride", 4, "--threads", 2) == 0
    normalized = normalize_ensemble(load_merge_histories(ensemble))
    for method in methods:
        whole = load_distances(out / f"distances_{method}.npz")
        np.testing.assert_array_equal(whole, compute_distances(normalized, method))
        iterations, some = load_distance_rows(ensemble / f"distances_{method}.npz")
        assert iterations.tolist() == [0, 4, 8]
        np.testing.assert_array_equal(some, whole[iterations])


@pytest.fixture(scope="module")
def strided(tmp_path_factory):
    """An ensemble whose pipeline compares every third iteration, by a distance that is not the default."""
    folder = tmp_path_factory.mktemp("strided")
    place = write_example_ensemble(folder)
    pipeline = ClusteringPipelineConfig(
        clustering_run_config={
            "precomputed_activations_dir": str(folder / "activations"),
            "merge_config": load_merge_history(place.history(0)).config.resolved(),
        },
        n_runs=2,
        distances_methods=["jaccard_dist"],
        distances_stride=3,
    )
    made = cluster_analysis_pipeline(pipeline, results=folder / "results", name="strided").folder
    normalized = normalize_ensemble(load_merge_histories(made))
    every, third = (analyze_stability(normalized, stride=stride).cuts["stability_drop"] for stride in (1, 3))
    # otherwise nothing here could show that the stride is ignored
    assert every.cut.merges.tolist() != third.cut.merges.tolist()
    return made


@pytest.mark.parametrize(
    "arguments",
    [
        ("mapping", "--cut", "stability_drop"),
        ("stability",),
        ("stability", "--method", "jaccard_dist", "--stride", 3),
        ("distances", "--method", "jaccard_dist"),
    ],
)
def test_the_commands_give_the_files_of_the_workflow(strided, arguments):
    kept = ("*.json", "*.npz", "*.csv")
    before = {path: path.read_bytes() for kind in kept for path in strided.glob(kind)}
    assert len(before) > 10
    command, *more = arguments
    assert run(command, strided, *more) == 0
    after = {path: path.read_bytes() for kind in kept for path in strided.glob(kind)}
    assert [path.name for path in after if after[path] != before.get(path)] == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("stability", "--stride", 1), "--stride: {} (found: 1; allowed: 3, {})"),
        (("stability", "--method", "matching_dist"), "--method: {} (found: matching_dist; allowed: jaccard_dist, {})"),
        (("distances", "--method", "jaccard_dist", "--stride", 1), "--stride: {} (found: 1; allowed: 3, {})"),
    ],
)  # fmt: skip
def test_other_settings_never_replace_files_of_the_workflow(strided, tmp_path, capsys, arguments, line):
    command, *more = arguments
    why = "would replace files of the workflow by others"
    where = "as in pipeline_config.yaml, or --output with another folder"
    assert run(command, strided, *more) == 1
    assert capsys.readouterr().err == f"Error: {strided}: {line.format(why, where)}\n"
    assert run(command, strided, *more, "--output", tmp_path / "elsewhere") == 0


def test_distances_that_the_workflow_does_not_write_take_any_stride(strided):
    assert run("distances", strided, "--method", "matching_dist", "--stride", 2) == 0
    path = strided / "distances_matching_dist.npz"
    assert load_distance_rows(path)[0].tolist()[:3] == [0, 2, 4]
    path.unlink()


def test_a_pipeline_file_without_sense_is_one_line(strided, tmp_path, capsys):
    folder = tmp_path / "copy"
    shutil.copytree(strided, folder)
    (folder / "pipeline_config.yaml").write_text("distances_stride: 0")
    assert run("mapping", folder, "--cut", "stability_drop") == 1
    said = capsys.readouterr().err
    assert said.startswith(f"Error: {folder}/pipeline_config.yaml: distances_stride: not allowed (found: 0")


def test_stability_writes_tables_that_agree_with_the_histories(ensemble, capsys):
    assert run("stability", ensemble, "--n-groups", 5, "--iteration", -1) == 0
    assert "all runs agree" in capsys.readouterr().out
    record = json.loads((ensemble / "stability.json").read_text())
    assert sorted(record["cuts"]) == ["iteration", "least_mdl", "n_groups", "stability_drop"]
    histories = load_merge_histories(ensemble)
    groups = np.stack([each.group_idxs(6) for each in histories])  # 12 components, 7 merges, 5 groups
    frequency = (groups[:, :, None] == groups[:, None, :]).mean(axis=0)
    stored = load_coclustering(ensemble / "stability_coclustering.npz", "n_groups").toarray()
    order = np.argsort(LABELS)
    np.testing.assert_allclose(stored, np.triu(frequency[np.ix_(order, order)], 1))
    for name in ("iterations", "sizes", "components", "groups"):
        lines = list(csv.reader((ensemble / f"stability_{name}.csv").read_text().splitlines()))
        assert len({len(line) for line in lines}) == 1
        assert len(lines) > 3
    assert (ensemble / "plots" / "stability.png").stat().st_size > 10_000
    assert (ensemble / "plots" / "contested.png").stat().st_size > 10_000


def test_the_merge_array_is_written_in_full_whatever_the_limit(ensemble, monkeypatch):
    monkeypatch.setattr("spdclust.partitions.normalized.MERGE_ARRAY_MAX_BYTES", 1)
    assert run("merge-array", ensemble) == 0
    with np.load(ensemble / "ensemble_merge_array.npz") as stored:
        array = stored["merge_array"]
    normalized = normalize_ensemble(load_merge_histories(ensemble))
    np.testing.assert_array_equal(array, np.stack(list(normalized.iterate_rows()), axis=1))


def test_inspect_tells_sizes_modules_and_growth(ensemble, capsys):
    file = ensemble / "runs/run_1/history.zip"
    assert run("inspect", file, "--iteration", 4) == 0
    out = capsys.readouterr().out
    assert run("inspect", file, "--merges", 5) == 0
    assert capsys.readouterr().out == out
    assert "12 components (6 in m.a, 6 in m.b), 9 merges, 3 groups at the end" in out
    loaded = load_merge_history(file)
    assert f"after {loaded.best_iteration() + 1} merges, with" in out
    sizes = sorted(np.bincount(loaded.group_idxs(4)).tolist(), reverse=True)
    assert f"after 5 merges: 7 groups: {', '.join(map(str, sizes))} components" in out
    rows = [line.split() for line in out.splitlines() if line.strip()[:1].isdigit() and "in m" not in line]
    assert [int(row[0]) for row in rows] == [*range(1, 10)]  # merges made, as in the line above them
    for row in rows:
        sizes = np.sort(np.bincount(loaded.group_idxs(int(row[0]) - 1)))[::-1]
        assert [int(cell) for cell in row[1:6]] == [len(sizes), *sizes[:3], (sizes == 1).sum()]


def test_a_history_without_description_lengths_can_be_looked_at(tmp_path, capsys):
    save_merge_history(history(mdl=False), tmp_path / "h.zip")
    assert run("inspect", tmp_path / "h.zip") == 0
    assert "no description lengths" in capsys.readouterr().out


def test_export_holds_every_grouping_above_the_size_limit_too(ensemble, tmp_path, monkeypatch):
    monkeypatch.setattr("spdclust.files.histories.GROUP_IDXS_LIMIT", 0)
    file = save(tmp_path / "big", history(n_merges=11, min_groups=1)) / "runs/run_0/history.zip"
    with np.load(file) as stored:
        assert "merge.group_idxs" not in stored
    assert run("export", file, "--output", tmp_path / "full.zip") == 0
    loaded = load_merge_history(tmp_path / "full.zip")
    with np.load(tmp_path / "full.zip") as stored:
        for iteration, row in enumerate(stored["merge.group_idxs"]):
            np.testing.assert_array_equal(row, loaded.group_idxs(iteration))
            by_tree = fcluster(loaded.to_linkage(), iteration + 1.5, "distance")
            same = row[:, None] == row[None, :]
            np.testing.assert_array_equal(same, by_tree[:, None] == by_tree[None, :])


def test_histories_of_the_reference_become_an_ensemble(oracle, tmp_path, capsys):
    theirs = oracle / "ensemble_resid_mlp1-shared_iters_none"
    files = [theirs / f"history_{run}.zip" for run in range(6)]
    assert run("import", *files, "--output", tmp_path / "theirs") == 0
    assert run("distances", tmp_path / "theirs", "--method", "matching_dist_vec") == 0
    with np.load(theirs / "distances_matching_dist_vec.npz") as stored:
        whole = stored["distances"]
    ours = load_distances(tmp_path / "theirs" / "distances_matching_dist_vec.npz")
    np.testing.assert_array_equal(ours, whole[: len(ours)])
    assert run("stability", tmp_path / "theirs") == 0
    assert "before stability drops" in capsys.readouterr().out


BAD = {
    "no overlap": (
        lambda f: save(f, history(), history(labels=[f"x:{i}" for i in range(12)])),
        ["distances", "{f}", "--method", "matching_dist"],
        "Error: {f}: labels: two runs have no component in common (found: run_0 and run_1; "
        "allowed: runs of the same model)",
    ),
    "one run": (
        lambda f: save(f, history()),
        ["distances", "{f}", "--method", "matching_dist"],
        "Error: {f}: n_runs: distances need several runs (found: 1; allowed: 2 or more)",
    ),
    "one run, stability": (
        lambda f: save(f, history()),
        ["stability", "{f}"],
        "Error: {f}: n_runs: distances need several runs (found: 1; allowed: 2 or more)",
    ),
    "no merges": (
        lambda f: save(f, history(), history(n_merges=0)),
        ["stability", "{f}"],
        "Error: {f}: run_1.selected_pairs: the history has no merges (found: 12 components alive, min_groups 3; allowed: more components alive than min_groups: lower filter_dead_threshold or min_groups)",
    ),
    "settings differ": (
        lambda f: save(f, history(), history(alpha=2.0)),
        ["merge-array", "{f}"],
        "Error: {f}: merge_config.alpha: the runs of an ensemble were merged under different settings "
        "(found: 1.0 in run_0, 2.0 in run_1; allowed: one value for all runs)",
    ),
    "unknown method": (
        lambda f: save(f, history(), history(1)),
        ["distances", "{f}", "--method", "matchin_dist"],
        "Error: distances_methods: unknown method, did you mean matching_dist? (found: matchin_dist; "
        "allowed: perm_invariant_hamming, matching_dist, matching_dist_vec, adjusted_rand_dist, "
        "variation_of_information, jaccard_dist)",
    ),
    "no histories": (
        lambda f: f.mkdir(),
        ["stability", "{f}"],
        "Error: {f}: no histories (allowed: a folder with runs/run_<r>/history.zip)",
    ),
    "no folder": (
        lambda f: None,
        ["mapping", "{f}"],
        "Error: {f}: no such folder (allowed: a folder with runs/run_<r>/history.zip)",
    ),
    "the folder above": (
        lambda f: save(f / "demo", history()),
        ["groups", "{f}"],
        "Error: {f}: no histories (allowed: a folder with runs/run_<r>/history.zip; ensembles in this folder: demo)",
    ),
    "no such run": (
        lambda f: save(f, history(), history()),
        ["mapping", "{f}", "--model", "m", "--run", "2"],
        "Error: {f}: run: no such run (found: 2; allowed: 0 to 1)",
    ),
    "no such run, tokens": (
        lambda f: save(f, history(), history()),
        ["examples", "{f}", "--run", "2"],
        "Error: {f}: run: no such run (found: 2; allowed: 0 to 1)",
    ),
    "a run of no group": (
        lambda f: save(f, history(), history()),
        ["groups", "{f}", "--run", "1"],
        "Error: --run: has no effect without --explain (found: 1; allowed: --explain GROUP --run R)",
    ),
    "a cut of all runs, of one": (
        lambda f: save(f, history(), history()),
        ["mapping", "{f}", "--model", "m", "--run", "1", "--cut", "stability_drop"],
        "Error: {f}/runs/run_1/history.zip: cut: a cut of all runs, not of one (found: stability_drop; "
        "allowed: least_mdl, merges_<n>, groups_<k>; without a run, the consensus of all)",
    ),
    "iteration beyond the end, inspect": (
        lambda f: save(f, history()),
        ["inspect", "{f}/runs/run_0/history.zip", "--iteration", "9"],
        "Error: {f}/runs/run_0/history.zip: iteration: no such iteration "
        "(found: 9; allowed: -9 to 8, the states after 1 to 9 merges)",
    ),
    "merges beyond the end, inspect": (
        lambda f: save(f, history(), history()),
        ["inspect", "{f}/runs/run_0/history.zip", "--merges", "10"],
        "Error: {f}/runs/run_0/history.zip: iteration: no such iteration "
        "(found: 9; allowed: -9 to 8, the states after 1 to 9 merges)",
    ),
    "no merge": (
        lambda f: save(f, history(), history()),
        ["inspect", "{f}/runs/run_0/history.zip", "--merges", "0"],
        "Error: --merges: every component is alone before the first merge (found: 0; allowed: 1 or more)",
    ),
    "no merge, cut": (
        lambda f: save(f, history(), history()),
        ["mapping", "{f}", "--model", "m", "--cut", "merges_0"],
        "Error: {f}: cut: every component is alone before the first merge (found: 0; allowed: 1 or more)",
    ),
    "iteration beyond the end, stability": (
        lambda f: save(f, history(), history(1)),
        ["stability", "{f}", "--iteration", "9"],
        "Error: {f}: iteration: no such iteration (found: 9; allowed: -9 to 8, the states after 1 to 9 merges)",
    ),
    "iteration beyond the end, consensus": (
        lambda f: save(f, history(), history(1)),
        ["mapping", "{f}", "--model", "m", "--cut", "iteration_9"],
        "Error: {f}: iteration: no such iteration (found: 9; allowed: -9 to 8, the states after 1 to 9 merges)",
    ),
    "iteration beyond the end, one run": (
        lambda f: save(f, history()),
        ["mapping", "{f}", "--run", "0", "--model", "m", "--cut", "iteration_9"],
        "Error: {f}/runs/run_0/history.zip: iteration: no such iteration (found: 9; allowed: 0 to 8, the states after 1 to 9 merges)",
    ),
    "number of groups out of reach": (
        lambda f: save(f, history(), history(1)),
        ["stability", "{f}", "--n-groups", "2"],
        "Error: {f}: n_groups: not every run has this number of groups after a merge "
        "(found: 2; allowed: 3 to 11)",
    ),
    "number of groups out of reach, one run": (
        lambda f: save(f, history()),
        ["mapping", "{f}", "--run", "0", "--model", "m", "--cut", "groups_12"],
        "Error: {f}/runs/run_0/history.zip: n_groups: the run does not have this number of groups after any merge "
        "(found: 12; allowed: 3 to 11)",
    ),
    "unknown cut": (
        lambda f: save(f, history(), history(1)),
        ["mapping", "{f}", "--model", "m", "--cut", "best"],
        "Error: {f}: cut: unknown cut (found: best; allowed: least_mdl, stability_drop, merges_<n>, "
        "groups_<k>)",
    ),
    "no model": (
        lambda f: save(f, history(), history(1)),
        ["mapping", "{f}"],
        "Error: {f}: --model: no model given (allowed: --model, or a "
        "clustering_run_config.json with a model_path in the folder)",
    ),
    "no description length": (
        lambda f: save(f, history(mdl=False)),
        ["mapping", "{f}", "--run", "0", "--model", "m"],
        "Error: {f}/runs/run_0/history.zip: mdl_loss: the history holds no description length "
        "(allowed: an iteration or a number of groups instead)",
    ),
    "stride": (
        lambda f: save(f, history(), history(1)),
        ["distances", "{f}", "--method", "matching_dist", "--stride", "0"],
        "Error: {f}: stride: stride is too small (found: 0; allowed: 1 or more)",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(name, tmp_path, capsys):
    prepare, arguments, line = BAD[name]
    folder = tmp_path / "e"
    prepare(folder)
    before = sorted(folder.rglob("*"))
    assert run(*(each.format(f=folder) for each in arguments)) == 1
    printed = capsys.readouterr()
    assert printed.err == line.format(f=folder) + "\n"
    assert printed.out == ""
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("damage", ["cut", "flipped", "text"])
def test_a_damaged_history_is_one_line_that_names_it(damage, ensemble, capsys):
    file = ensemble / "runs/run_2/history.zip"
    data = bytearray(file.read_bytes())
    if damage == "flipped":
        at = data.index(b"selected_pairs.npy") + 200
        data[at] ^= 1
    file.write_bytes({"cut": data[: len(data) // 2], "flipped": data, "text": b"hello"}[damage])
    assert run("distances", ensemble, "--method", "matching_dist") == 1
    error = capsys.readouterr().err
    assert error.startswith(f"Error: {file}: ")
    assert error.count("\n") == 1
    assert not list(ensemble.glob("distances*"))


def test_the_installed_command_says_the_same_and_examples_stand_in_its_help(tmp_path, capsys):
    command = [sys.executable, "-m", "spdclust.commands.cli", "stability", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (
        done.stderr == f"Error: {tmp_path}: no histories (allowed: a folder with runs/run_<r>/history.zip)\n"
    )
    for command in (
        "distances",
        "stability",
        "mapping",
        "merge-array",
        "inspect",
        "export",
        "import",
        "list",
    ):
        with pytest.raises(SystemExit, match=r"^0$"):
            main([command, "--help"])
        assert f"spdclust {command}" in capsys.readouterr().out.split("examples:")[1]


def test_help_imports_nothing_slow():
    code = "from spdclust.commands.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass"
    assert not {"numpy", "scipy", "numba", "torch", "matplotlib"} & imported_by(code)
