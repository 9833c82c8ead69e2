"""Causal-importance functions and their sigmoids, by name: from module inputs to one number per component.

This module defines the functions for one module each; the global ones are in `global_causal_importance`.
A function is an `nn.Module` that maps `{module: input}` to `{module: (…, components)}`, in the order of the
labels for runs that do not define one. The input of a module is its input vector, or `x @ V` for functions of
component activations and for embeddings. A sigmoid maps that to a causal importance.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import nn

from spdclust.core.errors import InputError
from spdclust.core.types import Float
from spdclust.models.checkpoint import LAYERWISE
from spdclust.models.config import CausalImportanceConfig
from spdclust.models.global_causal_importance import (
    ParallelLinear,
    ReverseResidual,
    SharedMLP,
    SharedTransformer,
    mlp,
)
from spdclust.models.modules import DecomposedModule

Modules = Sequence[DecomposedModule]


class _ComponentMLP(nn.Module):
    """One small network per component, applied to that component's activation."""

    def __init__(self, module: DecomposedModule, hidden_dims: Sequence[int]) -> None:
        super().__init__()
        self.layers = mlp([1, *hidden_dims, 1], partial(ParallelLinear, module.n_components))

    def forward(self, x: Float[torch.Tensor, "... components"]) -> Float[torch.Tensor, "... components"]:
        """Map component activations to one number per component."""
        out: torch.Tensor = self.layers(x.unsqueeze(-1))
        return out.squeeze(-1)


class _VectorMLP(nn.Module):
    """One network per component, applied to the module's whole input vector."""

    def __init__(self, module: DecomposedModule, hidden_dims: Sequence[int]) -> None:
        super().__init__()
        self.layers = mlp([module.d_in, *hidden_dims, 1], partial(ParallelLinear, module.n_components))

    def forward(self, x: Float[torch.Tensor, "... d_in"]) -> Float[torch.Tensor, "... components"]:
        """Map input vectors to one number per component."""
        out: torch.Tensor = self.layers(x.unsqueeze(-2))
        return out.squeeze(-1)


class _SharedVectorMLP(nn.Module):
    """One network for all components of a module, applied to the module's input vector."""

    def __init__(self, module: DecomposedModule, hidden_dims: Sequence[int]) -> None:
        super().__init__()
        self.layers = mlp([module.d_in, *hidden_dims, module.n_components])

    def forward(self, x: Float[torch.Tensor, "... d_in"]) -> Float[torch.Tensor, "... components"]:
        """Map input vectors to one number per component."""
        out: torch.Tensor = self.layers(x)
        return out


class _Layerwise(nn.Module):
    """A separate function for each module."""

    prefix = LAYERWISE
    max_length: int | None = None
    mixes_positions = False

    def __init__(
        self,
        build: Callable[[DecomposedModule, Sequence[int]], nn.Module],
        modules: Modules,
        hidden_dims: Sequence[int],
        reads_components: bool,
    ) -> None:
        super().__init__()
        self.reads_components = reads_components
        widest = max(hidden_dims, default=0)
        # size of the largest layer for one sample; with separate networks, for each component
        self.width = max(
            (widest if build is _SharedVectorMLP else widest * module.n_components for module in modules),
            default=0,
        )
        self._keys = {module.name: module.key for module in sorted(modules, key=lambda each: each.name)}
        for module in modules:
            self.add_module(module.key, build(module, hidden_dims))

    def forward(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Map each module's input to one number per component, modules sorted by name."""
        return {name: self.get_submodule(key)(inputs[name]) for name, key in self._keys.items()}


LAYERWISE_FUNCTIONS: dict[str, Callable[[DecomposedModule, Sequence[int]], nn.Module]] = {
    "mlp": _ComponentMLP,
    "vector_mlp": _VectorMLP,
    "shared_mlp": _SharedVectorMLP,
}
"""Functions for one module each, by `fn_type`."""

GLOBAL_FUNCTIONS: dict[str, Callable[[Modules, CausalImportanceConfig, Path | None], nn.Module]] = {
    "global_shared_mlp": SharedMLP,
    "global_shared_transformer": SharedTransformer,
    "global_reverse_residual": ReverseResidual,
}
"""Functions for all modules at once, by `fn_type`."""


def build_causal_importance(
    modules: Modules, config: CausalImportanceConfig, file: Path | None = None
) -> nn.Module:
    """Return the causal-importance function of a model, with uninitialised weights.

    Example:
        >>> modules = [DecomposedModule("a", "matrix", 3, 2, 7, has_bias=False)]
        >>> config = CausalImportanceConfig(fn_type="shared_mlp", hidden_dims=[])
        >>> build_causal_importance(modules, config)(({"a": torch.zeros(4, 3)}))["a"].shape
        torch.Size([4, 7])

    Raises:
        InputError: the kind is unknown, sizes are missing, or the kind does not support one of the modules.
    """
    if config.fn_type in GLOBAL_FUNCTIONS:
        return GLOBAL_FUNCTIONS[config.fn_type](modules, config, file)
    if config.fn_type not in LAYERWISE_FUNCTIONS:
        raise InputError(
            "unknown causal-importance function",
            file=file,
            field="ci_fn_type",
            found=config.fn_type,
            allowed=", ".join([*LAYERWISE_FUNCTIONS, *GLOBAL_FUNCTIONS]),
        )
    hidden_dims = config.hidden_dims or []
    if not hidden_dims and config.fn_type != "shared_mlp":
        raise InputError(
            "at least one hidden layer is needed",
            file=file,
            field="ci_fn_hidden_dims",
            found=hidden_dims,
            allowed=f"a non-empty list for {config.fn_type}",
        )
    for module in modules:
        if module.kind == "embedding" and config.fn_type != "mlp":
            raise InputError(
                "this causal-importance function cannot serve an embedding",
                file=file,
                field="ci_fn_type",
                found=f"{config.fn_type} for {module.name}",
                allowed="mlp, or a global function",
            )
    return _Layerwise(
        LAYERWISE_FUNCTIONS[config.fn_type], modules, hidden_dims, reads_components=config.fn_type == "mlp"
    )


Sigmoid = Callable[[torch.Tensor], torch.Tensor]


def _hard(x: Float[torch.Tensor, "..."]) -> Float[torch.Tensor, "..."]:
    """Clamp to 0 to 1."""
    return x.clamp(0, 1)


def _upper_leaky_hard(x: Float[torch.Tensor, "..."]) -> Float[torch.Tensor, "..."]:
    """Clamp below 0; continue above 1 with slope 0.01."""
    return torch.where(x > 1, 1 + 0.01 * (x - 1), x.clamp(0, 1))


def _swish_hard(x: Float[torch.Tensor, "..."]) -> Float[torch.Tensor, "..."]:
    """Difference of two swishes with slope 10, centred on 0 and on 1: a smooth version of `hard`."""
    return x * torch.sigmoid(10 * x) - (x - 1) * torch.sigmoid(10 * (x - 1))


SIGMOIDS: dict[str, tuple[Sigmoid, Sigmoid]] = {
    # the leak below 0 exists in gradients only
    "leaky_hard": (_hard, _upper_leaky_hard),
    "hard": (_hard, _hard),
    "lower_leaky_hard": (_hard, _hard),
    "upper_leaky_hard": (_upper_leaky_hard, _upper_leaky_hard),
    "normal": (torch.sigmoid, torch.sigmoid),
    "swish_hard": (_swish_hard, _swish_hard),
}
"""For each `sigmoid_type`, the functions for `lower_leaky` and `upper_leaky` causal importances."""


def find_sigmoids(sigmoid_type: str, file: Path | None = None) -> dict[str, Sigmoid]:
    """Return the sigmoid of each kind of causal importance.

    Example:
        >>> sorted(find_sigmoids("leaky_hard"))
        ['lower_leaky', 'upper_leaky']

    Raises:
        InputError: the type is unknown.
    """
    if sigmoid_type not in SIGMOIDS:
        raise InputError(
            "unknown sigmoid",
            file=file,
            field="sigmoid_type",
            found=sigmoid_type,
            allowed=", ".join(SIGMOIDS),
        )
    lower, upper = SIGMOIDS[sigmoid_type]
    return {"lower_leaky": lower, "upper_leaky": upper}
