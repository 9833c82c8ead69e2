"""Settings that were given and change nothing, so that a user is told before wondering."""

from spdclust.config.merge import MergeConfig
from spdclust.config.run import ClusteringRunConfig

_OF_SAMPLING = (
    "batch_size",
    "n_tokens",
    "n_tokens_per_seq",
    "dataset",
    "dataset_streaming",
    "keep_examples",
    "causal_importance",
)
_OF_LANGUAGE = ("n_tokens_per_seq", "dataset", "dataset_streaming", "keep_examples")


def run_settings_without_effect(run: ClusteringRunConfig, *, toy: bool = False) -> list[str]:
    """Return a line for each setting of a run that differs from its default and changes nothing.

    Example:
        >>> run_settings_without_effect(ClusteringRunConfig(model_path="m", n_tokens_per_seq=3), toy=True)
        ['n_tokens_per_seq: no effect on a toy model, whose inputs are generated']

    Args:
        run: the settings, those of the merge among them.
        toy: whether the model is known to be a toy model.
    """
    names: tuple[str, ...] = ()
    reason = ""
    if run.precomputed_activations_dir is not None:
        names, reason = _OF_SAMPLING, "with precomputed_activations_dir, whose files hold the samples"
    elif toy:
        names, reason = _OF_LANGUAGE, "on a toy model, whose inputs are generated"
    fields = type(run).model_fields
    if run.precomputed_activations_dir is not None:  # its tokenizer gives the texts of user-supplied tokens
        run = run.model_copy(update={"dataset": run.dataset.model_copy(update={"tokenizer": None})})
    lines = [f"{name}: no effect {reason}" for name in names if getattr(run, name) != fields[name].default]
    if run.precomputed_activations_dir is None and run.shards is not None:
        lines.append("shards: no effect without precomputed_activations_dir")
    return lines + [f"merge_config.{line}" for line in merge_settings_without_effect(run.merge_config)]


def merge_settings_without_effect(merge: MergeConfig) -> list[str]:
    """Return a line for each setting of a merge that changes nothing.

    Example:
        >>> merge_settings_without_effect(MergeConfig(between_batches="mask"))
        ['between_batches: no effect with recompute_costs_every: 1, which stays on one batch']
    """
    if merge.between_batches == "mask" and merge.recompute_costs_every == 1:
        return ["between_batches: no effect with recompute_costs_every: 1, which stays on one batch"]
    return []
