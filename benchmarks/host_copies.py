"""Count what a computation copies from a device to the host, by every operation that PyTorch dispatches."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class HostCopies(TorchDispatchMode):
    """Bytes and copies from a device to the host inside a `with` block; one number each for scalars.

    Example:
        with HostCopies() as copies:
            model.collect_rows(rows, tokens)
        copies.n_bytes
    """

    def __init__(self) -> None:
        super().__init__()
        self.n_bytes = 0
        self.n_copies = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        sources = [each for each in args if isinstance(each, torch.Tensor)]
        if any(each.device.type != "cpu" for each in sources):
            if isinstance(result, torch.Tensor) and result.device.type == "cpu":
                self.n_bytes += result.numel() * result.element_size()
                self.n_copies += 1
            elif isinstance(result, bool | int | float):
                self.n_bytes += 8
                self.n_copies += 1
        return result
