"""From models to batches: what is sampled, what is kept, what is made again."""

import datasets
import numpy as np
import pytest
from language import CHECKPOINT, TEXTS, TOKENIZER, run_config, write_jsonl

from spdclust.config.run import ClusteringRunConfig
from spdclust.core.errors import InputError
from spdclust.files.batches import ActivationBatch
from spdclust.files.stored_batch import TokenExamples
from spdclust.models import component_model, load_model
from spdclust.models.sparse_rows import RowCollector
from spdclust.sampling.batch_sampling import extract_and_process_activations, process_data_batch
from spdclust.sampling.precompute import precompute_batches_for_ensemble


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path_factory):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.getbasetemp() / "hf")


@pytest.fixture(scope="module")
def model():
    return load_model(CHECKPOINT, device="cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_jsonl(tmp_path_factory.mktemp("data") / "data.jsonl")


def sparse_rows(model, inputs, positions=None):
    rows = RowCollector(model.n_components)
    model.collect_rows(rows, inputs, positions=positions)
    return rows.matrix().toarray()


def rows_at(model, examples):
    """Activations of the kept samples, computed for all positions of one sequence after the other."""
    dense = [
        np.concatenate([x[0].numpy() for x in model.component_activations(row[None]).values()], axis=1)
        for row in examples.tokens
    ]
    return np.stack([dense[sequence][position] for sequence, position in examples.samples])


@pytest.mark.parametrize(
    "asked", [{}, {"n_tokens_per_seq": 5}, {"n_tokens": 100}, {"n_tokens": 33, "n_tokens_per_seq": 5}]
)
def test_samples_are_the_activations_at_the_tokens_that_are_kept(model, data, asked):
    config = run_config(data, keep_examples=1000, **asked)
    batch = process_data_batch(config, model, run=1, batch=0)
    expected = asked.get("n_tokens") or 4 * asked.get("n_tokens_per_seq", 48)
    assert batch.n_samples == expected == batch.examples.n_samples
    np.testing.assert_allclose(batch.matrix.toarray(), rows_at(model, batch.examples), atol=2e-6)
    assert batch.matrix.nnz < 0.2 * batch.n_samples * batch.n_components


def test_the_first_sequences_keep_their_tokens(model, data, tmp_path):
    full = process_data_batch(
        run_config(data, n_tokens=60, n_tokens_per_seq=6, keep_examples=99), model, run=0, batch=0
    )
    batch = process_data_batch(
        run_config(data, n_tokens=60, n_tokens_per_seq=6, keep_examples=3), model, run=0, batch=0
    )
    assert batch.examples.tokens.shape == (3, 48)
    assert batch.examples.n_samples == 18
    np.testing.assert_array_equal(batch.examples.samples, full.examples.samples[:18])
    np.testing.assert_array_equal(batch.matrix.toarray(), full.matrix.toarray())
    batch.save(tmp_path / "batch_0.pt")
    stored = ActivationBatch.load(tmp_path / "batch_0.pt").examples
    np.testing.assert_array_equal(stored.tokens, batch.examples.tokens)
    np.testing.assert_array_equal(stored.samples, batch.examples.samples)
    assert stored.vocabulary == batch.examples.vocabulary
    texts, position = stored.context(4)
    assert len(texts) == 48
    assert position == stored.samples[4, 1]
    assert any("".join(texts)[5:20] in text for text in TEXTS) or "[EOS]" in "".join(texts)


def test_nothing_is_kept_unless_asked(model, data):
    assert process_data_batch(run_config(data), model, run=0, batch=0).examples is None
    toy = ClusteringRunConfig(model_path="resources/resid_mlp1", batch_size=4, keep_examples=3)
    assert process_data_batch(toy, load_model("resources/resid_mlp1", "cpu"), run=0, batch=0).examples is None


def test_damaged_tokens_are_refused(tmp_path):
    examples = TokenExamples(np.array([[3, 4]]), np.array([[0, 1]]), {3: "a", 4: "b"})
    arrays, texts = examples.arrays(), examples.texts()
    assert TokenExamples.stored(arrays, texts).context(0) == (["a", "b"], 1)
    with pytest.raises(InputError, match="tokens are inconsistent"):
        TokenExamples.stored(arrays, {"example_texts": '["a", 4]'})
    for name, value in [
        ("example_samples", [[0, 2]]),
        ("example_tokens", [[3, 5]]),
        ("example_vocabulary", [3]),
    ]:
        with pytest.raises(InputError, match="example_tokens: tokens are inconsistent"):
            TokenExamples.stored(arrays | {name: np.array(value)}, texts)


def test_little_memory_gives_the_same_activations(model, data, monkeypatch):
    config = run_config(data, n_tokens=200, n_tokens_per_seq=20)
    expected = process_data_batch(config, model, run=0, batch=0).matrix.toarray()
    monkeypatch.setattr(component_model, "_DENSE_BYTES", {"cpu": 1})
    np.testing.assert_allclose(
        process_data_batch(config, model, run=0, batch=0).matrix.toarray(), expected, atol=2e-6
    )


def test_no_more_than_the_limit_is_dense(model, data, monkeypatch):
    limit, largest = 2_000_000, 0
    monkeypatch.setattr(component_model, "_DENSE_BYTES", {"cpu": limit})
    original = RowCollector.add

    def watched(rows, importances, source=None):
        nonlocal largest
        largest = max(largest, sum(each.element_size() * each.nelement() for each in importances.values()))
        return original(rows, importances, source)

    monkeypatch.setattr(RowCollector, "add", watched)
    process_data_batch(run_config(data, batch_size=100, n_tokens=3840), model, run=0, batch=0)
    assert 0 < largest < limit
    assert 3840 * model.n_components * 4 > 9 * limit


@pytest.mark.parametrize(
    "folder", ["resources/resid_mlp1", "tests/data/models/tms_5-2-globalmlp", CHECKPOINT]
)
def test_collected_activations_are_the_dense_ones(folder):
    model = load_model(folder, device="cpu")
    rng = np.random.default_rng(0)
    if folder == CHECKPOINT:
        inputs = rng.integers(0, 512, (5, 16))
    else:
        inputs = (rng.random((5, model.task.n_features)) < 0.4).astype(np.float32)
    dense = np.concatenate(list(model.activation_chunks(inputs, 5)))
    np.testing.assert_array_equal(sparse_rows(model, inputs), dense)
    np.testing.assert_array_equal(
        extract_and_process_activations(model, inputs, batch_size=5).matrix.toarray(), dense
    )
    assert sparse_rows(model, inputs[:0]).shape == (0, model.n_components)


def test_functions_that_look_at_several_positions_see_them_all(oracle):
    model = load_model(oracle / "lm_llama2L-globaltf-shared" / "run", device="cpu")
    inputs = np.random.default_rng(1).integers(0, 512, (3, 20))
    positions = np.array([[0, 19], [3, 4], [7, 11]])
    dense = np.concatenate(list(model.activation_chunks(inputs, 3))).reshape(3, 20, -1)
    expected = np.concatenate([dense[row, chosen] for row, chosen in enumerate(positions)])
    np.testing.assert_allclose(sparse_rows(model, inputs, positions), expected, atol=1e-6)


def test_the_same_settings_give_the_same_bytes_and_other_seeds_others(data, tmp_path):
    config = run_config(data, n_tokens=64, n_tokens_per_seq=8, keep_examples=4)
    written = [precompute_batches_for_ensemble(config, 2, tmp_path / name) for name in "ab"]
    contents = [[path.read_bytes() for run in runs for path in run] for runs in written]
    assert contents[0] == contents[1]
    assert contents[0][0] != contents[0][1]


def test_a_vocabulary_that_does_not_fit_is_one_line(model, tmp_path):
    (tmp_path / "tokens.jsonl").write_text('{"ids": [511, 512]}\n')
    dataset = {"name": str(tmp_path / "tokens.jsonl"), "column": "ids", "is_tokenized": True, "n_ctx": 2}
    with pytest.raises(
        InputError, match="token that the model does not know: the tokenizer is another model's"
    ):
        process_data_batch(run_config(dataset, n_tokens=2), model, run=0, batch=0)


def test_sequences_longer_than_the_model_takes_are_one_line(model, data):
    with pytest.raises(
        InputError, match=r"sequences are too long .* \(found: 49 positions; allowed: at most 48\)"
    ):
        process_data_batch(
            run_config({"name": str(data), "n_ctx": 49, "tokenizer": TOKENIZER}), model, run=0, batch=0
        )


def test_inputs_have_the_digest_of_what_was_drawn():
    """Runs whose inputs have one digest count as one: those of other seeds must not."""
    model = load_model("resources/resid_mlp1", "cpu")
    config = ClusteringRunConfig(model_path="resources/resid_mlp1", batch_size=4)
    digests = [
        process_data_batch(config, model, run=run, batch=batch).provenance["inputs_digest"]
        for run, batch in [(0, 0), (0, 0), (0, 1), (1, 0)]
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
