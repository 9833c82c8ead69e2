"""Small language models of the reference implementation.

Llama-style ones have RMS norms, rotary positions and grouped-query attention; GPT-2 has layer norms and
learned positions.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import nn

from spdclust.core.types import Float, Int
from spdclust.models.config import LARGEST
from spdclust.models.targets.base import LanguageModelConfig


class LlamaConfig(LanguageModelConfig):
    """Sizes of both families of Llama-style models, with the reference implementation's defaults."""

    n_intermediate: int = Field(default=3072, ge=1, le=LARGEST)
    mlp_bias: bool = False
    attn_bias: bool = False
    rotary_adjacent_pairs: bool = False
    rotary_dim: int = 64
    """Not used: the whole of each head is rotated."""
    rotary_base: float = Field(default=10000, gt=0)
    n_ctx: int = Field(default=1024, ge=1, le=LARGEST)
    """Positions from this one on share the last rotation."""
    n_key_value_heads: int = Field(default=3, ge=1, le=LARGEST)
    use_grouped_query_attention: bool = True
    flash_attention: bool = True
    """Not used: how attention is computed does not change it."""
    rms_norm_eps: float = 1e-6

    @model_validator(mode="after")
    def _check_heads(self) -> "LlamaConfig":
        if self.n_embd % (2 * self.n_head):
            raise ValueError(f"n_head: found {self.n_head} (allowed: an even part of n_embd, {self.n_embd})")
        if self.use_grouped_query_attention and self.n_head % self.n_key_value_heads:
            raise ValueError(
                f"n_key_value_heads: found {self.n_key_value_heads} (allowed: a divisor of {self.n_head})"
            )
        return self


class LlamaSimpleMLPConfig(LlamaConfig):
    """Sizes of `LlamaSimpleMLP`."""

    model_type: Literal["LlamaSimpleMLP"] = "LlamaSimpleMLP"


class RMSNorm(nn.Module):
    """Divides by the root mean square, then scales.

    Example:
        >>> norm = RMSNorm(2, eps=0.0)
        >>> _ = norm.load_state_dict({"weight": torch.tensor([1.0, 5.0])})
        >>> norm(torch.tensor([3.0, -3.0])).round().tolist()
        [1.0, -5.0]
    """

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.eps = eps

    def forward(self, x: Float[torch.Tensor, "... d"]) -> Float[torch.Tensor, "... d"]:
        """Return the normalised vectors."""
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


class Attention(nn.Module):
    """Causal self-attention with rotary positions; keys and values may be shared by groups of heads."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.d_head = config.n_embd // config.n_head
        bias = config.attn_bias
        if config.use_grouped_query_attention:
            d_shared = config.n_key_value_heads * self.d_head
            self.q_proj = nn.Linear(config.n_embd, config.n_embd, bias=bias)
            self.k_proj = nn.Linear(config.n_embd, d_shared, bias=bias)
            self.v_proj = nn.Linear(config.n_embd, d_shared, bias=bias)
        else:
            self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, bias=bias)
        self.o_proj = nn.Linear(config.n_embd, config.n_embd, bias=bias)

    def forward(self, x: Float[torch.Tensor, "batch seq d"]) -> Float[torch.Tensor, "batch seq d"]:
        """Return what each position gathers from itself and those before it."""
        if self.config.use_grouped_query_attention:
            projected = [self.q_proj(x), self.k_proj(x), self.v_proj(x)]
        else:
            projected = list(self.c_attn(x).chunk(3, dim=-1))
        q, k, v = (each.unflatten(-1, (-1, self.d_head)).transpose(1, 2) for each in projected)
        sin, cos = self._angles(x)
        q, k = self._rotated(q, sin, cos), self._rotated(k, sin, cos)
        n_shared = q.shape[1] // k.shape[1]
        # each shared head of keys and values serves as many query heads, which are consecutive
        k, v = k.repeat_interleave(n_shared, dim=1), v.repeat_interleave(n_shared, dim=1)
        gathered = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: torch.Tensor = self.o_proj(gathered.transpose(1, 2).flatten(2))
        return out

    def _angles(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return sine and cosine of the rotation of every position and dimension, `(seq, d_head)`."""
        half = self.d_head // 2
        frequency = self.config.rotary_base ** (
            torch.arange(half, dtype=torch.float32, device=x.device) / half
        )
        frequency = (
            frequency.repeat_interleave(2) if self.config.rotary_adjacent_pairs else frequency.repeat(2)
        )
        position = torch.arange(x.shape[1], dtype=torch.float32, device=x.device)
        angle = position.clamp(max=self.config.n_ctx - 1)[:, None] / frequency
        return angle.sin(), angle.cos()

    def _rotated(self, x: torch.Tensor, sin: torch.Tensor, cos: torch.Tensor) -> torch.Tensor:
        if self.config.rotary_adjacent_pairs:
            turned = torch.stack([-x[..., 1::2], x[..., ::2]], dim=-1).flatten(-2)
        else:
            first, second = x.chunk(2, dim=-1)
            turned = torch.cat([-second, first], dim=-1)
        return x * cos + turned * sin


class MLP(nn.Module):
    """Two linear maps with the tanh approximation of GELU between them."""

    def __init__(self, width: int, hidden: int, bias: bool) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, hidden, bias=bias)
        self.down_proj = nn.Linear(hidden, width, bias=bias)

    def forward(self, x: Float[torch.Tensor, "... d"]) -> Float[torch.Tensor, "... d"]:
        """Return what the MLP adds."""
        out: torch.Tensor = self.down_proj(F.gelu(self.c_fc(x), approximate="tanh"))
        return out


class Block(nn.Module):
    """Attention, then an MLP, each reading the normalised stream and adding to it."""

    def __init__(self, config: LlamaConfig, mlp: type[nn.Module] = MLP) -> None:
        super().__init__()
        self.rms_1 = RMSNorm(config.n_embd, config.rms_norm_eps)
        self.attn = Attention(config)
        self.rms_2 = RMSNorm(config.n_embd, config.rms_norm_eps)
        self.mlp = mlp(config.n_embd, config.n_intermediate, config.mlp_bias)

    def forward(self, x: Float[torch.Tensor, "batch seq d"]) -> Float[torch.Tensor, "batch seq d"]:
        """Return the stream after this block."""
        x = x + self.attn(self.rms_1(x))
        out: torch.Tensor = x + self.mlp(self.rms_2(x))
        return out


class LlamaSimpleMLP(nn.Module):
    """Language model with the parameter names of the reference implementation."""

    mlp: type[nn.Module] = MLP
    """The MLP of each block."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.h = nn.ModuleList(Block(config, self.mlp) for _ in range(config.n_layer))
        self.ln_f = RMSNorm(config.n_embd, config.rms_norm_eps)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)

    def forward(self, tokens: Int[torch.Tensor, "batch seq"]) -> tuple[torch.Tensor, None]:
        """Return logits, and None where the reference implementation has the loss."""
        x = self.wte(tokens)
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x)), None


class LlamaSimpleConfig(LlamaConfig):
    """Sizes of `LlamaSimple`."""

    model_type: Literal["LlamaSimple"] = "LlamaSimple"
    n_intermediate: int = Field(default=2048, ge=1, le=LARGEST)


class _GatedMLP(nn.Module):
    """Two linear maps side by side, the first through SiLU, multiplied and mapped back."""

    def __init__(self, width: int, hidden: int, bias: bool) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, hidden, bias=bias)
        self.up_proj = nn.Linear(width, hidden, bias=bias)
        self.down_proj = nn.Linear(hidden, width, bias=bias)

    def forward(self, x: Float[torch.Tensor, "... d"]) -> Float[torch.Tensor, "... d"]:
        """Return what the MLP adds."""
        out: torch.Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class LlamaSimple(LlamaSimpleMLP):
    """Language model with the parameter names of the reference implementation."""

    mlp = _GatedMLP


class GPT2SimpleConfig(LanguageModelConfig):
    """Sizes, with the reference implementation's defaults."""

    model_type: Literal["GPT2Simple"] = "GPT2Simple"
    flash_attention: bool = True
    """Not used: how attention is computed does not change it."""

    @model_validator(mode="after")
    def _check_heads(self) -> "GPT2SimpleConfig":
        if self.n_embd % self.n_head:
            raise ValueError(f"n_head: found {self.n_head} (allowed: a divisor of n_embd, {self.n_embd})")
        return self


class _GPT2Attention(nn.Module):
    """Causal self-attention.

    Example:
        >>> attention = _GPT2Attention(GPT2SimpleConfig(n_embd=4, n_head=2))
        >>> x = torch.ones(1, 3, 4)
        >>> changed = torch.cat([x[:, :2], -x[:, 2:]], dim=1)  # at the last position, which no other sees
        >>> torch.allclose(attention(x)[:, :2], attention(changed)[:, :2])
        True
    """

    def __init__(self, config: GPT2SimpleConfig) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.q_proj = nn.Linear(config.n_embd, config.n_embd)
        self.k_proj = nn.Linear(config.n_embd, config.n_embd)
        self.v_proj = nn.Linear(config.n_embd, config.n_embd)
        self.o_proj = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x: Float[torch.Tensor, "batch seq d"]) -> Float[torch.Tensor, "batch seq d"]:
        """Return what each position gathers from itself and those before it."""
        q, k, v = (
            projection(x).unflatten(-1, (self.n_head, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        gathered = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: torch.Tensor = self.o_proj(gathered.transpose(1, 2).flatten(2))
        return out


class _GPT2Block(nn.Module):
    """Attention, then an MLP, each reading the normalised stream and adding to it."""

    def __init__(self, config: GPT2SimpleConfig) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, eps=1e-5)
        self.attn = _GPT2Attention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, eps=1e-5)
        self.mlp = MLP(config.n_embd, 4 * config.n_embd, bias=True)

    def forward(self, x: Float[torch.Tensor, "batch seq d"]) -> Float[torch.Tensor, "batch seq d"]:
        """Return the stream after this block."""
        x = x + self.attn(self.ln_1(x))
        out: torch.Tensor = x + self.mlp(self.ln_2(x))
        return out


class GPT2Simple(nn.Module):
    """Language model with the parameter names of the reference implementation."""

    def __init__(self, config: GPT2SimpleConfig) -> None:
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.block_size, config.n_embd)
        self.h = nn.ModuleList(_GPT2Block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, eps=1e-5)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)

    def forward(self, tokens: Int[torch.Tensor, "batch seq"]) -> tuple[torch.Tensor, None]:
        """Return logits, and None where the reference implementation has the loss."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.wte(tokens) + self.wpe(positions)
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x)), None
