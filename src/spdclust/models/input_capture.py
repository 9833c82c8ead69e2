"""Run a target model up to the last of some chosen modules, and capture their inputs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spdclust.core.errors import InputError


class InputCapture:
    """Capture the inputs of chosen modules; determine their order of execution on a small example.

    The forward pass is aborted after the last of them, so that a language model never computes its logits.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> capture = InputCapture(model, ["2", "0"], torch.zeros(1, 2))
        >>> capture.order, capture(torch.zeros(5, 2))["2"].shape
        (['0', '2'], torch.Size([5, 3]))

    Args:
        model: the target model.
        names: paths of the modules.
        example: a minimal input of the model.
        file: the configuration's file, for messages.

    Raises:
        InputError: a module is not run by the model's forward pass.
    """

    def __init__(
        self, model: nn.Module, names: Sequence[str], example: torch.Tensor, file: Path | None = None
    ) -> None:
        self._model = model
        self._names = list(names)
        calls: list[str] = []
        with self._hooked(lambda name, _: calls.append(name)), torch.no_grad():
            model(example)
        self.order = list(dict.fromkeys(calls))
        self._n_calls = len(calls)
        for name in names:
            if name not in self.order:
                raise InputError(
                    "module is never run by the model", file=file, field="module_info", found=name
                )

    def __call__(self, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the input of each module for the model input `inputs`."""
        caught: dict[str, torch.Tensor] = {}
        n_calls = 0

        def keep(name: str, x: torch.Tensor) -> None:
            nonlocal n_calls
            caught[name] = x
            n_calls += 1
            if n_calls == self._n_calls:
                raise _AllCaughtError

        with self._hooked(keep), suppress(_AllCaughtError):
            self._model(inputs)
        return caught

    @contextmanager
    def _hooked(self, catch: Callable[[str, torch.Tensor], None]) -> Iterator[None]:
        def hook(name: str, _module: nn.Module, args: tuple[Any, ...], _output: Any) -> None:
            catch(name, args[0])

        handles = [
            self._model.get_submodule(name).register_forward_hook(partial(hook, name)) for name in self._names
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


class _AllCaughtError(Exception):
    """Abort a forward pass when all inputs are captured."""
