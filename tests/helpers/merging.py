"""What the tests of the merge share: activations with every kind of degenerate column, and merges by brute force."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

import numpy as np

from spdclust.config.merge import SAMPLER_KWARGS, MergeConfig
from spdclust.merge import loading
from spdclust.merge.activations import ProcessedActivations
from spdclust.merge.costs import _group_activations, compute_mdl_cost, relative_costs
from spdclust.merge.history import MergeHistory


def activations(dense: np.ndarray) -> ProcessedActivations:
    dense = np.asarray(dense)
    return ProcessedActivations.from_dense(dense, [f"m:{i}" for i in range(dense.shape[1])])


def random_dense(seed: int, n_samples: int, n_components: int, scalar: bool = False) -> np.ndarray:
    """Components of very different rates, some silent, always active, identical or tied."""
    rng = np.random.default_rng(seed)
    rates = rng.random(n_components) ** 3
    dense = (rng.random((n_samples, n_components)) < rates).astype(np.float32)
    for column in range(n_components):
        kind = rng.integers(12)
        if kind == 0:
            dense[:, column] = 0
        elif kind == 1:
            dense[:, column] = 1
        elif kind <= 3 and column:
            dense[:, column] = dense[:, rng.integers(column)]
        elif kind == 4 and column:  # as often active, elsewhere
            dense[:, column] = rng.permutation(dense[:, rng.integers(column)])
    if scalar:
        dense *= rng.random(dense.shape, dtype=np.float32)
    return dense


LIMITS = [2**16 - 1, 60, 5, 0]
"""Largest counts in narrow rows: as it is; some rows wide; most; all."""


@contextmanager
def narrow_up_to(limit: int) -> Iterator[None]:
    """Have batches loaded with wide rows for all groups that are active on more samples."""
    with mock.patch.object(loading, "NARROW", limit):
        yield


def config(method: str = "range", argument: float = 0.0, **settings: object) -> MergeConfig:
    (name,) = SAMPLER_KWARGS[method]
    defaults = {
        "activation_threshold": 0.5,
        "iters": None,
        "min_groups": 1,
        "filter_dead_threshold": 0.0,
        "merge_pair_sampling_method": method,
        "merge_pair_sampling_kwargs": {name: argument},
    }
    return MergeConfig.model_validate(defaults | settings)


@dataclass
class Step:
    """One merge of a history, seen by brute force just before it is done."""

    iteration: int
    pair: tuple[int, int]
    costs: np.ndarray
    """Costs of all pairs without the common term, counts: off-diagonal entries only have a meaning."""
    coact: np.ndarray
    common: float
    mdl_after: float


def steps(dense: np.ndarray, history: MergeHistory, every: int = 1) -> Iterator[Step]:
    """Walk a boolean merge, all computed from the samples at each step looked at; figures in counts."""
    threshold, alpha = history.config.activation_threshold, history.config.alpha
    groups = np.arange(dense.shape[1])
    for t, (i, j) in enumerate(history.selected_pairs.tolist()):
        before = groups
        groups = np.where(groups == j, i, groups)
        groups = groups - (groups > j)
        if t % every:
            continue
        active = _group_activations(dense, before, threshold)
        coact, ranks, k = active.T @ active, np.bincount(before), active.shape[1]
        merged = _group_activations(dense, groups, threshold)
        yield Step(
            iteration=t,
            pair=(i, j),
            costs=relative_costs(coact, ranks, alpha),
            coact=coact,
            common=float(np.trace(coact)) * float(np.log2((k - 1) / k)) if k > 1 else 0.0,
            mdl_after=compute_mdl_cost(merged.sum(axis=0), np.bincount(groups), alpha),
        )


def upper(matrix: np.ndarray) -> np.ndarray:
    return matrix[np.triu_indices(len(matrix), 1)]


def chi_square_limit(degrees: int) -> float:
    """A value that a true law exceeds once in a million."""
    from scipy.stats import chi2

    return float(chi2.isf(1e-6, degrees))


def chi_square(counts: np.ndarray, law: np.ndarray) -> tuple[float, int]:
    """Statistic and degrees of freedom, cells of fewer than five expected draws put together."""
    expected = law * counts.sum()
    order = np.argsort(expected)
    seen, wanted = [0.0], [0.0]
    for cell in order:
        if wanted[-1] >= 5:
            seen.append(0.0)
            wanted.append(0.0)
        seen[-1] += counts[cell]
        wanted[-1] += expected[cell]
    if wanted[-1] < 5 and len(wanted) > 1:
        seen[-2] += seen.pop()
        wanted[-2] += wanted.pop()
    o, e = np.array(seen), np.array(wanted)
    return float(((o - e) ** 2 / e).sum()), max(len(e) - 1, 1)
