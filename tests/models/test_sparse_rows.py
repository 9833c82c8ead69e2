"""Active components of samples: the same from a CPU and a device, and nothing else is copied to the host."""

from itertools import product
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_map

from spdclust.core.errors import InputError
from spdclust.merge.activations import ProcessedActivations
from spdclust.models import load_model
from spdclust.models.sparse_rows import RowCollector

SIZES = {"a": 7, "b": 1, "c": 12}


def importances(n_samples=40, seed=0, density=0.3):
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for name, width in SIZES.items():
        values = torch.rand(n_samples, width, generator=generator)
        made[name] = torch.where(torch.rand(n_samples, width, generator=generator) < density, values, 0)
    return made


def dense(pieces):
    return np.vstack([torch.cat(list(piece.values()), dim=1).numpy() for piece in pieces])


class OnDevice(torch.Tensor):
    """A tensor that is on a device, as far as PyTorch is concerned; counts what is copied from it to the host."""

    copied: ClassVar[list[int]] = []

    @staticmethod
    def __new__(cls, held):
        return torch.Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), dtype=held.dtype, device="meta"
        )  # PyTorch without CUDA accepts no tensor there

    def __init__(self, held):
        self.held = held

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        to = kwargs.get("device")
        if to is not None:
            kwargs["device"] = torch.device("cpu")
        args, kwargs = tree_map(lambda x: x.held if isinstance(x, OnDevice) else x, (args, kwargs))
        result = func(*args, **kwargs)
        if to is not None and torch.device(to).type == "cpu":
            cls.copied.append(result.numel() * result.element_size())
            return result
        if not isinstance(result, torch.Tensor | tuple | list):  # a number, which the host now has
            cls.copied.append(8)
            return result
        return tree_map(lambda x: OnDevice(x) if isinstance(x, torch.Tensor) else x, result)


def on_device(piece):
    return {name: OnDevice(each) for name, each in piece.items()}


@pytest.mark.parametrize(("threshold", "device"), list(product([None, 0.0, 0.25], ["cpu", "stand-in"])))
def test_rows_are_those_of_the_dense_values(threshold, device):
    pieces = [importances(40, 0), importances(1, 1), importances(300, 2)]
    rows = RowCollector(20, threshold=threshold, n_samples=330)
    for piece in pieces:
        rows.add(on_device(piece) if device == "stand-in" else piece)
    whole = dense(pieces)[:330]
    expected = whole if threshold is None else (whole > np.float32(threshold)).astype(np.float32)
    assert np.array_equal(rows.matrix().toarray(), expected)
    assert rows.columns.dtype == np.uint16
    assert np.array_equal(rows.maxima(), whole.max(axis=0))
    assert rows.means() == pytest.approx(whole.mean(axis=0, dtype=np.float64), rel=1e-12)


def test_statistics_have_the_bytes_of_those_of_activations_in_memory(monkeypatch):
    monkeypatch.setattr("spdclust.models.sparse_rows.ENTRIES_PER_SUM", 100)
    monkeypatch.setattr("spdclust.merge.activations.ENTRIES_PER_SUM", 100)
    pieces = [importances(33, seed) for seed in range(5)]
    rows = RowCollector(20)
    for piece in pieces:
        rows.add(piece)
    acts = ProcessedActivations.from_dense(dense(pieces), [f"m:{i}" for i in range(20)])
    assert rows.means().tobytes() == acts.means().tobytes()
    assert rows.maxima().tobytes() == acts.maxima().tobytes()


def test_maxima_of_negative_values_count_the_zeros():
    rows = RowCollector(2)
    rows.add({"m": torch.tensor([[-1.0, -2.0], [-3.0, 0.0]])})
    assert rows.maxima().tolist() == [-1.0, 0.0]
    rows.add({"m": torch.zeros(0, 2)})  # no sample
    assert rows.maxima().tolist() == [-1.0, 0.0]
    rows.add({"m": torch.zeros(1, 2)})
    assert rows.maxima().tolist() == [0.0, 0.0]


@pytest.mark.parametrize("threshold", [None, 0.25])
def test_only_what_is_active_is_copied_to_the_host(threshold):
    OnDevice.copied = []
    pieces = [importances(500, seed, density=0.02) for seed in range(3)]
    rows = RowCollector(20, threshold=threshold)
    for piece in pieces:
        rows.add(on_device(piece))
    rows.maxima(), rows.means()
    n_entries, n_dense = len(rows.columns), 4 * 20 * 1500
    per_entry = 6 if threshold is None else 2
    statistics = 0 if threshold is None else 12 * 20
    # a number of 4 bytes for each sample, and a few scalars for each piece
    assert sum(OnDevice.copied) <= per_entry * n_entries + 4 * 1500 + statistics + 3 * 16 < n_dense / 4
    assert sum(OnDevice.copied) >= per_entry * n_entries > 0


def test_a_model_on_a_device_copies_only_what_is_active(monkeypatch):
    model = load_model("resources/resid_mlp1", device="cpu")
    inputs = torch.eye(100)
    plain = RowCollector(200, threshold=0.1)
    model.collect_rows(plain, inputs)
    importances_of = model._importances
    monkeypatch.setattr(model, "_importances", lambda *given: on_device(importances_of(*given)))
    OnDevice.copied = []
    rows = RowCollector(200, threshold=0.1)
    model.collect_rows(rows, inputs)
    assert (rows.matrix() != plain.matrix()).nnz == 0
    assert sum(OnDevice.copied) <= 2 * len(rows.columns) + 4 * 100 + 16


@pytest.mark.parametrize(
    ("value", "threshold", "device"),
    list(product([float("nan"), float("inf"), -float("inf")], [None, 0.25], ["cpu", "stand-in"])),
)
def test_a_value_that_is_not_finite_names_the_component(value, threshold, device):
    piece = importances()
    piece["c"][30, 4] = value
    with pytest.raises(InputError, match=r"model: c:4: causal importance is NaN or infinite"):
        RowCollector(20, threshold=threshold).add(
            on_device(piece) if device == "stand-in" else piece, "model"
        )


def test_more_components_than_16_bits_number():
    rows = RowCollector(70_000)
    values = torch.zeros(2, 70_000)
    values[0, 69_999] = values[1, 40_000] = 0.5
    rows.add({"m": values})
    assert rows.columns.tolist() == [69_999, 40_000]
    assert rows.columns.dtype == np.int32
    wide = RowCollector(65_536)
    wide.add(on_device({"m": values[:, 1_000:66_536]}))
    assert wide.columns.tolist() == [39_000]
    assert wide.indptr.tolist() == [0, 0, 1]
