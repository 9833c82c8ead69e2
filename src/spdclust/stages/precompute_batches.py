"""Stage: a model or user-supplied activations -> the activation batches of one run or several."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spdclust.config.run import ClusteringRunConfig
from spdclust.models.component_model import find_device
from spdclust.sampling.precompute import write_batches_of_runs

log = logging.getLogger(__name__)


def precompute_batches(settings: Mapping[str, Any], paths: Sequence[str | Path]) -> None:
    """Write the batches of one run or several, named by their paths; the model is loaded once.

    Existing batches with the same provenance are kept.

    Example:
        >>> from spdclust.files.activation_batch import ActivationBatch
        >>> settings = {"model_path": "resources/resid_mlp1", "batch_size": 4, "device": "cpu"}
        >>> paths = [f"{folder}/run_2/batch_0.pt", f"{folder}/run_2/batch_1.pt"]
        >>> precompute_batches(settings, paths)
        >>> batch = ActivationBatch.load(paths[1])
        >>> batch.seed, batch.matrix.shape
        (2001, (4, 200))

    Args:
        settings: `ClusteringRunConfig.sampling()`, and `dataset_seed`.
        paths: output path of every batch, `…/run_<r>/batch_<b>.pt`; those of a run in order, from batch 0.

    Raises:
        InputError: the model cannot be loaded, or a batch cannot be computed or written.
    """
    config = ClusteringRunConfig.model_validate(dict(settings))
    of_runs: dict[int, list[Path]] = {}
    for path in map(Path, paths):
        of_runs.setdefault(int(path.parent.name.removeprefix("run_")), []).append(path)
    if len(of_runs) > 1 and config.device == "auto" and find_device("auto").type == "cpu":
        log.info(
            "no GPU here: `runs_per_batches_job: 1` samples these %d runs in parallel jobs; changing it "
            "re-runs nothing",
            len(of_runs),
        )
    write_batches_of_runs(config, of_runs)
