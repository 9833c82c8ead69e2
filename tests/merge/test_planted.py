"""Groups planted in noise are found again."""

import numpy as np
import pytest
from merging import activations, config
from sklearn.metrics import adjusted_rand_score

from spdclust.merge.merging import merge_iteration


def planted(seed: int, n_groups: int, miss: float, spurious: float) -> tuple[np.ndarray, np.ndarray]:
    """Components act with their group, miss it at one rate and act alone at another."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(n_groups), 2 + np.arange(n_groups) % 5))
    groups = rng.random((4000, n_groups)) < 0.03 + 0.07 * rng.random(n_groups)
    dense = groups[:, truth] & (rng.random((4000, len(truth))) > miss)
    return dense | (rng.random(dense.shape) < spurious), truth


@pytest.mark.parametrize(
    ("miss", "spurious", "agreement"),
    [(0.0, 0.0, 1.0), (0.05, 0.001, 1.0), (0.15, 0.003, 0.99), (0.3, 0.005, 0.95)],
)
@pytest.mark.parametrize(("method", "argument"), [("range", 0.0), ("range", 0.01), ("exp_rank", 0.8)])
def test_planted_groups_are_recovered_at_the_least_description_length(
    method, argument, miss, spurious, agreement
) -> None:
    dense, truth = planted(3, 20, miss, spurious)
    history = merge_iteration(activations(dense), config(method, argument))
    found = history.group_idxs(history.best_iteration())
    # ranks above 0 are drawn too: now and then one joins what does not belong together
    assert adjusted_rand_score(truth, found) >= (agreement if method == "range" else 0.9)


def test_pure_noise_is_not_taken_for_the_planted_groups() -> None:
    dense, truth = planted(3, 20, 0.0, 0.0)
    shuffled = np.random.default_rng(0).permuted(dense, axis=0)
    history = merge_iteration(activations(shuffled), config())
    assert adjusted_rand_score(truth, history.group_idxs(history.best_iteration())) < 0.1
