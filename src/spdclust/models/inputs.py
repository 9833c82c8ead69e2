"""Check the inputs of a model, and capture those of its decomposed modules while it runs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spdclust.core.errors import InputError
from spdclust.models.config import InductionTask, LanguageTask, Task, ToyTask


def checked_inputs(inputs: Any, task: Task, max_length: int | None = None) -> torch.Tensor:
    """Return inputs as a tensor of the type required by the model.

    Example:
        >>> task = ToyTask(name="tms", n_features=5, feature_probability=0.1)
        >>> checked_inputs([[0, 0, 0, 0, 1]], task).dtype
        torch.float32
        >>> checked_inputs([[0, 1]], task)
        Traceback (most recent call last):
        ...
        spdclust.InputError: inputs: shape does not match the model (found: (1, 2);
        allowed: (samples, 5))

    Raises:
        InputError: wrong shape or type, a token outside the vocabulary, or a sequence that is too long.
    """
    tensor = torch.as_tensor(inputs)
    if isinstance(task, ToyTask):
        return _vectors(tensor, task)
    return _tokens(tensor, task, max_length)


def _vectors(tensor: torch.Tensor, task: ToyTask) -> torch.Tensor:
    if tensor.ndim != 2 or tensor.shape[1] != task.n_features:
        raise InputError(
            "shape does not match the model",
            field="inputs",
            found=str(tuple(tensor.shape)),
            allowed=f"(samples, {task.n_features})",
        )
    return tensor.to(torch.float32)


def _tokens(tensor: torch.Tensor, task: LanguageTask | InductionTask, max_length: int | None) -> torch.Tensor:
    if tensor.ndim != 2 or tensor.shape[1] == 0:
        raise InputError(
            "shape does not match the model",
            field="inputs",
            found=str(tuple(tensor.shape)),
            allowed="(sequences, positions)",
        )
    if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
        raise InputError(
            "a language model takes token numbers",
            field="inputs",
            found=str(tensor.dtype),
            allowed="integers",
        )
    if max_length is not None and tensor.shape[1] > max_length:
        raise InputError(
            "sequences are too long for the model",
            field="inputs",
            found=f"{tensor.shape[1]} positions",
            allowed=f"at most {max_length}",
        )
    tensor = tensor.long()
    if tensor.numel():
        low, high = int(tensor.min()), int(tensor.max())
        if low < 0 or high >= task.vocab_size:
            raise InputError(
                "token that the model does not know: the tokenizer is another model's",
                field="inputs",
                found=low if low < 0 else high,
                allowed=f"0 to {task.vocab_size - 1}",
            )
    return tensor


class InputCapture:
    """Capture the inputs of chosen modules; determine their order of execution on a small example.

    The forward pass is aborted after the last of them, so that a language model never computes its logits.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> capture = InputCapture(model, ["2", "0"], torch.zeros(1, 2))
        >>> capture.order, capture(torch.zeros(5, 2))["2"].shape
        (['0', '2'], torch.Size([5, 3]))

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
