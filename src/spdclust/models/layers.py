"""Layers of the causal-importance functions, with the parameter names of the checkpoints."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from spdclust.core.types import Float
from spdclust.models.config import AttentionConfig


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


class _ParallelLinear(nn.Module):
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


def mlp(sizes: Sequence[int]) -> nn.Sequential:
    """Return linear layers of these sizes with exact GELUs between them.

    Example:
        >>> [name for name, _ in mlp([4, 8, 2]).named_parameters()]
        ['0.W', '0.b', '2.W', '2.b']
    """
    layers: list[nn.Module] = []
    for d_in, d_out in pairwise(sizes):
        layers += [Linear(d_in, d_out), nn.GELU()]
    return nn.Sequential(*layers[:-1])


def parallel_mlp(n_components: int, sizes: Sequence[int]) -> nn.Sequential:
    """Return, for each component, linear layers of these sizes with exact GELUs between them.

    Example:
        >>> tuple(parallel_mlp(5, [1, 8, 1])[0].W.shape)
        (5, 1, 8)
    """
    layers: list[nn.Module] = []
    for d_in, d_out in pairwise(sizes):
        layers += [_ParallelLinear(n_components, d_in, d_out), nn.GELU()]
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


def rms_normalised(x: Float[torch.Tensor, "... d"]) -> Float[torch.Tensor, "... d"]:
    """Return vectors divided by their root mean square, without weights.

    Example:
        >>> rms_normalised(torch.tensor([3.0, -3.0])).tolist()
        [1.0, -1.0]
    """
    return F.rms_norm(x, (x.shape[-1],))
