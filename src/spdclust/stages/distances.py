"""Stage: histories -> distances between the runs."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from spdclust.core.distance_methods import check_methods
from spdclust.core.errors import InputError
from spdclust.files.archive import ArrayRows
from spdclust.files.ensemble_folder import common_folder
from spdclust.files.ensembles import ensemble_record, load_normalized, save_distances
from spdclust.partitions.distances import compute_pair_distances, symmetric_rows
from spdclust.partitions.trajectory import kept_iterations

log = logging.getLogger(__name__)


def distances(
    histories: str | Path | Sequence[str | Path],
    paths: Mapping[str, str | Path],
    *,
    stride: int = 1,
    n_workers: int = 1,
) -> None:
    """Write `distances_<method>.npz` of several methods, all from one pass over the merges.

    Example:
        >>> import tempfile
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> from spdclust.files.ensembles import load_distances
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     place = write_example_ensemble(folder)
        ...     distances(place.folder, {"matching_dist": f"{folder}/distances_matching_dist.npz"})
        ...     between = load_distances(f"{folder}/distances_matching_dist.npz")
        >>> between[5:9, 0, 1].tolist()  # after the eighth merge both runs have the same four groups
        [6.0, 2.0, 0.0, 18.0]

    Args:
        histories: the ensemble's folder, or its histories.
        paths: output path of each method.
        stride: keep every n-th iteration, from the first.
        n_workers: number of threads; the result does not depend on it.

    Raises:
        InputError: a history cannot be read, there is only one, the runs do not fit together, a method is
            unknown, or a file cannot be written.
    """
    check_methods(paths)
    normalized = load_normalized(histories)
    try:
        pairs = compute_pair_distances(
            normalized, paths, stride=stride, n_workers=n_workers, progress=_log_tenths
        )
    except InputError as error:
        raise error.located(file=common_folder(histories)) from error
    kept = kept_iterations(normalized.n_iterations, stride)
    made_from = ensemble_record(histories)
    shape = (len(kept), normalized.n_runs, normalized.n_runs)
    for method, path in paths.items():
        rows = ArrayRows(shape, np.float64, symmetric_rows(pairs[method], normalized.n_runs))
        save_distances(rows, path, kept, made_from)


def _log_tenths(done: int, total: int) -> None:
    if done == total or done * 10 // total > (done - 1) * 10 // total:
        log.info("%d of %d pairs of runs compared", done, total)
