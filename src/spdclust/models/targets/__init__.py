"""Target models, by family: from a checkpoint's configuration to an empty model of that shape."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import check_folder, check_size, exists
from spdclust.models.checkpoint import Checkpoint
from spdclust.models.config import MOST_LAYERS
from spdclust.models.targets import language_models, toy
from spdclust.models.targets.base import Target, build_pretrained, language_task

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

# buffers that some versions of transformers store and others recompute
_MADE_ANEW = ["*.attn.bias", "*.attn.masked_bias", "*rotary_emb.inv_freq"]


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
        return _build_huggingface(checkpoint)
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


def _build_huggingface(checkpoint: Checkpoint) -> Target:
    """Return the model of the `transformers` package that the configuration names, weights random.

    `pretrained_model_name` is a folder next to the run or in the working folder if that exists, otherwise a
    name on the hub. Needs the extra `lm`.
    """
    file = checkpoint.config_file
    name = checkpoint.config.pretrained_model_class.removeprefix("transformers.")
    source = checkpoint.config.pretrained_model_name or checkpoint.config.pretrained_model_path
    try:
        import transformers
    except ImportError:
        raise InputError(
            "this checkpoint requires the `transformers` package",
            file=file,
            field="pretrained_model_class",
            found=checkpoint.config.pretrained_model_class,
            allowed="pip install 'spdclust[lm]'",
        ) from None
    model_class: Any = getattr(transformers, name, None)
    if not hasattr(model_class, "from_pretrained"):
        raise InputError(
            "transformers has no such model",
            file=file,
            field="pretrained_model_class",
            found=name,
            allowed=f"a model class of transformers {transformers.__version__}",
        )
    if source is None:
        raise InputError("key is missing", file=file, field="pretrained_model_name")
    local = checkpoint.folder / source
    where = str(local) if exists(local) and local.is_dir() else source
    if exists(where):
        check_folder(where, "files of a model")
    try:
        # a model's files may refer to custom code, which is never run
        config = transformers.AutoConfig.from_pretrained(where, trust_remote_code=False)
    except Exception as error:  # damaged files make the library raise almost any exception
        raise InputError(
            "no such model in a folder or on the hub",
            file=file,
            field="pretrained_model_name",
            found=f"{source}: {error}",
            allowed="a folder saved by transformers, or a name on the hub that can be reached",
        ) from None
    _check_sizes(config, file)
    make = getattr(model_class, "_from_config", None) or model_class.from_config
    with torch.random.fork_rng():  # the random weights are replaced; keep the caller's random state
        with torch.device("meta"):  # first without memory: the checkpoint must have a similar size
            n_bytes = sum(4 * each.numel() for each in make(config).parameters())
        check_size(n_bytes, checkpoint.weights, "parameters that the target's configuration asks for")
        module = make(config).float()
    return Target(
        module,
        language_task(checkpoint, int(config.vocab_size)),
        lambda: dict(model_class.from_pretrained(where).float().state_dict()),
        max_length=getattr(config, "max_position_embeddings", None),
        ignored=_MADE_ANEW,
    )


def _check_sizes(config: Any, file: Path) -> None:
    """Raise an error for too many layers: each one takes time to build before its size is known."""
    for name in ("num_hidden_layers", "n_layer", "num_layers", "n_layers"):
        found = getattr(config, name, 0)
        if not isinstance(found, int) or not 0 <= found <= MOST_LAYERS:
            raise InputError(
                "no model can be built from the target's configuration",
                file=file,
                field=name,
                found=found,
                allowed=f"0 to {MOST_LAYERS}",
            )
