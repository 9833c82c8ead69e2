"""Figures of the stability analysis: what they show is what the analysis holds."""

import numpy as np
import pytest

from spdclust.config.merge import MergeConfig
from spdclust.files.stability import load_stability_iterations, load_stability_record, save_stability
from spdclust.merge.history import MergeHistory
from spdclust.partitions.ensemble import normalize_ensemble
from spdclust.plotting.stability import plot_agreement, plot_contested
from spdclust.plotting.style import CUT_NAMES
from spdclust.stability.agreement import QUANTILES
from spdclust.stability.analysis import analyze_stability
from spdclust.stability.summary import QUANTILE_COLUMNS, iteration_table, stability_record


def runs(n_runs, n=20, same=False, mdl=True):
    histories = []
    for run in range(n_runs):
        rng = np.random.default_rng(0 if same else run)
        pairs = np.sort([rng.choice(n - t, 2, replace=False) for t in range(n - 3)], axis=1)
        loss = np.abs(np.arange(n - 3) - 6.0) if mdl else np.full(n - 3, np.nan)
        labels = [f"layer:{i}" for i in range(n)]
        histories.append(MergeHistory(labels, pairs, loss, np.zeros(n - 3), MergeConfig(iters=None)))
    return normalize_ensemble(histories)


@pytest.fixture(scope="module", params=[{}, {"same": True}, {"mdl": False}, {"n": 8}], ids=str)
def analysed(request):
    normalized = runs(3, **request.param)
    stability = analyze_stability(normalized, stride=2)
    record = stability_record(normalized, stability, stride=2)
    return normalized, stability, record, iteration_table(normalized, stability)


def lines(axes, color):
    return [line for line in axes.lines if line.get_color() == color]


def test_every_axis_has_a_label_with_its_unit(analysed):
    _, _, record, table = analysed
    for figure in (plot_agreement(record, table), plot_contested(record, table)):
        for axes in figure.axes:
            if not axes.axison:
                continue
            assert "[" in axes.get_ylabel() or axes.get_yticklabels()
            shared = axes.get_shared_x_axes().get_siblings(axes)
            assert any(each.get_xlabel() for each in shared)
            assert all("[" in each.get_xlabel()
                       for each in shared if each.get_xlabel())  # fmt: skip


def test_curves_are_those_of_the_analysis_and_of_shuffled_runs(analysed):
    _, stability, record, table = analysed
    rand, hamming, distinct = plot_agreement(record, table).axes
    for axes, method in ((rand, "adjusted_rand_dist"), (hamming, "perm_invariant_hamming")):
        median = QUANTILES.index(0.5)
        drawn = [line for line in axes.lines if len(line.get_xdata()) > 2]
        for line, agreement in zip(drawn, (stability.agreement, stability.null_agreement), strict=True):
            np.testing.assert_array_equal(line.get_ydata(), agreement.quantiles[method][:, median])
            np.testing.assert_array_equal(line.get_xdata(), np.add(agreement.iterations, 1))  # merges made
    np.testing.assert_array_equal(distinct.lines[0].get_ydata(), stability.agreement.n_distinct)
    marked = [line.get_xdata()[0] for line in rand.lines if len(line.get_xdata()) == 2]
    assert marked == [at["iteration"] + 1 for at in record["cuts"].values()]


def test_pairs_and_contested_components_are_those_of_the_cuts(analysed):
    _, stability, record, table = analysed
    panels = plot_contested(record, table).axes
    for (pairs, components), (name, at) in zip(
        zip(panels[::2], panels[1::2], strict=True), stability.cuts.items(), strict=True
    ):
        assert pairs.get_title(loc="left").startswith(CUT_NAMES[name].capitalize())
        heights = [bar.get_height() for bar in pairs.containers[0]]
        assert heights == at.coclustering.histogram[1:].tolist()
        assert [bar.get_height() for bar in pairs.containers[1]] == at.null.histogram[1:].tolist()
        contested = np.sort(at.components.contestedness[at.components.contestedness > 0])[::-1]
        if not len(contested):
            assert components.get_title(loc="left") == "No component is contested"
            continue
        widths = [bar.get_width() for bar in components.containers[0]]
        np.testing.assert_allclose(widths, contested[: len(widths)])
        assert len(widths) == min(12, len(contested))


def test_files_give_back_what_was_written(analysed, tmp_path):
    normalized, stability, record, table = analysed
    save_stability(normalized, stability, tmp_path, stride=2)
    assert load_stability_record(tmp_path / "stability.json") == record
    read = load_stability_iterations(tmp_path / "stability_iterations.csv")
    assert list(read) == list(table)
    for name, column in table.items():
        np.testing.assert_array_equal(read[name], column)


def test_a_record_without_further_arguments_is_that_of_every_iteration():
    normalized = runs(3)
    stability = analyze_stability(normalized)
    assert stability_record(normalized, stability) == stability_record(
        normalized, stability, stride=1, seed=0
    )


def test_the_table_holds_distances_of_every_pair_at_the_kept_iterations():
    normalized = runs(3)
    table = iteration_table(normalized, analyze_stability(normalized, ["matching_dist"], stride=4))
    assert table["iteration"].tolist() == [0, 4, 8, 12, 16]
    assert table["n_groups"].tolist() == [19, 15, 11, 7, 3]
    np.testing.assert_array_equal(table["mdl"], np.abs(table["iteration"] - 6.0))
    for row, iteration in enumerate(table["iteration"]):
        groups = normalized.merge_array_rows(int(iteration))
        same = groups[:, :, None] == groups[:, None, :]
        between = [np.triu(same[a] ^ same[b]).sum() for a, b in ((0, 1), (0, 2), (1, 2))]
        found = [table[f"matching_dist.{name}"][row] for name in QUANTILE_COLUMNS]
        np.testing.assert_allclose(found, np.quantile(between, QUANTILES))
        assert table["n_distinct"][row] == len({tuple(each) for each in groups.tolist()})
