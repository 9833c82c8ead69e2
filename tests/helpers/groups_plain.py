"""The group analysis once more, slowly, on dense arrays: what its definitions say and nothing that makes it fast."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

from spdclust.config.merge import MergeConfig
from spdclust.groups.evidence import log_evidence
from spdclust.groups.samples import BLOCKS_OF_ONE_RUN, Folds, fold_samples
from spdclust.groups.trees import Tree
from spdclust.merge.activations import ProcessedActivations
from spdclust.merge.history import MergeHistory, _group_idxs_at

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
        n_batches = int(rng.integers(1, 4))
        for batch in range(n_batches):
            # a single run needs a sample a block in all, but its first batches may have fewer
            n_samples = int(rng.choice([1, 2, 7, 30, 120])) + 5 * (n_runs == 1 and batch == n_batches - 1)
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


def chosen(
    tree: Tree,
    bits: dict[int, np.ndarray],
    n_codes: int,
    without: dict[int, np.ndarray],
    false_alarm: float,
    alone: np.ndarray | None = None,
) -> list[int]:
    """What is best below each part of a node stays, unless the node saves more than both, beyond chance.

    `alone` is what every fold and component saves by itself.
    """
    limit = math.log2(n_codes / false_alarm)

    def settle(node: int) -> tuple[tuple[int, ...], np.ndarray | float]:
        if node < tree.n_leaves:
            return (), 0.0 if alone is None else alone[:, node]
        a, b = (settle(part) for part in tree.children[node - tree.n_leaves].tolist())
        below, saved = a[0] + b[0], a[1] + b[1]
        if node not in bits or not without[node].any():
            return below, saved
        more = bits[node] - saved
        counted = more[without[node]]
        evidence = counted.max() + math.log2((2.0 ** (counted - counted.max())).sum() / len(more))
        return ((node,), bits[node]) if more.sum() > 0 and evidence >= limit else (below, saved)

    roots = np.flatnonzero(tree.parents < 0).tolist()
    return sorted(itertools.chain.from_iterable(settle(root)[0] for root in roots))


def coded_by_others(hits: list[int], trials: list[int], fold: int) -> float:
    """Bits that code the hits of one fold by the rate in the others."""
    p = rate(sum(hits) - hits[fold], sum(trials) - trials[fold])
    return -hits[fold] * math.log2(p) - (trials[fold] - hits[fold]) * math.log2(1 - p)


def acts_with(
    dense: list[np.ndarray], group: list[int], at_least: int, own: list[int], own_gate: int, i: int
):
    """What the samples on which a component's own group, itself left out, is inactive say about it and a group.

    Returns the bits saved in each fold, the share of the group's events on which it is active, and the overlap of
    the two in units of the samples on which it is as active as usual.
    """
    alone, inactive, hits, trials = [], [], [], []
    energy_both = energy_alone = 0.0
    for values in dense:
        active = values > 0
        others = [j for j in own if j != i]
        free = (
            active[:, others].sum(1) < min(own_gate, len(others)) if own else np.ones(len(values), dtype=bool)
        )
        event = active[:, group].sum(1) >= at_least
        inactive.append(int(free.sum()))
        alone.append(int((free & active[:, i]).sum()))
        trials.append(int((free & event).sum()))
        hits.append(int((free & event & active[:, i]).sum()))
        energy_both += np.square(values[free & event, i], dtype=np.float64).sum()
        energy_alone += np.square(values[free, i], dtype=np.float64).sum()
    pooled = np.concatenate(dense)[:, i].astype(np.float64)
    usual = np.square(pooled[pooled > 0]).mean() if pooled.any() else 1.0
    both = energy_both / usual
    overlap = both / max(energy_alone / usual + sum(trials) - both, 1)
    saved = [
        coded_by_others(alone, inactive, fold)
        - coded_by_others(hits, trials, fold)
        - coded_by_others([a - h for a, h in zip(alone, hits, strict=True)], [n - t for n, t in zip(inactive, trials, strict=True)], fold)
        for fold in range(len(dense))
    ]  # fmt: skip
    return saved, sum(hits) / sum(trials) if sum(trials) else 0.0, overlap


def memberships(dense, groups, gates, false_alarm) -> dict[tuple[int, int], tuple[list[float], float, float]]:
    pooled = np.concatenate(dense) > 0
    n_components = pooled.shape[1]
    own_of = {i: g for g, group in enumerate(groups) for i in group.tolist()}
    found = {}
    for g, group in enumerate(groups):
        event = pooled[:, group].sum(1) >= gates[g]
        usual_share = np.mean([pooled[event, j].mean() if event.any() else 0.0 for j in group])
        for i in range(n_components):
            if own_of.get(i) == g:
                continue
            own = own_of.get(i)
            saved, share, overlap = acts_with(
                dense,
                group.tolist(),
                gates[g],
                groups[own].tolist() if own is not None else [],
                gates[own] if own is not None else 0,
                i,
            )
            evidence = float(log_evidence(np.array(saved)))
            enough = math.log2(len(groups) * n_components / false_alarm)
            alike = overlap >= 1 / 9 * (1 - 1e-9)
            if share >= usual_share / 2 and alike and sum(saved) > 0 and evidence >= enough:
                found[i, g] = saved, share, share / usual_share
    return found


def completed(groups: list[list[int]], full: set[tuple[int, int]]) -> list[list[int]]:
    """The groups after listing full members, `(component, group)`, of several groups in complete ones."""
    now = [list(group) for group in groups]
    whole = [sorted({*group, *(i for i, to in full if to == g)}) for g, group in enumerate(groups)]

    def rivals(g: int) -> list[int]:
        return [h for h in range(len(whole)) if h != g and set(whole[h]) & set(whole[g])]

    def first(g: int) -> tuple[float, int]:
        return -(len(whole[g]) ** 0.5) / math.fsum(len(whole[h]) ** 0.5 for h in rivals(g)), min(groups[g])

    done: list[int] = []
    for g in sorted((g for g in range(len(whole)) if rivals(g)), key=first):
        rest = [[i for i in group if i not in whole[g]] for group in now]
        rest[g] = whole[g]
        if not set(done) & set(whole[g]) and min(len(group) for group in rest) >= 2:
            now, done = rest, done + whole[g]
    return now


def clusters_ever(pairs: np.ndarray, own: np.ndarray) -> set[frozenset[int]]:
    """Every group of two or more that a merge had at any time."""
    found = set()
    for iteration in range(len(pairs)):
        groups = _group_idxs_at(pairs, len(own), iteration)
        found |= {frozenset(own[groups == g].tolist()) for g in set(groups.tolist())}
    return {each for each in found if len(each) > 1}


def bits_alone(dense: list[np.ndarray]) -> np.ndarray:
    """Bits of coding every component by itself in each fold, `(folds, components)`."""
    bits = np.zeros((len(dense), dense[0].shape[1]))
    for fold, values in enumerate(dense):
        others = np.concatenate([each for i, each in enumerate(dense) if i != fold])
        bits[fold] = [coded(a > 0, b > 0) for a, b in zip(values.T, others.T, strict=True)]
    return bits


def regret(dense: list[np.ndarray]) -> np.ndarray:
    """Bits that each component would save in each fold at the rate that it has there."""
    shortest = np.zeros((len(dense), dense[0].shape[1]))
    for fold, values in enumerate(dense):
        for i, on in enumerate((values > 0).T):
            p = on.mean()
            if 0 < p < 1:
                shortest[fold, i] = sum(-math.log2(p if bit else 1 - p) for bit in on)
    return np.maximum(bits_alone(dense) - shortest, 0)


def described(dense: list[np.ndarray], members: list[int], gate: int) -> dict[str, float]:
    """The columns of a group that its samples determine."""
    pooled, n_samples = np.concatenate(dense), [len(each) for each in dense]
    active, similar = pooled > 0, similarity(pooled)
    per_sample = np.array(evidence(dense, members)[gate]) / n_samples
    pairs = list(itertools.combinations(sorted(members), 2))
    both = [similar[pair] * (active[:, list(pair)].sum()) / (1 + similar[pair]) for pair in pairs]
    lift = [
        b * len(active) / active[:, i].sum() / active[:, j].sum()
        for b, (i, j) in zip(both, pairs, strict=True)
    ]
    return {
        "size": len(members),
        "bits_saved": per_sample.mean(),
        "bits_saved_se": per_sample.std(ddof=1) / np.sqrt(len(per_sample)),
        "activity": (active[:, members].sum(1) >= gate).mean(),
        "cohesion": np.mean([similar[pair] for pair in pairs]),
        "lift": np.median(lift),
    }
