"""Tokens: what is read, in which order, and what bad data say."""

import json
import sys
from functools import partial

import datasets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from language import CHECKPOINT, TEXTS, TOKENIZER, run_config, write_jsonl

from spdclust.core.errors import InputError
from spdclust.models.checkpoint import resolve_checkpoint
from spdclust.models.config import ToyTask
from spdclust.models.targets import build_target
from spdclust.sampling.chunks import DrawnSource, InputSource
from spdclust.sampling.inputs import generate_inputs, open_inputs
from spdclust.sampling.settings import language_data, samples_per_batch
from spdclust.sampling.tokens import Tokenizer, shuffled_nearby, stored_blocks, text_blocks


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path_factory):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.getbasetemp() / "hf")


@pytest.fixture(scope="module")
def task():
    return build_target(resolve_checkpoint(CHECKPOINT)).task


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer(TOKENIZER, 512)


@pytest.fixture
def jsonl(tmp_path):
    return write_jsonl(tmp_path / "data.jsonl")


def drawn(source, seed=0):
    chunks = list(source.draw(seed))
    return np.concatenate([np.asarray(chunk.inputs) for chunk in chunks])


def stream_of(texts, tokenizer):
    return [token for text in texts for token in [*tokenizer.encode([text])[0], tokenizer.end_of_text]]


@pytest.mark.parametrize("n_ctx", [1, 7, 48])
@pytest.mark.parametrize("texts", [[], ["one"], TEXTS, ["", None, "a b c", ""], ["x" * 3000]])
def test_blocks_are_the_joined_texts_cut_and_nothing_else(tokenizer, texts, n_ctx):
    blocks = list(text_blocks(texts, tokenizer, n_ctx))
    expected = stream_of([text for text in texts if text], tokenizer)
    assert [token for block in blocks for token in block] == expected[: len(expected) // n_ctx * n_ctx]
    assert all(len(block) == n_ctx for block in blocks)


def test_lower_case_is_a_setting(tokenizer):
    upper, lower = (next(text_blocks([text], tokenizer, 4)) for text in ("Hello World", "hello world"))
    assert not np.array_equal(upper, lower)
    np.testing.assert_array_equal(next(text_blocks(["Hello World"], tokenizer, 4, lowercase=True)), lower)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 40), st.integers(1, 50), st.integers(0, 2**32))
def test_shuffling_loses_and_repeats_nothing(n, size, seed):
    blocks = [np.array([i]) for i in range(n)]
    out = [int(block[0]) for block in shuffled_nearby(blocks, size, np.random.default_rng(seed))]
    assert sorted(out) == list(range(n))


def test_a_whole_dataset_is_read_once_in_an_order_of_the_seed(task, tokenizer, jsonl):
    n_tokens = len(stream_of(TEXTS, tokenizer))
    sequences = n_tokens // 48
    source = open_inputs(task, run_config(jsonl, n_tokens=sequences * 48))
    assert isinstance(source, InputSource)
    first, again, other = drawn(source, 0), drawn(source, 0), drawn(source, 1)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == other.shape == (sequences, 48)
    # every token of the data but those of the rest that fills no sequence
    counts = np.bincount(first.ravel(), minlength=512)
    missing = np.bincount(stream_of(TEXTS, tokenizer), minlength=512) - counts
    assert (missing >= 0).all()
    assert missing.sum() == n_tokens - sequences * 48
    assert counts[tokenizer.end_of_text] >= len(TEXTS) - 1 - missing.sum()


def test_records_come_each_once_in_an_order_of_the_seed(task, jsonl):
    records = open_inputs(task, run_config(jsonl)).records
    orders = [list(records.shuffled(seed)) for seed in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(TEXTS)
    assert orders[0] != TEXTS


@pytest.mark.parametrize("per_sequence", [None, 5])
def test_tokens_and_positions_do_not_depend_on_the_size_of_a_forward_pass(task, jsonl, per_sequence):
    def all_of(batch_size):
        config = run_config(jsonl, batch_size=batch_size, n_tokens=100, n_tokens_per_seq=per_sequence)
        chunks = list(open_inputs(task, config).draw(3))
        positions = [chunk.positions for chunk in chunks]
        return np.concatenate([chunk.inputs for chunk in chunks]), (
            None if per_sequence is None else np.concatenate(positions)
        )

    (tokens, positions), (others, other_positions) = all_of(2), all_of(64)
    np.testing.assert_array_equal(tokens, others)
    if per_sequence:
        np.testing.assert_array_equal(positions, other_positions)
        assert positions.shape == (20, 5)
        assert all(len(set(row)) == 5 for row in positions)
        assert positions.min() >= 0
        assert positions.max() < 48
        assert len({tuple(row) for row in positions}) > 10  # drawn for each sequence
    else:
        assert tokens.shape == (3, 48)


def test_random_positions_are_uniform(task, jsonl):
    config = run_config(jsonl, batch_size=64, n_tokens=3 * 48, n_tokens_per_seq=3)
    source = open_inputs(task, config)
    counts = np.zeros(48)
    for seed in range(60):
        for chunk in source.draw(seed):
            counts += np.bincount(chunk.positions.ravel(), minlength=48)
    expected = counts.sum() / 48
    assert ((counts - expected) ** 2 / expected).sum() < 100  # chi-squared, 47 degrees of freedom


def saved(data, folder):
    data.save_to_disk(str(folder))
    return folder


WRITERS = {
    "jsonl": lambda d: write_jsonl(d / "a.jsonl"),
    "parquet": lambda d: (datasets.Dataset.from_dict({"story": TEXTS}).to_parquet(str(d / "a.parquet")), d / "a.parquet")[1],
    "saved": lambda d: saved(datasets.Dataset.from_dict({"story": TEXTS}), d / "saved"),
    "saved_splits": lambda d: saved(
        datasets.DatasetDict({"train": datasets.Dataset.from_dict({"story": TEXTS}), "test": datasets.Dataset.from_dict({"story": ["x"]})}),
        d / "splits",
    ),
    "folder": lambda d: write_jsonl(d / "train.jsonl").parent,
    "txt": lambda d: ((d / "a.txt").write_text("\n".join(TEXTS) + "\n"), d / "a.txt")[1],
}  # fmt: skip


@pytest.mark.parametrize("kind", WRITERS)
def test_every_kind_of_local_data_gives_the_same_tokens(task, tmp_path, kind, jsonl):
    expected = drawn(open_inputs(task, run_config(jsonl, n_tokens=480)), seed=5)
    (tmp_path / "own").mkdir()
    place = WRITERS[kind](tmp_path / "own")
    np.testing.assert_array_equal(drawn(open_inputs(task, run_config(place, n_tokens=480)), seed=5), expected)


def test_a_stream_is_seeded_and_holds_the_same_texts(task, tokenizer, jsonl):
    config = run_config(jsonl, n_tokens=48 * 20, dataset_streaming=True)
    source = open_inputs(task, config)
    first = drawn(source, 4)
    np.testing.assert_array_equal(first, drawn(source, 4))
    assert not np.array_equal(first, drawn(source, 5))
    everything = stream_of(TEXTS, tokenizer)
    assert (np.bincount(first.ravel(), minlength=512) <= np.bincount(everything, minlength=512)).all()


def test_stored_tokens_are_read_as_they_are(task, tmp_path):
    rows = [[(7 * i + j) % 512 for j in range(20)] for i in range(9)]
    path = tmp_path / "tokens.jsonl"
    path.write_text("".join(json.dumps({"ids": row}) + "\n" for row in rows))
    dataset = {"name": str(path), "column": "ids", "is_tokenized": True, "n_ctx": 16}
    source = open_inputs(task, run_config(dataset, n_tokens=9 * 16))
    assert sorted(map(tuple, drawn(source).tolist())) == sorted(tuple(row[:16]) for row in rows)
    assert source.token_texts(np.array([3])) == ["3"]


def test_what_the_run_says_goes_before_what_the_checkpoint_says(task, jsonl, tmp_path):
    data = language_data(task, run_config({"name": str(jsonl), "n_ctx": 9, "tokenizer": TOKENIZER}))
    assert (data.n_ctx, data.column, data.split, data.tokenizer) == (9, "story", "train", TOKENIZER)
    own = task.model_copy(
        update={
            "dataset_name": "data.jsonl",
            "folder": tmp_path,
            "tokenizer_name": "a/b",
            "train_data_split": "train[:50%]",
        }
    )
    data = language_data(own, run_config({}))
    assert data.path == tmp_path / "data.jsonl"
    assert data.split == "train[:50%]"
    assert (data.n_ctx, data.is_tokenized, data.streaming) == (48, False, False)
    assert data.tokenizer == "a/b"
    assert language_data(
        own.model_copy(update={"dataset_name": "SimpleStories/SimpleStories"}), run_config({})
    ).lowercase


@pytest.mark.parametrize(
    ("asked", "samples"),
    [
        ({}, 4 * 48),
        ({"n_tokens_per_seq": 3}, 12),
        ({"n_tokens": 100}, 100),
        ({"n_tokens": 100, "n_tokens_per_seq": 7}, 100),
    ],
)
def test_a_batch_has_as_many_samples_as_are_asked_for(task, jsonl, asked, samples):
    assert samples_per_batch(task, run_config(jsonl, **asked)) == samples
    assert open_inputs(task, run_config(jsonl, **asked)).n_samples == samples


BAD = {
    "no such path": ({"name": "./nothing.jsonl"}, {}, r"dataset\.name: no such file or folder \(found: \./nothing"),
    "no such hub name": ({"name": "nobody/nothing"}, {}, r"nobody/nothing: dataset\.name: dataset cannot be read"),
    "suffix": ({"name": "README.md"}, {}, r"README\.md: dataset\.name: unknown type of data file \(found: \.md"),
    "column": ({"column": "tale"}, {}, r"dataset\.column: no such column \(found: tale; allowed: story\)"),
    "split": ({"split": "test"}, {}, r"dataset\.name: dataset cannot be read \(found: ValueError: .*test"),
    "not texts": ({"is_tokenized": True}, {}, r"dataset\.is_tokenized: record is not a list of token ids"),
    "positions": ({}, {"n_tokens_per_seq": 49}, r"n_tokens_per_seq: more positions .* \(found: 49; allowed: at most 48"),
    "tokenizer": ({"tokenizer": "./nowhere"}, {}, r"dataset\.tokenizer: no such file or folder"),
    "hub tokenizer": ({"tokenizer": "nobody/nothing"}, {}, r"dataset\.tokenizer: no such tokenizer \(found: nobody"),
    "exhausted": ({}, {"n_tokens": 10**6}, r"n_tokens: dataset ends before n_tokens \(found: \d+ tokens, \d+ sequences of 48; allowed: 20834 sequences"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_data_are_one_line(task, jsonl, case):
    dataset, asked, message = BAD[case]
    with pytest.raises(InputError, match=message) as caught:
        drawn(open_inputs(task, run_config({"name": str(jsonl)} | dataset, **asked)))
    assert "\n" not in str(caught.value)


def test_the_number_of_tokens_found_is_said(task, tokenizer, jsonl):
    sequences = len(stream_of(TEXTS, tokenizer)) // 48
    message = rf"found: {sequences * 48} tokens, {sequences} sequences of 48; .*n_tokens of at most {sequences * 2}\)"
    with pytest.raises(InputError, match=message):
        drawn(open_inputs(task, run_config(jsonl, n_tokens=10**5, n_tokens_per_seq=2)))


@pytest.mark.parametrize("streaming", [False, True])
def test_empty_data_are_one_line(task, tmp_path, streaming):
    for name, content in [("a.txt", ""), ("a.jsonl", "")]:
        (tmp_path / name).write_text(content)
        with pytest.raises(InputError, match="dataset is empty"):
            open_inputs(task, run_config(tmp_path / name, dataset_streaming=streaming))
    short = write_jsonl(tmp_path / "short.jsonl", ["one word"])
    with pytest.raises(InputError, match=r"shorter than one sequence \(found: fewer than 48 tokens"):
        drawn(open_inputs(task, run_config(short, dataset_streaming=streaming)))


def test_a_text_column_stands_in_for_a_column_nobody_named(task, tmp_path):
    source = open_inputs(task, run_config(write_jsonl(tmp_path / "a.jsonl", column="text"), n_tokens=48))
    assert drawn(source).shape == (1, 48)


def test_a_tokenizer_of_another_model_is_refused():
    for vocabulary in (100, 50_000):
        with pytest.raises(
            InputError, match=r"does not match the model's vocabulary \(found: .* with 512 tokens; allowed"
        ):
            Tokenizer(TOKENIZER, vocabulary)
    assert Tokenizer(TOKENIZER, 520).end_of_text == 1


@pytest.mark.parametrize("rows", [[["a", "b"]], [[1.5, 2.0]], ["text"], [[[1, 2]]]])
def test_records_that_are_not_token_numbers_are_refused(rows):
    with pytest.raises(InputError, match="record is not a list of token ids"):
        list(stored_blocks(rows, 1))


def test_a_short_record_of_tokens_is_refused():
    with pytest.raises(InputError, match=r"record 1 is too short \(found: 2 tokens; allowed: 3 or more"):
        list(stored_blocks([[1, 2, 3], [1, 2]], 3))


def test_a_missing_library_is_one_line(task, jsonl, monkeypatch):
    extra = r"\(allowed: pip install 'spdclust\[lm\]'\)"
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "transformers", None)
        with pytest.raises(InputError, match=f"tokenizers require the `transformers` package {extra}"):
            Tokenizer(TOKENIZER, 512)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=f"text datasets require the `datasets` package {extra}"):
        open_inputs(task, run_config(jsonl))


def test_toy_inputs_come_in_pieces_of_the_same_whole():
    task = ToyTask(name="resid_mlp", n_features=6, feature_probability=0.3)
    draw = partial(generate_inputs, task)
    whole = np.concatenate([c.inputs.numpy() for c in DrawnSource(draw, 11, batch_size=100).draw(2)])
    pieces = np.concatenate([c.inputs.numpy() for c in DrawnSource(draw, 11, batch_size=3).draw(2)])
    np.testing.assert_array_equal(whole, pieces)
