"""Estimate the components, samples, disk space and memory of a configuration before running it."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from spdclust.config.run import ClusteringRunConfig, run_settings_without_effect
from spdclust.core.errors import InputError, in_setting
from spdclust.core.types import Labels
from spdclust.merge.activations import check_threshold, in_modules
from spdclust.merge.memory import merging_bytes
from spdclust.models.checkpoint import Checkpoint, check_components, resolve_checkpoint
from spdclust.models.wandb_files import parse_wandb_path
from spdclust.sampling.inputs import open_inputs
from spdclust.user_files.folders import files_of_runs, run_numbers
from spdclust.user_files.layout import listed
from spdclust.user_files.matrices import open_user_file
from spdclust.user_files.runs import check_all_runs, describe_headers, describe_runs

TYPICAL_ACTIVE = 100
"""Components above 0 on a sample of a language model, for estimates without measurements."""

_MB = 1_000_000
_LIBRARIES = 500 * _MB
_NO_TORCH = "not known, since torch is not installed here"
_ALWAYS_ABOVE_ZERO = ("normal", "swish_hard")


@dataclass(frozen=True)
class Estimate:
    """Resources needed by one ensemble.

    Attributes:
        n_components: components of the model, alive or not; None if the model is not downloaded yet.
        n_samples: samples per batch; None if the model, which defines the sequence length, is not
            downloaded yet.
        always_above_zero: whether the model's sigmoid never gives 0, so that batches cannot be sparse.
        unknown_why: reason why `n_components` is unknown.
        notes: settings that have no effect.
        files: which user-supplied files the runs read, one line each.
        scalar: whether the merge is of scalar activations, whose coactivations take 8 bytes instead of 4.
        keep_values: whether batches hold the causal importances, or only the sets of active components.
    """

    n_components: int | None
    n_samples: int | None
    n_batches: int
    n_runs: int
    always_above_zero: bool = False
    unknown_why: str = "not known before the model is here"
    scalar: bool = False
    keep_values: bool = True
    notes: Sequence[str] = ()
    files: Sequence[str] = ()

    def batch_bytes(self, active: int) -> int | None:
        """Return the size of a batch file with `active` components stored for every sample.

        Example:
            >>> Estimate(13_000, 100_000, 1, 1).batch_bytes(100) // 1_000_000
            60
        """
        if self.n_components is None or self.n_samples is None:
            return None
        stored = self.n_samples * min(active, self.n_components)
        index_bytes = 2 if self.n_components <= 2**16 else 4
        value_bytes = 4 if self.keep_values else 0
        return stored * (index_bytes + value_bytes) + 4 * self.n_samples + 32 * self.n_components

    def sampling_bytes(self, active: int) -> int | None:
        """Return the approximate memory for sampling a batch: libraries, one dense chunk, sparse rows."""
        stored = self.batch_bytes(active)
        return None if stored is None else _LIBRARIES + 2 * 256 * _MB + 3 * stored

    def merging_bytes(self, active: int) -> int | None:
        """Return how much memory a merge takes at most, see `merge.memory`."""
        if self.n_components is None or self.n_samples is None:
            return None
        n_entries = self.n_samples * min(active, self.n_components)
        return merging_bytes(self.n_components, n_entries, scalar=self.scalar)

    def lines(self) -> list[str]:
        """Return the estimate as text.

        Example:
            >>> print("\\n".join(Estimate(200, 4096, 1, 8).lines()))
            components: 200
            samples: 8 runs × 1 batch × 4,096
            disk: 19.8 MB of batches with 100 components above 0 on a sample, 39.5 MB with all
            memory: 1.0 GB to sample a run, 1.0 GB to merge one
        """
        return [*self.files, *self._needs(), *(f"note: {line}" for line in self.notes)]

    def _needs(self) -> list[str]:
        n, samples = self.n_components, self.n_samples
        batches = f"{self.n_batches} batch{'es' if self.n_batches > 1 else ''}"
        out = [
            f"components: {self.unknown_why if n is None else f'{n:,}'}",
            f"samples: {self.n_runs} run{'s' if self.n_runs > 1 else ''} × {batches} × "
            + (self.unknown_why if samples is None else f"{samples:,}"),
        ]
        active = n if n is not None and self.always_above_zero and self.keep_values else TYPICAL_ACTIVE
        typical, most = self.batch_bytes(active), self.batch_bytes(n or 0)
        sampling, merging = self.sampling_bytes(active), self.merging_bytes(active)
        if n is None or typical is None or most is None or sampling is None or merging is None:
            return out
        n_files = self.n_runs * self.n_batches
        sizes = f"{_size(n_files * most)} of batches"
        if active < n:
            above = "0" if self.keep_values else "the threshold"
            sizes = f"{_size(n_files * typical)} of batches with {active} components above {above} "
            sizes += "on a sample, "
            sizes += f"{_size(n_files * most)} with all"
        out.append(f"disk: {sizes}")
        out.append(f"memory: {_size(sampling)} to sample a run, {_size(merging)} to merge one")
        return out


def estimate(config: ClusteringRunConfig, n_runs: int = 1) -> Estimate:
    """Estimate the resources of an ensemble with one run's settings, without downloads or model runs.

    Example:
        >>> config = ClusteringRunConfig(model_path="resources/resid_mlp1", n_tokens=4096)
        >>> estimate(config, n_runs=8).n_components
        200

    Raises:
        InputError: the model is local, its files are missing or damaged, or its components are not those of
            its configuration; or no module matches `module_name_filter`.
    """
    if config.precomputed_activations_dir is not None:
        return _estimate_user_files(config, n_runs)
    n_batches = config.batches_needed()
    if _local_source(config) is None:
        notes = run_settings_without_effect(config)
        what = "the model is here" if config.loader is None else f"{config.loader} has run"
        why = f"not known before {what}"
        return Estimate(None, config.n_tokens, n_batches, n_runs, unknown_why=why, notes=notes)
    with _in_model_setting(config):
        checkpoint = resolve_checkpoint(str(config.model_source))
        task = checkpoint.config.task_config
        samples = config.samples_per_batch
        if task.get("task_name") == "lm" and config.n_tokens is None:
            n_ctx = config.dataset.n_ctx or int(task.get("max_seq_len", 512))
            samples = config.batch_size * (config.n_tokens_per_seq or n_ctx)
    try:
        counts = _checked_counts(config, checkpoint) or {}
        if task.get("task_name") == "induction_head" and config.n_tokens is None:
            from spdclust.models.targets import build_target

            with _in_model_setting(config):
                samples = open_inputs(build_target(checkpoint).task, config).n_samples
    except ModuleNotFoundError:  # only unusual weights need torch
        return Estimate(None, samples, n_batches, n_runs, unknown_why=_NO_TORCH)
    return Estimate(
        sum(counts.values()),
        samples,
        n_batches,
        n_runs,
        checkpoint.config.sigmoid_type in _ALWAYS_ABOVE_ZERO,
        scalar=config.merge_config.activation_threshold is None,
        keep_values=config.keep_values,
        notes=run_settings_without_effect(config, task=task.get("task_name")),
    )


def check_model(config: ClusteringRunConfig, *, plain_only: bool = False) -> dict[str, int] | None:
    """Return the number of components of each module of a run's model, after comparing the settings with it.

    No values are read, and torch is imported only for weights that nothing else can read; with `plain_only`,
    return None for those.

    Example:
        >>> check_model(ClusteringRunConfig(model_path="resources/resid_mlp1"))
        {'layers.0.mlp_in': 100, 'layers.0.mlp_out': 100}

    Returns:
        None if there is no model, if it is not on this machine yet, or if a loader of your own reads it.

    Raises:
        InputError: the components are not those of the model's configuration, or no module matches
            `module_name_filter`.
    """
    source = _local_source(config)
    if source is None:
        return None
    with _in_model_setting(config):
        checkpoint = resolve_checkpoint(source)
    return _checked_counts(config, checkpoint, plain_only=plain_only)


def _checked_counts(
    config: ClusteringRunConfig, checkpoint: Checkpoint, *, plain_only: bool = False
) -> dict[str, int] | None:
    with _in_model_setting(config):
        counts = check_components(checkpoint, plain_only=plain_only)
    if counts is not None:
        _check_filter(config, [f"{module}:0" for module in counts])
    return counts


def _local_source(config: ClusteringRunConfig) -> str | None:
    """Return the path of a run's model if its files can be read now."""
    source = config.model_source
    if source is None or config.loader is not None or config.precomputed_activations_dir is not None:
        return None
    run = parse_wandb_path(source)
    return source if run is None or run.cache_folder.is_dir() else None


def _in_model_setting(config: ClusteringRunConfig) -> AbstractContextManager[None]:
    return in_setting("model_path" if config.experiment_key is None else "experiment_key")


def _check_filter(config: ClusteringRunConfig, labels: Labels) -> None:
    try:
        in_modules(labels, config.merge_config.module_name_filter)
    except InputError as error:
        raise InputError(
            error.problem,
            field=f"merge_config.{error.field}",
            found=error.found,
            allowed=f"null, or names of these modules: {error.allowed}",
        ) from error


def _estimate_user_files(config: ClusteringRunConfig, n_runs: int) -> Estimate:
    runs = files_of_runs(config, range(n_runs))
    files = describe_runs(runs)
    assert config.precomputed_activations_dir is not None
    others = [f"run_{run}/" for run in run_numbers(config.precomputed_activations_dir) if run >= n_runs]
    if others:
        files.append(f"not read: {listed(others)} (the ensemble has {n_runs} run{'s' if n_runs > 1 else ''})")
    notes = run_settings_without_effect(config)
    n_batches = len(runs[0].batches)
    if (config.n_batches or 1) > n_batches:
        notes.append(f"n_batches: {config.n_batches} is more than the {n_batches} a run in the files")
    merged_at = config.merge_config.activation_threshold

    def estimated(components: int | None, samples: int | None, why: str = "") -> Estimate:
        return Estimate(
            components, samples, n_batches, n_runs, unknown_why=why, scalar=merged_at is None,
            keep_values=config.keep_values, notes=notes, files=files,
        )  # fmt: skip

    try:
        headers = check_all_runs(runs)
        files += describe_headers(headers)
    except ModuleNotFoundError:
        return estimated(None, None, _NO_TORCH)
    for header in headers:
        check_threshold(
            header.threshold, merged_at, field="merge_config.activation_threshold", file=header.path
        )
    if config.merge_config.module_name_filter is not None:
        content = open_user_file(runs[0].batches[0][0], verify=False)
        _check_filter(config, content.labels or content.generated_labels)
    sizes = {header.path: header.n_samples for header in headers}
    samples = max(sum(sizes[file] for file in batch) for found in runs for batch in found.batches)
    components = max(header.n_components for header in headers)
    if components <= config.merge_config.min_groups:
        notes.append(
            f"min_groups: {config.merge_config.min_groups}, so none of {components} components are merged"
        )
    return estimated(components, samples)


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 0.1e9 else f"{n_bytes / 1e6:,.1f} MB"
