"""Reading what figures and summaries need of a stability analysis, without the code that makes it."""

from pathlib import Path
from typing import Any

import numpy as np

from spdclust.files.records import StabilityRecord, read_record
from spdclust.files.tables import load_columns

NEEDED_COLUMNS = ("iteration", "n_distinct", "null.n_distinct")
"""Columns that `stability_iterations.csv` has whatever the methods."""


def load_stability_record(path: str | Path) -> dict[str, Any]:
    """Read `stability.json`.

    Raises:
        InputError: no such file, or not a stability record.
    """
    return read_record(StabilityRecord, path, "stability.json")


def load_stability_iterations(path: str | Path) -> dict[str, np.ndarray]:
    """Read `stability_iterations.csv` by columns, see `iteration_table`.

    Raises:
        InputError: no such file, not a table of numbers, or a column that figures need is missing.
    """
    return load_columns(path, NEEDED_COLUMNS)
