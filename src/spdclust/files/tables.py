"""Flat tables as `.csv`: a header, one row per line, numbers as the shortest exact text; `metrics.csv`."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.core.atomic import write_text
from spdclust.core.errors import InputError
from spdclust.core.safe_reading import as_input_error, read_text
from spdclust.merge.history import MergeHistory


def save_columns(table: Mapping[str, np.ndarray], path: str | Path) -> None:
    r"""Write a table given as columns of equal length.

    Example:
        >>> save_columns({"a": np.arange(2), "b": np.array([0.5, np.nan])}, f"{folder}/t.csv")
        >>> (folder / "t.csv").read_text()
        'a,b\n0,0.5\n1,nan\n'

    Raises:
        InputError: the file cannot be written.
    """
    _write(list(table), zip(*(column.tolist() for column in table.values()), strict=True), path)


def save_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], path: str | Path) -> None:
    """Write a table given as rows that have all columns.

    Example:
        >>> save_rows([{"name": "a", "n": 1}, {"name": "b", "n": 2}], ["n", "name"], f"{folder}/a.csv")
        >>> (folder / "a.csv").read_text().split()
        ['n,name', '1,a', '2,b']

    Raises:
        InputError: the file cannot be written.
    """
    _write(list(columns), ([row[column] for column in columns] for row in rows), path)


def load_columns(path: str | Path, needed: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Read a table of numbers as columns of float64.

    Example:
        >>> _ = (folder / "a.csv").write_text("iteration,mdl\\n0,3.5\\n1,2.5")
        >>> load_columns(f"{folder}/a.csv")["mdl"].tolist()
        [3.5, 2.5]

    Raises:
        InputError: the file does not exist or is not a table of numbers, or a column is missing or
            duplicated.
    """
    text = read_text(path, "a .csv table")
    with as_input_error("not a table of numbers", path, "a whole table"):
        header, values = _plain_numbers(text) or _numbers(text)
        if len(set(header)) < len(header):
            raise InputError("column given twice", found=header)
    for name in needed:
        if name not in header:
            raise InputError("column missing", file=path, field=name, found=header, allowed="a whole table")
    return {name: values[:, column] for column, name in enumerate(header)}


def _plain_numbers(text: str) -> tuple[list[str], np.ndarray] | None:
    """Return what `_numbers` does, in half its time, of a text as `save_columns` writes it; else None."""
    header, *lines = text.removesuffix("\n").split("\n")
    n_commas = header.count(",")
    if (
        not header
        or '"' in text
        or "\r" in text
        or any(not line or line.count(",") != n_commas for line in lines)
    ):
        return None
    cells = ",".join(lines).split(",") if lines else []
    values = np.fromiter(map(float, cells), np.float64, count=len(cells))
    return header.split(","), values.reshape(len(lines), n_commas + 1)


def _numbers(text: str) -> tuple[list[str], np.ndarray]:
    """Return the header and the cells of any `.csv` table of numbers."""
    header, *lines = list(csv.reader(io.StringIO(text, newline=""), strict=True)) or [[]]
    values = np.array([[float(cell) for cell in line] for line in lines])
    return header, values.reshape(len(lines), len(header))


def _write(columns: list[str], rows: Any, path: str | Path) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, stream.getvalue())


def _metrics_table(history: MergeHistory) -> dict[str, np.ndarray]:
    """Return the values of each iteration by name, each `(iterations,)`; `merges` were made by then."""
    return {
        "iteration": np.arange(history.n_iterations),
        "merges": np.arange(history.n_iterations) + 1,
        "k_groups": history.k_groups,
        "mdl_loss": history.mdl_loss,
        "merge_pair_cost": history.merge_pair_cost,
        "group_0": history.selected_pairs[:, 0],
        "group_1": history.selected_pairs[:, 1],
        **dict(sorted(history.records.items())),
    }


def save_metrics(history: MergeHistory, path: str | Path) -> None:
    """Write `metrics.csv`: one row per iteration; costs and description lengths in bits per sample.

    Example:
        >>> from spdclust.example_ensemble import example_history
        >>> save_metrics(example_history(), f"{folder}/metrics.csv")
        >>> lines = (folder / "metrics.csv").read_text().splitlines()
        >>> len(lines), lines[0].split(",")[:3]
        (12, ['iteration', 'merges', 'k_groups'])

    Raises:
        InputError: the file cannot be written.
    """
    save_columns(_metrics_table(history), path)
