"""Distances over whole trajectories: ours against computing every iteration from scratch, and at full size.

    python benchmarks/distances.py            # everything, a few minutes
    python benchmarks/distances.py --quick    # the comparison at 500 components only

Ensembles are generated: 10 runs, merged down to 3 groups. Three kinds, from kind to cruel:

- planted: components in planted groups of about 40; every run merges along its own random edges, inside the
  groups first and with a few strays between them, then across. Runs agree in part, a giant group grows late.
- random: every run merges along random edges of its own: no agreement, a giant group emerges at half-way.
- balanced: every run always merges its two smallest groups, runs ignore each other: at every iteration nearly
  all groups hang together in one connected component of the assignment problem. The worst case known.
"""

import argparse
import heapq
import resource
import time
from collections.abc import Callable
from itertools import combinations

import numpy as np
from scipy.optimize import linear_sum_assignment

from spdclust.config.merge import MergeConfig
from spdclust.core.names import METHODS
from spdclust.merge.history import MergeHistory, pairs_from_names
from spdclust.partitions.distances import compute_all_distances
from spdclust.partitions.ensemble import NormalizedHistories, normalize_ensemble

N_RUNS, MIN_GROUPS, SEED = 10, 3, 0
Names = np.ndarray
"""(merges, 2) smallest components of the merged groups."""


def planted(n: int, rng: np.random.Generator) -> Names:
    size, n_edges = 40, 30 * n
    inside = rng.integers(0, n, n_edges)
    partner = np.minimum(inside // size * size + rng.integers(0, size, n_edges), n - 1)
    across = rng.integers(0, n, (2, n_edges))
    stray = rng.random(n_edges) < 0.001
    order = np.argsort(np.concatenate([rng.random(n_edges), rng.random(n_edges) + ~stray]))
    return along_edges(n, np.append(inside, across[0])[order], np.append(partner, across[1])[order])


def random(n: int, rng: np.random.Generator) -> Names:
    first, second = rng.integers(0, n, (2, 40 * n))
    return along_edges(n, first, second)


def balanced(n: int, rng: np.random.Generator) -> Names:
    groups = [(1, float(rng.random()), name) for name in range(n)]
    heapq.heapify(groups)
    merges = []
    while len(groups) > MIN_GROUPS:
        a, b = heapq.heappop(groups), heapq.heappop(groups)
        merges.append(sorted((a[2], b[2])))
        heapq.heappush(groups, (a[0] + b[0], float(rng.random()), min(a[2], b[2])))
    return np.array(merges)


def along_edges(n: int, first: np.ndarray, second: np.ndarray) -> Names:
    """Merge the groups of both ends of every edge in turn (Kruskal's algorithm)."""
    parent = list(range(n))

    def root(x: int) -> int:
        while parent[x] != x:
            parent[x] = parent[parent[x]]
            x = parent[x]
        return x

    merges = []
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        a, b = sorted((root(a), root(b)))
        if a != b:
            parent[b] = a
            merges.append((a, b))
            if len(merges) == n - MIN_GROUPS:
                break
    # a few components may have met no edge: they join the first group at the end
    rest = [x for x in range(1, n) if parent[x] == x]
    merges += [(0, x) for x in rest[: n - MIN_GROUPS - len(merges)]]
    return np.array(merges)


def ensemble(kind: Callable[[int, np.random.Generator], Names], n: int) -> list[MergeHistory]:
    labels = [f"m:{i:05}" for i in range(n)]
    config = MergeConfig(iters=None)
    runs = []
    for run in range(N_RUNS):
        names = kind(n, np.random.default_rng((SEED, n, run))).astype(np.int64)
        zeros = np.zeros(len(names))
        runs.append(MergeHistory(labels, pairs_from_names(names, n), zeros, zeros, config))
    return runs


def dense_table(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    k, m = int(first.max()) + 1, int(second.max()) + 1
    return np.bincount(first * m + second, minlength=k * m).reshape(k, m)


def direct(normalized: NormalizedHistories) -> tuple[float, float, np.ndarray, np.ndarray]:
    """Seconds for dense assignment and for pair counting at every pair and iteration, and their results."""
    shape = (normalized.n_iterations, normalized.n_runs, normalized.n_runs)
    hamming, matching = np.zeros(shape), np.zeros(shape)
    spent = [0.0, 0.0]
    for t, rows in enumerate(normalized.iterate_rows()):
        for i, j in combinations(range(normalized.n_runs), 2):
            start = time.perf_counter()
            table = dense_table(rows[i], rows[j])
            built = time.perf_counter()
            kept = table[linear_sum_assignment(table, maximize=True)].sum()
            hamming[t, i, j] = hamming[t, j, i] = normalized.n_components - kept
            solved = time.perf_counter()
            squares = (table.sum(0) ** 2).sum() + (table.sum(1) ** 2).sum() - 2 * (table**2).sum()
            matching[t, i, j] = matching[t, j, i] = squares / 2
            counted = time.perf_counter()
            spent[0] += solved - start
            spent[1] += (counted - solved) + (built - start)
    return spent[0], spent[1], hamming, matching


def ours(normalized: NormalizedHistories, methods: list[str], n_workers: int) -> tuple[float, dict]:
    start = time.perf_counter()
    distances = compute_all_distances(normalized, methods, n_workers=n_workers)
    return time.perf_counter() - start, distances


def compare(n: int, n_workers: int) -> None:
    print(f"\n{n} components, {N_RUNS} runs, every iteration, seconds")
    print(
        f"{'kind':10} {'dense assignment':>17} {'pair counting':>14} {'ours, all six':>14} {'ratio':>7} equal"
    )
    for kind in (planted, random, balanced):
        normalized = normalize_ensemble(ensemble(kind, n))
        taken, distances = ours(normalized, list(METHODS), n_workers)
        assignment, counting, hamming, matching = direct(normalized)
        equal = np.array_equal(hamming, distances["perm_invariant_hamming"]) and np.array_equal(
            matching, distances["matching_dist"]
        )
        print(
            f"{kind.__name__:10} {assignment:17.2f} {counting:14.2f} {taken:14.3f} "
            f"{assignment / taken:7.0f} {'yes' if equal else 'NO'}",
            flush=True,
        )


def alone(sizes: list[int], n_workers: int) -> None:
    print(f"\nours alone, {N_RUNS} runs, every iteration, {n_workers} threads, seconds")
    columns = ["normalise", "matching_dist", "perm_invariant_hamming", "all six"]
    print(f"{'kind':10} {'components':>10} " + " ".join(f"{c:>13}" for c in columns) + f" {'peak MB':>8}")
    for kind in (planted, random, balanced):
        taken: dict[int, list[float]] = {}
        for n in sizes:
            histories = ensemble(kind, n)
            start = time.perf_counter()
            normalized = normalize_ensemble(histories)
            taken[n] = [time.perf_counter() - start]
            for methods in (["matching_dist"], ["perm_invariant_hamming"], list(METHODS)):
                taken[n].append(ours(normalized, methods, n_workers)[0])
            row = " ".join(
                f"{seconds:{max(13, len(c))}.2f}" for c, seconds in zip(columns, taken[n], strict=True)
            )
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{kind.__name__:10} {n:10} {row} {peak:8.0f}", flush=True)
        growth = np.log(np.array(taken[8_000]) / taken[2_000]) / np.log(4)
        row = " ".join(
            f"{'n^' + format(p, '.1f'):>{max(13, len(c))}}" for c, p in zip(columns, growth, strict=True)
        )
        print(f"{'':10} {'2k to 8k':>10} {row}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="only the comparison at 500 components")
    parser.add_argument("--workers", type=int, default=2, help="threads (default 2)")
    arguments = parser.parse_args()
    ours(normalize_ensemble(ensemble(planted, 20)), list(METHODS), 1)  # compile
    compare(500, arguments.workers)
    if not arguments.quick:
        alone([2_000, 8_000, 13_000], arguments.workers)
