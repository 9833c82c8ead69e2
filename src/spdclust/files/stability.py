"""Write what a stability analysis leaves: of an ensemble, or of the comparison of a sweep's points."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.core.atomic import write_text
from spdclust.core.errors import InputError
from spdclust.files.archive import PARTS, Member, write_archive
from spdclust.files.ensemble_folder import STABILITY_FILES, SWEEP_FILES
from spdclust.files.tables import save_columns, save_rows
from spdclust.partitions.normalized import NormalizedHistories
from spdclust.stability.analysis import SIZE_COLUMNS, Stability
from spdclust.stability.coclustering import coclustering_frequency
from spdclust.stability.cut import groups_at
from spdclust.stability.sweeps import distance_rows, point_rows
from spdclust.stability.tables import component_rows, group_rows, iteration_table, stability_record


def save_stability(
    normalized: NormalizedHistories,
    stability: Stability,
    folder: str | Path,
    *,
    stride: int = 1,
    seed: int = 0,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write the files of `STABILITY_FILES` into a folder.

    Example:
        >>> import tempfile
        >>> from spdclust.example_ensemble import example_normalized
        >>> from spdclust.stability.analysis import analyze_stability
        >>> normalized = example_normalized()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_stability(normalized, analyze_stability(normalized), folder)
        ...     sorted(path.name for path in Path(folder).iterdir())[:2]
        ['stability.json', 'stability_coclustering.npz']

    Raises:
        InputError: a file cannot be written.
    """
    path = {what: Path(folder) / name for what, name in STABILITY_FILES.items()}
    save_columns(iteration_table(normalized, stability), path["iterations"])
    save_rows(stability.sizes.to_rows(), ["iteration", "merges", "run", *SIZE_COLUMNS], path["sizes"])
    save_rows(
        component_rows(normalized, stability),
        ["cut", "component", "consensus_group", "partners", "contestedness", "consistency"],
        path["components"],
    )
    groups = [
        group | {"members": json.dumps(group["members"], ensure_ascii=False)}
        for group in group_rows(normalized, stability)
    ]
    save_rows(groups, ["cut", "group", "size", "support", "members"], path["groups"])
    _save_coclustering(normalized, stability, path["coclustering"])
    record = stability_record(normalized, stability, stride=stride, seed=seed)
    record |= {} if provenance is None else {"provenance": dict(provenance)}
    write_text(path["record"], json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def save_sweep(record: Mapping[str, Any], folder: str | Path) -> None:
    """Write the files of `SWEEP_FILES` into a folder.

    Example:
        >>> import tempfile
        >>> record = {"swept": ["alpha"], "points": [{"name": "a", "values": {"alpha": 1}, "n_runs": 2}]}
        >>> record["distances"] = {"jaccard_dist": {"runs": [[0.1]]}}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_sweep(record, folder)
        ...     Path(folder, SWEEP_FILES["points"]).read_text().split()
        ['name,alpha,n_runs', 'a,1,2']

    Raises:
        InputError: a file cannot be written.
    """
    folder = Path(folder)
    for what, (columns, rows) in (("points", point_rows(record)), ("distances", distance_rows(record))):
        save_rows(rows, columns, folder / SWEEP_FILES[what])
    write_text(folder / SWEEP_FILES["record"], json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def _save_coclustering(normalized: NormalizedHistories, stability: Stability, path: str | Path) -> None:
    """Write `stability_coclustering.npz`: the co-clustering frequencies at each cut.

    A cut with more pairs than `MAX_STORED_PAIRS` is omitted and marked by `<cut>.left_out`.

    Raises:
        InputError: the file cannot be written.
    """
    members: dict[str, Member] = {"labels.npy": np.array(normalized.labels)}
    for name, at in stability.cuts.items():
        try:
            frequency = coclustering_frequency(groups_at(normalized, at.cut))
        except InputError as error:
            members[f"{name}.left_out.npy"] = np.array(str(error))
            continue
        parts = (frequency.data, frequency.indices, frequency.indptr, np.array(frequency.shape))
        members |= {f"{name}.{part}.npy": array for part, array in zip(PARTS, parts, strict=True)}
    write_archive(path, members)
