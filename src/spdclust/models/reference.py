"""`loader: spd`: models loaded by the reference implementation's package, if it is installed."""

from pathlib import Path
from typing import Any

import torch

from spdclust.core.errors import InputError
from spdclust.models.checkpoint import resolve_checkpoint
from spdclust.models.config import LanguageTask, Task, ToyTask, read_config


class _ReferenceModel:
    """A component model of the reference implementation."""

    def __init__(self, model: Any, task: Task, digest: str) -> None:
        self.task = task
        self.digest = digest
        self._model = model
        self._device = next(model.parameters()).device
        shape = (1, task.n_features) if isinstance(task, ToyTask) else (1, 1)
        example = torch.zeros(shape, dtype=torch.float32 if isinstance(task, ToyTask) else torch.long)
        self.labels = [
            f"{module}:{i}"
            for module, each in self.component_activations(example).items()
            for i in range(each.shape[-1])
        ]

    def component_activations(
        self, inputs: Any, causal_importance: str = "lower_leaky"
    ) -> dict[str, torch.Tensor]:
        """Return the causal importances computed by the reference, in its order of modules."""
        with torch.no_grad():
            cache = self._model(torch.as_tensor(inputs).to(self._device), cache_type="input").cache
            found = self._model.calc_causal_importances(
                pre_weight_acts=cache, sampling="continuous", detach_inputs=False
            )
        return {name: each.float() for name, each in getattr(found, causal_importance).items()}


def load(path: str | None, device: str) -> _ReferenceModel:
    """Load a run with the reference implementation's package.

    Raises:
        InputError: the package is not installed, or there is no path.
    """
    try:
        from spd.models.component_model import ComponentModel  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise InputError(
            "the reference implementation's package is not installed",
            field="loader",
            found="spd",
            allowed="that package in this environment, or no loader: most of its models load without it",
        ) from None
    if path is None:
        raise InputError("no model", field="model_path", allowed="a run of the reference implementation")
    checkpoint = resolve_checkpoint(path)
    model = ComponentModel.from_pretrained(str(checkpoint.weights))
    target_device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    model = model.to(target_device).eval()
    return _ReferenceModel(model, _task(model.target_model, checkpoint.config_file), checkpoint.digest)


def _task(target: Any, file: Path) -> Task:
    """Return the task in a run's configuration, with the sizes of its target model."""
    settings = dict(read_config(file).task_config)
    name = settings.get("task_name")
    if name in ("tms", "resid_mlp"):
        return ToyTask.model_validate(settings | {"name": name, "n_features": target.config.n_features})
    embeddings = [each for each in target.modules() if isinstance(each, torch.nn.Embedding)]
    if name != "lm" or not embeddings:
        raise InputError(
            "unknown task", file=file, field="task_name", found=name, allowed="lm, resid_mlp, tms"
        )
    return LanguageTask.model_validate(
        settings
        | {
            "name": "lm",
            "vocab_size": embeddings[0].num_embeddings,
            "folder": file.parent,
            "tokenizer_name": read_config(file).tokenizer_name,
        }
    )
