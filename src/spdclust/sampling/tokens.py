"""Convert texts to sequences of tokens: join by an end-of-text token, split into blocks of equal length."""

import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import check_folder
from spdclust.core.types import Int

_FEWEST_OF_VOCABULARY = 0.9
_TEXTS_AT_ONCE = (16, 256)

Block = Int[np.ndarray, " positions"]


class Tokenizer:
    """The tokenizer of a language model, from a folder or the hub.

    `vocab_size` is that of the model; None if there is no model to compare with.

    Example:
        >>> tokenizer = Tokenizer("resources/lm_llama2L/tokenizer", vocab_size=512)
        >>> (tokens,) = tokenizer.encode(["the cat"])
        >>> tokenizer.texts(tokens), tokenizer.texts([tokenizer.end_of_text])
        (['t', 'he', ' c', 'at'], ['[EOS]'])

    Raises:
        InputError: the extra `lm` is missing, there is no such tokenizer, or it belongs to another model.
    """

    def __init__(self, source: str, vocab_size: int | None) -> None:
        try:
            import transformers
        except ImportError:
            raise InputError(
                "tokenizers require the `transformers` package",
                field="dataset.tokenizer",
                allowed="pip install 'spdclust[lm]'",
            ) from None
        # tokenizer threads are not safe with fork, and the results do not depend on them
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        if Path(source).is_dir():
            check_folder(source, "files of a tokenizer")
        try:
            # a tokenizer's files may refer to custom code, which is never run
            self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        except BaseException as error:  # the library raises almost any exception; a panic is not an Exception
            if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
                raise
            reason = str(error).strip().split("\n")[0]
            raise InputError(
                "no such tokenizer",
                file=source,
                field="dataset.tokenizer",
                found=f"{source}: {reason}",
                allowed="a folder with tokenizer.json, or a name on the hub that can be reached",
            ) from None
        self.place = source
        if vocab_size is None:
            return
        size = len(self._tokenizer)
        fewest = int(_FEWEST_OF_VOCABULARY * vocab_size)  # vocabularies are often padded slightly
        if not fewest <= size <= vocab_size:
            raise InputError(
                "tokenizer does not match the model's vocabulary",
                file=source,
                field="dataset.tokenizer",
                found=f"{source} with {size} tokens",
                allowed=f"{fewest} to {vocab_size} tokens",
            )

    @property
    def end_of_text(self) -> int:
        """Id of the token between texts.

        Raises:
            InputError: there is none.
        """
        for token in (self._tokenizer.eos_token_id, self._tokenizer.sep_token_id):
            if token is not None:
                return int(token)
        raise InputError(
            "tokenizer has no end-of-text token",
            file=self.place,
            field="dataset.tokenizer",
            found=self.place,
            allowed="an eos_token or a sep_token in its special tokens",
        )

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Return the token ids of each text, without special tokens."""
        encoded = self._tokenizer(
            texts,
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        return [list(tokens) for tokens in encoded["input_ids"]]

    def texts(self, tokens: Iterable[int]) -> list[str]:
        """Return the text of each token."""
        return [str(self._tokenizer.decode([int(token)])) for token in tokens]


def text_blocks(
    texts: Iterable[Any], tokenizer: Tokenizer, n_ctx: int, *, lowercase: bool = False, name: str = "dataset"
) -> Iterator[Block]:
    """Yield blocks of `n_ctx` tokens of all texts joined by the end-of-text token; the rest is dropped.

    Example:
        >>> tokenizer = Tokenizer("resources/lm_llama2L/tokenizer", vocab_size=512)
        >>> blocks = text_blocks(["the cat", "the dog"], tokenizer, n_ctx=4)
        >>> [tokenizer.texts(block.tolist()) for block in blocks]
        [['t', 'he', ' c', 'at'], ['[EOS]', 't', 'he', ' d']]

    Raises:
        InputError: a record is not a text.
    """
    # texts are joined before they are split, as models are trained: a block may start inside a text
    end = np.array([tokenizer.end_of_text], dtype=np.int32)
    rest = np.empty(0, dtype=np.int32)
    for some in _growing_groups(_checked_texts(texts, name)):
        encoded = tokenizer.encode([text.lower() for text in some] if lowercase else some)
        parts = [part for tokens in encoded for part in (np.array(tokens, dtype=np.int32), end)]
        joined = np.concatenate([rest, *parts])
        n_whole = len(joined) // n_ctx * n_ctx
        yield from joined[:n_whole].reshape(-1, n_ctx)
        rest = joined[n_whole:]


def stored_blocks(rows: Iterable[Any], n_ctx: int, *, name: str = "dataset") -> Iterator[Block]:
    """Yield the first `n_ctx` tokens of every record of token ids.

    Example:
        >>> [block.tolist() for block in stored_blocks([[5, 6, 7], [8, 9]], n_ctx=2)]
        [[5, 6], [8, 9]]

    Raises:
        InputError: a record is not a list of token numbers, or is shorter than `n_ctx`.
    """
    for number, row in enumerate(rows):
        tokens = np.asarray(row if row is not None else [])
        if tokens.ndim != 1 or (len(tokens) and not np.issubdtype(tokens.dtype, np.integer)):
            raise InputError(
                "record is not a list of token ids",
                file=name,
                field="dataset.is_tokenized",
                found=type(row).__name__,
                allowed="a list of integers, or is_tokenized: false",
            )
        if len(tokens) < n_ctx:
            raise InputError(
                f"record {number} is too short",
                file=name,
                field="dataset.n_ctx",
                found=f"{len(tokens)} tokens",
                allowed=f"{n_ctx} or more, or a smaller n_ctx",
            )
        yield tokens[:n_ctx].astype(np.int64)


def shuffled_nearby(blocks: Iterable[Block], size: int, generator: np.random.Generator) -> Iterator[Block]:
    """Yield blocks shuffled within a buffer of `size`, which spreads the blocks of one text.

    Example:
        >>> blocks = [np.array([number]) for number in range(5)]
        >>> sorted(int(block[0]) for block in shuffled_nearby(blocks, 3, np.random.default_rng(0)))
        [0, 1, 2, 3, 4]
    """
    buffer: list[Block] = []
    for block in blocks:
        if len(buffer) < size:
            buffer.append(block)
            continue
        chosen = int(generator.integers(size))
        yield buffer[chosen]
        buffer[chosen] = block
    for chosen in generator.permutation(len(buffer)):
        yield buffer[chosen]


def _checked_texts(texts: Iterable[Any], name: str) -> Iterator[str]:
    for text in texts:
        if text is None or (isinstance(text, str) and not text):
            continue
        if not isinstance(text, str):
            raise InputError(
                "record is not a text",
                file=name,
                field="dataset.column",
                found=type(text).__name__,
                allowed="texts, or is_tokenized: true for token numbers",
            )
        yield text


def _growing_groups(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield groups of increasing size, because a small batch needs few texts."""
    rest = iter(texts)
    size, largest = _TEXTS_AT_ONCE
    while some := list(itertools.islice(rest, size)):
        yield some
        size = min(2 * size, largest)
