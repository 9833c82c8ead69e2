"""Modules of a target model: found by patterns, measured, caught at what they take in."""

import pytest
import torch
from torch import nn

from spdclust.core.errors import InputError
from spdclust.models.config import DecompositionConfig, ModulePattern
from spdclust.models.inputs import InputCapture
from spdclust.models.modules import Identity, _describe, find_modules


class Conv1D(nn.Module):
    """Stands in for the layer of the transformers library: weight stored input first."""

    def __init__(self, nf, nx):
        super().__init__()
        self.nf = nf
        self.weight = nn.Parameter(torch.zeros(nx, nf))
        self.bias = nn.Parameter(torch.zeros(nf))

    def forward(self, x):
        return x @ self.weight + self.bias


def test_sizes_are_read_off_every_kind_of_module():
    sizes = {
        module: (d.kind, d.d_in, d.d_out, d.has_bias)
        for module in (nn.Linear(3, 2, bias=False), nn.Embedding(7, 4), Conv1D(2, 3), Identity(5))
        for d in [_describe(module, "m", 1)]
    }
    assert list(sizes.values()) == [
        ("matrix", 3, 2, False),
        ("embedding", 7, 4, False),
        ("matrix", 3, 2, True),
        ("matrix", 5, 5, False),
    ]
    assert _describe(nn.LayerNorm(3), "m", 1) is None


def found_modules(model, *patterns, identities=()):
    def as_info(names):
        return [ModulePattern(module_pattern=name, C=2) for name in names]

    config = DecompositionConfig.model_construct(
        module_info=as_info(patterns), identity_module_info=as_info(identities) or None
    )
    return [module.name for module in find_modules(model, config)]


def test_identities_pass_their_input_on_and_run_before_their_module():
    model = nn.Sequential(nn.Linear(3, 2), Conv1D(4, 2))
    nn.init.normal_(model[1].weight)
    x = torch.ones(5, 3)
    before = model(x)
    assert found_modules(model, "0", identities=["1"]) == ["0", "1.pre_identity"]
    assert torch.equal(model(x), before)
    capture = InputCapture(model, ["1", "0", "1.pre_identity"], x)
    assert capture.order == ["0", "1.pre_identity", "1"]
    assert torch.equal(capture(x)["1.pre_identity"], model[0](x))


def test_star_in_a_pattern_crosses_dots():
    model = nn.ModuleDict({"h": nn.ModuleList([nn.ModuleDict({"fc": nn.Linear(2, 2)}) for _ in range(3)])})
    assert found_modules(model, "h*fc") == ["h.0.fc", "h.1.fc", "h.2.fc"]
    assert found_modules(model, "h.2.fc", "h.[01].*") == ["h.2.fc", "h.0.fc", "h.1.fc"]


def test_identity_before_an_embedding_is_refused():
    with pytest.raises(InputError, match="no identity can precede an embedding"):
        found_modules(nn.Sequential(nn.Embedding(3, 2)), "0", identities=["0"])


def test_module_that_never_runs_is_refused():
    model = nn.Sequential(nn.Linear(2, 2))
    model[0].unused = nn.Linear(2, 2)
    with pytest.raises(
        InputError, match=r"module_info: module is never run by the model \(found: 0.unused\)"
    ):
        InputCapture(model, ["0", "0.unused"], torch.zeros(1, 2))


def test_forward_pass_goes_no_further_than_the_last_module_asked_for():
    class Counting(nn.Module):
        n_runs = 0

        def forward(self, x):
            self.n_runs += 1
            return x

    model = nn.Sequential(nn.Linear(2, 2), Counting(), nn.Linear(2, 2), Counting())
    capture = InputCapture(model, ["2"], torch.zeros(1, 2))
    assert (model[1].n_runs, model[3].n_runs) == (1, 1)
    capture(torch.zeros(1, 2))
    assert (model[1].n_runs, model[3].n_runs) == (2, 1)
    assert not model[2]._forward_hooks


def test_module_that_runs_twice_gives_what_it_takes_in_last():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(2, 2)

        def forward(self, x):
            return self.fc(self.fc(x))

    model, x = Twice(), torch.ones(1, 2)
    with torch.no_grad():
        assert torch.equal(InputCapture(model, ["fc"], x)(x)["fc"], model.fc(x))
