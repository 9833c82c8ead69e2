"""Stages: histories -> what the runs of an ensemble agree on; which component is in which group."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.core.errors import InputError, in_file
from spdclust.core.names import AUTOMATIC_CUTS, check_iteration, merges_done, split_cut
from spdclust.core.types import Int
from spdclust.files.ensemble_folder import common_folder
from spdclust.files.ensembles import ensemble_record, load_normalized
from spdclust.files.histories import load_merge_history
from spdclust.files.reference import cluster_mapping, mapping_record, save_mapping
from spdclust.files.stability import save_stability
from spdclust.merge.history import MergeHistory
from spdclust.partitions.normalized import NormalizedHistories
from spdclust.stability.analysis import Stability, analyze_stability, find_cut
from spdclust.stability.coclustering import coclustering
from spdclust.stability.cut import Cut, groups_at

log = logging.getLogger(__name__)

NULL_SEED = 0


def stability(
    histories: str | Path | Sequence[str | Path],
    methods: Sequence[str],
    folder: str | Path,
    *,
    stride: int = 1,
    threads: int = 1,
    iteration: int | None = None,
    n_groups: int | None = None,
    mapping_names: Mapping[str, str] | None = None,
    mapping_cuts: Sequence[str] = AUTOMATIC_CUTS,
) -> Stability:
    """Write `stability.json` and its tables, and return what they hold.

    `histories` is the ensemble's folder, or its histories. `adjusted_rand_dist` is always among the methods.
    Every `stride`-th iteration is compared; with `iteration` or `n_groups` all runs are also cut there.
    If `mapping_names` gives `ensemble` and `model`, `cluster_mapping_consensus_<cut>.json` are written, too,
    for those of `mapping_cuts` that exist: histories without description lengths have no `least_mdl`.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> place = write_example_ensemble(folder, n_runs=3)
        >>> found = stability(place.folder, ["matching_dist"], folder)
        >>> sorted(path.name for path in folder.glob("stability*.csv"))
        ['stability_components.csv', 'stability_groups.csv', 'stability_iterations.csv',
         'stability_sizes.csv']
        >>> groups = found.cuts["least_mdl"].coclustering.consensus
        >>> groups.sizes.tolist(), groups.mean_support  # all three runs have the four concepts
        ([3, 3, 3, 3], 1.0)

    Raises:
        InputError: a history cannot be read, there is only one, the runs do not fit together, a cut does not
            exist, or a file cannot be written.
    """
    normalized = load_normalized(histories)
    with in_file(common_folder(histories)):
        found = analyze_stability(
            normalized,
            methods,
            iteration=iteration,
            n_groups=n_groups,
            stride=stride,
            n_workers=threads,
            seed=NULL_SEED,
        )
    made_from = ensemble_record(histories)
    save_stability(normalized, found, folder, stride=stride, seed=NULL_SEED, provenance=made_from)
    if mapping_names is not None:
        for name in mapping_cuts:
            if name not in found.cuts:
                continue
            at = found.cuts[name]
            groups = at.coclustering.consensus.group_idxs
            record = _consensus_record(normalized, at.cut, groups, **mapping_names)
            save_mapping(record, Path(folder) / f"cluster_mapping_consensus_{name}.json")
    last = found.agreement.last_agreement
    log.info("all runs agree %s", "after no merge" if last is None else f"last after {merges_done(last)}")
    for name, at in found.cuts.items():
        log.info(
            "%s: %d to %d groups, %d consensus groups, mean support %.3g (shuffled runs: %.3g)",
            name, at.cut.n_groups.min(), at.cut.n_groups.max(), len(at.coclustering.consensus.sizes),
            at.coclustering.consensus.mean_support, at.null.mean("mean_support"),
        )  # fmt: skip
        for note in at.cut.notes:
            log.warning("%s: %s", name, note)
    return found


def map_consensus(
    histories: str | Path | Sequence[str | Path],
    cut: str,
    path: str | Path,
    *,
    ensemble: str,
    model: str,
    notes: str = "",
    stride: int = 1,
    viewer: str = "run",
) -> None:
    """Write the mapping of the consensus groups of an ensemble at a cut.

    The groups are those of `stability_groups.csv`. `iteration` is the row of the cut; where runs are cut at a
    number of groups, the iteration of the first run.

    `histories` is the ensemble's folder, or its histories; `cut` is `least_mdl`, `stability_drop` (searched
    at every `stride`-th iteration), `merges_<n>` or `groups_<k>`; `model` is as in `model_path`. For `viewer`
    see `mapping_record`.

    Example:
        >>> import json
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> place = write_example_ensemble(folder)
        >>> path = folder / "cluster_mapping_consensus_groups_4.json"
        >>> map_consensus(place.folder, "groups_4", path, ensemble=place.name, model="")
        >>> record = json.loads(path.read_text())
        >>> record["clustering_run_id"], record["iteration"]
        ('example/example/consensus', 7)
        >>> [label for label, group in record["clusters"].items() if group == 0]
        ['attn:0', 'attn:1', 'mlp:0']

    Raises:
        InputError: the histories cannot be read or compared, there is no such cut, or the file cannot be
            written.
    """
    normalized = load_normalized(histories)
    with in_file(common_folder(histories)):
        at = find_cut(normalized, cut, stride=stride)
        groups = coclustering(groups_at(normalized, at)).consensus.group_idxs
    record = _consensus_record(
        normalized, at, groups, ensemble=ensemble, model=model, notes=notes, viewer=viewer
    )
    save_mapping(record, path)


def _consensus_record(
    normalized: NormalizedHistories,
    cut: Cut,
    group_idxs: Int[np.ndarray, " components"],
    *,
    ensemble: str,
    model: str,
    notes: str = "",
    viewer: str = "run",
) -> dict[str, Any]:
    """Return the mapping of an ensemble's consensus groups at a cut."""
    return mapping_record(
        cluster_mapping(group_idxs, normalized.labels),
        made_by=f"{ensemble}/consensus",
        model=model,
        iteration=int(cut.merges[0] - normalized.first_merges[0]),
        notes=notes,
        viewer=viewer,
    )


def map_run(
    history: str | Path,
    cut: str,
    path: str | Path,
    *,
    ensemble: str,
    model: str,
    run: int = 0,
    notes: str = "",
    viewer: str = "run",
) -> None:
    """Write the mapping of one run's groups.

    `cut` is `least_mdl` of this run, `merges_<n>` or `groups_<k>`; `model` is as in `model_path`. For
    `viewer` see `mapping_record`.

    Example:
        >>> import json
        >>> from spdclust.example_ensemble import example_history
        >>> from spdclust.files.histories import save_merge_history
        >>> history, mapping = folder / "history.zip", folder / "cluster_mapping_run_0.json"
        >>> save_merge_history(example_history(), history)
        >>> map_run(history, "iteration_0", mapping, ensemble="sae/mine", model="")
        >>> clusters = json.loads(mapping.read_text())["clusters"]
        >>> [label for label, group in clusters.items() if group is not None]  # the first merge
        ['attn:5', 'mlp:5']

    Raises:
        InputError: the history cannot be read, there is no such cut, or the file cannot be written.
    """
    loaded = load_merge_history(history)
    with in_file(history):
        iteration = _iteration_of(loaded, cut)
        groups = loaded.at(iteration)
    record = mapping_record(
        cluster_mapping(groups.group_idxs, groups.labels),
        made_by=f"{ensemble}/run_{run}",
        model=model,
        iteration=iteration,
        run=run,
        notes=notes,
        viewer=viewer,
    )
    save_mapping(record, path)


def _iteration_of(history: MergeHistory, cut: str) -> int:
    """Return the iteration of one history at a cut."""
    if cut == "least_mdl":
        return history.best_iteration()
    if cut in AUTOMATIC_CUTS:
        raise InputError(
            "a cut of all runs, not of one",
            field="cut",
            found=cut,
            allowed="least_mdl, merges_<n>, groups_<k>; without a run, the consensus of all",
        )
    kind, number = split_cut(cut)
    if kind == "iteration":
        return check_iteration(number, history.n_iterations, from_end=False)
    iteration = history.n_components - 1 - number
    if not 0 <= iteration < history.n_iterations:
        raise InputError(
            "the run does not have this number of groups after any merge",
            field="n_groups",
            found=number,
            allowed=f"{history.n_components - history.n_iterations} to {history.n_components - 1}",
        )
    return iteration
