import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from spdclust.core.errors import InputError
from spdclust.files.batch_format import read_head
from spdclust.files.batches import ActivationBatch, BatchedActivations, find_batches

LABELS = ["a:0", "a:1", "b:0"]


@settings(deadline=None, max_examples=40)
@given(
    dense=hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=7),
        elements={"min_value": 0, "max_value": 1},
    )
    | hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=7)),
    seed=st.integers(0, 2**40),
)
def test_a_batch_comes_back_exactly(tmp_path_factory, dense, seed):
    path = tmp_path_factory.mktemp("batches") / "batch_0.pt"
    labels = [f"m:{i}" for i in range(dense.shape[1])]
    ActivationBatch.from_dense(dense, labels, seed=seed, provenance={"task": "tms"}).save(path)
    loaded = ActivationBatch.load(path)
    np.testing.assert_array_equal(loaded.matrix.toarray(), dense.astype(loaded.matrix.dtype))
    assert loaded.labels == labels
    assert loaded.seed == seed
    assert loaded.provenance == {"task": "tms"}
    np.testing.assert_array_equal(loaded.maxima, dense.max(axis=0))
    np.testing.assert_allclose(loaded.means, dense.mean(axis=0, dtype=np.float64), rtol=1e-12)


def test_torch_and_numpy_give_the_same_bytes_and_paths_do_not_matter(tmp_path):
    dense = np.array([[0.0, 0.5, 1.0], [0.25, 0.0, 0.0]], dtype=np.float32)
    ActivationBatch.from_dense(dense, LABELS, seed=1).save(tmp_path / "batch_0.pt")
    ActivationBatch.from_dense(torch.from_numpy(dense), LABELS, seed=1).save(tmp_path / "x" / "other.pt")
    assert (tmp_path / "batch_0.pt").read_bytes() == (tmp_path / "x" / "other.pt").read_bytes()


def test_stored_form_is_sparse_and_narrow(tmp_path):
    rng = np.random.default_rng(0)
    matrix = sparse.random_array((2000, 13_000), density=0.002, rng=rng, dtype=np.float32, format="csr")
    ActivationBatch.from_sparse(matrix, [f"m:{i}" for i in range(13_000)]).save(tmp_path / "batch_0.pt")
    bytes_per_entry = ((tmp_path / "batch_0.pt").stat().st_size - 400_000) / matrix.nnz
    assert bytes_per_entry < 6.5  # 2 for the index, 4 for the value


@pytest.mark.parametrize("keep", [0, 1, 10, 100, 500, -1])
def test_a_truncated_file_is_refused_in_one_line(tmp_path, keep):
    path = tmp_path / "batch_0.pt"
    ActivationBatch.from_dense(np.eye(3), LABELS).save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"batch_0\.pt") as caught:
        ActivationBatch.load(path)
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "batch_0.pt"
    ActivationBatch.from_dense(np.eye(3) * 0.5, LABELS).save(path)
    content = bytearray(path.read_bytes())
    at = content.find(np.float64(0.5).tobytes() * 3)
    assert at > 0
    content[at] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="damaged"):
        ActivationBatch.load(path)


class _Bomb:
    def __reduce__(self):
        return (open, ("/tmp/spdclust_was_executed", "w"))


def test_a_hostile_pickle_is_not_executed(tmp_path):
    import os

    path = tmp_path / "batch_0.pt"
    torch.save({"format": _Bomb()}, path)
    with pytest.raises(InputError, match="not a readable batch"):
        ActivationBatch.load(path)
    path.write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(InputError, match="not a readable batch"):
        ActivationBatch.load(path)
    assert not os.path.exists("/tmp/spdclust_was_executed")


def test_another_torch_file_is_named_as_such(tmp_path):
    torch.save({"weight": torch.zeros(2)}, tmp_path / "batch_0.pt")
    with pytest.raises(InputError, match=r"batch_0\.pt: format: not an activation batch"):
        ActivationBatch.load(tmp_path / "batch_0.pt")


def test_batches_come_in_numeric_order_and_round_robin(tmp_path):
    for number in range(11):
        ActivationBatch.from_dense([[float(number)]], ["m:0"]).save(tmp_path / f"batch_{number}.pt")
    (tmp_path / "batch_x.pt").write_text("not one of them")
    batches = BatchedActivations(tmp_path)
    assert batches.n_batches == 11
    assert [float(batches.get_next_batch().maxima[0]) for _ in range(13)] == [*range(11), 0, 1]
    maxima, means = batches.component_stats()
    assert maxima.tolist() == means.tolist() == [[number] for number in range(11)]


def test_batches_with_other_labels_are_refused(tmp_path):
    ActivationBatch.from_dense([[1.0]], ["m:0"]).save(tmp_path / "batch_0.pt")
    ActivationBatch.from_dense([[1.0]], ["n:0"]).save(tmp_path / "batch_1.pt")
    with pytest.raises(InputError, match=r"batch_1\.pt: labels: labels differ"):
        BatchedActivations(tmp_path).component_stats()


def test_a_folder_without_batches_says_what_belongs_there(tmp_path):
    with pytest.raises(InputError, match=r"no batches in this folder \(allowed: files named batch_<b>\.pt\)"):
        find_batches(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        BatchedActivations(tmp_path / "nowhere")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_no_number_names_its_component(value):
    with pytest.raises(InputError, match=r"a:1: activation is not a finite number"):
        ActivationBatch.from_dense(np.array([[0.0, value, 0.0]]), LABELS)


def test_a_text_changed_after_the_fact_is_found_without_reading_the_activations(tmp_path):
    path = tmp_path / "batch_0.pt"
    ActivationBatch.from_dense(np.eye(2), ["m:0", "m:1"], seed=3, provenance={"source": "a"}).save(path)
    saved = torch.load(path, weights_only=True)
    for name, text in [
        ("seed", "4"),
        ("labels", "m:0\nm:2"),
        ("provenance.source", "b"),
        ("checksum", "0" * 64),
    ]:
        torch.save(saved | {name: text}, path)
        with pytest.raises(InputError, match=r"checksum does not match"):
            read_head(path)
    torch.save(saved, path)
    assert read_head(path)[1]["seed"] == "3"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ["batch_2.pt", "batch_02.pt", "batch_1.pt"],
            r"batch_2\.pt: two files of one batch \(found: also batch_02\.pt;",
        ),
        (
            ["batch_0.pt", "batch_2.pt"],
            r"a batch is missing \(found: 2 batches up to batch_2\.pt, and no batch_1\.pt;",
        ),
        (
            ["batch_2.pt", "batch_3.pt"],
            r"a batch is missing \(found: 2 batches up to batch_3\.pt, and no batch_1\.pt;",
        ),
    ],
)
def test_a_batch_given_twice_or_missing_is_one_line(tmp_path, names, said):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=said):
        find_batches(tmp_path)


@pytest.mark.parametrize("first", [0, 1])
def test_batches_are_numbered_from_0_or_1(tmp_path, first):
    for number in range(first, 12):
        (tmp_path / f"batch_{number:02d}.pt").touch()
    assert [path.name for path in find_batches(tmp_path)] == [f"batch_{n:02d}.pt" for n in range(first, 12)]


def test_a_batch_put_together_by_hand_is_checked():
    activations = ActivationBatch.from_dense(np.eye(2), ["m:0", "m:1"]).activations
    with pytest.raises(InputError, match=r"^seed: "):
        ActivationBatch(activations, seed=-1)
