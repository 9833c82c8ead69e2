"""Target models, by family: from a checkpoint's configuration to an empty model of that shape."""

from collections.abc import Callable
from functools import partial

from spdclust.core.errors import InputError
from spdclust.models.checkpoint import Checkpoint
from spdclust.models.targets import huggingface, language_models, toy
from spdclust.models.targets.base import Target, build_pretrained

__all__ = ["FAMILIES", "Target", "build_target"]

FAMILIES: dict[str, Callable[[Checkpoint], Target]] = {
    "ResidMLP": toy.build_resid_mlp,
    "ResidualMLP": toy.build_resid_mlp,
    "TMSModel": toy.build_tms,
    "LlamaSimple": partial(
        build_pretrained, config_class=language_models.LlamaSimpleConfig, build=language_models.LlamaSimple
    ),
    "LlamaSimpleMLP": partial(
        build_pretrained,
        config_class=language_models.LlamaSimpleMLPConfig,
        build=language_models.LlamaSimpleMLP,
    ),
    "GPT2Simple": partial(
        build_pretrained, config_class=language_models.GPT2SimpleConfig, build=language_models.GPT2Simple
    ),
    "InductionTransformer": toy.build_induction,
}
"""Builders of target models, by the last part of `pretrained_model_class`."""


def build_target(checkpoint: Checkpoint) -> Target:
    """Return the target model of a checkpoint, with uninitialised weights.

    Example:
        >>> from spdclust.models.checkpoint import resolve_checkpoint
        >>> build_target(resolve_checkpoint("resources/resid_mlp1")).task.n_features
        100

    Raises:
        InputError: the architecture is unknown, or its configuration is missing or invalid.
    """
    name = checkpoint.config.pretrained_model_class
    if name.startswith("transformers."):
        return huggingface.build(checkpoint)
    family = FAMILIES.get(name.rpartition(".")[2])
    if family is None:
        raise InputError(
            "unknown architecture",
            file=checkpoint.config_file,
            field="pretrained_model_class",
            found=name,
            allowed=f"{', '.join(FAMILIES)}, transformers.<class>",
        )
    return family(checkpoint)
