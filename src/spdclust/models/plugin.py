"""Models loaded by a user-supplied function: see docs/loaders.md."""

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spdclust.config.load import validate
from spdclust.core.errors import InputError
from spdclust.core.types import Int, Labels
from spdclust.models.config import InductionTask, LanguageTask, Task, ToyTask
from spdclust.models.loader_names import function_of, model_files
from spdclust.models.sparse_rows import RowCollector

_ALLOWED = "docs/loaders.md describes what a loaded model needs"


class PluginModel:
    """A model loaded by a user-supplied function, checked and in the form used for sampling batches.

    `name` is that in messages; `digest` is used if the model has none.

    Raises:
        InputError: the model lacks labels or `component_activations`, or describes its inputs wrongly.
    """

    def __init__(self, model: Any, name: str, digest: str) -> None:
        for needed in ("labels", "component_activations"):
            if not hasattr(model, needed):
                raise InputError("model lacks an attribute", file=name, field=needed, allowed=_ALLOWED)
        self.labels: Labels = [str(label) for label in model.labels]
        self.digest = str(getattr(model, "digest", "")) or digest
        self.task: Task | None = _task(getattr(model, "task", None), name)
        self.draw_inputs: Callable[[int, int], Any] | None = getattr(model, "draw_inputs", None)
        if self.task is None and self.draw_inputs is None:
            raise InputError(
                "model does not define its inputs",
                file=name,
                field="task",
                allowed=f"task or draw_inputs; {_ALLOWED}",
            )
        self._model = model
        self._name = name
        self._knows_kinds = "causal_importance" in inspect.signature(model.component_activations).parameters

    def collect_rows(
        self,
        rows: RowCollector,
        inputs: Any,
        causal_importance: str = "lower_leaky",
        positions: Int[np.ndarray, "rows chosen"] | None = None,
    ) -> None:
        """Add the activations of all components at the chosen positions to a collector.

        Raises:
            InputError: the activations do not match the labels, or one is NaN or infinite.
        """
        kind = {"causal_importance": causal_importance} if self._knows_kinds else {}
        with torch.no_grad():
            given = self._model.component_activations(torch.as_tensor(inputs), **kind)
        by_module = given if isinstance(given, Mapping) else {"": given}
        tensors = {str(module): torch.as_tensor(each).float() for module, each in by_module.items()}
        self._check_columns(tensors, named=isinstance(given, Mapping))
        if positions is not None:
            at = torch.arange(len(positions))[:, None]
            tensors = {module: each[at, torch.as_tensor(positions)] for module, each in tensors.items()}
        rows.add(tensors, self._name)

    def _check_columns(self, tensors: Mapping[str, torch.Tensor], named: bool) -> None:
        found = [f"{module}:{i}" for module, each in tensors.items() for i in range(each.shape[-1])]
        if len(found) != len(self.labels):
            raise self._unfit(f"{len(found)} columns", f"{len(self.labels)} columns, as there are labels")
        for column, label in zip(found, self.labels, strict=True):
            if named and column != label:
                raise self._unfit(column, label)

    def _unfit(self, found: str, allowed: str) -> InputError:
        return InputError(
            "component_activations does not match the labels",
            file=self._name,
            field="labels",
            found=found,
            allowed=allowed,
        )


def load_plugin(loader: str, path: str | None, device: str) -> PluginModel:
    """Load a model with a user-supplied function, called with the path and the device.

    Example:
        >>> # a function of spdclust, which has the signature that your function needs
        >>> model = load_plugin("spdclust.models:load_model", "resources/resid_mlp1", "cpu")
        >>> model.labels[:2], model.task.name
        (['layers.0.mlp_in:0', 'layers.0.mlp_in:1'], 'resid_mlp')
        >>> rows = RowCollector(len(model.labels))
        >>> model.collect_rows(rows, torch.zeros(3, 100))
        >>> rows.matrix().shape
        (3, 200)

    Raises:
        InputError: there is no such function, it fails, or its return value is not a valid model.
    """
    name = function_of(loader)
    module_name, _, function_name = name.partition(":")
    function = _imported(loader, module_name, function_name)
    try:
        model = function(path, device)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            "loader failed",
            field="loader",
            found=f"{type(error).__name__}: {error}",
            allowed=f"{name}(path, device) that returns a model; --debug shows where",
        ) from error
    return PluginModel(model, loader, _digest(loader, path))


def _imported(loader: str, module_name: str, function_name: str) -> Callable[..., Any]:
    # like `python -m`, so that a module in the working folder is also found in jobs
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        function = getattr(importlib.import_module(module_name), function_name, None)
    except ImportError as error:
        raise InputError(
            "cannot be imported",
            field="loader",
            found=f"{loader}: {error}",
            allowed="package.module:function",
        ) from error
    if not callable(function):
        raise InputError("no such function", field="loader", found=loader, allowed="package.module:function")
    found: Callable[..., Any] = function
    return found


def _task(given: Any, name: str) -> Task | None:
    if given is None or isinstance(given, ToyTask | LanguageTask | InductionTask):
        return given
    if not isinstance(given, Mapping) or "name" not in given:
        raise InputError("not a task", file=name, field="task", found=type(given).__name__, allowed=_ALLOWED)
    settings = {"folder": Path()} | dict(given)
    if settings["name"] == "lm":
        return validate(LanguageTask, settings, file=f"{name}: task")
    if settings["name"] == "induction_head":
        return validate(InductionTask, settings, file=f"{name}: task")
    return validate(ToyTask, settings, file=f"{name}: task")


def _digest(loader: str, path: str | None) -> str:
    """Return a digest of the files at `path`, or of the path itself if there are none."""
    digest = hashlib.sha256(f"{loader}".encode())
    files = model_files(loader, path)
    if not files:
        digest.update(str(path).encode())
    for file in files:
        digest.update(hashlib.sha256(Path(file).read_bytes()).digest())
    return digest.hexdigest()
