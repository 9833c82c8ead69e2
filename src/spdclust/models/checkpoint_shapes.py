"""Whether the tensors of a checkpoint are those of its configuration: from their shapes alone, without torch.

Loading a model compares all tensors; here those of the components and of their causal-importance functions
are compared, which takes milliseconds.
"""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import pairwise

from spdclust.core.errors import InputError
from spdclust.models.checkpoint import COMPONENTS, GLOBAL, LAYERWISE, TARGET, Checkpoint, read_shapes
from spdclust.models.config import DecompositionConfig

Shape = tuple[int, ...]
_NEXT = "use the two files of one decomposition run"


def check_components(checkpoint: Checkpoint, *, plain_only: bool = False) -> dict[str, int] | None:
    """Return the number of components of each decomposed module, by name, after comparing the two files.

    Example:
        >>> from spdclust.models.checkpoint import resolve_checkpoint
        >>> check_components(resolve_checkpoint("resources/resid_mlp1"))
        {'layers.0.mlp_in': 100, 'layers.0.mlp_out': 100}

    Args:
        checkpoint: the files.
        plain_only: return None for weights that only torch can read.

    Raises:
        InputError: a file is missing or damaged, there are no components, or components or
            causal-importance functions have not the modules or sizes of the configuration.
    """
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
    for name, expected in _expected(checkpoint.config, sizes):
        found = shapes.get(name)
        if found != expected:
            raise InputError(
                "tensor is missing" if found is None else "shape does not match the configuration",
                file=checkpoint.weights,
                field=name,
                found=None if found is None else str(found),
                allowed=f"{expected}, as in {checkpoint.config_file}; {_NEXT}",
            )
    is_global = checkpoint.config.ci_config.fn_type.startswith("global")
    if not any(name.startswith(GLOBAL if is_global else LAYERWISE) for name in shapes):
        raise InputError(
            "no causal-importance function of this kind",
            file=checkpoint.weights,
            field=f"{GLOBAL if is_global else LAYERWISE}*",
            allowed=f"{checkpoint.config.ci_config.fn_type}, as in {checkpoint.config_file}; {_NEXT}",
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
