"""Find the decomposed modules of a target model: match patterns, insert identities, determine sizes."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from spdclust.core.errors import InputError
from spdclust.models.config import DecompositionConfig, ModulePattern

IDENTITY = "pre_identity"
"""Name of the identity inserted before a module, as a submodule of it."""


class Identity(nn.Module):
    """Return the input unchanged; can be decomposed like a weight matrix of size `d`."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.d = d

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the input."""
        return x


@dataclass(frozen=True)
class DecomposedModule:
    """One module of the target model and the sizes of its decomposition.

    Example:
        >>> describe(nn.Linear(3, 2), "linear1", 7)
        DecomposedModule(name='linear1', kind='matrix', d_in=3, d_out=2, n_components=7, has_bias=True)

    Attributes:
        name: path of the module in the target model.
        kind: `matrix` takes vectors, `embedding` takes token numbers.
        d_in: length of the input vectors, or size of the vocabulary.
        d_out: length of the output vectors.
        n_components: number of components.
        has_bias: whether the module has a bias, which is not decomposed.
    """

    name: str
    kind: Literal["matrix", "embedding"]
    d_in: int
    d_out: int
    n_components: int
    has_bias: bool

    @property
    def key(self) -> str:
        """The name as used in the keys of a state dict."""
        return self.name.replace(".", "-")


def describe(module: nn.Module, name: str, n_components: int) -> DecomposedModule | None:
    """Return the sizes of a module, or None if modules of its kind cannot be decomposed.

    Example:
        >>> describe(nn.Embedding(50, 4), "wte", 3).d_in
        50
        >>> describe(nn.ReLU(), "act", 3) is None
        True
    """
    kind: Literal["matrix", "embedding"] = "matrix"
    has_bias = getattr(module, "bias", None) is not None
    weight: Any = getattr(module, "weight", None)
    if isinstance(module, Identity):
        d_in = d_out = module.d
    elif isinstance(module, nn.Linear):
        d_out, d_in = weight.shape
    elif isinstance(module, nn.Embedding):
        kind, (d_in, d_out) = "embedding", weight.shape
    elif _is_conv1d(module):
        d_in, d_out = weight.shape
    else:
        return None
    return DecomposedModule(name, kind, d_in, d_out, n_components, has_bias)


def find_modules(
    target: nn.Module, config: DecompositionConfig, file: Path | None = None
) -> list[DecomposedModule]:
    """Insert the identities required by the configuration and return every decomposed module.

    Modules are in the order of the patterns, and for one pattern in the order of the target's modules.

    Example:
        >>> model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 3))
        >>> patterns = [ModulePattern(module_pattern="[0-9]", C=4)]
        >>> find_modules(model, DecompositionConfig.model_construct(module_info=patterns))
        Traceback (most recent call last):
        ...
        spdclust.InputError: module_info: module cannot be decomposed (found: 1, a ReLU; ...)

    Raises:
        InputError: a pattern matches nothing, a module is matched twice, or is of a kind that cannot be
            decomposed.
    """
    identities = config.identity_module_info or []
    for module in _expand(target, identities, "identity_module_info", file):
        if module.kind == "embedding":
            raise InputError(
                "no identity can precede an embedding",
                file=file,
                field="identity_module_info",
                found=module.name,
            )
        _insert_identity(target.get_submodule(module.name), module.d_in)
    suffixed = [
        info.model_copy(update={"module_pattern": f"{info.module_pattern}.{IDENTITY}"}) for info in identities
    ]
    return _expand(target, [*config.module_info, *suffixed], "module_info", file)


def _expand(
    target: nn.Module, patterns: list[ModulePattern], field: str, file: Path | None
) -> list[DecomposedModule]:
    found: dict[str, DecomposedModule] = {}
    pattern_of: dict[str, str] = {}
    names = [name for name, _ in target.named_modules()]
    for info in patterns:
        matching = [name for name in names if fnmatchcase(name, info.module_pattern)]
        if not matching:
            raise InputError(
                "pattern matches no module",
                file=file,
                field=field,
                found=info.module_pattern,
                allowed=_some_modules(target),
            )
        for name in matching:
            if name in found:
                raise InputError(
                    "module matched twice",
                    file=file,
                    field=field,
                    found=f"{name} by {pattern_of[name]} and {info.module_pattern}",
                    allowed="one pattern per module",
                )
            submodule = target.get_submodule(name)
            described = describe(submodule, name, info.C)
            if described is None:
                raise InputError(
                    "module cannot be decomposed",
                    file=file,
                    field=field,
                    found=f"{name or 'the whole model'}, a {type(submodule).__name__}",
                    allowed="Linear, Embedding, Conv1D, or the identity before one",
                )
            found[name] = described
            pattern_of[name] = info.module_pattern
    return list(found.values())


def _insert_identity(module: nn.Module, d: int) -> None:
    identity = Identity(d)
    module.add_module(IDENTITY, identity)
    module.register_forward_pre_hook(lambda _, args: (identity(args[0]), *args[1:]))


def _is_conv1d(module: nn.Module) -> bool:
    # the transposed linear layer of transformers, recognised without importing the library
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf")


def _some_modules(target: nn.Module, most: int = 8) -> str:
    names = [name for name, module in target.named_modules() if describe(module, name, 1) is not None]
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
