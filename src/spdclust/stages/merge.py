"""Stage: activation batches -> one merge history."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from spdclust.config.merge import MergeConfig
from spdclust.core.code_fingerprint import stage_fingerprint
from spdclust.core.provenance import git_state, history_provenance
from spdclust.core.types import Labels
from spdclust.files.archive import digest_of
from spdclust.files.batches import BatchedActivations
from spdclust.files.histories import save_merge_history
from spdclust.files.merge_progress import MergeCheckpointFile
from spdclust.files.tables import save_metrics
from spdclust.merge.activations import components_to_merge
from spdclust.merge.merging import merge_iteration
from spdclust.merge.view import MergeView
from spdclust.user_files.layout import first_to_last

log = logging.getLogger(__name__)


@runtime_checkable
class MergeObserver(Protocol):
    """Callbacks of a running merge; they must not raise, and do not change the result."""

    def begin(
        self,
        labels: Labels,
        merge_config: Mapping[str, Any],
        seed: tuple[int, ...],
        digests: list[str],
        made_from: list[dict[str, str]],
        *,
        go_on: bool,
    ) -> None:
        """Called before the first merge, with the components and settings, and whether the merge resumes."""

    def wants(self, iteration: int) -> bool:
        """Return whether `look` should be called after this merge."""

    def look(self, view: MergeView) -> None:
        """Called with the state after a merge."""

    def watch(self, first: int, figures: Mapping[str, np.ndarray]) -> None:
        """Called with the values of consecutive merges, see `watch` of `merge_iteration`."""

    def end(self) -> None:
        """Called after the history is written."""


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
    allow_different_models: bool = False,
    observer: MergeObserver | None = None,
) -> None:
    """Merge the components of one run and write its history and per-iteration metrics.

    Example:
        >>> from spdclust.example_ensemble import MERGE, write_example_ensemble
        >>> place = write_example_ensemble(folder)
        >>> batches, again = [place.batches(1) / "batch_0.pt"], folder / "history.zip"
        >>> merge(batches, MERGE.resolved(), (0, 1), history=again, metrics=f"{folder}/metrics.csv")
        >>> again.read_bytes() == place.history(1).read_bytes()  # same batches, settings and seed
        True

    Args:
        batches: the run's batch files in order.
        merge_config: settings of the merge.
        seed: (`base_seed`, run).
        history: output path of `history.zip`.
        metrics: output path of `metrics.csv`.
        threads: number of threads; None for all cores. The result does not depend on it.
        checkpoint_seconds: interval at which the state is saved to a hidden file next to the history; a
            killed merge resumes from it.
        git_snapshot: also record the commit of the working folder, and whether it has uncommitted changes.
        allow_different_models: accept batches of different models, and record that in the history.
        observer: callbacks.

    Raises:
        InputError: a batch cannot be read, batches are of different models, no component is alive, or a file
            cannot be written.
    """
    config = MergeConfig.model_validate(dict(merge_config))
    source = BatchedActivations(
        [Path(path) for path in batches], allow_different_models=allow_different_models
    )
    files = [merged["source"] for merged in source.made_from if "source_digest" in merged]
    if files:
        log.info("from user-supplied files: %s", first_to_last(", ".join(files).split(", ")))
    code = stage_fingerprint("merge")
    path = Path(history)
    checkpoint = MergeCheckpointFile(
        path.with_name(f".{path.stem}.checkpoint.zip"), digest_of(source.digests, code)
    )
    if observer is not None:
        alive = components_to_merge(source.labels, *source.component_stats(), config)
        labels = [source.labels[component] for component in alive]
        observer.begin(
            labels,
            config.resolved(),
            tuple(seed),
            source.digests,
            source.made_from,
            go_on=checkpoint.path.exists(),
        )
    merged = merge_iteration(
        source,
        config,
        tuple(seed),
        progress=True,
        callback=observer.look if observer is not None else None,
        callback_at=observer.wants if observer is not None else 1,
        watch=observer.watch if observer is not None else None,
        threads=threads,
        checkpoint=checkpoint,
        checkpoint_seconds=checkpoint_seconds,
    )
    git = git_state() if git_snapshot else None
    known = history_provenance(
        source.digests, source.made_from, code, git, allow_different_models=allow_different_models
    )
    merged = replace(merged, provenance=merged.provenance | known)
    if merged.has_description_length:
        best = merged.best_iteration()
        log.info(
            "%d components, %d merges; least description length %.6g bits per sample at %d groups",
            merged.n_components, merged.n_iterations, merged.mdl_loss[best], merged.k_groups[best],
        )  # fmt: skip
    save_metrics(merged, metrics)
    save_merge_history(merged, history)
    checkpoint.remove()
    if observer is not None:
        observer.end()
