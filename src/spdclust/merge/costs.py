"""The cost of a grouping and of merging two groups: the plain dense formulas, in float64; the limit of costs.

Deliberately slow and simple: the engine is tested against them. `docs/merge-math.md` derives them.
"""

from typing import Any

import numpy as np

from spdclust.config.merge import MergeConfig
from spdclust.core.arguments import checked, dense_array, real
from spdclust.core.errors import InputError
from spdclust.core.types import Float, Int, Num
from spdclust.merge.activations import ProcessedActivations

LARGEST_COST = 1e300
"""In counts; merges that certainly cost less than this are accepted."""


@checked(
    coact=dense_array(2, axes="(groups, groups)"),
    ranks=dense_array(1, axes="(groups,)"),
    alpha=real(at_least=0.0),
)
def compute_merge_costs(coact: Any, ranks: Any, alpha: float) -> Float[np.ndarray, "groups groups"]:
    """Return the change of the description length for merging each pair of groups.

    The change is linear in the coactivations: counts give total bits, and counts divided by the number of
    samples give bits per sample.

    Example:
        >>> coact = np.array([[4, 4, 0], [4, 4, 0], [0, 0, 2]]) / 8  # groups 0 and 1 always act together
        >>> compute_merge_costs(coact, [1, 1, 1], alpha=1.0).round(2).tolist()
        [[-1.23, -1.23, 0.02], [-1.23, -1.23, 0.02], [0.02, 0.02, -0.98]]

    Args:
        coact: `(groups, groups)` coactivations, the groups' own activities on the diagonal; NumPy array or
            torch tensor. Groups that cannot be merged at present have rows and columns of NaN.
        ranks: `(groups,)` number of components of each group.
        alpha: bits per component of an active group.

    Returns:
        Cost of each pair, symmetric, NaN where the coactivation is NaN. The diagonal is meaningless. The
        activity of NaN groups counts as 0 in the first term, which is the same for all pairs.

    Raises:
        InputError: the shapes do not fit, or `alpha` is negative.

    Source:
        ΔMDL(i, j) = (S − s_i − s_j)·log2((k−1)/k) + s_ij·log2(k−1) − (s_i + s_j)·log2 k
        + α·(s_ij·(r_i + r_j) − s_i·r_i − s_j·r_j), with s_ij = s_i + s_j − c_ij and S = Σ s.
    """
    c, r = _checked(coact, ranks, alpha)
    k = len(r)
    if k < 2:
        return np.full((k, k), np.nan)
    s = np.diag(c)
    sum_s = s[:, None] + s[None, :]
    sum_r = r[:, None] + r[None, :]
    sum_sr = (s * r)[:, None] + (s * r)[None, :]
    merged = sum_s - c
    costs: np.ndarray = (
        (np.nansum(s) - sum_s) * (np.log1p(-1 / k) / np.log(2))
        + merged * np.log2(k - 1)
        - sum_s * np.log2(k)
        + alpha * (merged * sum_r - sum_sr)
    )
    return costs


def relative_costs(coact: Any, ranks: Any, alpha: float) -> Float[np.ndarray, "groups groups"]:
    """Return the part of the cost that differs between pairs, in the order of operations used everywhere.

    Equal to `compute_merge_costs` minus S·log2((k−1)/k), which is the same for every pair. Samples on which
    only `i` is active now pay for the rank of `j`, and vice versa; samples on which both are active save an
    index:

        α·((s_i − c_ij)·r_j + (s_j − c_ij)·r_i) − c_ij·log2(k−1)

    With counts, everything in the outer brackets is an exact integer. Pairs whose costs are equal in exact
    arithmetic are therefore equal here too, whatever their orientation. Ties are determined on this value.

    Example:
        >>> coact = np.array([[4, 4, 0], [4, 4, 0], [0, 0, 2]])
        >>> relative_costs(coact, [1, 1, 1], alpha=1.0)[0].tolist()
        [-4.0, -4.0, 6.0]

    Raises:
        InputError: the shapes do not fit, or `alpha` is negative.
    """
    c, r = _checked(coact, ranks, alpha)
    k = len(r)
    if k < 2:
        return np.full((k, k), np.nan)
    s = np.diag(c)
    alone = s[:, None] - c
    extra = alone * r[None, :] + alone.T * r[:, None]
    costs: np.ndarray = alpha * extra - c * np.log2(k - 1)
    return costs


def compute_mdl_cost(activities: Any, ranks: Any, alpha: float) -> float:
    """Return the description length of a grouping: Σ s_g·(log2 k + α·r_g).

    Example:
        >>> compute_mdl_cost([0.5, 0.25], [1, 3], alpha=1.0)
        2.0

    Args:
        activities: `(groups,)` samples on which each group is active: as counts the result is in bits,
            divided by the number of samples it is in bits per sample. A NaN makes the result NaN.
        ranks: `(groups,)` number of components of each group.
        alpha: bits per component of an active group.

    Raises:
        InputError: the shapes do not fit.
    """
    s, r = _array(activities), _array(ranks)
    if s.ndim != 1 or s.shape != r.shape:
        raise InputError(
            "one rank per group is needed",
            field="ranks",
            found=r.shape,
            allowed=f"the shape of activities, {s.shape}",
        )
    if len(s) == 0:
        return 0.0
    return float((s * (np.log2(len(s)) + alpha * r)).sum())


def recompute_coacts_from_scratch(
    activations: Any,
    group_idxs: Int[np.ndarray, " components"],
    activation_threshold: float | None,
) -> Float[np.ndarray, "groups groups"]:
    """Return the coactivations of all groups from the activations of their components, densely.

    Example:
        >>> acts = [[0.9, 0.0, 0.2], [0.0, 0.8, 0.0]]
        >>> recompute_coacts_from_scratch(acts, np.array([0, 0, 1]), 0.1).tolist()
        [[2.0, 1.0], [1.0, 1.0]]

    Args:
        activations: `ProcessedActivations`, or a `(samples, components)` array or tensor.
        group_idxs: group of each component.
        activation_threshold: a component is active above this, a group when any member is, and the result
            counts samples. If None, a group's activation is the sum of its members' activations and the
            result holds sums of products.
    """
    groups = _group_activations(activations, group_idxs, activation_threshold)
    coact: np.ndarray = groups.T @ groups
    return coact


def _group_activations(
    activations: Any,
    group_idxs: Int[np.ndarray, " components"],
    activation_threshold: float | None,
) -> Float[np.ndarray, "samples groups"]:
    """Return every group's activation on every sample, dense: 0 or 1, or sums when the threshold is None."""
    dense = (
        activations.matrix.toarray()
        if isinstance(activations, ProcessedActivations)
        else _array(activations, keep_dtype=True)
    )
    # compared in the activations' own precision, as the reference implementation does
    values = dense.astype(np.float64) if activation_threshold is None else dense > activation_threshold
    n_groups = int(group_idxs.max()) + 1 if len(group_idxs) else 0
    groups = np.zeros((len(dense), n_groups))
    for component, group in enumerate(group_idxs):
        if activation_threshold is None:
            groups[:, group] += values[:, component]
        else:
            groups[:, group] = np.maximum(groups[:, group], values[:, component])
    return groups


def _checked(coact: Any, ranks: Any, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    c, r = _array(coact), _array(ranks)
    if c.ndim != 2 or c.shape[0] != c.shape[1]:
        raise InputError(
            "coactivations must be square", field="coact", found=c.shape, allowed="(groups, groups)"
        )
    if r.shape != (len(c),):
        raise InputError("one rank per group is needed", field="ranks", found=r.shape, allowed=f"({len(c)},)")
    if not alpha >= 0:
        raise InputError("alpha is negative", field="alpha", found=alpha, allowed="0 or more")
    return c, r


def _array(values: Any, keep_dtype: bool = False) -> np.ndarray:
    if hasattr(values, "detach"):  # a torch tensor, without importing torch here
        values = values.detach().cpu().numpy()
    return np.asarray(values) if keep_dtype else np.asarray(values, dtype=np.float64)


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
