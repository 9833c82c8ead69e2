"""Stage: histories -> distances between the runs."""

from collections.abc import Sequence
from pathlib import Path

from spdclust.ensemble import normalize_ensemble
from spdclust.files.ensembles import save_distances
from spdclust.files.histories import load_merge_histories
from spdclust.partitions.distances import compute_distances


def distances(histories: Sequence[str | Path], method: str, *, path: str | Path) -> None:
    """Write `distances_<method>.npz`.

    Raises:
        InputError: a history cannot be read, there is only one, the runs do not fit together, or the file
            cannot be written.
    """
    save_distances(compute_distances(normalize_ensemble(load_merge_histories(histories)), method), path)
