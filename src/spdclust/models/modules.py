"""The decomposed modules of a target model: found by patterns, described; their tensors in a checkpoint."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from spdclust.core.errors import InputError
from spdclust.models.checkpoint import COMPONENTS, Shape, current_name, read_state_dict, resolve_checkpoint
from spdclust.models.config import DecompositionConfig, ModulePattern

IDENTITY = "pre_identity"
"""Name of the identity inserted before a module, as a submodule of it."""

State = dict[str, torch.Tensor]


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
        >>> _describe(nn.Linear(3, 2), "linear1", 7)
        DecomposedModule(name='linear1', kind='matrix', d_in=3, d_out=2, n_components=7, has_bias=True)

    Attributes:
        name: path of the module in the target model.
        kind: `matrix` takes vectors, `embedding` takes token numbers.
        d_in: length of the input vectors, or size of the vocabulary.
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


def _describe(module: nn.Module, name: str, n_components: int) -> DecomposedModule | None:
    """Return the sizes of a module, or None if modules of its kind cannot be decomposed."""
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
            described = _describe(submodule, name, info.C)
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
    names = [name for name, module in target.named_modules() if _describe(module, name, 1) is not None]
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


def modernised(state: Mapping[str, torch.Tensor], file: Path | None = None) -> State:
    """Return the state dict with current names and floating-point tensors as float32.

    Example:
        >>> list(modernised({"_gates.a.layers.0.b": torch.zeros(2)}))
        ['_ci_fns.a.layers.0.b']

    Raises:
        InputError: two keys refer to the same tensor.
    """
    new: State = {}
    for key, tensor in state.items():
        name = current_name(key)
        if name in new:
            raise InputError("two keys for the same tensor", file=file, field=key, found=name)
        new[name] = tensor.float() if tensor.is_floating_point() else tensor
    return new


def component_shapes(modules: Sequence[DecomposedModule]) -> dict[str, Shape]:
    """Return the name and shape of every tensor of the components of given modules.

    Example:
        >>> component_shapes([DecomposedModule("a.b", "matrix", 3, 2, 7, has_bias=False)])
        {'_components.a-b.V': (3, 7), '_components.a-b.U': (7, 2)}
    """
    shapes: dict[str, Shape] = {}
    for module in modules:
        prefix = f"{COMPONENTS}{module.key}."
        shapes[prefix + "V"] = (module.d_in, module.n_components)
        shapes[prefix + "U"] = (module.n_components, module.d_out)
        if module.has_bias and module.kind == "matrix":
            shapes[prefix + "bias"] = (module.d_out,)
    return shapes


def module_shapes(module: torch.nn.Module, prefix: str) -> dict[str, Shape]:
    """Return prefixed name and shape of every tensor in a module's state dict.

    Example:
        >>> module_shapes(torch.nn.Linear(3, 2), "target_model.")
        {'target_model.weight': (2, 3), 'target_model.bias': (2,)}
    """
    return {prefix + name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def check_floating(state: Mapping[str, torch.Tensor], names: Iterable[str], file: Path | None = None) -> None:
    """Check that some tensors of a state dict have floating-point numbers.

    Example:
        >>> check_floating({"a": torch.zeros(2, dtype=torch.int8)}, ["a"], Path("model_1.pth"))
        Traceback (most recent call last):
        ...
        spdclust.InputError: model_1.pth: a: not a tensor of weights (found: torch.int8; allowed: a
        floating-point type)

    Raises:
        InputError: a tensor has numbers of another type.
    """
    for name in names:
        if not state[name].is_floating_point():
            raise InputError(
                "not a tensor of weights",
                file=file,
                field=name,
                found=str(state[name].dtype),
                allowed="a floating-point type",
            )


def check_shapes(
    state: Mapping[str, torch.Tensor],
    expected: Mapping[str, Shape],
    file: Path | None = None,
    ignored: Sequence[str] = (),
) -> None:
    """Check that a state dict has exactly the expected tensors and shapes.

    Example:
        >>> check_shapes({"a": torch.zeros(2, 3)}, {"a": (2, 4)}, Path("model_1.pth"))
        Traceback (most recent call last):
        ...
        spdclust.InputError: model_1.pth: a: shape does not match the configuration (found: (2, 3);
        allowed: (2, 4))

    Raises:
        InputError: a shape differs, a tensor is missing, or there is an unexpected tensor.
    """
    for name, shape in expected.items():
        if name in state and tuple(state[name].shape) != shape:
            raise InputError(
                "shape does not match the configuration",
                file=file,
                field=name,
                found=str(tuple(state[name].shape)),
                allowed=str(shape),
            )
    missing = [name for name in expected if name not in state]
    unexpected = [
        name
        for name in state
        if name not in expected and not any(fnmatchcase(name, pattern) for pattern in ignored)
    ]
    if missing:
        raise InputError(
            f"tensor is missing{_and_more(missing)}",
            file=file,
            field=missing[0],
            found=f"instead {unexpected[0]}" if unexpected else None,
            allowed=f"shape {expected[missing[0]]}",
        )
    if unexpected:
        raise InputError(
            f"tensor that the configuration does not have{_and_more(unexpected)}",
            file=file,
            field=unexpected[0],
            found=f"shape {tuple(state[unexpected[0]].shape)}",
        )


def part(state: Mapping[str, torch.Tensor], prefix: str) -> State:
    """Return the tensors under a prefix, without it.

    Example:
        >>> list(part({"a.b": torch.zeros(1), "c.d": torch.zeros(1)}, "a."))
        ['b']
    """
    return {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}


def _and_more(names: list[str]) -> str:
    return f", and {len(names) - 1} more" if len(names) > 1 else ""


def component_weights(path: str | Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return `V` and `U` of every decomposed module.

    Example:
        >>> weights = component_weights("resources/resid_mlp1")
        >>> {module: (v.shape, u.shape) for module, (v, u) in weights.items()}
        {'layers.0.mlp_in': ((400, 100), (100, 50)), 'layers.0.mlp_out': ((50, 100), (100, 400))}

    Returns:
        By module, float64: `V`, `(inputs, components)`, and `U`, `(components, outputs)`.

    Raises:
        InputError: there is no such checkpoint, or it holds no components.
    """
    checkpoint = resolve_checkpoint(path)
    tensors = part(modernised(read_state_dict(checkpoint.weights), checkpoint.weights), COMPONENTS)
    keys = sorted(name.removesuffix(".V") for name in tensors if name.endswith(".V"))
    if not keys or any(f"{key}.U" not in tensors for key in keys):
        raise InputError("no components in this checkpoint", file=checkpoint.weights, field=COMPONENTS)
    return {key.replace("-", "."): _pair(tensors[f"{key}.V"], tensors[f"{key}.U"]) for key in keys}


def _pair(v: torch.Tensor, u: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    return v.numpy().astype(np.float64), u.numpy().astype(np.float64)
