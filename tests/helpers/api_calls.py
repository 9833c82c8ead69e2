"""Every public function with right arguments, and what is tried in place of each of them.

Run as a program it prints what went wrong: tests check shapes and types as well, users of the package do not.
"""

import faulthandler
import inspect
import logging
import os
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from scipy import sparse

import spdclust
from spdclust import InputError
from spdclust.example_ensemble import example_activations, example_found, example_history, example_normalized
from spdclust.models import load_model

LABELS = ["m:0", "m:1", "m:2"]
DENSE = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]])
RUN = {
    "model_path": str(Path(__file__).resolve().parents[2] / "resources/resid_mlp1"),
    "n_tokens": 8,
    "device": "cpu",
}

NONSENSE = [
    None, True, -1, 0, 3, 2**31, 10**400, 0.5, float("nan"), float("inf"), 1j, "", "nonsense", "\udc80", "a\0b", b"a", [], [None], [1], ["a"], {}, {"a": 1}, {1},
    np.int64(-1), np.float32("nan"), np.array(1), np.zeros(0), np.zeros((2, 2)), np.array(["a"]), np.array([1j]), np.array([None]), np.zeros((2, 3, 1)),
    torch.zeros(2, 2).to_sparse(), torch.tensor(1.5), sparse.eye_array(3), sparse.coo_array(np.ones(3)), object(), int, lambda *_: 1 / 0, Path("nowhere"),
    [[1], [1, 2]], range(2), iter(()), example_activations(),
]  # fmt: skip
"""Tried as every argument of every function; where it is a right value, the function returns."""


def pipeline(folder):
    run = spdclust.ClusteringRunConfig(**RUN, merge_config=spdclust.MergeConfig(iters=3))
    return spdclust.ClusteringPipelineConfig(clustering_run_config=run, n_runs=2)


def calls(folder: Path) -> dict[str, tuple]:
    """By name: the function, and right arguments that it is called with, one of them replaced at a time."""
    acts, history, normalized = example_activations(), example_history(), example_normalized()
    found = example_found()
    config = spdclust.ClusteringRunConfig(**RUN)
    model = load_model(RUN["model_path"], device="cpu")
    spdclust.save_merge_history(history, folder / "history.zip")
    batch = spdclust.ActivationBatch.from_dense(DENSE, LABELS, seed=1, provenance={"a": "b"})
    batch.save(folder / "batches/batch_0.pt")
    batches = spdclust.BatchedActivations(folder / "batches")
    ensemble = spdclust.MergeHistoryEnsemble([history, history])
    grouping = history.at(-1)
    fields = {name: getattr(history, name) for name in inspect.signature(spdclust.MergeHistory).parameters}
    merge = spdclust.MergeConfig(iters=2)
    return {
        "ActivationBatch": (spdclust.ActivationBatch, {"activations": acts, "seed": 0, "provenance": {}, "examples": None}),
        "ActivationBatch.from_dense": (spdclust.ActivationBatch.from_dense, {"array": DENSE, "labels": LABELS, "seed": 0, "provenance": None}),
        "ActivationBatch.from_sparse": (spdclust.ActivationBatch.from_sparse, {"matrix": sparse.csr_array(DENSE), "labels": LABELS, "seed": 0, "provenance": None}),
        "ActivationBatch.from_stored": (spdclust.ActivationBatch.from_stored, {"stored": batches.get_next_stored()}),
        "ActivationBatch.load": (spdclust.ActivationBatch.load, {"path": folder / "batches/batch_0.pt"}),
        "ActivationBatch.save": (batch.save, {"path": folder / "b.pt"}),
        "BatchedActivations": (spdclust.BatchedActivations, {"source": folder / "batches", "allow_different_models": False}),
        "BatchedActivations.component_stats": (batches.component_stats, {}),
        "BatchedActivations.get_next_batch": (batches.get_next_batch, {}),
        "BatchedActivations.get_next_stored": (batches.get_next_stored, {}),
        "BatchedActivations.rewind": (batches.rewind, {}),
        "ClusteringPipelineConfig": (spdclust.ClusteringPipelineConfig, dict(pipeline(folder))),
        "ClusteringRunConfig": (spdclust.ClusteringRunConfig, dict(config)),
        "GroupMerge": (spdclust.GroupMerge, {"group_idxs": np.array([0, 1, 0]), "labels": LABELS}),
        "GroupMerge.members": (grouping.members, {"group": 0}),
        "GroupMerge.sizes": (grouping.sizes, {}),
        "MergeConfig": (spdclust.MergeConfig, dict(merge)),
        "MergeHistory": (spdclust.MergeHistory, fields),
        "MergeHistory.at": (history.at, {"iteration": 0}),
        "MergeHistory.best_iteration": (history.best_iteration, {}),
        "MergeHistory.group_idxs": (history.group_idxs, {"iteration": 0}),
        "MergeHistory.settings": (history.settings, {}),
        "MergeHistory.to_linkage": (history.to_linkage, {}),
        "MergeHistoryEnsemble": (spdclust.MergeHistoryEnsemble, {"histories": [history, history], "run_names": ["a", "b"], "allow_different_models": False}),
        "NormalizedHistories.check_iteration": (normalized.check_iteration, {"iteration": 0}),
        "NormalizedHistories.groups_after": (normalized.groups_after, {"run": 0, "merge": 0}),
        "NormalizedHistories.iterate_rows": (normalized.iterate_rows, {}),
        "NormalizedHistories.iterate_run": (normalized.iterate_run, {"run": 0}),
        "NormalizedHistories.merge_array": (normalized.merge_array, {}),
        "NormalizedHistories.merge_array_rows": (normalized.merge_array_rows, {"iteration": 0}),
        "NormalizedHistories.merge_at": (normalized.merge_at, {"run": 0, "iteration": 0}),
        "NormalizedHistories.merges": (normalized.merges, {"run": 0}),
        "NormalizedHistories.metadata": (normalized.metadata, {}),
        "NormalizedHistories.n_groups": (normalized.n_groups, {"iteration": 0}),
        "ProcessedActivations": (spdclust.ProcessedActivations, {"matrix": sparse.csr_array(DENSE), "labels": LABELS}),
        "ProcessedActivations.as_sets": (acts.as_sets, {"threshold": 0.1}),
        "ProcessedActivations.from_dense": (spdclust.ProcessedActivations.from_dense, {"array": DENSE, "labels": LABELS}),
        "ProcessedActivations.from_sparse": (spdclust.ProcessedActivations.from_sparse, {"matrix": sparse.csr_array(DENSE), "labels": LABELS, "copy": True}),
        "ProcessedActivations.maxima": (acts.maxima, {}),
        "ProcessedActivations.means": (acts.means, {}),
        "cluster_analysis_pipeline": (spdclust.cluster_analysis_pipeline, {"config": pipeline(folder), "results": folder / "results", "name": "p", "devices": None}),
        "compute_distances": (spdclust.compute_distances, {"normalized": normalized, "method": "matching_dist", "stride": 1, "n_workers": 1, "progress": None}),
        "compute_merge_costs": (spdclust.compute_merge_costs, {"coact": np.eye(3), "ranks": [1, 1, 1], "alpha": 1.0}),
        "extract_and_process_activations": (spdclust.extract_and_process_activations, {"model": model, "inputs": np.eye(16, 100, dtype=np.float32), "batch_size": 8, "causal_importance": "upper_leaky"}),
        "FoundGroups.members": (found.members, {"group": 0}),
        "FoundGroups.member_idxs": (found.member_idxs, {"group": 0}),
        "FoundGroups.shared_with": (found.shared_with, {"group": 0}),
        "find_groups": (spdclust.find_groups, {"histories": [history], "batches": [acts], "n_null": 1, "seed": 0, "allow_different_models": False, "threads": 1}),
        "load_merge_histories": (spdclust.load_merge_histories, {"source": [folder / "history.zip"], "allow_different_models": False}),
        "load_merge_history": (spdclust.load_merge_history, {"path": folder / "history.zip"}),
        "merge_iteration": (spdclust.merge_iteration, {"activations": acts, "config": merge, "seed": 0, "progress": False, "callback_at": 1, "checkpoint": None, "checkpoint_seconds": 1.0, "threads": 1, "thorough": False}),
        "merge_iteration: callback": (spdclust.merge_iteration, {"activations": acts, "config": merge, "callback": lambda view: None, "callback_at": 1}),
        "merge_iteration: watch": (spdclust.merge_iteration, {"activations": acts, "config": merge, "watch": lambda first, figures: None}),
        "normalize_ensemble": (spdclust.normalize_ensemble, {"ensemble": ensemble, "align": "iteration", "require_same_config": True, "allow_different_models": False}),
        "precompute_batches_for_ensemble": (spdclust.precompute_batches_for_ensemble, {"config": config, "n_runs": 1, "folder": folder / "p", "runs": [0]}),
        "process_data_batch": (spdclust.process_data_batch, {"config": config, "model": model, "run": 0, "batch": 0}),
        "save_merge_history": (spdclust.save_merge_history, {"history": history, "path": folder / "h.zip", "group_idxs": None, "reader": "spd"}),
    }  # fmt: skip


NOT_CALLED = {
    "FoundGroups": "what find_groups returns; its methods are called",
    "ClusteringResults": "what cluster_analysis_pipeline returns",
    "InputError": "the error itself",
    "NormalizedHistories": "what normalize_ensemble returns; its methods are called",
    "__version__": "a text",
}

UNCHECKED = {
    ("merge_iteration: callback", "callback"),
    ("merge_iteration: callback", "callback_at"), ("merge_iteration: watch", "watch"),  # what a user's function raises is the user's
    ("compute_distances", "progress"),
}  # fmt: skip
"""Arguments that are functions: those among the nonsense are called."""


def outcome(function, arguments) -> str | None:
    """Return what is wrong with how a call fails, None when nothing is."""
    try:
        function(**arguments)
    except InputError as error:
        if "\n" in str(error) or len(str(error)) > 1500:
            return f"an InputError of several lines: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"
    return None


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        functions = calls(Path(folder))
        for name, (function, arguments) in functions.items():
            faulthandler.dump_traceback_later(200, exit=True)  # a call that never ends is shown where it is
            for argument in arguments:
                for value in [] if (name, argument) in UNCHECKED else NONSENSE:
                    if said := outcome(function, arguments | {argument: value}):
                        print(f"{name}({argument}={repr(value)[:60]}): {said}")
            print(f"{name}: {len(arguments)} arguments", file=sys.stderr)


if __name__ == "__main__":
    main()
