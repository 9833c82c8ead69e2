"""Whether costs stay within floating-point numbers: no sampler can compare infinite ones."""

import numpy as np

from spdclust.config.merge import MergeConfig
from spdclust.core.errors import InputError
from spdclust.core.types import Num

LARGEST_COST = 1e300
"""In counts; what is certain to cost less is merged."""


def check_costs_stay_finite(
    activity: Num[np.ndarray, " groups"], n_samples: int, n_components: int, config: MergeConfig
) -> None:
    """Refuse what could lead to an infinite cost, now or after any merges.

    No coactivation of unions of groups is above groups² times the largest activity (Cauchy-Schwarz), nor is
    their activity above that or, as the plain sum of scalar activations, above groups² times the samples.

    Example:
        >>> check_costs_stay_finite(np.array([3.0, 5.0]), 10, 2, MergeConfig(alpha=1e308))
        Traceback (most recent call last):
        ...
        spdclust.InputError: alpha: costs of merges would be too large for floating-point numbers
        (found: 1e+308; allowed: a smaller one)

    Args:
        activity: of each group, counts or sums of squares.
        n_samples: samples in the batch.
        n_components: number of components, the most that a group can have.
        config: the settings of the merge.

    Raises:
        InputError: it could.
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
