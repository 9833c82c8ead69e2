"""Stage: histories, distances, groups -> a short summary."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from spdclust.files.ensembles import load_distance_rows
from spdclust.files.groups import load_groups
from spdclust.files.histories import load_merge_histories
from spdclust.files.stability_reading import load_stability_record
from spdclust.files.summaries import save_summary
from spdclust.stability.summary import summarize


def summarize_ensemble(
    histories: Sequence[str | Path],
    distances: Mapping[str, str | Path],
    stability: str | Path,
    groups: str | Path,
    *,
    path: str | Path,
) -> None:
    """Write `summary.json`.

    Example:
        >>> import json, tempfile
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     place = write_example_ensemble(folder)
        ...     runs, path = [place.history(0), place.history(1)], Path(folder) / "summary.json"
        ...     found = place.folder / "stability.json", place.folder / "groups.json"
        ...     summarize_ensemble(runs, place.distances(), *found, path=path)
        ...     summary = json.loads(path.read_text())
        >>> summary["n_components"], summary["n_groups_at_least_mdl"]
        ([12, 12], [4, 4])

    Args:
        histories: the runs' files.
        distances: the distance files by method.
        stability: `stability.json`.
        groups: `groups.json`.
        path: output path.

    Raises:
        InputError: a file cannot be read or written.
    """
    rows = {method: load_distance_rows(file) for method, file in distances.items()}
    summary = summarize(
        load_merge_histories(histories),
        {method: between for method, (_, between) in rows.items()},
        iterations=next(iter(rows.values()))[0] if rows else None,
        stability=load_stability_record(stability),
        groups=load_groups(groups),
    )
    save_summary(summary, path)
