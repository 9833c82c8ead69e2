"""Sample one batch of activations from a model: seeded inputs, causal importances, provenance."""

import functools
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from spdclust.config.run import MOST_BATCHES, ClusteringRunConfig
from spdclust.core.arguments import checked, instance, rows, text, whole
from spdclust.core.code_fingerprint import stage_fingerprint
from spdclust.core.errors import InputError
from spdclust.files.activation_batch import ActivationBatch
from spdclust.files.archive import digest_of, digest_of_file
from spdclust.files.stored_batch import StoredBatch, TokenExamples, batch_to_store, samples_of
from spdclust.merge.activations import ActiveSets, ProcessedActivations
from spdclust.models import load_model
from spdclust.models.loader_names import loader_digest
from spdclust.models.sparse_rows import RowCollector
from spdclust.sampling.chunks import DrawnSource, InputChunk, InputSource, SamplingModel
from spdclust.sampling.inputs import open_inputs
from spdclust.sampling.settings import local_data_files, sampling_record, without_places

_MODEL = instance(SamplingModel, allowed="a model, as load_model returns it")


@checked(
    model=_MODEL,
    inputs=rows,
    batch_size=whole(at_least=1),
    causal_importance=text("lower_leaky", "upper_leaky"),
)
def extract_and_process_activations(
    model: SamplingModel, inputs: Any, *, batch_size: int = 1024, causal_importance: str = "lower_leaky"
) -> ProcessedActivations:
    """Return the causal importances of every component on `inputs`, sparse.

    The forward pass runs in chunks of `batch_size`, so that only one chunk is dense at a time.

    Example:
        >>> from spdclust.sampling.inputs import generate_inputs
        >>> model = load_model("resources/resid_mlp1", device="cpu")
        >>> inputs = generate_inputs(model.task, 16, seed=0)
        >>> extract_and_process_activations(model, inputs).matrix.shape
        (16, 200)

    Args:
        model: from `spdclust.models.load_model`.
        inputs: `(rows, …)` tensor of model inputs.
        batch_size: rows per forward pass.
        causal_importance: `lower_leaky` or `upper_leaky`.

    Raises:
        InputError: a causal importance is NaN or infinite (names the component).
    """
    if len(inputs) == 0:
        raise InputError("no inputs", field="inputs", found=len(inputs), allowed="at least one row")
    rows = RowCollector(len(model.labels))
    for start in range(0, len(inputs), batch_size):
        model.collect_rows(rows, inputs[start : start + batch_size], causal_importance)
    return ProcessedActivations.from_sparse(rows.matrix(), list(model.labels), copy=False)


@checked(
    config=instance(ClusteringRunConfig, allowed="a ClusteringRunConfig"),
    model=_MODEL,
    run=whole(at_least=0),
    batch=whole(at_least=0, at_most=MOST_BATCHES - 1),
)
def process_data_batch(
    config: ClusteringRunConfig, model: SamplingModel, *, run: int, batch: int
) -> ActivationBatch:
    """Draw the inputs of one batch of one run and return the components' activations on them.

    Example:
        >>> config = ClusteringRunConfig(model_path="resources/resid_mlp1", batch_size=8)
        >>> model = load_model("resources/resid_mlp1", device="cpu")
        >>> batch = process_data_batch(config, model, run=1, batch=0)
        >>> batch.seed, batch.n_samples
        (1000, 8)

    Args:
        config: the run's settings.
        model: the model, loaded once for all batches.
        run: number of the run in the ensemble.
        batch: number of the batch in the run.

    Raises:
        InputError: the data cannot be drawn, or an activation is not finite.
    """
    seed = config.batch_seed(run, batch)
    source = open_model_inputs(config, model)
    return _draw_batch(config, model, source, seed, request_digest(config, seed, model.digest))


def request_digest(config: ClusteringRunConfig, seed: int, checkpoint_digest: str) -> str:
    """Return a digest of everything that determines a batch.

    Example:
        >>> config = ClusteringRunConfig(model_path="m")
        >>> request_digest(config, 0, "") == request_digest(config, 1, "")
        False
    """
    # the same model or data at a different path give the same batch, different data with the same name do not
    sampling = {k: v for k, v in without_places(config.sampling()).items() if k != "model_path"}
    data = [_digest_now(file, *_stamp(file)) for file in local_data_files(config) if Path(file).exists()]
    code = [stage_fingerprint("precompute_batches"), loader_digest(config.loader)]
    return digest_of(sampling, str(seed), checkpoint_digest, data, *code)


@functools.lru_cache(maxsize=1024)
def _digest_now(file: str, changed: int, size: int) -> str:
    # the stamp only shows the cache that the file has changed
    return digest_of_file(file)


def _stamp(file: str) -> tuple[int, int]:
    """Return a stamp that identifies the state of a file without reading it."""
    return Path(file).stat().st_mtime_ns, Path(file).stat().st_size


def load_run_model(config: ClusteringRunConfig) -> SamplingModel:
    """Load the model of a run, with the run's loader if it has one.

    Example:
        >>> config = ClusteringRunConfig(model_path="resources/resid_mlp1", device="cpu")
        >>> load_run_model(config).labels[:2]
        ['layers.0.mlp_in:0', 'layers.0.mlp_in:1']

    Raises:
        InputError: there is no model or no such loader, or the model cannot be loaded.
    """
    if config.loader is not None:
        from spdclust.models.plugin import load_plugin

        return load_plugin(config.loader, config.model_source, config.device)
    if config.model_source is None:
        raise InputError("no model", field="model_path", allowed="a model to compute activations with")
    return load_model(config.model_source, device=config.device)


def open_model_inputs(config: ClusteringRunConfig, model: SamplingModel) -> InputSource:
    """Return the source of a model's inputs: its own function if it has one, otherwise its task.

    Example:
        >>> config = ClusteringRunConfig(model_path="resources/resid_mlp1", n_tokens=5, batch_size=2)
        >>> source = open_model_inputs(config, load_run_model(config))
        >>> [tuple(chunk.inputs.shape) for chunk in source.draw(seed=0)]
        [(2, 100), (2, 100), (1, 100)]

    Raises:
        InputError: the data or the tokenizer cannot be opened, or settings do not match the model.
    """
    draw_inputs = getattr(model, "draw_inputs", None)
    if draw_inputs is not None:
        return DrawnSource(draw_inputs, config.samples_per_batch, config.batch_size)
    assert model.task is not None
    return open_inputs(model.task, config)


def _draw_batch(
    config: ClusteringRunConfig, model: SamplingModel, source: InputSource, seed: int, request: str
) -> ActivationBatch:
    """Return the activations of one batch, with only one chunk dense at a time."""
    rows, provenance, examples = _draw(config, model, source, seed, request)
    activations = ProcessedActivations.from_sparse(rows.matrix(), list(model.labels), copy=False)
    if rows.threshold is not None:
        sets = ActiveSets(rows.threshold, rows.maxima(), rows.means())
        activations = replace(activations, sets=sets)
    return ActivationBatch(activations, seed, provenance, rows.maxima(), rows.means(), examples)


def draw_stored_batch(
    config: ClusteringRunConfig, model: SamplingModel, source: InputSource, seed: int, request: str
) -> StoredBatch:
    """Return the activations of one batch in the form of its file, which takes a fraction of the memory.

    Example:
        >>> config = ClusteringRunConfig(model_path="resources/resid_mlp1", batch_size=8, device="cpu")
        >>> model = load_run_model(config)
        >>> stored = draw_stored_batch(config, model, open_model_inputs(config, model), 7, "by hand")
        >>> stored.n_samples, stored.seed
        (8, 7)

    Raises:
        InputError: the data end too early or do not match the model, or an activation is not finite.
    """
    rows, provenance, examples = _draw(config, model, source, seed, request)
    return batch_to_store(
        arrays_of_rows(rows),
        list(model.labels),
        seed,
        provenance,
        threshold=rows.threshold,
        examples=examples,
    )


def arrays_of_rows(rows: RowCollector) -> dict[str, np.ndarray]:
    """Return collected samples as the arrays of a batch file.

    Example:
        >>> import torch
        >>> rows = RowCollector(2, threshold=0.1)
        >>> rows.add({"m": torch.tensor([[0.0, 0.5]])})
        >>> {name: array.tolist() for name, array in arrays_of_rows(rows).items()}["indptr"]
        [0, 1]
    """
    return {
        "shape": np.array([rows.n_rows, rows.n_components], dtype=np.int64),
        "indptr": rows.indptr,
        "indices": rows.columns,
        "values": np.empty(0, dtype=np.float32) if rows.values is None else rows.values,
        "maxima": rows.maxima(),
        "means": rows.means(),
    }


def _draw(
    config: ClusteringRunConfig, model: SamplingModel, source: InputSource, seed: int, request: str
) -> tuple[RowCollector, dict[str, str], TokenExamples | None]:
    """Return the samples of a batch, their provenance, and the tokens of the first ones."""
    rows = RowCollector(
        len(model.labels),
        threshold=None if config.keep_values else config.sampling_threshold,
        n_samples=source.n_samples,
    )
    examples = _Kept(config.keep_examples)
    drawn = hashlib.sha256()
    with tqdm(total=source.n_samples, desc=f"seed {seed}", unit="sample", disable=None, leave=False) as bar:
        for chunk in source.draw(seed):
            before = rows.n_rows
            _add_inputs(drawn, chunk)
            model.collect_rows(rows, chunk.inputs, config.causal_importance, chunk.positions)
            examples.add(chunk.inputs, chunk.positions, rows.n_rows - before)
            bar.update(rows.n_rows - before)
    if rows.n_rows < source.n_samples:
        raise InputError(
            "too few inputs for a batch",
            file=str(getattr(model, "source", config.loader)),
            field="n_tokens",
            found=f"{rows.n_rows} samples",
            allowed=f"{source.n_samples} samples",
        )
    provenance = {
        "causal_importance": config.causal_importance,
        "checkpoint_digest": model.digest,
        "code": stage_fingerprint("precompute_batches"),
        "inputs_digest": drawn.hexdigest(),
        "request": request,
        "sampling": sampling_record(config),
        # a loader with its own inputs has no task of ours
        "task": "its own" if model.task is None else str(model.task.name),
        **source.provenance,
    }
    return rows, provenance, examples.finished(source)


class _Kept:
    """Tokens of the first sequences of a batch."""

    def __init__(self, n_sequences: int) -> None:
        self._left = n_sequences
        self._tokens: list[np.ndarray] = []
        self._samples: list[np.ndarray] = []

    def add(self, inputs: Any, positions: np.ndarray | None, n_samples: int) -> None:
        tokens = np.asarray(inputs)
        if self._left <= 0 or np.issubdtype(tokens.dtype, np.floating):
            return
        rows = tokens[: self._left]
        before = sum(map(len, self._tokens))
        samples = samples_of(len(rows), rows.shape[1], None if positions is None else positions[: len(rows)])
        self._tokens.append(rows)
        self._samples.append(samples[:n_samples] + np.array([before, 0]))
        self._left -= len(rows)

    def finished(self, source: InputSource) -> TokenExamples | None:
        if not self._tokens:
            return None
        tokens = np.concatenate(self._tokens)
        occurring = np.unique(tokens)
        texts = dict(zip(occurring.tolist(), source.token_texts(occurring), strict=True))
        return TokenExamples(tokens, np.concatenate(self._samples), texts)


def _add_inputs(digest: "hashlib._Hash", chunk: InputChunk) -> None:
    """Add the model inputs to a digest, which distinguishes different data from different arithmetic."""
    inputs = chunk.inputs.detach().cpu() if hasattr(chunk.inputs, "detach") else chunk.inputs
    for part in (inputs, chunk.positions):
        array = np.asarray([] if part is None else part)
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
