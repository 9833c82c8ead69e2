"""Stage: histories and distances -> the few numbers a reader wants first."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from spdclust.files.ensembles import load_distances
from spdclust.files.histories import load_merge_histories
from spdclust.files.summaries import save_summary
from spdclust.summary import summarize


def summarize_ensemble(
    histories: Sequence[str | Path], distances: Mapping[str, str | Path], *, path: str | Path
) -> None:
    """Write `summary.json`.

    Args:
        histories: the runs' files.
        distances: the distance files by method.
        path: where the summary goes.

    Raises:
        InputError: a file cannot be read or written.
    """
    between = {method: load_distances(file) for method, file in distances.items()}
    save_summary(summarize(load_merge_histories(histories), between), path)
