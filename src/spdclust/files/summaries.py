"""`summary.json` of an ensemble, and its few lines for the terminal. Imports nothing slow."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from spdclust.files.atomic import write_text


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
    if "stability" in summary:
        lines += stability_lines(summary["stability"])
    figure = "stability.png" if "stability" in summary else "mdl.png"
    lines.append(f"  open next: {folder / 'plots' / figure}")
    return "\n".join(lines)


def stability_lines(stability: Mapping[str, Any]) -> list[str]:
    """Return what the stability analysis found, as lines for the terminal.

    Args:
        stability: see `summary.summarize_stability`.
    """
    last = stability["last_agreement"]
    where = "at no iteration" if last is None else f"last at iteration {last}"
    lines = [f"  all runs agree {where}"]
    names = {"least_mdl": "at the least mean description length", "stability_drop": "before stability drops"}
    for cut, at in stability["cuts"].items():
        lines.append(
            f"  {names.get(cut, 'at the chosen cut')}, {_span(at['n_groups'])} groups: "
            f"{at['n_contested_components']} contested components, support of the consensus "
            f"{at['mean_support']:.2f} (shuffled runs: {at['null_mean_support']:.2f})"
        )
    return lines


def _span(values: Sequence[float | int]) -> str:
    low, high = min(values), max(values)
    return f"{low:.4g}" if f"{low:.4g}" == f"{high:.4g}" else f"{low:.4g} to {high:.4g}"
