"""Tokens for language models: texts and sequences in a seeded order, positions that become samples.

Datasets need the extra `lm`, which is imported when one is opened.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.config.run import ClusteringRunConfig
from spdclust.core.errors import InputError
from spdclust.core.safe_reading import check_folder, regular_file
from spdclust.core.types import Int, make_generator
from spdclust.models.config import LanguageTask
from spdclust.sampling.chunks import InputChunk, random_positions
from spdclust.sampling.settings import FILE_TYPES, LanguageData, language_data, samples_per_batch
from spdclust.sampling.tokens import Block, Tokenizer, shuffled_nearby, stored_blocks, text_blocks

BUFFERED_BLOCKS = 1000
"""Size of the shuffle buffer in sequences, which spreads the sequences of one long text."""

log = logging.getLogger(__name__)

_STREAMED_BUFFER = 1000

_AT_ONCE = 64


class LanguageSource:
    """Sequences of tokens from a dataset, opened once for all batches.

    For each seed, records are read in random order, tokenised, joined by the end-of-text token and split into
    sequences of `n_ctx` tokens, which are shuffled in a buffer of 1,000. `n_tokens_per_seq` distinct random
    positions of each become samples, by default all. The tokens depend only on the seed, not on the number of
    threads or the size of a forward pass.

    Raises:
        InputError: the data or the tokenizer cannot be opened, or settings do not match the model.
    """

    def __init__(self, task: LanguageTask, config: ClusteringRunConfig) -> None:
        self.data: LanguageData = language_data(task, config)
        self.n_samples = samples_per_batch(task, config)
        self.batch_size = config.batch_size
        self._per_sequence = config.n_tokens_per_seq
        if self._per_sequence is not None and self._per_sequence > self.data.n_ctx:
            raise InputError(
                "more positions than tokens in a sequence",
                field="n_tokens_per_seq",
                found=self._per_sequence,
                allowed=f"at most {self.data.n_ctx}, the tokens of a sequence",
            )
        self.records: Records = _open_records(self.data)
        tokenizer_path = self.data.tokenizer
        self.tokenizer = None if tokenizer_path is None else Tokenizer(tokenizer_path, self.data.vocab_size)
        self.provenance = {
            "dataset": f"{self.data.name} ({self.data.split}, {self.records.column})",
            "n_ctx": str(self.data.n_ctx),
        }

    def draw(self, seed: int) -> Iterator[InputChunk]:
        """Yield sequences, `batch_size` at a time, until they contain `n_samples` samples.

        Raises:
            InputError: the dataset has too few tokens; the error gives their number.
        """
        generator = make_generator((seed, 2))
        per_sequence = self._per_sequence or self.data.n_ctx
        sequences = self._sequences(seed)
        left = -(-self.n_samples // per_sequence)
        n_found = 0
        while left:
            batch = [block for _, block in zip(range(min(left, self.batch_size)), sequences, strict=False)]
            n_found += len(batch)
            left -= len(batch)
            if left and len(batch) < self.batch_size:
                raise self._exhausted(n_found, per_sequence)
            inputs = np.stack(batch).astype(np.int64)
            positions = random_positions(len(batch), self.data.n_ctx, self._per_sequence, generator)
            yield InputChunk(inputs, positions)

    def token_texts(self, tokens: Int[np.ndarray, " tokens"]) -> list[str]:
        """Return the text of each token, or its id if there is no tokenizer."""
        if self.tokenizer is None:
            return [str(token) for token in tokens]
        return self.tokenizer.texts(tokens.tolist())

    def _sequences(self, seed: int) -> Iterator[Block]:
        records = self.records.shuffled(seed)
        if self.data.is_tokenized:
            blocks = stored_blocks(records, self.data.n_ctx, name=self.data.name)
        else:
            assert self.tokenizer is not None
            blocks = text_blocks(
                records, self.tokenizer, self.data.n_ctx, lowercase=self.data.lowercase, name=self.data.name
            )
        return shuffled_nearby(blocks, BUFFERED_BLOCKS, make_generator((seed, 1)))

    def _exhausted(self, n_sequences: int, per_sequence: int) -> InputError:
        needed = -(-self.n_samples // per_sequence)
        found = f"{n_sequences * self.data.n_ctx} tokens, {n_sequences} sequences of {self.data.n_ctx}"
        if n_sequences == 0:
            return InputError(
                "dataset is shorter than one sequence",
                file=self.data.name,
                field="dataset.n_ctx",
                found=f"fewer than {self.data.n_ctx} tokens",
                allowed=f"{needed} sequences",
            )
        return InputError(
            "dataset ends before n_tokens",
            file=self.data.name,
            field="n_tokens",
            found=found,
            allowed=f"{needed} sequences; with these data n_tokens of at most {n_sequences * per_sequence}",
        )


@dataclass(frozen=True, eq=False)
class Records:
    """One column of an opened dataset.

    Attributes:
        rows: a `datasets` dataset, streamed or not.
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


def _open_records(data: LanguageData) -> Records:
    """Open the dataset of a run."""
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
    reason = str(error).strip().split("\n")[0] or type(error).__name__
    where = "on the hub" if data is None or data.path is None else Path(data.path).name
    return InputError(
        "dataset cannot be read",
        file=name,
        field="dataset.name",
        found=f"{type(error).__name__}: {reason}",
        allowed=f"data {where} that can be reached, of a split that it has",
    )
