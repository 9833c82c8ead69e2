"""Records of a text dataset, from local files, saved folders or the hub, in a seeded order.

Needs the extra `lm`, which is imported when a dataset is opened.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import check_folder, regular_file
from spdclust.core.types import make_generator
from spdclust.sampling.settings import FILE_TYPES, LanguageData

log = logging.getLogger(__name__)

_STREAMED_BUFFER = 1000
_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Records:
    """One column of an opened dataset.

    Attributes:
        rows: a `datasets` dataset, streamed or not.
        column: name of the column.
        name: name of the dataset in messages.
    """

    rows: Any
    column: str
    name: str

    def shuffled(self, seed: int) -> Iterator[Any]:
        """Yield the column's values, each once, in the order given by `seed`.

        Streamed data are shuffled in a buffer of 1,000 records, so their order is random only locally.

        Raises:
            InputError: a record cannot be read.
        """
        try:
            if not hasattr(self.rows, "num_rows"):
                # the library takes 32 bits
                short = seed if seed < 2**32 else int(make_generator((seed, 0)).integers(2**32))
                for row in self.rows.shuffle(seed=short, buffer_size=_STREAMED_BUFFER):
                    yield row.get(self.column)
                return
            n_rows = self.rows.num_rows
            order = np.arange(n_rows, dtype=np.uint32 if n_rows < 2**32 else np.uint64)
            make_generator((seed, 0)).shuffle(order)
            for start in range(0, n_rows, _AT_ONCE):
                yield from self.rows[order[start : start + _AT_ONCE].tolist()][self.column]
        except InputError:
            raise
        except Exception as error:  # pyarrow, fsspec and the hub raise almost any exception
            raise _unreadable(self.name, error) from error


def open_records(data: LanguageData) -> Records:
    """Open the dataset of a run.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from spdclust.config.run import ClusteringRunConfig
        >>> from spdclust.sampling.settings import language_data
        >>> from spdclust.models.task import LanguageTask
        >>> task = LanguageTask(name="lm", vocab_size=9, folder=Path(), tokenizer_name="gpt2")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "mine.json").write_text('[{"story": "a cat"}, {"story": "a dog"}]')
        ...     run = ClusteringRunConfig(
        ...         model_path="m", dataset={"name": f"{folder}/mine.json"}, dataset_streaming=True
        ...     )
        ...     sorted(open_records(language_data(task, run)).shuffled(seed=0))
        ['a cat', 'a dog']

    Raises:
        InputError: the extra `lm` is missing, there is no such dataset, split or column, or it is damaged.
    """
    try:
        import datasets
    except ImportError:
        raise InputError(
            "text datasets require the `datasets` package",
            field="dataset.name",
            allowed="pip install 'spdclust[lm]'",
        ) from None
    try:
        rows = _opened(datasets, data)
    except InputError:
        raise
    except Exception as error:
        raise _unreadable(data.name, error, data) from error
    columns = _columns(rows)
    if columns is not None and len(columns) == 0:
        raise InputError("dataset is empty", file=data.name, field="dataset.name", found="0 records")
    column = data.column
    if columns is not None and column not in columns:
        if data.column_is_asked or "text" not in columns:
            raise InputError(
                "no such column",
                file=data.name,
                field="dataset.column",
                found=column,
                allowed=", ".join(columns),
            )
        column = "text"
    if getattr(rows, "num_rows", 1) == 0:
        raise InputError("dataset is empty", file=data.name, field="dataset.name", found="0 records")
    return Records(rows, column, data.name)


def _opened(datasets: Any, data: LanguageData) -> Any:
    if data.path is None:
        log.info("dataset %s (%s) from the hub", data.name, data.split)
        return datasets.load_dataset(data.name, data.subset, split=data.split, streaming=data.streaming)
    if data.path.is_dir():
        check_folder(data.path, "files of a dataset")
        if (data.path / "dataset_dict.json").is_file() or (data.path / "state.json").is_file():
            return _of_saved(datasets.load_from_disk(str(data.path)), data)
        return datasets.load_dataset(str(data.path), data.subset, split=data.split, streaming=data.streaming)
    kind = FILE_TYPES.get(data.path.suffix)
    if kind is None:
        raise InputError(
            "unknown type of data file",
            file=data.path,
            field="dataset.name",
            found=data.path.suffix or "no suffix",
            allowed=", ".join(FILE_TYPES),
        )
    if regular_file(data.path, f"a data file: {', '.join(FILE_TYPES)}").stat().st_size == 0:
        raise InputError("dataset is empty", file=data.path, field="dataset.name", found="0 bytes")
    return datasets.load_dataset(kind, data_files=str(data.path), split=data.split, streaming=data.streaming)


def _of_saved(saved: Any, data: LanguageData) -> Any:
    """Return one split of a dataset written by `save_to_disk`; without splits, return the whole dataset."""
    rows = saved
    if isinstance(saved, dict):
        if data.split not in saved:
            raise InputError(
                "no such split",
                file=data.name,
                field="dataset.split",
                found=data.split,
                allowed=", ".join(saved),
            )
        rows = saved[data.split]
    # its files are mapped into memory as they are: offsets out of bounds would end the process
    rows.data.validate(full=True)
    return rows


def _columns(rows: Any) -> list[str] | None:
    """Return the names of the columns, from the first record if a stream does not define them."""
    if rows.column_names is not None:
        return list(rows.column_names)
    for row in rows:
        return list(row)
    return []


def _unreadable(name: str, error: Exception, data: LanguageData | None = None) -> InputError:
    said = str(error).strip().split("\n")[0] or type(error).__name__
    where = "on the hub" if data is None or data.path is None else Path(data.path).name
    return InputError(
        "dataset cannot be read",
        file=name,
        field="dataset.name",
        found=f"{type(error).__name__}: {said}",
        allowed=f"data {where} that can be reached, of a split that it has",
    )
