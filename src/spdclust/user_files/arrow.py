"""Read activations from tables: `.parquet` files, and folders that Hugging Face's `save_to_disk` writes.

Read piece by piece. A column holds one list of numbers per sample, a list of such lists per row (sequences of
samples), or one number per sample; see `_chosen_columns`. Requires pyarrow, imported when a table is opened.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import as_input_error, regular_file
from spdclust.merge.rows import NUMBERS_AT_ONCE, dense_rows
from spdclust.user_files.arrays import TOP_K
from spdclust.user_files.contents import UserContent, check_shape
from spdclust.user_files.layout import TOKEN_NAMES, listed, saved_files
from spdclust.user_files.tokens import MOST_SAMPLES, UserTokens

EXTRA = "pip install 'spdclust[formats]'"

log = logging.getLogger(__name__)

_ALLOWED = (
    "a column `activations` (or a column for each module) with a list of numbers per sample, `indices` and "
    "`values`, or one column of real numbers for each component"
)


@dataclass(frozen=True)
class _Table:
    """A table that is read in pieces: its columns' types, and record batches of at most so many rows."""

    path: Path
    schema: Any
    n_rows: int
    batches: Callable[[Sequence[str], int], Iterator[Any]]


@dataclass(frozen=True)
class _Columns:
    """The columns that are read: one for each module, a pair for top-k, or one for each component."""

    names: list[str]
    pair: bool = False
    scalar: bool = False
    tokens: str | None = None
    unused: Sequence[str] = ()

    def describe(self) -> str:
        read = self.names if self.tokens is None else [*self.names, self.tokens]
        return f"read: {listed(read)}" + (f"; not read: {listed(self.unused, 8)}" if self.unused else "")


def table_content(path: Path) -> UserContent:
    """Return the activations of a `.parquet` file or of a folder written by `save_to_disk`.

    Example:
        >>> import pyarrow, pyarrow.parquet
        >>> table = pyarrow.table({"activations": [[0.0, 0.5], [1.0, 0.0]], "text": ["a", "b"]})
        >>> pyarrow.parquet.write_table(table, f"{folder}/a.parquet")
        >>> content = table_content(folder / "a.parquet")
        >>> content.rows().toarray().tolist()
        [[0.0, 0.5], [1.0, 0.0]]

    Raises:
        InputError: pyarrow is missing, the file is damaged, or no column holds activations.
    """
    try:
        import pyarrow as pa
    except ImportError:
        raise InputError("tables require the pyarrow package", file=path, allowed=EXTRA) from None
    table = _saved(pa, path) if path.is_dir() else _parquet(path)
    columns = _chosen_columns(pa, table)
    if table.n_rows == 0:
        raise InputError("table is empty", file=path, found="0 rows", allowed=_ALLOWED)
    if columns.scalar:
        check_shape(table.n_rows, len(columns.names), path)
        at_once = max(1, NUMBERS_AT_ONCE // len(columns.names))
        return UserContent(
            table.n_rows,
            len(columns.names),
            lambda: _stacked(
                _wide_rows(table, batch, columns) for batch in table.batches(columns.names, at_once)
            ),
            labels=columns.names,
            tokens=_tokens(pa, table, columns.tokens),
            columns=columns.describe(),
        )
    widths, n_samples, at_once = _measured(pa, table, columns)
    named = not columns.pair and columns.names != ["activations"]
    check_shape(n_samples, sum(widths), path)

    def rows() -> sparse.csr_array:
        pieces = (
            _top_k_rows(table, columns, [_innermost(batch, name, table) for name in columns.names], widths[0])
            if columns.pair
            else _list_rows(
                table, columns, [_innermost(batch, name, table) for name in columns.names], widths
            )
            for batch in table.batches(columns.names, at_once)
        )
        return _stacked(pieces)

    return UserContent(
        n_samples,
        sum(widths),
        rows,
        modules=dict(zip(columns.names, widths, strict=True)) if named else None,
        tokens=_tokens(pa, table, columns.tokens),
        columns=columns.describe(),
        states_width=not columns.pair,
    )


def _parquet(path: Path) -> _Table:
    import pyarrow.parquet as pq

    path = regular_file(path, "a .parquet file")
    file = pq.ParquetFile(path)

    def batches(columns: Sequence[str], at_once: int) -> Iterator[Any]:
        for batch in file.iter_batches(at_once, columns=list(columns)):
            batch.validate(full=True)
            yield batch

    return _Table(path, file.schema_arrow, file.metadata.num_rows, batches)


def _saved(pa: Any, folder: Path) -> _Table:
    import pyarrow.ipc

    files = [regular_file(file, "a data file of the dataset") for file in saved_files(folder)[1:]]

    def stored(file: Path) -> Iterator[Any]:
        with as_input_error("not a readable Arrow file", file, "a data file of a dataset"):
            yield from pyarrow.ipc.open_stream(pa.memory_map(str(file)))

    def batches(columns: Sequence[str], at_once: int) -> Iterator[Any]:
        for file in files:
            for batch in stored(file):
                # the files are mapped into memory as they are: offsets out of bounds would end the process
                batch.validate(full=True)
                chosen = batch.select(list(columns))
                yield from (chosen.slice(start, at_once) for start in range(0, batch.num_rows, at_once))

    with as_input_error("not a readable Arrow file", files[0], "a data file of a dataset"):
        schema = pyarrow.ipc.open_stream(pa.memory_map(str(files[0]))).schema
    return _Table(folder, schema, sum(batch.num_rows for file in files for batch in stored(file)), batches)


def _leaf(pa: Any, kind: Any) -> tuple[int, str]:
    """Return the number of list levels of a type, and what its lists hold: real, whole, text or other."""
    depth = 0
    while True:
        if isinstance(kind, pa.BaseExtensionType):  # as `datasets` registers for arrays of two axes
            kind = kind.storage_type
        elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            depth, kind = depth + 1, kind.value_type
        else:
            break
    if pa.types.is_floating(kind):
        return depth, "real"
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return depth, "whole"
    return depth, "text" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else "other"


def _chosen_columns(pa: Any, table: _Table) -> _Columns:
    """Return the columns that hold the activations.

    `activations` if there is such a column, else a pair of top-k columns, else all columns with lists of
    numbers, one for each module, else all columns of numbers, one for each component. Others are logged.
    """
    kinds = {field.name: _leaf(pa, field.type) for field in table.schema}
    numbers = {
        name: kind
        for name, kind in kinds.items()
        if kind[1] in ("real", "whole") and name not in TOKEN_NAMES and not name.startswith("__index_level_")
    }
    lists = {name: kind for name, kind in numbers.items() if kind[0]}
    pair = next((pair for pair in TOP_K if set(pair) <= set(lists)), None)
    if "activations" in lists:
        columns = _Columns(["activations"])
    elif pair is not None and lists[pair[0]][1] == "whole":
        columns = _Columns(list(pair), pair=True)
    elif lists:
        columns = _Columns(list(lists))
    else:
        columns = _Columns(list(numbers), scalar=True)
    used = {numbers[name] for name in columns.names}
    if len({field.name for field in table.schema}) < len(table.schema):
        problem = "two columns of one name"
    elif not used:
        problem = "no column of activations"
    elif len({depth for depth, _ in used}) > 1 or (len(used) > 1 and not columns.pair):
        problem = "columns of different kinds, of which some may not be activations"
    else:
        tokens = next((name for name in TOKEN_NAMES if name in kinds), None)
        unused = [name for name in kinds if name not in (*columns.names, tokens)]
        columns = replace(columns, tokens=tokens, unused=unused)
        if unused:
            log.info("columns of %s: %s", table.path, columns.describe())
        return columns
    raise InputError(
        problem,
        file=table.path,
        found=", ".join(f"{field.name} ({field.type})" for field in list(table.schema)[:8]),
        allowed=_ALLOWED,
    )


@dataclass(frozen=True)
class _Lists:
    """The innermost lists of a column: all their values, and the length of each."""

    values: np.ndarray
    lengths: np.ndarray


def _innermost(batch: Any, name: str, table: _Table) -> _Lists:
    import pyarrow as pa
    import pyarrow.compute as pc

    column = batch.column(name)
    lengths = np.empty(0, dtype=np.int64)
    while True:
        column = column.storage if isinstance(column, pa.ExtensionArray) else column
        if column.null_count:
            raise InputError(
                "a value is missing", file=table.path, field=name, found="null", allowed="a number everywhere"
            )
        if not hasattr(column, "flatten") or not hasattr(column.type, "value_type"):
            break
        lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False).astype(np.int64)
        column = column.flatten()
    return _Lists(column.to_numpy(zero_copy_only=False), lengths)


def _measured(pa: Any, table: _Table, columns: _Columns) -> tuple[list[int], int, int]:
    """Return the width of each column, the number of samples, and how many rows to read at a time."""
    first = next(table.batches(columns.names, 1))
    per_row = sum(len(_innermost(first, name, table).values) for name in columns.names)
    at_once = max(1, NUMBERS_AT_ONCE // max(1, 4 * per_row))
    depth = _leaf(pa, table.schema.field(columns.names[0]).type)[0]
    if columns.pair:
        widest = n_samples = 0
        for batch in table.batches(columns.names[:1], at_once):
            lists = _innermost(batch, columns.names[0], table)
            widest, n_samples = (
                max(widest, int(lists.values.max(initial=-1)) + 1),
                n_samples + len(lists.lengths),
            )
        return [widest], n_samples, at_once
    widths = [int(_innermost(first, name, table).lengths[:1].sum()) for name in columns.names]
    if depth == 1:
        return widths, table.n_rows, at_once
    read = table.batches(columns.names[:1], at_once)
    return widths, sum(len(_innermost(batch, columns.names[0], table).lengths) for batch in read), at_once


def _list_rows(
    table: _Table, columns: _Columns, lists: Sequence[_Lists], widths: Sequence[int]
) -> sparse.csr_array:
    parts = []
    for name, column, width in zip(columns.names, lists, widths, strict=True):
        other = column.lengths[column.lengths != width]
        if len(other) or len(column.lengths) != len(lists[0].lengths):
            raise InputError(
                "lists of different lengths",
                file=table.path,
                field=name,
                found=f"{other[0]} numbers"
                if len(other)
                else "another number of lists than in other columns",
                allowed=f"{width} numbers for every sample, as the first sample has",
            )
        parts.append(dense_rows(column.values.reshape(len(column.lengths), width)))
    return parts[0] if len(parts) == 1 else sparse.csr_array(sparse.hstack(parts, format="csr"))


def _top_k_rows(table: _Table, columns: _Columns, lists: Sequence[_Lists], width: int) -> sparse.csr_array:
    indices, values = lists
    if not np.array_equal(indices.lengths, values.lengths) or indices.values.min(initial=0) < 0:
        raise InputError(
            "indices and values do not fit together",
            file=table.path,
            field=columns.names[0],
            found=f"{len(indices.values)} indices, {len(values.values)} values",
            allowed="lists of the same lengths, indices from 0",
        )
    indptr = np.concatenate([[0], np.cumsum(indices.lengths)])
    floats = values.values.astype(np.float64 if values.values.dtype == np.float64 else np.float32)
    return sparse.csr_array((floats, indices.values, indptr), shape=(len(indices.lengths), width))


def _wide_rows(table: _Table, batch: Any, columns: _Columns) -> sparse.csr_array:
    return dense_rows(np.column_stack([_innermost(batch, name, table).values for name in columns.names]))


def _stacked(pieces: Iterator[sparse.csr_array]) -> sparse.csr_array:
    return sparse.csr_array(sparse.vstack(list(pieces), format="csr"))


def _tokens(pa: Any, table: _Table, name: str | None) -> UserTokens | None:
    """Return the tokens in a column of a table: one for each row, or a list for each."""
    if name is None:
        return None
    depth, kind = _leaf(pa, table.schema.field(name).type)
    if kind not in ("whole", "text") or depth > 1:
        raise InputError(
            "not tokens",
            file=table.path,
            field=name,
            found=str(table.schema.field(name).type),
            allowed="integers or texts: one for each sample, or a list for each row",
        )
    first: list[np.ndarray] = []
    lengths: list[np.ndarray] = []
    for batch in table.batches([name], MOST_SAMPLES):
        lists = _innermost(batch, name, table)
        lengths.append(lists.lengths)
        if sum(map(len, first)) < MOST_SAMPLES:
            first.append(lists.values.astype(np.str_) if kind == "text" else lists.values)
    per_sequence = np.concatenate(lengths) if depth else np.array([table.n_rows])
    return UserTokens.joined(np.concatenate(first), per_sequence, table.path)
