"""The null baseline: the same merges among shuffled components, so that nothing but group sizes is shared."""

from dataclasses import replace

from spdclust.ensemble import NormalizedHistories
from spdclust.types import make_generator


def permute_labels(normalized: NormalizedHistories, seed: int = 0) -> NormalizedHistories:
    """Shuffle, in every run on its own, which component is which.

    Group sizes at every iteration, and which components are missing from a run, stay as they are; who is
    grouped with whom becomes chance. Any agreement that is left is due to group sizes alone.

    Example:
        >>> import numpy as np
        >>> from spdclust.config.merge import MergeConfig
        >>> from spdclust.ensemble import normalize_ensemble
        >>> from spdclust.merge.history import MergeHistory
        >>> pairs = np.array([[0, 1]])
        >>> run = MergeHistory(["a", "b", "c", "d"], pairs, np.zeros(1), np.zeros(1), MergeConfig())
        >>> null = permute_labels(normalize_ensemble([run, run]), seed=1)
        >>> sorted(np.bincount(null.merge_array_rows(0)[0]).tolist())
        [1, 1, 2]

    Args:
        normalized: the ensemble.
        seed: of the shuffles; run `r` draws from the generator of `(seed, r)`.
    """
    return replace(
        normalized,
        own_components=[
            make_generator((seed, run)).permutation(own) for run, own in enumerate(normalized.own_components)
        ],
    )
