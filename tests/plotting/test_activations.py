"""Figures of activations: what a cell shows is what a slow count gives, and nothing grows with the batch."""

import itertools

import numpy as np
import pytest
from scipy import sparse

from spdclust.files.batches import ActivationBatch
from spdclust.merge.activations import ProcessedActivations
from spdclust.plotting import activations as plotting
from spdclust.plotting import matrices
from spdclust.plotting.activations import _count_in_bins, activation_figures
from spdclust.plotting.matrices import MOST_CELLS
from spdclust.plotting.registry import FIGURE_RULES
from spdclust.plotting.style import save_figure

STRANGE = 'a<"$x$/é漢">'
LABELS = ["b:0", f"{STRANGE}:0", "b:1", f"{STRANGE}:1", "b:2"]


def acts(n_samples=30, n_components=5, density=0.4, seed=0):
    rng = np.random.default_rng(seed)
    dense = rng.random((n_samples, n_components)) * (rng.random((n_samples, n_components)) < density)
    labels = LABELS if n_components == 5 else [f"m{c % 7}:{c}" for c in range(n_components)]
    return ProcessedActivations.from_dense(dense, labels), dense


def picture(figure):
    return np.ma.filled(figure.axes[0].images[0].get_array(), np.nan)


def test_coactivation_is_the_share_of_samples_with_both_active_module_by_module():
    activations, dense = acts()
    order = [0, 2, 4, 1, 3]  # b before a, as labels name them
    active = (dense > 0.01)[:, order].astype(float)
    drawn = picture(activation_figures(activations)["coactivation"])
    np.testing.assert_allclose(drawn, active.T @ active / len(dense))


def test_raw_shows_every_activation_and_sorted_the_same_rows_in_another_order():
    activations, dense = acts()
    figures = activation_figures(activations)
    expected = dense[:, [0, 2, 4, 1, 3]]
    drawn = picture(figures["raw"])
    shown = expected > expected.max() / 1e4
    np.testing.assert_allclose(drawn[shown], expected[shown], rtol=1e-6)
    assert (drawn[expected == 0] < expected[expected > 0].min()).all()
    rows = {tuple(np.sort(row).round(5)) for row in drawn}
    assert rows == {tuple(np.sort(row).round(5)) for row in picture(figures["sorted"])}


def test_sorted_samples_follow_the_component_that_exceeds_its_mean_most():
    activations, dense = acts(seed=3)
    order = plotting._sample_order(activations, np.arange(5))
    leader = [
        int(np.argmax(np.where(row > 0, row - dense.mean(axis=0), -np.inf))) if row.any() else 5
        for row in dense
    ]
    assert [leader[sample] for sample in order] == sorted(leader)


@pytest.mark.parametrize("entries", [1, 20, 1000])
def test_samples_are_ordered_by_the_given_components_alone_in_stretches_of_any_size(monkeypatch, entries):
    monkeypatch.setattr(plotting, "_STORED", entries)
    activations, dense = acts(40, seed=4)
    columns = np.array([3, 0, 2])
    chosen = np.where(dense[:, columns] > 0, dense[:, columns] - dense[:, columns].mean(axis=0), -np.inf)
    leader = np.where(np.isfinite(chosen).any(axis=1), chosen.argmax(axis=1), 3)
    excess = np.where(leader < 3, chosen.max(axis=1), 0)
    assert 0 < (leader == 3).sum() < 40
    assert plotting._sample_order(activations, columns).tolist() == np.lexsort((-excess, leader)).tolist()


@pytest.mark.parametrize("entries", [1, 20, 1000])
def test_histograms_count_every_entry_in_stretches_of_any_size(monkeypatch, entries):
    monkeypatch.setattr(plotting, "_STORED", entries)
    rng = np.random.default_rng(2)
    dense = np.float32(rng.choice([0, 0.02, 0.1, 0.34, 0.68, 0.98, 1, rng.random()], (60, 8)))  # edges too
    activations = ProcessedActivations.from_dense(dense, [f"m:{c}" for c in range(8)])
    values, often, many = activation_figures(activations)["histograms"].axes
    (drawn,) = (patch.get_data() for patch in values.patches)
    np.testing.assert_array_equal(drawn.values, np.histogram(dense[dense > 0.01], bins=drawn.edges)[0])
    assert sum(bar.get_height() for bar in often.patches) == 8
    heights = [bar.get_height() for bar in many.patches]
    assert heights == np.bincount((dense > 0.01).sum(axis=1)).tolist()


def test_cells_of_a_large_batch_are_means_over_blocks(monkeypatch):
    monkeypatch.setattr(plotting, "_SAMPLE_CELLS", 7)
    activations, dense = acts(50, 40)
    columns = np.arange(40)[::-1].copy()
    cells = plotting._mean_cells(activations.matrix, columns, np.arange(50))
    assert cells.shape == (7, 40)
    edges = np.linspace(0, 50, 8).astype(int)
    for cell, (start, stop) in enumerate(itertools.pairwise(edges)):
        np.testing.assert_allclose(cells[cell], dense[start:stop, ::-1].mean(axis=0), rtol=1e-6)


def test_coactivation_of_many_components_is_the_mean_over_blocks_of_pairs():
    activations, dense = acts(60, MOST_CELLS + 100, density=0.1)
    columns = np.arange(activations.n_components)
    cells = matrices.mean_coactivation(activations.matrix, columns, 0.01)
    active = (dense > 0.01).astype(float)
    together = active.T @ active / 60
    edges = np.linspace(0, len(columns), MOST_CELLS + 1).astype(int)
    expected = np.add.reduceat(np.add.reduceat(together, edges[:-1], axis=0), edges[:-1], axis=1)
    np.testing.assert_allclose(cells, expected / np.outer(np.diff(edges), np.diff(edges)))


def test_a_sample_of_the_samples_is_said_and_repeats(monkeypatch):
    activations, _ = acts()
    full = picture(activation_figures(activations)["coactivation"])
    monkeypatch.setattr(matrices, "MOST_SAMPLES", 20)
    figures = [activation_figures(activations)["coactivation"] for _ in range(2)]
    assert "20 of 30 samples" in figures[0].axes[0].get_title(loc="left")
    np.testing.assert_array_equal(picture(figures[0]), picture(figures[1]))
    assert not np.array_equal(picture(figures[0]), full)


def test_many_components_and_samples_give_small_pictures():
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(0, 20_000, 200_000), rng.integers(0, 13_000, 200_000)
    matrix = sparse.csr_array((rng.random(200_000), (rows, columns)), shape=(20_000, 13_000))
    activations = ProcessedActivations.from_sparse(matrix, [f"m{c // 500}:{c}" for c in range(13_000)])
    for figure in activation_figures(activations).values():
        for axes in figure.axes:
            assert all(max(image.get_array().shape[:2]) <= MOST_CELLS for image in axes.images)
            assert len(axes.get_children()) < 150


@pytest.mark.parametrize(
    "dense", [np.zeros((4, 3)), np.zeros((0, 3)), np.ones((1, 1)), -np.ones((2, 2)), np.ones((3, 1))]
)
def test_batches_with_little_in_them_are_drawn(dense, tmp_path):
    batch = ActivationBatch.from_dense(dense, [f"m:{c}" for c in range(dense.shape[1])])
    figures = activation_figures(batch)
    assert list(figures) == [figure.part for figure in FIGURE_RULES["plot_activations"].figures]
    for name in ("sorted", "histograms"):
        save_figure(figures[name], tmp_path / f"{name}.png", dpi=40)
    if not (dense > 0).any():
        assert "0 of " in figures["raw"].axes[0].get_title(loc="left")
        assert [text.get_text() for text in figures["raw"].axes[0].texts] == ["no value"]


def test_labels_are_shown_literally_and_files_repeat_byte_for_byte(tmp_path):
    activations, _ = acts()
    for number in (0, 1):
        figure = activation_figures(activations)["coactivation"]
        save_figure(figure, tmp_path / f"{number}.png", tmp_path / f"{number}.pdf", dpi=40)
    for suffix in ("png", "pdf"):
        assert (tmp_path / f"0.{suffix}").read_bytes() == (tmp_path / f"1.{suffix}").read_bytes()
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names == ["b", 'a<"\\$x\\$/é□">']


def test_quantity_and_threshold_are_named_for_what_they_are():
    activations, dense = acts()
    sampled = ActivationBatch(activations, provenance={"causal_importance": "lower_leaky"})
    for batch, quantity in ((sampled, "causal importance"), (ActivationBatch(activations), "activation")):
        figures = activation_figures(batch, activation_threshold=0.3)
        assert figures["histograms"].axes[0].get_xlabel() == f"{quantity}, where > 0.3"
        assert figures["raw"].axes[1].get_ylabel() == quantity
        n_active = (dense > 0.3).any(axis=0).sum()
        assert f"{n_active} of 5 components are ever active (> 0.3)" in figures["raw"].axes[0].get_title(
            "left"
        )
    assert (
        "where > 0"
        in activation_figures(activations, activation_threshold=None)["histograms"].axes[0].get_xlabel()
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("top", [1.0, 3.7])
def test_values_on_and_next_to_the_edges_are_in_the_bins_of_numpy(dtype, top):
    edges = np.linspace(0, top, 51).astype(dtype)
    rng = np.random.default_rng(0)
    values = [edges, np.nextafter(edges[1:], dtype(0)), np.nextafter(edges[:-1], dtype(top))]
    values = np.concatenate([*values, (rng.random(10_000) * top).astype(dtype)])
    values = values[values <= top]
    counted = np.histogram(values, bins=50, range=(np.float64(0), np.float64(top)))[0]
    np.testing.assert_array_equal(_count_in_bins(values, top), counted)
