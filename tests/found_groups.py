"""Groups with made-up evidence, as `find_groups` returns them."""

from collections.abc import Sequence

import numpy as np

from spdclust.groups.found import COLUMNS, FoundGroups, SharedMembers

UNTESTED = ("size", "support", "runs_exact", "runs_exact_low", "runs_exact_high")
"""Columns that are known without activation batches."""


def groups_by_hand(
    labels: list[str],
    members: Sequence[Sequence[str]],
    n_runs: int,
    *,
    shared: Sequence[tuple[str, int]] = (),
    threshold: float = 0.1,
    active_members: int = 2,
    tested: bool = True,
) -> FoundGroups:
    """Return groups of these labels with made-up evidence; `shared`: label and group."""
    number = {label: component for component, label in enumerate(labels)}
    rng = np.random.default_rng(0)
    group_idxs = np.full(len(labels), -1)
    for group, names in enumerate(members):
        group_idxs[[number[name] for name in names]] = group
    alone = group_idxs < 0
    group_idxs[alone] = len(members) + np.arange(alone.sum())
    per_run = rng.random((len(members), n_runs))
    columns = {name: rng.random(len(members)) for name in COLUMNS}
    columns |= {"size": np.array([len(names) for names in members]), "bits_saved": per_run.mean(axis=1)}
    columns |= {"runs_exact": rng.integers(0, n_runs + 1, len(members))}
    columns |= {"active_members": np.full(len(members), active_members)}
    if not tested:
        columns |= {name: np.full(len(members), np.nan) for name in COLUMNS if name not in UNTESTED}
    none = np.array([], dtype=np.int64)
    return FoundGroups(
        labels=labels,
        group_idxs=group_idxs,
        columns=columns,
        n_groups=len(members),
        bits={"alone": 9.0, "answer": 7.5} if tested else {},
        null_groups=np.array([0, 2]) if tested else none,
        null_groups_busy=np.array([1, 4]) if tested else none,
        bits_saved_runs=per_run if tested else np.full_like(per_run, np.nan),
        shared=SharedMembers(
            np.array([number[name] for name, _ in shared], dtype=np.int64),
            np.array([group for _, group in shared], dtype=np.int64),
            rng.random(len(shared)),
            rng.random(len(shared)),
        ),
        cohesion={"inside": {"mean": 0.5, "median": 0.5, "never": 0.0}} if tested else {},
        settings={"n_runs": n_runs} | ({"activation_threshold": threshold} if tested else {}),
        warnings=() if tested else ("There are no samples, so no evidence.",),
    )
