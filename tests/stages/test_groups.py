"""The stage and the commands of groups on an ensemble on disk: what is written, what bad input says."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from spdclust.commands.cli import main
from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError
from spdclust.example_ensemble import example_found
from spdclust.files.activation_batch import ActivationBatch
from spdclust.files.batches import merged_batches
from spdclust.files.ensemble_folder import GROUPS, EnsembleFolder
from spdclust.files.ensembles import ensemble_record
from spdclust.files.groups import load_groups, save_groups
from spdclust.files.histories import load_merge_history, save_merge_history
from spdclust.groups.find import find_groups
from spdclust.groups.found import SharedMembers
from spdclust.merge.history import MergeHistory
from spdclust.merge.merging import merge_iteration
from spdclust.stages.groups import groups, groups_of
from spdclust.stages.merge import merge

LABELS = [f"m:{i}" for i in range(8)]
PLANTED = [["m:0", "m:1", "m:2"], ["m:3", "m:4"]]
MERGE = MergeConfig(activation_threshold=0.1, iters=None, min_groups=1)


def dense(seed, n=1500):
    rng = np.random.default_rng(seed)
    active = rng.random((n, 5)) < 0.08
    columns = active[:, [0, 0, 0, 1, 1, 2, 3, 4]] & (rng.random((n, 8)) < 0.95)
    return columns.astype(np.float32)


def write_batches(place, run, checkpoint="model"):
    folder = place.batches(run)
    for b in (0, 1):
        made_by = {"checkpoint_digest": checkpoint}
        batch = ActivationBatch.from_dense(dense(10 * run + b), LABELS, seed=b, provenance=made_by)
        batch.save(folder / f"batch_{b}.pt")
    return [folder / "batch_0.pt", folder / "batch_1.pt"]


def write_run(place, run, **made_by):
    """Merge on the first of two batches: the second one is there for another ensemble."""
    files = write_batches(place, run, **made_by)
    path = place.history(run)
    merge(files[:1], MERGE.resolved(), (0, run), history=path, metrics=path.with_name("metrics.csv"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    place = EnsembleFolder(tmp_path_factory.mktemp("groups") / "sampling" / "demo")
    for run in range(3):
        write_run(place, run)
    groups(place.folder, place.folder, ensemble=place.name, batches=[place.batches(run) for run in range(3)])
    return place


@pytest.fixture
def place(made, tmp_path):
    shutil.copytree(made.folder.parent, tmp_path / "sampling")
    return EnsembleFolder(tmp_path / "sampling" / "demo")


def files_of(place):
    return {name: (place.folder / name).read_bytes() for name in GROUPS.values()}


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_the_planted_groups_are_written_with_evidence_of_the_batches_that_were_merged(made):
    found = load_groups(made.folder)
    assert sorted(found.members(group) for group in range(found.n_groups)) == PLANTED
    assert found.settings["n_samples"] == [1500] * 3  # not the second batches
    record = json.loads((made.folder / "groups.json").read_text())
    assert list(record["provenance"]["histories"]) == ["run_0", "run_1", "run_2"]


def test_the_same_bytes_come_from_files_and_folders_and_any_number_of_threads(place):
    before = files_of(place)
    histories = [place.history(run) for run in range(3)]
    batches = [[place.batches(run) / "batch_0.pt"] for run in range(3)]
    again = place.folder / "again"
    groups(histories, again, ensemble=place.name, batches=batches, threads=2)
    assert {name: (again / name).read_bytes() for name in GROUPS.values()} == before


def test_batches_of_another_run_or_fewer_of_them_are_one_line(place):
    folders = [place.batches(run) for run in range(3)]
    with pytest.raises(InputError, match=r"run_0: not the batches of this history") as raised:
        groups(place.folder, place.folder, ensemble="a", batches=[folders[0], folders[0], folders[2]])
    assert "\n" not in str(raised.value)
    with pytest.raises(
        InputError, match=r"demo: batches: batches are needed for each run \(found: 2 for 3 runs"
    ):
        groups(place.folder, place.folder, ensemble="a", batches=folders[:2])
    with pytest.raises(InputError, match="not the batches of this history"):
        merged_batches(load_merge_history(place.history(0)), [folders[0] / "batch_1.pt"])


def test_runs_of_different_models_are_one_line_with_the_ensemble(place, capsys):
    write_run(place, 2, checkpoint="other")
    assert run("groups", place.folder) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"Error: {place.folder}: checkpoint_digest: runs are of different models")


def test_the_table_is_printed_from_the_files_that_are_there(place, capsys):
    before = files_of(place)
    assert run("groups", place.folder) == 0
    said = capsys.readouterr().out
    assert "wrote" not in said
    lines = said.splitlines()
    assert lines[0] == f"{place.folder}: 3 runs, 8 components"
    assert lines[1].startswith(
        "  2 groups hold (0 expected by chance), 3 components belong to none; they save "
    )
    found = load_groups(place.folder)
    head = next(number for number, line in enumerate(lines) if line.split()[:2] == ["group", "size"])
    assert lines[head + 1].split()[:2] == ["0", str(len(found.members(0)))]
    numbers = [label.removeprefix("m:") for label in found.members(0)]
    assert lines[head + 1].endswith(f"  m:{','.join(numbers)}")
    assert lines[-2].split()[:4] == ["inside", "a", "group", f"{found.cohesion['inside']['mean']:.3f}"]
    assert files_of(place) == before
    assert run("groups", place.folder, "--limit", 1) == 0
    assert "… 1 more: --limit 0 lists all" in capsys.readouterr().out


@pytest.mark.parametrize("missing", GROUPS.values())
def test_a_missing_file_is_written_again_with_the_same_bytes(place, missing, capsys):
    before = files_of(place)
    (place.folder / missing).unlink()
    assert run("groups", place.folder) == 0
    assert f"{place.folder / missing}" in capsys.readouterr().out
    assert files_of(place) == before


def test_files_of_other_histories_are_not_believed(place):
    history = load_merge_history(place.history(1))
    other = merge_iteration(
        merged_batches(history, place.batches(1)), MERGE.model_copy(update={"alpha": 3.0}), 7
    )
    save_merge_history(other, place.history(1))
    before = files_of(place)
    found, computed = groups_of(place.folder)
    assert computed
    assert files_of(place)["groups.json"] != before["groups.json"]
    assert sorted(found.members(group) for group in range(found.n_groups)) == PLANTED


def test_without_batches_there_are_groups_of_most_runs_and_a_warning(place, capsys):
    for name in GROUPS.values():
        (place.folder / name).unlink()
    shutil.rmtree(place.batches(1))
    assert run("groups", place.folder) == 0
    said = capsys.readouterr().out
    assert "warning: " in said
    assert "expected by chance" not in said
    assert "bits per sample" not in said
    assert " – " in said
    found = load_groups(place.folder)
    assert not found.bits
    histories = [load_merge_history(place.history(run)) for run in range(3)]
    np.testing.assert_array_equal(found.group_idxs, find_groups(histories).group_idxs)


def test_evidence_is_not_thrown_away_where_the_batches_are_gone(place, capsys):
    before = files_of(place)
    shutil.rmtree(place.folder.parent / "precomputed_batches")
    (place.folder / "groups.nwk").unlink()
    assert run("groups", place.folder) == 0  # the other files can be written from groups.json
    assert files_of(place) == before
    assert run("groups", place.folder, "--again") == 1
    assert "the batches were deleted, so the evidence cannot be recomputed" in capsys.readouterr().err
    assert files_of(place) == before


def test_nothing_active_is_a_clear_warning(tmp_path, capsys, caplog):
    place = EnsembleFolder(tmp_path / "sampling" / "demo")
    nothing = np.full((50, 4), 0.05, dtype=np.float32)
    for run_number in range(2):
        batch = ActivationBatch.from_dense(nothing, LABELS[:4], seed=run_number)
        batch.save(place.batches(run_number) / "batch_0.pt")
        merged = merge_iteration(batch.activations, MERGE, run_number)
        save_merge_history(merged, place.history(run_number))
    assert run("groups", place.folder) == 0
    said = capsys.readouterr().out
    assert "  0 groups hold" in said
    assert "warning: No component is active above 0.1 on any sample" in said


def test_explaining_a_group_counts_its_merges(place, capsys):
    found = load_groups(place.folder)
    number = next(group for group in range(2) if found.members(group) == PLANTED[1])
    assert run("groups", place.folder, "--explain", number, "--run", 1) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"group {number}: 2 components, ")
    assert lines[0].endswith("bits per sample saved, formed exactly by 3 of 3 runs")
    assert lines[1].startswith("run_1, 1500 samples")
    active = dense(10) > 0.1
    both, either = (active[:, 3] & active[:, 4]).sum(), (active[:, 3] | active[:, 4]).sum()
    assert lines[3].split()[1:8] == ["1", "+", "1", str(both), str(either), f"{both / either:.3f}", "3/3"]
    assert lines[3].endswith("m:3 | m:4")
    assert run("groups", place.folder, "--explain", 5) == 1
    assert "group: no such group (found: 5; allowed: 0 to 1)" in capsys.readouterr().err
    assert run("groups", place.folder, "--explain", 0, "--run", 3) == 1
    assert "run: no such run (found: 3; allowed: 0 to 2)" in capsys.readouterr().err
    shutil.rmtree(place.batches(2))
    assert run("groups", place.folder, "--explain", 0) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "the batches were deleted" in said


def test_matching_an_ensemble_with_itself_pairs_every_group_with_itself(place, capsys):
    assert run("match", place.folder, place.folder) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{place.folder}: 2 groups; {place.folder}: 2 groups; matched by members"
    assert lines[1].startswith("weights are not compared: ")
    assert [line.split()[:2] for line in lines[3:]] == [["0", "0"], ["1", "1"]]
    assert [line.split()[-2] for line in lines[3:]] == ["1.000", "1.000"]
    assert run("match", place.folder, place.folder, "--by", "weights") == 1
    assert "no model given" in capsys.readouterr().err


def handmade(folder, members, *, model, checkpoint):
    """Write an ensemble of one run whose groups are given, of a model."""
    labels = [f"linear1:{i}" for i in range(20)]
    history = MergeHistory(labels, np.array([[0, 1]]), np.zeros(1), np.zeros(1), MERGE)
    save_merge_history(
        replace(history, provenance={"checkpoint_digest": checkpoint}), folder / "runs/run_0/history.zip"
    )
    (folder / "clustering_run_config.json").write_text(json.dumps({"model_path": str(model)}))
    group_idxs = np.full(20, -1)
    for group, of in enumerate(members):
        group_idxs[of] = group
    group_idxs[group_idxs < 0] = np.arange(len(members), len(members) + int((group_idxs < 0).sum()))
    example = example_found()
    found = replace(
        example, labels=labels, group_idxs=group_idxs, n_groups=len(members), tree=None,
        columns={name: values[: len(members)] for name, values in example.columns.items()},
        bits_saved_runs=example.bits_saved_runs[: len(members)],
        shared=SharedMembers(*[np.empty(0, np.int64)] * 2, *[np.empty(0)] * 2),
    )  # fmt: skip
    save_groups(found, folder, ensemble="a/b", provenance=ensemble_record(folder))


def test_groups_of_two_models_are_matched_by_weights(tmp_path, capsys):
    """The second model is the first with its components in another order: members differ, weights do not."""
    rng = np.random.default_rng(0)
    one, other = tmp_path / "model", tmp_path / "reordered"
    for folder in (one, other):
        shutil.copytree("tests/data/models/tms_5-2", folder)
    (file,) = other.glob("model_*.pth")
    state = torch.load(file, weights_only=True)
    order = torch.from_numpy(rng.permutation(20))
    state["_components.linear1.V"] = state["_components.linear1.V"][:, order].contiguous()
    state["_components.linear1.U"] = state["_components.linear1.U"][order].contiguous()
    torch.save(state, file)
    place_of = torch.argsort(order).numpy()  # where a component is in the second model
    size = state["_components.linear1.V"].norm(dim=0) * state["_components.linear1.U"].norm(dim=1)
    large = order.numpy()[np.argsort(-size.numpy())]  # numbers in the first model
    members = [large[[0, 1]], large[[2, 3]]]
    handmade(tmp_path / "a/demo", members, model=one, checkpoint="one")
    handmade(
        tmp_path / "b/demo", [place_of[members[1]], place_of[members[0]]], model=other, checkpoint="other"
    )
    assert run("match", tmp_path / "a/demo", tmp_path / "b/demo") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("matched by weights")
    assert [line.split()[:2] for line in lines[2:]] == [["0", "1"], ["1", "0"]]
    assert [line.split()[-1] for line in lines[2:]] == ["1.000", "1.000"]
    assert run("match", tmp_path / "a/demo", tmp_path / "b/demo", "--by", "members") == 0
    assert "warning: the two models differ" in capsys.readouterr().out
    # without the second model, members are all there is
    shutil.rmtree(other)
    assert run("match", tmp_path / "a/demo", tmp_path / "b/demo") == 0
    said = capsys.readouterr().out
    assert "warning: the two models differ" in said
    assert "weights are not compared: " in said
