"""Read the parts of a stability analysis used by figures and summaries, without importing the analysis."""

from pathlib import Path
from typing import Any

import numpy as np

from spdclust.files.records import StabilityRecord, read_record
from spdclust.files.tables import load_columns

NEEDED_COLUMNS = ("iteration", "n_distinct", "null.n_distinct")
"""Columns of `stability_iterations.csv` that do not depend on the methods."""


def load_stability_record(path: str | Path) -> dict[str, Any]:
    """Read `stability.json`.

    Example:
        >>> import tempfile
        >>> from spdclust.example_ensemble import example_normalized
        >>> from spdclust.files.stability import save_stability
        >>> from spdclust.stability.analysis import analyze_stability
        >>> normalized = example_normalized()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_stability(normalized, analyze_stability(normalized), folder)
        ...     load_stability_record(f"{folder}/stability.json")["cuts"]["least_mdl"]["n_consensus_groups"]
        4

    Raises:
        InputError: the file does not exist or is not a stability record.
    """
    return read_record(StabilityRecord, path, "stability.json")


def load_stability_iterations(path: str | Path) -> dict[str, np.ndarray]:
    """Read `stability_iterations.csv` by columns, see `iteration_table`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "stability_iterations.csv"
        ...     _ = path.write_text("iteration,n_distinct,null.n_distinct\\n0,1,2\\n1,2,2")
        ...     load_stability_iterations(path)["n_distinct"].tolist()
        [1.0, 2.0]

    Raises:
        InputError: the file does not exist, is not a table of numbers, or lacks a required column.
    """
    return load_columns(path, NEEDED_COLUMNS)
