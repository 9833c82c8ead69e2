"""The stage of figures: from files to pictures, with one line where something is wrong."""

import inspect
import json
import re
from pkgutil import resolve_name

import numpy as np
import pytest
from PIL import Image

from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError
from spdclust.files.archive import read_arrays, write_archive
from spdclust.files.batches import ActivationBatch, BatchedActivations
from spdclust.files.ensembles import save_distances
from spdclust.files.histories import save_merge_history
from spdclust.files.stability import load_coclusterings, load_components, save_stability
from spdclust.merge.costs import compute_merge_costs, recompute_coacts_from_scratch
from spdclust.merge.merging import merge_iteration
from spdclust.partitions.ensemble import normalize_ensemble
from spdclust.plotting import merge_state
from spdclust.plotting.registry import FIGURE_RULES, INPUTS, figure_code
from spdclust.stability.analysis import analyze_stability
from spdclust.stages.results import draw_figures

CONFIG = MergeConfig(iters=None, activation_threshold=0.1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two merged batches of planted groups, on disk."""
    folder = tmp_path_factory.mktemp("made")
    histories = []
    for run in (0, 1):
        rng = np.random.default_rng(run)
        groups = rng.random((200, 4)) < 0.2
        dense = np.repeat(groups, 3, axis=1) * rng.uniform(0.2, 1, (200, 12)) * (rng.random((200, 12)) < 0.9)
        batch = ActivationBatch.from_dense(dense, [f"m{c % 2}:{c}" for c in range(12)])
        batch.save(folder / f"batch_{run}.pt")
        histories.append(merge_iteration(BatchedActivations([folder / f"batch_{run}.pt"]), CONFIG, run))
        save_merge_history(histories[-1], folder / f"history_{run}.zip")
    normalized = normalize_ensemble(histories)
    save_stability(normalized, analyze_stability(normalized), folder)
    save_distances(np.ones((normalized.n_iterations, 2, 2)) - np.eye(2), folder / "distances.npz")
    return folder, histories


def draw_state(history, batch, moment, paths):
    inputs, arguments = {"history": history, "batches": [batch]}, {"moment": moment, "title": "R"}
    draw_figures("plot_merge_state", inputs, {"merge_state": paths}, arguments=arguments)


def test_the_moment_shown_is_that_of_the_slow_formulas(made, tmp_path, monkeypatch):
    folder, histories = made
    seen = {}

    def spy(group_idxs, coactivations, costs, **kwargs):
        seen.update(groups=group_idxs, coactivations=coactivations, costs=costs, **kwargs)
        return draw(group_idxs, coactivations, costs, **kwargs)

    draw = merge_state._draw_merge_state_cells
    monkeypatch.setattr(merge_state, "_draw_merge_state_cells", spy)
    path = tmp_path / "state.png"
    draw_state(folder / "history_0.zip", folder / "batch_0.pt", "iteration_4", [path])
    assert path.is_file()
    groups = histories[0].group_idxs(4)
    np.testing.assert_array_equal(seen["groups"], groups)
    dense = ActivationBatch.load(folder / "batch_0.pt").matrix.toarray()
    expected = recompute_coacts_from_scratch(dense, groups, 0.1)
    np.testing.assert_array_equal(seen["coactivations"], expected)
    costs = compute_merge_costs(expected / len(dense), np.bincount(groups), CONFIG.alpha)
    np.fill_diagonal(costs, np.nan)
    np.testing.assert_allclose(seen["costs"], costs)
    assert (seen["title"], seen["counts"]) == ("R after 5 merges: 7 groups", True)


def test_dpi_and_scale_are_those_of_the_file(made, tmp_path):
    folder, _ = made
    sizes = []
    for number, size in enumerate(({"dpi": 50}, {"dpi": 100}, {"dpi": 50, "scale": 2.0})):
        paths = {"merge_tree": [tmp_path / f"{number}.png"]}
        draw_figures("plot_merge_tree", {"history": folder / "history_0.zip"}, paths, **size)
        sizes.append(np.array(Image.open(tmp_path / f"{number}.png").size))
    assert (abs(sizes[1] - 2 * sizes[0]) <= 1).all()
    assert (abs(sizes[2] - 2 * sizes[0]) <= 1).all()


def test_every_other_figure_is_written_from_files(made, tmp_path):
    folder, _ = made
    stability = {
        f"stability_{what}": folder / f"stability_{what}.{suffix}"
        for what, suffix in (("components", "csv"), ("groups", "csv"), ("coclustering", "npz"))
    }
    inputs = {
        "batch": folder / "batch_0.pt",
        "distances": folder / "distances.npz",
        "stability": folder / "stability.json",
    } | stability
    n_drawn = 0
    for rule in ("plot_activations", "plot_runs", "plot_groups"):
        keys = [figure.key for figure in FIGURE_RULES[rule].figures]
        paths = {key: [tmp_path / f"{key}.png"] for key in keys}
        draw_figures(rule, inputs, paths, arguments={"method": "matching_dist"}, dpi=40)
        n_drawn += len(keys)
    assert len(list(tmp_path.iterdir())) == n_drawn == 8


def test_a_history_without_merges_and_a_moment_that_is_not_there(made, tmp_path):
    folder, _ = made
    with pytest.raises(InputError, match=r"history_0\.zip: iteration: no such iteration \(found: 99; "):
        draw_state(folder / "history_0.zip", folder / "batch_0.pt", "iteration_99", [])
    with pytest.raises(
        InputError, match=f"^{tmp_path}: labels: the activations are not those that were merged"
    ):
        ActivationBatch.from_dense(np.ones((3, 2)), ["m0:0", "m0:1"]).save(tmp_path / "batch_0.pt")
        draw_state(folder / "history_0.zip", tmp_path / "batch_0.pt", "least_mdl", [])
    one = merge_iteration(ActivationBatch.from_dense(np.ones((5, 2)), ["a:0", "a:1"]).activations, CONFIG)
    assert one.n_iterations == 0
    save_merge_history(one, tmp_path / "history.zip")
    path = tmp_path / "none.png"
    draw_state(tmp_path / "history.zip", tmp_path / "batch_0.pt", "least_mdl", [path])
    assert path.is_file()


def test_damaged_tables_are_one_line(tmp_path):
    table = tmp_path / "stability_components.csv"
    table.write_text("cut,component,consensus_group,contestedness\nleast_mdl,a:0,one,0.5\n")
    with pytest.raises(InputError) as error:
        load_components(table)
    assert str(error.value) == f"{table}: consensus_group: not a number (found: one; allowed: int)"
    table.write_text("cut,component\nleast_mdl,a:0\n")
    with pytest.raises(InputError, match="columns missing"):
        load_components(table)
    with pytest.raises(InputError, match="no such file"):
        load_components(tmp_path / "none.csv")


def test_cuts_that_are_not_in_the_coclustering_and_damaged_ones_are_one_line(made, tmp_path):
    folder, _ = made
    record = json.loads((folder / "stability.json").read_text())
    record["cuts"]["n_groups"] = record["cuts"]["least_mdl"]
    (tmp_path / "stability.json").write_text(json.dumps(record))
    whole = read_arrays(folder / "stability_coclustering.npz")
    inputs = {
        "stability": tmp_path / "stability.json",
        "stability_components": folder / "stability_components.csv",
        "stability_groups": folder / "stability_groups.csv",
        "stability_coclustering": folder / "stability_coclustering.npz",
    }
    with pytest.raises(InputError, match=r"stability\.json: cuts: cut without co-clustering .*n_groups"):
        draw_figures("plot_groups", inputs, {"coclustering": [tmp_path / "a.png"]})
    for name in ("labels", "least_mdl.indptr"):
        path = tmp_path / "damaged.npz"
        write_archive(path, {f"{each}.npy": array for each, array in whole.items() if each != name})
        with pytest.raises(InputError, match=f"{name}: member missing"):
            load_coclusterings(path)


@pytest.mark.parametrize("rule", FIGURE_RULES.values(), ids=FIGURE_RULES)
def test_every_entry_of_the_registry_fits_its_functions(rule):
    """Names are not checked by mypy: each resolves, and what a function needs is there and of use."""
    assert all(callable(resolve_name(name)) for name in figure_code(rule).values())
    given = [*rule.arguments, *rule.settings, *(name for each in rule.inputs for name in INPUTS[each].gives)]
    assert len(given) == len(set(given))
    used = set()
    for figure in rule.figures:
        parameters = inspect.signature(resolve_name(figure.draw)).parameters
        needed = {name for name, each in parameters.items() if each.default is each.empty}
        assert needed <= {*given, "threads"}, figure.key
        used |= set(parameters)
    assert {*rule.arguments, *rule.settings} <= used
    assert set(rule.settings) <= set(MergeConfig.model_fields)
    for name in rule.inputs:
        assert not used.isdisjoint(INPUTS[name].gives), name
    wildcards = [re.findall(r"{\w+}", figure.file) for figure in rule.figures]
    assert all(each == wildcards[0] for each in wildcards)
    known = {"{run_config}", "{ensemble}", "{sweep}", *wildcards[0]}
    templates = [*rule.arguments.values(), *(INPUTS[each].file or "" for each in rule.inputs)]
    assert set(re.findall(r"{\w+}", " ".join(templates))) <= known
