"""Stage: a model or user-supplied activations -> the activation batches of one run or several."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spdclust.config.run import ClusteringRunConfig
from spdclust.sampling.batch_sampling import load_run_model
from spdclust.sampling.precompute import convert_missing_batches, find_own_batches, write_missing_batches


def precompute_batches(settings: Mapping[str, Any], paths: Sequence[str | Path]) -> None:
    """Write batches, whose paths say of which run and which of its batches; the model is loaded once.

    Existing batches with the same provenance are kept.

    Example:
        >>> import tempfile
        >>> from spdclust.files.activation_batch import ActivationBatch
        >>> settings = {"model_path": "resources/resid_mlp1", "batch_size": 4, "device": "cpu"}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     paths = [f"{folder}/run_2/batch_0.pt", f"{folder}/run_2/batch_1.pt"]
        ...     precompute_batches(settings, paths)
        ...     batch = ActivationBatch.load(paths[1])
        >>> batch.seed, batch.matrix.shape
        (2001, (4, 200))

    Args:
        settings: `ClusteringRunConfig.sampling()`, and `dataset_seed`.
        paths: output path of each batch, `…/run_<r>/batch_<b>.pt`, in order.

    Raises:
        InputError: the model cannot be loaded, or a batch cannot be computed or written.
    """
    config = ClusteringRunConfig.model_validate(dict(settings))
    places = [Path(path) for path in paths]
    runs = [_number(path.parent.name) for path in places]
    seeds = [config.batch_seed(run, _number(path.stem)) for run, path in zip(runs, places, strict=True)]
    if config.precomputed_activations_dir is None:
        write_missing_batches(config, load_run_model(config), seeds, places)
        return
    for run in dict.fromkeys(runs):
        of_run = slice(runs.index(run), runs.index(run) + runs.count(run))
        own = find_own_batches(config, run, runs.count(run))
        convert_missing_batches(config, own, seeds[of_run], places[of_run])


def _number(name: str) -> int:
    return int(name.rpartition("_")[2])
