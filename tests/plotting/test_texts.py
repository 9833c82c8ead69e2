"""Texts of every figure of the registry, as it is written: none cut off, none on top of another."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from browser.ensembles import generate
from figure_texts import faulty_texts
from matplotlib.figure import Figure

from spdclust.config.merge import MergeConfig
from spdclust.example_ensemble import example_found, write_example_ensemble
from spdclust.files.groups import save_groups
from spdclust.files.stability import save_sweep
from spdclust.plotting.registry import FIGURE_RULES, INPUTS
from spdclust.plotting.style import new_figure, save_figure
from spdclust.stages.distances import distances
from spdclust.stages.results import draw_figures
from spdclust.stages.stability import stability

OF_RUNS = [rule for rule in FIGURE_RULES.values() if rule.of != "sweep"]


@pytest.fixture
def faults(monkeypatch):
    """What is wrong with each figure as it is written, by the name of its file."""
    found, write = {}, Figure.savefig

    def look_and_write(figure, path, **how):
        found[Path(path).name.lstrip(".").partition(".")[0]] = faulty_texts(figure)
        write(figure, path, **how)

    monkeypatch.setattr(Figure, "savefig", look_and_write)
    return found


def draw(rule, ensemble, out, method="perm_invariant_hamming", threshold=0.1):
    """Draw all figures of a rule from the files of an ensemble, as the workflow does."""
    model = ensemble.parent
    values = {"run_config": model.name, "ensemble": ensemble.name, "run": "0", "moment": "least_mdl"}
    values["method"] = method
    batches = sorted((model / "precomputed_batches" / "run_0").glob("*.pt"))
    found = {"batches": batches, "kept_batch": batches[:1]}
    found["histories"] = sorted((ensemble / "runs").glob("*/history.zip"))
    inputs = {
        name: found[name] if INPUTS[name].file is None else model.parent / INPUTS[name].file.format(**values)
        for name in rule.inputs
    }
    arguments = {name: value.format(**values) for name, value in rule.arguments.items()}
    arguments |= dict.fromkeys(rule.settings, threshold)
    paths = {each.key: [out / f"{each.key}.png"] for each in rule.figures}
    draw_figures(rule.name, inputs, paths, arguments=arguments, dpi=40)
    return list(paths)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = write_example_ensemble(tmp_path_factory.mktemp("tiny"), config=MergeConfig(iters=None)).folder
    save_groups(example_found(), folder, ensemble="example/example")
    return folder


@pytest.mark.parametrize("rule", OF_RUNS, ids=lambda rule: rule.name)
def test_no_text_of_a_tiny_ensemble_is_cut_off_or_covered(rule, tiny, tmp_path, faults):
    drawn = draw(rule, tiny, tmp_path)
    assert faults == {key: [] for key in drawn}


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    folder = generate(tmp_path_factory.mktemp("large"), n_runs=3, n_samples=2048)
    distances(folder, {"perm_invariant_hamming": folder / "distances_perm_invariant_hamming.npz"})
    stability(folder, ["perm_invariant_hamming"], folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "rule",
    # its batches are not those that were merged
    [rule for rule in OF_RUNS if not rule.repeats_merge],
    ids=lambda rule: rule.name,
)
def test_no_text_of_thirteen_thousand_components_is_cut_off_or_covered(rule, large, tmp_path, faults):
    drawn = draw(rule, large, tmp_path)
    assert faults == {key: [] for key in drawn}


SWEPT = [
    {"merge_config.alpha": (0.1, 1, 10)},
    {"merge_config.activation_threshold": (0.01, 0.1), "merge_config.alpha": (0.5, 1.0, 2.0)},
    {
        "merge_config.activation_threshold": (0.01, 0.1, None),
        "merge_config.merge_pair_sampling_kwargs": ({"threshold": 0.1}, {"threshold": 0.001}),
        "merge_config.filter_dead_threshold": (0.001, 0.1, 0.01),
    },
    {"merge_config.filter_dead_threshold": range(60), "merge_config.alpha": (1,)},
]


@pytest.mark.parametrize("swept", SWEPT, ids=["one", "two", "three", "many"])
def test_no_text_of_a_sweep_is_cut_off_or_covered(swept, tmp_path, faults):
    rng = np.random.default_rng(0)
    points = []
    for values in itertools.product(*swept.values()):
        n = len(points)
        points.append(
            {"name": f"sweep-{n}", "values": dict(zip(swept, values, strict=True)), "n_runs": 4}
            | {"n_components": 167, "cut": "least_mdl", "iteration": 140, "mdl": 8.9, "n_distinct": 4}
            | {"n_groups_mean": 1000 + n / 4, "n_groups_min": 1000, "n_groups_max": 1100}
            | {"n_consensus_groups": 91, "mean_support": 1.0, "null_mean_support": 0.99}
            | {"n_contested_components": 11_916, "last_agreement": 3, "n_groups_found": 18}
            | {"within.adjusted_rand_dist": 0.5, "within.variation_of_information": 2.4}
            | {"expected_false": 0.0, "coded_above": 0.1, "bits_alone": 51.26, "bits_answer": 39.6}
            | {"bits_formed_by_most": 40.3 + n, "bits_least_mdl": 40.1}
        )
    apart = {kind: rng.random((len(points), len(points))).tolist() for kind in ("runs", "consensus")}
    apart["same_sample"] = None
    record = {"swept": list(swept), "n_components": 167, "points": points}
    record["distances"] = dict.fromkeys(("adjusted_rand_dist", "variation_of_information"), apart)
    save_sweep(record, tmp_path)
    rule = FIGURE_RULES["plot_sweep"]
    paths = {figure.key: [tmp_path / f"{figure.key}.png"] for figure in rule.figures}
    draw_figures(rule.name, {"sweep": tmp_path / "sweep.json"}, paths, dpi=40)
    assert faults == {key: [] for key in paths}


def test_the_test_sees_what_is_cut_off_and_what_overlaps():
    figure, (axes,) = new_figure(size=(3.0, 2.0))
    axes.set_title("far too long a title for a figure of three inches")
    axes.text(0.5, 0.5, "one text", transform=axes.transAxes, rotation=30)
    axes.text(0.5, 0.5, "another text", transform=axes.transAxes)
    axes.set_xscale("log")
    axes.set_xlim(1, 4)
    kinds = sorted({fault.partition(":")[0] for fault in faulty_texts(figure)})
    assert kinds == ["cut off", "overlap", "tick"]
    rotated, (axes,) = new_figure()
    axes.set_xticks([0, 0.05, 1], ["a long name"] * 3, rotation=90)
    assert faulty_texts(rotated) == []


def test_titles_that_would_be_cut_off_are_broken_into_lines(tmp_path, faults):
    figure = Figure(figsize=(4.0, 2.0), layout="constrained")
    for number, axes in enumerate(figure.subplots(1, 2)):
        axes.set_title(f"{number}: a title that is longer than half of this figure", loc="left")
        axes.set_yticks([])
    save_figure(figure, tmp_path / "titles.png")
    assert faults == {"titles": []}
