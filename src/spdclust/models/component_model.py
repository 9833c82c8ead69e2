"""A decomposed model: loaded from its files, its components' causal importances on given inputs."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from spdclust.config.run import DEVICES
from spdclust.core.errors import InputError
from spdclust.core.safe_reading import as_input_error
from spdclust.core.types import Float, Int, Labels
from spdclust.models.causal_importance import Sigmoid, build_causal_importance, find_sigmoids
from spdclust.models.checkpoint import COMPONENTS, TARGET, Checkpoint, read_state_dict, resolve_checkpoint
from spdclust.models.config import Task, ToyTask
from spdclust.models.inputs import InputCapture, checked_inputs
from spdclust.models.modules import (
    DecomposedModule,
    State,
    check_floating,
    check_shapes,
    component_shapes,
    find_modules,
    modernised,
    module_shapes,
    part,
)
from spdclust.models.sparse_rows import RowCollector, checked_dense
from spdclust.models.targets import build_target
from spdclust.models.targets.base import Target

logger = logging.getLogger(__name__)

_DENSE_BYTES = {"cpu": 1 << 26, "cuda": 1 << 30}
"""Dense data of one forward pass, by device: on a CPU little, since memory that is used again needs no new
pages; on a GPU enough to keep it busy."""

_OTHER_DENSE_BYTES = 1 << 28


class ComponentModel:
    """A decomposed model that computes the causal importance of each component on given inputs.

    Created by `load_model`.

    Example:
        >>> from spdclust.models import load_model
        >>> model = load_model("resources/resid_mlp1", device="cpu")
        >>> model.module_names, model.n_components, model.labels[0]
        (['layers.0.mlp_in', 'layers.0.mlp_out'], 200, 'layers.0.mlp_in:0')
        >>> model.component_activations(torch.eye(100)[:3])["layers.0.mlp_out"].shape
        torch.Size([3, 100])

    Attributes:
        task: the model's training task, from which more inputs can be generated.
        source: name of the checkpoint, without absolute paths.
        digest: SHA-256 of the checkpoint and its configuration, in hexadecimal.
        device: device of the model.
        components_per_module: number of components by module, in the order of the labels.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        target: Target,
        modules: list[DecomposedModule],
        causal_importance: nn.Module,
        sigmoids: Mapping[str, Sigmoid],
        readers: Mapping[str, torch.Tensor],
        device: torch.device,
    ) -> None:
        """Assemble a model from parts whose tensors are loaded and on `device`.

        `causal_importance` maps module inputs to one number per component, the sigmoids map this number to a
        causal importance. `readers` are `V` of the modules whose component activations are input to it.
        """
        self.task: Task = target.task
        self.source = checkpoint.source
        self.digest = checkpoint.digest
        self.device = device
        self._target = target
        self._function = causal_importance
        self._sigmoids = sigmoids
        self._readers = readers
        self._config_file = checkpoint.config_file
        self._output = checkpoint.config.pretrained_model_output_attr
        # size of the modules' inputs and outputs for one position
        self._floats_in = sum(module.d_in if module.kind == "matrix" else 1 for module in modules)
        self._floats_out = 3 * sum(module.n_components for module in modules) + int(
            getattr(causal_importance, "width", 0)
        )
        self._max_length = _smallest(target.max_length, getattr(causal_importance, "max_length", None))
        # run once: the order of calls is the order of labels, and a module that is never called is found now
        example = target.smallest_input().to(device)
        self._capture = InputCapture(
            target.module, [module.name for module in modules], example, self._config_file
        )
        order = self._capture.order
        if checkpoint.config.label_order == "sorted":
            order = list(self._importances(example, "lower_leaky"))
        sizes = {module.name: module.n_components for module in modules}
        self.components_per_module = {name: sizes[name] for name in order}

    @property
    def module_names(self) -> list[str]:
        """Decomposed modules, in the order of the labels."""
        return list(self.components_per_module)

    @property
    def n_components(self) -> int:
        """Number of components of all modules."""
        return sum(self.components_per_module.values())

    @property
    def labels(self) -> Labels:
        """`"<module>:<index>"` for every component."""
        return [f"{name}:{i}" for name, count in self.components_per_module.items() for i in range(count)]

    def component_activations(
        self, inputs: Any, causal_importance: str = "lower_leaky"
    ) -> dict[str, torch.Tensor]:
        """Return the causal importance of every component on every sample, by module in label order.

        Example:
            >>> from spdclust.models import load_model
            >>> model = load_model("resources/resid_mlp1", device="cpu")
            >>> list(model.component_activations(torch.zeros(1, 100), "upper_leaky"))
            ['layers.0.mlp_in', 'layers.0.mlp_out']

        Args:
            inputs: `(samples, features)` vectors, or `(sequences, positions)` token ids; array or tensor.
            causal_importance: `lower_leaky` is 0 to 1; `upper_leaky` continues above 1 with slope 0.01.

        Returns:
            `(…, components)` tensors without gradients, on the model's device.

        Raises:
            InputError: the inputs do not match the model, or the kind of causal importance is unknown.
        """
        self._check_kind(causal_importance)
        rows = checked_inputs(inputs, self.task, self._max_length).to(self.device)
        importances = self._importances(rows, causal_importance)
        return {name: importances[name] for name in self.components_per_module}

    def activation_chunks(
        self, inputs: Any, batch_size: int, causal_importance: str = "lower_leaky"
    ) -> Iterator[Float[np.ndarray, "samples components"]]:
        """Yield causal importances of all components in label order, one forward pass at a time.

        Positions of a sequence become samples, in row-major order. No dense data are kept between chunks.

        Example:
            >>> from spdclust.models import load_model
            >>> model = load_model("resources/resid_mlp1", device="cpu")
            >>> [chunk.shape for chunk in model.activation_chunks(torch.zeros(5, 100), batch_size=2)]
            [(2, 200), (2, 200), (1, 200)]

        Returns:
            float32 arrays.

        Raises:
            InputError: the inputs do not fit the model, or an importance is NaN or infinite.
        """
        if batch_size < 1:
            raise InputError("too small", field="batch_size", found=batch_size, allowed="1 or more")
        rows = checked_inputs(inputs, self.task, self._max_length)
        for start in range(0, len(rows), batch_size):
            importances = self.component_activations(rows[start : start + batch_size], causal_importance)
            yield checked_dense(importances, self.source).cpu().numpy()

    def collect_rows(
        self,
        rows: RowCollector,
        inputs: Any,
        causal_importance: str = "lower_leaky",
        positions: Int[np.ndarray, "rows chosen"] | None = None,
    ) -> None:
        """Add the causal importances of all components in label order to a collector, one row per sample.

        The samples are the chosen positions of each row of inputs, in row-major order. At most about 64 MB
        are dense at a time, 1 GB on a GPU, whatever the number of rows. Functions of single positions are
        computed only for the chosen positions.

        Example:
            >>> from spdclust.models import load_model
            >>> model = load_model("resources/resid_mlp1", device="cpu")
            >>> rows = RowCollector(model.n_components, threshold=0.1)
            >>> model.collect_rows(rows, torch.eye(100)[:3])
            >>> rows.n_rows, rows.values
            (3, None)

        Raises:
            InputError: the inputs do not fit the model, or an importance is NaN or infinite.
        """
        for importances in self.importance_pieces(inputs, causal_importance, positions):
            rows.add(importances, self.source)

    def importance_pieces(
        self,
        inputs: Any,
        causal_importance: str = "lower_leaky",
        positions: Int[np.ndarray, "rows chosen"] | None = None,
    ) -> Iterator[dict[str, torch.Tensor]]:
        """Yield the dense causal importances of some inputs at a time, by module in label order.

        Example:
            >>> from spdclust.models import load_model
            >>> model = load_model("resources/resid_mlp1", device="cpu")
            >>> [tuple(x.shape) for x in next(model.importance_pieces(torch.eye(100)[:3])).values()]
            [(3, 100), (3, 100)]

        Raises:
            InputError: the inputs do not fit the model.
        """
        self._check_kind(causal_importance)
        rows = checked_inputs(inputs, self.task, self._max_length)
        at_once = self._rows_at_once(rows, positions) if len(rows) else 1
        for start in range(0, len(rows), at_once):
            piece = slice(start, start + at_once)
            chosen = None if positions is None else torch.as_tensor(positions[piece], device=self.device)
            importances = self._importances(rows[piece].to(self.device), causal_importance, chosen)
            yield {name: importances[name] for name in self.components_per_module}

    def _rows_at_once(self, rows: torch.Tensor, positions: np.ndarray | None) -> int:
        """Return the number of rows of inputs for which the dense data stay below the limit."""
        most = _DENSE_BYTES.get(self.device.type, _OTHER_DENSE_BYTES)
        if isinstance(self.task, ToyTask):
            # with attention over the samples, a smaller pass would give different results
            whole = getattr(self._function, "attends", False)
            return len(rows) if whole else max(1, most // (4 * (self._floats_in + self._floats_out)))
        length = rows.shape[1]
        n_chosen = length if positions is None or self._mixes_positions else positions.shape[1]
        return max(1, most // (4 * (length * self._floats_in + n_chosen * self._floats_out)))

    @property
    def _mixes_positions(self) -> bool:
        return bool(getattr(self._function, "mixes_positions", True))

    def target_output(self, inputs: Any) -> torch.Tensor:
        """Return the target model's output (logits, for language models), without gradients.

        Example:
            >>> from spdclust.models import load_model
            >>> load_model("resources/resid_mlp1", device="cpu").target_output(torch.zeros(2, 100)).shape
            torch.Size([2, 100])

        Raises:
            InputError: the inputs do not match the model, or the configured output does not exist.
        """
        rows = checked_inputs(inputs, self.task, self._target.max_length).to(self.device)
        with torch.no_grad():
            return _pick(self._target.module(rows), self._output, self._config_file)

    def _check_kind(self, causal_importance: str) -> None:
        if causal_importance not in self._sigmoids:
            raise InputError(
                "unknown kind",
                field="causal_importance",
                found=causal_importance,
                allowed=", ".join(self._sigmoids),
            )

    def _importances(
        self, rows: torch.Tensor, causal_importance: str, positions: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        sigmoid = self._sigmoids[causal_importance]
        with torch.no_grad():
            taken_in = self._capture(rows)
            # before functions that treat each position independently, after functions that look at several
            if positions is not None and not self._mixes_positions:
                taken_in = {name: _at(x, positions) for name, x in taken_in.items()}
            for name, reader in self._readers.items():
                x = taken_in[name]
                taken_in[name] = x @ reader if x.is_floating_point() else reader[x]
            numbers = self._function(taken_in)
            if positions is not None and self._mixes_positions:
                numbers = {name: _at(x, positions) for name, x in numbers.items()}
            return {name: sigmoid(x) for name, x in numbers.items()}


def _at(x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Return the values at the chosen positions of each row."""
    return x[torch.arange(len(x), device=x.device)[:, None], positions]


def _smallest(*lengths: int | None) -> int | None:
    return min((length for length in lengths if length is not None), default=None)


def _pick(output: Any, where: str | None, file: Path) -> torch.Tensor:
    """Return the tensor in a model's output: itself, `idx_<n>` of a sequence, or an attribute."""
    if where is not None and where.startswith("idx_") and where.removeprefix("idx_").isdigit():
        index = int(where.removeprefix("idx_"))
        picked = output[index] if isinstance(output, tuple | list) and index < len(output) else None
    else:
        picked = output if where is None else getattr(output, where, None)
    if not isinstance(picked, torch.Tensor):
        raise InputError(
            "the model's output is not there",
            file=file,
            field="pretrained_model_output_attr",
            found=where or "null",
            allowed="null, idx_<n>, or the name of an attribute that holds a tensor",
        )
    return picked


def load_model(path: str | Path, device: str = "auto") -> ComponentModel:
    """Load a decomposed model from the files written by its training.

    Example:
        >>> model = load_model("resources/resid_mlp1", device="cpu")
        >>> model.components_per_module
        {'layers.0.mlp_in': 100, 'layers.0.mlp_out': 100}

    Args:
        path: a run folder (its last checkpoint is used) or a `model_<step>.pth` file in one.
        device: `auto` (a GPU if available), `cpu`, `cuda`, `mps` or `xpu`; with a number, as `cuda:1`, one
            of several.

    Raises:
        InputError: a file is missing or damaged, an architecture or function is unknown, or the weights do
            not match the configuration.
    """
    target_device = find_device(device)
    checkpoint = resolve_checkpoint(path)
    config, file = checkpoint.config, checkpoint.config_file
    sigmoids = find_sigmoids(config.sigmoid_type, file)
    with as_input_error("invalid model configuration", file, "sizes that a model can have"):
        target = build_target(checkpoint)
        modules = find_modules(target.module, config, file)
        # empty tensors: they are replaced by the checkpoint's, and no random numbers are drawn
        with torch.device("meta"):
            function = build_causal_importance(modules, config.ci_config, file)
    prefix = str(function.prefix)
    if isinstance(target.task, ToyTask) and getattr(function, "attends", False):
        logger.warning(
            "%s: ci_config.transition_attn_config: inputs have no sequence, so attention goes over the "
            "samples of a batch and results depend on the batch size",
            file,
        )

    state = modernised(read_state_dict(checkpoint.weights), checkpoint.weights)
    if not part(state, TARGET):
        state |= {TARGET + name: tensor for name, tensor in target.own_weights().items()}
    expected = (
        module_shapes(target.module, TARGET) | component_shapes(modules) | module_shapes(function, prefix)
    )
    check_shapes(state, expected, checkpoint.weights, [TARGET + pattern for pattern in target.ignored])
    weights = [prefix + name for name, _ in function.named_parameters()]
    weights += [TARGET + name for name, _ in target.module.named_parameters()]
    check_floating(state, [*weights, *component_shapes(modules)], checkpoint.weights)
    target.module = _filled(target.module, part(state, TARGET), target_device)
    function = _filled(function, part(state, prefix), target_device)
    readers = {
        module.name: state[f"{COMPONENTS}{module.key}.V"].to(target_device)
        for module in modules
        if function.reads_components or module.kind == "embedding"
    }
    return ComponentModel(checkpoint, target, modules, function, sigmoids, readers, target_device)


def find_device(device: str) -> torch.device:
    """Return the device for a setting.

    Example:
        >>> find_device("cpu")
        device(type='cpu')

    Raises:
        InputError: the device is not available.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError):
        raise InputError("no such device here", field="device", found=device, allowed=DEVICES) from None
    return found


def _filled(module: nn.Module, state: State, device: torch.device) -> nn.Module:
    known = module.state_dict().keys()
    module.load_state_dict({name: state[name] for name in known}, assign=True)
    return module.eval().requires_grad_(False).to(device)
