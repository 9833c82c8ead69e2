"""Causal-importance functions from the inputs of all modules to all components at once."""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import nn

from spdclust.core.errors import InputError
from spdclust.core.types import Float
from spdclust.models.checkpoint import GLOBAL
from spdclust.models.config import AttentionConfig, CausalImportanceConfig
from spdclust.models.modules import DecomposedModule

T = TypeVar("T")
Modules = Sequence[DecomposedModule]
Activations = dict[str, torch.Tensor]


def _width(module: DecomposedModule) -> int:
    """Length of a module's input to a global function: for embeddings, the component activations."""
    return module.n_components if module.kind == "embedding" else module.d_in


def _by_name(modules: Modules) -> list[DecomposedModule]:
    return sorted(modules, key=lambda module: module.name)


def _split(out: torch.Tensor, modules: Modules) -> Activations:
    parts = torch.split(out, [module.n_components for module in modules], dim=-1)
    return {module.name: each for module, each in zip(modules, parts, strict=True)}


class SharedMLP(nn.Module):
    """One network from all inputs, concatenated in the order of module names, to all components."""

    prefix = GLOBAL
    reads_components = False
    mixes_positions = False
    max_length: int | None = None

    def __init__(self, modules: Modules, config: CausalImportanceConfig, file: Path | None = None) -> None:
        super().__init__()
        hidden_dims = _needed(config, "hidden_dims", config.hidden_dims, file)
        self._modules_in_order = _by_name(modules)
        d_in = sum(_width(module) for module in modules)
        self.layers = mlp([d_in, *hidden_dims, sum(module.n_components for module in modules)])

    def forward(self, inputs: Activations) -> Activations:
        """Map all modules' inputs to one number per component, modules sorted by name."""
        together = torch.cat([inputs[module.name] for module in self._modules_in_order], dim=-1)
        return _split(self.layers(together), self._modules_in_order)


class _TransformerBlock(nn.Module):
    """Attention, then an MLP, each applied to the normalised stream and added to it."""

    def __init__(self, d_model: int, hidden_dims: Sequence[int], attention: AttentionConfig) -> None:
        super().__init__()
        self.attn = SelfAttention(d_model, attention)
        self.mlp = mlp([d_model, *hidden_dims, d_model])

    def forward(self, x: Float[torch.Tensor, "... seq d_model"]) -> Float[torch.Tensor, "... seq d_model"]:
        """Return the stream after this block."""
        x = x + self.attn(_rms_normalised(x))
        out: torch.Tensor = x + self.mlp(_rms_normalised(x))
        return out


class SharedTransformer(nn.Module):
    """A small transformer over the positions of a sequence, from all inputs to all components."""

    prefix = GLOBAL
    reads_components = False
    mixes_positions = True

    def __init__(self, modules: Modules, config: CausalImportanceConfig, file: Path | None = None) -> None:
        super().__init__()
        sizes = _needed(config, "simple_transformer_ci_cfg", config.simple_transformer_ci_cfg, file)
        _check_heads(sizes.d_model, sizes.attn_config, "simple_transformer_ci_cfg.attn_config", file)
        hidden_dims = [4 * sizes.d_model] if sizes.mlp_hidden_dim is None else sizes.mlp_hidden_dim
        self.max_length: int | None = sizes.attn_config.max_len
        self._modules_in_order = _by_name(modules)
        self._input_projector = Linear(sum(_width(module) for module in modules), sizes.d_model)
        self._blocks = nn.ModuleList(
            _TransformerBlock(sizes.d_model, hidden_dims, sizes.attn_config) for _ in range(sizes.n_blocks)
        )
        self._output_head = Linear(sizes.d_model, sum(module.n_components for module in modules))

    def forward(self, inputs: Activations) -> Activations:
        """Map all modules' inputs to one number per component, modules sorted by name."""
        normalised = [_rms_normalised(inputs[module.name]) for module in self._modules_in_order]
        x: torch.Tensor = self._input_projector(torch.cat(normalised, dim=-1))
        # toy models have no sequences: each sample is a sequence of length one
        has_sequence = x.ndim > 2
        x = x if has_sequence else x.unsqueeze(-2)
        for block in self._blocks:
            x = block(x)
        out: torch.Tensor = self._output_head(x)
        return _split(out if has_sequence else out.squeeze(-2), self._modules_in_order)


class ReverseResidual(nn.Module):
    """A residual stream that reads one block of modules after the other, in the configured order.

    After each block but the last the stream passes that block's transition (attention if configured, then an
    MLP or a linear map); then the block's reader gives the numbers of its components.

    Attributes:
        attends: whether there is attention. For inputs without sequences it is over the samples of a batch,
            as in the reference implementation.
    """

    prefix = GLOBAL
    reads_components = False

    def __init__(self, modules: Modules, config: CausalImportanceConfig, file: Path | None = None) -> None:
        super().__init__()
        width = _needed(config, "d_resid_ci_fn", config.d_resid_ci_fn, file)
        reader_dims = _needed(config, "reader_hidden_dims", config.reader_hidden_dims, file)
        attention = config.transition_attn_config
        hidden = config.transition_hidden_dim
        self.max_length: int | None = None
        if attention is not None:
            _check_heads(width, attention, "transition_attn_config", file)
            self.max_length = attention.max_len
        self.attends = self.mixes_positions = attention is not None
        self._groups = _block_groups(modules, config, file)
        self._inp_projectors, self._readers, self._reader_norms = (nn.ModuleDict() for _ in range(3))
        self._transitions, self._transition_norms = nn.ModuleDict(), nn.ModuleDict()
        self._attn_transitions, self._attn_norms = nn.ModuleDict(), nn.ModuleDict()
        for block, members in self._groups.items():
            self._inp_projectors[block] = Linear(sum(_width(module) for module in members), width)
            self._readers[block] = mlp([width, *reader_dims, sum(each.n_components for each in members)])
            self._reader_norms[block] = nn.RMSNorm(width)
            if block == list(self._groups)[-1]:
                break
            self._transitions[block] = Linear(width, width) if hidden is None else mlp([width, hidden, width])
            self._transition_norms[block] = nn.RMSNorm(width)
            if attention is not None:
                self._attn_transitions[block] = SelfAttention(width, attention)
                self._attn_norms[block] = nn.RMSNorm(width)

    def forward(self, inputs: Activations) -> Activations:
        """Map all modules' inputs to one number per component, modules in the order of the blocks."""
        residual: torch.Tensor | float = 0.0
        out: Activations = {}
        for block, members in self._groups.items():
            together = torch.cat([inputs[module.name] for module in members], dim=-1)
            residual = residual + self._inp_projectors[block](together)
            if block in self._attn_transitions:
                residual = residual + self._attn_transitions[block](self._attn_norms[block](residual))
            if block in self._transitions:
                residual = residual + self._transitions[block](self._transition_norms[block](residual))
            out |= _split(self._readers[block](self._reader_norms[block](residual)), members)
        return out


def _block_groups(
    modules: Modules, config: CausalImportanceConfig, file: Path | None
) -> dict[str, list[DecomposedModule]]:
    """Return the modules of each block, by the block's name in state-dict keys."""
    groups: dict[str, list[DecomposedModule]] = {}
    group_of: dict[str, str] = {}
    for group in _needed(config, "block_groups", config.block_groups, file):
        members: list[DecomposedModule] = []
        for pattern in group.patterns:
            matching = [module for module in modules if fnmatchcase(module.name, pattern)]
            if not matching:
                raise InputError(
                    "pattern matches no decomposed module",
                    file=file,
                    field="ci_config.block_groups",
                    found=pattern,
                    allowed=", ".join(module.name for module in modules),
                )
            for module in matching:
                if module.name in group_of:
                    raise InputError(
                        "module matched twice",
                        file=file,
                        field="ci_config.block_groups",
                        found=f"{module.name} in {group_of[module.name]} and {group.name}",
                        allowed="one block per module",
                    )
                group_of[module.name] = group.name
            members += matching
        groups[group.name.replace(".", "-")] = members
    left_out = [module.name for module in modules if module.name not in group_of]
    if left_out:
        raise InputError(
            "module is in no block", file=file, field="ci_config.block_groups", found=left_out[0]
        )
    return groups


def _needed(config: CausalImportanceConfig, key: str, value: T | None, file: Path | None) -> T:
    if value is None:
        raise InputError(
            "key is missing", file=file, field=f"ci_config.{key}", allowed=f"as {config.fn_type} needs"
        )
    return value


def _check_heads(d_model: int, attention: AttentionConfig, field: str, file: Path | None) -> None:
    if d_model % (2 * attention.n_heads):
        raise InputError(
            "heads do not fit the width",
            file=file,
            field=f"ci_config.{field}.n_heads",
            found=attention.n_heads,
            allowed=f"an even number of the {d_model} per head",
        )


class Linear(nn.Module):
    """Affine map with the weight stored input first: `x @ W + b`.

    Example:
        >>> layer = Linear(2, 1)
        >>> _ = layer.load_state_dict({"W": torch.tensor([[1.0], [10.0]]), "b": torch.tensor([0.5])})
        >>> layer(torch.tensor([2.0, 3.0])).tolist()
        [32.5]
    """

    def __init__(self, d_in: int, d_out: int) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.empty(d_in, d_out))
        self.b = nn.Parameter(torch.empty(d_out))

    def forward(self, x: Float[torch.Tensor, "... d_in"]) -> Float[torch.Tensor, "... d_out"]:
        """Return `x @ W + b`."""
        return x @ self.W + self.b


class ParallelLinear(nn.Module):
    """One affine map for each component, side by side."""

    def __init__(self, n_components: int, d_in: int, d_out: int) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.empty(n_components, d_in, d_out))
        self.b = nn.Parameter(torch.empty(n_components, d_out))

    def forward(
        self, x: Float[torch.Tensor, "... #components d_in"]
    ) -> Float[torch.Tensor, "... components d_out"]:
        """Apply every component's map to its own row of `x`, or to the only row."""
        return torch.einsum("...ci,cio->...co", x, self.W) + self.b


def mlp(sizes: Sequence[int], layer: Callable[[int, int], nn.Module] = Linear) -> nn.Sequential:
    """Return layers of these sizes with exact GELUs between them.

    Example:
        >>> [name for name, _ in mlp([4, 8, 2]).named_parameters()]
        ['0.W', '0.b', '2.W', '2.b']
    """
    layers: list[nn.Module] = []
    for d_in, d_out in pairwise(sizes):
        layers += [layer(d_in, d_out), nn.GELU()]
    return nn.Sequential(*layers[:-1])


class _RotaryFrequencies(nn.Module):
    """Holds the frequencies of rotary positions, which checkpoints store."""

    def __init__(self, d_head: int) -> None:
        super().__init__()
        self.register_buffer("inv_freq", torch.empty(d_head // 2))

    def forward(self, x: Float[torch.Tensor, "... seq d_head"]) -> Float[torch.Tensor, "... seq d_head"]:
        """Rotate every position's vector by angles that increase with the position."""
        inv_freq: torch.Tensor = self.get_buffer("inv_freq")
        positions = torch.arange(x.shape[-2], device=x.device, dtype=inv_freq.dtype)
        angles = torch.outer(positions, inv_freq).repeat(1, 2)
        first, second = x.chunk(2, dim=-1)
        return x * angles.cos() + torch.cat([-second, first], dim=-1) * angles.sin()


class SelfAttention(nn.Module):
    """Attention of every position to every other, in both directions, with rotary positions."""

    def __init__(self, d_model: int, config: AttentionConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=False)
        self.k_proj = nn.Linear(d_model, d_model, bias=False)
        self.v_proj = nn.Linear(d_model, d_model, bias=False)
        self.out_proj = nn.Linear(d_model, d_model, bias=False)
        self.rope = _RotaryFrequencies(d_model // config.n_heads)

    def forward(self, x: Float[torch.Tensor, "... seq d_model"]) -> Float[torch.Tensor, "... seq d_model"]:
        """Return the attention output of each position."""
        q, k, v = (
            projection(x).unflatten(-1, (self.n_heads, -1)).transpose(-3, -2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        gathered = F.scaled_dot_product_attention(self.rope(q), self.rope(k), v)
        out: torch.Tensor = self.out_proj(gathered.transpose(-3, -2).flatten(-2))
        return out


def _rms_normalised(x: Float[torch.Tensor, "... d"]) -> Float[torch.Tensor, "... d"]:
    """Return vectors divided by their root mean square, without weights."""
    return F.rms_norm(x, (x.shape[-1],))
