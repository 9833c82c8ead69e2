"""Stage: all results of an ensemble -> one page to explore them."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from spdclust.core.atomic import write_text
from spdclust.core.errors import InputError, in_file
from spdclust.core.types import Labels
from spdclust.explorer.cofiring import MAX_SAMPLES, active_counts, count_cofiring, group_counts
from spdclust.explorer.collecting import (
    PageData,
    add_cofiring,
    collect,
    distinct_groups,
    groups_over_union,
    rows_of_interest,
)
from spdclust.explorer.found_groups import add_found, add_independent, found_members
from spdclust.explorer.group_tokens import describe_by_tokens
from spdclust.explorer.page import narrow, pack, page_html
from spdclust.files.ensemble_folder import GROUPS, STABILITY_FILES, EnsembleFolder, find_histories, run_number
from spdclust.files.ensembles import load_distance_rows
from spdclust.files.groups import load_groups
from spdclust.files.histories import load_merge_histories
from spdclust.files.reference import model_name
from spdclust.files.stability import load_stability_iterations, load_stability_record
from spdclust.files.stored_batch import StoredBatch
from spdclust.merge.activations import check_threshold
from spdclust.merge.history import MergeHistory
from spdclust.merge.sources import rows_between, stretches
from spdclust.partitions.ensemble import MergeHistoryEnsemble, normalize_ensemble
from spdclust.stability.coclustering import coclustering

log = logging.getLogger(__name__)


def explorer(
    histories: str | Path | Sequence[str | Path],
    path: str | Path,
    *,
    ensemble: str,
    model: str = "",
    distances: Mapping[str, str | Path] = {},
    stability: tuple[str | Path, str | Path] | None = None,
    groups: str | Path | None = None,
    batches: Sequence[str | Path] = (),
) -> None:
    """Write `explorer.html`.

    `histories` is the ensemble's folder, or its histories; `model` is as in `model_path`; `stability` is
    `stability.json` and `stability_iterations.csv`. The page opens on `groups`, or without them on the merge.
    `batches` is the first batch of each run, or nothing: the page then states that it has no activations.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> place = write_example_ensemble(folder)
        >>> page = place.folder / "explorer.html"
        >>> explorer(place.folder, page, ensemble=place.name, **files_of(place.folder))
        >>> html = page.read_text()
        >>> "<title>example/example" in html, "src=" in html  # nothing is loaded from elsewhere
        (True, False)

    Raises:
        InputError: a file cannot be read or does not fit the others, or the page cannot be written.
    """
    runs = load_merge_histories(histories)
    record = load_stability_record(stability[0]) if stability is not None else None
    table = load_stability_iterations(stability[1]) if stability is not None else None
    rows = {method: load_distance_rows(file) for method, file in distances.items()}
    if record is not None and stability is not None and record.get("n_runs") != len(runs):
        raise InputError(
            "stability analysis of another ensemble",
            file=stability[0],
            field="n_runs",
            found=record.get("n_runs"),
            allowed=str(len(runs)),
        )
    for method, (_, between) in rows.items():
        if between.shape[1] != len(runs):
            raise InputError(
                "distances of another ensemble",
                file=distances[method],
                found=f"{between.shape[1]} runs",
                allowed=f"{len(runs)} runs",
            )
    data = collect(
        runs,
        name=ensemble,
        model=model,
        spd_run=model_name(model),
        distances=rows,
        stability=None if record is None or table is None else (record, table),
    )
    if groups is None:
        data.notes.append("No groups.json: the found groups and their evidence are left out.")
    else:
        _add_groups(data, groups)
    _add_activations(data, runs, batches)
    if len(runs) < 2:
        data.notes.append("One run only: nothing to compare it with, so no distances and no support.")
    elif stability is None:
        data.notes.append("The stability analysis was not made: no curves of agreement.")
        try:
            normalize_ensemble(runs)
        except InputError as error:
            data.notes.append(f"It cannot be made: {error}.")
    if data.header["n_iterations"] == 0:
        data.notes.append("No merges: every component is a group of its own.")
    page = page_html(ensemble, pack({**data.header, "notes": data.notes}, data.arrays))
    write_text(path, page)
    log.info("%d runs, %d components, %.1f MB", len(runs), len(data.header["labels"]), len(page) / 1e6)


def files_of(folder: str | Path) -> dict[str, Any]:
    """Return the arguments of `explorer` other than histories, for the files of an ensemble that exist.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> found = files_of(write_example_ensemble(folder).folder)
        >>> list(found["distances"]), [path.name for path in found["stability"]], len(found["batches"])
        (['perm_invariant_hamming'], ['stability.json', 'stability_iterations.csv'], 2)

    Raises:
        InputError: the folder has no histories.
    """
    folder = Path(folder)
    record, iterations = (folder / STABILITY_FILES[key] for key in ("record", "iterations"))
    groups = folder / GROUPS["record"]
    layout = EnsembleFolder(folder)
    first = [layout.batches(number) / "batch_0.pt" for number in map(run_number, find_histories(folder))]
    return {
        "distances": layout.distances(),
        "stability": (record, iterations) if record.is_file() and iterations.is_file() else None,
        "groups": groups if groups.is_file() else None,
        "batches": first if all(path.is_file() for path in first) else [],
    }


def _add_groups(data: PageData, file: str | Path) -> None:
    """Add the found groups of a `groups.json`."""
    with in_file(file):
        add_found(data, load_groups(file))


def _add_activations(data: PageData, runs: MergeHistoryEnsemble, batches: Sequence[str | Path]) -> None:
    """Add what only the batches know: how members fire together, final activities, tokens."""
    if len(batches) != len(runs):
        data.notes.append(
            "The activation batches are not there any more: how members fire together is left out."
        )
        return
    labels: Labels = data.header["labels"]
    active, n_samples = np.zeros(len(labels), dtype=np.int64), 0
    *described, consensus = _groups_to_describe(data, runs)
    for run, (history, file) in enumerate(zip(runs, batches, strict=True)):
        batch = StoredBatch.open(file)
        columns, union = _columns(batch.labels, history.labels), _columns(batch.labels, labels)
        if (columns < 0).any():
            raise InputError(
                "batch lacks a component of its run",
                file=file,
                field="labels",
                found=history.labels[np.flatnonzero(columns < 0)[0]],
                allowed="its batch",
            )
        threshold, counted_above = history.config.activation_threshold, _threshold(data, history)
        for level in dict.fromkeys((threshold, counted_above)):
            check_threshold(batch.threshold, level, file=file)
        own, names = _merges(data, run)
        final = groups_over_union(np.arange(len(own)), names, len(names) - 1, len(own))
        final_counts = np.zeros(len(own) - len(names), dtype=np.int64)
        # the first run's batch describes the groups, if it has all components
        cuts = consensus if run == 0 and threshold is not None and (union >= 0).all() else {}
        of_cuts = {cut: np.zeros(int(groups.max()) + 1, dtype=np.int64) for cut, groups in cuts.items()}
        for _, rows in stretches(batch):
            active += active_counts(rows, union, counted_above)
            if threshold is not None:
                final_counts += group_counts(rows, columns, final, threshold)
            for cut, groups in cuts.items():
                of_cuts[cut] += group_counts(rows, union, groups, threshold)
        n_samples += batch.n_samples
        # a scalar activity has another definition, and with several batches it is of the last one
        single = history.config.recompute_costs_every == 1
        if threshold is not None and single and batch.n_samples == history.provenance.get("n_samples"):
            data.arrays[f"run{run}.final"] = narrow(final_counts)
        if run == 0:
            _add_described(data, batch, union, described, counted_above)
        data.arrays |= {f"consensus.{cut}": narrow(counts) for cut, counts in of_cuts.items()}
    if "found" in data.header and n_samples:
        add_independent(data, active / n_samples, n_samples)


def _threshold(data: PageData, history: MergeHistory) -> float | None:
    """Return the activation threshold: that of the found groups, otherwise that of the merge."""
    found: float | None = data.header.get("found", {}).get("settings", {}).get("activation_threshold")
    return history.config.activation_threshold if found is None else found


def _add_described(
    data: PageData,
    batch: StoredBatch,
    columns: np.ndarray,
    groups: list[list[np.ndarray]],
    counted_above: float | None,
) -> None:
    """Add how members of groups fire together, and the tokens of groups and components."""
    first, more = ([group for group in of if (columns[group] >= 0).all()] for of in groups)
    found, shared = found_members(data), found_members(data, with_shared=True)
    matrix = _first_samples(batch, MAX_SAMPLES)
    counted = count_cofiring(matrix, columns, [*shared, *first, *more], counted_above)
    add_cofiring(data, counted, run=0, n_samples=batch.n_samples, threshold=counted_above)
    examples = batch.examples
    if examples is None:
        return
    alone = [np.array([component]) for component in np.flatnonzero(columns >= 0)]
    least = data.arrays["found.active_members"] if found else np.array([])
    active_members = [int(at_least) if at_least > 0 else 1 for at_least in least]  # NaN without evidence
    data.header["examples"] = {
        "run": 0,
        "n_samples": examples.n_samples,
        "groups": describe_by_tokens(
            _first_samples(batch, examples.n_samples),
            examples,
            columns,
            [*found, *first, *alone, *more],
            counted_above,
            active_members,
        ),
    }


def _first_samples(batch: StoredBatch, n_samples: int) -> sparse.csr_array:
    """Return the first samples of a batch, without reading more than one stretch beyond them."""
    found = [sparse.csr_array((0, batch.n_components), dtype=np.float32)]
    for first, rows in stretches(batch):
        found.append(rows_between(rows, 0, min(n_samples - first, rows.shape[0])))
        if first + rows.shape[0] >= n_samples:
            break
    return sparse.csr_array(sparse.vstack(found[1:] or found))


def _groups_to_describe(
    data: PageData, runs: MergeHistoryEnsemble
) -> tuple[list[np.ndarray], list[np.ndarray], dict[str, np.ndarray]]:
    """Return the groups of consensus and runs at the cuts, further ones on the way, and the consensus."""
    n, n_iterations = len(data.header["labels"]), data.header["n_iterations"]
    cuts = {name: at["iteration"] for name, at in data.header["cuts"].items()}
    best = data.header["runs"][0]["best_iteration"]
    if not cuts and best is not None:
        cuts = {"": min(best, n_iterations - 1)}
    merges = [_merges(data, run) for run in range(len(runs))]
    first, more = [], []
    consensus: dict[str, np.ndarray] = {}
    for row in rows_of_interest(list(cuts.values()), n_iterations):
        in_runs = np.stack([groups_over_union(own, names, row, n) for own, names in merges])
        if row not in cuts.values():
            more += list(in_runs)
            continue
        if len(runs) > 1:
            groups = coclustering(in_runs).consensus.group_idxs
            consensus |= {name: groups for name, iteration in cuts.items() if iteration == row}
            first.append(groups)
        first += list(in_runs)
    described = distinct_groups([*first, *more])
    n_first = len(distinct_groups(first))
    return described[:n_first], described[n_first:], consensus


def _merges(data: PageData, run: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of a run's components, and the first components of the merged groups."""
    names = np.column_stack([data.arrays[f"run{run}.{name}"] for name in ("first", "second")])
    return data.arrays[f"run{run}.own"].astype(np.int64), names.astype(np.int64)


def _columns(of_batch: Labels, labels: Labels) -> np.ndarray:
    """Return the column of each component in a batch, -1 for one that the batch lacks."""
    column_of = {label: column for column, label in enumerate(of_batch)}
    return np.array([column_of.get(label, -1) for label in labels], dtype=np.int64)
