import json
import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from merging import activations, config, random_dense

from spdclust.config.run import LoggingIntervals
from spdclust.files.merge_progress import (
    MergeProgress,
    ProgressRecorder,
    _process_mb,
    load_progress,
    merge_digest,
)
from spdclust.merge.merging import merge_iteration
from spdclust.tracking.artifacts import load_group_assignments, save_group_assignments
from spdclust.tracking.client import Tracker
from spdclust.tracking.merges import _log_history
from spdclust.tracking.records import (
    EPSILON,
    PAIRS,
    MergeSample,
    _semilog,
    _some_pairs,
    describe_values,
    row,
    stat_records,
)
from spdclust.tracking.runs import Note, TrackedEnsemble, _parent_of, _wandb_id, log_once

KINDS = [{}, {"activation_threshold": None}, {"recompute_costs_every": 4, "between_batches": "mask"}]


def merged(kind=None, callback=None, watch=None, at=1, n=24):
    kind = kind or {}
    scalar = kind.get("activation_threshold", 0) is None
    batches = [activations(random_dense(seed, 60, n, scalar=scalar)) for seed in (1, 2)]
    settings_ = config("range", 0.2, **kind, min_groups=4)
    return merge_iteration(batches, settings_, seed=3, callback=callback, callback_at=at, watch=watch)


@pytest.fixture(scope="module")
def history():
    return merged()


def records_of(history):
    nothing = np.full(history.n_iterations, np.nan)
    return stat_records(history, nothing, nothing)


def test_group_figures_are_those_counted_from_the_assignments(history):
    records = records_of(history)
    for t in range(history.n_iterations):
        sizes = np.bincount(history.group_idxs(t))
        assert records["k_groups"][t] == len(sizes)
        assert records["groups/singletons"][t] == (sizes == 1).sum()
        assert records["groups/non_singletons"][t] == (sizes > 1).sum()
        assert records["groups/largest"][t] == sizes.max()
        np.testing.assert_allclose(records["groups/size_variance"][t], sizes.var(), rtol=1e-9, atol=1e-12)
        sizes_before = np.bincount(history.group_idxs(t - 1)) if t else np.ones(history.n_components)
        first, second = history.selected_pairs[t]
        assert {records["pair/size_first"][t], records["pair/size_second"][t]} == {
            sizes_before[first],
            sizes_before[second],
        }


def test_rate_and_changes_are_differences_of_the_history(history):
    records = records_of(history)
    mdl, cost = history.mdl_loss, history.merge_pair_cost
    assert np.isnan(records["mdl_decrease_rate"][0])
    assert np.isnan(records["merge_pair_cost_change"][0])
    for t in range(1, history.n_iterations):
        back = max(0, t - 10)
        np.testing.assert_allclose(records["mdl_decrease_rate"][t], (mdl[back] - mdl[t]) / (t - back))
        np.testing.assert_allclose(records["merge_pair_cost_change"][t], cost[t] - cost[t - 1])


def test_unknown_figures_are_left_out_of_a_row(history):
    values = row(records_of(history), 0)
    assert "time/iteration_seconds" not in values
    assert values["mdl_loss"] == history.mdl_loss[0]
    json.dumps(values)


@given(st.lists(st.floats(-1e6, 1e6), max_size=20))
@settings(deadline=None)
def test_semilog_keeps_sign_and_order_on_either_side_of_the_change_of_scale(values):
    array = np.array(sorted(values))
    scaled = _semilog(array)
    assert (np.sign(scaled) == np.sign(array)).all()
    near = np.abs(array) < EPSILON
    np.testing.assert_array_equal(scaled[near], array[near])
    far = array[np.abs(array) >= EPSILON]
    assert (np.diff(_semilog(far)) >= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_statistics_are_those_of_the_whole_matrices(kind):
    seen = []

    def check(view):
        told = MergeSample.of(view).statistics()
        upper = np.triu_indices(view.k_groups, 1)
        coact, costs = view.coactivations[upper] / view.n_samples, view.costs[upper]
        for name, values in (("coactivation", coact), ("costs", costs)):
            finite = values[~np.isnan(values)]
            assert told[f"{name}/nan_share"] == pytest.approx(np.isnan(values).mean())
            if not len(finite):
                continue
            expected = [finite.min(), finite.max(), finite.mean(), np.median(finite), finite.std()]
            found = [told[f"{name}/{figure}"] for figure in ("min", "max", "mean", "median", "std")]
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
            assert sum(told[f"{name}/histogram"]["counts"]) == len(finite)
        known = coact[~np.isnan(coact)]
        if len(known):
            assert told["fraction_zero_coactivations"] == pytest.approx((known == 0).mean())
        assert told["fraction_singleton_groups"] == pytest.approx((view.ranks == 1).mean())
        assert told["group_sizes/mean"] == pytest.approx(view.ranks.mean())
        activity = view.activities / view.n_samples
        assert told["group_activations/max"] == pytest.approx(np.nanmax(activity))
        over = activity / view.ranks
        assert told["group_activations_over_sizes/min"] == pytest.approx(np.nanmin(over))
        seen.append(told)

    merged(kind, check, at=5)
    assert len(seen) > 3


def test_large_groupings_are_described_by_one_and_the_same_sample():
    first, second = _some_pairs(1000, 7)
    assert len(first) == PAIRS
    assert (first != second).all()
    assert min(first.min(), second.min()) >= 0
    assert max(first.max(), second.max()) < 1000
    again = _some_pairs(1000, 7)
    np.testing.assert_array_equal(first, again[0])
    assert (_some_pairs(1000, 8)[0] != first).any()
    # every unordered pair is as likely: the ends of pairs are spread evenly over the groups
    counts = np.bincount(np.concatenate([first, second]), minlength=1000)
    assert abs(counts.mean() - 2 * PAIRS / 1000) < 1e-9
    assert counts.std() < 2 * np.sqrt(counts.mean())


def test_nothing_but_nan_is_described_by_its_share():
    assert describe_values("a", np.array([np.nan, np.nan])) == {"a/nan_share": 1.0}
    assert describe_values("a", np.zeros(0)) == {"a/nan_share": 0.0}
    assert sum(describe_values("a", np.full(5, 2.0))["a/histogram"]["counts"]) == 5


def test_a_snapshot_holds_the_largest_groups_as_the_matrices_have_them(monkeypatch):
    monkeypatch.setattr("spdclust.tracking.records.SHOWN", 6)
    monkeypatch.setattr("spdclust.plotting.merge_state.draw_merge_state", lambda idxs, *_, title: idxs)
    shots = []

    def look(view):
        shot = MergeSample.of(view)
        at = np.ix_(shot.shown, shot.shown)
        np.testing.assert_array_equal(shot.shown_coactivations, view.coactivations[at])
        np.testing.assert_allclose(shot.shown_costs, view.costs[at], rtol=1e-9, atol=1e-9)
        others = np.delete(view.ranks, shot.shown)
        assert len(shot.shown) == min(6, view.k_groups)
        assert not len(others) or view.ranks[shot.shown].min() >= others.max()
        np.testing.assert_array_equal(np.bincount(shot.draw(view.group_idxs)), view.ranks[shot.shown])
        shots.append(shot)

    merged(callback=look, at=4)
    assert len(shots) > 3


def begin(recorder, go_on=False, seed=3):
    resolved = config("range", 0.2, min_groups=4).resolved()
    recorder.begin([f"m:{i}" for i in range(24)], resolved, (seed,), ["1f2e"], [{"task": "tms"}], go_on=go_on)
    return merge_digest(resolved, [seed], ["1f2e"])


@pytest.fixture
def progress_file(tmp_path):
    """The progress of a whole merge."""
    recorder = ProgressRecorder(tmp_path / "logs/run_0.progress.jsonl")
    begin(recorder)
    merged(watch=recorder.watch)
    return tmp_path / "logs/run_0.progress.jsonl"


def test_the_progress_of_a_merge_has_its_merges_times_and_memory(progress_file):
    progress = load_progress(progress_file)
    resolved = config("range", 0.2, min_groups=4).resolved()
    assert (progress.merge, progress.task) == (merge_digest(resolved, [3], ["1f2e"]), "tms")
    assert progress.n_done == progress.n_merges == 20
    seconds, memory = progress.per_iteration(20)
    assert (seconds >= 0).all()
    assert (memory > 1).all()
    assert np.isnan(progress.per_iteration(21)[0][20])


def test_an_interrupted_merge_goes_on_with_its_progress_and_another_merge_does_not(progress_file):
    before = len(load_progress(progress_file).stretches)
    recorder = ProgressRecorder(progress_file)
    begin(recorder, go_on=True)
    recorder.watch(15, {"names": np.zeros((2, 2))})  # from the last checkpoint on
    progress = load_progress(progress_file)
    assert (len(progress.stretches), progress.n_done) == (before + 1, 17)
    assert recorder.progress.stretches == progress.stretches
    begin(ProgressRecorder(progress_file), go_on=True, seed=4)
    assert load_progress(progress_file).stretches == []


def test_progress_that_breaks_off_is_read_up_to_there(progress_file):
    text = progress_file.read_text()
    progress_file.write_text(text[: len(text) - 10])
    assert 0 < load_progress(progress_file).n_done < 20
    progress_file.write_text("")
    assert load_progress(progress_file).merge == ""
    assert load_progress(progress_file.with_name("nowhere")).merge == ""


@pytest.mark.parametrize(
    "line",
    [
        "[" * 100_000,
        '{"first": 0, "first": 0, "n": 1, "seconds": 1.0, "memory_mb": 1.0}',
        '{"first": 0, "n": 1}',
        '{"first": 0, "n": true, "seconds": 1.0, "memory_mb": 1.0}',
        '{"first": -1, "n": 1, "seconds": 1.0, "memory_mb": 1.0}',
        "[1]",
        "\udcff",
    ],
)
def test_a_damaged_line_of_the_progress_ends_what_is_read(progress_file, line):
    whole = progress_file.read_text().splitlines()
    damaged = "\n".join([*whole[:2], line, *whole[2:]]) + "\n"
    progress_file.write_bytes(damaged.encode(errors="surrogateescape"))
    progress = load_progress(progress_file)
    assert progress.merge != ""
    assert len(progress.stretches) == 1
    progress_file.write_bytes((line + "\n").encode(errors="surrogateescape"))
    assert load_progress(progress_file).merge == ""


@pytest.mark.parametrize("text", ["", "[]", '{"run_id": 3}', "[" * 100_000, "\xff", '{"run_id": "a"}'])
def test_a_note_that_cannot_be_read_is_none(tmp_path, text):
    note = Note("a", "b", "c", True)
    note.save(tmp_path / "note.json")
    assert Note.load(tmp_path / "note.json") == note
    (tmp_path / "note.json").write_text(text)
    assert Note.load(tmp_path / "note.json") is None


def test_progress_that_cannot_be_written_stops_no_merge(tmp_path, caplog):
    (tmp_path / "logs").write_text("a file where the folder should be")
    recorder = ProgressRecorder(tmp_path / "logs/run_0.progress.jsonl")
    begin(recorder)
    assert merged(watch=recorder.watch).n_iterations == 20
    (warning,) = (each.getMessage() for each in caplog.records if each.levelname == "WARNING")
    assert "the merge continues" in warning


class Kept(Tracker):
    """A tracker that keeps what it is given."""

    def __init__(self):
        super().__init__()
        self.rows, self.artifacts, self.summary = [], [], {}

    def log(self, values):
        self.rows.append(dict(values))

    def artifact(self, name, kind, files, metadata, aliases=()):
        self.artifacts.append(
            (name, kind, {path.name: path.read_bytes() for path in files}, metadata, aliases)
        )

    def summarize(self, values):
        self.summary |= values

    def finish(self):
        return True


def test_each_kind_of_record_is_logged_at_its_interval(history, monkeypatch):
    kept = Kept()
    intervals = LoggingIntervals(stat=3, tensor=4, plot=100, artifact=6)
    monkeypatch.setattr(
        MergeSample,
        "statistics",
        lambda self: {"costs/mean": 2.0 * self.iteration, "costs/median": -self.iteration},
    )
    some, none, square = np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros((0, 0))
    monkeypatch.setattr(MergeSample, "draw", lambda self, group_idxs: "picture")
    n = history.n_iterations
    _log_history(
        kept,
        Note("id", "", "", False),
        intervals,
        [history, history],  # nothing is logged twice
        MergeProgress(stretches=[{"first": 0, "n": n, "seconds": 0.5 * n, "memory_mb": 0.5}]),
        lambda t: MergeSample(t, 1, some, none, none, none, some, square, square),
    )
    assert [r["iteration"] for r in kept.rows] == [t for t in range(n) if t % 3 == 0 or t % 4 == 0]
    assert {r["iteration"] for r in kept.rows if "mdl_loss" in r} == set(range(0, n, 3))
    assert {r["iteration"] for r in kept.rows if "costs/mean" in r} == set(range(0, n, 4))
    changes = {
        r["iteration"]: (r["costs/mean_change"], r["costs/median_change"])
        for r in kept.rows
        if "costs/mean_change" in r
    }
    assert changes == dict.fromkeys(range(4, n, 4), (2.0, -1.0))
    aliases = [aliases for *_, aliases in kept.artifacts]
    assert aliases == [[f"iteration_{t}"] for t in range(0, n, 6)] + [["final"]]
    assert kept.summary["n_groups_at_least_mdl"] == history.k_groups[history.best_iteration()]


def test_saved_assignments_come_back_from_the_file_and_from_its_folder(history, tmp_path):
    saved = np.array([0, 7, history.n_iterations - 1])
    seconds = np.linspace(0, 1, history.n_iterations)
    save_group_assignments(history, saved, tmp_path / "group_assignments.npz", seconds)
    for path in (tmp_path, tmp_path / "group_assignments.npz"):
        back = load_group_assignments(path)
        assert back.labels == history.labels
        for number, iteration in enumerate(saved.tolist()):
            np.testing.assert_array_equal(back.group_idxs[number], history.group_idxs(iteration))
            assert back.at(iteration).k_groups == back.k_groups[number] == history.k_groups[iteration]
        np.testing.assert_array_equal(back.selected_pairs, history.selected_pairs[saved])
        np.testing.assert_array_equal(back.costs, history.merge_pair_cost[saved])
        np.testing.assert_allclose(back.time, np.cumsum(seconds)[saved])
    with pytest.raises(ValueError, match=r"iteration: not saved \(found: 1; allowed: 0, 7"):
        back.at(1)


@pytest.mark.parametrize(
    "path",
    [
        "wandb:goodfire/spd/runs/s-38e1a3e2",
        "wandb:goodfire/spd/s-38e1a3e2",
        "goodfire/spd/s-38e1a3e2",
        "https://wandb.ai/goodfire/spd/runs/s-38e1a3e2?x=y",
    ],
)
def test_the_parent_run_is_found_in_every_form_of_its_path(path, monkeypatch):
    monkeypatch.delenv("WANDB_BASE_URL", raising=False)
    url = "https://wandb.ai/goodfire/spd/runs/s-38e1a3e2"
    assert _parent_of(path) == {"id": "s-38e1a3e2", "path": "goodfire/spd/s-38e1a3e2", "url": url}


def test_ids_depend_on_what_was_merged_and_are_names_that_wandb_takes():
    def id_of(ensemble, seed):
        return _wandb_id(f"{ensemble}-run_3", merge_digest({"alpha": 1.0}, seed, []))

    one = id_of("resid/demo-alpha~0.5", (0, 3))
    assert one == id_of("resid/demo-alpha~0.5", [0, 3])
    assert one != id_of("resid/demo-alpha~0.5", (1, 3))
    assert one.startswith("resid-demo-alpha~0.5-run_3-")
    assert not set(one) & set("/\\#?%:")
    assert len(id_of("x" * 300, (0, 3))) <= 128


def test_tags_and_settings_name_the_ensemble_the_model_and_the_run():
    from spdclust.config.pipeline import TrackingSettings

    run = {"model_path": None, "experiment_key": "tms_5-2", "batch_size": 3}
    place = TrackedEnsemble(Path("r/e"), TrackingSettings(project="p"), resolved=(run, {}))
    told = place.describe("merge", "run_2", "1f2e", task="tms", run=2)
    assert told["tags"] == ["clustering", "ensemble_id:r/e", "task:tms", "model:s-38e1a3e2", "run_idx:2"]
    assert told["config"]["wandb_decomp_model"] == "s-38e1a3e2"
    assert told["config"]["batch_size"] == 3
    assert (told["group"], told["job_type"], told["project"], told["entity"]) == ("r/e", "merge", "p", None)


def test_time_and_memory_of_an_iteration_are_means_of_its_stretch():
    progress = MergeProgress(stretches=[
        {"first": 0, "n": 4, "seconds": 2.0, "memory_mb": 7.0}, {"first": 4, "n": 1, "seconds": 3.0, "memory_mb": 9.0},
    ])  # fmt: skip
    seconds, memory = progress.per_iteration(6)
    np.testing.assert_array_equal(seconds, [0.5, 0.5, 0.5, 0.5, 3.0, np.nan])
    np.testing.assert_array_equal(memory, [7, 7, 7, 7, 9, np.nan])


def test_where_no_pair_is_left_no_pair_was_ever_active_together():
    last = []
    acts = activations(np.ones((4, 2)))
    merge_iteration(acts, config(min_groups=1), callback=lambda view: last.append(MergeSample.of(view)))
    assert (last[-1].sizes.tolist(), last[-1].statistics()["fraction_zero_coactivations"]) == ([2], 1.0)


def test_what_is_recorded_and_not_yet_sent_is_reported_with_the_command_that_sends_it(tmp_path, caplog):
    note = Note("e-run_0", "ab", "/p", complete=True, folder=str(tmp_path / "w"), offline=True)
    note.save(tmp_path / "run_0.json")
    (tmp_path / "w").mkdir()
    described = {"id": "e-run_0", "entity": None, "project": "p"}
    with caplog.at_level(logging.INFO, logger="spdclust"):
        for _ in range(2):
            assert log_once(described, tmp_path / "run_0.json", "ab", print) == note
            (tmp_path / "w/run-e.wandb.synced").touch()  # as `wandb sync` leaves it
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("WARNING", f"e-run_0 is recorded, and is still to be sent: `wandb sync {tmp_path / 'w'}`"),
        ("INFO", "already logged as e-run_0; --again logs it as a new run"),
    ]


def test_a_process_has_more_than_a_megabyte_of_memory():
    assert _process_mb() > 1
