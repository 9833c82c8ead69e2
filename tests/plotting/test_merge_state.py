"""The figure of one moment of a merge: what it shows, at every number of groups."""

import numpy as np
import pytest

from spdclust.core.errors import InputError
from spdclust.plotting.matrices import MOST_CELLS, aggregate_matrix
from spdclust.plotting.merge_state import draw_merge_state
from spdclust.plotting.style import save_figure


def matrices(n_groups, seed=0, masked=()):
    rng = np.random.default_rng(seed)
    coactivations = rng.integers(0, 50, (n_groups, n_groups)).astype(float)
    coactivations += coactivations.T
    costs = rng.normal(size=(n_groups, n_groups))
    np.fill_diagonal(costs, np.nan)
    for group in masked:
        for matrix in (coactivations, costs):
            matrix[group] = matrix[:, group] = np.nan
    return coactivations, costs


def pictures(figure):
    return [
        np.ma.filled(np.ma.asarray(axes.images[0].get_array(), float), np.nan) for axes in figure.axes[:3]
    ]


def test_each_panel_shows_its_numbers():
    groups = np.array([0, 1, 0, 2, 1, 3])
    coactivations, costs = matrices(4, masked=[2])
    coactivations[0, 1] = 0
    assigned, together, price = pictures(draw_merge_state(groups, coactivations, costs, title="t"))
    expected = np.where(groups[:, None] == np.arange(4), 1.0, np.nan)
    np.testing.assert_array_equal(assigned, expected)
    known = coactivations > 0
    np.testing.assert_array_equal(together[known], coactivations[known])
    np.testing.assert_array_equal(np.isnan(together), np.isnan(coactivations))
    assert 0 < together[0, 1] < coactivations[known].min()  # below the scale: white, not grey
    np.testing.assert_array_equal(price, costs)


@pytest.mark.parametrize("how", ["mean", "least", "largest"])
@pytest.mark.parametrize("n", [1, 5, 9, 10, 23])
def test_aggregated_cells_are_those_of_a_loop(n, how):
    matrix = matrices(n, masked=[n // 2])[1]
    cells = aggregate_matrix(matrix, how, limit=9)
    edges = np.linspace(0, n, min(n, 9) + 1).astype(int)
    slow = {"mean": np.mean, "least": np.min, "largest": np.max}[how]
    for i in range(len(edges) - 1):
        for j in range(len(edges) - 1):
            block = matrix[edges[i] : edges[i + 1], edges[j] : edges[j + 1]]
            known = block[~np.isnan(block)]
            assert cells[i, j] == pytest.approx(slow(known) if len(known) else np.nan, nan_ok=True)


@pytest.mark.parametrize("n", [MOST_CELLS, 3 * MOST_CELLS])
def test_cells_of_several_components_are_counted(n):
    groups = np.repeat([0, 1, 2], [n // 2, n // 4, n - n // 2 - n // 4])
    figure = draw_merge_state(groups, *matrices(3), title="t")
    edges = np.linspace(0, n, MOST_CELLS + 1).astype(int)
    counts = np.add.reduceat(groups[:, None] == np.arange(3), edges[:-1], axis=0, dtype=float)
    np.testing.assert_array_equal(np.nan_to_num(pictures(figure)[0]), counts)
    scales = [axes.get_ylabel() for axes in figure.axes[3:]]
    assert ("components in the cell [count]" in scales) == (n > MOST_CELLS)


def test_one_group_is_drawn_and_said(tmp_path):
    figure = draw_merge_state(
        np.zeros(5, dtype=np.int64), np.array([[7.0]]), np.array([[np.nan]]), title="the end"
    )
    assert figure.axes[2].get_title(loc="left") == "One group: nothing to merge"
    assert [text.get_text() for text in figure.axes[2].texts] == ["no value"]
    save_figure(figure, tmp_path / "one.png", tmp_path / "one.pdf", dpi=40)


def test_all_masked_three_groups_and_scalars_are_drawn(tmp_path):
    groups = np.array([0, 1, 2])
    for masked in ((0,), (0, 1, 2)):
        coactivations, costs = matrices(3, masked=masked)
        figure = draw_merge_state(groups, coactivations, costs, title='run $a$ <b> "c"/' + "é" * 300)
        save_figure(figure, tmp_path / "figure.png", dpi=40)
        assert len(figure.get_suptitle()) < 120
    figure = draw_merge_state(groups, matrices(3)[0] + 0.5, matrices(3)[1], title="scalar")
    assert "sum over samples of products" in [axes.get_ylabel() for axes in figure.axes]


def test_thousands_of_groups_make_small_pictures_and_files(tmp_path):
    n = 5_000
    one_row = np.linspace(-1, 1, n, dtype=np.float32)
    matrix = np.broadcast_to(one_row, (n, n))  # no copy is made of it
    figure = draw_merge_state(np.arange(n), np.abs(matrix), matrix, title="first merge")
    for axes in figure.axes:
        assert all(max(image.get_array().shape[:2]) <= MOST_CELLS for image in axes.images)
        assert len(axes.get_children()) < 60
    save_figure(figure, tmp_path / "figure.png", tmp_path / "figure.pdf")
    assert all(path.stat().st_size < 1_000_000 for path in tmp_path.iterdir())


def test_matrices_of_other_groups_are_refused():
    with pytest.raises(InputError) as error:
        draw_merge_state(np.array([0, 1]), np.zeros((3, 3)), np.zeros((3, 3)), title="t")
    assert str(error.value) == (
        "coactivations: matrix does not match the groups (found: (3, 3); allowed: (2, 2), as in group_idxs)"
    )
