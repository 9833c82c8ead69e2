"""The W&B run of the activations that one merge reads: pictures and statistics of its first batch."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.core.errors import InputError
from spdclust.files.activation_batch import ActivationBatch
from spdclust.files.archive import digest_of
from spdclust.files.batches import BatchedActivations
from spdclust.tracking.matrices import describe_values
from spdclust.tracking.members import Member, open_run
from spdclust.tracking.naming import ensemble_id
from spdclust.tracking.notes import already_logged, close, next_id, target_of

log = logging.getLogger(__name__)


def log_batches(member: Member, note: Path, *, again: bool = False) -> None:
    """Log the activations of one run, once: ensembles that share batches share this too.

    Example:
        >>> import os, tempfile
        >>> from unittest.mock import patch
        >>> from spdclust.config.tracking import TrackingSettings
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> from spdclust.stages.track import member_of
        >>> from spdclust.tracking.notes import load_note
        >>> with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, WANDB_MODE="disabled"):
        ...     member = member_of(write_example_ensemble(folder).folder, 0, TrackingSettings(project="mine"))
        ...     note = Path(folder) / "batches_run_0.json"
        ...     log_batches(member, note)
        ...     load_note(note).run_id.rpartition("-")[0]
        'example-run_0-batches'

    Args:
        member: a merge that reads them.
        note: where it is noted that they were logged.
        again: log them all the same, as another W&B run.
    """
    try:
        source = BatchedActivations(member.batches)
        first = source.get_next_batch()
        digests = source.digests
    except InputError as error:
        log.warning("%s; the activations are not logged", error)
        return
    digest, target = digest_of(digests)[:16], target_of(member.settings)
    if already_logged(note, digest, target, again=again):
        return
    sampling = member.ensemble.split("/")[0]
    run_id, times = next_id(
        note, ensemble_id(f"{sampling}-run_{member.run}", "batches", digests), again=again
    )
    tracker = open_run(member, run_id, "batches", first.provenance.get("task"), axis="batch")
    tracker.log({"batch": 0, **activation_record(first), **_figures(first)})
    tracker.summarize({"n_batches": source.n_batches, "batch_digests": digests})
    close(tracker, note, run_id, digest, target, times)


def activation_record(batch: ActivationBatch) -> dict[str, Any]:
    """Return statistics of a batch by name: of the stored values, and of the components.

    Example:
        >>> record = activation_record(ActivationBatch.from_dense([[0.0, 0.5], [0.0, 1.0]], ["m:0", "m:1"]))
        >>> record["activations/nonzero_share"], record["activations/never_active"]
        (0.5, 1)
    """
    matrix = batch.matrix
    times = np.bincount(matrix.indices, minlength=batch.n_components)
    parts = {
        "activations/value": matrix.data.astype(np.float64),
        "activations/component_maximum": np.asarray(batch.maxima, dtype=np.float64),
        "activations/component_mean": np.asarray(batch.means, dtype=np.float64),
        "activations/component_frequency": times / max(batch.n_samples, 1),
        "activations/active_per_sample": np.diff(matrix.indptr).astype(np.float64),
    }
    record: dict[str, Any] = {
        f"{name}/{figure}": value
        for name, values in parts.items()
        for figure, value in describe_values(values).items()
    }
    cells = batch.n_samples * batch.n_components
    return record | {
        "activations/n_samples": batch.n_samples,
        "activations/n_components": batch.n_components,
        "activations/nonzero_share": matrix.nnz / cells if cells else 0.0,
        "activations/never_active": int((times == 0).sum()),
    }


def _figures(batch: ActivationBatch) -> dict[str, Any]:
    from spdclust.plotting.activations import activation_figures

    return {f"activations/{name}": figure for name, figure in activation_figures(batch).items()}
