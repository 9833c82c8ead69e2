"""Results as plain data, for files and figures: the stability analysis in tables and one record; the summary.

Summaries are made, and printed, without importing numba.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from spdclust.core.types import Float, Int
from spdclust.groups.found import FoundGroups
from spdclust.merge.history import MergeHistory
from spdclust.partitions.normalized import NormalizedHistories
from spdclust.stability.agreement import QUANTILES, Agreement
from spdclust.stability.cut import mean_mdl

if TYPE_CHECKING:
    from spdclust.stability.analysis import Stability
    from spdclust.stability.null import NullAgreement


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
        numbers = np.arange(len(values)) if iterations is None else iterations
        row = max(0, int(np.searchsorted(numbers, cut, side="right")) - 1)
        iteration = int(numbers[row])
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
        >>> from spdclust.stability.summary import stability_record
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


QUANTILE_COLUMNS = tuple(f"q{round(100 * level)}" for level in QUANTILES)
"""Names of the quantiles of a distance over run pairs: least (`q0`) to largest (`q100`)."""


def iteration_table(normalized: NormalizedHistories, stability: "Stability") -> dict[str, np.ndarray]:
    """Return one row per analysed iteration, for the runs and for shuffled runs (`null.…`).

    Columns: `iteration`; `merges` made, `n_groups` and `mdl`, means over runs (groups of own components; bits
    per sample);
    `n_distinct` groupings; `n_equal_pairs` of runs; `<method>.mean` and `<method>.q0` … `<method>.q100` over
    run pairs, in the method's unit. For shuffled runs, these are means over shuffles; `q0` and `q100` are
    extremes over all shuffles, and `null.<method>.mean_least` and `mean_largest` the range of their means.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> from spdclust.stability.analysis import analyze_stability
        >>> normalized = example_normalized()
        >>> table = iteration_table(normalized, analyze_stability(normalized))
        >>> table["n_groups"][6:9].tolist(), table["adjusted_rand_dist.q50"][6:9].round(2).tolist()
        ([5.0, 4.0, 3.0], [0.12, 0.0, 0.63])
    """
    compared = stability.agreement.iterations
    before = float(normalized.first_merges.mean())  # 0 unless aligned by the number of groups
    first_groups = normalized.n_groups(0).mean()  # every row has one group fewer in every run
    table: dict[str, np.ndarray] = {
        "iteration": compared,
        "merges": compared + 1 + (int(before) if before.is_integer() else before),
        "n_groups": first_groups - compared,
        "mdl": mean_mdl(normalized)[compared],
    }
    both: tuple[tuple[str, Agreement | NullAgreement], ...] = (
        ("", stability.agreement),
        ("null.", stability.null_agreement),
    )
    for prefix, agreement in both:
        table[f"{prefix}n_distinct"] = agreement.n_distinct
        table[f"{prefix}n_equal_pairs"] = agreement.n_equal_pairs
        for method, mean in agreement.means.items():
            table[f"{prefix}{method}.mean"] = mean
            for column, name in enumerate(QUANTILE_COLUMNS):
                table[f"{prefix}{method}.{name}"] = agreement.quantiles[method][:, column]
    for method, ranges in stability.null_agreement.mean_ranges.items():
        table[f"null.{method}.mean_least"], table[f"null.{method}.mean_largest"] = ranges.T
    return table


def component_rows(normalized: NormalizedHistories, stability: "Stability") -> list[dict[str, Any]]:
    """Return one row per cut and component, most contested first.

    `consensus_group` is the row number in `group_rows`; the other columns are those of `ComponentStability`.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> from spdclust.stability.analysis import analyze_stability
        >>> normalized = example_normalized()
        >>> row = component_rows(normalized, analyze_stability(normalized))[0]
        >>> row["component"], row["partners"], row["contestedness"]
        ('attn:0', 2.0, 0.0)
    """
    number = {label: component for component, label in enumerate(normalized.labels)}
    return [
        {
            "cut": name,
            "component": row["component"],
            "consensus_group": int(at.coclustering.consensus.group_idxs[number[row["component"]]]),
            **{column: row[column] for column in ("partners", "contestedness", "consistency")},
        }
        for name, at in stability.cuts.items()
        for row in at.components.to_rows()
    ]


def group_rows(normalized: NormalizedHistories, stability: "Stability") -> list[dict[str, Any]]:
    """Return one row per cut and consensus group, largest first, with its support and its members' labels.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> from spdclust.stability.analysis import analyze_stability
        >>> normalized = example_normalized()
        >>> row = group_rows(normalized, analyze_stability(normalized))[0]
        >>> row["members"], row["size"], row["support"]
        (['attn:0', 'attn:1', 'mlp:0'], 3, 1.0)
    """
    rows = []
    for name, at in stability.cuts.items():
        groups = at.coclustering.consensus.to_rows(normalized.labels)
        groups.sort(key=lambda group: (-group["size"], group["group"]))
        rows += [{"cut": name, **group} for group in groups]
    return rows


def stability_record(
    normalized: NormalizedHistories, stability: "Stability", *, stride: int = 1, seed: int = 0
) -> dict[str, Any]:
    """Return a summary of the analysis as plain JSON types: agreement, divergence of pairs, the cuts.

    Example:
        >>> from spdclust.example_ensemble import example_normalized
        >>> from spdclust.stability.analysis import analyze_stability
        >>> normalized = example_normalized()
        >>> record = stability_record(normalized, analyze_stability(normalized))
        >>> at = record["cuts"]["least_mdl"]
        >>> at["iteration"], at["n_consensus_groups"], at["mean_support"], at["n_contested_components"]
        (7, 4, 1.0, 0)
    """
    agreement = stability.agreement
    return {
        "n_runs": normalized.n_runs,
        "run_names": list(normalized.run_names),
        "n_components": normalized.n_components,
        "n_iterations": normalized.n_iterations,
        "align": normalized.align,
        "stride": stride,
        "null_seed": seed,
        "n_shuffles": stability.null_agreement.n_shuffles,
        "methods": list(agreement.means),
        "last_agreement": agreement.last_agreement,
        "null_last_agreement": stability.null_agreement.last_agreement,
        "first_divergence": agreement.first_divergence.tolist(),
        "first_reconvergence": agreement.first_reconvergence.tolist(),
        "cuts": {
            name: {
                **at.to_dict(),
                "iteration": int(at.cut.merges[0] - normalized.first_merges[0])
                if name != "n_groups"
                else None,
                "n_contested_components": int((at.components.contestedness > 0).sum()),
            }
            for name, at in stability.cuts.items()
        },
    }
