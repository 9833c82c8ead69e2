"""Stage: histories -> normalised labels and assignments of the ensemble."""

import logging
from collections.abc import Sequence
from pathlib import Path

from spdclust.core.errors import InputError
from spdclust.files.ensemble_folder import common_folder
from spdclust.files.ensembles import ensemble_record, save_ensemble_meta, save_merge_array, shared_values
from spdclust.files.histories import load_merge_histories
from spdclust.partitions.ensemble import normalize_ensemble

log = logging.getLogger(__name__)


def normalize(histories: Sequence[str | Path], *, meta: str | Path, merge_array: str | Path) -> None:
    """Write `ensemble_meta.json` and `ensemble_merge_array.npz`.

    Example:
        >>> import json, tempfile
        >>> import numpy as np
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     place = write_example_ensemble(folder, n_runs=3)
        ...     meta, array = Path(folder) / "meta.json", Path(folder) / "merge_array.npz"
        ...     normalize([place.history(run) for run in range(3)], meta=meta, merge_array=array)
        ...     with np.load(array) as stored:
        ...         stored["merge_array"].shape
        (3, 11, 12)

    Raises:
        InputError: a history cannot be read, the runs do not fit together, or a file cannot be written.
    """
    ensemble = load_merge_histories(histories)
    try:
        normalized = normalize_ensemble(ensemble)
    except InputError as error:
        raise error.located(file=common_folder(histories)) from error
    log.info(
        "%d runs, %d components, %d iterations",
        normalized.n_runs, normalized.n_components, normalized.n_iterations,
    )  # fmt: skip
    provenances = [history.provenance for history in ensemble]
    common = shared_values(provenances)
    own = {
        name: {key: value for key, value in provenance.items() if key not in common}
        for name, provenance in zip(normalized.run_names, provenances, strict=True)
    }
    save_ensemble_meta(normalized, meta, common | ensemble_record(histories) | {"runs": own})
    if not save_merge_array(normalized, merge_array):
        log.warning(
            "the array of all assignments is too large and was left out of %s; written by: "
            "spdclust merge-array %s",
            merge_array, Path(merge_array).parent,
        )  # fmt: skip
