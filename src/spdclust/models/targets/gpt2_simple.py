"""Small GPT-2 with separate query, key and value projections: layer norms, learned positions."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import nn

from spdclust.core.types import Float, Int
from spdclust.models.targets.base import LanguageModelConfig


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


class Attention(nn.Module):
    """Causal self-attention.

    Example:
        >>> attention = Attention(GPT2SimpleConfig(n_embd=4, n_head=2))
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


class MLP(nn.Module):
    """Two linear maps with the tanh approximation of GELU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.down_proj = nn.Linear(4 * width, width)

    def forward(self, x: Float[torch.Tensor, "... d"]) -> Float[torch.Tensor, "... d"]:
        """Return what the MLP adds."""
        out: torch.Tensor = self.down_proj(F.gelu(self.c_fc(x), approximate="tanh"))
        return out


class Block(nn.Module):
    """Attention, then an MLP, each reading the normalised stream and adding to it."""

    def __init__(self, config: GPT2SimpleConfig) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, eps=1e-5)
        self.attn = Attention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, eps=1e-5)
        self.mlp = MLP(config.n_embd)

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
        self.h = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, eps=1e-5)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)

    def forward(self, tokens: Int[torch.Tensor, "batch seq"]) -> tuple[torch.Tensor, None]:
        """Return logits, and None where the reference implementation has the loss."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.wte(tokens) + self.wpe(positions)
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x)), None
