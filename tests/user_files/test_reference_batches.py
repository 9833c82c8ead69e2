"""Batches of the reference implementation's branch with several batches: `batch_<b>.zip`."""

import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spdclust.commands.cli import main
from spdclust.config.run import ClusteringRunConfig
from spdclust.core.errors import InputError
from spdclust.sampling.estimate import estimate
from spdclust.user_files import contents
from spdclust.user_files.arrays import zipped_batch
from spdclust.user_files.folders import files_of_run
from spdclust.user_files.matrices import read_user_file
from spdclust.user_files.runs import header_of_user_file

DENSE = np.array([[0.0, 0.5, 0.0], [1.0, 0.0, 0.0], [0.25, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=np.float32)
LABELS = ["a:0", "a:1", "b:0"]


def write_batch(path, activations=DENSE, labels=LABELS, compression=zipfile.ZIP_STORED):
    """Write a batch with NumPy and `zipfile`, as the reference implementation does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as archive:
        if activations is not None:
            with archive.open("activations.npy", "w") as stream:
                np.save(stream, activations)
        if labels is not None:
            archive.writestr("labels.txt", "\n".join(labels))
    return path


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_batches_are_read_with_their_labels_in_the_order_of_their_numbers(tmp_path, compression):
    paths = [write_batch(tmp_path / f"batch_{n:04d}.zip", DENSE * (n + 1), compression=compression) for n in range(11)]  # fmt: skip
    (tmp_path / "history.zip").touch()  # not a batch
    assert [file for batch in files_of_run(tmp_path).batches for file in batch] == paths
    batch = read_user_file(paths[10], seed=5)
    np.testing.assert_array_equal(batch.matrix.toarray(), DENSE * 11)
    assert (batch.labels, batch.seed) == (LABELS, 5)
    header = header_of_user_file(paths[10])
    assert (header.n_samples, header.n_components) == DENSE.shape
    needs = estimate(ClusteringRunConfig(precomputed_activations_dir=str(tmp_path)), 3)
    assert (needs.n_components, needs.n_samples) == (3, 4)


def test_labels_may_end_in_a_carriage_return_and_a_line_feed(tmp_path):
    path = write_batch(tmp_path / "batch_0.zip", labels=["\r\n".join(LABELS) + "\r\n"])
    assert read_user_file(path).labels == LABELS


@settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    dense=hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.float16, np.bool_, np.int8, np.dtype(">f4")]),
        hnp.array_shapes(min_dims=2, max_dims=4, max_side=5),
    ),
    fortran=st.booleans(),
    at_once=st.integers(1, 40),
)
def test_reading_in_pieces_changes_nothing(tmp_path, monkeypatch, dense, fortran, at_once):
    monkeypatch.setattr(contents, "NUMBERS_AT_ONCE", at_once)
    labels = [f"m:{n}" for n in range(dense.shape[-1])]
    stored = np.asfortranarray(dense) if fortran else dense
    path = write_batch(tmp_path / "batch_0.zip", stored, labels)
    batch = zipped_batch(path)
    expected = dense.astype(np.float64 if dense.dtype == np.float64 else np.float32)
    expected = expected.reshape(-1, dense.shape[-1])
    np.testing.assert_array_equal(batch.rows().toarray(), expected)
    assert batch.labels == labels


@pytest.mark.parametrize(
    ("activations", "labels", "message"),
    [
        (None, LABELS, "activations.npy: member missing (found: ['labels.txt']; allowed: batch_<b>.zip with"),
        (DENSE, None, "labels.txt: member missing"),
        (DENSE, LABELS[:2], "labels: one label per component is needed (found: 2 labels for 3 components; allowed: 3 labels"),
        (DENSE[0], LABELS, "batch_0.zip: not a matrix of numbers (found: float32 (3,);"),
        (DENSE.astype("U3"), LABELS, "batch_0.zip: not a matrix of numbers (found: <U3 (4, 3);"),
        (np.full((2, 3), np.nan), LABELS, ""),
    ],
)  # fmt: skip
def test_what_is_no_such_batch_is_one_line(tmp_path, activations, labels, message):
    path = write_batch(tmp_path / "batch_0.zip", activations, labels)
    with pytest.raises(InputError) as caught:
        read_user_file(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 40, 150, 300])
def test_a_damaged_batch_is_one_line(tmp_path, keep):
    path = write_batch(tmp_path / "batch_0.zip")
    content = path.read_bytes()
    path.write_bytes(content[:keep])
    with pytest.raises(InputError, match=r"batch_0\.zip"):
        read_user_file(path)
    flipped = bytearray(content)
    flipped[content.index(DENSE.tobytes()) + 3] ^= 1
    path.write_bytes(bytes(flipped))
    with pytest.raises(InputError, match="CRC"):
        read_user_file(path)


def test_an_archive_that_would_expand_without_end_is_one_line(tmp_path):
    path = tmp_path / "batch_0.zip"
    zeros = np.zeros((1, 1 << 20), dtype=np.float32)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("activations.npy", "w", force_zip64=True) as stream:
            header = {"descr": "<f4", "fortran_order": False, "shape": (80, 1 << 20)}
            np.lib.format.write_array_header_1_0(stream, header)
            for _ in range(80):
                stream.write(zeros.tobytes())
        archive.writestr("labels.txt", "m:0")
    for read in (read_user_file, header_of_user_file):
        with pytest.raises(
            InputError, match=r"activations\.npy: header declares more data than the file contains"
        ):
            read(path)


def test_a_run_takes_them_instead_of_a_model(tmp_path):
    rng = np.random.default_rng(0)
    for run in range(2):
        for number in range(2):
            activations = rng.random((200, 8)) * (rng.random((200, 8)) < 0.3)
            write_batch(
                tmp_path / f"run_{run}/batch_{number:04d}.zip", activations, [f"m:{n}" for n in range(8)]
            )
    config = tmp_path / "run.yaml"
    config.write_text("{precomputed_activations_dir: ., merge_config: {iters: 4, recompute_costs_every: 2}}")
    assert main(["validate", str(config)]) == 0
    arguments = ["--config", str(config), "--seed", "1", "--output", str(tmp_path / "out")]
    assert main(["run", *arguments, "--precomputed-activations-dir", str(tmp_path)]) == 0
    assert (tmp_path / "out/history.zip").is_file()
