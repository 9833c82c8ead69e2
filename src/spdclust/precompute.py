"""From a model to activation batches on disk: seeded inputs, causal importances, sparse files."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scipy import sparse
from tqdm import tqdm

from spdclust.config.run import ClusteringRunConfig
from spdclust.datasets import generate_inputs
from spdclust.errors import InputError
from spdclust.files.archive import digest_of
from spdclust.files.batches import ActivationBatch
from spdclust.merge.activations import ProcessedActivations
from spdclust.models import load_model
from spdclust.provenance import stage_fingerprint

if TYPE_CHECKING:
    from spdclust.models.component_model import ComponentModel

log = logging.getLogger(__name__)


def extract_and_process_activations(
    model: "ComponentModel",
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
    chunks = [
        sparse.csr_array(chunk) for chunk in model.activation_chunks(inputs, batch_size, causal_importance)
    ]
    if not chunks:
        raise InputError("no inputs", field="inputs", found=len(inputs), allowed="at least one row")
    return ProcessedActivations.from_sparse(sparse.vstack(chunks, format="csr"), list(model.labels))


def process_data_batch(
    config: ClusteringRunConfig, model: "ComponentModel", *, run: int, batch: int
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
    return _draw_batch(config, model, seed, request_digest(config, seed, model.digest))


def request_digest(config: ClusteringRunConfig, seed: int, checkpoint_digest: str) -> str:
    """Return a digest of everything that determines a batch.

    Example:
        >>> config = ClusteringRunConfig(model_path="m")
        >>> request_digest(config, 0, "") == request_digest(config, 1, "")
        False
    """
    # the same model at another place gives the same batch
    sampling = {key: value for key, value in config.sampling().items() if key != "model_path"}
    return digest_of(sampling, str(seed), checkpoint_digest, stage_fingerprint("precompute_batches"))


def _draw_batch(
    config: ClusteringRunConfig, model: "ComponentModel", seed: int, request: str
) -> ActivationBatch:
    inputs = generate_inputs(model.task, config.samples_per_batch, seed)
    activations = extract_and_process_activations(
        model, inputs, batch_size=config.batch_size, causal_importance=config.causal_importance
    )
    provenance = {
        "causal_importance": config.causal_importance,
        "checkpoint_digest": model.digest,
        "request": request,
        "task": str(model.task.name),
    }
    return ActivationBatch(activations, seed, provenance)


def write_batches(
    config: ClusteringRunConfig, model: "ComponentModel", asked: Mapping[Path, tuple[int, str]]
) -> None:
    """Write batches, each under its final name only once whole.

    Args:
        config: the run's settings.
        model: the model, loaded once for all batches.
        asked: for each path the seed of the batch and a text kept in it, saying what was asked for.

    Raises:
        InputError: a batch cannot be made or written.
    """
    for path, (seed, request) in tqdm(asked.items(), desc="batches", unit="batch", disable=None):
        batch = _draw_batch(config, model, seed, request)
        batch.save(path)
        density = batch.matrix.nnz / max(1, batch.n_samples * batch.n_components)
        log.info(
            "seed %d: %d samples, %d components, %.2f %% of the causal importances above 0, %s",
            seed, batch.n_samples, batch.n_components, 100 * density, path,
        )  # fmt: skip


def write_missing_batches(
    config: ClusteringRunConfig, model: "ComponentModel", seeds: Sequence[int], paths: Sequence[Path]
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


def precompute_batches_for_ensemble(
    config: ClusteringRunConfig, n_runs: int, folder: str | Path, *, runs: Iterable[int] | None = None
) -> list[list[Path]]:
    """Write every run's batches as `<folder>/run_<r>/batch_<b>.pt`, loading the model once.

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
    if config.model_source is None:
        raise InputError("no model", field="model_path", allowed="a model to compute activations with")
    chosen = range(n_runs) if runs is None else list(runs)
    model = load_model(config.model_source, device=config.device)
    written = []
    for run in chosen:
        seeds = [config.batch_seed(run, batch) for batch in range(config.batches_needed())]
        paths = [Path(folder) / f"run_{run}" / f"batch_{batch}.pt" for batch in range(len(seeds))]
        write_missing_batches(config, model, seeds, paths)
        written.append(paths)
    return written
