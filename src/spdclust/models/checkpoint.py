"""The files of a decomposition run: from a user-supplied path to a validated configuration and tensors.

Names and shapes of the tensors, and from them the number of components, are read without torch.
"""

import hashlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import exists, regular_file
from spdclust.models.config import DecompositionConfig, read_config, run_of_param_decomp
from spdclust.models.wandb_files import CHECKPOINT, CONFIG_NAME, parse_wandb_path, run_folder

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

_ALLOWED = (
    f"a run folder with {CONFIG_NAME} and model_<step>.pth, such a .pth file, or wandb:entity/project/run_id"
)
TARGET = "target_model."
COMPONENTS = "_components."
LAYERWISE = "_ci_fns."
GLOBAL = "_global_ci_fn."
Shape = tuple[int, ...]
_NEXT = "use the two files of one decomposition run"


@dataclass(frozen=True)
class Checkpoint:
    """Local files of one decomposition run.

    Attributes:
        weights: the `model_<step>.pth` file.
        config_file: its `final_config.yaml`.
        source: a name for logs and provenance, without absolute paths.
        target_folder: folder of the target model's files, if different from the configuration.
    """

    weights: Path
    config_file: Path
    source: str
    target_folder: Path | None = None

    @property
    def folder(self) -> Path:
        """The run folder; relative paths in the configuration start here."""
        return self.config_file.parent

    @cached_property
    def config(self) -> DecompositionConfig:
        """The validated configuration, with deprecated keys translated."""
        return read_config(self.config_file)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights file followed by the configuration file, in hexadecimal."""
        digest = hashlib.sha256()
        for file in (self.weights, self.config_file):
            with regular_file(file, _ALLOWED).open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()


def resolve_checkpoint(path: str | Path) -> Checkpoint:
    """Resolve a `model_path` to local files.

    Example:
        >>> resolve_checkpoint("resources/resid_mlp1").weights.name
        'model_6000.pth'

    Args:
        path: a run folder (its last step is used), a `model_<step>.pth` file, or a W&B run, whose files are
            downloaded unless they are in the cache.

    Raises:
        InputError: there is no such file, folder or run, no checkpoint or configuration in it, or the file is
            of a type that is not known.
    """
    run = parse_wandb_path(path)
    location = Path(path).expanduser() if run is None else run_folder(run)
    if exists(location) and location.is_dir():
        weights = _last_step(location)
    elif not exists(location):
        raise InputError("no such file or folder", file=location, field="model_path", allowed=_ALLOWED)
    elif location.suffix not in (".pth", ".pt"):
        raise InputError(
            "unknown type of model file",
            file=location,
            field="model_path",
            found=location.suffix or "no suffix",
            allowed=_ALLOWED,
        )
    else:
        weights = location
    config_file = weights.parent / CONFIG_NAME
    if not config_file.is_file():
        raise InputError("file is missing next to the checkpoint", file=config_file, allowed=_ALLOWED)
    return Checkpoint(weights, config_file, source=f"{weights.resolve().parent.name}/{weights.name}")


def _last_step(folder: Path) -> Path:
    found = {file: CHECKPOINT.fullmatch(file.name) for file in folder.glob("model_*.pth")}
    steps = {int(match[1]): file for file, match in found.items() if match}
    if not steps and (folder / "ckpts").is_dir():
        worker = "python -m param_decomp.clustering.scripts.run_worker"
        options = "--n_tokens 50000 --batch_size 16 --n_tokens_per_seq 8"
        raise run_of_param_decomp(
            folder, "JAX checkpoints in ckpts/", f"{worker} --run_dir {folder} {options}"
        )
    if not steps:
        raise InputError(
            "no model_<step>.pth in the folder", file=folder, field="model_path", allowed=_ALLOWED
        )
    last = steps[max(steps)]
    if len(steps) > 1:
        logger.warning("%s holds %d checkpoints; taking the last, %s", folder, len(steps), last.name)
    return last


def read_state_dict(file: Path, *, shapes_only: bool = False) -> "dict[str, torch.Tensor]":
    """Return the tensors in a `torch.save`d state dict, on the CPU; nothing in the file is executed.

    With `shapes_only` the values are not read or verified.

    Example:
        >>> len(read_state_dict(Path("resources/resid_mlp1/model_6000.pth")))
        16

    Raises:
        InputError: the file is missing, truncated or damaged, contains code, or is not a state dict.
    """
    import torch

    from spdclust.files.torch_files import load_tensors

    allowed = "a state dict as torch.save writes it: parameter names and tensors, nothing else"
    state = load_tensors(file, "state dict", allowed, verify=not shapes_only, mapped=shapes_only)
    if not isinstance(state, dict):
        raise InputError("not a state dict", file=file, found=type(state).__name__, allowed=allowed)
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise InputError(
                "not a state dict", file=file, field=str(key), found=type(value).__name__, allowed=allowed
            )
        if value.layout is not torch.strided or value.is_complex():
            found = f"{value.layout}, {value.dtype}"
            raise InputError("not a plain tensor", file=file, field=key, found=found, allowed=allowed)
    return {key: value.detach() for key, value in state.items()}


def current_name(key: str) -> str:
    """Return the current name of a tensor in a checkpoint.

    Example:
        >>> current_name("patched_model.h.0.mlp.original.weight")
        'target_model.h.0.mlp.weight'
        >>> current_name("patched_model.h.0.mlp.components.V")
        '_components.h-0-mlp.V'
        >>> current_name("_gates.h-0-mlp.layers.0.W"), current_name("ci_fn._ci_fns.h-0-mlp.layers.0.W")
        ('_ci_fns.h-0-mlp.layers.0.W', '_ci_fns.h-0-mlp.layers.0.W')
        >>> current_name("ci_fn._global_ci_fn.layers.0.b")
        '_global_ci_fn.layers.0.b'
    """
    if key.startswith("_gates."):
        key = LAYERWISE + key.removeprefix("_gates.")
    if key.startswith(("ci_fn._ci_fns.", "ci_fn._global_ci_fn.")):
        key = key.removeprefix("ci_fn.")
    if key.startswith("patched_model."):
        key = TARGET + key.removeprefix("patched_model.")
    if key.startswith(TARGET):
        for name in ("weight", "bias"):
            if key.endswith(f".original.{name}"):
                key = key.removesuffix(f".original.{name}") + f".{name}"
        for name in ("U", "V"):
            if key.endswith(f".components.{name}"):
                path = key.removeprefix(TARGET).removesuffix(f".components.{name}")
                key = f"{COMPONENTS}{path.replace('.', '-')}.{name}"
    return key


def read_shapes(checkpoint: Checkpoint, *, plain_only: bool = False) -> dict[str, tuple[int, ...]] | None:
    """Return the shape of every tensor of the weights by its current name; no values are read.

    With `plain_only`, return None for a file that only torch can read, instead of importing torch.

    Example:
        >>> read_shapes(resolve_checkpoint("resources/resid_mlp1"))["_components.layers-0-mlp_in.V"]
        (400, 100)

    Raises:
        InputError: the weights are missing, damaged, or not a state dict.
    """
    # numpy takes long to import, and the workflow's rules need only the files of a checkpoint
    from spdclust.files.torch_files import read_plain_tensors

    state: Mapping[str, Any] | None = read_plain_tensors(checkpoint.weights, "state dict")
    if state is None or any(isinstance(value, str) for value in state.values()):
        if plain_only:
            return None
        state = read_state_dict(checkpoint.weights, shapes_only=True)
    return {current_name(key): tuple(tensor.shape) for key, tensor in state.items()}


def check_components(checkpoint: Checkpoint, *, plain_only: bool = False) -> dict[str, int] | None:
    """Return the number of components of each decomposed module, by name, after comparing the two files.

    With `plain_only`, return None for weights that only torch can read.

    Example:
        >>> from spdclust.models.checkpoint import resolve_checkpoint
        >>> check_components(resolve_checkpoint("resources/resid_mlp1"))
        {'layers.0.mlp_in': 100, 'layers.0.mlp_out': 100}

    Raises:
        InputError: a file is missing or damaged, there are no components, or components or
            causal-importance functions have not the modules or sizes of the configuration.
    """
    # first, as its error names the kind of run; weights of another kind look damaged
    config = checkpoint.config
    shapes = read_shapes(checkpoint, plain_only=plain_only)
    if shapes is None:
        return None
    sizes = {
        name.removeprefix(COMPONENTS).removesuffix(".V"): shape
        for name, shape in sorted(shapes.items())
        if name.startswith(COMPONENTS) and name.endswith(".V") and len(shape) == 2
    }
    if not sizes:
        raise InputError(
            "checkpoint has no components", file=checkpoint.weights, allowed="a decomposed model"
        )
    _check_patterns(checkpoint, {key: shape[1] for key, shape in sizes.items()})
    for name, expected in _expected(config, sizes):
        found = shapes.get(name)
        if found != expected:
            raise InputError(
                "tensor is missing" if found is None else "shape does not match the configuration",
                file=checkpoint.weights,
                field=name,
                found=None if found is None else str(found),
                allowed=f"{expected}, as in {checkpoint.config_file}; {_NEXT}",
            )
    is_global = config.ci_config.fn_type.startswith("global")
    if not any(name.startswith(GLOBAL if is_global else LAYERWISE) for name in shapes):
        raise InputError(
            "no causal-importance function of this kind",
            file=checkpoint.weights,
            field=f"{GLOBAL if is_global else LAYERWISE}*",
            allowed=f"{config.ci_config.fn_type}, as in {checkpoint.config_file}; {_NEXT}",
        )
    names = _module_names(shapes)
    return {names.get(key, key.replace("-", ".")): shape[1] for key, shape in sizes.items()}


def _check_patterns(checkpoint: Checkpoint, counts: Mapping[str, int]) -> None:
    """Raise an error if the patterns of the configuration and the decomposed modules differ."""
    config, file = checkpoint.config, checkpoint.config_file
    suffixed = [
        (f"{each.module_pattern}.pre_identity", each.C, "identity_module_info")
        for each in config.identity_module_info or []
    ]
    patterns = [(each.module_pattern, each.C, "module_info") for each in config.module_info] + suffixed
    decomposed = set()
    for pattern, n_components, field in patterns:
        # keys have - for the . of names
        matching = [key for key in counts if fnmatchcase(key, pattern.replace(".", "-"))]
        if not matching:
            raise InputError(
                "the checkpoint has no components of these modules",
                file=file,
                field=field,
                found=pattern.removesuffix(".pre_identity"),
                allowed=f"modules of {checkpoint.weights}: {', '.join(list(counts)[:8])}",
            )
        for key in matching:
            if counts[key] != n_components:
                raise InputError(
                    "number of components differs from the checkpoint",
                    file=file,
                    field=f"{field}: {pattern}: C",
                    found=n_components,
                    allowed=f"{counts[key]}, as {key} has in {checkpoint.weights}; {_NEXT}",
                )
        decomposed.update(matching)
    others = [key for key in counts if key not in decomposed]
    if others:
        raise InputError(
            "components of a module that the configuration does not decompose",
            file=checkpoint.weights,
            field=f"{COMPONENTS}{others[0]}",
            allowed=f"module_info in {file}: {', '.join(pattern for pattern, _, _ in patterns)}",
        )


def _expected(config: DecompositionConfig, sizes: Mapping[str, Shape]) -> Iterator[tuple[str, Shape]]:
    """Yield names and shapes of the weights of causal-importance functions of one module each."""
    function, hidden = config.ci_config.fn_type, config.ci_config.hidden_dims or []
    for key, (d_in, n_components) in sizes.items():
        for layer, (first, second) in enumerate(
            pairwise(
                [1 if function == "mlp" else d_in, *hidden, n_components if function == "shared_mlp" else 1]
            )
        ):
            name = f"{LAYERWISE}{key}.layers.{2 * layer}.W"
            if function == "shared_mlp":
                yield name, (first, second)
            elif function in ("mlp", "vector_mlp"):
                yield name, (n_components, first, second)


def _module_names(shapes: Mapping[str, Shape]) -> dict[str, str]:
    """Return the name of each module of the target model by its key, where dots are dashes."""
    names = {name.removeprefix(TARGET).rpartition(".")[0] for name in shapes if name.startswith(TARGET)}
    names |= {f"{name}.pre_identity" for name in names}
    return {name.replace(".", "-"): name for name in names}
