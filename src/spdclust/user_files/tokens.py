"""The token of each sample of user-supplied activations: next to the activations, or in the same file.

A file `tokens.npy`, `.json` or `.pt` (also `token_ids.*`, `input_ids.*`) holds token ids or texts, one for
each sample: `(sequences, positions)`, a list of lists of different lengths, or one long sequence.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import as_input_error, read_json, regular_file
from spdclust.core.types import Int
from spdclust.files.archive import array_header, check_announced
from spdclust.files.stored_batch import TokenExamples
from spdclust.files.torch_files import load_tensors

MOST_SAMPLES = 1 << 16
"""Samples whose tokens are stored with a batch: enough to show what activates a group."""
_LONGEST = 512
"""Positions of a sequence; longer ones are stored as several."""
_ALLOWED = "integers or texts (sequences, positions), or a list of lists of them: one token for each sample"

TokenTexts = Callable[[Sequence[int]], list[str]]
"""Returns the text of each token id."""


@dataclass(frozen=True, eq=False)
class UserTokens:
    """The tokens of the samples, in their order.

    Example:
        >>> tokens = UserTokens.of([["the", " cat"], ["a"]], Path("tokens.json"))
        >>> tokens.n_samples, tokens.examples().context(1)
        (3, (['the', ' cat'], 1))

    Attributes:
        first: ids or texts of the first `MOST_SAMPLES` of them.
    """

    n_samples: int
    first: np.ndarray
    lengths: Int[np.ndarray, " sequences"]

    @classmethod
    def of(cls, tokens: Any, path: Path) -> "UserTokens":
        """Return the tokens in an array, a tensor or nested lists.

        Raises:
            InputError: they are neither integers nor texts.
        """
        if isinstance(tokens, list):
            nested = all(isinstance(each, list) for each in tokens)
            lengths = [len(each) for each in tokens] if nested else [len(tokens)]
            return cls.joined(list(chain.from_iterable(tokens)) if nested else tokens, lengths, path)
        array = np.asarray(tokens.detach().cpu().numpy() if hasattr(tokens, "detach") else tokens)
        if array.ndim == 0:
            raise _no_tokens(path, f"{array.dtype} ()")
        return cls.joined(array.ravel(), np.full(math.prod(array.shape[:-1]), array.shape[-1]), path)

    @classmethod
    def joined(cls, first: Any, lengths: Any, path: Path) -> "UserTokens":
        """Return the tokens of sequences that follow each other, given as one array or list.

        Raises:
            InputError: they are neither integers nor texts.
        """
        lengths = np.asarray(lengths, dtype=np.int64)
        return cls(int(lengths.sum()), _plain(first[:MOST_SAMPLES], path), lengths)

    def check_number(self, n_samples: int, path: Path) -> None:
        """Check that there is one token for each sample.

        Raises:
            InputError: there are more or fewer.
        """
        if self.n_samples != n_samples:
            sequences = f" in {len(self.lengths)} sequences" if len(self.lengths) > 1 else ""
            raise InputError(
                "not one token for each sample",
                file=path,
                field="tokens",
                found=f"{self.n_samples} tokens{sequences}, {n_samples} samples",
                allowed=f"{n_samples} tokens",
            )

    def followed_by(self, others: "Sequence[UserTokens]", path: Path) -> "UserTokens":
        """Return the tokens with those of further samples after them.

        Raises:
            InputError: some are integers, others texts.
        """
        all_of_them = [self, *others]
        kinds = {tokens.first.dtype.kind == "U" for tokens in all_of_them if tokens.n_samples}
        if len(kinds) > 1:
            raise _no_tokens(path, "integers for some shards, texts for others")
        first = np.concatenate([tokens.first for tokens in all_of_them if tokens.n_samples] or [self.first])
        return UserTokens.joined(first, np.concatenate([tokens.lengths for tokens in all_of_them]), path)

    def examples(self, token_texts: TokenTexts | None = None) -> TokenExamples:
        """Return the tokens of the first samples, as they are stored with a batch."""
        unique, codes = np.unique(self.first, return_inverse=True)
        if unique.dtype.kind in "iu":
            numbers = unique.tolist()
            texts = [str(number) for number in numbers] if token_texts is None else token_texts(numbers)
        else:
            texts = unique.tolist()
        # sequences as far as tokens are kept, long ones in several
        needed = self.lengths[: int(np.searchsorted(np.cumsum(self.lengths), len(codes))) + 1]
        pieces = [min(_LONGEST, n - start) for n in needed.tolist() for start in range(0, n, _LONGEST)]
        sequences = np.repeat(np.arange(len(pieces)), pieces)[: len(codes)]
        n_sequences = int(sequences.max(initial=-1)) + 1
        starts = np.cumsum([0, *pieces])
        positions = np.arange(len(codes)) - starts[sequences]
        grid = np.full((n_sequences, int(positions.max(initial=0)) + 1), len(texts))
        grid[sequences, positions] = codes
        vocabulary = {code: _encodable(text) for code, text in enumerate(texts)}
        if (grid == len(texts)).any():
            vocabulary[len(texts)] = ""  # after the end of shorter sequences
        return TokenExamples(grid, np.column_stack([sequences, positions]), vocabulary)


def read_tokens(path: Path) -> UserTokens:
    """Read a file of tokens; arrays are mapped into memory.

    Example:
        >>> _ = (folder / "tokens.json").write_text('[["the", " cat"], ["a"]]')
        >>> read_tokens(folder / "tokens.json").lengths.tolist()
        [2, 1]

    Raises:
        InputError: the file is damaged, or holds neither integers nor texts.
    """
    if path.suffix == ".json":
        content = read_json(path, _ALLOWED)
        if not isinstance(content, list):
            raise _no_tokens(path, type(content).__name__)
        return UserTokens.of(content, path)
    if path.suffix == ".npy":
        with as_input_error("not a readable file of tokens", path, _ALLOWED):
            with regular_file(path, _ALLOWED).open("rb") as stream:
                shape, _, dtype = array_header(stream)
                check_announced(shape, dtype, path.stat().st_size - stream.tell())
            return UserTokens.of(np.load(path, mmap_mode="r", allow_pickle=False), path)
    content = load_tensors(path, "file of tokens", _ALLOWED)
    if not hasattr(content, "detach") or str(content.layout) != "torch.strided":
        raise _no_tokens(path, type(content).__name__)
    return UserTokens.of(content, path)


def _plain(tokens: Any, path: Path) -> np.ndarray:
    """Return tokens as an array of integers or of texts."""
    if isinstance(tokens, list):
        kinds = {type(token) for token in tokens}
        if kinds and kinds not in ({int}, {str}):
            raise _no_tokens(path, ", ".join(sorted(kind.__name__ for kind in kinds)))
    try:
        array = np.asarray(tokens)
    except OverflowError:
        raise _no_tokens(path, "an integer of more than 64 bits") from None
    if array.dtype.kind not in "iuU" and array.size:
        raise _no_tokens(path, str(array.dtype))
    return array


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")  # a text may hold half of a surrogate pair


def _no_tokens(path: Path, found: str) -> InputError:
    return InputError("not tokens", file=path, field="tokens", found=found, allowed=_ALLOWED)
