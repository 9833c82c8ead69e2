"""Normalisation of an ensemble: one label order, reproducible rows, clear refusals."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError
from spdclust.merge.history import MergeHistory
from spdclust.partitions.ensemble import MergeHistoryEnsemble, NormalizedHistories, normalize_ensemble

DATA = Path(__file__).parents[1] / "data" / "ensemble"


def history(labels: list[str], pairs: list[list[int]], **config: object) -> MergeHistory:
    merged = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    zeros = np.zeros(len(merged))
    return MergeHistory(labels, merged, zeros, zeros, MergeConfig(**config))  # type: ignore[arg-type]


def golden(kind: str) -> tuple[NormalizedHistories, np.ndarray, list[str]]:
    with np.load(DATA / f"{kind}.npz") as arrays:
        runs = [history(arrays[f"labels_{r}"].tolist(), arrays[f"pairs_{r}"].tolist()) for r in range(6)]
        return normalize_ensemble(runs), arrays["merge_array"], arrays["component_labels"].tolist()


@pytest.mark.parametrize("kind", ["fixed_iters", "iters_none"])
def test_rows_equal_the_reference_on_own_components_and_as_partitions(kind: str) -> None:
    normalized, expected, labels = golden(kind)
    assert normalized.labels == labels
    array = normalized.merge_array()
    n_real = {"fixed_iters": 115, "iters_none": 117}[kind]  # the reference also keeps rows of -1
    assert array.shape == (6, n_real, len(labels))
    for run, own in enumerate(normalized.own_components):
        assert np.array_equal(array[run][:, own], expected[run, :n_real][:, own])
        for t in range(n_real):
            both = np.unique(np.stack([array[run, t], expected[run, t]]), axis=1).shape[1]
            assert both == len(np.unique(array[run, t])) == len(np.unique(expected[run, t]))


def test_one_row_rows_in_order_and_the_whole_array_agree() -> None:
    normalized, _, _ = golden("iters_none")
    array = normalized.merge_array()
    for t, rows in enumerate(normalized.iterate_rows()):
        assert np.array_equal(rows, array[:, t])
        if t % 20 == 0:
            assert np.array_equal(normalized.merge_array_rows(t), rows)
    assert np.array_equal(normalized.merge_array_rows(-1), array[:, -1])
    assert array.min() == 0


def test_missing_components_are_numbered_after_the_own_groups_in_label_order() -> None:
    normalized = normalize_ensemble([history(["c", "a"], [[0, 1]]), history(["d", "b", "a"], [[0, 2]])])
    assert normalized.labels == ["a", "b", "c", "d"]
    assert normalized.merge_array_rows(0).tolist() == [[0, 1, 0, 2], [0, 1, 2, 0]]


def test_merges_name_groups_by_their_first_own_component() -> None:
    normalized = normalize_ensemble([history(["c", "a", "b"], [[1, 2], [0, 1]])] * 2)
    assert normalized.merges(0).tolist() == [[0, 1], [2, 0]]


def test_rows_stop_with_the_shortest_run() -> None:
    longer = history(["a", "b", "c"], [[0, 1], [0, 1]])
    normalized = normalize_ensemble([longer, history(["a", "b", "c"], [[0, 1]])])
    assert normalized.n_iterations == 1
    assert normalized.merge_array().shape == (2, 1, 3)


def test_alignment_by_groups_puts_equal_numbers_of_groups_side_by_side() -> None:
    large = history(["a", "b", "c", "d", "e"], [[0, 1], [0, 1], [0, 1]])
    small = history(["a", "b", "c"], [[0, 1]])
    normalized = normalize_ensemble([large, small], align="n_groups")
    assert normalized.n_groups(0).tolist() == [2, 2]
    assert normalized.first_merges.tolist() == [2, 0]
    assert normalized.merge_at(0, 0) == 2
    assert normalized.merge_array_rows(0).tolist() == [[0, 0, 0, 0, 1], [0, 0, 1, 2, 3]]
    assert np.array_equal(normalized.merge_array()[:, 0], normalized.merge_array_rows(0))
    assert normalize_ensemble([large, small]).n_groups(0).tolist() == [4, 2]


def test_metadata_is_json_and_holds_the_keys_of_the_reference() -> None:
    normalized, _, labels = golden("iters_none")
    metadata = json.loads(json.dumps(normalized.metadata()))
    assert metadata["component_labels"] == labels
    assert metadata["n_iters_range"] == [117, 127]
    assert metadata["history_metadatas"][2]["n_iters_current"] == 117


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_rows_are_the_histories_own_groups_plus_singletons(data: st.DataObject) -> None:
    universe = [f"m:{i}" for i in range(8)]
    runs = []
    for _ in range(3):
        chosen = data.draw(st.lists(st.sampled_from(universe[1:]), min_size=2, max_size=7, unique=True))
        labels = data.draw(st.permutations([universe[0], *chosen]))
        n_merges = data.draw(st.integers(1, len(labels) - 1))
        pairs = []
        for t in range(n_merges):
            pair = st.lists(st.integers(0, len(labels) - 1 - t), min_size=2, max_size=2, unique=True)
            pairs.append(data.draw(pair))
        runs.append(history(list(labels), pairs))
    align = data.draw(st.sampled_from(["iteration", "n_groups"]))
    try:
        normalized = normalize_ensemble(runs, align=align)
    except InputError as error:
        if align == "n_groups" and "no number of groups is common" in str(error):
            return
        raise
    for t, rows in enumerate(normalized.iterate_rows()):
        for run, source in enumerate(runs):
            groups = dict(zip(source.labels, source.group_idxs(normalized.merge_at(run, t)), strict=True))
            k = source.k_groups[normalized.merge_at(run, t)]
            missing = [label for label in normalized.labels if label not in groups]
            expected = groups | {label: k + n for n, label in enumerate(missing)}
            assert rows[run].tolist() == [expected[label] for label in normalized.labels]
            assert normalized.n_groups(t)[run] == k


ABC = ["a", "b", "c"]
BAD_INPUT = [
    (
        lambda: MergeHistoryEnsemble([]),
        "histories: the ensemble has no runs (allowed: at least one merge history)",
    ),
    (
        lambda: MergeHistoryEnsemble([history(ABC, [[0, 1]])], run_names=["x", "y"]),
        "run_names: one name per run is needed (found: 2; allowed: 1 names)",
    ),
    (
        lambda: MergeHistoryEnsemble([history(["a", "a"], [[0, 1]])]),
        "run_0.labels: label given twice (found: a; allowed: unique labels)",
    ),
    (
        lambda: normalize_ensemble([history(ABC, [[0, 1]]), history(ABC, [])]),
        "run_1.selected_pairs: the history has no merges (found: 3 components alive, min_groups 3; allowed: more components alive than min_groups: lower filter_dead_threshold or min_groups)",
    ),
    (
        lambda: normalize_ensemble([history(ABC, [[0, 1]]), history(["d", "e"], [[0, 1]])]),
        "labels: two runs have no component in common "
        "(found: run_0 and run_1; allowed: runs of the same model)",
    ),
    (
        lambda: normalize_ensemble([history(ABC, [[0, 1]]), history(ABC, [[0, 1]], alpha=2)]),
        "merge_config.alpha: the runs of an ensemble were merged under different settings "
        "(found: 1.0 in run_0, 2.0 in run_1; allowed: one value for all runs)",
    ),
    (
        lambda: normalize_ensemble([history(ABC, [[0, 1]])], align="k"),
        "align: not allowed (found: k; allowed: iteration, n_groups)",
    ),
    (
        lambda: normalize_ensemble(
            [history(["a", "b", "c", "d", "e"], [[0, 1]]), history(ABC, [[0, 1]])], align="n_groups"
        ),
        "align: no number of groups is common to all runs (found: run_0 stops at 4 groups, another run starts with 3; "
        "allowed: align='iteration', or longer merges)",
    ),
    (
        lambda: normalize_ensemble([history(ABC, [[0, 1]])]).merge_array_rows(1),
        "iteration: no such iteration (found: 1; allowed: -1 to 0, the states after 1 to 1 merges)",
    ),
]


@pytest.mark.parametrize(("call", "line"), BAD_INPUT)
def test_bad_input_is_one_line(call, line: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value) == line


def test_settings_may_differ_on_request() -> None:
    runs = [history(ABC, [[0, 1]]), history(ABC, [[0, 1]], alpha=2)]
    assert normalize_ensemble(runs, require_same_config=False).n_runs == 2


def test_an_array_above_the_limit_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    normalized = normalize_ensemble([history(ABC, [[0, 1]])])
    monkeypatch.setattr("spdclust.partitions.normalized.MERGE_ARRAY_MAX_BYTES", 5)
    with pytest.raises(InputError, match=r"too large to build .*merge_array_rows\(iteration\) gives one row"):
        normalized.merge_array()
