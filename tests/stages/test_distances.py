"""The stage of distances: the file that the arrays in memory give, in half their memory, by one or several jobs."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError
from spdclust.core.names import METHODS as ALL_METHODS
from spdclust.files import distance_parts
from spdclust.files.distance_parts import remove_other_parts
from spdclust.files.ensembles import ensemble_record, save_distances
from spdclust.files.histories import save_merge_history
from spdclust.merge.history import MergeHistory
from spdclust.partitions.distances import compute_all_distances
from spdclust.partitions.ensemble import NormalizedHistories, normalize_ensemble
from spdclust.partitions.trajectory import kept_iterations
from spdclust.stages import distances as stage

METHODS = ["perm_invariant_hamming", "adjusted_rand_dist"]


def ensemble(n_runs: int, n: int) -> NormalizedHistories:
    rng = np.random.default_rng(0)
    zeros = np.zeros(n - 2)
    runs = []
    for _ in range(n_runs):
        pairs = np.array([rng.choice(n - t, 2, replace=False) for t in range(n - 2)])
        runs.append(MergeHistory([f"m:{i}" for i in range(n)], pairs, zeros, zeros, MergeConfig()))
    return normalize_ensemble(runs)


@pytest.mark.parametrize("stride", [1, 7])
def test_rows_are_written_as_they_are_made(tmp_path, monkeypatch, stride):
    normalized = ensemble(40, 402)
    monkeypatch.setattr(stage, "load_normalized", lambda histories: normalized)
    monkeypatch.setattr(stage, "ensemble_record", lambda histories: {"spdclust": "test"})
    paths = {method: tmp_path / f"distances_{method}.npz" for method in METHODS}
    stage.distances(
        [], {METHODS[0]: tmp_path / "first.npz"}, stride=400
    )  # compiled before memory is measured
    tracemalloc.start()
    stage.distances([], paths, stride=stride)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    kept = kept_iterations(normalized.n_iterations, stride)
    expected = compute_all_distances(normalized, METHODS, stride=stride)
    for method, path in paths.items():
        save_distances(expected[method], tmp_path / "whole.npz", kept, {"spdclust": "test"})
        assert path.read_bytes() == (tmp_path / "whole.npz").read_bytes()
    if stride == 1:
        assert peak < 0.75 * sum(each.nbytes for each in expected.values())


def write_histories(folder: Path, n_runs: int, seed: int = 0, n: int = 100) -> Path:
    """Write runs of different length with different components alive; the union has more than any has."""
    rng = np.random.default_rng(seed)
    for run in range(n_runs):
        alive = rng.choice(n + 30, n + run, replace=False)
        pairs = np.array([rng.choice(len(alive) - t, 2, replace=False) for t in range(n - 10 - run)])
        zeros = np.zeros(len(pairs))
        history = MergeHistory([f"m:{i}" for i in alive], pairs, zeros, zeros, MergeConfig())
        save_merge_history(history, folder / f"runs/run_{run}/history.zip")
    return folder


def in_parts(folder: Path, n_parts: int, methods: list[str], stride: int = 1) -> list[Path]:
    merges = folder / "distances_merges.tmp"
    stage.align_runs(folder, merges)
    parts = [folder / f"distances_part_{part}_of_{n_parts}.tmp" for part in range(1, n_parts + 1)]
    for part, path in enumerate(parts, start=1):
        stage.distances_part(merges, methods, path, part=part, n_parts=n_parts, stride=stride)
    return parts


@pytest.mark.parametrize(
    ("n_runs", "n_parts", "stride"), [(2, 1, 1), (3, 3, 4), (5, 1, 1), (5, 4, 7), (9, 2, 1), (9, 36, 100)]
)
def test_parts_give_the_bytes_of_one_job(tmp_path, monkeypatch, n_runs, n_parts, stride):
    write_histories(tmp_path, n_runs)
    monkeypatch.setattr(distance_parts, "_BYTES_AT_ONCE", 1000)  # a few iterations at a time
    whole, joined = ({m: tmp_path / name / m for m in ALL_METHODS} for name in ("whole", "joined"))
    stage.distances(tmp_path, whole, stride=stride)
    parts = in_parts(tmp_path, n_parts, list(ALL_METHODS), stride)
    stage.join_distances(tmp_path, parts, joined, stride=stride)
    for method in ALL_METHODS:
        assert joined[method].read_bytes() == whole[method].read_bytes(), method


def test_joining_holds_a_few_iterations(tmp_path, monkeypatch):
    write_histories(tmp_path, 30, n=400)
    parts = in_parts(tmp_path, 4, METHODS)
    monkeypatch.setattr(distance_parts, "_BYTES_AT_ONCE", 8 * 435)  # one
    paths = {method: tmp_path / f"{method}.npz" for method in METHODS}
    stage.join_distances(tmp_path, parts, paths)  # with all that is imported and compiled
    tracemalloc.start()
    stage.join_distances(tmp_path, parts, paths)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.2 * paths[METHODS[0]].stat().st_size


def joined_error(folder: Path, parts: list[Path], stride: int = 1) -> str:
    path = folder / "distances.npz"
    with pytest.raises(InputError) as error:
        stage.join_distances(folder, parts, {METHODS[0]: path}, stride=stride)
    assert not path.exists()
    assert [file.name for file in folder.iterdir() if file.name.startswith(".")] == []
    return str(error.value)


def test_a_part_that_is_missing_or_damaged_is_named(tmp_path):
    parts = in_parts(write_histories(tmp_path, 4), 3, METHODS[:1])
    whole = parts[1].read_bytes()
    parts[1].unlink()
    assert joined_error(tmp_path, parts) == f"{parts[1]}: no such file (allowed: a part of the distances)"
    parts[1].write_bytes(whole[:-30])
    assert joined_error(tmp_path, parts).startswith(f"{parts[1]}: not a readable part of the distances")
    start = whole.rindex(b"NUMPY") + 500
    parts[1].write_bytes(whole[:start] + bytes(8) + whole[start + 8 :])
    found = joined_error(tmp_path, parts)
    assert found.startswith(f"{parts[1]}: {METHODS[0]}.npy: not a readable part of the distances"), found
    assert "Bad CRC-32" in found


def test_a_part_of_something_else_is_named(tmp_path):
    parts = in_parts(write_histories(tmp_path, 4), 3, METHODS[:1])
    assert joined_error(tmp_path, parts[::-1]).startswith(
        f"{parts[2]}: part: made from something else (found: 3; allowed: 1; delete the file"
    )
    assert f"{parts[0]}: n_parts: made from" in joined_error(tmp_path, parts[:2])
    assert f"{parts[0]}: stride: made from" in joined_error(tmp_path, parts, stride=2)
    write_histories(tmp_path, 4, seed=1)
    assert joined_error(tmp_path, parts) == (
        f"{parts[0]}: made_from: made from something else (allowed: the histories of this ensemble; delete the "
        "file to have it made again)"
    )


def test_runs_that_do_not_fit_together_fail_before_any_part(tmp_path):
    write_histories(tmp_path, 2)
    zeros = np.zeros(1)
    history = MergeHistory(["m:0", "m:1"], np.array([[0, 1]]), zeros, zeros, MergeConfig(alpha=2))
    save_merge_history(history, tmp_path / "runs/run_2/history.zip")
    with pytest.raises(InputError, match=r"merge_config.alpha: .* different settings"):
        stage.align_runs(tmp_path, tmp_path / "merges.tmp")
    assert not (tmp_path / "merges.tmp").exists()


def test_a_part_reads_only_the_runs_of_its_pairs(tmp_path, monkeypatch):
    write_histories(tmp_path, 9)
    stage.align_runs(tmp_path, tmp_path / "merges.tmp")
    read = []
    load = stage.load_aligned_merges
    monkeypatch.setattr(
        stage, "load_aligned_merges", lambda path, runs: read.extend(runs) or load(path, runs)
    )
    stage.distances_part(tmp_path / "merges.tmp", METHODS, tmp_path / "part.tmp", part=12, n_parts=12)
    assert len(read) < 9
    record = distance_parts.check_part(tmp_path / "part.tmp", {"made_from": ensemble_record(tmp_path)})
    assert (record["part"], record["n_parts"], record["n_iterations"]) == (12, 12, 82)


@pytest.mark.parametrize("part", [0, 3])
def test_there_is_no_such_part(tmp_path, part):
    stage.align_runs(write_histories(tmp_path, 3), tmp_path / "merges.tmp")
    with pytest.raises(InputError, match=rf"part: no such part \(found: {part}; allowed: 1 to 2\)"):
        stage.distances_part(tmp_path / "merges.tmp", METHODS, tmp_path / "a.tmp", part=part, n_parts=2)


def test_what_an_interrupted_workflow_left_is_removed(tmp_path):
    parts = in_parts(write_histories(tmp_path, 3), 2, METHODS[:1])
    others = [tmp_path / "distances_part_1_of_3.tmp", tmp_path / "distances_part_3_of_3.tmp"]
    result = tmp_path / "distances_matching_dist.npz"
    for path in [*others, result]:
        path.touch()
    remove_other_parts(tmp_path, parts)
    assert all(path.exists() for path in [*parts, result, tmp_path / "distances_merges.tmp"])
    assert not any(path.exists() for path in others)
    remove_other_parts(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [result.name, "runs"]
