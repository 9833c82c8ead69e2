"""The sigmoids that map the output of a causal-importance function to a causal importance, by name."""

from collections.abc import Callable
from pathlib import Path

import torch

from spdclust.core.errors import InputError
from spdclust.core.types import Float

Sigmoid = Callable[[torch.Tensor], torch.Tensor]


def hard(x: Float[torch.Tensor, "..."]) -> Float[torch.Tensor, "..."]:
    """Clamp to 0 to 1.

    Example:
        >>> hard(torch.tensor([-1.0, 0.25, 3.0])).tolist()
        [0.0, 0.25, 1.0]
    """
    return x.clamp(0, 1)


def upper_leaky_hard(x: Float[torch.Tensor, "..."]) -> Float[torch.Tensor, "..."]:
    """Clamp below 0; continue above 1 with slope 0.01.

    Example:
        >>> upper_leaky_hard(torch.tensor([-1.0, 0.25, 3.0])).tolist()
        [0.0, 0.25, 1.01999...]
    """
    return torch.where(x > 1, 1 + 0.01 * (x - 1), x.clamp(0, 1))


def swish_hard(x: Float[torch.Tensor, "..."]) -> Float[torch.Tensor, "..."]:
    """Difference of two swishes with slope 10, centred on 0 and on 1: a smooth version of `hard`.

    Example:
        >>> swish_hard(torch.tensor([0.5])).tolist()
        [0.5]
    """
    return x * torch.sigmoid(10 * x) - (x - 1) * torch.sigmoid(10 * (x - 1))


SIGMOIDS: dict[str, tuple[Sigmoid, Sigmoid]] = {
    # the leak below 0 exists in gradients only
    "leaky_hard": (hard, upper_leaky_hard),
    "hard": (hard, hard),
    "lower_leaky_hard": (hard, hard),
    "upper_leaky_hard": (upper_leaky_hard, upper_leaky_hard),
    "normal": (torch.sigmoid, torch.sigmoid),
    "swish_hard": (swish_hard, swish_hard),
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
