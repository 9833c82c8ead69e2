"""From a model to activation batches on disk: seeded inputs, causal importances, sparse files."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from tqdm import tqdm

from spdclust.config.run import ClusteringRunConfig
from spdclust.datasets.chunks import DrawnSource, InputSource
from spdclust.datasets.inputs import generate_inputs, open_inputs
from spdclust.errors import InputError
from spdclust.files.activation_batch import ActivationBatch
from spdclust.files.archive import digest_of, digest_of_file
from spdclust.files.examples import TokenExamples, samples_of
from spdclust.files.own_folders import batches_per_run, files_beside, own_files
from spdclust.files.own_matrices import read_own
from spdclust.merge.activations import ProcessedActivations
from spdclust.models import load_model
from spdclust.models.loader_names import loader_digest
from spdclust.models.sampling import SamplingModel
from spdclust.provenance import stage_fingerprint

__all__ = [
    "extract_and_process_activations",
    "generate_inputs",
    "precompute_batches_for_ensemble",
    "process_data_batch",
    "request_digest",
    "write_missing_batches",
]

log = logging.getLogger(__name__)


def extract_and_process_activations(
    model: SamplingModel,
    inputs: Any,
    *,
    batch_size: int = 1024,
    causal_importance: str = "lower_leaky",
) -> ProcessedActivations:
    """Return the causal importances of every component on `inputs`, sparse.

    The forward pass runs in chunks of `batch_size`, so that only one chunk is ever dense.

    Example:
        >>> model = load_model("resources/resid_mlp1", device="cpu")
        >>> inputs = generate_inputs(model.task, 16, seed=0)
        >>> extract_and_process_activations(model, inputs).matrix.shape
        (16, 200)

    Args:
        model: from `spdclust.models.load_model`.
        inputs: `(rows, …)` tensor of model inputs.
        batch_size: rows in one forward pass.
        causal_importance: `lower_leaky` or `upper_leaky`.

    Raises:
        InputError: a causal importance is NaN or infinite (names the component).
    """
    if len(inputs) == 0:
        raise InputError("no inputs", field="inputs", found=len(inputs), allowed="at least one row")
    chunks = [
        model.sparse_activations(inputs[start : start + batch_size], causal_importance)
        for start in range(0, len(inputs), batch_size)
    ]
    return ProcessedActivations.from_sparse(sparse.vstack(chunks, format="csr"), list(model.labels))


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
        run: which member of the ensemble.
        batch: which batch of that run.

    Raises:
        InputError: the data cannot be drawn, or an activation is not finite.
    """
    seed = config.batch_seed(run, batch)
    source = open_model_inputs(config, model)
    return draw_batch(config, model, source, seed, request_digest(config, seed, model.digest))


def request_digest(config: ClusteringRunConfig, seed: int, checkpoint_digest: str) -> str:
    """Return a digest of everything that determines a batch.

    Example:
        >>> config = ClusteringRunConfig(model_path="m")
        >>> request_digest(config, 0, "") == request_digest(config, 1, "")
        False
    """
    # the same model at another place gives the same batch
    sampling = {key: value for key, value in config.sampling().items() if key != "model_path"}
    code = [stage_fingerprint("precompute_batches"), loader_digest(config.loader)]
    return digest_of(sampling, str(seed), checkpoint_digest, *code)


def load_run_model(config: ClusteringRunConfig) -> SamplingModel:
    """Load the model of a run, with its own loader if it names one.

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
    """Return where a model's inputs come from: its own function if it has one, else its task.

    Raises:
        InputError: the data or the tokenizer cannot be opened, or settings do not fit the model.
    """
    draw_inputs = getattr(model, "draw_inputs", None)
    if draw_inputs is not None:
        return DrawnSource(draw_inputs, config.samples_per_batch, config.batch_size)
    assert model.task is not None
    return open_inputs(model.task, config)


def draw_batch(
    config: ClusteringRunConfig,
    model: SamplingModel,
    source: InputSource,
    seed: int,
    request: str,
) -> ActivationBatch:
    """Return the activations of one batch, only one chunk of them ever dense.

    Args:
        config: the run's settings.
        model: the model, loaded once for all batches.
        source: its inputs, opened once for all batches.
        seed: what the batch is drawn with.
        request: a text kept in the batch, saying what was asked for.

    Raises:
        InputError: the data end too early, do not fit the model, or an activation is not finite.
    """
    rows: list[sparse.csr_array] = []
    examples = _Kept(config.keep_examples)
    left = source.n_samples
    with tqdm(total=source.n_samples, desc=f"seed {seed}", unit="sample", disable=None, leave=False) as bar:
        for chunk in source.draw(seed):
            made = model.sparse_activations(chunk.inputs, config.causal_importance, chunk.positions)
            examples.add(chunk.inputs, chunk.positions, min(left, made.shape[0]))
            rows.append(made if made.shape[0] <= left else made[:left])
            left -= rows[-1].shape[0]
            bar.update(rows[-1].shape[0])
    if left > 0:
        raise InputError(
            "too few inputs for a batch",
            file=str(getattr(model, "source", config.loader)),
            field="n_tokens",
            found=f"{source.n_samples - left} samples",
            allowed=f"{source.n_samples} samples",
        )
    matrix = rows[0] if len(rows) == 1 else sparse.vstack(rows, format="csr")
    rows.clear()
    provenance = {
        "causal_importance": config.causal_importance,
        "checkpoint_digest": model.digest,
        "request": request,
        "task": "its own" if model.task is None else str(model.task.name),
        **source.provenance,
    }
    return ActivationBatch(
        ProcessedActivations.from_sparse(matrix, list(model.labels)),
        seed,
        provenance,
        examples=examples.finished(source),
    )


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
        kept = tokens[: self._left]
        before = sum(map(len, self._tokens))
        samples = samples_of(len(kept), kept.shape[1], None if positions is None else positions[: len(kept)])
        self._tokens.append(kept)
        self._samples.append(samples[:n_samples] + np.array([before, 0]))
        self._left -= len(kept)

    def finished(self, source: InputSource) -> TokenExamples | None:
        if not self._tokens:
            return None
        tokens = np.concatenate(self._tokens)
        occurring = np.unique(tokens)
        texts = dict(zip(occurring.tolist(), source.token_texts(occurring), strict=True))
        return TokenExamples(tokens, np.concatenate(self._samples), texts)


def write_batches(
    config: ClusteringRunConfig, model: SamplingModel, asked: Mapping[Path, tuple[int, str]]
) -> None:
    """Write batches, each under its final name only once whole; the model and its data are opened once.

    Args:
        config: the run's settings.
        model: the model, loaded once for all batches.
        asked: for each path the seed of the batch and a text kept in it, saying what was asked for.

    Raises:
        InputError: a batch cannot be made or written.
    """
    source = open_model_inputs(config, model) if asked else None
    for path, (seed, request) in tqdm(asked.items(), desc="batches", unit="batch", disable=None):
        assert source is not None
        batch = draw_batch(config, model, source, seed, request)
        batch.save(path)
        density = batch.matrix.nnz / max(1, batch.n_samples * batch.n_components)
        log.info(
            "seed %d: %d samples, %d components, %.2f %% of the causal importances above 0, %s",
            seed, batch.n_samples, batch.n_components, 100 * density, path,
        )  # fmt: skip


def write_missing_batches(
    config: ClusteringRunConfig, model: SamplingModel, seeds: Sequence[int], paths: Sequence[Path]
) -> None:
    """Write one batch for each seed; a batch that is there already, made in the same way, is kept as it is.

    Raises:
        InputError: a batch cannot be made or written.
    """
    asked = {
        path: (seed, request_digest(config, seed, model.digest))
        for seed, path in zip(seeds, paths, strict=True)
    }
    write_batches(config, model, {path: ask for path, ask in asked.items() if not _is_there(path, ask[1])})


def _is_there(path: Path, request: str) -> bool:
    if not path.exists():
        return False
    try:
        found = ActivationBatch.load(path).provenance.get("request")
    except InputError as error:
        log.warning("%s; it is made again", error)
        return False
    if found == request:
        log.info("%s is there already", path)
    return found == request


def convert_missing_batches(own: Sequence[Path], seeds: Sequence[int], paths: Sequence[Path]) -> None:
    """Write activations of one's own as batches, one for each file; those that are there already are kept.

    Args:
        own: files that `read_own` reads.
        seeds: kept with them.
        paths: where each batch goes.

    Raises:
        InputError: a file is missing or damaged, or is no matrix.
    """
    beside = [digest_of_file(file) for file in files_beside(list(own))]
    code = stage_fingerprint("precompute_batches")
    for file, seed, path in zip(own, seeds, paths, strict=True):
        request = digest_of(digest_of_file(file), *beside, str(seed), code)
        if _is_there(path, request):
            continue
        batch = read_own(file, seed)
        made = dict(batch.provenance) | {"request": request}
        ActivationBatch(batch.activations, batch.seed, made, batch.maxima, batch.means, batch.examples).save(
            path
        )
        log.info("%d samples, %d components from %s, %s", batch.n_samples, batch.n_components, file, path)


def precompute_batches_for_ensemble(
    config: ClusteringRunConfig, n_runs: int, folder: str | Path, *, runs: Iterable[int] | None = None
) -> list[list[Path]]:
    """Write every run's batches as `<folder>/run_<r>/batch_<b>.pt`, loading the model once.

    With `precomputed_activations_dir` they are made from the files there, and there is no model.

    Example:
        >>> import tempfile
        >>> config = ClusteringRunConfig(model_path="resources/resid_mlp1", batch_size=4, device="cpu")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     written = precompute_batches_for_ensemble(config, 2, folder)
        ...     [path.relative_to(folder).as_posix() for run in written for path in run]
        ['run_0/batch_0.pt', 'run_1/batch_0.pt']

    Args:
        config: the run's settings.
        n_runs: members of the ensemble.
        folder: where `run_<r>/` go.
        runs: only these runs.

    Raises:
        InputError: the model cannot be loaded, or a batch cannot be made or written.
    """
    chosen = range(n_runs) if runs is None else list(runs)
    n_batches = batches_per_run(config)
    asked = {
        run: (
            [config.batch_seed(run, batch) for batch in range(n_batches)],
            [Path(folder) / f"run_{run}" / f"batch_{batch}.pt" for batch in range(n_batches)],
        )
        for run in chosen
    }
    if config.precomputed_activations_dir is not None:
        for run, (seeds, paths) in asked.items():
            convert_missing_batches(
                own_files(config.precomputed_activations_dir, run)[:n_batches], seeds, paths
            )
    else:
        model = load_run_model(config)
        for seeds, paths in asked.values():
            write_missing_batches(config, model, seeds, paths)
    return [paths for _, paths in asked.values()]
