"""The comparison of a sweep's points on disk: `sweep.json` and its two tables."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spdclust.core.atomic import write_text
from spdclust.files.ensemble_folder import SWEEP_FILES
from spdclust.files.records import SweepRecord, read_record
from spdclust.files.tables import save_rows
from spdclust.stability.sweeps import distance_rows, point_rows


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

    Args:
        record: the result of `compare_points`.
        folder: output folder.

    Raises:
        InputError: a file cannot be written.
    """
    folder = Path(folder)
    for what, (columns, rows) in (("points", point_rows(record)), ("distances", distance_rows(record))):
        save_rows(rows, columns, folder / SWEEP_FILES[what])
    write_text(folder / SWEEP_FILES["record"], json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def load_sweep(path: str | Path) -> dict[str, Any]:
    """Read `sweep.json`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "sweep.json").write_text('{"swept": [], "points": [], "distances": {}}')
        ...     load_sweep(f"{folder}/sweep.json")
        Traceback (most recent call last):
        ...
        spdclust.InputError: ...sweep.json: points: ...

    Raises:
        InputError: the file does not exist or is not the comparison of a sweep.
    """
    return read_record(SweepRecord, path, "sweep.json")
