"""Reading what figures and summaries need of a stability analysis, without the code that makes it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.errors import InputError
from spdclust.files.tables import load_columns


def load_stability_record(path: str | Path) -> dict[str, Any]:
    """Read `stability.json`.

    Raises:
        InputError: no such file, or not a stability record.
    """
    path = Path(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError("no such file", file=path, allowed="stability.json") from error
    except ValueError as error:
        raise InputError("not JSON", file=path, found=str(error), allowed="stability.json") from error
    if not isinstance(record, Mapping) or "cuts" not in record:
        raise InputError("not a stability record", file=path, allowed="stability.json")
    return dict(record)


def load_stability_iterations(path: str | Path) -> dict[str, np.ndarray]:
    """Read `stability_iterations.csv` by columns, see `iteration_table`.

    Raises:
        InputError: no such file, or not a table of numbers.
    """
    return load_columns(path)
