"""Stage: activation batches -> one merge history."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from spdclust.config.merge import MergeConfig
from spdclust.files.archive import digest_of
from spdclust.files.batches import BatchedActivations
from spdclust.files.histories import save_merge_history
from spdclust.files.merge_checkpoints import MergeCheckpointFile
from spdclust.files.metrics import save_metrics
from spdclust.merge.merging import merge_iteration
from spdclust.merge_record import merge_record
from spdclust.provenance import git_state, stage_fingerprint

log = logging.getLogger(__name__)


def merge(
    batches: Sequence[str | Path],
    merge_config: Mapping[str, Any],
    seed: tuple[int, ...],
    *,
    history: str | Path,
    metrics: str | Path,
    threads: int | None = None,
    checkpoint_seconds: float = 300.0,
    git_snapshot: bool = False,
) -> None:
    """Merge the components of one run and write its history and per-iteration metrics.

    Args:
        batches: the run's batch files in order.
        merge_config: settings of the merge.
        seed: (`base_seed`, run).
        history: where `history.zip` goes.
        metrics: where `metrics.csv` goes.
        threads: how many may be used; the result does not depend on it.
        checkpoint_seconds: how often the state is kept in a hidden file beside the history; a killed merge
            goes on from there.
        git_snapshot: also record the commit of the working folder, and whether its files were changed.

    Raises:
        InputError: a batch cannot be read, no component is alive, or a file cannot be written.
    """
    config = MergeConfig.model_validate(dict(merge_config))
    source = BatchedActivations([Path(path) for path in batches])
    code = stage_fingerprint("merge")
    path = Path(history)
    checkpoint = MergeCheckpointFile(
        path.with_name(f".{path.stem}.checkpoint.zip"), digest_of(source.digests, code)
    )
    made = merge_iteration(
        source,
        config,
        tuple(seed),
        progress=True,
        threads=threads,
        checkpoint=checkpoint,
        checkpoint_seconds=checkpoint_seconds,
    )
    git = git_state() if git_snapshot else None
    record = merge_record(source.digests, source.made_from, code, git)
    made = replace(made, provenance=made.provenance | record)
    if made.n_iterations:
        best = made.best_iteration()
        log.info(
            "%d components, %d merges; least description length %.6g bits per sample at %d groups",
            made.n_components, made.n_iterations, made.mdl_loss[best], made.k_groups[best],
        )  # fmt: skip
    save_metrics(made, metrics)
    save_merge_history(made, history)
    checkpoint.remove()
