"""The stability analysis as flat tables and one short record, for files and figures."""

from typing import Any

import numpy as np

from spdclust.partitions.normalized import NormalizedHistories
from spdclust.stability.agreement import QUANTILES, Agreement
from spdclust.stability.analysis import Stability
from spdclust.stability.cut import mean_mdl
from spdclust.stability.null import NullAgreement

QUANTILE_COLUMNS = tuple(f"q{round(100 * level)}" for level in QUANTILES)
"""Names of the quantiles of a distance over run pairs: least (`q0`) to largest (`q100`)."""


def iteration_table(normalized: NormalizedHistories, stability: Stability) -> dict[str, np.ndarray]:
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
    kept = stability.agreement.iterations
    before = float(normalized.first_merges.mean())  # 0 unless aligned by the number of groups
    first_groups = normalized.n_groups(0).mean()  # every row has one group fewer in every run
    table: dict[str, np.ndarray] = {
        "iteration": kept,
        "merges": kept + 1 + (int(before) if before.is_integer() else before),
        "n_groups": first_groups - kept,
        "mdl": mean_mdl(normalized)[kept],
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


def component_rows(normalized: NormalizedHistories, stability: Stability) -> list[dict[str, Any]]:
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


def group_rows(normalized: NormalizedHistories, stability: Stability) -> list[dict[str, Any]]:
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
    normalized: NormalizedHistories, stability: Stability, *, stride: int = 1, seed: int = 0
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
