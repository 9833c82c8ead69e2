"""The points of a sweep side by side: figures of each, distances between them, as data and drawn."""

import csv
import itertools
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix
from workflow import PIPELINE, Workflow

from spdclust.commands.cli import main
from spdclust.config.merge import MergeConfig
from spdclust.config.pipeline import ClusteringPipelineConfig
from spdclust.config.resolve import WorkflowConfig, resolve_loaded, resolve_workflow
from spdclust.core.errors import InputError
from spdclust.core.names import METHODS
from spdclust.example_ensemble import example_found
from spdclust.files.histories import load_merge_histories, save_merge_history
from spdclust.files.stability import load_stability_record, load_sweep
from spdclust.merge.history import MergeHistory
from spdclust.partitions.distances import distance, distance_matrices
from spdclust.partitions.ensemble import normalize_ensemble
from spdclust.plotting.sweeps import _comparable_sets, plot_sweep, plot_sweep_bits, plot_sweep_distances
from spdclust.stability.analysis import analyze_stability
from spdclust.stability.coclustering import coclustering
from spdclust.stability.summary import stability_record
from spdclust.stability.sweeps import _plain, compare_points, distance_rows, point_rows, sweep_point
from spdclust.stages.results import draw_figures
from spdclust.stages.stability import stability

UNMATCHED = [name for name, method in METHODS.items() if not method.needs_matching]


@pytest.mark.parametrize(
    "groupings",
    [
        np.random.default_rng(0).integers(0, 7, (9, 30)),
        np.random.default_rng(1).integers(0, 1000, (4, 30)),
        np.array([np.zeros(12, int), np.arange(12), np.arange(12) // 3, np.arange(12)[::-1]]),
        np.zeros((1, 5), int),
        np.zeros((3, 1), int),
    ],
    ids=["mixed", "many groups", "limits", "one grouping", "one component"],
)
def test_every_pair_at_once_is_every_pair_alone(groupings):
    matrices = distance_matrices(groupings, UNMATCHED)
    for name, (i, j) in itertools.product(UNMATCHED, np.ndindex(len(groupings), len(groupings))):
        assert matrices[name][i, j] == distance(groupings[i], groupings[j], name), (name, i, j)


def test_a_distance_that_needs_matchings_is_refused():
    with pytest.raises(InputError, match=r"needs a matching for every pair \(found: perm_invariant_hamming"):
        distance_matrices(np.zeros((2, 3), int), ["perm_invariant_hamming"])


def ensemble(seed, n=24, n_runs=3, shift=0, least=9, same=False):
    """Runs over components `shift` … `shift + n`, whose description is shortest after `least` merges."""
    histories = []
    for run in range(n_runs):
        rng = np.random.default_rng((seed, 0 if same else run))
        pairs = np.sort([rng.choice(n - t, 2, replace=False) for t in range(n - 3)], axis=1)
        mdl = np.abs(np.arange(n - 3) - float(least)) + seed
        labels = [f"layer:{i}" for i in range(shift, shift + n)]
        histories.append(MergeHistory(labels, pairs, mdl, np.zeros(n - 3), MergeConfig(iters=None)))
    return histories


def point(name, values, histories):
    normalized = normalize_ensemble(histories)
    return sweep_point(name, values, normalized, stability_record(normalized, analyze_stability(normalized)))


def found_with(answer, merged, *, alone=9.0, threshold=0.1):
    """Groups with some evidence: only what a sweep compares matters."""
    bits = {"alone": alone, "answer": answer, "formed_by_most": merged, "least_mdl": merged + 1}
    settings = {"activation_threshold": threshold}
    return replace(example_found(), bits=bits, settings=settings)


def test_points_are_compared_by_the_held_out_bits_of_their_groups():
    merged = {0.5: 6.0, 1.0: 5.5, 5.0: 7.0}
    points = []
    for number, (alpha, bits) in enumerate(merged.items()):
        normalized = normalize_ensemble(ensemble(number))
        record = stability_record(normalized, analyze_stability(normalized))
        points.append(sweep_point(f"a~{alpha}", {"alpha": alpha}, normalized, record, found_with(5.0, bits)))
    record = compare_points(points)
    assert [row["bits_formed_by_most"] for row in record["points"]] == [6.0, 5.5, 7.0]
    assert [row["bits_least_mdl"] for row in record["points"]] == [7.0, 6.5, 8.0]
    first = record["points"][0]
    assert (first["bits_alone"], first["bits_answer"], first["n_groups_found"]) == (9.0, 5.0, 3)
    assert (first["expected_false"], first["coded_above"]) == (0.25, 0.1)
    assert "bits_answer" in point_rows(record)[0]
    described, beyond, groups = plot_sweep_bits(record).axes
    assert beyond.lines[0].get_ydata().tolist() == [1.0, 0.5, 2.0]  # more than the 5 of the groups that hold
    assert beyond.lines[1].get_ydata().tolist() == [2.0, 1.5, 3.0]
    drawn = {line.get_label(): line.get_ydata().tolist() for line in described.lines}
    assert drawn["groups that most merges form"] == [6.0, 5.5, 7.0]
    rings = [
        (line.get_xdata()[0], line.get_ydata()[0]) for line in described.lines if line.get_markersize() == 10
    ]
    assert (1.0, 5.5) in rings  # the best of the merges
    assert groups.lines[0].get_ydata().tolist() == [3, 3, 3]


def test_points_that_code_other_activations_are_neither_joined_nor_ranked():
    points = [
        {"name": str(t), "values": {"t": t}, "bits_alone": alone, "bits_answer": answer, "n_groups_found": 2}
        for t, alone, answer in [(0.1, 9.0, 5.0), (0.2, 9.0, 6.0), (0.5, 4.0, 1.0)]
    ]
    described = plot_sweep_bits({"swept": ["t"], "points": points}).axes[0]
    assert "different activations" in described.get_title(loc="left")
    joined = [line.get_xdata().tolist() for line in described.lines if line.get_markersize() == 4]
    assert [0.1, 0.2] in joined
    assert [0.5] in joined
    assert [0.1, 0.2, 0.5] not in joined
    rings = [line.get_ydata()[0] for line in described.lines if line.get_markersize() == 10]
    assert rings == [5.0]


def test_points_without_evidence_have_empty_cells_and_a_figure_that_says_so(compared):
    _, _, record = compared
    row = record["points"][0]
    assert [row[key] for key in ("n_groups_found", "expected_false", "bits_alone", "bits_answer")] == [
        None
    ] * 4
    assert point_rows(record)[1][0]["bits_answer"] == ""
    assert "not known" in plot_sweep_bits(record).axes[0].get_title(loc="left")


def test_a_point_of_scalar_activations_is_cut_before_stability_drops():
    runs = [replace(run, config=MergeConfig(iters=None, activation_threshold=None)) for run in ensemble(1)]
    row = compare_points([point("scalar", {"t": None}, runs)])["points"][0]
    assert (row["cut"], row["mdl"]) == ("stability_drop", None)
    assert compare_points([point("s", {"t": 0.1}, ensemble(1))])["points"][0]["cut"] == "least_mdl"


def variation_of_information(first, second):
    joint = contingency_matrix(first, second) / len(first)

    def entropy(p):
        return -(p[p > 0] * np.log2(p[p > 0])).sum()

    return 2 * entropy(joint) - entropy(joint.sum(axis=0)) - entropy(joint.sum(axis=1))


SLOW = {"adjusted_rand_dist": lambda a, b: 1 - adjusted_rand_score(a, b),
        "variation_of_information": variation_of_information}  # fmt: skip


@pytest.fixture(scope="module")
def compared():
    """Three points of a sweep over alpha; the last lacks two components of the others and has its own."""
    settings = {0.5: {"seed": 1}, 1: {"seed": 2, "same": True, "least": 5}, 5: {"seed": 3, "shift": 2}}
    histories = {alpha: ensemble(**kind) for alpha, kind in settings.items()}
    points = [
        point(f"s-alpha~{alpha}", {"merge_config.alpha": alpha}, runs) for alpha, runs in histories.items()
    ]
    return list(histories.values()), points, compare_points(points)


def groups_over(runs, history, iteration, n=26):
    """Group of every component by name, the slow way: names of its group, or its own."""
    groups = history.group_idxs(iteration)
    own = {label: f"group {group}" for label, group in zip(history.labels, groups, strict=True)}
    return [own.get(f"layer:{i}", f"alone {i}") for i in range(n)]


def test_distances_between_points_are_those_of_their_runs_at_the_shortest_description(compared):
    histories, _points, record = compared
    at = [9, 5, 9]
    assert record["n_components"] == 26
    assert [row["iteration"] for row in record["points"]] == at
    partitions = [
        [groups_over(runs, history, t) for history in runs] for runs, t in zip(histories, at, strict=True)
    ]
    for method, slow in SLOW.items():
        found = record["distances"][method]
        for p, q in itertools.product(range(3), repeat=2):
            pairs = [
                slow(partitions[p][r], partitions[q][s])
                for r, s in itertools.product(range(3), repeat=2)
                if p != q or r != s
            ]
            assert found["runs"][p][q] == pytest.approx(np.mean(pairs), abs=1e-9)
            same = [slow(partitions[p][r], partitions[q][r]) for r in range(3)]
            assert found["same_sample"][p][q] == pytest.approx(np.mean(same), abs=1e-9)
        assert [row[f"within.{method}"] for row in record["points"]] == [
            found["runs"][p][p] for p in range(3)
        ]


def test_consensus_groupings_are_compared_over_all_components(compared):
    _, points, record = compared
    spread = []
    for each in points:
        consensus = dict(zip(each.labels, coclustering(each.groups).consensus.group_idxs, strict=True))
        spread.append([str(consensus.get(f"layer:{i}", f"alone {i}")) for i in range(26)])
    for method, slow in SLOW.items():
        for p, q in itertools.product(range(3), repeat=2):
            expected = slow(spread[p], spread[q])
            assert record["distances"][method]["consensus"][p][q] == pytest.approx(expected, abs=1e-9)


def test_figures_of_a_point_are_those_of_its_ensemble(compared):
    _histories, points, record = compared
    assert [row["n_groups_mean"] for row in record["points"]] == [14, 18, 14]
    assert [row["mdl"] for row in record["points"]] == [1, 2, 3]
    assert [row["n_distinct"] for row in record["points"]] == [3, 1, 3]
    assert record["points"][1]["mean_support"] == 1
    assert record["points"][1]["n_contested_components"] == 0
    assert record["points"][1]["last_agreement"] == 20
    assert record["points"][0]["last_agreement"] is None
    for row, each in zip(record["points"], points, strict=True):
        support = coclustering(each.groups).consensus.mean_support
        assert row["mean_support"] == pytest.approx(support)
    assert json.loads(json.dumps(record)) == record


def test_tables_hold_a_row_for_each_point_and_each_two(compared):
    record = compared[2]
    columns, rows = point_rows(record)
    assert columns[:2] == ["name", "merge_config.alpha"]
    assert [row["merge_config.alpha"] for row in rows] == [0.5, 1, 5]
    assert [row["last_agreement"] for row in rows] == ["", 20, ""]
    columns, rows = distance_rows(record)
    assert columns == ["first", "second", "method", "runs", "same_sample", "consensus"]
    assert len(rows) == 2 * 6


def test_points_with_other_numbers_of_runs_share_no_samples():
    points = [point("a", {"k": 1}, ensemble(1)), point("b", {"k": 2}, ensemble(2, n_runs=2))]
    record = compare_points(points)
    assert record["distances"]["adjusted_rand_dist"]["same_sample"] is None
    assert {row["same_sample"] for row in distance_rows(record)[1]} == {""}
    groups, *_, apart = plot_sweep(record).axes
    assert len(apart.lines) == 1
    assert "(mean and range of 2 to 3 runs)" in groups.get_title(loc="left")


def test_points_of_different_sweeps_are_refused():
    points = [point("a", {"alpha": 1}, ensemble(1)), point("b", {"beta": 1}, ensemble(2))]
    with pytest.raises(InputError, match=r"b: points of different sweeps \(found: beta; allowed: alpha\)"):
        compare_points(points)
    with pytest.raises(InputError, match=r"points: no points to compare \(allowed: one or more ensembles\)"):
        compare_points([])


def recorded(values, **changes):
    """A record of points with those swept values, each figure the number of its point."""
    rows = [
        {
            "name": f"p{i}", "values": each, "n_runs": 3, "n_groups_mean": i + 2.0, "n_groups_min": i + 1,
            "n_groups_max": i + 4, "mean_support": 1 / (i + 1), "null_mean_support": 0.1 * i,
            "n_contested_components": 10 * i, "within.adjusted_rand_dist": 0.01 * i,
        }
        for i, each in enumerate(values)
    ]  # fmt: skip
    matrix = (0.1 * np.abs(np.subtract.outer(np.arange(len(rows)), np.arange(len(rows))))).tolist()
    kinds = {"runs": matrix, "same_sample": matrix, "consensus": matrix}
    return {
        "swept": list(values[0]), "points": rows, "distances": {"adjusted_rand_dist": kinds},
    } | changes  # fmt: skip


def test_one_setting_is_drawn_as_curves_over_its_values_in_order():
    figure = plot_sweep(recorded([{"m.alpha": value} for value in (10, 0.1, 1)]))
    _groups, support, apart = figure.axes
    assert apart.get_xlabel() == "alpha"
    assert apart.get_xscale() == "log"
    np.testing.assert_array_equal(support.lines[0].get_xdata(), [0.1, 1, 10])
    np.testing.assert_allclose(support.lines[0].get_ydata(), [1 / 2, 1 / 3, 1])
    np.testing.assert_allclose(support.lines[1].get_ydata(), [0.1, 0.2, 0])
    np.testing.assert_allclose(apart.lines[0].get_ydata(), [0.01, 0.02, 0])
    np.testing.assert_allclose(apart.lines[1].get_ydata(), [0.1, 0.2])
    np.testing.assert_allclose(apart.lines[1].get_xdata(), [np.sqrt(0.1), np.sqrt(10)])
    assert all("[" in axes.get_ylabel() for axes in figure.axes)


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([{"m.method": "range"}, {"m.method": "mcmc"}], ["method range", "method mcmc"]),
        ([{"m.threshold": None}, {"m.threshold": 0.1}], ["threshold null", "threshold 0.1"]),
        ([{"m.a": 1, "m.b": 5}, {"m.a": 2, "m.b": 6}], ["a 1,\nb 5", "a 2,\nb 6"]),
        ([{"m.a": 1, "m.b": 5}, {"m.a": 1, "m.b": 6}], ["a 1,\nb 5", "a 1,\nb 6"]),
        ([{"m.a": True}, {"m.a": 1}], ["a True", "a 1"]),
        ([{"m.k": {"threshold": 0.1}}], ["threshold 0.1"]),
    ],
    ids=[
        "words",
        "null",
        "side by side",
        "one value of two settings",
        "a truth value and a number",
        "one mapping",
    ],
)
def test_what_has_no_order_is_drawn_as_points_by_name(values, ticks):
    record = recorded(values)
    axes = plot_sweep(record).axes[-1]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ticks
    assert [tick.get_text() for tick in plot_sweep_distances(record).axes[0].get_yticklabels()] == ticks


def test_two_settings_are_drawn_as_heat_maps():
    values = [{"m.a": a, "m.b": b} for a, b in itertools.product((5, 1), ("x", "y", "z"))]
    panels = plot_sweep(recorded(values)).axes
    colours = [axes.get_ylabel() for axes in panels[3:]]
    assert colours == ["groups [count]", "support beyond shuffled runs [share]", "components [count]"]
    assert all(re.fullmatch(r"\d\.\d\d\n\(\d\.\d\d\)", text.get_text()) for text in panels[1].texts)
    records = {tuple(point["values"].values()): point for point in recorded(values)["points"]}
    beyond = [
        [records[a, b][name] for name in ("mean_support", "null_mean_support")] for a in (1, 5) for b in "xyz"
    ]
    shown = np.asarray(panels[1].images[0].get_array()).ravel()
    np.testing.assert_allclose(shown, [support - chance for support, chance in beyond])
    np.testing.assert_allclose(panels[0].images[0].get_array(), [[5, 6, 7], [2, 3, 4]])
    assert [tick.get_text() for tick in panels[0].get_yticklabels()] == ["1", "5"]
    assert [tick.get_text() for tick in panels[0].get_xticklabels()] == ["x", "y", "z"]
    assert [text.get_text() for text in panels[2].texts] == ["30", "40", "50", "0", "10", "20"]


def test_distances_are_drawn_as_they_are(compared):
    record = compared[2]
    panels = plot_sweep_distances(record).axes
    for axes, kind in zip(panels, ("runs", "consensus"), strict=False):
        expected = record["distances"]["adjusted_rand_dist"][kind]
        np.testing.assert_array_equal(axes.images[0].get_array(), expected)


def test_product_and_zip_name_their_points():
    sweep = {"merge_config.alpha": [0.5, 1], "merge_config.activation_threshold": [None, 0.1]}
    run = {"model_path": "resources/resid_mlp1"}
    names = {}
    for mode in ("product", "zip"):
        pipeline = ClusteringPipelineConfig(clustering_run_config=run, n_runs=2, sweep=sweep, sweep_mode=mode)
        ensembles = resolve_loaded(pipeline, Path("s.yaml"))
        names[mode] = [each.name for each in ensembles]
        assert {each.sweep_folder for each in ensembles} == {"s/s"}
    assert names["zip"] == [
        "s-alpha~0.5-activation_threshold~null", "s-alpha~1-activation_threshold~0.1",
    ]  # fmt: skip
    assert len(set(names["product"])) == 4


def test_the_folder_of_a_comparison_is_no_other_pipelines(tmp_path, monkeypatch):
    workflow = Workflow(tmp_path)
    monkeypatch.chdir(tmp_path)
    workflow.write("runs/r.yaml", {"model_path": "m"})
    pipeline = {"clustering_run_config_path": "runs/r.yaml", "n_runs": 2}
    workflow.write("a/s.yaml", pipeline | {"sweep": {"merge_config.alpha": [1, 2]}})
    workflow.write("b/s.yaml", pipeline)
    with pytest.raises(
        InputError, match=r"b/s.yaml: r/s: two pipelines have the same name \(found: a/s.yaml"
    ):
        resolve_workflow(WorkflowConfig(pipelines=["a/s.yaml", "b/s.yaml"]))
    workflow.write("a/s.yaml", pipeline | {"sweep": {"merge_config.alpha": [1, 1]}})
    with pytest.raises(InputError, match=r"sweep: two points are equal \(found: {'merge_config.alpha': 1}; "):
        resolve_workflow(WorkflowConfig(pipelines=["a/s.yaml"]))


def test_the_command_compares_ensembles_by_their_folders(tmp_path, capsys):
    for alpha in (1, 2):
        folder = tmp_path / f"results/r/s-alpha~{alpha}"
        for run, history in enumerate(ensemble(alpha)):
            save_merge_history(history, folder / "runs" / f"run_{run}" / "history.zip")
        (folder / "pipeline_config.yaml").write_text(f"sweep_point: {{merge_config.alpha: {alpha}}}")
        assert main(["stability", str(folder)]) == 0
    folders = [str(tmp_path / f"results/r/s-alpha~{alpha}") for alpha in (1, 2)]
    assert main(["compare", *folders, "--output", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "s-alpha~2" in said
    record = load_sweep(tmp_path / "out/sweep.json")
    assert [each["values"] for each in record["points"]] == [
        {"merge_config.alpha": 1},
        {"merge_config.alpha": 2},
    ]
    assert (tmp_path / "out/plots/sweep_distances.png").is_file()
    assert main(["compare", folders[0], str(tmp_path / "nowhere"), "--output", "x"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def written(folder, histories, digest=None):
    """Write an ensemble, of a model with this digest, and its stability."""
    for run, history in enumerate(histories):
        known = {} if digest is None else {"checkpoint_digest": digest}
        path = folder / "runs" / f"run_{run}" / "history.zip"
        save_merge_history(replace(history, provenance=known), path)
    stability(folder, ["perm_invariant_hamming"], folder)
    return str(folder)


def test_ensembles_of_two_models_are_not_compared(tmp_path, capsys):
    folders = [
        written(tmp_path / name / "demo", ensemble(1), digest) for name, digest in (("a", "12"), ("b", "34"))
    ]
    capsys.readouterr()
    assert main(["compare", *folders, "--output", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert f"checkpoint_digest: ensembles are of different models (found: 12 in {folders[0]}, 34 in " in error
    assert "spdclust match compares the groups of two models" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_ensembles_without_a_common_component_are_not_compared(tmp_path, capsys):
    folders = [written(tmp_path / name, ensemble(1, shift=shift)) for name, shift in (("a", 0), ("b", 24))]
    capsys.readouterr()
    assert main(["compare", *folders, "--output", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "labels: no component in common (found: layer:0, … in a, layer:24, … in b; allowed:" in error
    modules = [point(name, {"merge_config.module_name_filter": name}, ensemble(1, shift=s)) for name, s in (("a", 0), ("b", 24))]  # fmt: skip
    assert compare_points(modules)["n_components"] == 48  # a sweep over modules


def test_ensembles_of_one_name_are_told_apart_by_their_folders(tmp_path, capsys):
    folders = [written(tmp_path / name / "demo", ensemble(seed)) for seed, name in enumerate("ab")]
    assert main(["compare", *folders, "--output", str(tmp_path / "out")]) == 0
    assert [each["name"] for each in load_sweep(tmp_path / "out/sweep.json")["points"]] == folders


def test_what_is_no_comparison_is_refused(tmp_path):
    for text, said in (("{}", "swept: missing"), ("{", "not JSON"), (None, "no such file")):
        path = tmp_path / "sweep.json"
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
        with pytest.raises(InputError, match=said):
            draw_figures("plot_sweep", {"sweep": path}, {"sweep": [tmp_path / "f.png"]})
    assert not (tmp_path / "f.png").exists()


@pytest.mark.slow
def test_through_the_workflow_a_new_point_computes_only_itself_and_the_comparison(tmp_path):
    workflow = Workflow.create(tmp_path / "w")
    sweep = {"merge_config.alpha": [0.5, 2], "merge_config.merge_pair_sampling_method": ["range", "mcmc"]}
    swept = PIPELINE | {"distances_methods": ["matching_dist"], "sweep": sweep, "sweep_mode": "zip"}
    workflow.write("config/pipelines/s.yaml", swept)
    workflow.write("config/config.yaml", {"pipelines": ["config/pipelines/s.yaml"]})
    targets = [f"results/small/s/{name}" for name in ("sweep.json", "plots/sweep.png")]
    outcome = workflow.run("--", *targets)
    assert outcome.code == 0, outcome.output
    folder = workflow.folder / "results/small"
    record = load_sweep(folder / "s/sweep.json")
    assert [each["values"] for each in record["points"]] == [
        dict(zip(sweep, values, strict=True)) for values in zip(*sweep.values(), strict=True)
    ]
    for each in record["points"]:
        normalized = normalize_ensemble(load_merge_histories(folder / each["name"]))
        stability = load_stability_record(folder / each["name"] / "stability.json")
        assert each["n_groups_mean"] == np.mean(stability["cuts"]["least_mdl"]["cut"]["n_groups"])
        rows = [normalized.groups_after(run, each["iteration"]) for run in (0, 1)]
        apart = distance(*rows, "variation_of_information")
        assert each["within.variation_of_information"] == apart
    with (folder / "s/sweep_points.csv").open() as file:
        assert [row["merge_config.alpha"] for row in csv.DictReader(file)] == ["0.5", "2"]
    assert workflow.due(*targets) == {}
    more = {key: [*values, values[0]] for key, values in sweep.items()} | {"merge_config.alpha": [0.5, 2, 5]}
    workflow.write("config/pipelines/s.yaml", swept | {"sweep": more})
    assert workflow.due(*targets) == {
        "merge": 2, "groups": 1, "stability": 1, "compare_points": 1, "plot_sweep": 1
    }  # fmt: skip
    due = workflow.due("ensembles")
    assert due["merge"] == 2
    assert due["compare_points"] == 1
    assert "precompute_batches" not in due


def test_points_with_equally_many_bits_alone_are_comparable_and_those_without_any_to_none():
    sets = _comparable_sets([9.0, 7.0, 9.0, float("nan")])
    assert [points.tolist() for points in sets] == [[0, 2], [1]]


def test_a_swept_value_is_one_cell():
    assert [_plain(value) for value in (0.5, None, {"threshold": 0.1})] == [0.5, "null", '{"threshold": 0.1}']
