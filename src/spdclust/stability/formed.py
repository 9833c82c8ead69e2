"""Groups that every run forms at some iteration, with identical members."""

import hashlib
from collections.abc import Iterable, Sequence

from spdclust.core.types import Labels
from spdclust.merge.history import MergeHistory


def groups_formed_by_all(histories: Iterable[MergeHistory]) -> list[Labels]:
    """Return the largest groups of two or more components that every run contains at some iteration.

    The iteration may differ between runs. A group inside a larger such group is omitted.

    Example:
        >>> import numpy as np
        >>> from spdclust.config.merge import MergeConfig
        >>> from spdclust.merge.activations import ProcessedActivations
        >>> from spdclust.merge.merging import merge_iteration
        >>> dense = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
        >>> acts = ProcessedActivations.from_dense(dense, ["a:0", "a:1", "b:0", "b:1"])
        >>> config = MergeConfig(iters=1, min_groups=1, merge_pair_sampling_kwargs={"threshold": 0})
        >>> groups_formed_by_all([merge_iteration(acts, config, seed) for seed in (0, 1)])
        [['a:0', 'a:1']]

    Args:
        histories: the runs; for a single run, the result is its final groups.
    """
    formed = [_formed(history) for history in histories]
    if not formed:
        return []
    common = set(formed[0]).intersection(*formed[1:])
    kept: list[frozenset[str]] = []
    covered: set[str] = set()
    # groups of one run are nested or disjoint, so one covered label means that the whole group is covered
    for group in sorted((formed[0][key] for key in common), key=len, reverse=True):
        if covered.isdisjoint(group):
            kept.append(group)
            covered |= group
    order = {label: number for number, label in enumerate(_labels(formed))}
    return sorted((sorted(group, key=order.__getitem__) for group in kept), key=lambda group: order[group[0]])


def _formed(history: MergeHistory) -> dict[int, frozenset[str]]:
    """Return every group that a run forms, by a number that identifies its members."""
    numbers = [_number(label) for label in history.labels]
    members = [frozenset([label]) for label in history.labels]
    formed: dict[int, frozenset[str]] = {}
    for pair in history.selected_pairs.tolist():
        i, j = min(pair), max(pair)
        numbers[i] += numbers[j]
        members[i] |= members[j]
        del numbers[j], members[j]
        formed[numbers[i]] = members[i]
    return formed


def _labels(formed: Sequence[dict[int, frozenset[str]]]) -> list[str]:
    return sorted({label for group in formed[0].values() for label in group}, key=_natural)


def _natural(label: str) -> tuple[str, int, str]:
    module, _, index = label.rpartition(":")
    return (module, int(index), "") if index.isdigit() else (module, -1, label)


def _number(label: str) -> int:
    """Return a number such that sums over different sets of labels differ, except with probability 2⁻¹²⁸."""
    return int.from_bytes(hashlib.sha256(label.encode()).digest()[:17])
