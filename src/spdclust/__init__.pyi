"""What the package offers, once: each name and where it is defined."""

from .config.merge import MergeConfig as MergeConfig
from .config.pipeline import ClusteringPipelineConfig as ClusteringPipelineConfig
from .config.run import ClusteringRunConfig as ClusteringRunConfig
from .core.errors import InputError as InputError
from .core.version import __version__ as __version__
from .files.activation_batch import ActivationBatch as ActivationBatch
from .files.batches import BatchedActivations as BatchedActivations
from .files.histories import load_merge_histories as load_merge_histories
from .files.histories import load_merge_history as load_merge_history
from .files.histories import save_merge_history as save_merge_history
from .groups.found import FoundGroups as FoundGroups
from .merge.activations import ProcessedActivations as ProcessedActivations
from .merge.costs import compute_merge_costs as compute_merge_costs
from .merge.history import GroupMerge as GroupMerge
from .merge.history import MergeHistory as MergeHistory
from .merge.merging import merge_iteration as merge_iteration
from .partitions.distances import compute_distances as compute_distances
from .partitions.ensemble import MergeHistoryEnsemble as MergeHistoryEnsemble
from .partitions.ensemble import NormalizedHistories as NormalizedHistories
from .partitions.ensemble import normalize_ensemble as normalize_ensemble
from .pipeline import ClusteringResults as ClusteringResults
from .pipeline import cluster_analysis_pipeline as cluster_analysis_pipeline
from .pipeline import find_groups as find_groups
from .sampling.batch_sampling import extract_and_process_activations as extract_and_process_activations
from .sampling.batch_sampling import process_data_batch as process_data_batch
from .sampling.precompute import precompute_batches_for_ensemble as precompute_batches_for_ensemble
