"""A short numerical summary of an ensemble."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from spdclust.core.types import Float, Int
from spdclust.groups.found import FoundGroups
from spdclust.merge.history import MergeHistory


def summarize(
    histories: Iterable[MergeHistory],
    distances: Mapping[str, Float[np.ndarray, "iterations runs runs"]],
    *,
    iterations: Int[np.ndarray, " iterations"] | None = None,
    stability: Mapping[str, Any] | None = None,
    groups: FoundGroups | None = None,
) -> dict[str, Any]:
    """Return the main statistics of an ensemble.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> runs = [example_history(0), example_history(1)]
        >>> summary = summarize(runs, {"matching_dist": np.ones((11, 2, 2))})
        >>> summary["n_groups_at_least_mdl"], summary["distances"]["matching_dist"]["mean"]
        ([4, 4], 1.0)

    Returns:
        Per run: components, merges, groups at the least description length and that length (bits per
        sample). Per method: mean, least and largest distance between runs at the shortest mean description
        (without a stability analysis: at the median of the runs' shortest ones), or at the last earlier
        iteration with distances. Per cut, if the stability analysis is given: groups, consensus
        groups and their support, contested components. If groups are given: the result of `summarize_groups`.
        Without meaningful description lengths (scalar activations), the distances are those before stability
        drops or at the last merge, and the least description lengths are omitted.
    """
    runs = list(histories)
    known = all(history.has_description_length for history in runs)
    if known:
        best = [history.best_iteration() for history in runs]
    least_mdl = {} if stability is None else stability["cuts"].get("least_mdl", {})
    if least_mdl:
        cut = least_mdl["iteration"]
    elif known:
        cut = int(np.median(best))
    elif stability is not None:
        cut = stability["cuts"]["stability_drop"]["iteration"]
    else:
        cut = min(history.n_iterations for history in runs) - 1
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
        "distances": at_cut,
    }
    if known:
        at_best = list(zip(runs, best, strict=True))
        found |= {
            "iteration_of_least_mdl": best,
            "n_groups_at_least_mdl": [int(history.k_groups[t]) for history, t in at_best],
            "least_mdl": [float(history.mdl_loss[t]) for history, t in at_best],
            "largest_group_at_least_mdl": [int(history.at(t).sizes().max()) for history, t in at_best],
        }
    if stability is not None:
        found["stability"] = summarize_stability(stability)
    if groups is not None:
        found["groups"] = summarize_groups(groups)
    return found


def summarize_groups(found: FoundGroups) -> dict[str, Any]:
    """Return the number of groups found, the number expected by chance, and the bits they save.

    Example:
        >>> from spdclust.example_ensemble import example_found
        >>> summary = summarize_groups(example_found())
        >>> summary["n_groups"], summary["expected_false"], summary["n_alone"], summary["bits_answer"]
        (3, 0.25, 3, 2.3)

    Returns:
        `n_groups`, `n_alone`, `n_shared_members` (components), `expected_false` and `expected_busy` (groups
        per null run, with independent components and with each sample's number of active components
        preserved), `bits_alone` and `bits_answer` (held-out bits per sample; None without batches),
        `warnings`.
    """
    return {
        "n_groups": found.n_groups,
        "n_alone": found.n_alone,
        "n_shared_members": len(np.unique(found.shared.component)),
        "expected_false": found.expected_false if len(found.null_groups) else None,
        "expected_busy": float(found.null_groups_busy.mean()) if len(found.null_groups_busy) else None,
        "bits_alone": found.bits.get("alone"),
        "bits_answer": found.bits.get("answer"),
        "warnings": list(found.warnings),
    }


def summarize_stability(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the last iteration at which all runs agree and a few statistics of each cut.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> from spdclust.stability.analysis import analyze_stability
        >>> from spdclust.stability.tables import stability_record
        >>> normalized = example_normalized()
        >>> found = summarize_stability(stability_record(normalized, analyze_stability(normalized)))
        >>> found["cuts"]["least_mdl"]["n_groups"], found["cuts"]["least_mdl"]["mean_support"]
        ([4, 4], 1.0)
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
        "notes": list(at["cut"].get("notes", [])),
        "n_contested_components": at["n_contested_components"],
    }
