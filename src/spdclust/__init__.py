"""Find, and learn how far to trust, the groups of components inside decomposed neural networks.

Names are imported when they are first used, so that `import spdclust` stays fast.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spdclust.config.merge import MergeConfig as MergeConfig
    from spdclust.config.pipeline import ClusteringPipelineConfig as ClusteringPipelineConfig
    from spdclust.config.run import ClusteringRunConfig as ClusteringRunConfig
    from spdclust.ensemble import MergeHistoryEnsemble as MergeHistoryEnsemble
    from spdclust.ensemble import NormalizedHistories as NormalizedHistories
    from spdclust.ensemble import normalize_ensemble as normalize_ensemble
    from spdclust.errors import InputError as InputError
    from spdclust.files.activation_batch import ActivationBatch as ActivationBatch
    from spdclust.files.batches import BatchedActivations as BatchedActivations
    from spdclust.files.histories import load_merge_histories as load_merge_histories
    from spdclust.files.histories import load_merge_history as load_merge_history
    from spdclust.files.histories import save_merge_history as save_merge_history
    from spdclust.groups.found import FoundGroups as FoundGroups
    from spdclust.merge.activations import ProcessedActivations as ProcessedActivations
    from spdclust.merge.costs import compute_merge_costs as compute_merge_costs
    from spdclust.merge.history import GroupMerge as GroupMerge
    from spdclust.merge.history import MergeHistory as MergeHistory
    from spdclust.merge.merging import merge_iteration as merge_iteration
    from spdclust.partitions.distances import compute_distances as compute_distances
    from spdclust.pipeline import ClusteringResults as ClusteringResults
    from spdclust.pipeline import cluster_analysis_pipeline as cluster_analysis_pipeline
    from spdclust.pipeline import find_groups as find_groups
    from spdclust.precompute import extract_and_process_activations as extract_and_process_activations
    from spdclust.precompute import precompute_batches_for_ensemble as precompute_batches_for_ensemble
    from spdclust.precompute import process_data_batch as process_data_batch

__version__ = "0.1.0"

_HOMES = {
    "ActivationBatch": "spdclust.files.activation_batch",
    "BatchedActivations": "spdclust.files.batches",
    "ClusteringPipelineConfig": "spdclust.config.pipeline",
    "ClusteringResults": "spdclust.pipeline",
    "ClusteringRunConfig": "spdclust.config.run",
    "FoundGroups": "spdclust.groups.found",
    "GroupMerge": "spdclust.merge.history",
    "InputError": "spdclust.errors",
    "MergeConfig": "spdclust.config.merge",
    "MergeHistory": "spdclust.merge.history",
    "MergeHistoryEnsemble": "spdclust.ensemble",
    "NormalizedHistories": "spdclust.ensemble",
    "ProcessedActivations": "spdclust.merge.activations",
    "cluster_analysis_pipeline": "spdclust.pipeline",
    "compute_distances": "spdclust.partitions.distances",
    "compute_merge_costs": "spdclust.merge.costs",
    "extract_and_process_activations": "spdclust.precompute",
    "find_groups": "spdclust.pipeline",
    "load_merge_histories": "spdclust.files.histories",
    "load_merge_history": "spdclust.files.histories",
    "merge_iteration": "spdclust.merge.merging",
    "normalize_ensemble": "spdclust.ensemble",
    "precompute_batches_for_ensemble": "spdclust.precompute",
    "process_data_batch": "spdclust.precompute",
    "save_merge_history": "spdclust.files.histories",
}

__all__ = [*sorted(_HOMES), "__version__"]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'spdclust' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
