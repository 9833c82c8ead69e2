"""Settings without effect on a merge or on sampling, which are reported before it starts."""

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
_OF_TASK = {
    "tms": (_OF_LANGUAGE, "on a toy model, whose inputs are generated"),
    "resid_mlp": (_OF_LANGUAGE, "on a toy model, whose inputs are generated"),
    "induction_head": (
        ("dataset", "dataset_streaming"),
        "on an induction transformer, whose inputs are generated",
    ),
}


def run_settings_without_effect(run: ClusteringRunConfig, *, task: str | None = None) -> list[str]:
    """Return a line for each setting of a run that differs from its default and changes nothing.

    Example:
        >>> run_settings_without_effect(ClusteringRunConfig(model_path="m", n_tokens_per_seq=3), task="tms")
        ['n_tokens_per_seq: no effect on a toy model, whose inputs are generated']

    Args:
        run: the settings, those of the merge among them.
        task: the model's task, if it is known.
    """
    names: tuple[str, ...] = ()
    reason = ""
    if run.precomputed_activations_dir is not None:
        names, reason = _OF_SAMPLING, "with precomputed_activations_dir, whose files hold the samples"
    elif task in _OF_TASK:
        names, reason = _OF_TASK[task]
    fields = type(run).model_fields
    if run.precomputed_activations_dir is not None:  # its tokenizer gives the texts of user-supplied tokens
        run = run.model_copy(update={"dataset": run.dataset.model_copy(update={"tokenizer": None})})
    lines = [f"{name}: no effect {reason}" for name in names if getattr(run, name) != fields[name].default]
    if run.keep_values and run.sampling_threshold != fields["sampling_threshold"].default:
        lines.append("sampling_threshold: no effect with keep_values: true, whose batches have no threshold")
    if run.precomputed_activations_dir is None and run.shards is not None:
        lines.append("shards: no effect without precomputed_activations_dir")
    if run.precomputed_activations_dir is not None and run.runs_per_batches_job is not None:
        lines.append("runs_per_batches_job: no effect with precomputed_activations_dir: no model is loaded")
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
