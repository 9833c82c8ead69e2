"""Formats of user-supplied activations, each compared with the dense matrix that it was made from."""

import itertools
import json
import logging
import pickle
import re
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import scipy.io
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from spdclust.config.run import ClusteringRunConfig
from spdclust.core.errors import InputError
from spdclust.files.activation_batch import ActivationBatch
from spdclust.merge import rows
from spdclust.sampling.precompute import precompute_batches_for_ensemble
from spdclust.sampling.tokens import Tokenizer
from spdclust.user_files import arrow, contents
from spdclust.user_files import tokens as token_files
from spdclust.user_files.folders import files_beside, files_of_run
from spdclust.user_files.layout import CONVERSIONS, parts_of
from spdclust.user_files.matrices import (
    digest_of_user_file,
    open_user_file,
    read_user_file,
)
from spdclust.user_files.runs import check_one_run, header_of_user_file

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("pyarrow.feather")
safetensors_torch = pytest.importorskip("safetensors.torch")


def own_files(folder, run=0):
    return files_of_run(folder, run).files


SEQUENCES, POSITIONS, WIDTH = 3, 4, 6


def activations(seed=0, active=0.4):
    """Return (sequences, positions, latents) of float16 numbers, of which float16 files keep every digit."""
    rng = np.random.default_rng(seed)
    dense = rng.uniform(0.5, 2, (SEQUENCES, POSITIONS, WIDTH)) * (
        rng.random((SEQUENCES, POSITIONS, WIDTH)) < active
    )
    dense[0, 0, -1] = dense[-1, -1, 0] = 1  # the largest coordinates occur
    return dense.astype(np.float16).astype(np.float32)


CUBE = activations()
DENSE = CUBE.reshape(-1, WIDTH)
TOKENS = np.arange(SEQUENCES * POSITIONS).reshape(SEQUENCES, POSITIONS) % 5


def top_k(dense, k=WIDTH):
    values, indices = torch.from_numpy(dense).topk(k, dim=-1)
    return indices, values


def save_delphi(folder, dense, module="layers.4.mlp", boundaries=(0, 4, 6), tokens=TOKENS):
    """Write a feature cache, with a second independent code: locations by a loop over all values."""
    place = folder / module
    place.mkdir(parents=True, exist_ok=True)
    for start, end in itertools.pairwise(boundaries):
        found = [
            ((s, p, c - start), dense[s, p, c])
            for s in range(dense.shape[0]) for p in range(dense.shape[1]) for c in range(start, end)
            if dense[s, p, c]
        ]  # fmt: skip
        arrays = {
            "locations": torch.tensor([place for place, _ in found], dtype=torch.int32)
            .reshape(-1, 3)
            .to(torch.uint16),
            "activations": torch.tensor([value for _, value in found], dtype=torch.float16),
        }
        if tokens is not None:
            arrays["tokens"] = torch.from_numpy(tokens)
        safetensors_torch.save_file(arrays, place / f"{start}_{end - 1}.safetensors")
    (place / "config.json").write_text('{"model_name": "x"}')
    return folder


def save_dataset(folder, columns):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict(columns).save_to_disk(folder, num_shards=2)
    return folder


def save_saelens(folder):
    """Write what SAELens caches: an array of two axes for each sequence, and its tokens."""
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    shape = datasets.Array2D((POSITIONS, WIDTH), "float32")
    tokens = datasets.Sequence(datasets.Value("int32"), length=POSITIONS)
    features = datasets.Features({"blocks.0.hook_mlp": shape, "token_ids": tokens})
    data = {"blocks.0.hook_mlp": CUBE.tolist(), "token_ids": TOKENS.tolist()}
    datasets.Dataset.from_dict(data, features=features).save_to_disk(folder, num_shards=2)
    return folder


def pt(value):
    return lambda d: torch.save(value, d / "x.pt")


def safetensors(tensors):
    return lambda d: safetensors_torch.save_file(tensors, d / "x.safetensors")


def parquet(columns):
    return lambda d: pq.write_table(pa.table(columns), d / "x.parquet", row_group_size=5)


cube = torch.from_numpy(CUBE)
halves = {"blocks.9.mlp": cube[..., :2].contiguous(), "blocks.10.mlp": cube[..., 2:].contiguous()}
HALF_LABELS = [f"blocks.9.mlp:{i}" for i in range(2)] + [f"blocks.10.mlp:{i}" for i in range(4)]
locations = torch.from_numpy(np.argwhere(CUBE)).contiguous()
values = cube[tuple(locations.T)]
WRITERS = {
    "npy of float16": (lambda d: np.save(d / "x.npy", CUBE.astype(np.float16)), None),
    "npz of sequences": (lambda d: np.savez_compressed(d / "x.npz", CUBE), None),
    "npz columns first": (lambda d: np.savez(d / "x.npz", activations=np.asfortranarray(DENSE)), None),
    "npz coo of 3 axes": (lambda d: sparse.save_npz(d / "x.npz", sparse.coo_array(CUBE)), None),
    "npz top-k": (lambda d: np.savez(d / "x.npz", indices=top_k(CUBE)[0], values=top_k(CUBE)[1]), None),
    "pt bfloat16": (pt(cube.bfloat16()), None),
    "pt float8": (pt(cube.to(torch.float8_e5m2)), None),
    "pt coo of 3 axes": (pt(cube.to_sparse()), None),
    "pt coo of half": (pt(cube.half().to_sparse()), None),
    "pt hybrid, dense components": (pt(cube.to_sparse(1)), None),
    "pt hybrid, dense positions": (pt(cube.to_sparse(2)), None),
    "pt csc": (pt(torch.from_numpy(DENSE).to_sparse_csc()), None),
    "pt bsr": (pt(torch.from_numpy(DENSE).to_sparse_bsr((2, 3))), None),
    "pt by module": (pt(halves), HALF_LABELS),
    "pt by module, sparse": (pt({name: half.to_sparse() for name, half in halves.items()}), HALF_LABELS),
    "pt with a configuration": (pt({"activations": cube, "config": {"layer": 3}, "step": 7}), None),
    "pt top-k": (pt(dict(zip(("top_indices", "top_acts"), top_k(CUBE), strict=True))), None),
    "pt top-k of sparsify": (pt(dict(zip(("top_indices", "top_acts", "pre_acts"), (*top_k(CUBE, 5), cube), strict=True))), None),
    "safetensors": (safetensors({"activations": cube.half()}), None),
    "safetensors by module": (safetensors(halves), HALF_LABELS),
    "safetensors of locations": (safetensors({"locations": locations, "activations": values}), None),
    "safetensors top-k": (safetensors(dict(zip(("indices", "values"), top_k(CUBE), strict=True))), None),
    "parquet": (parquet({"activations": DENSE.tolist(), "prompt": ["a"] * len(DENSE), "document": range(len(DENSE))}), None),
    "parquet of fixed lists": (parquet({"activations": pa.FixedSizeListArray.from_arrays(pa.array(DENSE.ravel()), WIDTH)}), None),
    "parquet of float16": (parquet({"activations": pa.FixedSizeListArray.from_arrays(pa.array(DENSE.ravel().astype(np.float16)), WIDTH)}), None),
    "parquet of sequences": (parquet({"activations": CUBE.tolist()}), None),
    "parquet by module": (parquet({name: half.tolist() for name, half in halves.items()}), HALF_LABELS),
    "parquet top-k": (parquet({"indices": [np.flatnonzero(row).tolist() for row in DENSE], "values": [row[row != 0].tolist() for row in DENSE]}), None),
    "parquet, a column a component": (parquet({f"mlp:{i}": DENSE[:, i] for i in range(WIDTH)}), [f"mlp:{i}" for i in range(WIDTH)]),
    "saved dataset": (lambda d: save_dataset(d / "x", {"activations": CUBE.tolist()}), None),
    "saved dataset as the folder": (lambda d: save_dataset(d, {"activations": DENSE.tolist()}), None),
    "saved dataset of SAELens": (lambda d: save_saelens(d / "x"), [f"blocks.0.hook_mlp:{i}" for i in range(WIDTH)]),
    "delphi": (lambda d: save_delphi(d, CUBE), [f"layers.4.mlp:{i}" for i in range(WIDTH)]),
    "delphi without tokens": (lambda d: save_delphi(d, CUBE, tokens=None), [f"layers.4.mlp:{i}" for i in range(WIDTH)]),
}  # fmt: skip
DOUBLE = (
    "parquet",
    "parquet of sequences",
    "parquet by module",
    "parquet top-k",
    "saved dataset",
    "saved dataset as the folder",
)
LOSSY = {
    "pt top-k of sparsify": lambda: np.where(
        top_k(CUBE, 5)[1].numpy().min(-1, keepdims=True) <= CUBE, CUBE, 0
    )
}
LOSSY |= {
    "pt bfloat16": lambda: cube.bfloat16().float().numpy(),
    "pt float8": lambda: cube.to(torch.float8_e5m2).float().numpy(),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_gives_the_dense_matrix(tmp_path, kind):
    write, labels = WRITERS[kind]
    write(tmp_path)
    (path,) = own_files(tmp_path)
    batch = read_user_file(path, seed=5)
    expected = LOSSY[kind]() if kind in LOSSY else CUBE
    np.testing.assert_array_equal(batch.matrix.toarray(), expected.reshape(-1, WIDTH))
    assert batch.matrix.dtype == (np.float64 if kind in DOUBLE else np.float32)
    assert batch.labels == (labels or [f"latent:{i}" for i in range(WIDTH)])
    header = header_of_user_file(path)
    assert (header.n_samples, header.n_components) == DENSE.shape
    batch.save(tmp_path / "out.pt")
    np.testing.assert_array_equal(
        ActivationBatch.load(tmp_path / "out.pt").matrix.toarray(), batch.matrix.toarray()
    )


@pytest.mark.parametrize(
    "kind", ["npz of sequences", "parquet", "parquet of sequences", "saved dataset", "pt bfloat16"]
)
def test_pieces_change_nothing(tmp_path, monkeypatch, kind):
    for module in (rows, arrow, contents):
        monkeypatch.setattr(module, "NUMBERS_AT_ONCE", 7)
    test_every_format_gives_the_dense_matrix(tmp_path, kind)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32), st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(1, 5), st.data()
)
def test_python_and_files_take_the_same_path(tmp_path_factory, seed, leading, width, data):
    rng = np.random.default_rng(seed)
    dense = (rng.random((*leading, width)) * (rng.random((*leading, width)) < 0.5)).astype(np.float32)
    flat = torch.from_numpy(dense)
    tensor = flat.to(
        data.draw(st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool]))
    )
    expected = tensor.double().numpy().reshape(-1, width)
    labels = [f"m:{i}" for i in range(width)]
    axes = data.draw(st.integers(0, tensor.ndim))
    path = tmp_path_factory.mktemp("own") / "x.pt"
    if axes == 0:
        batch = ActivationBatch.from_dense(tensor, labels)
        torch.save(tensor, path)
    else:
        batch = ActivationBatch.from_sparse(tensor.to_sparse(axes), labels)
        torch.save(tensor.to_sparse(axes), path)
    np.testing.assert_array_equal(batch.matrix.toarray(), expected)
    read = read_user_file(path)
    assert read.matrix.dtype == batch.matrix.dtype
    np.testing.assert_array_equal(read.matrix.toarray(), expected)
    scipy_like = sparse.coo_array(dense)
    np.testing.assert_array_equal(
        ActivationBatch.from_sparse(scipy_like, labels).matrix.toarray(), dense.reshape(-1, width)
    )


@pytest.mark.parametrize("tokens", [TOKENS, None], ids=["tokens", "no tokens"])
def test_samples_on_which_nothing_is_active_count(tmp_path, tokens):
    """By the tokens; without them by the largest location of any split."""
    quiet = CUBE.copy()
    quiet[-1, :, :4] = quiet[:, -1, :4] = 0
    if tokens is not None:
        quiet[-1] = 0
    save_delphi(tmp_path, quiet, tokens=tokens)
    (path,) = own_files(tmp_path)
    header = header_of_user_file(path)
    assert (header.n_samples, header.n_components) == DENSE.shape
    np.testing.assert_array_equal(read_user_file(path).matrix.toarray(), quiet.reshape(-1, WIDTH))


def test_modules_of_a_cache_are_side_by_side(tmp_path):
    second = activations(seed=1)
    save_delphi(tmp_path, CUBE, "layers.10.mlp")
    save_delphi(tmp_path, second, "layers.9.mlp", boundaries=(0, 6))
    batch = read_user_file(own_files(tmp_path)[0])
    np.testing.assert_array_equal(
        batch.matrix.toarray(), np.concatenate([second, CUBE], axis=-1).reshape(-1, 12)
    )
    assert batch.labels[5:7] == ["layers.9.mlp:5", "layers.10.mlp:0"]
    one = read_user_file(own_files(tmp_path / "layers.9.mlp")[0])
    np.testing.assert_array_equal(one.matrix.toarray(), second.reshape(-1, 6))


def test_all_files_of_a_folder_are_inputs(tmp_path):
    save_delphi(tmp_path / "cache", CUBE)
    (folder,) = own_files(tmp_path / "cache")
    assert [part.name for part in parts_of(folder)] == ["0_3.safetensors", "4_5.safetensors"]
    assert set(parts_of(folder)) <= set(files_beside([folder]))
    before = digest_of_user_file(folder)
    save_delphi(tmp_path / "cache", activations(seed=2))
    assert digest_of_user_file(folder) != before
    save_dataset(tmp_path / "saved", {"activations": DENSE.tolist()})
    names = [part.name for part in parts_of(tmp_path / "saved")]
    assert names == ["state.json", "data-00000-of-00002.arrow", "data-00001-of-00002.arrow"]


def test_labels_state_how_many_components_there_are(tmp_path, caplog):
    narrow = {"indices": torch.tensor([[0, 1], [1, 2]]), "values": torch.tensor([[1.0, 2.0], [3.0, 4.0]])}
    torch.save(narrow, tmp_path / "x.pt")
    with caplog.at_level(logging.WARNING):
        # a job compares headers first, of each run
        assert [header_of_user_file(tmp_path / "x.pt").n_components for _ in range(2)] == [3, 3]
        assert read_user_file(tmp_path / "x.pt").n_components == 3
    assert len(caplog.messages) == 1
    assert "does not state how many components there are: taken to be 3" in caplog.text
    torch.save({**narrow, "n_latents": 5}, tmp_path / "x.pt")
    assert read_user_file(tmp_path / "x.pt").n_components == 5
    torch.save(narrow, tmp_path / "x.pt")
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    header = header_of_user_file(tmp_path / "x.pt")
    assert (header.n_samples, header.n_components) == (2, 4)
    assert read_user_file(tmp_path / "x.pt").matrix.toarray().tolist() == [[1, 2, 0, 0], [0, 3, 4, 0]]


def test_repeated_components_of_a_sample_are_summed(tmp_path):
    torch.save({"indices": torch.tensor([[1, 1]]), "values": torch.tensor([[0.5, 0.25]])}, tmp_path / "x.pt")
    assert read_user_file(tmp_path / "x.pt").matrix.toarray().tolist() == [[0, 0.75]]


LINE_ENDS = ["a\u2028b", "a\x85b", "a\vb", "a\fb", "a\x1cb", " c"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_labels_are_split_at_line_feeds_only(tmp_path, end, last):
    np.save(tmp_path / "x.npy", DENSE)
    (tmp_path / "labels.txt").write_bytes((end.join(LINE_ENDS) + end * last).encode())
    batch = read_user_file(tmp_path / "x.npy")
    assert batch.labels == LINE_ENDS
    batch.save(tmp_path / "batch_0.pt")
    assert ActivationBatch.load(tmp_path / "batch_0.pt").labels == LINE_ENDS


def test_labels_may_be_integers_in_json(tmp_path):
    np.save(tmp_path / "x.npy", DENSE)
    (tmp_path / "labels.json").write_text("[3, 14, 15, 92, 65, 35]")
    assert read_user_file(tmp_path / "x.npy").labels == ["3", "14", "15", "92", "65", "35"]
    (tmp_path / "labels.json").write_text('[3, "a", 15, 92, 65, 35]')
    with pytest.raises(InputError, match=r"not a list of labels \(found: list of 6: int, str; allowed: a list with one text or one integer"):  # fmt: skip
        read_user_file(tmp_path / "x.npy")


def test_labels_in_a_file_name_more_than_its_modules(tmp_path):
    torch.save(halves, tmp_path / "x.pt")
    (tmp_path / "labels.txt").write_text("abcdef".replace("", "\n").strip())
    assert read_user_file(tmp_path / "x.pt").labels == list("abcdef")
    torch.save({"activations": cube, "labels": list("uvwxyz")}, tmp_path / "x.pt")
    assert read_user_file(tmp_path / "x.pt").labels == list("uvwxyz")


def save_splits(d):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    datasets.DatasetDict({"train": datasets.Dataset.from_dict({"activations": DENSE.tolist()})}).save_to_disk(
        d
    )


def gap(d):
    save_delphi(d, CUBE, boundaries=(0, 2, 4, 6))
    (d / "layers.4.mlp" / "2_3.safetensors").unlink()


def other_tokens(d):
    save_delphi(d, CUBE)
    save_delphi(d, CUBE, "layers.9.mlp", tokens=TOKENS + 1)


def null(d):
    pq.write_table(pa.table({"activations": [[0.0, 1.0], None]}), d / "x.parquet")


BAD = {
    "weights": (pt({"W_enc": torch.ones(3, 8), "W_dec": torch.ones(8, 3), "b_dec": torch.ones(3)}), r"arrays do not have the same samples \(found: W_enc float32 \(3, 8\), W_dec float32 \(8, 3\), b_dec float32 \(3,\); allowed: .*remove or rename other arrays"),
    "a mask": (pt({"acts": cube, "attention_mask": torch.ones(SEQUENCES, POSITIONS, dtype=torch.int64)}), "arrays do not have the same samples"),
    "gradients": (pt({"activations": cube, "gradients": cube}), r"arrays next to the activations \(found: activations float32 \(3, 4, 6\), gradients"),
    "positions": (pt({"acts": cube, "position_ids": torch.ones(SEQUENCES, POSITIONS, 1, dtype=torch.int64)}), r"position_ids: whole numbers next to real ones: a mask or token numbers\? \(found: int64 \(3, 4, 1\)"),
    "a vector": (pt({"mean": torch.ones(3)}), r"no matrix of activations \(found: mean float32 \(3,\)"),
    "nothing": (pt({"config": {"layer": 3}}), r"no matrix of activations \(found: config dict of 1"),
    "list of tensors": (pt([cube, cube]), r"found: list of 2; torch\.cat joins tensors"),
    "indices alone": (pt({"indices": top_k(CUBE)[0]}), r"no matrix of activations \(found: indices int64 \(3, 4, 6\)"),
    "other lengths": (pt({"indices": torch.ones(3, 2, dtype=torch.int64), "values": torch.ones(3, 3)}), r"indices and values do not fit together \(found: indices int64 \(3, 2\), values float32 \(3, 3\)"),
    "negative index": (pt({"indices": torch.tensor([[-1, 2]]), "values": torch.ones(1, 2)}), r"indices: a component is out of range \(found: -1 to 2"),
    "index too large": (pt({"indices": torch.tensor([[1, 7]]), "values": torch.ones(1, 2), "d_sae": 4}), r"found: 0 to 7; allowed: 0 to 3"),
    "locations of other tokens": (pt({"locations": torch.tensor([[5, 0, 0]]), "activations": torch.ones(1), "tokens": torch.ones(3, 4, dtype=torch.int64)}), r"locations: a location is out of range \(found: 0 to \[5, 0, 0\]; allowed: 0 to \[2, 3, 0\]"),
    "real locations": (pt({"locations": torch.ones(2, 3), "activations": torch.ones(2)}), r"locations and activations do not fit together \(found: locations float32 \(2, 3\)"),
    "complex": (pt(torch.ones(2, 2, dtype=torch.complex64).to_sparse()), "not a matrix of numbers"),
    "not safetensors": (lambda d: (d / "x.safetensors").write_bytes(b"x" * 100), r"not a readable \.safetensors file"),
    "not parquet": (lambda d: (d / "x.parquet").write_bytes(b"x" * 100), "not a readable matrix"),
    "texts": (parquet({"prompt": ["a", "b"]}), r"no column of activations \(found: prompt \(string\)"),
    "columns of numbers and counts": (parquet({"document": [1, 2], "mlp:0": [0.5, 0.0]}), r"columns of different kinds.*found: document \(int64\), mlp:0 \(double\)"),
    "lists of positions": (parquet({"acts": CUBE.tolist(), "mask": TOKENS.tolist()}), "columns of different kinds"),
    "pairs of two depths": (parquet({"top_indices": [[[0, 1]]], "top_acts": [[0.5, 0.5]]}), r"columns of different kinds.*found: top_indices \(list"),
    "ragged": (parquet({"activations": [[0.0, 1.0], [0.5]]}), r"activations: lists of different lengths \(found: 1 numbers; allowed: 2 numbers"),
    "null": (null, "activations: a value is missing"),
    "empty": (parquet({"activations": pa.array([], pa.list_(pa.float32()))}), "table is empty"),
    "nan in a table": (parquet({"activations": [[0.0, float("nan")]]}), "latent:1: activation is not a finite number"),
    "splits": (save_splits, r"a dataset with splits \(found: \['train'\]; allowed: the folder of one split"),
    "a gap": (gap, r"a split of the cache is missing \(found: 0_1\.safetensors, 4_5\.safetensors"),
    "other tokens": (other_tokens, "tokens: the tokens differ between the files of the cache"),
    "named as a split": (lambda d: safetensors_torch.save_file({"a": cube}, d / "0_9.safetensors"), "not a split of a feature cache, although its name"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_not_read_is_one_line(tmp_path, case):
    write, message = BAD[case]
    write(tmp_path)
    (path,) = own_files(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        read_user_file(path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


NOT_IN_HEADERS = {
    "complex": (lambda d: np.save(d / "x.npy", DENSE + 0j), r"not a matrix of numbers \(found: complex64 \(12, 6\)"),
    "texts": (lambda d: np.save(d / "x.npy", DENSE.astype(str)), r"not a matrix of numbers \(found: <U\d+ \(12, 6\)"),
    "complex of scipy": (lambda d: sparse.save_npz(d / "x.npz", sparse.csr_array(DENSE + 0j)), r"found: sparse complex"),
    "quantized": (pt(torch.quantize_per_tensor(cube, 0.1, 0, torch.quint8)), "x.pt"),
    "too few labels inside": (pt({"activations": cube, "labels": ["a", "b"]}), r"x\.pt: labels: one label per component is needed \(found: 2 labels for 6"),
    "equal labels inside": (pt({"activations": cube, "labels": ["a"] * WIDTH}), r"x\.pt: labels: label given twice \(found: a;"),
    "equal labels": (lambda d: (np.save(d / "x.npy", CUBE), (d / "labels.txt").write_text("a\n" * WIDTH)), r"labels\.txt: labels: label given twice \(found: a;"),
    "an empty label": (lambda d: (np.save(d / "x.npy", CUBE), (d / "labels.txt").write_text("a\n\nb\nc\nd\ne\n")), r"labels\.txt: labels: unusable label \(found: ; allowed: non-empty"),
    "no samples": (lambda d: np.save(d / "x.npy", DENSE[:0]), r"x\.npy: no activations in this file \(found: 6 columns, 0 rows"),
    "no components": (lambda d: np.save(d / "x.npy", DENSE[:, :0]), r"x\.npy: no activations in this file \(found: 0 columns, 12 rows"),
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_IN_HEADERS)
def test_what_headers_show_is_rejected_before_anything_runs(tmp_path, case):
    write, message = NOT_IN_HEADERS[case]
    write(tmp_path)
    with pytest.raises(InputError, match=message):
        check_one_run(files_of_run(tmp_path))


OTHERS = {
    ".csv": lambda p: np.savetxt(p, DENSE, delimiter=","),
    ".tsv": lambda p: np.savetxt(p, DENSE, delimiter="\t"),
    ".feather": lambda p: pa.feather.write_feather(pa.table({"activations": DENSE.tolist()}), p),
    ".arrow": lambda p: write_stream(p, pa.table({"activations": DENSE.tolist()})),
    ".h5": lambda p: write_hdf5(p),
    ".hdf5": lambda p: write_hdf5(p),
    ".zarr": lambda p: pytest.importorskip("zarr").save(str(p), DENSE),
    ".mat": lambda p: scipy.io.savemat(p, {"name": DENSE}),
    ".mtx": lambda p: scipy.io.mmwrite(p, sparse.coo_array(DENSE)),
    ".pkl": lambda p: p.write_bytes(pickle.dumps(DENSE)),
    ".pickle": lambda p: p.write_bytes(pickle.dumps(DENSE)),
    ".joblib": lambda p: pytest.importorskip("joblib").dump(DENSE, p),
    ".pth": lambda p: torch.save(torch.from_numpy(DENSE), p),
}


def write_stream(path, table):
    with pa.ipc.new_stream(path, table.schema) as stream:
        stream.write_table(table)


def write_hdf5(path):
    with pytest.importorskip("h5py").File(path, "w") as file:
        file["name"] = DENSE


@pytest.mark.parametrize("suffix", CONVERSIONS)
def test_the_line_that_converts_another_format_gives_a_file_that_is_read(tmp_path, monkeypatch, suffix):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.txt").write_text("".join(f"a:{i}\n" for i in range(WIDTH)))
    OTHERS[suffix](tmp_path / f"acts{suffix}")
    with pytest.raises(InputError, match="no activations in this folder") as caught:
        files_of_run(tmp_path)
    assert caught.value.found == f"acts{suffix}, labels.txt"
    line = caught.value.allowed.partition("; to convert: ")[2]
    exec("import datasets, numpy, pandas, scipy, shutil", names := {})
    names |= {name: sys.modules.get(name) for name in ("h5py", "zarr", "joblib")}
    exec(line, names)
    found = files_of_run(tmp_path)
    np.testing.assert_allclose(read_user_file(found.files[0]).matrix.toarray(), DENSE, rtol=1e-7)
    assert found.unused() == {tmp_path / f"acts{suffix}": "a format that is not read"}


def test_a_file_given_for_the_folder_is_one_line(tmp_path):
    np.save(tmp_path / "acts.npy", DENSE)
    with pytest.raises(InputError, match=r"acts\.npy: precomputed_activations_dir: not a folder"):
        files_of_run(tmp_path / "acts.npy")


@pytest.mark.parametrize(("package", "kind"), [("pyarrow", "parquet"), ("safetensors", "safetensors")])
def test_a_missing_package_names_the_extra(tmp_path, monkeypatch, package, kind):
    WRITERS[kind][0](tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        InputError, match=rf"{package} package \(allowed: pip install 'spdclust\[formats\]'\)"
    ):
        read_user_file(own_files(tmp_path)[0])


@pytest.mark.parametrize("table", ["parquet", "saved dataset"])
def test_a_table_may_hold_lists_of_other_lengths_for_each_sequence(tmp_path, table):
    ragged = [CUBE[0].tolist(), CUBE[1, :2].tolist(), CUBE[2, :3].tolist()]
    tokens = [["the", " cat", " sat", " on"], ["a", " dog"], ["the", " dog", " sat"]]
    columns = {"activations": ragged, "tokens": tokens}
    parquet(columns)(tmp_path) if table == "parquet" else save_dataset(tmp_path / "x", columns)
    batch = read_user_file(own_files(tmp_path)[0])
    np.testing.assert_array_equal(batch.matrix.toarray(), np.concatenate([CUBE[0], CUBE[1, :2], CUBE[2, :3]]))
    contexts = [batch.examples.context(sample) for sample in range(9)]
    assert [texts[at] for texts, at in contexts] == [token for sequence in tokens for token in sequence]
    assert contexts[5] == (["a", " dog", "", ""], 1)


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("tokens.npy", lambda p: np.save(p, TOKENS)),
        ("token_ids.pt", lambda p: torch.save(torch.from_numpy(TOKENS), p)),
        ("input_ids.json", lambda p: p.write_text(json.dumps(TOKENS.tolist()))),
        ("tokens.npy", lambda p: np.save(p, TOKENS.astype(str))),
        ("tokens.json", lambda p: p.write_text(json.dumps(TOKENS.astype(str).tolist()))),
        ("tokens.npy", lambda p: np.save(p, TOKENS.ravel())),
    ],
)  # fmt: skip
def test_tokens_next_to_a_file_are_stored_with_its_batch(tmp_path, name, save):
    np.save(tmp_path / "acts.npy", CUBE)
    save(tmp_path / name)
    assert own_files(tmp_path) == [tmp_path / "acts.npy"]
    assert tmp_path / name in files_beside(own_files(tmp_path))
    read_user_file(tmp_path / "acts.npy").save(tmp_path / "batch.pt")
    kept = ActivationBatch.load(tmp_path / "batch.pt").examples
    assert kept.n_samples == 12
    assert [kept.vocabulary[int(n)] for n in kept.tokens[tuple(kept.samples.T)]] == [
        str(n) for n in TOKENS.ravel()
    ]
    if kept.tokens.shape == TOKENS.shape:
        assert kept.samples.tolist() == [[s, p] for s in range(SEQUENCES) for p in range(POSITIONS)]
        assert kept.context(6) == ([str(n) for n in TOKENS[1]], 2)


def test_tokens_inside_a_file_are_stored_with_its_batch(tmp_path):
    for number, save in enumerate([pt({"activations": cube, "tokens": torch.from_numpy(TOKENS)}), lambda d: save_delphi(d, CUBE), lambda d: save_saelens(d / "x")]):  # fmt: skip
        folder = tmp_path / str(number)
        folder.mkdir()
        save(folder)
        kept = read_user_file(own_files(folder)[0]).examples
        assert kept.context(6) == ([str(n) for n in TOKENS[1]], 2)


def test_the_tokenizer_of_the_settings_gives_the_texts_of_token_ids(tmp_path):
    pytest.importorskip("transformers")
    own = tmp_path / "own"
    own.mkdir()
    np.save(own / "acts.npy", DENSE[:4])
    np.save(own / "tokens.npy", np.array([[84, 270, 284, 281]]))
    place = "resources/lm_llama2L/tokenizer"
    expected = Tokenizer(place, 512).texts([84, 270, 284, 281])
    settings = {"precomputed_activations_dir": str(own)}
    texts = []
    for dataset in ({}, {"tokenizer": place}):  # the same place: another tokenizer makes another batch
        config = ClusteringRunConfig.model_validate({**settings, "dataset": dataset})
        ((path,),) = precompute_batches_for_ensemble(config, 1, tmp_path / "out")
        texts.append(ActivationBatch.load(path).examples.context(0)[0])
    assert texts == [["84", "270", "284", "281"], expected]
    assert expected != texts[0]


def test_folders_that_hold_a_batch_are_read_again_when_a_file_of_them_changes(tmp_path):
    for run in range(2):
        save_delphi(tmp_path / "own" / f"run_{run}", activations(seed=run))
    config = ClusteringRunConfig(precomputed_activations_dir=str(tmp_path / "own"))

    def made():
        paths = precompute_batches_for_ensemble(config, 2, tmp_path / "out")
        return [path.stat().st_mtime_ns for (path,) in paths], [
            ActivationBatch.load(path) for (path,) in paths
        ]

    first, batches = made()
    for run, batch in enumerate(batches):
        np.testing.assert_array_equal(batch.matrix.toarray(), activations(seed=run).reshape(-1, WIDTH))
        assert batch.examples.n_samples == SEQUENCES * POSITIONS
    assert made()[0] == first
    save_delphi(tmp_path / "own" / "run_1", activations(seed=5))
    second, _ = made()
    assert [now == then for now, then in zip(second, first, strict=True)] == [True, False]


def test_tokens_belong_to_the_file_with_their_number(tmp_path):
    for number in (2, 11):
        np.save(tmp_path / f"layer4_part_{number}.npy", CUBE)
        np.save(tmp_path / f"tokens_{number}.npy", TOKENS + number)
    for number in (2, 11):
        kept = read_user_file(tmp_path / f"layer4_part_{number}.npy").examples
        assert kept.context(0)[0] == [str(n + number) for n in TOKENS[0]]
    (tmp_path / "tokens_2.npy").unlink()
    assert read_user_file(tmp_path / "layer4_part_2.npy").examples is None
    np.save(tmp_path / "tokens.npy", TOKENS)
    with pytest.raises(InputError, match=r"tokens without a number next to several files.*allowed: one for each, with its number: tokens_2\.npy"):  # fmt: skip
        read_user_file(tmp_path / "layer4_part_2.npy")


BAD_TOKENS = {
    "too few": (
        TOKENS[:2],
        r"tokens: not one token for each sample \(found: 8 tokens in 2 sequences, 12 samples",
    ),
    "reals": (TOKENS * 0.5, r"tokens: not tokens \(found: float64"),
    "truth": (TOKENS > 0, r"tokens: not tokens \(found: bool"),
}


@pytest.mark.parametrize("case", BAD_TOKENS)
def test_tokens_that_do_not_fit_are_one_line(tmp_path, case):
    tokens, message = BAD_TOKENS[case]
    np.save(tmp_path / "acts.npy", CUBE)
    np.save(tmp_path / "tokens.npy", tokens)
    with pytest.raises(InputError, match=message) as caught:
        read_user_file(tmp_path / "acts.npy")
    assert "tokens.npy" in str(caught.value)
    for content in ('["a", 1]', "[[1, [2]]]", '{"a": 1}', "[[1.5]]", "[1e400]", "[null]", f"[{10**30}]"):
        (tmp_path / "tokens.npy").unlink(missing_ok=True)
        (tmp_path / "tokens.json").write_text(content)
        with pytest.raises(InputError, match=r"tokens\.json: tokens: not"):
            read_user_file(tmp_path / "acts.npy")


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.sampled_from(["a", "b", "\ud800", "", "é"]), max_size=5), min_size=1, max_size=6), st.integers(1, 4), st.integers(1, 8))  # fmt: skip
def test_stored_tokens_are_those_of_the_first_samples(sequences, longest, most):
    flat = [token for sequence in sequences for token in sequence]
    with mock.patch.multiple(token_files, _LONGEST=longest, MOST_SAMPLES=most):
        kept = token_files.UserTokens.of(sequences, Path("t.json")).examples()
    assert kept.n_samples == min(most, len(flat))
    for sample, text in enumerate(flat[:most]):
        texts, at = kept.context(sample)
        assert texts[at] == text.replace("\ud800", "?")
    pieces = [sequence[i : i + longest] for sequence in sequences for i in range(0, len(sequence), longest)]
    where = [(number, place) for number, piece in enumerate(pieces) for place in range(len(piece))]
    assert kept.samples.tolist() == [list(each) for each in where[:most]]
    shown = [place for _, place in where[:most]]
    n_rows = where[:most][-1][0] + 1 if shown else 0
    assert kept.tokens.shape == (n_rows, max(shown, default=0) + 1)


def test_a_file_of_integers_is_known_as_one(tmp_path):
    """A mask next to activations can be told from them before anything is read."""
    for name, value, whole in [("a", CUBE > 0, True), ("b", CUBE, False), ("c", TOKENS, True)]:
        np.save(tmp_path / f"{name}.npy", value)
        np.savez(tmp_path / f"{name}.npz", value)
        torch.save({"acts": torch.from_numpy(value)}, tmp_path / f"{name}.pt")
        for suffix in ("npy", "npz", "pt"):
            assert open_user_file(tmp_path / f"{name}.{suffix}").whole_numbers is whole
        np.save(tmp_path / f"{name}.npy", value.astype(value.dtype.newbyteorder(">")))
        assert open_user_file(tmp_path / f"{name}.npy").whole_numbers is whole
    sparse.save_npz(tmp_path / "d.npz", sparse.csr_array(DENSE > 0))
    assert open_user_file(tmp_path / "d.npz").whole_numbers is True


class StandIn:
    """What the tools of docs/activation-files.md return, for one set of latents; nothing else of them is used."""

    def __init__(self, latents, tokens):
        self.num_latents, self._latents, self._tokens = latents.shape[-1], latents, tokens
        self.top_indices, self.top_acts = torch.from_numpy(DENSE).topk(WIDTH, dim=-1)[::-1]

    def run_with_cache(self, tokens):
        return None, {"blocks.0.mlp.hook_post": self._latents, "blocks.0.hook_resid_post": self._latents * 2}

    def run(self, n_tokens, tokens):
        assert n_tokens == tokens.numel()

    def save_splits(self, n_splits, save_dir):
        save_delphi(
            save_dir, self._latents.numpy(), boundaries=np.linspace(0, WIDTH, n_splits + 1).astype(int)
        )


def tool_snippets():
    page = (Path(__file__).parents[2] / "docs" / "activation-files.md").read_text()
    blocks = re.findall(r"\n\*\*([^*]+)\*\*[^\n]*\n\n```python\n(.*?)```", page, re.DOTALL)
    return dict(blocks)


@pytest.mark.parametrize("tool", tool_snippets())
def test_the_lines_that_the_page_names_for_each_tool_save_what_is_read(tmp_path, monkeypatch, tool):
    """Their last lines are run as they stand; models and autoencoders are stand-ins."""
    datasets, pandas = pytest.importorskip("datasets"), pytest.importorskip("pandas")
    datasets.disable_progress_bars()
    tokens = torch.from_numpy(TOKENS)
    tools = StandIn(cube, tokens)
    encoder = mock.Mock(num_latents=WIDTH)
    encoder.encode.return_value = tools if tool == "sparsify" else cube
    names = {
        "sae": encoder, "ae": encoder, "activations": None, "model": tools, "cache": tools, "n_tokens": 12, "tokens": tokens,
        "latents": cube, "torch": torch, "scipy": __import__("scipy.sparse"), "datasets": datasets, "pandas": pandas,
        "save_dir": tmp_path, "indices": [np.flatnonzero(row) for row in DENSE], "values": [row[row != 0] for row in DENSE],
    }  # fmt: skip
    monkeypatch.chdir(tmp_path)
    exec(tool_snippets()[tool], names)
    (path,) = own_files(tmp_path)
    batch = read_user_file(path)
    np.testing.assert_array_equal(batch.matrix.toarray(), DENSE)
    if tool in ("dictionary_learning", "delphi", "PyTorch", "Hugging Face datasets"):
        assert batch.examples.context(6) == ([str(n) for n in TOKENS[1]], 2)


def test_the_page_has_lines_for_every_tool():
    assert set(tool_snippets()) == {
        "SAELens", "sparsify", "delphi", "dictionary_learning", "TransformerLens", "PyTorch", "SciPy", "Hugging Face datasets", "pandas",
    }  # fmt: skip
