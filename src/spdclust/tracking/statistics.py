"""The figures of every iteration that go to W&B, from a history alone."""

import math

import numpy as np

from spdclust.core.types import Float
from spdclust.merge.groups import merge_tree
from spdclust.merge.history import MergeHistory

EPSILON = 1e-3
"""Costs nearer to zero than this stay as they are in `merge_pair_cost_semilog[1e-3]`."""

WINDOW = 10
"""Merges over which `mdl_decrease_rate` is taken."""


def semilog(values: Float[np.ndarray, "*any"], epsilon: float = EPSILON) -> Float[np.ndarray, "*any"]:
    """Return values on a scale that is linear near zero and logarithmic beyond, with their sign.

    Example:
        >>> semilog(np.array([-1.0, 5e-4, 1e-3])).round(6).tolist()
        [-0.006909, 0.0005, 0.000693]

    Args:
        values: any numbers.
        epsilon: where the scale changes.

    Source:
        x for |x| < ε, else sign(x)·ε·ln(1 + |x|/ε), as the reference implementation logs it.
    """
    far = np.sign(values) * epsilon * np.log1p(np.abs(values) / epsilon)
    scaled: np.ndarray = np.where(np.abs(values) < epsilon, values, far)
    return scaled


def stat_records(
    history: MergeHistory,
    seconds: Float[np.ndarray, " iterations"],
    memory_mb: Float[np.ndarray, " iterations"],
) -> dict[str, np.ndarray]:
    """Return what is logged at `stat` intervals by name, one row per iteration, NaN where it is not known.

    Every figure is of the state after the merge, but for those of the merged pair: its groups, their
    numbers, and its rank and gap among all pairs are of the state before it.

    Example:
        >>> from spdclust.config.merge import MergeConfig
        >>> history = MergeHistory(
        ...     ["a:0", "a:1", "a:2"], np.array([[0, 1]]), np.array([2.5]), np.array([-1.0]), MergeConfig()
        ... )
        >>> records = stat_records(history, np.array([0.1]), np.array([np.nan]))
        >>> records["k_groups"].tolist(), records["groups/largest"].tolist()
        ([2], [2])

    Args:
        history: a whole merge, or as far as it is.
        seconds: how long each iteration took.
        memory_mb: memory of the process at each iteration.
    """
    n = history.n_iterations
    mdl, cost = history.mdl_loss, history.merge_pair_cost
    missing = np.full(n, np.nan)
    known = {name: np.asarray(record, dtype=np.float64) for name, record in history.records.items()}
    rank = known.get("pair_rank", missing)
    singletons, largest, squares = _sizes(history)
    k = history.k_groups
    back = np.maximum(np.arange(n) - WINDOW, 0)
    steps = np.arange(n) - back
    return {
        "k_groups": k,
        "mdl_loss": mdl,
        # what the reference implementation calls by this name; its mdl_loss is not divided by the samples
        "mdl_loss_norm": mdl,
        "mdl_decrease_rate": np.divide(mdl[back] - mdl, steps, out=np.full(n, np.nan), where=steps > 0),
        "merge_pair_cost": cost,
        "merge_pair_cost_semilog[1e-3]": semilog(cost),
        "merge_pair_cost_change": np.diff(cost, prepend=np.full(min(n, 1), np.nan)),
        "pair/first": history.selected_pairs[:, 0],
        "pair/second": history.selected_pairs[:, 1],
        "pair/rank": np.where(rank < 0, np.nan, rank),
        "pair/gap_to_best": known.get("gap_to_best", missing),
        "pair/size_first": known.get("size_first", missing),
        "pair/size_second": known.get("size_second", missing),
        "groups/singletons": singletons,
        "groups/non_singletons": k - singletons,
        "groups/largest": largest,
        "groups/size_variance": np.maximum(squares / k - (history.n_components / k) ** 2, 0),
        "time/iteration_seconds": seconds,
        "time/memory_mb": memory_mb,
    }  # fmt: skip


def _sizes(history: MergeHistory) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return singleton groups, size of the largest group, and sum of squared sizes after each merge."""
    _, names = merge_tree(history.selected_pairs, history.n_components)
    size = [1] * history.n_components
    singletons, largest, squares = history.n_components, 1, history.n_components
    rows = np.empty((3, history.n_iterations))
    for t, (kept, gone) in enumerate(names.tolist()):
        a, b = size[kept], size[gone]
        size[kept] = a + b
        singletons -= (a == 1) + (b == 1)
        largest = max(largest, a + b)
        squares += 2 * a * b
        rows[:, t] = singletons, largest, squares
    return rows[0].astype(np.int64), rows[1].astype(np.int64), rows[2]


def row(records: dict[str, np.ndarray], iteration: int) -> dict[str, float | int]:
    """Return one iteration of records as plain numbers, what is not known left out.

    Example:
        >>> row({"a": np.array([1, 2]), "b": np.array([np.nan, 0.5])}, 0)
        {'a': 1}
    """
    values = {name: column[iteration].item() for name, column in records.items()}
    return {
        name: value for name, value in values.items() if not (isinstance(value, float) and math.isnan(value))
    }
