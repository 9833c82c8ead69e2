"""Whether activations belong to another run than that at their place, according to what merges record."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from spdclust.core.errors import InputError
from spdclust.core.types import Int
from spdclust.groups.samples import Folds
from spdclust.merge.history import MergeHistory

_FEWEST_SINGLE = 3
"""Components with the same number of active samples that show whose activations these are."""


def check_order_of_digests(histories: Sequence[MergeHistory], batches: Sequence[Any]) -> None:
    """Check that no source of batches has the recorded digests of another run.

    Example:
        >>> from dataclasses import replace
        >>> from types import SimpleNamespace
        >>> from spdclust.example_ensemble import example_history
        >>> runs = [replace(example_history(run), provenance={"batches": [x]}) for run, x in enumerate("ab")]
        >>> check_order_of_digests(runs, [SimpleNamespace(digests=["b"]), SimpleNamespace(digests=["a"])])
        Traceback (most recent call last):
        ...
        spdclust.InputError: batches[0]: these are the batches of another run (found: those of histories[1],
        by its recorded digests; allowed: one batch or source of batches per run, in the order of the
        histories)

    Raises:
        InputError: one has, and not those of its own run.
    """
    recorded = [history.provenance.get("batches") for history in histories]
    for run, source in enumerate(batches):
        digests = getattr(source, "digests", None)
        if digests and any(recorded):
            matching = [
                other for other, known in enumerate(recorded) if known and known == digests[: len(known)]
            ]
            if matching and run not in matching:
                raise _of_another_run(run, matching[0], "its recorded digests")


def check_order_of_samples(
    histories: Sequence[MergeHistory],
    own: Sequence[Int[np.ndarray, "_"]],
    folds: Folds,
    runs: Sequence[int],
) -> None:
    """Check that the samples of no run are those of another one.

    A history records on how many samples its components are active. Histories that do not, and runs of
    several batches, are accepted.

    Example:
        >>> from spdclust.example_ensemble import example_activations, example_history
        >>> from spdclust.groups.samples import fold_samples
        >>> runs, acts = zip(*((example_history(run), example_activations(run)) for run in range(2)))
        >>> labels = sorted(acts[0].labels)
        >>> own = [np.array([labels.index(label) for label in run.labels]) for run in runs]
        >>> folds = fold_samples(acts[::-1], labels, [labels] * 2, 0.1)
        >>> check_order_of_samples(runs, own, folds, [0, 1])
        Traceback (most recent call last):
        ...
        spdclust.InputError: batches[0]: these are the batches of another run (found: those of histories[1],
        by the samples on which its components are active; allowed: one batch ...)

    Args:
        histories: all runs.
        own: for each run, the number of each of its components.
        folds: the samples, one fold for each of `runs`.
        runs: the runs of the folds.

    Raises:
        InputError: the samples of a run do not have the recorded numbers, and have those of another one.
    """
    if len(runs) != folds.n_folds:  # blocks of a single run
        return
    recorded = [_recorded_counts(history, of_run) for history, of_run in zip(histories, own, strict=True)]

    def agrees(run: int, fold: int) -> bool | None:
        """Return whether the numbers are the recorded ones; None if too few are recorded."""
        components, counts, n_samples = recorded[run]
        if len(components) < _FEWEST_SINGLE:
            return None
        equal = n_samples == folds.n_samples[fold] and np.array_equal(counts, folds.counts[fold, components])
        return bool(equal)

    for fold, run in enumerate(runs):
        if agrees(run, fold) is False:
            for other in range(len(histories)):
                if other != run and agrees(other, fold):
                    raise _of_another_run(run, other, "the samples on which its components are active")


def _recorded_counts(
    history: MergeHistory, own: Int[np.ndarray, " own"]
) -> tuple[Int[np.ndarray, " components"], Int[np.ndarray, " components"], int]:
    """Return components, on how many samples each was active before it was merged, and of how many."""
    n_samples = history.provenance.get("n_samples")
    names = [f"{kind}_{which}" for kind in ("size", "activity") for which in ("first", "second")]
    nothing = np.empty(0, dtype=np.int64)
    if not isinstance(n_samples, int) or history.is_scalar or any(n not in history.records for n in names):
        return nothing, nothing, 0
    # later merges may have read another batch
    stop = history.config.recompute_costs_every if history.config.recompute_costs_every > 1 else None
    sizes, shares = (
        np.stack([history.records[f"{kind}_{which}"][:stop] for which in ("first", "second")], axis=1)
        for kind in ("size", "activity")
    )
    is_single = sizes == 1
    components = own[history.group_names[:stop][is_single]]
    return components, np.rint(shares[is_single] * n_samples).astype(np.int64), n_samples


def _of_another_run(run: int, other: int, why: str) -> InputError:
    return InputError(
        "these are the batches of another run",
        field=f"batches[{run}]",
        found=f"those of histories[{other}], by {why}",
        allowed="one batch or source of batches per run, in the order of the histories",
    )
