"""Ensembles made without a model or a merge: one of the size of real decompositions, and the smallest ones."""

import json
from pathlib import Path

import numpy as np
from found_groups import groups_by_hand
from scipy import sparse

from spdclust.config.merge import MergeConfig
from spdclust.files.batches import ActivationBatch
from spdclust.files.groups import save_groups
from spdclust.files.histories import save_merge_history
from spdclust.merge.history import MergeHistory, pairs_from_names

MODULES = [
    f"h.{layer}.{part}"
    for layer in range(8)
    for part in ("attn.q_proj", "attn.o_proj", "mlp.c_fc", "mlp.down_proj")
]


def generate(folder: Path, *, n_components: int = 13_000, n_runs: int = 10, n_samples: int = 4096) -> Path:
    """Write the histories of an ensemble and one batch a run, as the workflow lays them out."""
    rng = np.random.default_rng(0)
    labels = [f"{MODULES[c % len(MODULES)]}:{c // len(MODULES)}" for c in range(n_components)]
    planted = _planted_groups(rng, n_components)
    for run in range(n_runs):
        history = _history(np.random.default_rng([1, run]), labels, planted, n_samples)
        path = folder / "demo" / "runs" / f"run_{run}" / "history.zip"
        path.parent.mkdir(parents=True)
        save_merge_history(history, path, group_idxs=False)
        batch = _batch(np.random.default_rng([2, run]), labels, planted, n_samples)
        batch.save(folder / "precomputed_batches" / f"run_{run}" / "batch_0.pt")
    groups = [np.flatnonzero(planted == group).tolist() for group in np.unique(planted)]
    named = [[labels[c] for c in members] for members in groups if len(members) > 1]
    shared = [(named[group - 1][0], group) for group in range(len(named))]
    save_groups(
        groups_by_hand(labels, named, n_runs, shared=shared), folder / "demo", ensemble=f"{folder.name}/demo"
    )
    (folder / "demo" / "clustering_run_config.json").write_text(json.dumps({"model_path": "generated"}))
    return folder / "demo"


def _planted_groups(rng: np.random.Generator, n: int) -> np.ndarray:
    sizes = np.minimum(rng.zipf(1.7, n), 200)
    return np.repeat(np.arange(n), sizes)[:n][rng.permutation(n)]


def _history(
    rng: np.random.Generator, labels: list[str], planted: np.ndarray, n_samples: int
) -> MergeHistory:
    """Merge within planted groups first (a twentieth of the components elsewhere), then what is left at random."""
    n = len(labels)
    moved = np.where(rng.random(n) < 0.05, rng.permutation(planted), planted)
    order = rng.permutation(n)
    by_group = order[np.argsort(moved[order], kind="stable")]
    inner = np.flatnonzero(np.diff(moved[by_group]) == 0)
    inside = list(zip(by_group[inner].tolist(), by_group[inner + 1].tolist(), strict=True))
    rng.shuffle(inside)
    across = list(zip(order[:-1].tolist(), order[1:].tolist(), strict=True))
    parent = list(range(n))

    def find(c: int) -> int:
        while parent[c] != c:
            parent[c] = parent[parent[c]]
            c = parent[c]
        return c

    names = []
    for a, b in [*inside, *across]:
        low, high = sorted((find(a), find(b)))
        if low != high and len(names) < n - 3:
            parent[high] = low
            names.append((low, high))
    t = np.arange(len(names))
    mdl = 5000 * ((t - len(inside)) / n) ** 2 + 900 + rng.normal(0, 0.5, len(t))
    shares = rng.integers(1, n_samples, (2, len(t))) / n_samples
    return MergeHistory(
        labels,
        pairs_from_names(np.array(names), n),
        mdl,
        np.diff(mdl, prepend=mdl[0]),
        MergeConfig(activation_threshold=0.1, iters=None),
        {"activity_first": shares[0], "activity_second": shares[1]},
        {"seed": [0, 0], "n_samples": n_samples, "batches": ["0" * 64], "spdclust": "0.1.0"},
    )


def _batch(
    rng: np.random.Generator, labels: list[str], planted: np.ndarray, n_samples: int, n_active: int = 100
) -> ActivationBatch:
    groups = rng.integers(0, planted.max() + 1, (n_samples, n_active // 4))
    rows, columns = [], []
    members = [np.flatnonzero(planted == group) for group in range(planted.max() + 1)]
    for sample, active in enumerate(groups):
        found = np.concatenate([members[group] for group in active])[:n_active]
        columns.append(found)
        rows.append(np.full(len(found), sample))
    where = (np.concatenate(rows), np.concatenate(columns))
    matrix = sparse.csr_array(
        (np.ones(len(where[0]), dtype=np.float32), where), shape=(n_samples, len(labels))
    )
    matrix.data[:] = 1
    return ActivationBatch.from_sparse(matrix, labels, seed=0)


def history(labels: list[str], pairs: list[list[int]]) -> MergeHistory:
    """Return a history of these merges, with made-up figures."""
    n = len(pairs)
    return MergeHistory(
        labels,
        np.array(pairs, dtype=np.int64).reshape(-1, 2),
        np.linspace(3.0, 2.0, n),
        np.full(n, -0.1),
        MergeConfig(min_groups=1, iters=None),
        {f"activity_{which}": np.full(n, 0.25) for which in ("first", "second")},
        {"n_samples": 8},
    )
