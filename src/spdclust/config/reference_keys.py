"""Configuration files of all versions of the reference implementation, translated to the current keys.

========================= ===========================================================================
file                      what is different
========================= ===========================================================================
run files of 2025         merge settings at the top level; `intervals`, `task_name`; `n_batches` runs
pipeline files of 2025    `run_clustering_config_path`, one `distances_method`
late run files of `spd`   `n_samples`, `use_all_tokens_per_seq`
`param-decomp`            `harvest` and `merge`; an ensemble in one file; records of a merge
========================= ===========================================================================
"""

from collections.abc import Mapping
from typing import Any

Settings = dict[str, Any]


def current_merge(values: Mapping[str, Any]) -> Settings:
    """Return the settings of a merge with the current keys.

    Example:
        >>> current_merge({"check_threshold": 0.1, "pop_component_prob": 0, "rank_cost_fn_name": "const_1"})
        {'merge_pair_sampling_kwargs': {'threshold': 0.1}}

    Raises:
        ValueError: a setting asks for something that this package does not do.
    """
    new = dict(values)
    if new.pop("pop_component_prob", None) not in (None, 0):
        raise ValueError(
            f"pop_component_prob: found {values['pop_component_prob']} (allowed: 0, or no such key; "
            "a component never leaves its group)"
        )
    if new.pop("rank_cost_fn_name", None) not in (None, *_COST_PER_COMPONENT):
        raise ValueError(
            f"rank_cost_fn_name: found {values['rank_cost_fn_name']!r} (allowed: const_1, or no such key; "
            "a group's rank is its number of components)"
        )
    threshold = new.pop("check_threshold", None)
    if threshold is not None:
        given = new.get("merge_pair_sampling_kwargs") or {}
        if not isinstance(given, dict) or given.get("threshold", threshold) != threshold:
            raise ValueError(
                f"check_threshold: found {threshold} (allowed: as in merge_pair_sampling_kwargs, its "
                "newer name)"
            )
        new["merge_pair_sampling_kwargs"] = given | {"threshold": threshold}
    if "recompute_costs_every" in new:  # the branch with several batches; its runs have a batch_size too
        new.pop("batch_size", None)
    return new


def current_run(values: Mapping[str, Any]) -> Settings:
    """Return the settings of a run with the current keys.

    Example:
        >>> current_run({"harvest": {"model_path": "m", "activation_threshold": 0.1}, "merge": {"alpha": 2}})
        {'model_path': 'm', 'merge_config': {'activation_threshold': 0.1, 'alpha': 2}}
        >>> current_run({"model_path": "m", "alpha": 2, "intervals": {"stat": 5}, "n_batches": 4})
        {'model_path': 'm', 'logging_intervals': {'stat': 5}, 'merge_config': {'alpha': 2}}

    Raises:
        ValueError: two keys with the same meaning have different values.
    """
    new = {key: value for key, value in values.items() if key not in RUN_BOOKKEEPING}
    if isinstance(new.get("harvest"), Mapping):
        new = _with_harvest(new, new.pop("harvest"))
    if "snapshot_path" in new:
        _rename(new, "snapshot_path", "precomputed_activations_dir")
        new.pop("seed", None)
    if _is_of_2025(values):
        for key in _IGNORED_OF_2025:
            new.pop(key, None)
        _rename(new, "intervals", "logging_intervals")
        if "merge_config" not in new:
            merge = {key: new.pop(key) for key in list(new) if key in MERGE_KEYS}
            new |= {"merge_config": merge} if merge else {}
    _rename(new, "n_samples", "n_tokens")
    if new.pop("use_all_tokens_per_seq", None) is True:
        new.pop("n_tokens_per_seq", None)
    return new


def current_pipeline(values: Mapping[str, Any]) -> Settings:
    """Return the settings of a pipeline with the current keys.

    Example:
        >>> current_pipeline({"run_clustering_config_path": "a.json", "distances_method": "matching_dist"})
        {'clustering_run_config_path': 'a.json', 'distances_methods': ['matching_dist']}
        >>> ensemble = {"harvest": {"model_path": "m"}, "merge": {}, "base_seed": 7, "partition": "gpu"}
        >>> current_pipeline(ensemble)
        {'base_seed': 7, 'slurm_partition': 'gpu',
         'clustering_run_config': {'harvest': {'dataset_seed': 7, 'model_path': 'm'}, 'merge': {}}}

    Raises:
        ValueError: two keys with the same meaning have different values, or a checkpoint's step is given.
    """
    new = {key: value for key, value in values.items() if key not in PIPELINE_IGNORED}
    _rename(new, "run_clustering_config_path", "clustering_run_config_path")
    _rename(new, "run_clustering_config", "clustering_run_config")
    if new.get("distances_method") is not None:
        new["distances_method"] = [new["distances_method"]]
    _rename(new, "distances_method", "distances_methods")
    if isinstance(new.get("harvest"), Mapping):
        _rename(new, "partition", "slurm_partition")
        step = new.pop("step", None)
        if step is not None:
            raise ValueError(
                f"step: found {step} (allowed: null for the last one; or model_path: <run>/model_{step}.pth)"
            )
        run = {key: new.pop(key) for key in ("harvest", "merge") if key in new}
        # its runs take base_seed + their number for the samples and for the merge
        run["harvest"] = {"dataset_seed": new.get("base_seed", 0)} | dict(run["harvest"])
        if new.setdefault("clustering_run_config", run) is not run:
            raise ValueError("harvest: found with clustering_run_config (allowed: one of the two)")
    return new


def ignored_keys(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the keys of a pipeline or run file that change nothing here, each with the reason.

    Example:
        >>> ignored_keys({"slurm_mem": "300G", "calc_distances": True, "n_runs": 4})
        {'slurm_mem': 'memory follows from the size of the input and grows when a job is tried again'}
    """
    reasons = PIPELINE_IGNORED | (_IGNORED_OF_2025 if _is_of_2025(values) else {})
    if "snapshot_path" in values:
        reasons |= {"seed": "`base_seed` of a pipeline, or `spdclust run --base-seed`, seeds the merge"}
    if values.get("use_all_tokens_per_seq") is True and values.get("n_tokens_per_seq") is not None:
        reasons |= {"n_tokens_per_seq": "use_all_tokens_per_seq takes all positions"}
    found = {key: why for key, why in reasons.items() if key in values}
    if values.get("calc_distances") is not False:
        found.pop("calc_distances", None)
    merge = values.get("merge_config")
    if isinstance(merge, Mapping) and {"recompute_costs_every", "batch_size"} <= merge.keys():
        found["merge_config.batch_size"] = "batch_size of the run counts"
    harvest = values.get("harvest")
    if isinstance(harvest, Mapping):
        found |= {f"harvest.{key}": why for key, why in ignored_keys(harvest).items()}
    return found


def same_model(path: str, other: str) -> bool:
    """Return whether two paths name one W&B run, `wandb:` and `/runs/` being optional.

    Example:
        >>> same_model("goodfire/spd/s-62fce8c4", "wandb:goodfire/spd/runs/s-62fce8c4")
        True
    """
    first, second = (text.removeprefix("wandb:").replace("/runs/", "/") for text in (path, other))
    return first == second


def _with_harvest(values: Settings, harvest: Mapping[str, Any]) -> Settings:
    merge = values.pop("merge", None) or {}
    if not isinstance(merge, Mapping):
        raise ValueError(f"merge: found {merge!r} (allowed: a mapping)")
    of_merge = {key: value for key, value in harvest.items() if key in _MERGE_KEYS_OF_HARVEST}
    of_run = {key: value for key, value in harvest.items() if key not in of_merge}
    both = sorted({*of_run, "merge_config"} & values.keys()) + sorted(of_merge.keys() & merge.keys())
    if both:
        raise ValueError(f"harvest: {both[0]} is given outside as well (allowed: once)")
    return values | of_run | {"merge_config": of_merge | dict(merge)}


def _is_of_2025(values: Mapping[str, Any]) -> bool:
    if {"task_name", "intervals"} & values.keys():
        return True
    return "merge_config" not in values and bool(MERGE_KEYS & values.keys())


def _rename(values: Settings, old: str, new: str) -> None:
    if old not in values:
        return
    value = values.pop(old)
    if value is None:
        return
    if values.get(new) not in (None, value):
        raise ValueError(f"{old}: found {value} (allowed: {values[new]}, as in {new}, or one of the two)")
    values[new] = value


SPD_MERGE_KEYS = (
    "activation_threshold",
    "alpha",
    "iters",
    "merge_pair_sampling_method",
    "merge_pair_sampling_kwargs",
    "filter_dead_threshold",
    "module_name_filter",
)
"""Settings of a merge in `spd`, and in its histories. Its successor sets some of them at other stages."""

MERGE_KEYS_OF_READERS: dict[str, tuple[str, ...]] = {
    "spd": SPD_MERGE_KEYS,
    "param-decomp": ("alpha", "iters", "merge_pair_sampling_method", "merge_pair_sampling_kwargs"),
}
"""Settings of a merge that each reader accepts in a history; it rejects any other."""

MERGE_KEYS = frozenset(SPD_MERGE_KEYS) | {
    "filter_dead_stat",
    "check_threshold",
    "pop_component_prob",
    "rank_cost_fn_name",
}
"""Settings of a merge at the top level of run files of 2025, and of files of a harvest alone."""

RUN_BOOKKEEPING = frozenset({"ensemble_id", "idx_in_ensemble", "output_dir", "base_output_dir"})
"""Keys that the reference implementation fills in by itself; here paths follow from file names."""

PIPELINE_IGNORED = {
    "base_output_dir": "results go to the folder that `results` of the workflow's configuration names",
    "devices_per_run": "profiles/slurm sets the resources of a job",
    "slurm_mem": "memory follows from the size of the input and grows when a job is tried again",
    "merge_mem": "memory follows from the size of the input and grows when a job is tried again",
    "calc_distances": "for no distances, request the target `histories`",
    "plot_members": "the figures of a run are targets of the workflow",
}
"""Keys of pipeline files that change nothing, and why."""

PIPELINE_ONLY = frozenset(
    {"run_clustering_config_path", "run_clustering_config", "distances_method", "partition", "step"}
) | (PIPELINE_IGNORED.keys() - RUN_BOOKKEEPING)
"""Keys of other versions that only pipeline files have."""

_IGNORED_OF_2025 = {
    "task_name": "the checkpoint names its task",
    "n_batches": "in a run file of 2025 it is the number of runs; set n_runs of a pipeline",
    "base_path": "results go to the folder that `results` of the workflow's configuration names",
    "devices": "`device` selects where the model runs",
    "workers_per_device": "profiles set how many jobs run at once",
}

_MERGE_KEYS_OF_HARVEST = frozenset(
    {"activation_threshold", "filter_dead_threshold", "filter_dead_stat", "module_name_filter"}
)
_COST_PER_COMPONENT = ("const_1", "const_1.0")
