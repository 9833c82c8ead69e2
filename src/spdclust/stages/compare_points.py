"""Stage: the ensembles of a sweep -> their comparison."""

import itertools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spdclust.core.errors import InputError
from spdclust.core.provenance import check_one_model
from spdclust.files.ensemble_folder import common_folder
from spdclust.files.groups import load_groups
from spdclust.files.histories import load_merge_histories
from spdclust.files.stability import save_sweep
from spdclust.files.stability_reading import load_stability_record
from spdclust.files.summaries import sweep_lines
from spdclust.partitions.ensemble import normalize_ensemble
from spdclust.stability.sweeps import compare_points as compare
from spdclust.stability.sweeps import sweep_point

log = logging.getLogger(__name__)

_ONE_MODEL = "ensembles of one model; spdclust match compares the groups of two models"


class PointFiles(NamedTuple):
    """The files of a point of a sweep.

    Attributes:
        name: name of the point in tables and figures.
        values: the swept settings and their values.
        histories: its ensemble's folder, or its histories.
        stability: its `stability.json`.
        groups: its `groups.json`; None if there is none.
    """

    name: str
    values: Mapping[str, Any]
    histories: str | Path | Sequence[str | Path]
    stability: str | Path
    groups: str | Path | None = None


def compare_points(points: Sequence[PointFiles | tuple[Any, ...]], folder: str | Path) -> dict[str, Any]:
    """Write `sweep.json` and its tables; return the contents.

    Example:
        >>> import tempfile
        >>> from spdclust.example_ensemble import MERGE, write_example_ensemble
        >>> points = []
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for alpha in (0.3, 1.0):
        ...         config = MERGE.model_copy(update={"alpha": alpha})
        ...         place = write_example_ensemble(f"{folder}/{alpha}", config=config).folder
        ...         values = {"merge_config.alpha": alpha}
        ...         points.append(PointFiles(f"alpha~{alpha:g}", values, place, place / "stability.json"))
        ...     record = compare_points(points, folder)
        >>> for point in record["points"]:
        ...     point["name"], point["n_groups_mean"], point["n_consensus_groups"]
        ('alpha~0.3', 2.0, 4)
        ('alpha~1', 4.0, 4)

    Raises:
        InputError: a file cannot be read or written, the points are of different models, or they cannot be
            compared.
    """
    cut, records = [], []
    for point in itertools.starmap(PointFiles, points):
        try:
            ensemble = load_merge_histories(point.histories)
            records += [(point.name, history.provenance) for history in ensemble]
            check_one_model(records, what="ensembles", allowed_text=_ONE_MODEL)
            cut.append(
                sweep_point(
                    point.name,
                    point.values,
                    normalize_ensemble(ensemble),
                    load_stability_record(point.stability),
                    None if point.groups is None else load_groups(point.groups),
                )
            )
        except InputError as error:
            raise error.located(file=common_folder(point.histories)) from error
    record = compare(cut)
    save_sweep(record, folder)
    log.info("%s", "\n".join(sweep_lines(record)))
    return record
