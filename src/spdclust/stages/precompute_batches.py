"""Stage: a model or user-supplied activations -> the activation batches of one run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spdclust.config.run import ClusteringRunConfig
from spdclust.sampling.batch_sampling import load_run_model
from spdclust.sampling.precompute import convert_missing_batches, find_own_batches, write_missing_batches


def precompute_batches(
    sampling: Mapping[str, Any],
    seeds: Sequence[int],
    paths: Sequence[str | Path],
    run: int = 0,
) -> None:
    """Write one batch for each seed; existing batches with the same provenance are kept.

    Example:
        >>> import tempfile
        >>> from spdclust.files.activation_batch import ActivationBatch
        >>> config = ClusteringRunConfig(model_path="resources/resid_mlp1", batch_size=4, device="cpu")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     paths = [f"{folder}/batch_0.pt", f"{folder}/batch_1.pt"]
        ...     precompute_batches(config.sampling(), [0, 1], paths)
        ...     batch = ActivationBatch.load(paths[1])
        >>> batch.seed, batch.matrix.shape
        (1, (4, 200))

    Args:
        sampling: `ClusteringRunConfig.sampling()`.
        seeds: seed of each batch.
        paths: output path of each batch.
        run: number of the run, for user-supplied activations.

    Raises:
        InputError: the model cannot be loaded, or a batch cannot be computed or written.
    """
    places = [Path(path) for path in paths]
    config = ClusteringRunConfig.model_validate(dict(sampling))
    if config.precomputed_activations_dir is not None:
        convert_missing_batches(config, find_own_batches(config, run, len(places)), seeds, places)
        return
    write_missing_batches(config, load_run_model(config), seeds, places)
