"""A small synthetic ensemble for examples: fast to compute, with known groups.

Twelve components in two modules, `attn` and `mlp`, and four concepts: the three components of a concept are
active on the same samples, but for one time in twenty that each stays silent.
"""

from pathlib import Path

import numpy as np

from spdclust.config.merge import MergeConfig
from spdclust.config.pipeline import ClusteringPipelineConfig
from spdclust.config.run import ClusteringRunConfig
from spdclust.files.activation_batch import ActivationBatch
from spdclust.files.ensemble_folder import EnsembleFolder
from spdclust.groups.found import EvidenceTree, FoundGroups, SharedMembers
from spdclust.merge.activations import ProcessedActivations
from spdclust.merge.engine import Engine
from spdclust.merge.history import MergeHistory
from spdclust.merge.merging import merge_iteration
from spdclust.merge.sources import as_batch_source
from spdclust.partitions.ensemble import normalize_ensemble
from spdclust.partitions.normalized import NormalizedHistories

N_SAMPLES = 200
CONCEPTS = (
    ("attn:0", "attn:1", "mlp:0"),
    ("attn:2", "attn:3", "mlp:1"),
    ("attn:4", "mlp:2", "mlp:3"),
    ("attn:5", "mlp:4", "mlp:5"),
)
"""The components of each concept: the groups that a merge should find."""

LABELS = tuple(sorted(label for concept in CONCEPTS for label in concept))
"""The components in order."""

MERGE = MergeConfig(activation_threshold=0.1, iters=None, min_groups=1)
"""Merges one of the best pairs each time, down to a single group."""


def example_activations(seed: int = 0) -> ProcessedActivations:
    """Return activations of the synthetic components.

    Example:
        >>> activations = example_activations()
        >>> activations.n_samples, activations.n_components, activations.labels[:2]
        (200, 12, ['attn:0', 'attn:1'])
    """
    generator = np.random.default_rng(seed)
    active = generator.random((N_SAMPLES, len(CONCEPTS))) < 0.2
    values = np.zeros((N_SAMPLES, len(LABELS)), dtype=np.float32)
    for number, concept in enumerate(CONCEPTS):
        for label in concept:
            heard = generator.random(N_SAMPLES) < 0.95
            strength = generator.uniform(0.5, 1.0, N_SAMPLES)
            values[:, LABELS.index(label)] = active[:, number] * heard * strength
    return ProcessedActivations.from_dense(values, list(LABELS))


def example_history(seed: int = 0, config: MergeConfig = MERGE) -> MergeHistory:
    """Return the merge of `example_activations`.

    Example:
        >>> history = example_history()
        >>> best = history.at(history.best_iteration())
        >>> [tuple(best.members(group)) for group in range(best.k_groups)] == list(CONCEPTS)
        True
    """
    return merge_iteration(example_activations(seed), config, seed=seed)


def example_engine(rng: np.random.Generator | None = None) -> Engine:
    """Return the engine of a merge of four components that are never active together, its batch loaded.

    Example:
        >>> engine = example_engine()
        >>> engine.advance(2)
        >>> engine.n_done
        2
    """
    apart = ProcessedActivations.from_dense(np.eye(4), ["m:0", "m:1", "m:2", "m:3"])
    rng = np.random.default_rng(0) if rng is None else rng
    engine = Engine(as_batch_source(apart), np.arange(4), MergeConfig(min_groups=1), rng, threads=1)
    engine.advance(0)
    return engine


def example_normalized(n_runs: int = 2) -> NormalizedHistories:
    """Return the aligned merges of several runs, the input of distances and stability.

    Example:
        >>> normalized = example_normalized()
        >>> normalized.n_runs, normalized.n_iterations
        (2, 11)
    """
    return normalize_ensemble([example_history(run) for run in range(n_runs)])


def example_found() -> FoundGroups:
    """Return a hand-made result of `find_groups` in which the first three concepts are groups.

    Example:
        >>> found = example_found()
        >>> found.n_groups, found.members(0), found.n_alone, found.shared_with(0)
        (3, ['attn:0', 'attn:1', 'mlp:0'], 3, ['attn:2'])
    """
    number = {label: component for component, label in enumerate(LABELS)}
    concepts = [[number[label] for label in concept] for concept in CONCEPTS]
    group_idxs, alone = np.empty(len(LABELS), dtype=np.int64), concepts[3]
    children: list[list[int]] = []
    for group, (first, second, third) in enumerate(concepts):
        group_idxs[[first, second, third]] = group if group < 3 else np.array([3, 4, 5])
        children += [[first, second], [len(LABELS) + 2 * group, third]]
    tops = [len(LABELS) + row for row in (1, 3, 5, 7)]
    children += [tops[:2], [20, tops[2]], [21, tops[3]]]
    nothing = float("nan")
    tree = EvidenceTree(
        children=np.array(children),
        height=np.array([0.1, 0.2] * 4 + [1.0, 1.0, 1.0]),
        bits=np.array([nothing, 0.5, nothing, 0.4, nothing, 0.3] + [nothing] * 5),
        bits_se=np.array([nothing, 0.02, nothing, 0.03, nothing, 0.04] + [nothing] * 5),
        group=np.array([-1, 0, -1, 1, -1, 2] + [-1] * 5),
    )
    columns = {
        "size": np.array([3, 3, 3]),
        "bits_saved": np.array([0.5, 0.4, 0.3]),
        "bits_saved_se": np.array([0.02, 0.03, 0.04]),
        "support": np.array([1.0, 1.0, 0.75]),
        "runs_exact": np.array([2, 2, 1]),
        "runs_exact_low": np.array([0.16, 0.16, 0.01]),
        "runs_exact_high": np.array([1.0, 1.0, 0.99]),
        "activity": np.array([0.2, 0.21, 0.19]),
        "active_members": np.array([1, 2, 2]),
        "cohesion": np.array([0.9, 0.88, 0.91]),
        "lift": np.array([4.8, 4.7, 5.1]),
    }
    return FoundGroups(
        labels=list(LABELS),
        group_idxs=group_idxs,
        columns=columns,
        n_groups=3,
        bits={"alone": 3.5, "answer": 2.3, "least_mdl": 2.4},
        null_groups=np.array([0, 0, 1, 0]),
        null_groups_busy=np.array([1, 0, 1, 1]),
        bits_saved_runs=np.array([[0.48, 0.52], [0.37, 0.43], [0.26, 0.34]]),
        shared=SharedMembers(np.array([number["attn:2"]]), np.array([0]), np.array([0.01]), np.array([0.05])),
        tree=tree,
        cohesion={
            "inside": {"mean": 0.9, "median": 0.9, "never": 0.0},
            "between": {"mean": 0.1, "median": 0.1, "never": 0.25},
        },
        settings={
            "n_runs": 2,
            "n_samples": [N_SAMPLES, N_SAMPLES],
            "activation_threshold": 0.1,
            "n_null": 4,
            "min_similarity": 0.05,
            "false_alarm": 0.05,
        },
        warnings=(f"{len(alone)} components are alone by hand, to have some.",),
    )


def write_example_ensemble(
    folder: str | Path, n_runs: int = 2, config: MergeConfig = MERGE
) -> EnsembleFolder:
    """Write activations into a folder, run the whole pipeline on them, and return the paths of its files.

    The activations go into `<folder>/activations/`, what is made of them into `<folder>/results/`: batches,
    histories, distances, stability, registry, as the workflow leaves them but for figures and page.

    Run r has the samples of `example_activations(r)`.

    Example:
        >>> place = write_example_ensemble(folder)
        >>> place.history(0).relative_to(folder).as_posix()
        'results/example/example/runs/run_0/history.zip'
        >>> sorted(path.name for path in place.folder.glob("*.npz"))
        ['distances_perm_invariant_hamming.npz', 'ensemble_merge_array.npz', 'stability_coclustering.npz']

    Raises:
        InputError: less than two runs, or a file cannot be written.
    """
    from spdclust.pipeline import cluster_analysis_pipeline

    own = Path(folder) / "activations"
    for run in range(n_runs):
        ActivationBatch(example_activations(run), seed=run).save(own / f"run_{run}" / "batch_0.pt")
    run_config = ClusteringRunConfig(precomputed_activations_dir=str(own), merge_config=config)
    pipeline = ClusteringPipelineConfig(clustering_run_config=run_config, n_runs=n_runs)
    results = Path(folder) / "results"
    return EnsembleFolder(cluster_analysis_pipeline(pipeline, results=results, name="example").folder)
