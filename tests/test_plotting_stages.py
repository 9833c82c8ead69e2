"""Stages of figures: from files to pictures, with one line where something is wrong."""

import numpy as np
import pytest
from PIL import Image

from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError
from spdclust.files.batches import ActivationBatch, BatchedActivations
from spdclust.files.ensembles import save_distances
from spdclust.files.histories import save_merge_history
from spdclust.files.stability import save_stability
from spdclust.files.stability_groups import load_coclusterings, load_components
from spdclust.merge.costs import compute_merge_costs, recompute_coacts_from_scratch
from spdclust.merge.merging import merge_iteration
from spdclust.partitions.ensemble import normalize_ensemble
from spdclust.plotting import merge_state
from spdclust.plotting.names import ACTIVATION_FIGURES
from spdclust.stability.analysis import analyze_stability
from spdclust.stages.plot_activations import plot_activations
from spdclust.stages.plot_groups import plot_groups
from spdclust.stages.plot_merge_state import plot_merge_state
from spdclust.stages.plot_merge_tree import plot_merge_tree
from spdclust.stages.plot_runs import plot_runs

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


def test_the_moment_shown_is_that_of_the_slow_formulas(made, tmp_path, monkeypatch):
    folder, histories = made
    seen = {}

    def spy(group_idxs, coactivations, costs, **kwargs):
        seen.update(groups=group_idxs, coactivations=coactivations, costs=costs, **kwargs)
        return draw(group_idxs, coactivations, costs, **kwargs)

    draw = merge_state.draw_merge_state_cells
    monkeypatch.setattr(merge_state, "draw_merge_state_cells", spy)
    path = tmp_path / "state.png"
    plot_merge_state(
        folder / "history_0.zip", [folder / "batch_0.pt"], "iteration_4", paths=[path], title="R"
    )
    assert path.is_file()
    groups = histories[0].group_idxs(4)
    np.testing.assert_array_equal(seen["groups"], groups)
    dense = ActivationBatch.load(folder / "batch_0.pt").matrix.toarray()
    expected = recompute_coacts_from_scratch(dense, groups, 0.1)
    np.testing.assert_array_equal(seen["coactivations"], expected)
    costs = compute_merge_costs(expected / len(dense), np.bincount(groups), CONFIG.alpha)
    np.fill_diagonal(costs, np.nan)
    np.testing.assert_allclose(seen["costs"], costs)
    assert (seen["title"], seen["counts"]) == ("R after merge 4: 7 groups", True)


def test_dpi_and_scale_are_those_of_the_file(made, tmp_path):
    folder, _ = made
    sizes = []
    for number, size in enumerate(({"dpi": 50}, {"dpi": 100}, {"dpi": 50, "scale": 2.0})):
        plot_merge_tree(folder / "history_0.zip", paths=[tmp_path / f"{number}.png"], **size)
        sizes.append(np.array(Image.open(tmp_path / f"{number}.png").size))
    assert (abs(sizes[1] - 2 * sizes[0]) <= 1).all()
    assert (abs(sizes[2] - 2 * sizes[0]) <= 1).all()


def test_every_other_figure_is_written_from_files(made, tmp_path):
    folder, _ = made
    record = folder / "stability.json"
    plot_activations(
        folder / "batch_0.pt", paths={n: [tmp_path / f"{n}.png"] for n in ACTIVATION_FIGURES}, dpi=40
    )
    plot_runs(folder / "distances.npz", record, "matching_dist", paths=[tmp_path / "runs.png"], dpi=40)
    plot_groups(
        record,
        folder / "stability_components.csv",
        folder / "stability_groups.csv",
        folder / "stability_coclustering.npz",
        paths={name: [tmp_path / f"{name}.pdf"] for name in ("coclustering", "consensus")},
        dpi=40,
    )
    assert len(list(tmp_path.iterdir())) == len(ACTIVATION_FIGURES) + 3


def test_a_history_without_merges_and_a_moment_that_is_not_there(made, tmp_path):
    folder, _ = made
    with pytest.raises(InputError, match=r"history_0\.zip: iteration: no such iteration \(found: 99; "):
        plot_merge_state(folder / "history_0.zip", [folder / "batch_0.pt"], "iteration_99", paths=[])
    with pytest.raises(InputError, match="the activations are not those that were merged"):
        ActivationBatch.from_dense(np.ones((3, 2)), ["m0:0", "m0:1"]).save(tmp_path / "batch_0.pt")
        plot_merge_state(folder / "history_0.zip", [tmp_path / "batch_0.pt"], "least_mdl", paths=[])
    one = merge_iteration(ActivationBatch.from_dense(np.ones((5, 2)), ["a:0", "a:1"]).activations, CONFIG)
    assert one.n_iterations == 0
    save_merge_history(one, tmp_path / "history.zip")
    path = tmp_path / "none.png"
    plot_merge_state(tmp_path / "history.zip", [tmp_path / "batch_0.pt"], "least_mdl", paths=[path])
    assert path.is_file()


def test_damaged_tables_are_one_line(made, tmp_path):
    folder, _ = made
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
    with pytest.raises(InputError, match="n_groups: no such cut"):
        load_coclusterings(folder / "stability_coclustering.npz", ["n_groups"])
