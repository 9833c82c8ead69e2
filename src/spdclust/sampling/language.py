"""Tokens for language models: sequences in a seeded order, and the positions that become samples."""

from collections.abc import Iterator

import numpy as np

from spdclust.config.run import ClusteringRunConfig
from spdclust.core.errors import InputError
from spdclust.core.types import Int, make_generator
from spdclust.models.task import LanguageTask
from spdclust.sampling.chunks import InputChunk
from spdclust.sampling.records import Records, open_records
from spdclust.sampling.settings import LanguageData, language_data, samples_per_batch
from spdclust.sampling.tokens import Block, Tokenizer, shuffled_nearby, stored_blocks, text_blocks

BUFFERED_BLOCKS = 1000
"""Size of the shuffle buffer in sequences, which spreads the sequences of one long text."""


class LanguageSource:
    """Sequences of tokens from a dataset, opened once for all batches.

    For each seed, records are read in random order, tokenised, joined by the end-of-text token and split into
    sequences of `n_ctx` tokens, which are shuffled in a buffer of 1,000. `n_tokens_per_seq` distinct random
    positions of each become samples, by default all. The tokens depend only on the seed, not on the number of
    threads or the size of a forward pass.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> place = Path("resources/lm_llama2L/tokenizer").absolute()
        >>> task = LanguageTask(name="lm", vocab_size=512, folder=Path(), tokenizer_name=str(place))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "mine.json").write_text('[{"story": "the cat and the dog"}]')
        ...     data = {"name": f"{folder}/mine.json", "n_ctx": 4}
        ...     run = ClusteringRunConfig(
        ...         model_path="m", n_tokens=4, n_tokens_per_seq=2, dataset=data, dataset_streaming=True
        ...     )
        ...     (chunk,) = LanguageSource(task, run).draw(seed=0)
        >>> chunk.inputs.shape, chunk.positions.shape
        ((2, 4), (2, 2))

    Args:
        task: the model's task.
        config: the run's settings.

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
        self.records: Records = open_records(self.data)
        place = self.data.tokenizer
        self.tokenizer = None if place is None else Tokenizer(place, self.data.vocab_size)
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
            held = [block for _, block in zip(range(min(left, self.batch_size)), sequences, strict=False)]
            n_found += len(held)
            left -= len(held)
            if left and len(held) < self.batch_size:
                raise self._exhausted(n_found, per_sequence)
            inputs = np.stack(held).astype(np.int64)
            yield InputChunk(inputs, self._positions(len(held), generator))

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
                records,
                self.tokenizer,
                self.data.n_ctx,
                lowercase=self.data.lowercase,
                name=self.data.name,
            )
        return shuffled_nearby(blocks, BUFFERED_BLOCKS, make_generator((seed, 1)))

    def _positions(self, rows: int, generator: np.random.Generator) -> Int[np.ndarray, "rows chosen"] | None:
        if self._per_sequence is None:
            return None
        order = generator.random((rows, self.data.n_ctx)).argsort(axis=1, kind="stable")
        return np.sort(order[:, : self._per_sequence], axis=1)

    def _exhausted(self, n_sequences: int, per_sequence: int) -> InputError:
        asked = -(-self.n_samples // per_sequence)
        found = f"{n_sequences * self.data.n_ctx} tokens, {n_sequences} sequences of {self.data.n_ctx}"
        if n_sequences == 0:
            return InputError(
                "dataset is shorter than one sequence",
                file=self.data.name,
                field="dataset.n_ctx",
                found=f"fewer than {self.data.n_ctx} tokens",
                allowed=f"{asked} sequences",
            )
        return InputError(
            "dataset ends before n_tokens",
            file=self.data.name,
            field="n_tokens",
            found=found,
            allowed=f"{asked} sequences; with these data n_tokens of at most {n_sequences * per_sequence}",
        )
