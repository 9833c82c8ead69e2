"""Small Llama-style language model with a gated MLP: otherwise as `llama_simple_mlp`."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from spdclust.core.types import Float
from spdclust.models.checkpoint import Checkpoint
from spdclust.models.config import LARGEST
from spdclust.models.targets.base import Target, build_pretrained
from spdclust.models.targets.llama_simple_mlp import LlamaConfig, LlamaSimpleMLP


class LlamaSimpleConfig(LlamaConfig):
    """Sizes of `LlamaSimple`."""

    model_type: Literal["LlamaSimple"] = "LlamaSimple"
    n_intermediate: int = Field(default=2048, ge=1, le=LARGEST)


class GatedMLP(nn.Module):
    """Two linear maps side by side, the first through SiLU, multiplied and mapped back.

    Example:
        >>> mlp = GatedMLP(1, 1, bias=False)
        >>> names = ("gate_proj", "up_proj", "down_proj")
        >>> _ = mlp.load_state_dict({f"{name}.weight": torch.ones(1, 1) for name in names})
        >>> mlp(torch.tensor([2.0])).item(), 2 / (1 + 2.718281828**-2) * 2
        (3.523..., 3.523...)
    """

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
    """Language model with the parameter names of the reference implementation.

    Example:
        >>> sizes = {"vocab_size": 50, "n_layer": 1, "n_embd": 8, "n_head": 2, "n_key_value_heads": 1}
        >>> logits, _ = LlamaSimple(LlamaSimpleConfig(**sizes))(torch.tensor([[7, 9, 7]]))
        >>> logits.shape
        torch.Size([1, 3, 50])
    """

    mlp = GatedMLP


def build(checkpoint: Checkpoint) -> Target:
    """Return an empty model of the sizes in `model_config.yaml`.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = Path(folder) / "final_config.yaml"
        ...     _ = run.write_text(
        ...         "{pretrained_model_class: LlamaSimple, module_info: [{module_pattern: h.*.mlp.*, C: 2}],"
        ...         " ci_config: {fn_type: mlp}, task_config: {}}"
        ...     )
        ...     sizes = "{n_layer: 1, n_embd: 8, n_head: 2, n_key_value_heads: 1, n_intermediate: 5}"
        ...     _ = run.with_name("model_config.yaml").write_text(sizes)
        ...     target = build(Checkpoint(run.with_name("model_1.pth"), run, "tiny"))
        >>> tuple(target.module.h[0].mlp.gate_proj.weight.shape), target.max_length
        ((5, 8), 1024)

    Raises:
        InputError: that file is missing, or does not fit.
    """
    return build_pretrained(checkpoint, LlamaSimpleConfig, LlamaSimple)
