"""Sizes that are told without reading the file: shapes of batches, lengths of histories."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse

from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError
from spdclust.files.batches import ActivationBatch
from spdclust.files.histories import save_merge_history
from spdclust.files.torch_files import _bytes_of
from spdclust.files.zip_files import batch_shape, history_length
from spdclust.merge.history import MergeHistory


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (7, 300), (70_000, 2)])
def test_the_shape_is_that_of_the_matrix(tmp_path, shape):
    matrix = sparse.random_array(shape, density=0.1, format="csr", random_state=0)
    ActivationBatch.from_sparse(matrix, [f"m:{i}" for i in range(shape[1])]).save(tmp_path / "b.pt")
    assert batch_shape(tmp_path / "b.pt") == shape == ActivationBatch.load(tmp_path / "b.pt").matrix.shape


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text.pt").write_text("no zip")
    np.savez(tmp_path / "arrays.npz", data=np.arange(3))
    for name in ("text.pt", "arrays.npz"):
        with pytest.raises(InputError, match=rf"{name}: shape: not an activation batch \(allowed: a batch"):
            batch_shape(tmp_path / name)


def test_a_missing_file_stays_a_missing_file(tmp_path):
    # Snakemake decides the memory of a job later when its input is not there yet
    with pytest.raises(FileNotFoundError) as caught:
        batch_shape(tmp_path / "b.pt")
    assert str(caught.value.filename) == str(tmp_path / "b.pt")
    with pytest.raises(FileNotFoundError):
        history_length(tmp_path / "b.pt")


@pytest.mark.parametrize("n_merges", [0, 1, 37])
def test_the_length_is_the_number_of_merges(tmp_path, n_merges):
    labels = [f"m:{i}" for i in range(n_merges + 2)]
    pairs, values = np.tile([0, 1], (n_merges, 1)), np.zeros(n_merges)
    save_merge_history(MergeHistory(labels, pairs, values, values, MergeConfig()), tmp_path / "h.zip")
    assert history_length(tmp_path / "h.zip") == n_merges


def test_a_file_that_is_no_history_has_no_length(tmp_path):
    (tmp_path / "h.zip").write_text("no zip")
    assert history_length(tmp_path / "h.zip") == 0


def test_memory_of_a_sparse_tensor_counts_its_entries_and_a_pointer_for_each_of_its_rows():
    dense = torch.zeros(2, 3, 5)
    dense[0, 1, 4] = dense[1, 2, 0] = 1
    pointers, entries = 8 * 2 * 3, 2 * (4 + 8 * 3)
    assert _bytes_of(dense.to_sparse(), "", Path("x.pt"), "") == pointers + entries
    assert _bytes_of(dense, "", Path("x.pt"), "") == 4 * 30
