"""Stage: histories -> normalised labels and assignments of the ensemble."""

import logging
from collections.abc import Sequence
from pathlib import Path

from spdclust.files.ensembles import load_normalized, save_ensemble_meta, save_merge_array

log = logging.getLogger(__name__)


def normalize(histories: Sequence[str | Path], *, meta: str | Path, merge_array: str | Path) -> None:
    """Write `ensemble_meta.json` and `ensemble_merge_array.npz`.

    Raises:
        InputError: a history cannot be read, the runs do not fit together, or a file cannot be written.
    """
    normalized = load_normalized(histories)
    log.info(
        "%d runs, %d components, %d iterations",
        normalized.n_runs, normalized.n_components, normalized.n_iterations,
    )  # fmt: skip
    save_ensemble_meta(normalized, meta)
    if not save_merge_array(normalized, merge_array):
        log.warning(
            "the array of all assignments is too large and was left out of %s; written by: "
            "spdclust merge-array %s",
            merge_array, Path(merge_array).parent,
        )  # fmt: skip
