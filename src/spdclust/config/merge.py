"""Settings of one merge (`merge_config` inside a run)."""

from typing import Any, Literal

from pydantic import Field, model_validator

from spdclust.config.base import Number, Section
from spdclust.config.reference_keys import current_merge

SamplingMethod = Literal["range", "mcmc", "exp_rank"]

SAMPLER_KWARGS: dict[str, dict[str, float]] = {
    "range": {"threshold": 0.05},
    "mcmc": {"temperature": 1.0},
    "exp_rank": {"decay": 0.2},
}
"""The keyword arguments of each sampler, with their defaults."""


def _defaults_of_sampler(settings: dict[str, Any]) -> dict[str, float]:
    return dict(SAMPLER_KWARGS.get(settings.get("merge_pair_sampling_method", "range"), {}))


class MergeConfig(Section):
    """How components are merged into groups.

    Example:
        >>> MergeConfig(alpha=10).merge_pair_sampling_kwargs
        {'threshold': 0.05}
        >>> MergeConfig(merge_pair_sampling_method="mcmc").merge_pair_sampling_kwargs
        {'temperature': 1.0}
    """

    activation_threshold: float | None = Field(default=0.01, ge=0, allow_inf_nan=False)
    """A component is active on a sample when its causal importance is above this; null uses the scalar
    causal importances themselves."""
    alpha: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """Weight of a group's rank (its number of components) in the description length, in bits."""
    iters: int | None = Field(default=100, ge=1)
    """Number of merges; null merges until `min_groups` are left."""
    merge_pair_sampling_method: SamplingMethod = "range"
    """How the pair to merge is drawn from the pair costs."""
    merge_pair_sampling_kwargs: dict[str, Number] = Field(default_factory=_defaults_of_sampler)
    """Arguments of the sampler: `threshold` (range, 0 to 1, default 0.05), `temperature` (mcmc, above 0,
    bits per sample, default 1.0), `decay` (exp_rank, 0 or more, default 0.2)."""
    filter_dead_threshold: float = Field(default=0.001, ge=0, allow_inf_nan=False)
    """Components whose `filter_dead_stat` stays below this in every batch of the run are left out;
    0 keeps all."""
    filter_dead_stat: Literal["max", "mean"] = "max"
    """Statistic over samples that `filter_dead_threshold` is compared with."""
    module_name_filter: str | list[str] | None = None
    """Only components of these modules: a prefix, a glob pattern (with *, ? or [), or a list of either."""
    recompute_costs_every: int = Field(default=1, ge=1)
    """Take the next batch of the run after this many merges; 1 stays on one batch."""
    between_batches: Literal["update", "mask"] = "update"
    """With several batches, what a new group's pair costs are until the next batch: updated on the
    current batch, or masked so that it cannot be merged again before."""
    min_groups: int = Field(default=3, ge=1)
    """Stop when this many groups are left."""

    @model_validator(mode="before")
    @classmethod
    def _take_reference_keys(cls, values: Any) -> Any:
        return current_merge(values) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _check_modules(self) -> "MergeConfig":
        if self.module_name_filter == []:
            raise ValueError("module_name_filter: found [] (allowed: names of modules, or null for all)")
        return self

    @model_validator(mode="after")
    def _check_sampler_kwargs(self) -> "MergeConfig":
        known = SAMPLER_KWARGS[self.merge_pair_sampling_method]
        for key, value in self.merge_pair_sampling_kwargs.items():
            if key not in known:
                sampler = self.merge_pair_sampling_method
                raise ValueError(
                    f"merge_pair_sampling_kwargs: unknown key {key!r} for the {sampler} sampler "
                    f"(allowed: {', '.join(known)})"
                )
            low, high, bounds = _SAMPLER_BOUNDS[key]
            if not (low <= value <= high) or (key == "temperature" and value == 0):
                raise ValueError(f"merge_pair_sampling_kwargs.{key}: found {value} (allowed: {bounds})")
        return self

    @property
    def sampler_kwargs(self) -> dict[str, float]:
        """The sampler's arguments, defaults filled in.

        Example:
            >>> MergeConfig(merge_pair_sampling_method="exp_rank").sampler_kwargs
            {'decay': 0.2}
        """
        return SAMPLER_KWARGS[self.merge_pair_sampling_method] | self.merge_pair_sampling_kwargs

    def n_merges(self, n_components: int) -> int:
        """Return how many merges `n_components` components get.

        Example:
            >>> MergeConfig(iters=None).n_merges(10), MergeConfig(iters=4).n_merges(10)
            (7, 4)
        """
        most = max(0, n_components - self.min_groups)
        return most if self.iters is None else min(self.iters, most)

    def resolved(self) -> dict[str, Any]:
        """Return every setting with its value, as plain JSON types: what determines a merge.

        Example:
            >>> MergeConfig().resolved()["merge_pair_sampling_kwargs"]
            {'threshold': 0.05}
        """
        # settings that an imported history does not state are None
        return self.model_dump(mode="json", warnings=False) | {
            "merge_pair_sampling_kwargs": self.sampler_kwargs
        }


_SAMPLER_BOUNDS = {
    "threshold": (0.0, 1.0, "0 to 1"),
    "temperature": (0.0, 1e300, "above 0"),
    "decay": (0.0, 1e300, "0 or more"),
}


def merge_settings_without_effect(merge: MergeConfig) -> list[str]:
    """Return a line for each setting of a merge that changes nothing.

    Example:
        >>> merge_settings_without_effect(MergeConfig(between_batches="mask"))
        ['between_batches: no effect with recompute_costs_every: 1, which stays on one batch']
    """
    if merge.between_batches == "mask" and merge.recompute_costs_every == 1:
        return ["between_batches: no effect with recompute_costs_every: 1, which stays on one batch"]
    return []
