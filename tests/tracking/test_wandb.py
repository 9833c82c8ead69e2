"""With the real client: what it records on disk is read back and held against the history."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from forked_python import python
from merging import random_dense
from wandb_runs import read_run, recorded_runs

from spdclust.config.pipeline import tracking_settings
from spdclust.config.run import ClusteringRunConfig
from spdclust.example_ensemble import example_found
from spdclust.files.activation_batch import ActivationBatch
from spdclust.files.ensemble_folder import GROUPS, save_run_config
from spdclust.files.groups import save_groups
from spdclust.files.histories import load_merge_history
from spdclust.stages.merge import merge
from spdclust.stages.track import follow_merge, sync_ensemble
from spdclust.tracking.artifacts import load_group_assignments
from spdclust.tracking.client import Tracker, open_tracker
from spdclust.tracking.merges import MergeCallback
from spdclust.tracking.results import log_batches
from spdclust.tracking.runs import Note, TrackedEnsemble

CONFIG = ClusteringRunConfig(
    model_path="wandb:goodfire/spd/runs/s-38e1a3e2",
    wandb_project="proj",
    wandb_entity="ent",
    n_batches=2,
    merge_config={"iters": 30, "recompute_costs_every": 10, "merge_pair_sampling_kwargs": {"threshold": 0}},
    logging_intervals={"stat": 2, "tensor": 5, "plot": 20, "artifact": 10},
)


DESCRIBED = {"project": "p", "id": "id", "group": "g", "job_type": "merge"}


def environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    places = {
        name: str(folder) for name in ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR")
    }
    return kept | places | {"NETRC": str(folder / "none")} | more


def ensemble(root: Path, config: ClusteringRunConfig = CONFIG) -> TrackedEnsemble:
    (root / "results/logs").mkdir(parents=True)
    place = TrackedEnsemble(root / "results/sampling/ens")
    for b in (0, 1):
        dense = random_dense(b, 200, 45)
        made = ActivationBatch.from_dense(dense, [f"m:{i}" for i in range(45)], provenance={"task": "tms"})
        made.save(place.batches(0) / f"batch_{b}.pt")
    save_run_config(config.resolved(), place.folder / "clustering_run_config.json")
    save_groups(example_found(), place.folder, ensemble=place.name)
    return place


def merge_live(
    place: TrackedEnsemble,
    config: ClusteringRunConfig = CONFIG,
    wait: float = 900.0,
    live_after: float = 0.0,
    keep_batches: bool = True,
) -> None:
    settings = tracking_settings(config)
    callback = None
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        # a machine under load may take long to start the client
        patch.setattr("spdclust.tracking.merges.WAIT_SECONDS", wait)
        patch.setattr("spdclust.tracking.merges.LIVE_AFTER_SECONDS", live_after)
        if settings is not None:
            callback = MergeCallback(replace(place, tracking=settings), 0, keep_batches=keep_batches)
            stack.enter_context(contextlib.closing(callback))
        merge(
            [place.batches(0) / f"batch_{b}.pt" for b in (0, 1)],
            config.merge_config.resolved(),
            (0, 0),
            history=place.history(0),
            metrics=place.folder / "runs/run_0/metrics.csv",
            threads=1,
            observer=callback,
        )


def sync(place: TrackedEnsemble, env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess:
    command = ["-m", "spdclust.commands.cli", "wandb-sync", place.folder]
    return python(*command, *arguments, env=env, timeout=900)


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """One merge, followed while it ran, and logged again from its history and batches alone."""
    root = tmp_path_factory.mktemp("tracking")
    place = ensemble(root)
    env = environment(root, WANDB_MODE="offline")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        merge_live(place)
        bytes_after_live = place.history(0).read_bytes()
        live_note = Note.load(place.note("run_0"))
        place.progress(0).unlink()
        # another project: the same merge is logged there from its history
        outcome = sync(place, env, "--project", "other")
        again = sync_ensemble(place.folder, project="other")  # would take the client of this process
    runs = {name: read_run(folder) for name, folder in recorded_runs(root).items()}
    by_type = {}
    for name, run in sorted(runs.items()):
        by_type.setdefault(run.run["job_type"], []).append((name, run))
    return SimpleNamespace(
        place=place, outcome=outcome, again=again, note=live_note, runs=by_type, bytes=bytes_after_live
    )


@pytest.fixture
def live(logged):
    return logged.runs["merge"][0][1]


@pytest.fixture
def history(logged):
    return load_merge_history(logged.place.history(0))


def test_every_iteration_at_its_interval_has_the_figures_of_the_history(live, history):
    n = history.n_iterations
    for name, values in (
        ("mdl_loss", history.mdl_loss),
        ("mdl_loss_norm", history.mdl_loss),
        ("merge_pair_cost", history.merge_pair_cost),
        ("k_groups", history.k_groups),
        ("pair/first", history.selected_pairs[:, 0]),
        ("pair/second", history.selected_pairs[:, 1]),
        ("pair/gap_to_best", history.records["gap_to_best"]),
    ):
        assert live.column(name) == pytest.approx({t: values[t] for t in range(0, n, 2)}, rel=1e-12), name
    assert set(live.column("costs/mean")) == set(range(0, n, 5))
    assert {t: len(bins) for t, bins in live.column("costs/histogram.bins").items()} == dict.fromkeys(
        range(0, n, 5), 65
    )
    assert {row["iteration"] for row in live.rows if any(name.startswith("merge_state") for name in row)} == {
        0,
        20,
    }
    assert all(seconds > 0 for seconds in live.column("time/iteration_seconds").values())
    for t in range(0, n, 10):
        assert live.column("group_sizes/max")[t] == history.at(t).sizes().max()


def test_iteration_is_the_axis_of_every_metric(live):
    assert {"iteration"} <= {metric.get("name") for metric in live.metrics}
    (glob,) = (metric for metric in live.metrics if metric.get("glob_name"))
    assert (glob["glob_name"], glob["step_metric"]) == ("*", "iteration")
    iterations = [row["iteration"] for row in live.rows]
    assert iterations == sorted(set(iterations))


def test_a_run_says_what_it_belongs_to(logged, live):
    run_id, _ = logged.runs["merge"][0]
    assert (live.run["run_id"], live.run["run_group"], live.run["job_type"]) == (
        run_id,
        "sampling/ens",
        "merge",
    )
    assert (live.run["entity"], live.run["project"]) == ("ent", "proj")
    assert set(live.run["tags"]) == {
        "clustering", "task:tms", "model:s-38e1a3e2", "ensemble_id:sampling/ens", "run_idx:0",
    }  # fmt: skip
    assert live.config["wandb_decomp_model"] == "s-38e1a3e2"
    assert live.config["parent_run"]["url"].endswith("/goodfire/spd/runs/s-38e1a3e2")
    assert live.config["merge_config"] == json.loads(json.dumps(CONFIG.merge_config.resolved()))
    assert "goodfire/spd/runs/s-38e1a3e2" in live.run["notes"]


def test_artifacts_hold_the_assignments_and_the_history(live, history, logged, tmp_path):
    groups = [artifact for artifact in live.artifacts if artifact["type"] == "group_assignments"]
    aliases = [set(artifact["aliases"]) - {"latest"} for artifact in groups]
    assert aliases == [{"iteration_0"}, {"iteration_10"}, {"iteration_20"}, {"final"}]
    assert json.loads(groups[-1]["metadata"])["iterations"] == [0, 10, 20]
    (entry,) = groups[-1]["manifest"]["contents"]
    assert entry["path"] == "group_assignments.npz"
    saved = load_group_assignments(entry["local_path"])
    for number, t in enumerate((0, 10, 20)):
        np.testing.assert_array_equal(saved.group_idxs[number], history.group_idxs(t))
    (whole,) = (artifact for artifact in live.artifacts if artifact["type"] == "merge_history")
    (entry,) = whole["manifest"]["contents"]
    assert (entry["path"], int(entry["size"])) == ("history.zip", logged.place.history(0).stat().st_size)
    assert zipfile.is_zipfile(entry["local_path"])


def without_times(row):
    return {name: value for name, value in row.items() if not name.startswith(("_", "time/", "merge_state"))}


def test_the_record_made_later_is_the_one_made_live(logged, live):
    run_id, later = logged.runs["merge"][1]
    assert run_id == logged.runs["merge"][0][0] + "-2"
    assert [without_times(row) for row in later.rows] == [without_times(row) for row in live.rows]
    pictures = [set(run.column("merge_state.sha256")) for run in (live, later)]
    assert pictures[0] == pictures[1] != set()
    # the record was gone: only the times of iterations cannot be known again
    assert later.column("time/iteration_seconds") == {}
    kinds = [[(a["type"], set(a["aliases"])) for a in run.artifacts] for run in (live, later)]
    assert kinds[0] == kinds[1]
    assert live.config == later.config


def test_what_was_logged_is_not_logged_again(logged):
    assert logged.outcome.returncode == 0, logged.outcome.stderr
    assert {kind: len(runs) for kind, runs in logged.runs.items()} == {"merge": 2, "batches": 1, "report": 1}
    assert "wandb sync " in logged.outcome.stdout
    assert [note.run_id for note in logged.again] == [
        logged.runs[kind][-1][0] for kind in ("merge", "batches", "report")
    ]
    assert logged.note.run_id == logged.runs["merge"][0][0]
    assert logged.place.history(0).read_bytes() == logged.bytes


def test_activations_are_logged_once_with_their_figures(logged):
    batches = logged.runs["batches"][0][1]
    (row,) = batches.rows
    dense = random_dense(0, 200, 45)
    assert row["activations/nonzero_share"] == pytest.approx((dense != 0).mean())
    assert row["activations/never_active"] == (dense == 0).all(axis=0).sum()
    for name in ("raw", "sorted", "coactivation", "log_coactivation", "histograms"):
        assert row[f"activations/{name}._type"] == "image-file"


def test_the_report_holds_the_groups_with_their_numbers(logged):
    report = logged.runs["report"][0][1]
    (row,) = (row for row in report.rows if any(name.startswith("groups.") for name in row))
    assert (row["groups._type"], row["groups.nrows"], row["groups.ncols"]) == ("table-file", 3, 13)
    (kept,) = (artifact for artifact in report.artifacts if artifact["type"] == "groups")
    assert {file["path"] for file in kept["manifest"]["contents"]} == set(GROUPS.values())


def test_the_report_holds_the_curves_of_all_members(logged, history):
    report = logged.runs["report"][0][1]
    assert report.column("members/mdl_loss/mean") == pytest.approx(
        {t: history.mdl_loss[t] for t in range(0, history.n_iterations, 2)}
    )
    assert report.summary["n_runs"] == 1
    assert max(report.column("members/final_k_groups/mean").values()) == history.k_groups[-1]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The same merge with nothing logged."""
    place = ensemble(tmp_path_factory.mktemp("plain"))
    merge_live(place, CONFIG.model_copy(update={"wandb_project": None}))
    return place.history(0).read_bytes()


def test_logging_changes_no_byte_of_the_history(logged, plain):
    assert logged.bytes == plain


def merge_in_a_process(
    place: TrackedEnsemble, url: str, wait: float, fails: bool = False, begun: Path | None = None, **more: str
) -> str:
    """Merge where W&B is online, in a process that ends as a job does; return what it wrote on standard error."""
    script = f"""
import time
import sys
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1] / "helpers")]!r}
from pathlib import Path
import spdclust.stages.merge
from test_wandb import TrackedEnsemble, merge_live
def fail(*_):
    while not Path({str(begun)!r}).exists():  # the client waits for the server
        time.sleep(0.1)
    raise SystemExit("failed")
if {fails}:
    spdclust.stages.merge.save_metrics = fail
merge_live(TrackedEnsemble(Path({str(place.folder)!r})), wait={wait})
print("merged")
"""
    root = place.folder.parents[2]
    env = environment(root, WANDB_MODE="online", WANDB_BASE_URL=url, WANDB_API_KEY="a" * 40, **more)
    done = python("-c", script, env=env, cwd=root, timeout=900)
    assert (done.returncode, done.stdout) == ((1, "") if fails else (0, "merged\n")), done.stderr
    assert "Traceback" not in done.stderr
    assert "a" * 40 not in done.stderr
    return done.stderr


def test_a_server_that_cannot_be_reached_stops_no_merge(tmp_path, plain):
    place = ensemble(tmp_path)
    said = merge_in_a_process(place, "http://127.0.0.1:9", wait=900.0)
    assert place.history(0).read_bytes() == plain
    assert "W&B cannot be used" in said
    assert "`wandb sync " in said
    (folder,) = recorded_runs(tmp_path).values()
    note = Note.load(place.note("run_0"))
    assert note is not None
    assert (note.complete, note.offline, note.folder) == (True, True, str(folder))


@pytest.mark.parametrize("fails", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_server_that_never_answers_holds_a_merge_up_for_the_stated_time_only(tmp_path, plain, fails):
    """The client is told to wait for it far longer than this test may take."""
    place = ensemble(tmp_path)
    patience = dict.fromkeys(
        ("WANDB_INIT_TIMEOUT", "WANDB_LOGIN_TIMEOUT", "WANDB__GRAPHQL_TIMEOUT_SECONDS"), "100000"
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        begun = tmp_path / "begun"

        def accept() -> None:
            with silent.accept()[0]:
                begun.touch()
                over.wait()

        over = threading.Event()
        threading.Thread(target=accept, daemon=True).start()
        said = merge_in_a_process(place, url, wait=2.0, fails=fails, begun=begun, **patience)
        over.set()
    assert f"within {0.2 if fails else 2:g} s" in said
    assert fails or place.history(0).read_bytes() == plain


def test_nothing_that_fails_while_logging_reaches_the_merge(tmp_path, plain, monkeypatch, caplog):
    def fail(*_, **__):
        raise ZeroDivisionError("of all things")

    for number, name in enumerate(
        ["merges.log_once", "merges.MergeSample.of", "merges.stat_records", "runs.open_tracker"]
    ):
        place = ensemble(tmp_path / str(number))
        with monkeypatch.context() as patch:
            patch.setenv("WANDB_MODE", "disabled")
            patch.setattr(f"spdclust.tracking.{name}", fail)
            merge_live(place)
        assert place.history(0).read_bytes() == plain
        (warning,) = (each.getMessage() for each in caplog.records if each.levelname == "WARNING")
        assert "of all things" in warning
        note = Note.load(place.note("run_0"))
        assert note is None or not note.complete
        caplog.clear()


class Kept(Tracker):
    """Keeps the rows, and can say that it was finished."""

    def __init__(self, folder=None):
        super().__init__()
        self.folder = folder
        self.rows, self.finished = [], False

    def log(self, values):
        self.rows.append(values)

    def finish(self):
        self.finished = True
        return True


@pytest.fixture
def opened(monkeypatch):
    """The runs that are logged, without a client."""
    runs = {}

    def open_run(description):
        return runs.setdefault(description["job_type"], Kept())

    monkeypatch.setattr("spdclust.tracking.runs.open_tracker", open_run)
    return runs


def test_a_short_merge_is_left_to_be_logged_later_unless_its_batches_go(tmp_path, opened):
    merge_live(ensemble(tmp_path / "a"), live_after=1e9)
    assert opened == {}
    merge_live(ensemble(tmp_path / "b"), live_after=1e9, keep_batches=False)
    assert opened.keys() == {"merge", "batches"}
    assert any("costs/mean" in row for row in opened["merge"].rows)


def test_temporary_batches_that_were_logged_are_not_missed(tmp_path, opened, caplog):
    place = ensemble(tmp_path)
    merge_live(place, live_after=1e9, keep_batches=False)
    place = replace(place, tracking=tracking_settings(CONFIG))
    for path in place.batches(0).iterdir():
        path.unlink()
    caplog.clear()
    log_batches(place, 0)
    assert "not logged" not in caplog.text
    place.batches_note(0).unlink()
    log_batches(place, 0)
    assert "the activations are not logged" in caplog.text


def test_activations_are_logged_again_on_request_only(tmp_path, opened):
    place = ensemble(tmp_path)
    merge_live(place, live_after=1e9)
    place = replace(place, tracking=tracking_settings(CONFIG))
    for again, n_rows in ((False, 1), (False, 1), (True, 2)):
        log_batches(place, 0, **({"again": True} if again else {}))
        assert len(opened["batches"].rows) == n_rows


def test_what_comes_before_the_first_merges_does_not_make_a_merge_long(tmp_path, opened, monkeypatch):
    """Compiling for 17 s made a merge of 0.03 s wait for W&B."""
    now = [1.0]
    monkeypatch.setattr("spdclust.tracking.merges.time", SimpleNamespace(monotonic=lambda: now[0]))
    place = ensemble(tmp_path)
    callback = MergeCallback(replace(place, tracking=tracking_settings(CONFIG)), 0)
    callback.begin(["m:0", "m:1"], {}, (0, 0), ["1f2e"], [])
    now[0] += 17
    callback.watch(0, {"names": np.array([[0, 1]])})
    callback.end()
    callback.close()
    assert opened == {}


def test_more_states_than_memory_should_hold_are_logged_when_the_merge_is_over(
    tmp_path, opened, monkeypatch, plain, caplog
):
    monkeypatch.setattr("spdclust.tracking.merges.MOST_SAMPLES", 3)
    place = ensemble(tmp_path)
    merge_live(place, live_after=1e9)
    assert "3 states wait" in caplog.text
    assert place.history(0).read_bytes() == plain
    assert all(run.finished for run in opened.values())
    assert not (note := Note.load(place.note("run_0"))) or not note.complete


def test_a_merge_with_too_many_states_is_logged_from_its_batches_before_these_go(
    tmp_path, opened, monkeypatch
):
    """The thread had ended with the warning, and nobody logged what needs the batches."""
    monkeypatch.setattr("spdclust.tracking.merges.MOST_SAMPLES", 3)
    monkeypatch.setattr("spdclust.tracking.merges.POLL_SECONDS", 60.0)
    place = ensemble(tmp_path)
    merge_live(place, live_after=1e9, keep_batches=False)
    assert opened.keys() == {"merge", "batches"}
    assert {row["iteration"] for row in opened["merge"].rows if "costs/mean" in row} == set(range(0, 30, 5))
    assert Note.load(place.note("run_0")).complete


def test_runs_are_sent_by_the_client_which_marks_them(tmp_path, opened, monkeypatch):
    place = ensemble(tmp_path)
    merge_live(place, live_after=1e9)
    sent = []

    def wandb_sync(command, **_):
        sent.append(command[-1])
        (tmp_path / "offline-run" / "run-a.wandb.synced").touch()

    (tmp_path / "offline-run").mkdir()
    monkeypatch.setattr("spdclust.tracking.runs.open_tracker", lambda _: Kept(tmp_path / "offline-run"))
    monkeypatch.setattr("subprocess.run", wandb_sync)
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert {note.waiting for note in sync_ensemble(place.folder, project="p")} == {True}
    assert sent == []
    monkeypatch.setenv("WANDB_MODE", "online")
    assert {note.waiting for note in sync_ensemble(place.folder, project="p")} == {False}
    assert {note.waiting for note in sync_ensemble(place.folder, project="p")} == {False}
    assert sent == [str(tmp_path / "offline-run")]


def test_an_interrupted_merge_is_logged_when_it_is_over(tmp_path, monkeypatch):
    monkeypatch.setattr("spdclust.tracking.merges.LIVE_AFTER_SECONDS", 0.0)
    place = ensemble(tmp_path)
    callback = MergeCallback(replace(place, tracking=tracking_settings(CONFIG)), 0)
    callback.begin(["m:0", "m:1"], {}, (0, 0), ["1f2e"], [], go_on=True)
    assert not callback.wants(0)
    callback.watch(1, {"names": np.array([[0, 1]])})
    callback.end()
    callback.close()
    assert Note.load(place.note("run_0")) is None


def test_a_failed_merge_waits_for_a_tenth_of_the_time(tmp_path, monkeypatch, caplog):
    hangs, killed = threading.Event(), []
    monkeypatch.setattr("spdclust.tracking.merges.LIVE_AFTER_SECONDS", 0.0)
    monkeypatch.setattr("spdclust.tracking.merges.WAIT_SECONDS", 0.5)
    monkeypatch.setattr("spdclust.tracking.merges.log_once", lambda *_: hangs.wait())
    monkeypatch.setattr("spdclust.tracking.merges.kill_service", lambda: killed.append(hangs.set()))
    callback = MergeCallback(replace(ensemble(tmp_path), tracking=tracking_settings(CONFIG)), 0)
    callback.begin(["m:0", "m:1"], {}, (0, 0), ["1f2e"], [])
    callback.watch(0, {"names": np.array([[0, 1]])})
    callback.close()  # without `end`
    assert "did not take the record of this merge within 0.05 s" in caplog.text
    assert len(killed) == 1


def test_a_merge_that_was_killed_is_logged_again_under_another_id(tmp_path, opened):
    place = ensemble(tmp_path)
    merge_live(place)
    note = Note.load(place.note("run_0"))
    assert note.complete
    replace(note, complete=False, offline=False).save(place.note("run_0"))
    merge_live(place)
    assert Note.load(place.note("run_0")).run_id == f"{note.run_id}-2"


class Client:
    """Stands in for the client where the real one cannot be made to fail at a chosen moment."""

    def __init__(self, begin=(), log=None):
        self.begin, self.failure, self.calls = list(begin), log, []

    def install(self, monkeypatch):
        run = SimpleNamespace(
            define_metric=lambda *a, **k: None,
            log=self._log,
            finish=lambda **k: self.calls.append("finish"),
            settings=SimpleNamespace(sync_dir="/tmp"),
            offline=True,
            disabled=False,
        )

        def init(**given):
            self.calls.append(given["settings"].get("mode", "online"))
            if self.begin and (error := self.begin.pop(0)) is not None:
                raise error
            return run

        fake = SimpleNamespace(init=init, Settings=dict, teardown=lambda code: None)
        monkeypatch.setitem(sys.modules, "wandb", fake)

    def _log(self, values):
        self.calls.append("log")
        if self.failure is not None:
            raise self.failure


def test_a_client_that_fails_on_the_way_warns_once_and_is_left_alone(monkeypatch, caplog):
    client = Client(log=OSError(28, "No space left on device"))
    client.install(monkeypatch)
    tracker = open_tracker(DESCRIBED)
    for _ in range(3):
        tracker.log({"iteration": 0})
    assert not tracker.finish()
    assert client.calls == ["online", "log"]
    (warning,) = (each.getMessage() for each in caplog.records if each.levelname == "WARNING")
    assert "No space left on device" in warning
    assert "wandb sync /tmp" in warning


def test_a_disk_that_is_full_at_the_end_makes_the_record_incomplete(monkeypatch, caplog):
    Client().install(monkeypatch)
    tracker = open_tracker(DESCRIBED)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=0))
    assert not tracker.finish()
    assert "no space left in WANDB_DIR" in caplog.text
    assert "spdclust wandb-sync" in caplog.text


def test_a_mode_that_is_set_after_the_client_was_used_is_obeyed(tmp_path):
    """The client had read its variables when it made a picture, and a disabled run would have gone online."""
    script = """
import os, wandb
wandb.setup()
os.environ["WANDB_MODE"] = "disabled"
from spdclust.tracking.client import open_tracker
tracker = open_tracker({"project": "p", "id": "id", "group": "g", "job_type": "merge"})
print(tracker.folder, tracker.finish())
"""
    done = python("-c", script, env=environment(tmp_path), cwd=tmp_path, timeout=900)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["None False"]
    assert list((tmp_path / "wandb").glob("*run-*")) == []


def test_a_run_id_that_is_taken_is_recorded_on_disk_to_be_sent_under_another(monkeypatch, caplog):
    taken = RuntimeError(
        "The value 'never' is not a valid option for resuming a run (id) that already exists."
    )
    client = Client(begin=[taken])
    client.install(monkeypatch)
    assert open_tracker(DESCRIBED).finish()
    assert client.calls == ["online", "offline", "finish"]
    assert "--id id-2" in caplog.text


def test_where_not_even_the_disk_takes_the_record_nothing_is_logged(monkeypatch, caplog):
    client = Client(begin=[RuntimeError("no network"), OSError(28, "No space left on device")])
    client.install(monkeypatch)
    tracker = open_tracker(DESCRIBED)
    assert (tracker.folder, tracker.finish()) == (None, False)
    assert "no network" in caplog.text
    assert "WANDB_DIR" in caplog.text
    assert "spdclust wandb-sync" in caplog.text


@pytest.mark.slow
def test_without_a_key_nobody_is_asked_for_one(tmp_path, logged):
    env = environment(tmp_path, WANDB_MODE="online", WANDB_BASE_URL="http://127.0.0.1:9")
    outcome = sync(logged.place, env, "--run", "0", "--again")
    assert outcome.returncode == 0, outcome.stderr
    assert "API key" in outcome.stderr
    assert "wandb login" in outcome.stderr


@pytest.mark.parametrize("problem", [None, ZeroDivisionError])
def test_the_logging_of_a_merge_is_waited_for_whether_or_not_the_merge_fails(tmp_path, monkeypatch, problem):
    closed = []
    monkeypatch.setattr("spdclust.stages.track._configured", lambda place, _: place)
    monkeypatch.setattr(MergeCallback, "close", lambda callback: closed.append(callback))
    history = TrackedEnsemble(tmp_path / "results/sampling/ens").history(0)
    with contextlib.suppress(ZeroDivisionError), follow_merge(history, {}) as observer:
        assert not closed
        if problem is not None:
            raise problem
    assert closed == [observer]
