"""What an ensemble found, in a few numbers."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from spdclust.merge.history import MergeHistory
from spdclust.types import Float, Int


def summarize(
    histories: Iterable[MergeHistory],
    distances: Mapping[str, Float[np.ndarray, "iterations runs runs"]],
    *,
    iterations: Int[np.ndarray, " iterations"] | None = None,
    stability: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the figures of an ensemble that a reader wants first.

    Example:
        >>> from spdclust.config.merge import MergeConfig
        >>> history = MergeHistory(
        ...     ["a:0", "a:1"], np.array([[0, 1]]), np.array([2.5]), np.array([-1.0]), MergeConfig()
        ... )
        >>> summary = summarize([history, history], {"matching_dist": np.zeros((1, 2, 2))})
        >>> summary["n_groups_at_least_mdl"], summary["distances"]["matching_dist"]["mean"]
        ([1, 1], 0.0)

    Args:
        histories: the runs.
        distances: by method, all of the same iterations.
        iterations: which iterations the distances are of; 0, 1, 2, … when left out.
        stability: the record of the stability analysis, see `stability_record`.

    Returns:
        Per run: components, merges, groups at the least description length and that length (bits per
        sample); per method: mean, least and largest distance between runs at the median such iteration, or
        the last one before it at which there are distances; per cut, where the stability analysis is given:
        groups, consensus groups and their support, contested components.
    """
    runs = list(histories)
    best = [history.best_iteration() for history in runs]
    cut = int(np.median(best))
    at_cut = {}
    for method, values in distances.items():
        kept = np.arange(len(values)) if iterations is None else iterations
        row = max(0, int(np.searchsorted(kept, cut, side="right")) - 1)
        iteration = int(kept[row])
        pairs = values[row][np.triu_indices(values.shape[1], k=1)]
        at_cut[method] = {
            "iteration": iteration,
            "mean": float(pairs.mean()),
            "min": float(pairs.min()),
            "max": float(pairs.max()),
        }
    found = {
        "n_runs": len(runs),
        "n_components": [history.n_components for history in runs],
        "n_iterations": [history.n_iterations for history in runs],
        "iteration_of_least_mdl": best,
        "n_groups_at_least_mdl": [int(history.k_groups[t]) for history, t in zip(runs, best, strict=True)],
        "least_mdl": [float(history.mdl_loss[t]) for history, t in zip(runs, best, strict=True)],
        "largest_group_at_least_mdl": [
            int(history.at(t).sizes().max()) for history, t in zip(runs, best, strict=True)
        ],
        "distances": at_cut,
    }
    if stability is not None:
        found["stability"] = summarize_stability(stability)
    return found


def summarize_stability(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the last agreement of all runs and a few numbers for each cut.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> from spdclust.stability.analysis import analyze_stability
        >>> from spdclust.stability.tables import stability_record
        >>> normalized = example_normalized()
        >>> found = summarize_stability(stability_record(normalized, analyze_stability(normalized)))
        >>> found["cuts"]["least_mdl"]["n_groups"], found["cuts"]["least_mdl"]["mean_support"]
        ([4, 4], 1.0)

    Args:
        record: of the stability analysis, see `stability_record`.
    """
    return {
        "last_agreement": record["last_agreement"],
        "cuts": {name: _at_cut(at) for name, at in record["cuts"].items()},
    }


def _at_cut(at: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "iteration": at["iteration"],
        "n_groups": at["cut"]["n_groups"],
        "n_consensus_groups": at["n_consensus_groups"],
        "mean_support": at["mean_support"],
        "null_mean_support": at["null"]["mean_support"],
        "n_contested_components": at["n_contested_components"],
    }
