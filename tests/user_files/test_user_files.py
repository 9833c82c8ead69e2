"""Activations of one's own: every kind of file, its labels, and what is wrong with it."""

import json
import pickle
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from spdclust.commands.cli import main
from spdclust.config.run import ClusteringRunConfig
from spdclust.core.errors import InputError
from spdclust.files.batches import ActivationBatch
from spdclust.files.histories import load_merge_history
from spdclust.merge import rows
from spdclust.sampling.estimate import estimate
from spdclust.sampling.precompute import precompute_batches_for_ensemble
from spdclust.user_files.folders import batches_per_run, files_beside, files_of_run
from spdclust.user_files.layout import natural
from spdclust.user_files.matrices import _labels_beside, read_user_file
from spdclust.user_files.runs import header_of_user_file

DENSE = np.array([[0.0, 0.5, 0.0], [1.0, 0.0, 0.0], [0.25, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=np.float32)
LABELS = ["a:0", "a:1", "b:0"]


def save_snapshot(folder, matrix=DENSE, labels=LABELS):
    folder.mkdir(exist_ok=True)
    sparse.save_npz(folder / "memberships.npz", sparse.csc_matrix(matrix > 0))
    (folder / "metadata.json").write_text(json.dumps({"n_samples": len(matrix), "labels": labels}))
    return folder / "memberships.npz"


def save_batch(folder):
    ActivationBatch.from_dense(DENSE, LABELS, seed=11).save(folder / "batch_0.pt")
    return folder / "batch_0.pt"


def written(path, save):
    save(path)
    return path


WRITERS = {
    "our batch": (save_batch, LABELS, DENSE),
    "pt": (lambda d: written(d / "x.pt", lambda p: torch.save(torch.from_numpy(DENSE), p)), None, DENSE),
    "pt half": (lambda d: written(d / "x.pt", lambda p: torch.save(torch.from_numpy(DENSE).half(), p)), None, DENSE),
    "pt double": (lambda d: written(d / "x.pt", lambda p: torch.save(torch.from_numpy(DENSE).double(), p)), None, DENSE),
    "pt bool": (lambda d: written(d / "x.pt", lambda p: torch.save(torch.from_numpy(DENSE > 0), p)), None, DENSE > 0),
    "pt sparse": (lambda d: written(d / "x.pt", lambda p: torch.save(torch.from_numpy(DENSE).to_sparse(), p)), None, DENSE),
    "pt csr": (lambda d: written(d / "x.pt", lambda p: torch.save(torch.from_numpy(DENSE).to_sparse_csr(), p)), None, DENSE),
    "pt dict": (lambda d: written(d / "x.pt", lambda p: torch.save({"activations": torch.from_numpy(DENSE), "labels": LABELS}, p)), LABELS, DENSE),
    "npy": (lambda d: written(d / "x.npy", lambda p: np.save(p, DENSE)), None, DENSE),
    "npy double": (lambda d: written(d / "x.npy", lambda p: np.save(p, DENSE.astype(np.float64))), None, DENSE),
    "npy columns first": (lambda d: written(d / "x.npy", lambda p: np.save(p, np.asfortranarray(DENSE))), None, DENSE),
    "npy of sequences": (lambda d: written(d / "x.npy", lambda p: np.save(p, DENSE.reshape(2, 2, 3))), None, DENSE),
    "npy integers": (lambda d: written(d / "x.npy", lambda p: np.save(p, (DENSE > 0).astype(np.int64))), None, DENSE > 0),
    "npz dense": (lambda d: written(d / "x.npz", lambda p: np.savez(p, DENSE)), None, DENSE),
    "npz named": (lambda d: written(d / "x.npz", lambda p: np.savez_compressed(p, activations=DENSE, labels=np.array(LABELS))), LABELS, DENSE),
    "npz csr": (lambda d: written(d / "x.npz", lambda p: sparse.save_npz(p, sparse.csr_array(DENSE))), None, DENSE),
    "npz csc": (lambda d: written(d / "x.npz", lambda p: sparse.save_npz(p, sparse.csc_matrix(DENSE.astype(np.float64)))), None, DENSE),
    "snapshot": (lambda d: save_snapshot(d), LABELS, DENSE > 0),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRITERS)
def test_every_kind_of_file_gives_its_matrix(tmp_path, kind):
    write, labels, expected = WRITERS[kind]
    path = write(tmp_path)
    assert files_of_run(tmp_path).files == [path]
    batch = read_user_file(path, seed=5)
    np.testing.assert_array_equal(batch.matrix.toarray(), expected.astype(np.float32))
    assert batch.labels == (labels or ["latent:0", "latent:1", "latent:2"])
    assert batch.seed == (11 if kind == "our batch" else 5)
    header = header_of_user_file(path)
    assert (header.n_samples, header.n_components) == DENSE.shape
    needs = estimate(ClusteringRunConfig(precomputed_activations_dir=str(tmp_path)), 3)
    assert (needs.n_components, needs.n_samples, needs.n_runs) == (3, 4, 3)


@settings(deadline=None, max_examples=30)
@given(
    dense=hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=6), elements={"min_value": 0, "max_value": 1}),
    numbers=st.integers(1, 40),
)  # fmt: skip
def test_reading_in_pieces_changes_nothing(tmp_path_factory, dense, numbers):
    path = tmp_path_factory.mktemp("own") / "x.npy"
    np.save(path, dense)
    with mock.patch.object(rows, "NUMBERS_AT_ONCE", numbers):
        batch = read_user_file(path)
    np.testing.assert_array_equal(batch.matrix.toarray(), dense.reshape(-1, dense.shape[-1]))


@pytest.mark.parametrize(("name", "text"), [("labels.txt", "x\ny\nz\n"), ("labels.json", '["x", "y", "z"]')])
@pytest.mark.parametrize("inner", ["", "run_0"])
def test_labels_stand_beside_the_file_or_one_folder_up(tmp_path, name, text, inner):
    (tmp_path / inner).mkdir(exist_ok=True)
    np.save(tmp_path / inner / "x.npy", DENSE)
    (tmp_path / name).write_text(text)
    assert read_user_file(files_of_run(tmp_path).files[0]).labels == ["x", "y", "z"]
    assert files_beside(files_of_run(tmp_path).files) == [tmp_path / name]


@pytest.mark.parametrize(("folder", "above"), [("own", 1), ("run_0", 1), ("run_0/batch_0", 2)])
def test_labels_far_above_a_folder_of_activations_are_not_read(tmp_path, folder, above):
    batch = tmp_path / "a/b" / folder
    batch.mkdir(parents=True)
    for number, place in enumerate(batch.parents[: above + 1]):
        (place / "labels.txt").write_text(f"{number}:0\n")
    for number, place in enumerate(batch.parents[:above]):
        assert _labels_beside(batch) == (place / "labels.txt", [f"{number}:0"])
        (place / "labels.txt").unlink()
    assert _labels_beside(batch) is None


def test_files_come_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 9, 1):
        np.save(tmp_path / f"acts_{number}.npy", DENSE)
    (tmp_path / "notes.md").write_text("")
    assert [path.name for path in files_of_run(tmp_path).files] == ["acts_1.npy", "acts_9.npy", "acts_10.npy"]
    snapshots = tmp_path / "snapshots"
    snapshots.mkdir()
    for name in ("s10", "s2"):
        save_snapshot(snapshots / name)
    assert [path.parent.name for path in files_of_run(snapshots).files] == ["s2", "s10"]


def test_runs_have_folders_of_their_own_or_share_one(tmp_path):
    np.save(tmp_path / "x.npy", DENSE)
    assert files_of_run(tmp_path, 0) == files_of_run(tmp_path, 7)
    for run in (0, 1):
        (tmp_path / f"run_{run}").mkdir()
        np.save(tmp_path / f"run_{run}" / "x.npy", DENSE)
    assert files_of_run(tmp_path, 1).files == [tmp_path / "run_1" / "x.npy"]
    with pytest.raises(
        InputError, match=r"no folder run_2: .* \(found: run_0, run_1; allowed: run_2/ too, n_runs: 2 at most"
    ):
        files_of_run(tmp_path, 2)


def test_numbers_of_runs_may_have_leading_zeros(tmp_path):
    for run in (8, 9, 10):
        (tmp_path / f"run_{run:02}").mkdir()
        np.save(tmp_path / f"run_{run:02}" / "x.npy", DENSE * run)
    assert files_of_run(tmp_path, 9).files == [tmp_path / "run_09" / "x.npy"]
    with pytest.raises(
        InputError,
        match=r"no folder run_0: runs are numbered from 0 \(found: run_08, run_09, run_10; allowed: rename them to run_0, run_1, run_2\)",
    ):
        files_of_run(tmp_path, 0)
    (tmp_path / "run_9").mkdir()
    with pytest.raises(
        InputError, match=r"run_9: two folders of one run \(found: also run_09|run_09: .*also run_9"
    ):
        files_of_run(tmp_path, 8)
    (tmp_path / "run_9").rmdir()
    (tmp_path / "run_9").write_text("not a folder")
    assert files_of_run(tmp_path, 9).files == [tmp_path / "run_09" / "x.npy"]


def test_tokens_in_another_format_are_reported(tmp_path):
    np.save(tmp_path / "x.npy", DENSE)
    (tmp_path / "tokens.txt").write_text("a b")
    assert files_of_run(tmp_path).unused() == {
        tmp_path / "tokens.txt": "tokens are read from .npy, .json or .pt"
    }


@pytest.mark.parametrize(
    ("merge", "n_batches", "expected"),
    [({"iters": 5, "recompute_costs_every": 5}, 1, 1), ({"iters": 10, "recompute_costs_every": 5}, None, 2), ({"iters": 10, "recompute_costs_every": 1}, 3, 3), ({"iters": 100, "recompute_costs_every": 5}, None, 3)],
)  # fmt: skip
def test_there_are_as_many_batches_as_the_merge_uses_and_files_are_there(
    tmp_path, merge, n_batches, expected
):
    for number in range(3):
        np.save(tmp_path / f"x{number}.npy", DENSE)
    settings = {"precomputed_activations_dir": str(tmp_path), "merge_config": merge, "n_batches": n_batches}
    config = ClusteringRunConfig.model_validate(settings | {"shards": False})
    assert batches_per_run(config) == expected
    paths = precompute_batches_for_ensemble(config, 2, tmp_path / "out")
    assert [len(run) for run in paths] == [expected, expected]


def test_batches_are_made_again_only_when_the_files_change(tmp_path):
    np.save(tmp_path / "x.npy", DENSE)
    config = ClusteringRunConfig(precomputed_activations_dir=str(tmp_path))

    def made():
        path = precompute_batches_for_ensemble(config, 1, tmp_path / "out")[0][0]
        return path.stat().st_mtime_ns, path.read_bytes()

    first = made()
    assert made() == first
    (tmp_path / "labels.txt").write_text("x\ny\nz\n")
    labelled = made()
    assert labelled[1] != first[1]
    np.save(tmp_path / "x.npy", DENSE * 2)
    assert made()[1] != labelled[1]


class Malicious:
    def __reduce__(self):
        return (open, ("/tmp/executed", "w"))


def save_twice(path):
    """Append an array to a file of one array, of which `numpy.load` would read the first only."""
    with path.open("wb") as stream:
        np.save(stream, DENSE)
        np.save(stream, DENSE)


BAD = {
    "truncated npy": ("x.npy", lambda p: p.write_bytes(b"\x93NUMPY\x01\x00"), "not a readable matrix"),
    "empty pt": ("x.pt", lambda p: p.write_bytes(b""), "not a readable matrix"),
    "truncated npz": ("x.npz", lambda p: p.write_bytes(b"PK\x03\x04 no"), "not a readable matrix"),
    "pickle": ("x.pt", lambda p: p.write_bytes(pickle.dumps(Malicious())), "not a readable matrix"),
    "objects": ("x.npy", lambda p: np.save(p, np.array([None, "a"], dtype=object), allow_pickle=True), "not a readable matrix"),
    "web page": ("x.npy", lambda p: p.write_text("<html>404"), r"not a readable matrix \(found: .*magic string.*<html>.*allowed: a whole file as numpy\.save writes it, without Python objects\)$"),
    "cut short": ("x.npy", lambda p: (np.save(p, DENSE), p.write_bytes(p.read_bytes()[:-4])), r"header announces \d+ bytes, \d+ are stored"),
    "two arrays": ("x.npy", save_twice, r"header announces \d+ bytes, \d+ are stored"),
    "module": ("x.pt", lambda p: torch.save(torch.nn.Linear(2, 2), p), r"not a readable matrix; nothing in it was executed \(found: torch\.nn\.modules\.linear\.Linear; allowed: a whole file as torch\.save writes it"),
    "NumPy in pt": ("x.pt", lambda p: torch.save({"activations": DENSE}, p), r"nothing in it was executed \(found: an array or a number of NumPy; torch\.from_numpy makes an array a tensor; allowed: "),
    "pointer": ("x.pt", lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ab\n"), r"a pointer of Git LFS, not the file itself \(allowed: the file: git lfs pull"),
    "vector": ("x.npy", lambda p: np.save(p, np.ones(3)), r"not a matrix of numbers \(found: float64 \(3,\)"),
    "texts": ("x.npy", lambda p: np.save(p, np.array([["a"]])), "not a matrix of numbers"),
    "state dict": ("x.pt", lambda p: torch.save({"weight": torch.ones(2)}, p), r"no matrix of activations \(found: weight float32 \(2,\)"),
    "nan": ("x.npy", lambda p: np.save(p, np.array([[0, 1], [np.nan, 0]])), r"latent:0: activation is not a finite number \(found: nan"),
    "infinity": ("x.npz", lambda p: sparse.save_npz(p, sparse.csr_array([[0, np.inf]])), "latent:1: activation is not a finite"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_one_line(tmp_path, case):
    name, save, message = BAD[case]
    save(tmp_path / name)
    with pytest.raises(InputError, match=message) as caught:
        read_user_file(tmp_path / name)
    if message == "not a readable matrix":
        with pytest.raises(InputError, match=message):
            header_of_user_file(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_files_of_labels_have_to_agree(tmp_path):
    np.save(tmp_path / "x.npy", DENSE)
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    (tmp_path / "labels.json").write_text('["a", "b", "c"]')
    assert read_user_file(tmp_path / "x.npy").labels == ["a", "b", "c"]
    (tmp_path / "labels.json").write_text('["c", "b", "a"]')
    with pytest.raises(
        InputError, match=r"labels\.txt: two files of labels that differ \(found: labels\.json"
    ):
        read_user_file(tmp_path / "x.npy")


def test_labels_that_do_not_fit_are_one_line(tmp_path):
    np.save(tmp_path / "x.npy", DENSE)
    for text, message in [("a\nb\n", r"labels\.txt: one label per component .* \(found: 2 labels; allowed: 3 labels"), ("a\na\nb\n", "label given twice")]:  # fmt: skip
        (tmp_path / "labels.txt").write_text(text)
        with pytest.raises(InputError, match=message):
            read_user_file(tmp_path / "x.npy")
    save_snapshot(tmp_path / "s", labels=["a"])
    with pytest.raises(InputError, match="one label per component"):
        read_user_file(tmp_path / "s" / "memberships.npz")


def test_missing_folders_and_files_are_one_line(tmp_path):
    with pytest.raises(InputError, match="precomputed_activations_dir: no such folder"):
        files_of_run(tmp_path / "nowhere")
    with pytest.raises(InputError, match="precomputed_activations_dir: no activations in this folder"):
        files_of_run(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        read_user_file(tmp_path / "x.npy")


def test_a_run_by_hand_needs_no_model(tmp_path, capsys):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "acts.npy", (rng.random((60, 8)) < 0.3).astype(np.float32))
    (tmp_path / "run.yaml").write_text("model_path: nowhere\nmerge_config: {iters: 3}\n")
    given_folder = ["--precomputed-activations-dir", str(tmp_path)]
    assert (
        main(["run", "--config", str(tmp_path / "run.yaml"), *given_folder, "--output", str(tmp_path / "o")])
        == 0
    )
    history = load_merge_history(tmp_path / "o" / "history.zip")
    assert history.labels == [f"latent:{i}" for i in range(8)]
    assert history.n_iterations == 3


def test_numbers_in_names_sort_by_value_and_before_words():
    names = ["b", "a10", "ab", "10", "a9", "a", "a9b", "9"]
    assert sorted(names, key=natural) == ["9", "10", "a", "a9", "a9b", "a10", "ab", "b"]


@pytest.mark.parametrize("name", ["run0", "run-0", "Run_0", "0"])
def test_folders_that_look_like_runs_are_named_in_the_error(tmp_path, name):
    (tmp_path / name).mkdir()
    np.save(tmp_path / name / "latents.npy", np.ones((9, 3)))
    with pytest.raises(InputError) as error:
        files_of_run(tmp_path, 0)
    assert str(error.value).endswith(f"; the folder of a run is named run_<r>, such as run_0, not {name})")
