"""The group analysis once more, slowly, on dense arrays: what its definitions say and nothing that makes it fast."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

from spdclust.config.merge import MergeConfig
from spdclust.groups.samples import BLOCKS_OF_ONE_RUN, Folds, fold_samples
from spdclust.merge.activations import ProcessedActivations
from spdclust.merge.history import MergeHistory

THRESHOLD = 0.1


@dataclass
class Ensemble:
    """Runs of batches, and per fold the active values as a dense array over all labels."""

    labels: list[str]
    own: list[list[str]]
    batches: list[list[ProcessedActivations]]
    dense: list[np.ndarray]

    @property
    def folds(self) -> Folds:
        return fold_samples(self.batches, self.labels, self.own, THRESHOLD)

    @property
    def histories(self) -> list[MergeHistory]:
        return [history(own) for own in self.own]


def history(labels, pairs=(), **provenance) -> MergeHistory:
    """A merge that did what it is given, mostly nothing."""
    pairs = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    nothing = np.zeros(len(pairs))
    config = MergeConfig(activation_threshold=THRESHOLD)
    return MergeHistory(list(labels), pairs, nothing, nothing, config, provenance=provenance)


def names(n: int) -> list[str]:
    return [f"m:{i:03d}" for i in range(n)]


def random_ensemble(seed: int, n_runs: int | None = None, n_components: int | None = None) -> Ensemble:
    """Groups, duplicates, silent and always active components, some missing in a run, batches of any size."""
    rng = np.random.default_rng(seed)
    n_runs = n_runs or int(rng.integers(1, 6))
    n = n_components or int(rng.choice([2, 3, 5, 8, 13]))
    labels = names(n)
    rates = rng.random(n) ** 3
    kinds = rng.integers(10, size=n)
    group = rng.integers(3, size=n)
    copied = rng.integers(n, size=n)
    scalar = rng.random() < 0.5
    own, batches, dense = [], [], []
    for _ in range(n_runs):
        missing = (rng.random(n) < 0.1) & (n_runs > 1)
        parts = []
        for _ in range(rng.integers(1, 4)):
            n_samples = int(rng.choice([1, 2, 7, 30, 120])) + 5 * (n_runs == 1)
            on = rng.random((n_samples, n)) < rates
            events = rng.random((n_samples, 3)) < 0.2
            for i in range(n):
                if kinds[i] < 4:
                    on[:, i] = events[:, group[i]] & (rng.random(n_samples) < 0.8)
                elif kinds[i] == 4:
                    on[:, i] = False
                elif kinds[i] == 5:
                    on[:, i] = True
                elif kinds[i] == 6:
                    on[:, i] = on[:, copied[i]]
            values = np.where(on, 0.15 + 0.85 * rng.random(on.shape) if scalar else 1.0, 0.0)
            if scalar:  # below the threshold, and just on it
                values = np.where(on, values, rng.choice([0.0, 0.05, THRESHOLD], on.shape))
            parts.append(np.where(missing, 0.9, values).astype(np.float32))
        order = rng.permutation(n + 1)
        extra = [*labels, "not.of.the.merge"]
        kept = [label for label, gone in zip(labels, missing, strict=True) if not gone]
        own.append([kept[i] for i in rng.permutation(len(kept))])
        batches.append(
            [
                ProcessedActivations.from_dense(
                    np.column_stack([part, np.ones(len(part), dtype=np.float32)])[:, order],
                    [extra[i] for i in order],
                )
                for part in parts
            ]
        )
        parts = [np.where((part > np.float32(THRESHOLD)) & ~missing, part, 0) for part in parts]
        if n_runs > 1:
            dense.append(np.concatenate(parts))
        else:
            dense = one_run_in_blocks(parts)
    return Ensemble(labels, own, batches, dense)


def one_run_in_blocks(parts: list[np.ndarray]) -> list[np.ndarray]:
    """Every batch in five consecutive blocks; a block has as many samples as if all had been dealt in turn."""
    blocks: list[list[np.ndarray]] = [[] for _ in range(BLOCKS_OF_ONE_RUN)]
    dealt = 0
    for part in parts:
        turns = [(dealt + i) % BLOCKS_OF_ONE_RUN for i in range(len(part))]
        dealt += len(part)
        start = 0
        for block in range(BLOCKS_OF_ONE_RUN):
            stop = start + turns.count(block)
            blocks[block].append(part[start:stop])
            start = stop
    return [np.concatenate(block) for block in blocks]


def similarity(values: np.ndarray) -> np.ndarray:
    """Value-weighted Jaccard similarity of all pairs of columns."""
    values = values.astype(np.float64)
    n = values.shape[1]
    result = np.zeros((n, n))
    for i, j in itertools.product(range(n), repeat=2):
        a, b = values[:, i], values[:, j]
        n_a, n_b = np.count_nonzero(a), np.count_nonzero(b)
        if n_a and n_b:
            a = a / np.sqrt(np.mean(a[a > 0] ** 2))
            b = b / np.sqrt(np.mean(b[b > 0] ** 2))
            result[i, j] = a @ b / (n_a + n_b - a @ b)
    return result


def forest(similar: np.ndarray, least: float) -> dict[frozenset[int], float]:
    """The nodes of the average-linkage tree of the full matrix that are as alike as `least`, with their height."""
    n = len(similar)
    below = [frozenset([i]) for i in range(n)]
    nodes = {}
    distance = 1 - similar
    np.fill_diagonal(distance, 0)
    for a, b, height, _ in linkage(squareform(distance.clip(0), checks=False), "average"):
        below.append(below[int(a)] | below[int(b)])
        if height <= 1 - least + 1e-7:
            nodes[below[-1]] = height
    return nodes


def rate(hits: int, trials: int) -> float:
    """Krichevsky and Trofimov's probability of the next hit."""
    return (hits + 0.5) / (trials + 1)


def coded(bits_of_fold: np.ndarray, others: np.ndarray) -> float:
    """Bits of coding booleans one by one, by the share of True among others."""
    p = rate(int(others.sum()), len(others))
    return float(sum(-math.log2(p if bit else 1 - p) for bit in bits_of_fold))


def saved_bits(dense: list[np.ndarray], members: list[int], gate: int) -> list[float]:
    """Bits that the code of a group saves in each fold: a gate, and every member given the gate."""
    saved = []
    for fold, values in enumerate(dense):
        active = values[:, members] > 0
        others = np.concatenate([each[:, members] > 0 for i, each in enumerate(dense) if i != fold])
        is_open, others_open = active.sum(1) >= gate, others.sum(1) >= gate
        bits = -coded(is_open, others_open)
        for i in range(len(members)):
            bits += coded(active[:, i], others[:, i])
            bits -= coded(active[is_open, i], others[others_open, i])
            bits -= coded(active[~is_open, i], others[~others_open, i])
        saved.append(bits)
    return saved


def gates(size: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, ... up to half of the members and one."""
    allowed = {2**k for k in range(12)} | {3 * 2**k for k in range(12)}
    return [m for m in range(1, size // 2 + 2) if m in allowed]


def evidence(dense: list[np.ndarray], members: list[int]) -> dict[int, list[float]]:
    """Bits saved in each fold, for every gate."""
    return {gate: saved_bits(dense, members, gate) for gate in gates(len(members))}
