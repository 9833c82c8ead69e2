"""Batches are read without torch, as torch reads them; what is not plain is left to torch."""

import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from new_interpreter import imported_by

from spdclust.core.errors import InputError
from spdclust.files.activation_batch import ActivationBatch
from spdclust.files.torch_files import load_tensors, read_plain_tensors

DTYPES = [np.float64, np.float32, np.float16, np.int64, np.int32, np.int16, np.int8, np.uint8, np.bool_,
          np.uint16, np.uint32, np.uint64]  # fmt: skip
ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda dtype: npst.arrays(dtype, npst.array_shapes(min_dims=0, min_side=0))
)


@given(st.dictionaries(st.text(max_size=5), ARRAYS | st.text(max_size=300), max_size=6))
def test_what_torch_writes_is_read_as_torch_reads_it(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("plain") / "a.pt"
    torch.save(
        {key: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for key, v in content.items()}, path
    )
    ours, theirs = read_plain_tensors(path, "file"), torch.load(path, weights_only=True)
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        if isinstance(value, str):
            assert ours[name] == value
        else:
            assert (ours[name].dtype, ours[name].shape) == (value.numpy().dtype, value.numpy().shape)
            assert ours[name].tobytes() == value.numpy().tobytes()


def test_parts_of_one_storage(tmp_path):
    whole = torch.arange(10, dtype=torch.float32)
    torch.save({"whole": whole, "part": whole[4:7], "rows": whole[2:8].view(2, 3)}, tmp_path / "a.pt")
    read = read_plain_tensors(tmp_path / "a.pt", "file")
    assert read["part"].tolist() == [4, 5, 6]
    assert read["rows"].tolist() == [[2, 3, 4], [5, 6, 7]]


NOT_PLAIN = {
    "a list": [torch.ones(2)],
    "a number": {"a": 1},
    "a dictionary inside": {"a": {"b": torch.ones(2)}},
    "a view across rows": {"a": torch.ones(2, 3).T},
    "sparse": {"a": torch.ones(2, 2).to_sparse()},
    "bfloat16": {"a": torch.ones(2, dtype=torch.bfloat16)},
    "complex": {"a": torch.ones(2, dtype=torch.complex64)},
    "a gradient": {"a": torch.nn.Parameter(torch.ones(2))},
    "code": {"a": print},
}


@pytest.mark.parametrize("case", NOT_PLAIN)
def test_anything_else_is_left_to_torch(tmp_path, case):
    torch.save(NOT_PLAIN[case], tmp_path / "a.pt")
    assert read_plain_tensors(tmp_path / "a.pt", "file") is None


def test_a_state_dict_with_the_versions_of_its_modules(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.LayerNorm(3))
    torch.save(model.state_dict(), tmp_path / "model.pth")
    read = read_plain_tensors(tmp_path / "model.pth", "state dict")
    assert {key: value.tolist() for key, value in read.items()} == {
        key: value.tolist() for key, value in model.state_dict().items()
    }


def test_the_format_before_zips_is_left_to_torch(tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    assert read_plain_tensors(tmp_path / "a.pt", "file") is None


@pytest.mark.parametrize("other", [b"K\x09\x85", b"K\x02M"], ids=["another shape", "another opcode"])
def test_a_shape_beyond_its_storage_is_not_read(tmp_path, other):
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in members if name.endswith("data.pkl"))
    assert b"K\x02\x85" in members[name]  # the shape, (2,)
    with zipfile.ZipFile(tmp_path / "b.pt", "w") as archive:
        for each, data in (members | {name: members[name].replace(b"K\x02\x85", other)}).items():
            archive.writestr(each, data)
    assert read_plain_tensors(tmp_path / "b.pt", "file") is None


def test_more_data_than_the_file_contains_is_rejected_as_by_torch(tmp_path):
    """Many tensors of one storage: each is small, and together they would fill the memory."""
    whole = torch.zeros(1 << 20)
    torch.save({str(n): whole.view(2, -1) for n in range(5000)}, tmp_path / "a.pt")
    for read in (read_plain_tensors, lambda path, what: load_tensors(path, what, what)):
        with pytest.raises(InputError, match="tensors: header declares more data than the file contains"):
            read(tmp_path / "a.pt", "file")


@pytest.mark.parametrize(
    "pickled", [b"\x80\x02X\x01\x00\x00\x00a)R.", b"\x80\x02K\x01K\x01K\x02s.", b"\x80\x02}K\x01Q."]
)
def test_calls_of_what_cannot_be_called_are_left_to_torch(tmp_path, pickled):
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "b.pt", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, pickled if name.endswith("data.pkl") else data)
    assert read_plain_tensors(tmp_path / "b.pt", "file") is None


def test_a_batch_is_read_without_importing_torch(tmp_path):
    ActivationBatch.from_dense(np.eye(3), ["m:0", "m:1", "m:2"]).save(tmp_path / "batch_0.pt")
    code = (
        "from spdclust.files.batches import BatchedActivations as B\n"
        f"assert B({str(tmp_path)!r}).get_next_batch().matrix.toarray().tolist() == [[1,0,0],[0,1,0],[0,0,1]]"
    )
    assert "torch" not in imported_by(code)
