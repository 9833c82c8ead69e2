"""Check that costs stay finite in floating point: samplers cannot compare infinite costs."""

import numpy as np

from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError
from spdclust.core.types import Num

LARGEST_COST = 1e300
"""In counts; merges that certainly cost less than this are accepted."""


def check_costs_stay_finite(
    activity: Num[np.ndarray, " groups"], n_samples: int, n_components: int, config: MergeConfig
) -> None:
    """Reject input that could lead to an infinite cost, now or after any number of merges.

    The coactivation of unions of groups is at most groups² times the largest activity (Cauchy-Schwarz). So is
    their activity; as the plain sum of scalar activations it is at most groups² times the samples.

    Example:
        >>> check_costs_stay_finite(np.array([3.0, 5.0]), 10, 2, MergeConfig(alpha=1e308))
        Traceback (most recent call last):
        ...
        spdclust.InputError: alpha: costs of merges would be too large for floating-point numbers
        (found: 1e+308; allowed: a smaller one)

    Args:
        activity: activity of each group, as counts or sums of squares.
        n_samples: samples in the batch.
        n_components: number of components, the maximum size of a group.
        config: the settings of the merge.

    Raises:
        InputError: a cost could become infinite.
    """
    alpha, temperature = config.alpha, config.sampler_kwargs.get("temperature", 1.0)
    largest = max(float(activity.max(initial=0)), float(n_samples))
    bound = (2.0 * n_components * alpha + 64.0) * len(activity) ** 2 * largest
    if bound < LARGEST_COST * min(temperature, 1.0):
        return
    if bound < LARGEST_COST:
        field, found = "temperature", f"{temperature:g}"
        allowed = "a higher one, or the range sampler with threshold 0"
    elif alpha > largest:
        field, found, allowed = "alpha", f"{alpha:g}", "a smaller one"
    else:
        field, found = "activations", f"sums of squares up to {largest:g}"
        allowed = "activations divided by a constant"
    raise InputError(
        "costs of merges would be too large for floating-point numbers",
        field=field,
        found=found,
        allowed=allowed,
    )
