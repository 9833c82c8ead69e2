"""Figures of the groups that hold: what is drawn is what the record holds, and nothing grows with the ensemble."""

from dataclasses import replace

import numpy as np
import pytest
from found_groups import groups_by_hand
from new_interpreter import imported_by
from scipy import sparse

from spdclust.core.errors import InputError
from spdclust.example_ensemble import example_activations, example_found
from spdclust.files.batches import ActivationBatch
from spdclust.files.groups import save_groups
from spdclust.groups.found import EvidenceTree
from spdclust.merge.activations import ProcessedActivations
from spdclust.plotting.found_groups import (
    MOST_GROUPS,
    MOST_NODES,
    MOST_POINTS,
    _lay_out_found_tree,
    plot_found_groups,
    plot_found_tree,
)
from spdclust.plotting.matrices import MOST_CELLS, mean_coactivation
from spdclust.plotting.style import save_figure
from spdclust.stages.results import draw_figures


def titled(figure, start):
    return next(axes for axes in figure.axes if axes.get_title(loc="left").startswith(start))


def random_tree(n, n_chosen, seed=0):
    """A tree of `n` components in which `n_chosen` pairs are chosen."""
    rng = np.random.default_rng(seed)
    children, free = [], list(range(n))
    for row in range(n - 1):
        if row < n_chosen:
            pair = [2 * row, 2 * row + 1]
            free = [*free[2:], n + row]
        else:
            pair = [free.pop(rng.integers(len(free))) for _ in range(2)]
            free.append(n + row)
        children.append(pair)
    bits = rng.random(n - 1)
    return EvidenceTree(
        np.array(children),
        np.linspace(0.1, 0.9, n - 1),
        bits,
        bits / 10,
        np.where(np.arange(n - 1) < n_chosen, np.arange(n - 1), -1),
    )


def many_groups(n=13_000, n_groups=1500):
    labels = [f"m{c % 17}:{c}" for c in range(n)]
    members = [[labels[2 * g], labels[2 * g + 1]] for g in range(n_groups)]
    found = groups_by_hand(labels, members, 4)
    return replace(found, tree=random_tree(n, n_groups))


def test_evidence_sizes_and_support_are_those_of_the_groups():
    figure = plot_found_groups(example_found())
    bars = titled(figure, "Evidence").containers[0]
    np.testing.assert_allclose(bars[0].get_xdata(), [0.5, 0.4, 0.3])
    spans = np.array([segment[:, 0] for segment in bars[2][0].get_segments()])
    np.testing.assert_allclose(np.diff(spans, axis=1)[:, 0], [0.04, 0.06, 0.08])  # mean ± its error
    assert titled(figure, "Evidence").get_xscale() == "log"
    widths = [[patch.get_width() for patch in bar] for bar in titled(figure, "Size").containers]
    assert widths == [[2, 2, 1], [1, 1, 2]]  # attn, mlp
    every = titled(figure, "All 3 groups")
    assert every.lines[0].get_ydata().tolist() == [0.5, 0.4, 0.3]
    assert (every.get_xlabel(), every.get_yscale()) == ("rank by evidence", "log")
    assert every.get_ylabel() == "bits saved [per sample, held out]"
    support, exact = titled(figure, "In the merge trees").lines
    assert support.get_xdata().tolist() == [1.0, 1.0, 0.75]
    assert exact.get_xdata().tolist() == [1.0, 1.0, 0.5]


def test_null_runs_are_next_to_the_groups_found():
    found = replace(
        example_found(), null_groups=np.repeat([0, 1], [15, 5]), null_groups_busy=np.arange(20) * 3
    )
    null = titled(plot_found_groups(found), "Groups in null runs")
    assert [patch.get_width() for patch in null.patches] == [3, 0, 1, 0, 15, 30, 42, 57]
    assert [text.get_text() for text in null.get_yticklabels()][:4] == [
        "activations",
        "independent: 15 of 20 runs",
        "independent: 5 of 20 runs",
        "busy samples: least",
    ]


def test_1500_groups_of_13000_components_give_few_marks(tmp_path):
    found = many_groups()
    figure = plot_found_groups(found)
    assert len(titled(figure, "In the merge trees").lines[0].get_xdata()) == MOST_GROUPS
    assert len(titled(figure, "All 1500 groups").lines[0].get_xdata()) <= MOST_POINTS
    for axes in figure.axes:
        assert len(axes.get_children()) < 450
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(0, 5_000, 100_000), rng.integers(0, 13_000, 100_000)
    matrix = sparse.csr_array((np.ones(100_000), (rows, columns)), shape=(5_000, 13_000))
    tree = plot_found_tree(found, ProcessedActivations.from_sparse(matrix, found.labels))
    brackets = titled(tree, "Tree of").collections[0]
    assert len(brackets.get_segments()) == MOST_NODES
    assert "800 of 12999 nodes drawn" in titled(tree, "Tree of").get_title(loc="left")
    assert titled(tree, "Active together").images[0].get_array().shape == (MOST_CELLS, MOST_CELLS)
    for each in (figure, tree):
        save_figure(each, tmp_path / "a.png", tmp_path / "a.pdf", dpi=40)
        assert (tmp_path / "a.pdf").stat().st_size < 1_500_000


def test_the_tree_has_every_node_its_evidence_and_the_chosen_ones_in_blue():
    found = example_found()
    layout = _lay_out_found_tree(found.tree, 12)
    assert sorted(layout.order.tolist()) == list(range(12))
    for row, (first, second) in enumerate(found.tree.children.tolist()):
        ends = layout.corners[row][[0, 3], 1]
        expected = [
            np.flatnonzero(layout.order == each)[0] + 0.5 if each < 12 else layout.middle[each - 12]
            for each in (first, second)
        ]
        assert sorted(ends) == sorted(expected)
    assert np.flatnonzero(layout.inside).tolist() == [0, 1, 2, 3, 4, 5]  # the nodes chosen, and those below
    axes = plot_found_tree(found).axes[0]
    assert [text.get_text() for text in axes.texts] == ["0", "1", "2"]
    points = axes.collections[2].get_offsets()
    np.testing.assert_allclose(points[:, 0], 0.2)
    np.testing.assert_allclose(points[:, 1], layout.middle[[1, 3, 5]])
    scale = axes.collections[2].norm
    assert (scale.vmin, scale.vmax) == pytest.approx((0.3, 0.5))  # the least and the most bits of a node
    blue = (axes.collections[0].get_colors() == axes.collections[0].get_colors()[0]).all(axis=1)
    assert blue.tolist() == layout.inside.tolist()


def test_of_several_trees_the_largest_comes_first():
    nothing = np.full(3, np.nan)
    children = np.array([[0, 1], [2, 3], [6, 4]])
    tree = EvidenceTree(children, np.array([0.1, 0.2, 0.3]), nothing, nothing, np.full(3, -1))
    order = _lay_out_found_tree(tree, 5).order.tolist()
    assert (sorted(order[:3]), sorted(order[3:])) == ([2, 3, 4], [0, 1])


def test_components_are_side_by_side_as_in_the_tree_and_compared_by_ochiai():
    found, activations = example_found(), example_activations()
    drawn = plot_found_tree(found, activations).axes[1].images[0].get_array()
    order = _lay_out_found_tree(found.tree, 12).order
    active = (activations.matrix.toarray() > 0.1)[:, order].astype(float)
    together = active.T @ active
    times = np.diag(together)
    np.testing.assert_allclose(drawn, together / np.sqrt(times[:, None] * times), rtol=1e-5)


@pytest.mark.parametrize("n", [401, 950])
def test_cells_of_many_components_are_means_over_pairs_without_self_comparison(n):
    rng = np.random.default_rng(0)
    active = rng.random((60, n)) < 0.3
    matrix = sparse.csr_array(active.astype(float))
    cells = mean_coactivation(matrix, np.arange(n), 0.5, relative=True)
    times = active.sum(axis=0)
    whole = active.T.astype(float) @ active / np.sqrt(np.maximum(times[:, None] * times, 1))
    edges = np.linspace(0, n, MOST_CELLS + 1).astype(int)
    for row, column in ((0, 0), (3, 3), (0, 1), (399, 399), (17, 300)):
        block = whole[edges[row] : edges[row + 1], edges[column] : edges[column + 1]]
        if row == column and len(block) > 1:
            block = block[~np.eye(len(block), dtype=bool)]
        np.testing.assert_allclose(cells[row, column], block.mean(), rtol=1e-5)


@pytest.mark.parametrize(("n_samples", "n"), [(1, 3), (4, 1), (0, 3), (4, 0)])
def test_one_sample_or_component_has_shares_and_none_has_no_number(n_samples, n):
    for relative in (False, True):
        active = sparse.csr_array(np.ones((n_samples, n)))
        cells = mean_coactivation(active, np.arange(n), 0.5, relative=relative)
        assert cells.size
        assert (np.isnan(cells) if 0 in (n_samples, n) else cells == 1).all()


def test_components_that_a_batch_lacks_are_never_active_there():
    found, whole = example_found(), example_activations()
    kept = [c for c, label in enumerate(whole.labels) if label != "attn:1"]
    part = ProcessedActivations.from_sparse(whole.matrix[:, kept], [whole.labels[c] for c in kept])
    drawn = plot_found_tree(found, part).axes[1].images[0].get_array()
    place = _lay_out_found_tree(found.tree, 12).order.tolist().index(found.labels.index("attn:1"))
    assert not drawn[place].any()
    assert drawn[0].any()


@pytest.mark.parametrize("tested", [True, False])
@pytest.mark.parametrize("n_groups", [0, 1, 3])
def test_few_groups_and_groups_without_evidence_are_drawn(tmp_path, n_groups, tested):
    labels = [f"m:{c}" for c in range(7)]
    found = groups_by_hand(labels, [labels[2 * g : 2 * g + 2] for g in range(n_groups)], 2, tested=tested)
    figure = plot_found_groups(found)
    save_figure(figure, tmp_path / "groups.png", dpi=40)
    said = " ".join(text.get_text() for axes in figure.axes for text in axes.texts)
    assert ("no group holds" in said) == (n_groups == 0)
    assert ("no batches" in said) == (not tested)
    save_figure(plot_found_tree(found), tmp_path / "tree.png", dpi=40)


def test_the_stage_draws_both_from_files_and_repeats_byte_for_byte(tmp_path):
    save_groups(example_found(), tmp_path, ensemble="e")
    ActivationBatch(example_activations()).save(tmp_path / "batch_0.pt")
    for number in (0, 1):
        paths = {
            name: [tmp_path / f"{name}{number}.png", tmp_path / f"{name}{number}.pdf"]
            for name in ("groups", "groups_tree")
        }
        inputs = {"groups": tmp_path / "groups.json", "kept_batch": tmp_path / "batch_0.pt"}
        draw_figures("plot_found_groups", inputs, paths, dpi=40)
    for name in ("groups", "groups_tree"):
        for suffix in ("png", "pdf"):
            files = [(tmp_path / f"{name}{number}.{suffix}").read_bytes() for number in (0, 1)]
            assert files[0] == files[1]
    with pytest.raises(InputError, match=r"nothing\.json"):
        inputs = {"groups": tmp_path / "nothing.json", "kept_batch": []}
        draw_figures("plot_found_groups", inputs, {"groups": [tmp_path / "a.png"]})


def test_figures_of_groups_need_no_compiled_code():
    assert not {"numba", "scipy.cluster"} & imported_by("import spdclust.plotting.found_groups")
