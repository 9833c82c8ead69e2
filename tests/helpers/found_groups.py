"""Groups with made-up evidence, as `find_groups` returns them, and the nodes of a Newick text."""

import json
import re
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


TOKEN = re.compile(r"'(?:[^']|'')*'|\[&[^\]]*\]|:[-0-9.e+]+|[(),;]")


def parsed_newick(text: str) -> dict[frozenset[str], dict[str, str | float]]:
    """Return the nodes of a Newick text by the labels below each: their comments and branch lengths."""
    nodes, stack, last = {}, [], None
    assert "".join(TOKEN.findall(text)) == text.strip()
    for token in TOKEN.findall(text):
        if token == "(":
            stack.append([])
            continue
        if token == ")":
            last = frozenset().union(*stack.pop())
        elif token.startswith("'"):
            last = frozenset([token[1:-1].replace("''", "'")])
        elif token.startswith("["):
            nodes.setdefault(last, {}).update(part.split("=") for part in token[2:-1].split(","))
            continue
        elif token.startswith(":"):
            nodes.setdefault(last, {})["length"] = float(token[1:])
            continue
        else:
            continue
        nodes.setdefault(last, {})
        if stack:
            stack[-1].append(last)
    return nodes


def assert_same_groups(found: FoundGroups, other: FoundGroups) -> None:
    """Two results are equal in all that is written."""
    assert (other.labels, other.n_groups, other.warnings) == (found.labels, found.n_groups, found.warnings)
    np.testing.assert_array_equal(other.group_idxs, found.group_idxs)
    np.testing.assert_array_equal(other.null_groups, found.null_groups)
    np.testing.assert_array_equal(other.null_groups_busy, found.null_groups_busy)
    for name in COLUMNS:
        np.testing.assert_array_equal(other.columns[name], found.columns[name])
    for name in ("bits", "cohesion", "settings"):  # as text, in which NaN equals NaN
        assert json.dumps(getattr(other, name)) == json.dumps(getattr(found, name))
    if found.n_groups:
        np.testing.assert_array_equal(other.bits_saved_runs, found.bits_saved_runs)
    for name in ("component", "group", "bits", "share"):
        np.testing.assert_array_equal(getattr(other.shared, name), getattr(found.shared, name))
    assert (other.tree is None) == (found.tree is None)
    if found.tree is not None:
        for name in ("children", "height", "bits", "bits_se", "group"):
            np.testing.assert_array_equal(getattr(other.tree, name), getattr(found.tree, name))
