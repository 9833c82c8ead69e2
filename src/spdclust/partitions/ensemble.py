"""An ensemble of merges over one set of components, with one label order and number of rows for all runs.

Runs merged on the same samples cannot confirm each other; this finds them.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spdclust.core.arguments import check_fields, checked, instance, several, text, texts, truth
from spdclust.core.errors import InputError
from spdclust.core.provenance import check_one_model
from spdclust.core.types import Brief
from spdclust.merge.history import MergeHistory
from spdclust.merge.sources import as_batch_source, next_batch, stretches
from spdclust.partitions.normalized import NormalizedHistories as NormalizedHistories

ALIGNMENTS = ("iteration", "n_groups")
"""The quantity by which rows of different runs are aligned: the number of merges or the number of groups."""


@dataclass(frozen=True, eq=False, repr=False)
class MergeHistoryEnsemble(Brief):
    """Merge histories of the same model under the same settings, one per seed.

    Example:
        >>> from spdclust.config.merge import MergeConfig
        >>> pairs = np.array([[0, 1]])
        >>> history = MergeHistory(["m:0", "m:1"], pairs, np.zeros(1), np.zeros(1), MergeConfig())
        >>> ensemble = MergeHistoryEnsemble([history, history], run_names=["run_0", "run_1"])
        >>> len(ensemble), ensemble[0].n_iterations
        (2, 1)

    Attributes:
        histories: the runs, in order.
        run_names: name of each run in messages; `run_0`, `run_1`, … by default.
        allow_different_models: whether the histories may be of different models.

    Raises:
        InputError: no history, names that do not match the histories, a duplicate label in one run, or
            histories of different models, by the digests of their checkpoints.
    """

    histories: Sequence[MergeHistory]
    run_names: Sequence[str] = ()
    allow_different_models: bool = False

    def __post_init__(self) -> None:
        check_fields(
            self,
            histories=several(
                instance(MergeHistory, allowed="a MergeHistory"), "a list of MergeHistory, one per run"
            ),
            run_names=texts,
            allow_different_models=truth,
        )
        if not self.histories:
            raise InputError(
                "the ensemble has no runs", field="histories", allowed="at least one merge history"
            )
        if not self.run_names:
            object.__setattr__(self, "run_names", [f"run_{r}" for r in range(len(self.histories))])
        if len(self.run_names) != len(self.histories):
            raise InputError(
                "one name per run is needed",
                field="run_names",
                found=len(self.run_names),
                allowed=f"{len(self.histories)} names",
            )
        for name, history in zip(self.run_names, self.histories, strict=True):
            if len(set(history.labels)) != history.n_components:
                twice = next(label for label in history.labels if history.labels.count(label) > 1)
                raise InputError(
                    "label given twice", field=f"{name}.labels", found=twice, allowed="unique labels"
                )
        records = [
            (name, history.provenance) for name, history in zip(self.run_names, self.histories, strict=True)
        ]
        check_one_model(records, allowed=self.allow_different_models)

    def _facts(self) -> dict[str, object]:
        return {
            "runs": len(self),
            "components": _fewest_to_most(history.n_components for history in self),
            "merges": _fewest_to_most(history.n_iterations for history in self),
        }

    def __len__(self) -> int:
        return len(self.histories)

    def __iter__(self) -> Iterator[MergeHistory]:
        return iter(self.histories)

    def __getitem__(self, run: int) -> MergeHistory:
        return self.histories[run]


def _fewest_to_most(counts: Iterable[int]) -> int | str:
    found = sorted(set(counts))
    return found[0] if len(found) == 1 else f"{found[0]} to {found[-1]}"


@checked(align=text(*ALIGNMENTS), require_same_config=truth, allow_different_models=truth)
def normalize_ensemble(
    ensemble: MergeHistoryEnsemble | Sequence[MergeHistory],
    *,
    align: str = "iteration",
    require_same_config: bool = True,
    allow_different_models: bool = False,
) -> NormalizedHistories:
    """Align the runs of an ensemble to a common label order and number of rows.

    Example:
        >>> from spdclust.config.merge import MergeConfig
        >>> pairs = np.array([[0, 1], [0, 1]])
        >>> history = MergeHistory(["b:0", "a:0", "a:1"], pairs, np.zeros(2), np.zeros(2), MergeConfig())
        >>> normalized = normalize_ensemble([history, history])
        >>> normalized.labels, normalized.n_iterations, normalized.merges(0).tolist()
        (['a:0', 'a:1', 'b:0'], 2, [[2, 0], [2, 1]])

    Args:
        ensemble: the histories, one per run.
        align: `"iteration"` aligns the states after the same number of merges, from the first merge to the
            last one of the shortest run. `"n_groups"` aligns the states with the same number of groups of
            own components, over the numbers of groups that every run passes through after its first merge.
            The two differ only if runs have different numbers of live components.
        require_same_config: raise an error if runs were merged with different settings.
        allow_different_models: accept a sequence of histories of different models; a `MergeHistoryEnsemble`
            has its own argument.

    Raises:
        InputError: settings or models differ, a run has no merges, two runs share no component, or no number
            of groups is common to all runs.
    """
    if not isinstance(ensemble, MergeHistoryEnsemble):
        ensemble = MergeHistoryEnsemble(ensemble, allow_different_models=allow_different_models)
    configs = [history.settings() for history in ensemble]
    if require_same_config:
        _check_same_config(configs, ensemble.run_names)
    for name, history in zip(ensemble.run_names, ensemble, strict=True):
        if history.n_iterations == 0:
            raise InputError(
                "the history has no merges",
                field=f"{name}.selected_pairs",
                found=f"{history.n_components} components alive, min_groups {history.config.min_groups}",
                allowed="more components alive than min_groups: lower filter_dead_threshold or min_groups",
            )

    labels = sorted({label for history in ensemble for label in history.labels})
    number = {label: component for component, label in enumerate(labels)}
    own_components = [
        np.array([number[label] for label in history.labels], dtype=np.int64) for history in ensemble
    ]
    _check_overlap(own_components, len(labels), ensemble.run_names)

    n_merges = np.array([history.n_iterations for history in ensemble])
    n_own = np.array([len(own) for own in own_components])
    # n_own - 1 - t groups remain after merge t, so aligning by number of groups is a shift per run
    first_merges = n_own - n_own.min() if align == "n_groups" else np.zeros_like(n_own)
    n_iterations = int((n_merges - first_merges).min())
    if n_iterations < 1:
        short = int(np.argmin(n_merges - first_merges))
        raise InputError(
            "no number of groups is common to all runs",
            field="align",
            found=f"{ensemble.run_names[short]} stops at {n_own[short] - n_merges[short]} groups, "
            f"another run starts with {n_own.min()}",
            allowed="align='iteration', or longer merges",
        )
    return NormalizedHistories(
        labels=labels,
        run_names=list(ensemble.run_names),
        own_components=own_components,
        selected_pairs=[np.sort(history.selected_pairs.astype(np.int64), axis=1) for history in ensemble],
        group_names=[history.group_names for history in ensemble],
        mdl_loss=[np.asarray(history.mdl_loss, dtype=np.float64) for history in ensemble],
        first_merges=first_merges,
        n_iterations=n_iterations,
        align=align,
        configs=configs,
    )


def _check_same_config(configs: list[dict[str, Any]], run_names: Sequence[str]) -> None:
    for name, config in zip(run_names, configs, strict=True):
        for key, value in config.items():
            if value != configs[0][key]:
                raise InputError(
                    "the runs of an ensemble were merged under different settings",
                    field=f"merge_config.{key}",
                    found=f"{configs[0][key]!r} in {run_names[0]}, {value!r} in {name}",
                    allowed="one value for all runs",
                )


def _check_overlap(own: list[np.ndarray], n_components: int, run_names: Sequence[str]) -> None:
    present = np.zeros((len(own), n_components), dtype=np.float32)
    for run, components in enumerate(own):
        present[run, components] = 1
    apart = np.argwhere(present @ present.T == 0)
    if len(apart):
        first, second = apart[0]
        raise InputError(
            "two runs have no component in common",
            field="labels",
            found=f"{run_names[first]} and {run_names[second]}",
            allowed="runs of the same model",
        )


def runs_by_samples(
    histories: Sequence[MergeHistory], batches: Sequence[Any] | None = None
) -> list[list[int]]:
    """Return the numbers of the runs, grouped by equal samples, in the order of the first run of each group.

    Example:
        >>> from dataclasses import replace
        >>> from spdclust.example_ensemble import example_history
        >>> runs = [replace(example_history(run), provenance={"inputs": [x]}) for run, x in enumerate("aba")]
        >>> runs_by_samples(runs)
        [[0, 2], [1]]

    Args:
        histories: the runs. Samples are equal if their recorded digests are.
        batches: the activations of each run; without recorded digests, samples are equal if two runs have the
            same object, or equal activations in the same number of batches.
    """
    found: dict[object, list[int]] = {}
    in_memory: list[int] = []
    for run, history in enumerate(histories):
        inputs = history.provenance.get("inputs")
        key: object = tuple(inputs) if inputs else run
        if not inputs and batches is not None:
            key = next((other for other in in_memory if _are_equal(batches[other], batches[run])), run)
            in_memory.append(run)
        found.setdefault(key, []).append(run)
    return list(found.values())


_FEWEST_TO_COMPARE = 5
"""Samples; different draws of fewer, or without any activity, may well be equal."""


def _are_equal(one: Any, other: Any) -> bool:
    if one is other:
        return True
    try:
        first, second = as_batch_source(one), as_batch_source(other)
    except InputError:  # which the caller reports
        return False
    if list(first.labels) != list(second.labels) or first.n_batches != second.n_batches:
        return False
    if all(hasattr(source, "get_next_stored") for source in (first, second)):  # statistics are in the headers
        pairs = zip(first.component_stats(), second.component_stats(), strict=True)
        if not all(np.array_equal(*pair) for pair in pairs):
            return False
    n_samples = n_entries = 0
    are_equal = True
    for _ in range(first.n_batches):
        # to the last batch in any case: a source without `rewind` goes on where this one stops
        batches = next_batch(first), next_batch(second)
        for mine, theirs in itertools.zip_longest(*map(stretches, batches)) if are_equal else ():
            are_equal = mine is not None and theirs is not None and _same_entries(mine[1], theirs[1])
            if not are_equal:
                break
            n_samples += mine[1].shape[0]
            n_entries += mine[1].nnz
    return are_equal and n_samples >= _FEWEST_TO_COMPARE and n_entries > 0


def _same_entries(first: Any, second: Any) -> bool:
    return (first.shape, first.nnz) == (second.shape, second.nnz) and all(
        np.array_equal(getattr(first, part), getattr(second, part)) for part in ("indptr", "indices", "data")
    )


def warn_of_shared_samples(
    histories: Sequence[MergeHistory], batches: Sequence[Any] | None = None
) -> list[str]:
    """Return a warning for each set of runs that share samples.

    Example:
        >>> from dataclasses import replace
        >>> from spdclust.example_ensemble import example_history
        >>> runs = [replace(example_history(run), provenance={"inputs": ["a"]}) for run in range(3)]
        >>> warn_of_shared_samples(runs)
        ['Runs 0, 1 and 2 were merged on the same samples and differ only in random choices: their agreement
        (support, exact runs, distances) does not show that a group holds on other samples.']
        >>> warn_of_shared_samples(runs[:1])
        []
    """
    warnings = [
        f"Runs {_listed(runs)} were merged on the same samples and differ only in random choices: their "
        "agreement (support, exact runs, distances) does not show that a group holds on other samples."
        for runs in runs_by_samples(histories, batches)
        if len(runs) > 1
    ]
    inputs = [set(history.provenance.get("inputs", [])) for history in histories]
    partly = [run for run, own in enumerate(inputs) if any(own & other and own != other for other in inputs)]
    if partly:
        warnings.append(
            f"Some batches of runs {_listed(partly)} hold the same samples: these runs are not independent, "
            "so their agreement and the bits saved are overstated."
        )
    return warnings


def _listed(runs: Sequence[int]) -> str:
    *first, last = map(str, runs)
    return f"{', '.join(first)} and {last}" if first else last
