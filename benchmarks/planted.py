"""Activations with known groups: twelve laws of how components fire, and three kinds of data without groups.

A group is a set of components that fire on the same events. Sizes follow Pareto(1.1) from 2 to 60, groups are
active on 10^U(-3, -1) of the samples, and a quarter of the components belongs to no group and fires by
itself. Each law changes one thing that real components do; `all` combines them.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from spdclust import ProcessedActivations

BACKGROUND = 0.25
SMALLEST, LARGEST = 2, 60


@dataclass(frozen=True)
class Law:
    """How components of a group fire.

    Attributes:
        drop_out: share of its group's events on which a member is silent.
        false_firing: firing on other samples, as a share of the group's rate.
        contexts: each sample belongs to one of ten contexts; a group is six times as active in two of them.
        always_on: so many components of no group are active on 97 % of the samples, independently.
        hierarchy: groups come in threes, of which two are likely to be active on a shared event.
        overlap: share of the members that also belong to a second group.
        polysemantic: share of the members that also fire by themselves, up to three times as often.
        rare: share of the groups that are active on 1 of 10,000 samples only.
    """

    drop_out: float = 0.1
    false_firing: float = 0.0
    contexts: bool = False
    always_on: int = 0
    hierarchy: bool = False
    overlap: float = 0.0
    polysemantic: float = 0.0
    rare: float = 0.0


LAWS = {
    "drop-out .1": Law(),
    "drop-out .3": Law(drop_out=0.3),
    "drop-out .5": Law(drop_out=0.5),
    "false firing .1": Law(false_firing=0.1),
    "false firing .5": Law(false_firing=0.5),
    "contexts": Law(contexts=True),
    "always on": Law(always_on=30),
    "hierarchy": Law(hierarchy=True),
    "overlap": Law(overlap=0.15),
    "polysemantic": Law(polysemantic=0.2),
    "rare": Law(rare=0.4),
    "all": Law(0.3, 0.1, True, 30, True, 0.15, 0.2, 0.4),
}

INDEPENDENT = {
    "independent": (0, 0.0),
    "independent, 30 of rate .97": (30, 0.97),
    "independent, 50 of rate .25": (50, 0.25),
}


@dataclass(frozen=True)
class Planted:
    """One ensemble of runs over the same components.

    Attributes:
        runs: one `ProcessedActivations` a run.
        groups: the members of each planted group; they overlap under the law `overlap`.
        primary: `(components,)` the group that a component belongs to first; -1 for none.
    """

    runs: list[ProcessedActivations]
    groups: list[np.ndarray]
    primary: np.ndarray


def planted(
    law: str, seed: int, n_components: int = 600, n_samples: int = 20_000, n_runs: int = 5
) -> Planted:
    """Draw an ensemble under one of `LAWS` or `INDEPENDENT`; the same arguments give the same activations."""
    rng = np.random.default_rng([seed, *law.encode()])
    labels = [f"m.{component // 100}:{component % 100}" for component in range(n_components)]
    if law in INDEPENDENT:
        n_busy, busy_rate = INDEPENDENT[law]
        rates = 10 ** rng.uniform(-3, -1, n_components)
        rates[:n_busy] = busy_rate
        runs = [
            ProcessedActivations.from_sparse(_alone(rates, n_samples, rng), labels) for _ in range(n_runs)
        ]
        return Planted(runs, [], np.full(n_components, -1))
    model = _Model(LAWS[law], n_components, rng)
    runs = [ProcessedActivations.from_sparse(model.draw(n_samples, rng), labels) for _ in range(n_runs)]
    return Planted(runs, model.groups, model.primary)


class _Model:
    """Which components belong together under a law, and how often everything fires."""

    def __init__(self, law: Law, n_components: int, rng: np.random.Generator) -> None:
        self.law, self.n_components = law, n_components
        order = rng.permutation(n_components)
        n_members = n_components - max(int(BACKGROUND * n_components), law.always_on)
        sizes: list[int] = []
        while sum(sizes) < n_members - SMALLEST:
            size = int(SMALLEST * rng.random() ** (-1 / 1.1))
            sizes.append(min(size, LARGEST, n_members - sum(sizes)))
        edges = np.cumsum([0, *sizes])
        self.groups = [np.sort(order[a:b]) for a, b in itertools.pairwise(edges)]
        n_groups = len(self.groups)
        self.primary = np.full(n_components, -1)
        for group, members in enumerate(self.groups):
            self.primary[members] = group
        background = order[edges[-1] :]

        self.rates = 10 ** rng.uniform(-3, -1, n_groups)
        self.rates[rng.permutation(n_groups)[: int(law.rare * n_groups)]] = 1e-4
        grouped = np.flatnonzero(self.primary >= 0)
        alone = np.zeros(n_components)
        alone[background] = 10 ** rng.uniform(-3, -1, len(background))
        alone[background[: law.always_on]] = 0.97
        alone[grouped] = law.false_firing * self.rates[self.primary[grouped]]
        mixed = rng.permutation(grouped)[: int(law.polysemantic * len(grouped))]
        alone[mixed] += rng.uniform(0.5, 3, len(mixed)) * self.rates[self.primary[mixed]]
        self.alone = np.minimum(alone, 0.97)

        for component in rng.permutation(grouped)[: int(law.overlap * len(grouped))]:
            second = int(rng.integers(n_groups - 1))
            second += second >= self.primary[component]
            self.groups[second] = np.sort(np.append(self.groups[second], component))
        self.parents = rng.permutation(n_groups) // 3
        self.contexts = rng.random((n_groups, 10)).argsort(1) < 2

    def draw(self, n_samples: int, rng: np.random.Generator) -> sparse.csr_array:
        law = self.law
        active = _alone(self.alone, n_samples, rng).tocsc()
        context = rng.integers(10, size=n_samples)
        parent_events: dict[int, np.ndarray] = {}
        rows, columns = [], []
        for group, members in enumerate(self.groups):
            rate = np.full(n_samples, self.rates[group])
            if law.contexts:  # two contexts of ten at six times the others' rate: the mean rate is kept
                rate *= np.where(self.contexts[group][context], 3.0, 0.5)
            if law.hierarchy:
                rate *= 0.6
            on = rng.random(n_samples) < rate
            if law.hierarchy:
                parent = int(self.parents[group])
                if parent not in parent_events:
                    siblings = np.flatnonzero(self.parents == parent)
                    shared = self.rates[siblings].min() * 0.4 / 0.6
                    parent_events[parent] = rng.random(n_samples) < shared
                on |= parent_events[parent] & (rng.random(n_samples) < 0.6)
            events = np.flatnonzero(on)
            fires = rng.random((len(events), len(members))) >= law.drop_out
            event, member = np.nonzero(fires)
            rows.append(events[event])
            columns.append(members[member])
        row, column = np.concatenate(rows), np.concatenate(columns)
        shape = (n_samples, self.n_components)
        fired = sparse.csr_array((np.ones(len(row), dtype=np.float32), (row, column)), shape=shape)
        return _ones(fired + active)


def _alone(rates: np.ndarray, n_samples: int, rng: np.random.Generator) -> sparse.csr_array:
    """Draw components that fire by themselves at the given rates."""
    samples = [rng.choice(n_samples, rng.binomial(n_samples, rate), replace=False) for rate in rates]
    indptr = np.cumsum([0, *(len(each) for each in samples)])
    indices = np.concatenate(samples)
    shape = (n_samples, len(rates))
    return sparse.csc_array((np.ones(len(indices), dtype=np.float32), indices, indptr), shape=shape).tocsr()


def _ones(matrix: sparse.csr_array) -> sparse.csr_array:
    matrix = sparse.csr_array(matrix)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix
