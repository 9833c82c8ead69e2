"""Runs that were merged on the same samples, which cannot confirm each other."""

from collections.abc import Sequence
from typing import Any

from spdclust.merge.history import MergeHistory


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
            same object.
    """
    found: dict[object, list[int]] = {}
    for run, history in enumerate(histories):
        inputs = history.provenance.get("inputs")
        same_object = id(batches[run]) if batches is not None else run
        found.setdefault(tuple(inputs) if inputs else same_object, []).append(run)
    return list(found.values())


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

    Args:
        histories: the runs.
        batches: as in `runs_by_samples`.
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
