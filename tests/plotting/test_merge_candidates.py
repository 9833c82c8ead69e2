"""Candidate pairs of a merge: their counts against plain loops over all pairs."""

from dataclasses import replace

import numpy as np
import pytest

from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError
from spdclust.example_ensemble import example_activations, example_history
from spdclust.files.batches import ActivationBatch, BatchedActivations
from spdclust.files.histories import save_merge_history
from spdclust.merge.costs import compute_merge_costs
from spdclust.merge.merging import repeat_merge
from spdclust.plotting.merge_state import (
    _count_candidates,
    _draw_candidates,
    _moments_of,
    plot_merge_candidates,
    plot_merge_state,
)
from spdclust.stages.results import draw_figures


@pytest.mark.parametrize("iteration", [0, 4, 9])
def test_every_pair_is_counted_where_the_plain_formulas_put_it(iteration):
    history, activations = example_history(), example_activations()
    (view,) = repeat_merge(activations, history, [iteration])
    found = _count_candidates(view, history.selected_pairs[iteration + 1].tolist())
    active = activations.matrix.toarray() > 0.1
    groups = history.group_idxs(iteration)
    n = history.n_components - 1 - iteration
    on = np.stack([active[:, groups == group].any(axis=1) for group in range(n)], axis=1)
    costs = compute_merge_costs(on.T.astype(float) @ on / len(on), np.bincount(groups), history.config.alpha)
    expected = np.zeros_like(found.counts)
    for a in range(n):
        for b in range(a + 1, n):
            similarity = (on[:, a] & on[:, b]).sum() / (on[:, a] | on[:, b]).sum()
            column = int(np.ceil(similarity * (len(found.similarity_edges) - 1)))
            row = np.searchsorted(found.cost_edges, costs[a, b], side="right") - 1
            expected[row, column] += 1
    assert found.counts.sum() == n * (n - 1) // 2
    np.testing.assert_array_equal(found.counts, expected)
    a, b = history.selected_pairs[iteration + 1]
    similarity = (on[:, a] & on[:, b]).sum() / (on[:, a] | on[:, b]).sum()
    assert found.chosen == pytest.approx((similarity, costs[a, b]))


def test_moments_are_the_start_halfway_and_the_shortest_description_or_the_end():
    history = example_history()
    assert _moments_of(history) == [0, history.best_iteration() // 2, history.best_iteration()]
    scalar = replace(history, config=MergeConfig(activation_threshold=None))
    assert _moments_of(scalar) == [0, 5, 10]


def test_after_the_last_merge_there_is_nothing_to_choose(tmp_path):
    history = example_history()
    (view,) = repeat_merge(example_activations(), history, [history.n_iterations - 1])
    found = _count_candidates(view)
    assert (found.chosen, found.k_groups, found.counts.sum()) == (None, 1, 0)
    figure = _draw_candidates([found])
    assert figure.axes[0].get_title(loc="left") == "After 11 merges: 1 group"
    assert figure.axes[-1].get_ylabel() == "pairs of groups [count]"  # what the colours mean


def draw(folder, batch, paths):
    inputs = {"history": folder / "history.zip", "batches": [folder / batch]}
    draw_figures("plot_merge_candidates", inputs, {"merge_candidates": paths}, dpi=40)


def test_the_stage_draws_a_panel_a_moment_and_names_batches_of_another_run(tmp_path):
    save_merge_history(example_history(), tmp_path / "history.zip")
    for seed in (0, 1):
        ActivationBatch(example_activations(seed)).save(tmp_path / f"batch_{seed}.pt")
    for number in (0, 1):
        picture = [tmp_path / f"{number}.png", tmp_path / f"{number}.pdf"]
        draw(tmp_path, "batch_0.pt", picture)
    for suffix in ("png", "pdf"):
        assert (tmp_path / f"0.{suffix}").read_bytes() == (tmp_path / f"1.{suffix}").read_bytes()
    other = ActivationBatch.from_dense(np.ones((4, 2)), ["x:0", "x:1"])
    other.save(tmp_path / "other.pt")
    with pytest.raises(InputError, match=f"^{tmp_path}: labels: .*not those that were merged"):
        draw(tmp_path, "other.pt", [tmp_path / "a.png"])


def test_a_history_without_merges_has_figures_that_say_so(tmp_path):
    history = example_history()
    empty = np.empty(0)
    none = np.empty((0, 2), dtype=np.int64)
    history = replace(history, selected_pairs=none, mdl_loss=empty, merge_pair_cost=empty, records={})
    ActivationBatch(example_activations()).save(tmp_path / "batch_0.pt")
    batches = BatchedActivations(tmp_path)
    figures = [
        plot_merge_state(history, batches, "least_mdl", title="Run 0"),
        plot_merge_candidates(history, batches, title="Run 0"),
    ]
    assert [figure.axes[0].get_title(loc="left") for figure in figures] == ["Run 0: no merges"] * 2
