"""Stage: histories -> distances between the runs, by one job or by several that share the pairs of runs."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.core.errors import InputError, in_file
from spdclust.core.names import check_methods
from spdclust.files.archive import ArrayRows
from spdclust.files.distance_parts import (
    check_part,
    load_aligned_merges,
    merges_made_from,
    part_rows,
    save_aligned_merges,
    save_part,
)
from spdclust.files.ensemble_folder import common_folder
from spdclust.files.ensembles import ensemble_record, load_normalized, save_distances
from spdclust.partitions.distances import compute_pair_distances
from spdclust.partitions.trajectory import (
    AlignedMerges,
    divide_pairs,
    iteration_rows,
    kept_iterations,
    symmetric_rows,
)

log = logging.getLogger(__name__)


def distances(
    histories: str | Path | Sequence[str | Path],
    paths: Mapping[str, str | Path],
    *,
    stride: int = 1,
    threads: int = 1,
) -> None:
    """Write `distances_<method>.npz` of several methods, all from one pass over the merges.

    `histories` is the ensemble's folder, or its histories. Every `stride`-th iteration is kept, from the
    first. The result does not depend on `threads`.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> from spdclust.files.ensembles import load_distances
        >>> place = write_example_ensemble(folder)
        >>> distances(place.folder, {"matching_dist": f"{folder}/distances_matching_dist.npz"})
        >>> between = load_distances(f"{folder}/distances_matching_dist.npz")
        >>> between[5:9, 0, 1].tolist()  # after the eighth merge both runs have the same four groups
        [6.0, 2.0, 0.0, 18.0]

    Raises:
        InputError: a history cannot be read, there is only one, the runs do not fit together, a method is
            unknown, or a file cannot be written.
    """
    check_methods(paths)
    normalized = load_normalized(histories)
    with in_file(common_folder(histories)):
        pairs = compute_pair_distances(
            normalized, paths, stride=stride, n_workers=threads, progress=_log_tenths
        )
    compared = kept_iterations(normalized.n_iterations, stride)
    made_from = ensemble_record(histories)
    shape = (len(compared), normalized.n_runs, normalized.n_runs)
    for method, path in paths.items():
        rows = symmetric_rows(iteration_rows(pairs[method]), normalized.n_runs)
        save_distances(ArrayRows(shape, np.float64, rows), path, compared, made_from)


def align_runs(histories: str | Path | Sequence[str | Path], path: str | Path) -> None:
    """Write the merges of all runs in a common numbering of components, for jobs that compare some of them.

    A distance depends on the components of all runs and on the length of the shortest, so no job can compare
    two runs from their histories alone.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> align_runs(write_example_ensemble(folder).folder, f"{folder}/merges.tmp")
        >>> load_aligned_merges(f"{folder}/merges.tmp", [0, 1]).n_iterations
        11

    Raises:
        InputError: a history cannot be read, the runs do not fit together, or the file cannot be written.
    """
    aligned = AlignedMerges.of(load_normalized(histories))
    save_aligned_merges(aligned, path, ensemble_record(histories))


def distances_part(
    merges: str | Path,
    methods: Sequence[str],
    path: str | Path,
    *,
    part: int,
    n_parts: int,
    stride: int = 1,
    threads: int = 1,
) -> None:
    """Write the distances of one part of the pairs of runs, see `divide_pairs`.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> merges, part = f"{folder}/merges.tmp", f"{folder}/part.tmp"
        >>> align_runs(write_example_ensemble(folder).folder, merges)
        >>> distances_part(merges, ["matching_dist"], part, part=1, n_parts=1)
        >>> between = [float(row[0]) for row in part_rows([part], "matching_dist", [1], 11)]
        >>> between[5:9]  # as `distances` computes them
        [6.0, 2.0, 0.0, 18.0]

    Raises:
        InputError: the merges cannot be read, there is no such part, a method is unknown, or the file cannot
            be written.
    """
    check_methods(methods)
    made_from = merges_made_from(merges)
    divided = divide_pairs(len(made_from["histories"]), n_parts)
    if not 1 <= part <= n_parts:
        raise InputError("no such part", field="part", found=part, allowed=f"1 to {n_parts}")
    pairs = divided[part - 1]
    runs = np.unique(pairs).tolist()
    aligned = load_aligned_merges(merges, runs)
    log.info("part %d of %d: %d pairs of %d runs", part, n_parts, len(pairs), len(runs))
    found = compute_pair_distances(
        aligned, methods, pairs=pairs, stride=stride, n_workers=threads, progress=_log_tenths
    )
    record = _part_record(part, n_parts, stride, made_from)
    save_part(found, path, {**record, "n_iterations": aligned.n_iterations})


def join_distances(
    histories: str | Path | Sequence[str | Path],
    parts: Sequence[str | Path],
    paths: Mapping[str, str | Path],
    *,
    stride: int = 1,
) -> None:
    """Write `distances_<method>.npz` from all parts, with the bytes that `distances` gives them.

    Only a few iterations are in memory at a time.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> histories = write_example_ensemble(folder).folder
        >>> merges, part = f"{folder}/merges.tmp", f"{folder}/part.tmp"
        >>> joined, whole = f"{folder}/joined.npz", f"{folder}/whole.npz"
        >>> align_runs(histories, merges)
        >>> distances_part(merges, ["jaccard_dist"], part, part=1, n_parts=1)
        >>> join_distances(histories, [part], {"jaccard_dist": joined})
        >>> distances(histories, {"jaccard_dist": whole})
        >>> Path(joined).read_bytes() == Path(whole).read_bytes()
        True

    Raises:
        InputError: a part is missing, damaged or made from something else, or a file cannot be written.
    """
    made_from = ensemble_record(histories)
    n_runs, n_iterations = len(made_from["histories"]), None
    for number, part in enumerate(parts, start=1):
        expected = _part_record(number, len(parts), stride, made_from)
        if n_iterations is not None:
            expected["n_iterations"] = n_iterations
        n_iterations = int(check_part(part, expected)["n_iterations"])
    pairs = divide_pairs(n_runs, len(parts))
    compared = kept_iterations(n_iterations or 0, stride)
    shape = (len(compared), n_runs, n_runs)
    for method, path in paths.items():
        rows = part_rows(parts, method, [len(each) for each in pairs], len(compared))
        matrices = symmetric_rows(rows, n_runs, np.concatenate(pairs))
        save_distances(ArrayRows(shape, np.float64, matrices), path, compared, made_from)
        log.info("%s: %d parts joined", method, len(parts))


def _part_record(part: int, n_parts: int, stride: int, made_from: Mapping[str, Any]) -> dict[str, Any]:
    return {"part": part, "n_parts": n_parts, "stride": stride, "made_from": dict(made_from)}


def _log_tenths(done: int, total: int) -> None:
    if done == total or done * 10 // total > (done - 1) * 10 // total:
        log.info("%d of %d pairs of runs compared", done, total)
