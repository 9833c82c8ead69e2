"""The comparison of a sweep's points on disk: `sweep.json` and its two tables."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spdclust.errors import InputError
from spdclust.files.atomic import write_text
from spdclust.files.tables import save_rows
from spdclust.sweeps.names import SWEEP_FILES
from spdclust.sweeps.tables import distance_rows, point_rows


def save_sweep(record: Mapping[str, Any], folder: str | Path) -> None:
    """Write the files of `SWEEP_FILES` into a folder.

    Args:
        record: see `compare_points`.
        folder: where the files go.

    Raises:
        InputError: a file cannot be written.
    """
    folder = Path(folder)
    for what, (columns, rows) in (("points", point_rows(record)), ("distances", distance_rows(record))):
        save_rows(rows, columns, folder / SWEEP_FILES[what])
    write_text(folder / SWEEP_FILES["record"], json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def load_sweep(path: str | Path) -> dict[str, Any]:
    """Read `sweep.json`.

    Raises:
        InputError: no such file, or not the comparison of a sweep.
    """
    path = Path(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError("no such file", file=path, allowed="sweep.json") from error
    except ValueError as error:
        raise InputError("not JSON", file=path, found=str(error), allowed="sweep.json") from error
    if not isinstance(record, Mapping) or "swept" not in record:
        raise InputError("not the comparison of a sweep", file=path, allowed="sweep.json")
    return dict(record)
