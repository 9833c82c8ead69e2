"""What an ensemble found, in a few numbers and a few lines."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.files.atomic import write_text
from spdclust.merge.history import MergeHistory
from spdclust.types import Float


def summarize(
    histories: Iterable[MergeHistory], distances: Mapping[str, Float[np.ndarray, "iterations runs runs"]]
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

    Returns:
        Per run: components, merges, groups at the least description length and that length (bits per
        sample); per method: mean, least and largest distance between runs at the median such iteration.
    """
    runs = list(histories)
    best = [history.best_iteration() for history in runs]
    cut = int(np.median(best))
    at_cut = {}
    for method, values in distances.items():
        iteration = min(cut, len(values) - 1)
        pairs = values[iteration][np.triu_indices(values.shape[1], k=1)]
        at_cut[method] = {
            "iteration": iteration,
            "mean": float(pairs.mean()),
            "min": float(pairs.min()),
            "max": float(pairs.max()),
        }
    return {
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


def save_summary(summary: Mapping[str, Any], path: str | Path) -> None:
    """Write `summary.json`.

    Raises:
        InputError: the file cannot be written.
    """
    write_text(path, json.dumps(summary, indent=2) + "\n")


def format_summaries(folders: Iterable[str | Path]) -> str:
    """Return a few lines on every ensemble that has a `summary.json`, and which file to open next.

    Example:
        >>> format_summaries(["no/such/folder"])
        ''
    """
    blocks = []
    for folder in map(Path, folders):
        file = folder / "summary.json"
        if file.is_file():
            blocks.append(_format(folder, json.loads(file.read_text(encoding="utf-8"))))
    return "\n\n".join(blocks)


def _format(folder: Path, summary: Mapping[str, Any]) -> str:
    lines = [
        f"{folder}: {summary['n_runs']} runs of {_span(summary['n_components'])} live components",
        f"  least description length {_span(summary['least_mdl'])} bits per sample, "
        f"at {_span(summary['n_groups_at_least_mdl'])} groups "
        f"(largest group: {_span(summary['largest_group_at_least_mdl'])} components)",
    ]
    for method, at_cut in summary["distances"].items():
        lines.append(
            f"  {method} between runs there: mean {at_cut['mean']:.4g} "
            f"(from {at_cut['min']:.4g} to {at_cut['max']:.4g})"
        )
    first = next(iter(summary["distances"]), None)
    figure = f"distances_{first}.png" if first else "mdl.png"
    lines.append(f"  open next: {folder / 'plots' / figure}")
    return "\n".join(lines)


def _span(values: list[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.4g}" if f"{low:.4g}" == f"{high:.4g}" else f"{low:.4g} to {high:.4g}"
