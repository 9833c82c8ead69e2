"""How one group was formed in the merge of a run: each merge inside it, and the activity of its parts."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from spdclust.core.errors import InputError
from spdclust.core.types import Bool, Labels
from spdclust.merge.history import MergeHistory
from spdclust.merge.sources import Batch

_ROWS = 1 << 16


@dataclass(frozen=True)
class Joining:
    """One merge that joined two parts of a group.

    Attributes:
        iteration: the merge of the run.
        first: members in one of the two merged groups.
        second: members in the other.
        n_others: components outside the group that were also in the two merged groups.
        n_runs: runs in which exactly these members are merged before another member joins them.
        n_first: samples on which any member of `first` is active.
        n_second: the same for `second`.
        n_both: samples on which both parts are active.
    """

    iteration: int
    first: Labels
    second: Labels
    n_others: int
    n_runs: int
    n_first: int = 0
    n_second: int = 0
    n_both: int = 0

    @property
    def jaccard(self) -> float:
        """Jaccard similarity of the activity of the two parts; NaN if neither is ever active."""
        either = self.n_first + self.n_second - self.n_both
        return self.n_both / either if either else float("nan")

    @property
    def never_together(self) -> bool:
        """Whether the two parts are never active on the same sample."""
        return self.n_both == 0


@dataclass(frozen=True)
class Formation:
    """How a group was formed in one run.

    Attributes:
        joinings: the merges that joined two parts of the group, in order.
        absent: members that were not part of the run's merge.
        apart: parts that the run never joined, largest first; a single part if it joined them all.
    """

    joinings: list[Joining]
    absent: Labels
    apart: list[Labels]
    n_samples: int


def explain_group(
    histories: Sequence[MergeHistory],
    members: Labels,
    run: int,
    batches: Iterable[Batch],
    *,
    threshold: float | None = None,
) -> Formation:
    """Return how the members of a group were merged in one run, and how the joined parts are active.

    `batches` are what that run was merged on. A component is active above `threshold`, by default that of the
    run's merge, or 0 if it had none.

    Example:
        >>> from spdclust.example_ensemble import example_activations, example_history
        >>> histories = [example_history(0), example_history(1)]
        >>> formation = explain_group(histories, ["attn:0", "attn:1", "mlp:0"], 0, [example_activations(0)])
        >>> [(each.iteration, each.first, each.second, each.n_runs) for each in formation.joinings]
        [(5, ['attn:0'], ['mlp:0'], 1), (7, ['attn:0', 'mlp:0'], ['attn:1'], 2)]
        >>> formation.joinings[1].n_both, round(formation.joinings[1].jaccard, 2)
        (35, 0.92)

    Raises:
        InputError: there is no such run, none of the members is part of it, or the batches lack a member.
    """
    if not 0 <= run < len(histories):
        raise InputError("no such run", field="run", found=run, allowed=f"0 to {len(histories) - 1}")
    history = histories[run]
    present = [label for label in members if label in set(history.labels)]
    if not present:
        raise InputError("no member was part of this run's merge", field="run", found=run)
    formed = Counter(union for each in histories for union in _unions(each, members))
    joined, apart = _joinings(history, members)
    joinings = [
        Joining(iteration, first, second, n_others, formed[frozenset(first + second)])
        for iteration, first, second, n_others in joined
    ]
    if threshold is None:
        threshold = history.config.activation_threshold or 0.0
    counts = np.zeros((len(joinings), 3), dtype=np.int64)
    n_samples = 0
    for batch in batches:
        column = {label: number for number, label in enumerate(batch.labels)}
        missing = next((label for label in present if label not in column), None)
        if missing is not None:
            raise InputError("batch lacks a component of its run", field="labels", found=missing)
        matrix = batch.matrix[:, [column[label] for label in present]]
        n_samples += matrix.shape[0]
        for start in range(0, matrix.shape[0], _ROWS):
            active = matrix[start : start + _ROWS].toarray() > threshold
            counts += _counted(dict(zip(present, active.T, strict=True)), joinings)
    return Formation(
        joinings=[
            Joining(each.iteration, each.first, each.second, each.n_others, each.n_runs, *row)
            for each, row in zip(joinings, counts.tolist(), strict=True)
        ],
        absent=[label for label in members if label not in set(present)],
        apart=sorted(apart, key=lambda part: (-len(part), part)),
        n_samples=n_samples,
    )


def closest_run(histories: Sequence[MergeHistory], members: Labels) -> int:
    """Return the run that forms a group best: the one that has the most similar group at any of its merges.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> closest_run([example_history(0), example_history(1)], ["attn:0", "attn:1", "mlp:0"])
        0

    Returns:
        The closest run by Jaccard similarity, the first one if tied.
    """
    best = []
    for history in histories:
        joined = _joinings(history, members)[0]
        closeness = [
            (len(first) + len(second)) / (len(members) + n_others) for _, first, second, n_others in joined
        ]
        best.append(max(closeness, default=0.0))
    return int(np.argmax(best))


def _joinings(
    history: MergeHistory, members: Labels
) -> tuple[list[tuple[int, Labels, Labels, int]], list[Labels]]:
    """Return the merges of two parts (iteration, parts, outside components), and the final parts."""
    order = {label: number for number, label in enumerate(members)}
    inside = {component: [label] for component, label in enumerate(history.labels) if label in order}
    size = np.ones(history.n_components, dtype=np.int64)
    joined = []
    names = history.group_names
    for iteration, (first, second) in enumerate(names.tolist()):
        size[first] += size[second]
        parts = inside.pop(first, None), inside.pop(second, None)
        both = sorted((parts[0] or []) + (parts[1] or []), key=order.__getitem__)
        if both:
            inside[first] = both
        if parts[0] and parts[1]:
            joined.append((iteration, parts[0], parts[1], int(size[first]) - len(both)))
    return joined, list(inside.values())


def _unions(history: MergeHistory, members: Labels) -> set[frozenset[str]]:
    return {frozenset(first + second) for _, first, second, _ in _joinings(history, members)[0]}


def _counted(active: dict[str, Bool[np.ndarray, " samples"]], joinings: Sequence[Joining]) -> np.ndarray:
    """Return, for each merge, the number of samples on which each part is active, and on which both are."""
    parts = {frozenset([label]): column for label, column in active.items()}
    counts = []
    for each in joinings:
        first, second = parts.pop(frozenset(each.first)), parts.pop(frozenset(each.second))
        counts.append((first.sum(), second.sum(), (first & second).sum()))
        parts[frozenset(each.first + each.second)] = first | second
    return np.array(counts, dtype=np.int64).reshape(-1, 3)
