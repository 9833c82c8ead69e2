"""Figures of merges and ensembles: what they show is what the results hold, and nothing grows with size."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import sparse
from scipy.cluster import hierarchy
from sklearn.metrics import euclidean_distances

from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError
from spdclust.files.stability import (
    CutComponent,
    load_coclusterings,
    load_components,
    load_group_members,
    load_groups,
    save_stability,
)
from spdclust.merge.history import MergeHistory
from spdclust.partitions.ensemble import normalize_ensemble
from spdclust.plotting.merges import MOST_LEAVES, _lay_out_tree, plot_cluster_sizes, plot_mdl, plot_merge_tree
from spdclust.plotting.runs import _classical_scaling, _seriated, plot_distances, plot_runs
from spdclust.plotting.stability import plot_coclustering, plot_consensus
from spdclust.plotting.style import save_figure
from spdclust.stability.analysis import analyze_stability
from spdclust.stability.cut import groups_at
from spdclust.stability.summary import stability_record

STRANGE = ['a<b>"$x$"/é漢:0', "$:1", "x" * 400 + ":2"]


def history(n, n_merges=None, seed=0, mdl=True, labels=None):
    rng = np.random.default_rng(seed)
    n_merges = max(0, n - 3) if n_merges is None else n_merges
    left = n - np.arange(n_merges)
    first, second = rng.integers(0, left), rng.integers(0, left - 1)
    pairs = np.sort(np.stack([first, second + (second >= first)], axis=1), axis=1)
    loss = np.abs(np.arange(n_merges) - n_merges / 2) if mdl else np.full(n_merges, np.nan)
    labels = labels or [f"module.{c % 3}:{c}" for c in range(n)]
    return MergeHistory(labels, pairs, loss, np.zeros(n_merges), MergeConfig(iters=None, min_groups=1))


def artists(figure):
    return sum(1 for _ in figure.findobj())


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes]


# the tree


@pytest.mark.parametrize("n_merges", [0, 1, 20, 36, 39])
def test_leaves_and_brackets_are_those_of_the_linkage(n_merges):
    made = history(40, n_merges)
    layout = _lay_out_tree(made)
    assert sorted(layout.leaf_of_component) == list(range(40))
    place = {c: (float(leaf), 0.0) for c, leaf in enumerate(layout.leaf_of_component.tolist())}
    for t, (low, high, height, _) in enumerate(made.to_linkage().tolist()):
        left, right = sorted((place[int(low)], place[int(high)]))
        corners = [left, (left[0], height), (right[0], height), right]
        np.testing.assert_allclose(layout.corners[t], corners)
        place[40 + t] = ((left[0] + right[0]) / 2, height)


def test_the_leaves_below_a_merge_stand_side_by_side():
    made = history(40, 39)
    layout = _lay_out_tree(made)
    members = [{c} for c in range(40)]
    for t, (low, high, *_) in enumerate(made.to_linkage().astype(int).tolist()):
        members.append(members[low] | members[high])
        leaves = sorted(layout.leaf_of_component[c] for c in members[-1])
        assert leaves == list(range(layout.first_leaf[t], layout.last_leaf[t] + 1))


def test_groups_of_one_size_are_drawn_in_the_order_in_which_they_formed():
    labels = [f"m:{c}" for c in range(6)]
    made = MergeHistory(labels, np.array([[2, 3], [0, 1]]), np.zeros(2), np.zeros(2), MergeConfig())
    assert np.argsort(_lay_out_tree(made).leaf_of_component).tolist() == [2, 3, 0, 1, 4, 5]


def test_a_truncated_tree_begins_with_the_groups_of_that_moment():
    made = history(60, 57)
    layout = _lay_out_tree(made, whole_up_to=30, most_leaves=20)
    assert (layout.first, layout.n_leaves, len(layout.corners)) == (40, 20, 17)
    groups = made.group_idxs(39)
    same = layout.leaf_of_component[:, None] == layout.leaf_of_component[None, :]
    np.testing.assert_array_equal(same, groups[:, None] == groups[None, :])
    whole = _lay_out_tree(made)
    np.testing.assert_array_equal(layout.corners[:, 1, 1], whole.corners[40:, 1, 1])


def test_merges_inside_a_module_have_its_colour():
    labels = ["a:0", "a:1", "b:0", "b:1"]
    made = MergeHistory(labels, np.array([[0, 1], [1, 2], [0, 1]]), np.zeros(3), np.zeros(3), MergeConfig())
    (brackets,) = [each for each in plot_merge_tree(made).axes[0].collections if len(each.get_colors()) == 3]
    inside, also, across = (tuple(color) for color in brackets.get_colors())
    assert len({inside, also, across}) == 3


def test_thirteen_thousand_components_make_a_tree_of_few_artists_and_small_files(tmp_path):
    made = history(13_000)
    figures = {"tree": plot_merge_tree(made), "mdl": plot_mdl([made]), "sizes": plot_cluster_sizes([made])}
    assert titles(figures["tree"]) == [f"The last {MOST_LEAVES - 3} merges", "", "All merges", ""]
    assert len(figures["tree"].axes[2].collections[0].get_segments()) == 12_997
    for name, figure in figures.items():
        save_figure(figure, tmp_path / f"{name}.pdf")
        assert artists(figure) < 2500
        assert sum(len(line.get_xdata()) for axes in figure.axes for line in axes.lines) < 15_000
    assert all(path.stat().st_size < 500_000 for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    "made",
    [history(1, 0), history(3, 0), history(3, 2, labels=STRANGE), history(2, 1, mdl=False)],
    ids=["one component", "no merges", "strange labels", "no description length"],
)
def test_small_histories_give_figures_that_say_so(made, tmp_path):
    figures = {
        "tree": plot_merge_tree(made),
        "mdl": plot_mdl([made]),
        "cluster_sizes": plot_cluster_sizes([made]),
    }
    for name, figure in figures.items():
        save_figure(figure, tmp_path / f"{name}.png", dpi=40)
    if made.n_iterations == 0:
        texts = [text.get_text() for text in figures["tree"].axes[0].texts]
        assert texts == ["no merges: every component alone"]
        assert titles(figures["mdl"]) == ["Description length: no merges"]
        assert titles(figures["cluster_sizes"])[0] == "Number of groups: no merges"
    if made.labels == STRANGE:
        shown = [text.get_text() for text in figures["tree"].axes[1].get_xticklabels()]
        assert max(map(len, shown)) < 30
        assert any(r'a<b>"\$x\$"/é□:0' in text for text in shown)
    if made.n_iterations == 1:
        assert titles(figures["mdl"]) == ["Description length: not recorded"]


# distances


def test_sizes_are_those_of_the_groups_and_there_is_no_point_without_one():
    made = history(9, 8)
    sizes = [np.sort(np.bincount(made.group_idxs(t)))[::-1] for t in range(8)]
    for rank, line in enumerate(plot_cluster_sizes([made]).axes[1].lines):
        expected = [of[rank] if rank < len(of) else np.nan for of in sizes]
        np.testing.assert_array_equal(line.get_ydata(), expected)


def test_the_shortest_description_is_marked_after_as_many_merges():
    curve, best = plot_mdl([history(9, 8)]).axes[0].lines  # |t − 4|, t merges after the first
    assert curve.get_xdata().tolist() == list(range(1, 9))
    assert (best.get_xdata().tolist(), best.get_ydata().tolist()) == ([5], [0])


def test_distances_are_linear_near_zero_and_points_only_for_few_pairs():
    rng = np.random.default_rng(0)
    between = rng.integers(0, 500, (12, 4, 4)).astype(float)
    between = np.triu(between, 1) + np.triu(between, 1).transpose(0, 2, 1)
    few = plot_distances(between, "matching_dist").axes[0]
    n_runs = between.shape[1]
    assert (
        few.get_title(loc="left")
        == f"Distance between runs: {n_runs * (n_runs - 1) // 2} pairs of {n_runs} runs"
    )
    assert few.get_yscale() == "symlog"
    assert sorted(few.lines[1].get_ydata()) == sorted(between[:, *np.triu_indices(4, 1)].ravel())
    np.testing.assert_allclose(
        few.lines[0].get_ydata(), np.median(between[:, *np.triu_indices(4, 1)], axis=1)
    )
    many = np.broadcast_to(between[:, :1, 1:2], (12, 40, 40))
    assert len(plot_distances(many, "matching_dist").axes[0].lines) == 1


def test_equal_runs_are_said_and_long_merges_are_thinned():
    assert titles(plot_distances(np.zeros((4, 3, 3)), "jaccard_dist")) == [
        "Distance between runs: all 3 are equal after every merge"
    ]
    figure = plot_distances(np.ones((13_000, 8, 8)), "matching_dist")
    assert max(len(line.get_xdata()) for line in figure.axes[0].lines) <= 2000 * 28


# runs


def test_classical_scaling_gives_points_in_the_plane_their_distances_back():
    points = np.random.default_rng(1).normal(size=(9, 2))
    between = euclidean_distances(points)
    found, shares = _classical_scaling(between)
    np.testing.assert_allclose(euclidean_distances(found), between, atol=1e-7)
    assert shares.sum() == pytest.approx(1)
    assert shares[0] >= shares[1]


@pytest.mark.parametrize("n", [1, 2, 5])
def test_classical_scaling_of_equal_runs_is_one_point(n):
    points, shares = _classical_scaling(np.zeros((n, n)))
    assert not points.any()
    assert shares.tolist() == [0, 0]


def test_distances_of_no_points_in_space_lose_a_share():
    between = 1.0 - np.eye(5)
    between[0, 1] = between[1, 0] = 30
    assert _classical_scaling(between)[1].sum() < 0.9


def test_similar_runs_stand_side_by_side():
    between = np.full((6, 6), 10.0)
    for group in ([0, 3, 5], [1, 2, 4]):
        between[np.ix_(group, group)] = 1
    np.fill_diagonal(between, 0)
    order = _seriated(between).tolist()
    assert sorted(order[:3]) in ([0, 3, 5], [1, 2, 4])


# co-clustering and consensus


@pytest.fixture(scope="module", params=[{}, {"same": True}, {"n": 5}], ids=str)
def analysed(request, tmp_path_factory):
    n, same = request.param.get("n", 30), request.param.get("same", False)
    normalized = normalize_ensemble([history(n, seed=0 if same else run) for run in range(4)])
    stability = analyze_stability(normalized)
    folder = tmp_path_factory.mktemp("analysed")
    save_stability(normalized, stability, folder)
    record = stability_record(normalized, stability)
    components = load_components(folder / "stability_components.csv")
    groups = load_groups(folder / "stability_groups.csv")
    coclustering = load_coclusterings(folder / "stability_coclustering.npz")
    return normalized, stability, record, components, groups, coclustering


def test_members_of_groups_are_read_back_whatever_the_labels(tmp_path):
    odd = [
        "a cat:0",
        'say "hi":1',
        "comma, here:2",
        "[a:3",
        '["b"]:4',
        " lead:5",
        "two  spaces:6",
        "é\u2028x:7",
    ]
    runs = [history(8, seed=run, labels=odd) for run in range(3)]
    normalized = normalize_ensemble(runs)
    stability = analyze_stability(normalized)
    save_stability(normalized, stability, tmp_path)
    read = load_group_members(tmp_path / "stability_groups.csv")
    assert set(read) == set(stability.cuts)
    for cut, at in stability.cuts.items():
        group_idxs = at.coclustering.consensus.group_idxs
        groups = [
            [normalized.labels[c] for c in np.flatnonzero(group_idxs == g)]
            for g in range(group_idxs.max() + 1)
        ]
        assert sorted(read[cut]) == sorted(groups)
        assert [len(group) for group in read[cut]] == [
            row["size"] for row in load_groups(tmp_path / "stability_groups.csv")[cut]
        ]


def test_older_tables_of_groups_are_read_where_they_can_be(tmp_path):
    path = tmp_path / "stability_groups.csv"
    path.write_text("cut,group,size,support,members\nleast_mdl,0,2,1.0,a:0 [b]:1\nleast_mdl,1,1,1.0,3\n")
    assert load_group_members(path) == {"least_mdl": [["a:0", "[b]:1"], ["3"]]}
    path.write_text("cut,group,size,support,members\nleast_mdl,0,2,1.0,a cat:0 b:1\n")
    with pytest.raises(
        InputError, match=r"members: members cannot be distinguished \(found: a cat:0 b:1; allowed: a JSON"
    ):
        load_group_members(path)
    assert load_groups(path)["least_mdl"][0]["size"] == 2


def draw_coclustering(analysed):
    _, _, record, components, _, (labels, frequencies) = analysed
    contested = {cut: [c.label for c in of if c.contestedness > 0] for cut, of in components.items()}
    return plot_coclustering(record, components, labels, frequencies), contested


def test_the_table_of_contested_components_holds_their_frequencies(analysed):
    normalized, stability, *_ = analysed
    figure, contested = draw_coclustering(analysed)
    tables = [axes for part in figure.subfigs for axes in part.axes if axes.images]
    drawn = iter(tables)
    trees = (axes for part in figure.subfigs for axes in part.axes if axes.get_ylabel() == "apart [share]")
    for name, at in stability.cuts.items():
        if len(contested[name]) < 2:
            continue
        picture = np.asarray(next(drawn).images[0].get_array())
        groups = groups_at(normalized, at.cut)
        which = [normalized.labels.index(label) for label in contested[name]]
        together = (groups[:, which, None] == groups[:, None, which]).mean(axis=0)
        tree = hierarchy.average(1 - together[np.triu_indices(len(which), 1)])
        assert sorted(picture.sum(axis=0)) == pytest.approx(sorted(together.sum(axis=0)))
        assert sorted(picture.ravel()) == pytest.approx(sorted(together.ravel()))
        # neighbours by the tree: as near as the best order of leaves has them
        best = hierarchy.leaves_list(
            hierarchy.optimal_leaf_ordering(tree, 1 - together[np.triu_indices(len(which), 1)])
        )
        assert np.diag(picture, 1).sum() == pytest.approx(np.diag(together[np.ix_(best, best)], 1).sum())
        # the tree above: a bracket for each join, as high as it is apart
        (brackets,) = next(trees).collections
        heights = [bracket[:, 1].max() for bracket in brackets.get_segments()]
        assert sorted(heights) == pytest.approx(sorted(tree[:, 2]))
    assert len(tables) == sum(len(of) > 1 for of in contested.values())


def test_where_runs_agree_the_figure_says_so():
    normalized = normalize_ensemble([history(12), history(12)])
    stability = analyze_stability(normalized)
    record = stability_record(normalized, stability)
    empty = sparse.csr_array((12, 12))
    figure = plot_coclustering(
        record, {cut: [] for cut in record["cuts"]}, normalized.labels, dict.fromkeys(record["cuts"], empty)
    )
    said = [axes.get_title(loc="left") for part in figure.subfigs for axes in part.axes]
    assert all(text.endswith("no component is contested: all runs agree") for text in said)
    left_out = plot_coclustering(
        record,
        {cut: [CutComponent("a", 0, 0.5)] for cut in record["cuts"]},
        normalized.labels,
        dict.fromkeys(record["cuts"]),
    )
    said = [axes.get_title(loc="left") for part in left_out.subfigs for axes in part.axes]
    assert all("more pairs than are kept" in text for text in said)


def test_bars_are_the_modules_of_the_largest_consensus_groups(analysed):
    _, stability, record, components, groups, _ = analysed
    numbers = {cut: {c.label: c.consensus_group for c in of} for cut, of in components.items()}
    figure = plot_consensus(record, groups, components)
    for axes, (name, at) in zip(figure.axes[::2], stability.cuts.items(), strict=True):
        consensus = at.coclustering.consensus
        several = np.sort(consensus.sizes[consensus.sizes > 1])[::-1][:20]
        if not len(several):
            assert axes.texts[0].get_text() == "every consensus group has one component"
            anchor = axes.texts[0].get_transform().transform(axes.texts[0].get_position())
            assert axes.bbox.contains(*anchor)
            continue
        widths = np.sum([[bar.get_width() for bar in bars] for bars in axes.containers], axis=0)
        np.testing.assert_array_equal(widths, several)
        first = groups[name][0]["group"]
        inside = [label for label, group in numbers[name].items() if group == first]
        modules = [sum(label.startswith(f"module.{m}:") for label in inside) for m in range(3)]
        assert [bars[0].get_width() for bars in axes.containers] == modules
        assert axes.texts[0].get_text() == f"{groups[name][0]['support']:.0%}"


def test_runs_are_compared_at_the_cut(analysed):
    _, _, record, *_ = analysed
    n_iterations = record["n_iterations"]
    between = np.arange(n_iterations)[:, None, None] * (1.0 - np.eye(4))
    figure = plot_runs(between, "matching_dist", np.arange(n_iterations), record)
    panels = zip(figure.axes[::2], figure.axes[1::2], record["cuts"].values(), strict=False)
    for axes, points, at in panels:
        assert axes.images[0].get_array().max() == at["iteration"]
        equal = points.get_title(loc="left") == "All runs have the same groups"
        assert equal == (at["iteration"] == 0)
        assert equal or points.get_title(loc="left") == "The same as points (classical scaling)"
    late = plot_runs(between[-1:], "matching_dist", np.array([n_iterations - 1]), record)
    nearest = f"; distances after {n_iterations} merges"
    for axes, at in zip(late.axes[::2], record["cuts"].values(), strict=False):
        assert axes.get_title(loc="left").endswith(nearest) == (at["iteration"] != n_iterations - 1)


def test_thirteen_thousand_contested_components_make_few_artists(tmp_path):
    n = 13_000
    labels = [f"m{c % 40}:{c}" for c in range(n)]
    at = {
        "cut": {"n_groups": [6000, 6001]},
        "n_contested_components": n,
        "iteration": 3,
        "mean_support": 0.5,
        "null": {"mean_support": 0.1},
    }
    record = {"cuts": {"least_mdl": at}, "n_runs": 100, "run_names": [f"run_{r}" for r in range(100)]}
    rng = np.random.default_rng(0)
    low, high = np.sort(rng.choice(n, (2, 20_000)), axis=0)
    pairs = sparse.coo_array((np.full(20_000, 0.25), (low, high)), shape=(n, n))
    frequency = sparse.csr_array(sparse.triu(pairs, k=1))
    components = {"least_mdl": [CutComponent(label, c % 6000, 0.5) for c, label in enumerate(labels)]}
    figures = [plot_coclustering(record, components, labels, {"least_mdl": frequency})]
    groups = [{"group": g, "size": 1 + g % 7, "support": rng.random()} for g in range(6000)]
    groups.sort(key=lambda group: -group["size"])
    figures.append(plot_consensus(record, {"least_mdl": groups}, components))
    between = np.abs(rng.normal(size=(1, 100, 100)))
    between = between + between.transpose(0, 2, 1)
    between[0][np.eye(100, dtype=bool)] = 0
    figures.append(plot_runs(between, "matching_dist", np.array([3]), record))
    for number, figure in enumerate(figures):
        assert artists(figure) < 2000
        save_figure(figure, tmp_path / f"{number}.pdf")
        assert (tmp_path / f"{number}.pdf").stat().st_size < 300_000


@pytest.mark.parametrize("left", [1e-12, -1e-12])
def test_what_a_solver_leaves_around_zero_changes_no_byte_of_a_pdf(tmp_path, left):
    for name, start in (("zero", 0.0), ("near", left)):
        figure = Figure(figsize=(2, 2))
        part = figure.subfigures(1, 2)[0]
        part.bbox_relative.p0 = (start, start)
        part.add_axes((start, start, 1.0, 0.9)).plot([0, 1])
        save_figure(figure, tmp_path / f"{name}.pdf")
    assert (tmp_path / "near.pdf").read_bytes() == (tmp_path / "zero.pdf").read_bytes()
