"""Compile the kernels that finding groups needs before it starts, in one process at a time."""

import numpy as np

from spdclust.core.compiling import ensure_compiled
from spdclust.groups.describe import cohesion
from spdclust.groups.evidence import evidence_of_groups, select_nodes
from spdclust.groups.members import find_memberships
from spdclust.groups.nulls import null_folds
from spdclust.groups.samples import fold_samples
from spdclust.merge.activations import ProcessedActivations


def warm_up(*, with_values: bool = True) -> None:
    """Compile the kernels that find groups, or load them from the cache.

    Jobs that start at the same time on one file system wait for the first one to compile.

    Example:
        >>> warm_up()

    Args:
        with_values: for activations with values; otherwise for sets of active components.
    """
    name = "values" if with_values else "sets"
    ensure_compiled(f"groups, {name}", lambda: _find_little(0.5 if with_values else 1.0))


def _find_little(value: float) -> None:
    together = np.arange(64) % 4 == 0
    active = np.stack([together, together, together, ~together], 1).astype(np.float32)
    active[0] *= value
    labels = [f"m:{i}" for i in range(4)]
    acts = ProcessedActivations.from_dense(active, labels)
    folds = fold_samples([acts, acts], labels, [labels] * 2, 0.01)
    sums, tree, *_ = select_nodes(folds, 1)
    groups = [np.array([0, 1])]
    cohesion(sums, [*groups, np.array([2, 3])])
    find_memberships(folds, groups, evidence_of_groups(folds, groups, 1), 1)
    tree.best_overlaps(groups)
    for keep_busy in (False, True):
        null_folds(folds, 0, keep_busy=keep_busy)
