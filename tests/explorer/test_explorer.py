"""What the page of an ensemble holds; tests/browser opens it."""

import base64
import hashlib
import html
import itertools
import json
import math
import re
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from found_groups import groups_by_hand
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from spdclust.commands.cli import main
from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError
from spdclust.explorer.cofiring import MAX_MEMBERS, active_counts, count_cofiring, group_counts
from spdclust.explorer.collecting import _counts, _spread, distinct_groups, rows_of_interest
from spdclust.explorer.found_groups import _independent_activity, _independent_cohesion
from spdclust.explorer.group_tokens import MAX_CHARACTERS, describe_by_tokens
from spdclust.explorer.page import ASSETS, SCRIPTS, pack, page_html
from spdclust.files.batches import ActivationBatch
from spdclust.files.ensembles import load_distances, load_normalized
from spdclust.files.groups import load_groups, save_groups
from spdclust.files.histories import load_merge_histories, save_merge_history
from spdclust.files.stored_batch import TokenExamples, batch_to_store
from spdclust.groups.found import COLUMNS
from spdclust.merge.activations import ProcessedActivations
from spdclust.merge.history import MergeHistory, _group_idxs_at
from spdclust.merge.merging import merge_iteration
from spdclust.stability.analysis import find_cut
from spdclust.stability.coclustering import coclustering
from spdclust.stability.cut import groups_at
from spdclust.stages.distances import distances
from spdclust.stages.explorer import explorer, files_of
from spdclust.stages.stability import stability

LABELS = [f"m.{module}:{index}" for module in "ab" for index in range(12)]


def unpack(packed):
    """What `pack` was given; the page does the same."""
    raw = zlib.decompress(packed)
    (length,) = struct.unpack_from("<I", raw)
    header = json.loads(raw[4 : 4 + length])
    arrays, start = {}, 4 + length
    for name, layout in header["arrays"].items():
        dtype = np.dtype(f"<{layout['type']}")
        size = int(np.prod(layout["shape"], dtype=np.int64)) * dtype.itemsize
        planes = np.frombuffer(raw, np.uint8, size, start).reshape(dtype.itemsize, -1)
        arrays[name] = np.ascontiguousarray(planes.T).view(dtype).reshape(layout["shape"])
        start += size
    return header, arrays


def activations(seed, labels=LABELS, n_samples=60):
    rng = np.random.default_rng(seed)
    dense = rng.random((n_samples, len(labels))) * (rng.random((n_samples, len(labels))) < 0.3)
    dense[:, 1] = dense[:, 0]
    return dense.astype(np.float32)


def merged(seed, **config):
    acts = ProcessedActivations.from_dense(activations(seed), LABELS)
    return merge_iteration(acts, MergeConfig(activation_threshold=0.1, iters=None, **config), seed)


def write(folder, histories, batches=()):
    for run, history in enumerate(histories):
        path = folder / "runs" / f"run_{run}" / "history.zip"
        path.parent.mkdir(parents=True)
        save_merge_history(history, path)
    for run, batch in enumerate(batches):
        path = folder.parent / "precomputed_batches" / f"run_{run}" / "batch_0.pt"
        path.parent.mkdir(parents=True)
        batch.save(path)


FOUND = [["m.b:3", "m.a:0", "m.a:1"], ["m.a:5", "m.b:0"]]


def held(page):
    """Return the header and the arrays that a page holds."""
    data = re.search(
        r'<script type="text/plain" id="data">([^<]*)</script>', page.read_text(encoding="utf-8")
    )
    return unpack(base64.b64decode(data[1]))


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    """Three runs with everything that the workflow puts beside them."""
    folder = tmp_path_factory.mktemp("results") / "a" / "demo"
    runs = [merged(seed, min_groups=2) for seed in range(3)]
    write(folder, runs, [ActivationBatch.from_dense(activations(seed), LABELS) for seed in range(3)])
    distances(
        folder, {method: folder / f"distances_{method}.npz" for method in ("matching_dist", "jaccard_dist")}
    )
    stability(folder, ["matching_dist"], folder)
    found = groups_by_hand(LABELS[::-1], FOUND, 3, shared=[("m.a:5", 0)], threshold=0.4)
    save_groups(found, folder, ensemble="a/demo")
    assert main(["explorer", str(folder)]) == 0
    return folder


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_packed_arrays_come_back_bit_for_bit(data):
    kinds = st.sampled_from([np.uint8, np.uint16, np.uint32, np.int32, np.float64])
    arrays = {
        f"a{i}": data.draw(hnp.arrays(data.draw(kinds), hnp.array_shapes(max_dims=3, min_side=0, max_side=5)))
        for i in range(3)
    }
    header, back = unpack(pack({"labels": ["</script>", "ü\u2028"]}, arrays))
    assert header["labels"] == ["</script>", "ü\u2028"]
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        assert back[name].tobytes() == array.tobytes()
        assert back[name].shape == array.shape


def test_what_the_page_cannot_read_is_refused():
    with pytest.raises(ValueError, match="array x: the page does not read int64"):
        pack({}, {"x": np.arange(2)})
    with pytest.raises(ValueError, match="Out of range float values"):
        pack({"mdl": float("nan")}, {})


def test_the_page_holds_merges_from_which_every_grouping_is_built(ensemble):
    header, arrays = held(ensemble / "explorer.html")
    assert header["labels"] == sorted(LABELS)
    for run, history in enumerate(load_merge_histories(ensemble)):
        assert [header["labels"][c] for c in arrays[f"run{run}.own"]] == history.labels
        names = np.column_stack([arrays[f"run{run}.first"], arrays[f"run{run}.second"]])
        for t in (0, history.n_iterations // 2, history.n_iterations - 1):
            roots = np.arange(history.n_components)
            for first, second in names[: t + 1]:
                roots[roots == second] = first
            expected = history.group_idxs(t)
            np.testing.assert_array_equal(np.unique(roots, return_inverse=True)[1], expected)


def test_curves_distances_and_activities_are_exact(ensemble):
    header, arrays = held(ensemble / "explorer.html")
    first, second = np.triu_indices(3, 1)
    for method in ("matching_dist", "jaccard_dist"):
        whole = load_distances(ensemble / f"distances_{method}.npz")
        np.testing.assert_array_equal(arrays[f"distances.{method}"], whole[:, first, second])
    assert [method["name"] for method in header["methods"]] == [
        "matching_dist",
        "adjusted_rand_dist",
        "jaccard_dist",
    ]
    for run, history in enumerate(load_merge_histories(ensemble)):
        np.testing.assert_array_equal(arrays[f"run{run}.mdl"], history.mdl_loss[: header["n_iterations"]])
        for which in ("first", "second"):
            counts = arrays[f"run{run}.activity_{which}"]
            assert counts.dtype == np.uint16
            shares = counts / header["runs"][run]["n_samples"]
            np.testing.assert_array_equal(shares, history.records[f"activity_{which}"])


def test_final_activities_are_what_the_next_merge_would_record(tmp_path):
    whole = merged(0, min_groups=1)
    stopped = merge_iteration(
        ProcessedActivations.from_dense(activations(0), LABELS),
        whole.config.model_copy(update={"iters": 9}),
        0,
    )
    np.testing.assert_array_equal(stopped.selected_pairs, whole.selected_pairs[:9])
    write(tmp_path / "e", [stopped], [ActivationBatch.from_dense(activations(0), LABELS)])
    explorer(tmp_path / "e", tmp_path / "p.html", ensemble="e", **files_of(tmp_path / "e"))
    header, arrays = held(tmp_path / "p.html")
    final = arrays["run0.final"] / header["runs"][0]["n_samples"]
    low, high = whole.selected_pairs[9]
    assert final[low] == whole.records["activity_first"][9]
    assert final[high] == whole.records["activity_second"][9]


def test_activity_of_consensus_groups_is_counted_at_the_cuts(ensemble):
    header, arrays = held(ensemble / "explorer.html")
    normalized = load_normalized(ensemble)
    active = activations(0) > 0.1
    column = {label: place for place, label in enumerate(LABELS)}
    for cut in ("least_mdl", "stability_drop"):
        groups = coclustering(groups_at(normalized, find_cut(normalized, cut))).consensus.group_idxs
        expected = [
            int(
                active[:, [column[header["labels"][c]] for c in np.flatnonzero(groups == g)]]
                .any(axis=1)
                .sum()
            )
            for g in range(groups.max() + 1)
        ]
        assert arrays[f"consensus.{cut}"].tolist() == expected


def test_found_groups_keep_their_numbers_and_evidence(ensemble):
    header, arrays = held(ensemble / "explorer.html")
    found = load_groups(ensemble / "groups.json")
    assert header["found"]["n_groups"] == 2
    for group in range(2):
        members = [header["labels"][c] for c in np.flatnonzero(arrays["found.group"] == group)]
        assert sorted(members) == sorted(found.members(group)) == sorted(FOUND[group])
    assert (arrays["found.group"] == -1).sum() == found.n_alone
    for name in COLUMNS:
        np.testing.assert_array_equal(arrays[f"found.{name}"], found.columns[name])
    np.testing.assert_array_equal(arrays["found.runs"], found.bits_saved_runs)
    assert [header["labels"][c] for c in arrays["found.shared.component"]] == ["m.a:5"]
    assert arrays["found.shared.group"].tolist() == [0]
    assert arrays["found.shared.share"].tolist() == found.shared.share.tolist()
    assert (header["found"]["expected_false"], header["found"]["null_groups"]) == (1.0, [0, 2])
    assert header["found"]["null_groups_busy"] == [1, 4]
    assert header["found"]["bits"] == {"alone": 9.0, "answer": 7.5}


def test_what_independent_members_would_give_is_counted_on_the_batches_of_all_runs(ensemble):
    header, arrays = held(ensemble / "explorer.html")
    rates = dict(
        zip(
            LABELS,
            np.mean([(activations(seed) > 0.4).mean(axis=0) for seed in range(3)], axis=0),
            strict=True,
        )
    )
    for group, members in enumerate(FOUND):
        p = [rates[label] for label in members]
        assert arrays["found.activity_independent"][group] == pytest.approx(_at_least(p, 2))
        pairs = [a * b / (a + b - a * b) for a, b in itertools.combinations(p, 2)]
        assert arrays["found.cohesion_independent"][group] == pytest.approx(np.mean(pairs))
    assert header["found"]["n_samples_independent"] == 180
    assert header["cofiring"]["threshold"] == 0.4
    active = activations(0) > 0.4
    pairs = list(zip(arrays["cofiring.first"].tolist(), arrays["cofiring.second"].tolist(), strict=True))
    for first, second in itertools.combinations(["m.a:0", "m.a:1", "m.a:5", "m.b:3"], 2):  # m.a:5 is shared
        a, b = sorted(header["labels"].index(label) for label in (first, second))
        together = int((active[:, LABELS.index(first)] & active[:, LABELS.index(second)]).sum())
        assert arrays["cofiring.together"][pairs.index((a, b))] == together


def _at_least(rates, n):
    """Probability that n of some independent events happen, by looking at every outcome."""
    outcomes = itertools.product([0, 1], repeat=len(rates))
    return sum(
        math.prod(p if happens else 1 - p for p, happens in zip(rates, outcome, strict=True))
        for outcome in outcomes
        if sum(outcome) >= n
    )


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.data())
def test_activity_of_independent_members_is_that_of_all_outcomes(rates, data):
    n = data.draw(st.integers(1, len(rates)))
    assert _independent_activity(np.array(rates), n) == pytest.approx(_at_least(rates, n), abs=1e-12)


def test_independent_members_that_are_hardly_ever_active_keep_their_small_numbers():
    assert _independent_activity(np.full(4, 1e-6), 4) == pytest.approx(1e-24, rel=1e-9, abs=0)
    assert _independent_cohesion(np.array([0.0, 0.0, 0.5])) == 0


def test_groups_without_evidence_have_no_numbers_made_up(ensemble, tmp_path):
    save_groups(groups_by_hand(LABELS, FOUND, 3, tested=False), tmp_path, ensemble="a/demo")
    files = files_of(ensemble) | {"groups": tmp_path / "groups.json"}
    explorer(ensemble, tmp_path / "p.html", ensemble="a/demo", **files)
    header, arrays = held(tmp_path / "p.html")
    assert header["found"]["bits"] == {}
    assert header["found"]["expected_false"] is None
    assert np.isnan(arrays["found.bits_saved"]).all()
    assert np.isnan(arrays["found.activity_independent"]).all()
    assert np.isfinite(arrays["found.support"]).all()


def test_groups_of_another_ensemble_are_refused(ensemble, tmp_path):
    files = files_of(ensemble) | {"groups": tmp_path / "groups.json"}
    save_groups(groups_by_hand(LABELS, FOUND, 2), tmp_path, ensemble="a/demo")
    with pytest.raises(
        InputError, match=r"groups.json: n_runs: groups of another ensemble \(found: 2; allowed: 3\)"
    ):
        explorer(ensemble, tmp_path / "p.html", ensemble="a/demo", **files)
    save_groups(groups_by_hand([*LABELS, "x:0"], FOUND, 3), tmp_path, ensemble="a/demo")
    with pytest.raises(InputError, match=r"groups.json: members: groups of another ensemble \(found: x:0"):
        explorer(ensemble, tmp_path / "p.html", ensemble="a/demo", **files)
    assert not (tmp_path / "p.html").exists()


def test_pairs_of_a_group_are_counted_as_by_hand():
    rng = np.random.default_rng(1)
    dense = np.where(rng.random((500, 9)) < 0.4, rng.random((500, 9)), 0).astype(np.float32)
    columns = np.array([8, 2, -1, 5, 0])
    groups = [np.array([0, 1, 3]), np.array([1, 4]), np.array([0, 3])]
    counts = count_cofiring(sparse.csr_array(dense), columns, groups, 0.25)
    active = np.column_stack([dense[:, c] > 0.25 if c >= 0 else np.zeros(500, dtype=bool) for c in columns])
    assert counts.singles.tolist() == active.sum(axis=0).tolist()
    assert counts.pairs.tolist() == [[0, 1], [0, 3], [1, 3], [1, 4]]
    assert counts.together.tolist() == [int((active[:, a] & active[:, b]).sum()) for a, b in counts.pairs]
    whole = group_counts(sparse.csr_array(dense), np.arange(9), np.arange(9) // 2, 0.25)
    assert whole.tolist() == [int((dense[:, 2 * g : 2 * g + 2] > 0.25).any(axis=1).sum()) for g in range(5)]


def test_sets_are_counted_like_the_values_above_the_threshold():
    dense = np.random.default_rng(2).random((200, 8)) < 0.3
    sets, values = sparse.csr_array(dense), sparse.csr_array(dense.astype(np.float64))
    columns, groups = np.array([3, -1, 0, 7]), np.array([0, 1, 1, 0])
    for count in (active_counts, lambda *arguments: group_counts(*arguments[:2], groups, arguments[2])):
        assert count(sets, columns, 0.5).tolist() == count(values, columns, 0.5).tolist()
    assert active_counts(sets, columns, 0.5).tolist() == [*dense[:, [3]].sum(0), 0, *dense[:, [0, 7]].sum(0)]


def test_the_page_is_the_same_where_batches_are_read_in_small_pieces(ensemble, tmp_path, monkeypatch):
    def page(name):
        explorer(ensemble, tmp_path / name, ensemble="a/demo", **files_of(ensemble))
        return (tmp_path / name).read_bytes()

    whole = page("whole.html")
    monkeypatch.setattr("spdclust.files.stored_batch.ENTRIES_PER_CHUNK", 50)
    assert page("pieces.html") == whole
    # only the first samples are counted for pairs, more than one piece of them
    monkeypatch.setattr("spdclust.explorer.cofiring.MAX_SAMPLES", 20)
    monkeypatch.setattr("spdclust.stages.explorer.MAX_SAMPLES", 20)
    page("few.html")
    header, arrays = held(tmp_path / "few.html")
    singles = (activations(0)[:20] > 0.4).sum(axis=0)
    assert header["cofiring"]["n_samples"] == 20
    assert arrays["cofiring.singles"].tolist() == [singles[LABELS.index(label)] for label in header["labels"]]


def test_a_batch_with_a_label_twice_is_refused(ensemble, tmp_path):
    batch = ActivationBatch.from_dense(activations(0), LABELS)
    twice = batch_to_store(batch._arrays(), [*LABELS[:-1], LABELS[0]], 0, {})
    twice.save(tmp_path / "b.pt")
    given = files_of(ensemble) | {"batches": [tmp_path / "b.pt"] * 3}
    with pytest.raises(InputError, match=r"b\.pt: labels: label given twice \(found: m\.a:0"):
        explorer(ensemble, tmp_path / "p.html", ensemble="e", **given)


def test_what_equals_the_threshold_is_not_active():
    matrix = sparse.csr_array(np.array([[0.25, 0.5, 0.0], [0.25, 0.25, 1.0], [0.0, 0.25, 0.25]]))
    assert group_counts(matrix, np.arange(3), np.array([0, 0, 1]), 0.25).tolist() == [1, 1]
    counts = count_cofiring(matrix, np.arange(3), [np.arange(3)], 0.25)
    assert (counts.singles.tolist(), counts.together.tolist()) == ([0, 1, 1], [0, 0, 0])


def test_large_groups_are_counted_between_their_most_active_members():
    n = MAX_MEMBERS + 6
    dense = np.tri(n, dtype=np.float32)  # component 0 is active most often
    counts = count_cofiring(sparse.csr_array(dense), np.arange(n), [np.arange(n)], None)
    assert set(counts.pairs.ravel().tolist()) == set(range(MAX_MEMBERS))
    assert len(counts.pairs) == MAX_MEMBERS * (MAX_MEMBERS - 1) // 2


def test_too_many_pairs_leave_groups_out(monkeypatch):
    monkeypatch.setattr("spdclust.explorer.cofiring.MAX_PAIRS", 4)
    groups = [np.array([0, 1, 2]), np.array([3, 4, 5]), np.array([6, 7])]
    counts = count_cofiring(sparse.csr_array(np.eye(8)), np.arange(8), groups, None)
    assert counts.pairs.tolist() == [[0, 1], [0, 2], [1, 2], [6, 7]]


def test_tokens_of_groups_are_described_with_where_they_are_active():
    matrix = sparse.csr_array(np.array([[0.9, 0.0], [0.0, 0.0], [0.8, 0.8], [0.0, 0.0]]))
    examples = TokenExamples(
        np.array([[7, 8], [7, 9]]), np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), {7: "a", 8: "b" * 90, 9: "c"}
    )
    groups = [np.array([0, 1]), np.array([1])]
    first, second = describe_by_tokens(matrix, examples, np.arange(2), groups, 0.1)
    assert (first["members"], first["share"], first["tokens"]) == ([0, 1], 0.5, [["a", 2, 2, 1.0, 9 / 7]])
    assert first["places"][0] == {"texts": ["a", "c"], "at": 0, "active": [0]}
    assert first["places"][1]["texts"][1] == "b" * 39 + "…"
    assert second["share"] == 0.25
    both, _ = describe_by_tokens(matrix, examples, np.arange(2), groups, 0.1, [2])
    assert (both["active_members"], both["share"], both["tokens"]) == (2, 0.25, [["a", 1, 2, 1.0, 9 / 7]])


def test_descriptions_end_where_the_room_does():
    matrix = sparse.csr_array(np.ones((2, 1)))
    tokens = np.zeros((1, 18), dtype=np.int64)
    examples = TokenExamples(tokens, np.array([[0, 9], [0, 10]]), {0: "x" * 40})
    described = describe_by_tokens(matrix, examples, np.array([0]), [np.array([0])] * 2000, None)
    assert 0 < len(described) < 2000
    assert len(repr(described)) < MAX_CHARACTERS * 1.01


def test_tokens_go_into_the_page(tmp_path):
    examples = TokenExamples(
        np.array([[1, 2, 3]] * 20),
        np.array([[s, p] for s in range(20) for p in range(3)]),
        {1: "<a>", 2: "b", 3: "c"},
    )
    batch = ActivationBatch(ProcessedActivations.from_dense(activations(0), LABELS), examples=examples)
    write(tmp_path / "r" / "e", [merged(0)], [batch])
    save_groups(groups_by_hand(LABELS, FOUND, 1), tmp_path / "r" / "e", ensemble="r/e")
    assert main(["explorer", str(tmp_path / "r" / "e")]) == 0
    header, arrays = held(tmp_path / "r" / "e" / "explorer.html")
    first = header["examples"]["groups"][0]  # found groups come first, by their own rule of being active
    assert first["members"] == np.flatnonzero(arrays["found.group"] == 0).tolist()
    columns = [LABELS.index(label) for label in FOUND[0]]
    assert first["share"] == ((activations(0)[:, columns] > 0.1).sum(axis=1) >= 2).mean()
    sizes = [len(group["members"]) for group in header["examples"]["groups"]]
    assert sizes.count(1) == len(LABELS)
    assert max(sizes) > 1


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 200), st.integers(1, 40), st.lists(st.integers(0, 400), max_size=4))
def test_thinned_rows_keep_the_ends_and_those_wanted(n, limit, wanted):
    rows = np.arange(n) * 2
    kept = _spread(rows, limit, wanted)
    assert kept[0] == rows[0]
    assert kept[-1] == rows[-1]
    assert set(kept.tolist()) <= set(rows.tolist())
    assert set(wanted) & set(rows.tolist()) <= set(kept.tolist())
    assert len(kept) <= max(2, limit) + len(wanted) if n > limit else len(kept) == n


def test_groups_are_described_once_and_single_components_not():
    groups = distinct_groups([np.array([0, 0, 1, 2]), np.array([0, 0, 1, 1]), np.zeros(4, dtype=np.int64)])
    assert [group.tolist() for group in groups] == [[0, 1], [2, 3], [0, 1, 2, 3]]
    assert distinct_groups([np.arange(3)]) == []
    assert rows_of_interest([0], 1) == [0]


def test_no_label_can_become_markup_and_only_our_script_may_run(tmp_path):
    labels = [
        "</script><script>alert(1)</script>:0",
        '<img src=x onerror="alert(1)">:0',
        "'\"{{data}}:0",
        "ü" * 3000,
    ]
    pairs = np.array([[0, 1], [0, 1]])
    run = MergeHistory(labels, pairs, np.array([2.0, 1.0]), np.zeros(2), MergeConfig())
    write(tmp_path / "e", [run, run])
    path = tmp_path / "page.html"
    save_groups(groups_by_hand(labels, [labels[:2]], 2, shared=[(labels[2], 0)]), tmp_path, ensemble="e")
    explorer(
        tmp_path / "e", path, ensemble="</title><script>alert(2)</script>", model="</script>",
        groups=tmp_path / "groups.json",
    )  # fmt: skip
    page = path.read_text(encoding="utf-8")
    assert "alert" not in page.replace("&lt;/title&gt;&lt;script&gt;alert(2)&lt;/script&gt;", "")
    assert page.count("<script") == page.count("</script>") == 2
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    style = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert len(script) == len(style) == 1
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    for text, kind in ((script[0], "script-src"), (style[0], "style-src")):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in html.unescape(policy)
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert held(path)[0]["labels"] == sorted(labels)


def test_nothing_in_the_page_comes_from_elsewhere():
    page = page_html("demo", b"")
    assert set(re.findall(r"https?://[^\s\"'`<]+", page)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(
        r"\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|fetch|XMLHttpRequest|import)\b\s*[(=]",
        page,
    )
    assert {path.name for path in ASSETS.iterdir()} == {*SCRIPTS, "page.html", "explorer.css"}


def test_the_same_ensemble_gives_the_same_bytes_wherever_it_lies(ensemble, tmp_path):
    moved = tmp_path / "other" / "a" / "demo"
    for source in (*ensemble.rglob("*"), *(ensemble.parent / "precomputed_batches").rglob("*")):
        if source.is_file():
            target = tmp_path / "other" / source.relative_to(ensemble.parents[1])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    again = tmp_path / "again.html"
    assert main(["explorer", str(moved), "--output", str(again)]) == 0
    assert again.read_bytes() == (ensemble / "explorer.html").read_bytes()
    assert str(tmp_path.parent) not in again.read_text(encoding="utf-8")


def history(labels, pairs):
    n = len(pairs)
    return MergeHistory(
        labels, np.array(pairs, dtype=np.int64).reshape(-1, 2), np.ones(n), np.ones(n), MergeConfig()
    )


@pytest.mark.parametrize(
    ("runs", "note"),
    [
        ([history(["m:0"], [])] * 2, "No merges: every component is a group of its own."),
        ([history(["m:0", "m:1", "m:2"], [])], "One run only"),
        ([history(["m:0", "m:1", "m:2"], [[0, 2]])] * 2, "The stability analysis was not made"),
        ([history(["m:0", "m:1"], [[0, 1]]), history(["m:1", "m:2"], [[0, 1]])], "The stability analysis was not made"),
    ],
)  # fmt: skip
def test_ensembles_with_next_to_nothing_in_them_have_a_page_that_says_so(runs, note, tmp_path):
    write(tmp_path / "e", runs)
    assert main(["explorer", str(tmp_path / "e")]) == 0
    header, arrays = held(tmp_path / "e" / "explorer.html")
    assert any(each.startswith(note) for each in header["notes"])
    assert any("batches are not there" in each for each in header["notes"])
    assert any("No groups.json" in each for each in header["notes"])
    assert "found" not in header
    assert header["n_iterations"] == min(run.n_iterations for run in runs)
    assert len(arrays["run0.first"]) == runs[0].n_iterations


def test_a_page_of_runs_that_do_not_fit_together_says_so(tmp_path):
    run = history(["m:0", "m:1", "m:2"], [[0, 2]])
    write(tmp_path / "e", [run, replace(run, config=MergeConfig(alpha=2))])
    assert main(["explorer", str(tmp_path / "e")]) == 0
    (note,) = (each for each in held(tmp_path / "e" / "explorer.html")[0]["notes"] if "cannot" in each)
    assert note.startswith("It cannot be made: merge_config.alpha: the runs of an ensemble were merged under")


def test_scalar_activations_and_missing_figures_are_no_hindrance(tmp_path):
    acts = ProcessedActivations.from_dense(activations(0), LABELS)
    scalar = merge_iteration(
        acts, MergeConfig(activation_threshold=None, iters=5, filter_dead_threshold=0.0), 0
    )
    write(tmp_path / "e", [scalar], [ActivationBatch.from_dense(activations(0), LABELS)])
    assert main(["explorer", str(tmp_path / "e")]) == 0
    header, arrays = held(tmp_path / "e" / "explorer.html")
    assert header["merge_config"]["activation_threshold"] is None
    assert "run0.final" not in arrays
    assert arrays["run0.activity_first"].dtype == np.float64
    nothing = np.full(1, np.nan)
    bare = MergeHistory(["m:0", "m:1"], np.array([[0, 1]]), nothing, nothing, MergeConfig())
    write(tmp_path / "apart" / "bare", [bare])
    assert main(["explorer", str(tmp_path / "apart" / "bare")]) == 0
    header, arrays = held(tmp_path / "apart" / "bare" / "explorer.html")
    assert header["runs"][0]["best_iteration"] is None
    assert np.isnan(arrays["run0.mdl"]).all()


def test_files_of_another_ensemble_are_refused(ensemble, tmp_path):
    write(tmp_path / "two", [merged(0), merged(1)])
    with pytest.raises(InputError, match=r"distances of another ensemble \(found: 3 runs; allowed: 2 runs\)"):
        explorer(
            tmp_path / "two", tmp_path / "p.html", ensemble="e",
            distances={"matching_dist": ensemble / "distances_matching_dist.npz"},
        )  # fmt: skip
    with pytest.raises(
        InputError, match=r"n_runs: stability analysis of another ensemble \(found: 3; allowed: 2\)"
    ):
        explorer(
            tmp_path / "two", tmp_path / "p.html", ensemble="e",
            stability=(ensemble / "stability.json", ensemble / "stability_iterations.csv"),
        )  # fmt: skip
    other = ActivationBatch.from_dense(np.ones((3, 2)), ["x:0", "x:1"])
    other.save(tmp_path / "b.pt")
    with pytest.raises(InputError, match=r"batch lacks a component of its run \(found: m.a:0"):
        explorer(tmp_path / "two", tmp_path / "p.html", ensemble="e", batches=[tmp_path / "b.pt"] * 2)
    assert not (tmp_path / "p.html").exists()


def test_replaying_names_needs_each_component_to_go_once():
    """What the page's code rests on: a name goes once, and only into one that comes before it."""
    run = merged(3, min_groups=1)
    names = np.array([[first, second] for first, second in _names(run)])
    assert (names[:, 0] < names[:, 1]).all()
    assert len(set(names[:, 1].tolist())) == len(names)


def _names(run):
    groups = np.arange(run.n_components)
    for t, pair in enumerate(run.selected_pairs):
        yield tuple(int(np.flatnonzero(groups == group)[0]) for group in sorted(pair.tolist()))
        groups = _group_idxs_at(run.selected_pairs, run.n_components, t)


@pytest.mark.parametrize(
    ("shares", "n_samples", "counts"),
    [
        ([0.5, 0.25], 4, [2, 1]),
        ([0.5], None, None),
        ([0.5, np.nan], 4, None),
        ([np.inf], 4, None),
        ([-0.25, 0.5], 4, None),
        ([0.3], 4, None),
    ],
)
def test_shares_of_samples_are_stored_as_counts_where_these_are_exact(shares, n_samples, counts):
    found = _counts(np.array(shares), n_samples)
    assert (None if found is None else found.tolist()) == counts
